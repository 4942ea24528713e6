"""Remainder and floored quotient of floats, exact for every pair of numbers.

x - n*y is exact when n is the rounded quotient, so the remainder is found by subtracting multiples of y
(scaled by powers of two while the quotient is large) until it is smaller than y. One round does for quotients
up to 2**11 in float32, 2**40 in float64.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from lamina.backends.cpu.math_vector import Vector, fma, repeat_while

NAN = float("nan")
INFINITY = float("inf")
# Quotients below 2**STEP are found in one round.
STEP = {"float32": 11, "float64": 40}


class Rest(NamedTuple):
    """|x| = n*|y| + rest or, where `below`, n*|y| - rest; 0 <= rest < |y|."""

    rest: Vector
    below: Vector


def _rest(x: Vector, y: Vector) -> Rest:
    """The rest of positive numbers; whatever it likes for infinite x, y = 0 and NaN."""

    def active(state: Sequence[Vector]) -> Vector:
        rest = state[0]
        return (rest >= y) & (rest < INFINITY) & (y > 0.0)

    def step(state: Sequence[Vector]) -> Sequence[Vector]:
        rest, below = state
        following = _subtract_multiple(rest, _scaled_towards(y, rest))
        return following.absolute(), below ^ (following < 0.0)

    rest, below = repeat_while(active, step, (x, x.full(False, "i1")))
    return Rest(rest, below)


def _scaled_towards(y: Vector, x: Vector) -> Vector:
    """y times the power of two that makes x / y about 2**STEP, or y itself where it is smaller already."""
    form = y.format
    gap = (x.as_bits().unsigned_shift(form.mantissa)) - (y.as_bits().unsigned_shift(form.mantissa))
    gap = gap - STEP[form.dtype]
    gap = (gap > 0).where(gap, 0)
    # In two factors: the gap may be twice as wide as the exponents of normal numbers reach.
    half = gap.unsigned_shift(1)
    factors = [((part + form.bias) << form.mantissa).as_float() for part in (half, gap - half)]
    return y * factors[0] * factors[1]


def _subtract_multiple(x: Vector, y: Vector) -> Vector:
    """x - n*y, exactly, with n near x / y."""
    quotient = x / y
    if x.target.fma:
        return fma(-quotient.rint(), y, x)
    # Without a fused multiply-add, n and both halves of y are so short that the products are exact. Nothing
    # is rounded up on the way, so that they cannot overflow either.
    n = _cut(quotient).trunc()
    high = _cut(y)
    return (x - n * high) - n * (y - high)


def _cut(x: Vector) -> Vector:
    """The first half of the digits."""
    return (x.as_bits() & (-1 << ((x.format.mantissa + 2) // 2))).as_float()


def remainder(x: Vector, y: Vector) -> Vector:
    """x - floor(x/y)*y, with the sign of y, as Python's `%`; NaN for y = 0 and infinite x."""
    size, divisor = x.absolute(), y.absolute()
    rest, below = _rest(size, divisor)
    differ = (x.as_bits() ^ y.as_bits()) < 0
    complement = (below ^ differ) & rest.differs(0.0)
    result = complement.where(divisor - rest, rest).with_sign_of(y)
    return _defined(size, divisor).where(result, NAN)


def floor_divide(x: Vector, y: Vector) -> Vector:
    """floor(x / y) of the exact quotient; x / y for y = 0, NaN for infinite x."""
    size, divisor = x.absolute(), y.absolute()
    rest, below = _rest(size, divisor)
    truncated = (below & rest.differs(0.0)).where(divisor - rest, rest)
    differ = (x.as_bits() ^ y.as_bits()) < 0
    quotient = (size - truncated) / divisor
    quotient = differ.where(-quotient, quotient)
    quotient = (differ & truncated.differs(0.0)).where(quotient - 1.0, quotient)
    # A whole number but for its rounding; as NumPy has it, the half counts downwards.
    result = quotient.floor()
    result = (quotient - result > 0.5).where(result + 1.0, result)
    result = _defined(size, divisor).where(result, NAN)
    return divisor.equals(0.0).where(x / y, result)


def _defined(size: Vector, divisor: Vector) -> Vector:
    """Neither is NaN, x is finite and y is not 0."""
    return (size < INFINITY) & (divisor > 0.0)
