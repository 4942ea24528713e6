"""What is a tensor, and of which dtype: the door through which every operand of an op comes in."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import copysign
from typing import Any

import ml_dtypes
import numpy as np

from lamina.core import dtypes
from lamina.core.config import config
from lamina.core.errors import DTypeError
from lamina.core.shapes import Shape
from lamina.core.shapes import broadcast as broadcast_shapes
from lamina.interp import Array
from lamina.ir import bind
from lamina.ir import primitives as p
from lamina.ir.graph import Value
from lamina.ir.primitives import Primitive
from lamina.ir.symbolic import KerasTensor
from lamina.ir.trace import Tensor, current
from lamina.ops.registry import op

# --- from anything to a tensor ---------------------------------------------------------------------


def as_tensor(x: Any, dtype: str | None = None) -> Any:
    """`x` as a Tensor or an eager Array, of `dtype` if one is given (a canonical name).

    x: a tensor, an ndarray, a Python number, a Variable (anything with `__tensor__`), an array of another
    library, or nested lists of these. Python numbers become int32 and the default float; NumPy arrays keep
    their dtype. DTypeError for strings, objects and complex numbers.
    """
    found = x if type(x) is Tensor or type(x) is Array else _convert(x, dtype)
    return found if dtype is None or dtype_of(found) == dtype else p.cast(found, dtype=dtype)


def _convert(x: Any, dtype: str | None) -> Any:
    if isinstance(x, (bool, int, float)):
        return scalar(x, dtype or _dtype_of_number(x))
    if hasattr(x, "__tensor__"):
        return as_tensor(x.__tensor__())
    if isinstance(x, Tensor):
        return x
    if isinstance(x, np.ndarray):
        return _checked(x)
    if isinstance(x, (list, tuple)):
        return _from_list(x)
    if x is None:
        raise DTypeError(
            "None is no tensor.",
            expected="a tensor, an array or a number",
            fix="give the function or call() that this comes from a `return`.",
        )
    if isinstance(x, KerasTensor):
        raise DTypeError(
            f"{x!r} stands for data that does not exist yet; only ops called with it directly see it."
        )
    return _checked(np.asarray(x))


def _dtype_of_number(x: bool | int | float) -> str:
    if isinstance(x, bool):
        return "bool"
    if isinstance(x, float):
        return config.floatx
    low, high = dtypes.limits("int32")
    return "int32" if low <= x <= high else "int64"


def _checked(array: np.ndarray[Any, Any]) -> Array:
    if array.dtype.kind in "OUSVMmc" and array.dtype.name != "bfloat16":
        raise DTypeError(
            f"An array of dtype {array.dtype} is not made of numbers that Lamina can compute with.",
            expected=f"one of {', '.join(dtypes.ALL)}",
            fix="turn text and categories into numbers first, and rows of different lengths into one shape.",
        )
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    dtypes.of_numpy(array.dtype)
    return array.view(Array)


def _from_list(items: Sequence[Any]) -> Any:
    leaves = _leaves(items)
    if any(isinstance(leaf, Tensor) or hasattr(leaf, "__tensor__") for leaf in leaves):
        from lamina.ops.join import stack

        return stack([as_tensor(item) for item in items])
    array = np.asarray(items)
    if array.dtype == np.float64 and not any(_is_float64_array(leaf) for leaf in leaves):
        return _checked(array.astype(dtypes.to_numpy(config.floatx)))
    if array.dtype == np.int64 and not any(isinstance(leaf, (np.ndarray, np.generic)) for leaf in leaves):
        low, high = dtypes.limits("int32")
        if array.size == 0 or (array.min() >= low and array.max() <= high):
            return _checked(array.astype(np.int32))
    return _checked(array)


def _leaves(items: Sequence[Any]) -> list[Any]:
    found: list[Any] = []
    for item in items:
        found.extend(_leaves(item) if isinstance(item, (list, tuple)) else (item,))
    return found


def _is_float64_array(leaf: Any) -> bool:
    return isinstance(leaf, np.ndarray) and leaf.dtype == np.float64


def scalar(number: bool | int | float, dtype: str) -> Array:
    """A Python number as an eager array without axes. DTypeError when an integer does not fit."""
    return _scalar(number, _sign(number), dtype)


def _sign(number: bool | int | float) -> float:
    """A part of the keys of caches, because 0.0 == -0.0."""
    return copysign(1.0, number) if isinstance(number, float) else 1.0


@lru_cache(maxsize=1024)
def _scalar(number: bool | int | float, sign: float, dtype: str) -> Array:
    try:
        with np.errstate(all="ignore"):
            array = np.asarray(number, dtypes.to_numpy(dtype))
    except OverflowError:
        raise DTypeError(
            f"The number {number} does not fit into {dtype}.",
            expected="from {} to {}".format(*dtypes.limits(dtype)),
            fix="cast the tensor to a wider dtype first.",
        ) from None
    array.flags.writeable = False
    return array.view(Array)


def lift(x: Any) -> Tensor:
    """An eager array as a constant of the trace under way."""
    return x if isinstance(x, Tensor) else Tensor(bind.constant_value(x))


# --- dtypes ----------------------------------------------------------------------------------------


def dtype_of(x: Any) -> str:
    """The canonical dtype name of a tensor or array."""
    found = x.dtype
    return found if type(found) is str else dtypes.of_numpy(found)


def promote(*operands: Any, also: tuple[Any, ...] = ()) -> list[Any]:
    """The operands as tensors of one dtype, in which Python numbers count as weak.

    also: further dtypes that take part; `float` makes the result a float.
    """
    whole = [x if isinstance(x, (bool, int, float)) else as_tensor(x) for x in operands]
    kinds = tuple([type(x) if isinstance(x, (bool, int, float)) else dtype_of(x) for x in whole])
    dtype = _join(kinds + also, config.floatx)
    return [as_tensor(x, dtype) for x in whole]


@lru_cache(maxsize=4096)
def _join(kinds: tuple[Any, ...], floatx: str) -> str:
    # A NumPy float64 scalar is a Python float; it counts as weak, so that np.sqrt(2) does not widen a tensor.
    weak = [float if isinstance(kind, type) and issubclass(kind, float) else kind for kind in kinds]
    return dtypes.result_type(*weak)


def largest_number(dtype: str) -> float:
    """The largest finite number of a float dtype."""
    finfo: Any = ml_dtypes.finfo
    return float(finfo(dtypes.to_numpy(dtype)).max)


def as_float(x: Any) -> Any:
    """`x` as a float tensor: integers and booleans become the default float."""
    x = as_tensor(x)
    return x if dtypes.is_float(dtype_of(x)) else p.cast(x, dtype=config.floatx)


def as_number(x: Any) -> Any:
    """`x` as a tensor of numbers: booleans become int32."""
    x = as_tensor(x)
    return p.cast(x, dtype="int32") if dtype_of(x) == "bool" else x


def wider_float(dtype: str) -> str:
    """Where sums over `dtype` are kept: at least float32."""
    return dtypes.result_type(dtype, "float32")


# --- shapes ----------------------------------------------------------------------------------------


def spread(x: Any, shape: Shape) -> Any:
    """`x` repeated to `shape`, NumPy's way: its axes are the last ones."""
    if x.shape == shape:
        return x
    skipped = len(shape) - len(x.shape)
    return p.broadcast(x, shape=shape, axes=tuple(range(skipped, len(shape))))


