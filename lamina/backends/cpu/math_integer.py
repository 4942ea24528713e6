"""Arithmetic of integers that must neither trap nor depend on the processor: division, powers, shifts, signs.

Everything wraps around. `unsigned` says how the patterns are read.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from lamina.backends.cpu.math_vector import Vector, repeat_while


class Division(NamedTuple):
    """x = quotient*y + rest, the quotient rounded down; (0, 0) where y is 0."""

    quotient: Vector
    rest: Vector


def divide(x: Vector, y: Vector, unsigned: bool) -> Division:
    zero = y.equals(0)
    # Dividing by 1 instead gives the rest 0, and for the smallest number by -1 the quotient, wrapped around.
    harmless = zero
    if not unsigned:
        harmless = zero | (y.equals(-1) & x.equals(-(1 << (x.bits - 1))))
    divisor = harmless.where(1, y)
    quotient = _divide_floats(x, divisor, unsigned) if x.bits <= 32 else _divide_longs(x, divisor, unsigned)
    return Division(zero.where(0, quotient), x - quotient * divisor)


def _divide_floats(x: Vector, y: Vector, unsigned: bool) -> Vector:
    """floor(x / y) by float division, which has so many more digits that it cannot round past an integer."""
    to_float, to_integer = ("uitofp", "fptoui") if unsigned else ("sitofp", "fptosi")
    element = "float" if x.bits <= 16 else "double"
    exact = x.convert(to_float, element) / y.convert(to_float, element)
    return exact.floor().convert(to_integer, x.element)


def _divide_longs(x: Vector, y: Vector, unsigned: bool) -> Vector:
    """No processor divides vectors of 64 bits: LLVM makes one scalar division per lane of this."""
    if unsigned:
        return x.operate("", "udiv", y)
    quotient = x.operate("", "sdiv", y)
    rest = x - quotient * y
    past = rest.differs(0) & ((rest ^ y) < 0)
    return past.where(quotient - 1, quotient)


def power(x: Vector, y: Vector, unsigned: bool) -> Vector:
    """x ** y; a negative power is 1 / x**-y truncated: 0 unless x is 1 or -1."""

    def active(state: Sequence[Vector]) -> Vector:
        return state[2].differs(0)

    def step(state: Sequence[Vector]) -> Sequence[Vector]:
        result, square, rest = state
        return (rest & 1).differs(0).where(result * square, result), square * square, rest.unsigned_shift(1)

    if unsigned:
        return repeat_while(active, step, (x.full(1), x, y))[0]
    negative = y < 0
    # The square of 1 and of -1 is 1, so their negative powers are their positive ones.
    unit = x.equals(1) | x.equals(-1)
    exponent = (negative & ~unit).where(0, y & (negative.where(x.full(1), -1)))
    result = repeat_while(active, step, (x.full(1), x, exponent))[0]
    return (negative & ~unit).where(0, result)


def shift_left(x: Vector, count: Vector) -> Vector:
    """Counts outside [0, width) give 0."""
    inside = count.compare("ult", x.bits)
    return inside.where(x << inside.where(count, 0), 0)


def shift_right(x: Vector, count: Vector, unsigned: bool) -> Vector:
    """Counts outside [0, width) give 0, or -1 for negative numbers."""
    inside = count.compare("ult", x.bits)
    if unsigned:
        return inside.where(x.unsigned_shift(inside.where(count, 0)), 0)
    return x >> inside.where(count, x.bits - 1)


def absolute(x: Vector, unsigned: bool) -> Vector:
    return x if unsigned else (x < 0).where(-x, x)


def sign(x: Vector, unsigned: bool) -> Vector:
    """-1, 0 or 1."""
    positive = x.differs(0).where(x.full(1), 0)
    return positive if unsigned else (x < 0).where(-1, positive)
