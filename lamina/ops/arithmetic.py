"""Elementwise arithmetic of two operands: promotion, broadcasting, then one primitive."""

from __future__ import annotations

import math
from typing import Any

from lamina.core import dtypes
from lamina.core.errors import DTypeError
from lamina.ir import primitives as p
from lamina.ir.primitives import Primitive
from lamina.ops.convert import (
    as_float,
    as_number,
    as_tensor,
    binary,
    dtype_of,
    elementwise,
    like,
    pair,
    promote,
)
from lamina.ops.registry import alias, op


def _logical_on_booleans(primitive: Primitive, logical: Primitive, x1: Any, x2: Any) -> Any:
    x1, x2 = pair(x1, x2)
    return (logical if dtype_of(x1) == "bool" else primitive)(x1, x2)


def _on_numbers(primitive: Primitive, x1: Any, x2: Any) -> Any:
    """Like `binary`, with booleans counted as int32."""
    x1, x2 = pair(x1, x2)
    return primitive(as_number(x1), as_number(x2))


@op
def add(x1: Any, x2: Any) -> Any:
    """x1 + x2; on booleans, or."""
    return _logical_on_booleans(p.add, p.bitwise_or, x1, x2)


@op
def subtract(x1: Any, x2: Any) -> Any:
    """x1 - x2."""
    return binary(p.subtract, x1, x2)


@op
def multiply(x1: Any, x2: Any) -> Any:
    """x1 * x2; on booleans, and."""
    return _logical_on_booleans(p.multiply, p.bitwise_and, x1, x2)


@op
def divide(x1: Any, x2: Any) -> Any:
    """x1 / x2, always a float."""
    return binary(p.divide, x1, x2, also=(float,))


true_divide = alias("true_divide", divide)


@op
def divide_no_nan(x1: Any, x2: Any) -> Any:
    """x1 / x2, and 0 where x2 is 0."""
    x1, x2 = promote(x1, x2, also=(float,))
    is_zero = p.equal(x2, like(x2, 0))
    quotient = elementwise(p.divide, x1, p.select(is_zero, like(x2, 1), x2))
    return elementwise(p.select, is_zero, like(quotient, 0), quotient)


@op
def floor_divide(x1: Any, x2: Any) -> Any:
    """x1 / x2 rounded down; integers divided by 0 give 0."""
    return _on_numbers(p.floor_divide, x1, x2)


@op
def mod(x1: Any, x2: Any) -> Any:
    """What is left after `floor_divide`: it has the sign of x2; integers modulo 0 give 0."""
    return _on_numbers(p.remainder, x1, x2)


@op
def fmod(x1: Any, x2: Any) -> Any:
    """What is left after division rounded towards zero: it has the sign of x1."""
    x1, x2 = promote(x1, x2)
    x1, x2 = as_number(x1), as_number(x2)
    if dtypes.is_unsigned(dtype_of(x1)):
        return elementwise(p.remainder, x1, x2)
    rest = elementwise(p.remainder, p.absolute(x1), p.absolute(x2))
    return elementwise(p.select, p.less(x1, like(x1, 0)), p.negative(rest), rest)


@op
def power(x1: Any, x2: Any) -> Any:
    """x1 ** x2. Integers stay integers; their negative powers are 0 unless x1 is 1 or -1."""
    if isinstance(x2, (int, float)) and x2 == 2:
        base, _ = promote(x1, x2)
        return p.multiply(base, base)
    return _on_numbers(p.power, x1, x2)


@op
def maximum(x1: Any, x2: Any) -> Any:
    """The larger of the two; NaN if either is."""
    return binary(p.maximum, x1, x2)


@op
def minimum(x1: Any, x2: Any) -> Any:
    """The smaller of the two; NaN if either is."""
    return binary(p.minimum, x1, x2)