def together(*operands: Any) -> tuple[Any, ...]:
    """The operands brought to one shape. If one of them is traced, so are all."""
    shape = operands[0].shape
    for other in operands:
        if other.shape != shape:
            break
    else:
        return operands
    shape = broadcast_shapes(*[x.shape for x in operands])
    if any(type(x) is Tensor for x in operands):
        operands = tuple([lift(x) for x in operands])
    return tuple([spread(x, shape) for x in operands])


def elementwise(primitive: Primitive, *operands: Any) -> Any:
    """Apply an elementwise primitive to tensors of one dtype, after bringing them to one shape."""
    return primitive(*together(*operands))


def binary(primitive: Primitive, x1: Any, x2: Any, also: tuple[Any, ...] = ()) -> Any:
    """Promote two operands, broadcast them, and apply the primitive."""
    return primitive(*pair(x1, x2, also))


def pair(x1: Any, x2: Any, also: tuple[Any, ...] = ()) -> tuple[Any, ...]:
    """Two operands promoted to one dtype (a float if `also` has float) and brought to one shape."""
    if not also and type(x1) is Tensor and type(x2) is Tensor and x1.dtype == x2.dtype:
        return together(x1, x2)
    is_number1, is_number2 = isinstance(x1, (bool, int, float)), isinstance(x2, (bool, int, float))
    if is_number1 and is_number2:
        return together(*promote(x1, x2, also=also))
    if is_number2:
        x1 = _promoted(x1, x2, also)
        return x1, like(x1, x2)
    if is_number1:
        x2 = _promoted(x2, x1, also)
        return like(x2, x1), x2
    x1, x2 = as_tensor(x1), as_tensor(x2)
    kind = dtype_of(x1)
    if kind == dtype_of(x2) and (not also or dtypes.is_float(kind)):
        return together(x1, x2)
    return together(*promote(x1, x2, also=also))


