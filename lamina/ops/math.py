"""Elementwise mathematics of one operand. Integers and booleans become floats where a float is due."""

from __future__ import annotations

import builtins
import math
from typing import Any

from lamina.core import dtypes
from lamina.ir import primitives as p
from lamina.ops.convert import as_float, as_number, as_tensor, dtype_of, like
from lamina.ops.registry import alias, op

# --- sign and size ---------------------------------------------------------------------------------


@op
def negative(x: Any) -> Any:
    """-x."""
    return p.negative(as_tensor(x))


@op
def absolute(x: Any) -> Any:
    """|x|."""
    x = as_tensor(x)
    return x if dtype_of(x) == "bool" else p.absolute(x)


abs = alias("abs", absolute)


@op
def fabs(x: Any) -> Any:
    """|x| as a float."""
    return p.absolute(as_float(x))


@op
def sign(x: Any) -> Any:
    """-1, 0 or 1; NaN where x is NaN."""
    return p.sign(as_number(x))


@op
def signbit(x: Any) -> Any:
    """Whether the sign of x is minus; also true of -0.0."""
    x = as_tensor(x)
    kind = dtype_of(x)
    if not dtypes.is_float(kind):
        return p.less(as_number(x), like(as_number(x), 0))
    # 1 / -0.0 is minus infinity, which tells it from 0.0.
    zero = like(x, 0)
    is_negative_zero = p.bitwise_and(p.equal(x, zero), p.less(p.divide(like(x, 1), x), zero))
    return p.bitwise_or(p.less(x, zero), is_negative_zero)


@op
def square(x: Any) -> Any:
    """x * x."""
    x = as_number(x)
    return p.multiply(x, x)


@op
def reciprocal(x: Any) -> Any:
    """1 / x."""
    x = as_float(x)
    return p.divide(like(x, 1), x)


# --- rounding --------------------------------------------------------------------------------------


@op
def floor(x: Any) -> Any:
    """The largest whole number that is not above x."""
    return p.floor(as_float(x))


@op
def ceil(x: Any) -> Any:
    """The smallest whole number that is not below x."""
    return p.ceil(as_float(x))


@op
def trunc(x: Any) -> Any:
    """x without its fraction."""
    x = as_tensor(x)
    if not dtypes.is_float(dtype_of(x)):
        return x
    return p.select(p.less(x, like(x, 0)), p.ceil(x), p.floor(x))


@op
def round(x: Any, decimals: int = 0) -> Any:
    """x to so many decimal places; halves go to the even neighbour."""
    x = as_tensor(x)
    kind = dtype_of(x)
    if not dtypes.is_float(kind):
        if decimals >= 0:
            return x
        return p.cast(_round_float(as_float(x), decimals), dtype=kind)
    return _round_float(x, decimals)


def _round_float(x: Any, decimals: int) -> Any:
    if decimals == 0:
        return p.round_even(x)
    factor = like(x, 10.0 ** builtins.abs(decimals))
    if decimals > 0:
        return p.divide(p.round_even(p.multiply(x, factor)), factor)
    return p.multiply(p.round_even(p.divide(x, factor)), factor)


# --- powers and logarithms -------------------------------------------------------------------------


@op
def exp(x: Any) -> Any:
    """e to the power x."""
    return p.exp(as_float(x))


@op
def exp2(x: Any) -> Any:
    """2 to the power x."""
    x = as_float(x)
    return p.power(like(x, 2), x)


@op
def expm1(x: Any) -> Any:
    """exp(x) - 1, exact near 0."""
    return p.expm1(as_float(x))


@op
def log(x: Any) -> Any:
    """The natural logarithm."""
    return p.log(as_float(x))


@op
def log1p(x: Any) -> Any:
    """log(1 + x), exact near 0."""
    return p.log1p(as_float(x))


def _log_to_base(x: Any, base: float) -> Any:
    x = as_float(x)
    return p.divide(p.log(x), like(x, math.log(base)))


@op
def log2(x: Any) -> Any:
    """The logarithm to base 2."""
    return _log_to_base(x, 2)


