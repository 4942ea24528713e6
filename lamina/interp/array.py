"""The eager tensor: a NumPy array, with the few habits of Keras tensors that NumPy's own type lacks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from lamina.ir.trace import OPERATORS


def _function(name: str) -> Callable[..., Any]:
    if name not in OPERATORS:
        import lamina.ops  # noqa: F401 - its import fills the table
    return OPERATORS[name]


def _operator(name: str) -> Callable[..., Any]:
    def apply(self: Any, other: Any) -> Any:
        return _function(name)(self, other)

    return apply


def _reflected(name: str) -> Callable[..., Any]:
    def apply(self: Any, other: Any) -> Any:
        return _function(name)(other, self)

    return apply


class Array(np.ndarray):
    """What an op returns when it is called on NumPy arrays. It is an ndarray in every respect but three.

    - `.numpy()` gives the same memory as a plain ndarray, and `float()` works on any one-element array.
    - Taking one element gives an Array without axes instead of a NumPy scalar.
    - Arithmetic and ordering operators are those of `lamina.ops`: the same dtype rule as in compiled code
      (NumPy would widen `int32 * 0.5` to float64), no warnings, and `x += 1` makes a new array, so that a
      layer written with `+=` never changes the caller's data.
    """

    __slots__ = ("_keras_mask",)  # set by masking layers and losses, as on traced tensors

    def numpy(self) -> np.ndarray[Any, Any]:
        """This array as a plain ndarray, sharing its memory."""
        return self.view(np.ndarray)

    def __getitem__(self, key: Any) -> Any:
        item = super().__getitem__(key)
        return item if isinstance(item, np.ndarray) else np.asarray(item).view(Array)

    # NumPy would print the elements as Arrays of their own, and short floats with the digits of long ones.

    def __repr__(self) -> str:
        return f"Array{repr(self.numpy()).removeprefix('array')}"

    def __str__(self) -> str:
        return str(self.numpy())

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    __add__ = __iadd__ = _operator("add")
    __sub__ = __isub__ = _operator("subtract")
    __mul__ = __imul__ = _operator("multiply")
    __truediv__ = __itruediv__ = _operator("true_divide")
    __floordiv__ = __ifloordiv__ = _operator("floor_divide")
    __mod__ = __imod__ = _operator("mod")
    __pow__ = __ipow__ = _operator("power")
    __matmul__ = __imatmul__ = _operator("matmul")
    __and__ = __iand__ = _operator("bitwise_and")
    __or__ = __ior__ = _operator("bitwise_or")
    __xor__ = __ixor__ = _operator("bitwise_xor")
    __lshift__ = __ilshift__ = _operator("left_shift")
    __rshift__ = __irshift__ = _operator("right_shift")
    __lt__, __le__ = _operator("less"), _operator("less_equal")
    __gt__, __ge__ = _operator("greater"), _operator("greater_equal")
    __radd__, __rsub__, __rmul__ = _reflected("add"), _reflected("subtract"), _reflected("multiply")
    __rtruediv__, __rfloordiv__ = _reflected("true_divide"), _reflected("floor_divide")
    __rmod__, __rpow__, __rmatmul__ = _reflected("mod"), _reflected("power"), _reflected("matmul")
    __rand__, __ror__, __rxor__ = (
        _reflected("bitwise_and"),
        _reflected("bitwise_or"),
        _reflected("bitwise_xor"),
    )
    __rlshift__, __rrshift__ = _reflected("left_shift"), _reflected("right_shift")


def as_eager(array: Any) -> Array:
    """`array` (an ndarray or NumPy scalar) as an Array, sharing its memory."""
    return np.asarray(array).view(Array)