def _promoted(x: Any, number: bool | int | float, also: tuple[Any, ...]) -> Any:
    x = as_tensor(x)
    return as_tensor(x, _join((dtype_of(x), type(number), *also), config.floatx))


def filled(shape: Shape, number: Any, dtype: str) -> Any:
    """One Python number everywhere: as a constant of the trace under way, or as a fresh eager array."""
    if current() is not None:
        return Tensor(_filled_value(number, _sign(number), dtype, shape))
    return np.full(shape, scalar(number, dtype)).view(Array)


def like(x: Any, number: Any) -> Any:
    """A number in the shape and dtype of x, traced if x is."""
    if type(x) is Tensor:
        return Tensor(_filled_value(number, _sign(number), x.dtype, x.shape))
    return spread(scalar(number, dtype_of(x)), x.shape)


@lru_cache(maxsize=1024)
def _filled_value(number: bool | int | float, sign: float, dtype: str, shape: Shape) -> Value:
    return bind.full(shape, scalar(number, dtype), dtype)


# --- the public ops --------------------------------------------------------------------------------


@op
def convert_to_tensor(
    x: Any, dtype: Any = None, sparse: bool | None = None, ragged: bool | None = None
) -> Any:
    """`x` as a tensor: inside a trace a Tensor stays one; everything else becomes an eager array.

    >>> convert_to_tensor([1, 2]).dtype, convert_to_tensor(0.5).dtype
    (dtype('int32'), dtype('float32'))
    """
    _refuse_sparse(sparse or ragged)
    return as_tensor(x, None if dtype is None else dtypes.standardize(dtype))


def _refuse_sparse(wanted: bool | None) -> None:
    if wanted:
        raise DTypeError("Lamina has dense tensors only.", fix="leave out sparse= and ragged=.")


@op
def array(x: Any, dtype: Any = None) -> Any:
    """`x` as a tensor that shares no memory with it."""
    return copy(convert_to_tensor(x, dtype))


@op
def copy(x: Any) -> Any:
    """A tensor equal to `x` that shares no memory with it."""
    x = as_tensor(x)
    return x if type(x) is Tensor else np.array(x).view(Array)


def convert_to_numpy(x: Any) -> np.ndarray[Any, Any]:
    """`x` as a plain NumPy array. A traced tensor has no numbers: TracedValueError."""
    if isinstance(x, KerasTensor):
        x.numpy()
    found = as_tensor(x)
    return np.asarray(found.numpy())


def is_tensor(x: Any) -> bool:
    """Whether `x` is a tensor: traced, eager, or of the layer graph. Lists and numbers are not."""
    return isinstance(x, (Tensor, np.ndarray, KerasTensor))


def shape(x: Any) -> tuple[int | None, ...]:
    """The shape of `x` as a tuple; only a KerasTensor has None in it."""
    return tuple(x.shape) if hasattr(x, "shape") else tuple(as_tensor(x).shape)


def ndim(x: Any) -> int:
    """The number of axes of `x`."""
    return len(shape(x))


def size(x: Any) -> int:
    """The number of elements of `x`."""
    return int(np.prod(shape(x), dtype=np.int64))  # type: ignore[arg-type]


def dtype(x: Any) -> str:
    """The name of the dtype of `x`."""
    return x.dtype if isinstance(x, KerasTensor) else dtype_of(as_tensor(x))


def result_type(*types: Any) -> str:
    """The dtype of an operation on operands of these dtypes; Python's int and float are weak.

    >>> result_type("int32", "float16")
    'float16'
    """
    return dtypes.result_type(*types)


@op
def cast(x: Any, dtype: Any) -> Any:
    """`x` with another dtype. Floats to integers truncate towards zero."""
    return as_tensor(x, dtypes.standardize(dtype))


@op
def saturate_cast(x: Any, dtype: Any) -> Any:
    """`cast`, with numbers outside the range of `dtype` brought to its nearest end."""
    x, target = as_tensor(x), dtypes.standardize(dtype)
    low, high = _finite_limits(target)
    source = dtype_of(x)
    if source != "bool" and not (dtypes.is_float(source) and dtypes.is_integer(target)):
        source_low, source_high = _finite_limits(source)
        if source_low < low:
            x = p.maximum(x, like(x, low))
        if source_high > high:
            x = p.minimum(x, like(x, high))
    return as_tensor(x, target)


def _finite_limits(dtype: str) -> tuple[Any, Any]:
    if not dtypes.is_float(dtype):
        return dtypes.limits(dtype)
    return -largest_number(dtype), largest_number(dtype)


@op
def stop_gradient(variable: Any) -> Any:
    """`variable` as a constant: no derivative flows through it."""
    return p.stop_gradient(as_tensor(variable))