@op
def log10(x: Any) -> Any:
    """The logarithm to base 10."""
    return _log_to_base(x, 10)


@op
def sqrt(x: Any) -> Any:
    """The square root."""
    return p.sqrt(as_float(x))


@op
def rsqrt(x: Any) -> Any:
    """1 / sqrt(x)."""
    return p.rsqrt(as_float(x))


@op
def cbrt(x: Any) -> Any:
    """The cube root, of negative numbers too."""
    x = as_float(x)
    # |x|^(1/3), then one step of Newton's method, which mends the rounding of 1/3.
    size = p.absolute(x)
    root = p.power(size, like(x, 1 / 3))
    correction = p.divide(p.subtract(root, p.divide(size, p.multiply(root, root))), like(x, 3))
    is_plain = p.bitwise_and(p.is_finite(x), p.greater(size, like(x, 0)))
    return p.multiply(p.sign(x), p.select(is_plain, p.subtract(root, correction), root))


# --- trigonometry ----------------------------------------------------------------------------------


@op
def sin(x: Any) -> Any:
    """The sine of x radians."""
    return p.sin(as_float(x))


@op
def cos(x: Any) -> Any:
    """The cosine of x radians."""
    return p.cos(as_float(x))


@op
def tan(x: Any) -> Any:
    """The tangent of x radians."""
    return p.tan(as_float(x))


@op
def arcsin(x: Any) -> Any:
    """The angle, from -pi/2 to pi/2, whose sine is x."""
    return p.arcsin(as_float(x))


@op
def arccos(x: Any) -> Any:
    """The angle, from 0 to pi, whose cosine is x."""
    return p.arccos(as_float(x))


@op
def arctan(x: Any) -> Any:
    """The angle, from -pi/2 to pi/2, whose tangent is x."""
    return p.arctan(as_float(x))


@op
def sinh(x: Any) -> Any:
    """The hyperbolic sine."""
    return p.sinh(as_float(x))


@op
def cosh(x: Any) -> Any:
    """The hyperbolic cosine."""
    return p.cosh(as_float(x))


@op
def tanh(x: Any) -> Any:
    """The hyperbolic tangent."""
    return p.tanh(as_float(x))


@op
def arcsinh(x: Any) -> Any:
    """The inverse of the hyperbolic sine."""
    return p.arcsinh(as_float(x))


@op
def arccosh(x: Any) -> Any:
    """The inverse of the hyperbolic cosine; NaN below 1."""
    return p.arccosh(as_float(x))


@op
def arctanh(x: Any) -> Any:
    """The inverse of the hyperbolic tangent; NaN outside -1 to 1."""
    return p.arctanh(as_float(x))


@op
def sinc(x: Any) -> Any:
    """sin(pi x) / (pi x), and 1 at 0."""
    x = as_float(x)
    angle = p.multiply(x, like(x, math.pi))
    is_zero = p.equal(x, like(x, 0))
    safe = p.select(is_zero, like(x, 1), angle)
    return p.select(is_zero, like(x, 1), p.divide(p.sin(safe), safe))


@op
def deg2rad(x: Any) -> Any:
    """Degrees to radians."""
    x = as_float(x)
    return p.multiply(x, like(x, math.pi / 180))


@op
def rad2deg(x: Any) -> Any:
    """Radians to degrees."""
    x = as_float(x)
    return p.multiply(x, like(x, 180 / math.pi))


# --- the real line as part of the complex plane ----------------------------------------------------


@op
def real(x: Any) -> Any:
    """x: Lamina has no complex numbers."""
    return as_tensor(x)


@op
def imag(x: Any) -> Any:
    """0 everywhere: Lamina has no complex numbers."""
    x = as_tensor(x)
    return like(x, 0)


@op
def conjugate(x: Any) -> Any:
    """x: Lamina has no complex numbers."""
    return as_tensor(x)


conj = alias("conj", conjugate)


@op
def angle(x: Any) -> Any:
    """The angle of x in the complex plane: 0, or pi where x is negative."""
    x = as_float(x)
    return p.arctan2(like(x, 0), x)
