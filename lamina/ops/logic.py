"""Comparison, logic, bits and choice."""

from __future__ import annotations

from typing import Any

import numpy as np

from lamina.core import dtypes
from lamina.core.errors import ArgumentError, DTypeError
from lamina.ir import primitives as p
from lamina.ir.primitives import Primitive
from lamina.ir.trace import Tensor
from lamina.ops.convert import (
    as_number,
    as_tensor,
    binary,
    dtype_of,
    elementwise,
    largest_number,
    like,
    promote,
)
from lamina.ops.registry import alias, op

# --- comparison ------------------------------------------------------------------------------------


@op
def equal(x1: Any, x2: Any) -> Any:
    """x1 == x2, element by element."""
    return binary(p.equal, x1, x2)


@op
def not_equal(x1: Any, x2: Any) -> Any:
    """x1 != x2, element by element."""
    return binary(p.not_equal, x1, x2)


@op
def less(x1: Any, x2: Any) -> Any:
    """x1 < x2, element by element."""
    return binary(p.less, x1, x2)


@op
def less_equal(x1: Any, x2: Any) -> Any:
    """x1 <= x2, element by element."""
    return binary(p.less_equal, x1, x2)


@op
def greater(x1: Any, x2: Any) -> Any:
    """x1 > x2, element by element."""
    return binary(p.greater, x1, x2)


@op
def greater_equal(x1: Any, x2: Any) -> Any:
    """x1 >= x2, element by element."""
    return binary(p.greater_equal, x1, x2)