def _ignoring_nan(primitive: Primitive, x1: Any, x2: Any) -> Any:
    x1, x2 = promote(x1, x2)
    best = elementwise(primitive, x1, x2)
    if not dtypes.is_float(dtype_of(best)):
        return best
    best = elementwise(p.select, p.not_equal(x1, x1), x2, best)
    return elementwise(p.select, p.not_equal(x2, x2), x1, best)


@op
def fmax(x1: Any, x2: Any) -> Any:
    """The larger of the two; where one is NaN, the other."""
    return _ignoring_nan(p.maximum, x1, x2)


@op
def fmin(x1: Any, x2: Any) -> Any:
    """The smaller of the two; where one is NaN, the other."""
    return _ignoring_nan(p.minimum, x1, x2)


@op
def clip(x: Any, x_min: Any, x_max: Any) -> Any:
    """x brought between x_min and x_max; None leaves that side open."""
    x = as_number(x)
    if x_min is not None:
        x = binary(p.maximum, x, x_min)
    return x if x_max is None else binary(p.minimum, x, x_max)


@op
def arctan2(x1: Any, x2: Any) -> Any:
    """The angle, from -pi to pi, of the point with ordinate x1 and abscissa x2."""
    return binary(p.arctan2, x1, x2, also=(float,))


@op
def hypot(x1: Any, x2: Any) -> Any:
    """sqrt(x1^2 + x2^2), without overflow on the way."""
    x1, x2 = promote(x1, x2, also=(float,))
    x1, x2 = p.absolute(x1), p.absolute(x2)
    large, small = elementwise(p.maximum, x1, x2), elementwise(p.minimum, x1, x2)
    plain = p.bitwise_and(p.is_finite(large), p.greater(large, like(large, 0)))
    ratio = p.divide(small, p.select(plain, large, like(large, 1)))
    root = p.multiply(large, p.sqrt(p.add(p.multiply(ratio, ratio), like(ratio, 1))))
    return p.select(plain, root, large)


@op
def logaddexp(x1: Any, x2: Any) -> Any:
    """log(exp(x1) + exp(x2)), without overflow on the way."""
    x1, x2 = promote(x1, x2, also=(float,))
    gap = elementwise(p.subtract, x1, x2)
    tail = p.log1p(p.exp(p.select(p.greater(gap, like(gap, 0)), p.negative(gap), gap)))
    # Equal infinities have no gap.
    is_plain = p.equal(gap, gap)
    return p.select(is_plain, p.add(elementwise(p.maximum, x1, x2), tail), elementwise(p.add, x1, x2))


@op
def logaddexp2(x1: Any, x2: Any) -> Any:
    """log2(2^x1 + 2^x2), without overflow on the way."""
    x1, x2 = promote(x1, x2, also=(float,))
    scale = math.log(2)
    natural = logaddexp(p.multiply(x1, like(x1, scale)), p.multiply(x2, like(x2, scale)))
    return p.divide(natural, like(natural, scale))


@op
def heaviside(x1: Any, x2: Any) -> Any:
    """0 where x1 < 0, 1 where x1 > 0, and x2 where x1 is 0."""
    x1, x2 = promote(x1, x2, also=(float,))
    step = p.select(p.greater(x1, like(x1, 0)), like(x1, 1), like(x1, 0))
    step = p.select(p.equal(x1, x1), step, x1)
    return elementwise(p.select, p.equal(x1, like(x1, 0)), x2, step)


@op
def ldexp(x1: Any, x2: Any) -> Any:
    """x1 * 2^x2, for whole x2."""
    x1, x2 = as_float(x1), as_tensor(x2)
    if not dtypes.is_integer(dtype_of(x2)):
        raise DTypeError(f"ldexp needs an exponent of integers, got {dtype_of(x2)}.")
    exponent = as_tensor(x2, dtype_of(x1))
    # Half of the exponent at a time, so that 2^x2 alone may overflow.
    half = p.floor(p.multiply(exponent, like(exponent, 0.5)))
    rest = p.subtract(exponent, half)
    once = elementwise(p.multiply, x1, p.power(like(half, 2), half))
    return elementwise(p.multiply, once, p.power(like(rest, 2), rest))
