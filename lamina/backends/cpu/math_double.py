"""Arithmetic on unevaluated sums of two floats, with twice the digits: what powers and large angles need.

Source: T. Dekker, "A floating-point technique for extending the available precision" (1971); D. Knuth, "The
Art of Computer Programming", volume 2.
"""

from __future__ import annotations

from typing import NamedTuple

from lamina.backends.cpu.math_vector import Operand, Vector, fma


class Double(NamedTuple):
    """high + low, where low is at most half a unit in the last place of high."""

    high: Vector
    low: Vector


def two_sum(x: Vector, y: Vector) -> Double:
    """x + y exactly."""
    total = x + y
    virtual = total - x
    return Double(total, (x - (total - virtual)) + (y - virtual))


def quick_two_sum(x: Vector, y: Vector) -> Double:
    """x + y exactly, where |x| >= |y| or x is zero."""
    total = x + y
    return Double(total, y - (total - x))


def _halves(x: Vector) -> tuple[Vector, Vector]:
    """x as a sum of two floats with half the digits each (the second one signed)."""
    cut = (x.format.mantissa + 2) // 2
    high = ((x.as_bits() + (1 << (cut - 1))) & (-1 << cut)).as_float()
    return high, x - high


def two_product(x: Vector, y: Operand) -> Double:
    """x * y exactly, as far as nothing over- or underflows."""
    other = x.like(y)
    product = x * other
    if x.target.fma:
        return Double(product, fma(x, other, -product))
    (a, b), (c, d) = _halves(x), _halves(other)
    return Double(product, ((a * c - product) + a * d + b * c) + b * d)


def add(x: Double, y: Double) -> Double:
    """The sum, for |x| >= |y|."""
    total, error = quick_two_sum(x.high, y.high)
    return quick_two_sum(total, error + x.low + y.low)


def multiply(x: Double, y: Double) -> Double:
    product, error = two_product(x.high, y.high)
    return quick_two_sum(product, error + fma(x.high, y.low, x.low * y.high))