@op
def isclose(x1: Any, x2: Any, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> Any:
    """Whether |x1 - x2| <= atol + rtol |x2|; infinities are close to themselves."""
    x1, x2 = promote(x1, x2)
    same = elementwise(p.equal, x1, x2)
    if not dtypes.is_float(dtype_of(x1)):
        x1, x2 = as_tensor(x1, "float64"), as_tensor(x2, "float64")
    reach = p.add(p.multiply(p.absolute(x2), like(x2, rtol)), like(x2, atol))
    near = elementwise(p.less_equal, p.absolute(elementwise(p.subtract, x1, x2)), reach)
    finite = elementwise(p.bitwise_and, p.is_finite(x1), p.is_finite(x2))
    close = p.bitwise_or(p.bitwise_and(near, finite), same)
    if not equal_nan:
        return close
    return p.bitwise_or(close, elementwise(p.bitwise_and, p.not_equal(x1, x1), p.not_equal(x2, x2)))


@op
def allclose(x1: Any, x2: Any, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> Any:
    """Whether `isclose` holds everywhere."""
    close = isclose(x1, x2, rtol, atol, equal_nan)
    return p.reduce_min(close, axes=tuple(range(len(close.shape)))) if close.size else as_tensor(True)


# --- kinds of numbers ------------------------------------------------------------------------------


def _classify(x: Any, of_float: Any, otherwise: bool) -> Any:
    x = as_tensor(x)
    if dtypes.is_float(dtype_of(x)):
        return of_float(x)
    return like(p.cast(x, dtype="bool"), otherwise)


@op
def isfinite(x: Any) -> Any:
    """Whether x is neither infinite nor NaN."""
    return _classify(x, p.is_finite, True)


@op
def isnan(x: Any) -> Any:
    """Whether x is NaN."""
    return _classify(x, lambda x: p.not_equal(x, x), False)


@op
def isinf(x: Any) -> Any:
    """Whether x is infinite."""
    return _classify(x, lambda x: p.equal(p.absolute(x), like(x, np.inf)), False)


@op
def isposinf(x: Any) -> Any:
    """Whether x is plus infinity."""
    return _classify(x, lambda x: p.equal(x, like(x, np.inf)), False)


@op
def isneginf(x: Any) -> Any:
    """Whether x is minus infinity."""
    return _classify(x, lambda x: p.equal(x, like(x, -np.inf)), False)


@op
def isreal(x: Any) -> Any:
    """True everywhere: Lamina has no complex numbers."""
    return like(p.cast(as_tensor(x), dtype="bool"), True)


@op
def nan_to_num(x: Any, nan: float = 0.0, posinf: float | None = None, neginf: float | None = None) -> Any:
    """x with NaN and infinities replaced: by 0, the largest and the smallest number, unless given."""
    x = as_tensor(x)
    kind = dtype_of(x)
    if not dtypes.is_float(kind):
        return x
    largest = largest_number(kind)
    x = p.select(p.equal(x, x), x, like(x, nan))
    x = p.select(p.equal(x, like(x, np.inf)), like(x, largest if posinf is None else posinf), x)
    return p.select(p.equal(x, like(x, -np.inf)), like(x, -largest if neginf is None else neginf), x)


# --- logic and bits --------------------------------------------------------------------------------


def as_bool(x: Any) -> Any:
    return as_tensor(as_tensor(x), "bool")


@op
def logical_and(x1: Any, x2: Any) -> Any:
    """Both; what is not 0 counts as true."""
    return elementwise(p.bitwise_and, as_bool(x1), as_bool(x2))


@op
def logical_or(x1: Any, x2: Any) -> Any:
    """At least one; what is not 0 counts as true."""
    return elementwise(p.bitwise_or, as_bool(x1), as_bool(x2))


@op
def logical_xor(x1: Any, x2: Any) -> Any:
    """Exactly one; what is not 0 counts as true."""
    return elementwise(p.bitwise_xor, as_bool(x1), as_bool(x2))


@op
def logical_not(x: Any) -> Any:
    """Whether x is 0."""
    return p.invert(as_bool(x))


@op
def bitwise_and(x: Any, y: Any) -> Any:
    """The bits that both have."""
    return binary(p.bitwise_and, x, y)


@op
def bitwise_or(x: Any, y: Any) -> Any:
    """The bits that at least one has."""
    return binary(p.bitwise_or, x, y)


@op
def bitwise_xor(x: Any, y: Any) -> Any:
    """The bits that exactly one has."""
    return binary(p.bitwise_xor, x, y)


@op
def bitwise_not(x: Any) -> Any:
    """All bits turned over; on booleans, not."""
    return p.invert(as_tensor(x))


bitwise_invert = alias("bitwise_invert", bitwise_not)


def _shift(primitive: Primitive, x: Any, y: Any) -> Any:
    x, y = (as_number(operand) for operand in promote(x, y))
    if not dtypes.is_integer(dtype_of(x)):
        raise DTypeError(f"Only integers have bits to shift, got {dtype_of(x)}.")
    return elementwise(primitive, x, y)


@op
def bitwise_left_shift(x: Any, y: Any) -> Any:
    """The bits of x moved up by y places."""
    return _shift(p.shift_left, x, y)


@op
def bitwise_right_shift(x: Any, y: Any) -> Any:
    """The bits of x moved down by y places, keeping the sign."""
    return _shift(p.shift_right, x, y)


left_shift = alias("left_shift", bitwise_left_shift)
right_shift = alias("right_shift", bitwise_right_shift)


# --- choice ----------------------------------------------------------------------------------------


@op
def where(condition: Any, x1: Any = None, x2: Any = None) -> Any:
    """x1 where the condition holds, else x2. Without x1 and x2: `nonzero(condition)`."""
    if x1 is None and x2 is None:
        return nonzero(condition)
    if x1 is None or x2 is None:
        raise ArgumentError("where() takes both x1 and x2, or neither.")
    return elementwise(p.select, as_bool(condition), *promote(x1, x2))


@op
def select(condlist: Any, choicelist: Any, default: Any = 0) -> Any:
    """From each place, the first choice whose condition holds there, else `default`."""
    if len(condlist) != len(choicelist) or not len(condlist):
        raise ArgumentError(
            "select() needs as many choices as conditions, and at least one.",
            got=f"{len(condlist)} conditions and {len(choicelist)} choices",
        )
    *choices, result = promote(*choicelist, default)
    for condition, choice in zip(reversed(list(condlist)), reversed(choices)):
        result = elementwise(p.select, as_bool(condition), choice, result)
    return result


@op
def nonzero(x: Any) -> Any:
    """A tuple of index arrays, one per axis, of the elements that are not 0. Eager only."""
    x = as_tensor(x)
    if isinstance(x, Tensor):
        raise ArgumentError(
            "nonzero() of a traced tensor would have a shape that depends on its numbers.",
            fix="use where(condition, x1, x2), or count_nonzero().",
        )
    return tuple(as_tensor(index.astype(np.int32)) for index in np.nonzero(x.numpy()))


@op
def isin(x1: Any, x2: Any, assume_unique: bool = False, invert: bool = False) -> Any:
    """Whether each element of x1 is among the elements of x2."""
    x1, x2 = promote(x1, x2)
    line = p.reshape(x2, shape=(1,) * len(x1.shape) + (x2.size,))
    column = p.reshape(x1, shape=(*x1.shape, 1))
    found = p.reduce_max(elementwise(p.equal, column, line), axes=(len(x1.shape),)) if x2.size else None
    if found is None:
        found = like(as_bool(x1), False)
    return p.invert(found) if invert else found
