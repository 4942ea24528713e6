"""Variable: state that lives between steps. Its memory keeps its place; steps update it there."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from lamina import ops
from lamina.core import dtypes
from lamina.core.errors import ArgumentError, DTypeError, ShapeError, StateError
from lamina.core.naming import auto_name, current_path, name_scope
from lamina.core.scopes import Scope, contained
from lamina.core.shapes import Shape
from lamina.interp import as_eager
from lamina.ir import trace
from lamina.ir.trace import OPERATORS, UFUNC_OPERATORS, SymbolicOperators

ALIGNMENT = 64  # bytes: a cache line, and the widest vector register

_casting: Scope[str | None] = Scope(None)
_bytes_left: Scope[list[int] | None] = Scope(None)


def allocation_limit(limit: int) -> contained:
    """Context in which variables may take `limit` bytes together; StateError, before memory is taken, beyond.

    For models that are made from files: a few letters can ask for any amount of memory.
    """
    return _bytes_left.holding([limit])


def autocast(dtype: str | None) -> contained:
    """Context in which float variables are read in this dtype; None: in their own. For mixed precision."""
    return _casting.holding(dtype)


def _take(shape: Shape, dtype: str, path: str) -> None:
    left = _bytes_left.value
    if left is None:
        return
    left[0] -= math.prod(shape) * dtypes.itemsize(dtype)
    if left[0] < 0:
        raise StateError(
            f"Variable '{path}' of shape {shape} is larger than the weights in the file: it is not made."
        )


class Variable(SymbolicOperators):
    """A tensor that can be assigned to: a weight, a counter, the state of a metric.

    initializer: an array, a number or a list; or the name of an initializer; or a callable
      `initializer(shape, dtype=...)`, which needs `shape`.
    shape, dtype: of the variable. The dtype defaults to the array's own, or the default float.
    trainable: whether optimizers update it. autocast: whether layers that compute with another float dtype
      see it in that one. aggregation, synchronization: kept for Keras code.
    name: without "/"; `path` puts the open `name_scope`s before it.

    Outside a trace `value` is a copy of the numbers; inside one it is the traced state at that point, and
    `assign` records the new state. `array` is the memory itself: 64-byte aligned, the same for life.

    Raises ArgumentError, ShapeError or DTypeError for arguments that do not make a tensor.

    >>> counter = lamina.Variable(np.zeros(3), dtype="float32")
    >>> counter.assign_add(np.ones(3))
    Array([1., 1., 1.], dtype=float32)
    """

    def __init__(
        self,
        initializer: Any,
        shape: Any = None,
        dtype: Any = None,
        trainable: bool = True,
        autocast: bool = True,
        aggregation: str | None = "none",
        synchronization: str | None = "auto",
        name: str | None = None,
    ) -> None:
        name = auto_name(type(self).__name__) if name is None else name
        if not isinstance(name, str) or not name or "/" in name:
            raise ArgumentError(f"The name of a variable must be a string without '/', got {name!r}.")
        self._name = name
        self._path = "/".join(part for part in (current_path(), name) if part)
        self._trainable = bool(trainable)
        self.autocast = bool(autocast)
        self.aggregation = _one_of("aggregation", aggregation, ("none", "mean", "sum", "only_first_replica"))
        self.synchronization = _one_of(
            "synchronization", synchronization, ("none", "on_read", "on_write", "auto")
        )
        self._regularizer: Callable[..., Any] | None = None
        self._constraint: Callable[..., Any] | None = None
        self._overwrite_with_gradient = False
        with trace.suspended():
            self._array = self._initial_array(initializer, shape, dtype)
        self._dtype = dtypes.of_numpy(self._array.dtype)

    def _initial_array(self, initializer: Any, shape: Any, dtype: Any) -> np.ndarray[Any, Any]:
        """Memory of the variable's own, with the first numbers in it."""
        from lamina import initializers

        if isinstance(initializer, str):
            initializer = initializers.get(initializer)
        if not callable(initializer):
            return _aligned_copy(
                np.asarray(_to_tensor(initializer, dtype, f"create variable '{self._path}'"))
            )
        if shape is None:
            raise ArgumentError(f"Variable '{self._path}' with an initializer needs a shape.")
        shape, dtype = _checked_shape(shape, self._path), dtypes.standardize(dtype)
        _take(shape, dtype, self._path)
        if type(initializer) is initializers.Zeros:
            zeros = _aligned(shape, dtypes.to_numpy(dtype))
            zeros.fill(0)
            return zeros
        initial = np.asarray(
            _to_tensor(initializer(shape, dtype=dtype), dtype, f"create variable '{self._path}'")
        )
        if initial.shape != shape:
            raise ShapeError(
                f"The initializer of variable '{self._path}' returned a wrong shape.",
                expected=str(shape),
                got=str(initial.shape),
            )
        return _aligned_copy(initial)

    # --- what it is --------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        return self._name

    @property
    def path(self) -> str:
        """The name, with the name scopes it was made in: "dense/kernel"."""
        return self._path

    @property
    def shape(self) -> Shape:
        return self._array.shape

    @property
    def ndim(self) -> int:
        return self._array.ndim

    @property
    def size(self) -> int:
        return self._array.size

    @property
    def dtype(self) -> str:
        return self._dtype

    @property
    def trainable(self) -> bool:
        return self._trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        self._trainable = bool(value)

    @property
    def regularizer(self) -> Callable[..., Any] | None:
        """A callable that makes a penalty of the value, added to the loss."""
        return self._regularizer

    @regularizer.setter
    def regularizer(self, value: Callable[..., Any] | None) -> None:
        self._regularizer = _callable_or_none("regularizer", value)

    @property
    def constraint(self) -> Callable[..., Any] | None:
        """A callable that projects the value after each update."""
        return self._constraint

    @constraint.setter
    def constraint(self, value: Callable[..., Any] | None) -> None:
        self._constraint = _callable_or_none("constraint", value)

    @property
    def overwrite_with_gradient(self) -> bool:
        """Whether optimizers replace the value by its gradient (the scales of 8-bit training)."""
        return self._overwrite_with_gradient

    @overwrite_with_gradient.setter
    def overwrite_with_gradient(self, value: bool) -> None:
        if not isinstance(value, bool):
            raise ArgumentError(f"overwrite_with_gradient must be True or False, got {value!r}.")
        self._overwrite_with_gradient = value

    # --- reading and assigning ---------------------------------------------------------------------

    @property
    def array(self) -> np.ndarray[Any, Any]:
        """The memory itself: always the same array, updated in place."""
        return self._array

    @property
    def value(self) -> Any:
        """The value now: a traced Tensor inside a trace, else a copy of the numbers.

        Inside `autocast`, floats are of its dtype.
        """
        tracing = trace.current()
        found = as_eager(self._array.copy()) if tracing is None else tracing.read(self)
        dtype = _casting.value
        if dtype is None or dtype == self._dtype or not self.autocast or not dtypes.is_float(self._dtype):
            return found
        return ops.cast(found, dtype)

    def __tensor__(self) -> Any:
        return self.value

    def assign(self, value: Any) -> Any:
        """Give the variable a new value of the same shape, cast to its dtype; returns that value.

        Raises ShapeError when the shape differs, DTypeError when the value holds no numbers.
        """
        value = _to_tensor(value, self._dtype, f"assign to variable '{self._path}'")
        if tuple(value.shape) != self.shape:
            raise ShapeError(
                f"Cannot assign to variable '{self._path}': the shapes differ.",
                expected=str(self.shape),
                got=str(tuple(value.shape)),
            )
        tracing = trace.current()
        if tracing is None:
            self._array[...] = value
        else:
            tracing.write(self, value)
        return value

    def assign_add(self, value: Any) -> Any:
        """Add `value`; returns the new value."""
        return self.assign(ops.add(self, value))

    def assign_sub(self, value: Any) -> Any:
        """Subtract `value`; returns the new value."""
        return self.assign(ops.subtract(self, value))

    def numpy(self) -> np.ndarray[Any, Any]:
        """A copy of the numbers as a plain ndarray; not inside a trace."""
        return np.array(self.__array__())

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray[Any, Any]:
        if trace.current() is not None:
            result: np.ndarray[Any, Any] = self.value.__array__()  # raises: a traced value has no numbers
            return result
        if copy is False:
            return self._array.astype(dtype or self._array.dtype, copy=False)
        return self._array.astype(dtype or self._array.dtype)

    def __array_ufunc__(self, ufunc: Any, method: str, *operands: Any, **keywords: Any) -> Any:
        """`array * variable` is lamina.ops.multiply; any other NumPy function sees the numbers."""
        operator = OPERATORS.get(UFUNC_OPERATORS.get(ufunc.__name__, ufunc.__name__))
        if method == "__call__" and operator is not None and not keywords:
            return operator(*operands)
        plain = [np.asarray(operand) if isinstance(operand, Variable) else operand for operand in operands]
        return getattr(ufunc, method)(*plain, **keywords)

    def __len__(self) -> int:
        return len(self._array)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.value)

    def __float__(self) -> float:
        return float(self.value)

    def __int__(self) -> int:
        return int(self.value)

    def __index__(self) -> int:
        return self.value.__index__()

    def __bool__(self) -> bool:
        raise TypeError(
            f"Variable '{self._path}' cannot be used as a truth value: compare it, or take its .value."
        )

    def __repr__(self) -> str:
        return f"<Variable path={self._path}, shape={self.shape}, dtype={self._dtype}, value={self._array}>"

    # --- copying -----------------------------------------------------------------------------------

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_array": self._array.copy()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._array = _aligned_copy(state["_array"])


@contextmanager
def substituted(variables: Sequence[Variable], values: Sequence[Any]) -> Iterator[None]:
    """Give the variables other values inside the block; they have their own again after it.

    Turns code that assigns into a pure function; works eagerly and in a trace.
    """
    if len(variables) != len(values):
        raise ArgumentError(f"{len(variables)} variables need as many values, got {len(values)}.")
    own = [variable.value for variable in variables]
    try:
        for variable, value in zip(variables, values):
            variable.assign(value)
        yield
    finally:
        for variable, value in zip(variables, own):
            variable.assign(value)


def _aligned(shape: Shape, dtype: np.dtype[Any]) -> np.ndarray[Any, Any]:
    """An array of no certain numbers whose first element lies on a multiple of ALIGNMENT."""
    length = math.prod(shape) * dtype.itemsize
    memory = np.empty(length + ALIGNMENT, np.uint8)
    start = -memory.__array_interface__["data"][0] % ALIGNMENT
    return memory[start : start + length].view(dtype).reshape(shape)


def _aligned_copy(initial: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """A row-major copy whose first element lies on a multiple of ALIGNMENT."""
    copy = _aligned(initial.shape, initial.dtype)
    copy[...] = initial
    return copy


def _to_tensor(value: Any, dtype: Any, purpose: str) -> Any:
    try:
        return ops.convert_to_tensor(value, dtype=dtype)
    except DTypeError as error:
        raise DTypeError(f"Cannot {purpose}: {error}") from error


def _checked_shape(shape: Any, path: str) -> Shape:
    extents = tuple(shape) if hasattr(shape, "__iter__") else (shape,)
    if not all(isinstance(extent, (int, np.integer)) and extent >= 0 for extent in extents):
        raise ShapeError(
            f"Variable '{path}' cannot have shape {shape}.", expected="whole numbers that are not negative"
        )
    return tuple(int(extent) for extent in extents)


def _one_of(argument: str, value: str | None, allowed: tuple[str, ...]) -> str:
    if value is None:
        return "none"
    if value not in allowed:
        raise ArgumentError(f"{argument} must be None or one of {', '.join(allowed)}, got {value!r}.")
    return value


def _callable_or_none(attribute: str, value: Any) -> Any:
    if value is not None and not callable(value):
        raise ArgumentError(f"{attribute} must be callable or None, got {value!r}.")
    return value


__all__ = ["ALIGNMENT", "Variable", "allocation_limit", "autocast", "name_scope", "substituted"]
