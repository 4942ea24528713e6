"""exp and what is made of it: expm1, sigmoid, sinh, cosh, tanh, erf.

All share one reduction: x = k*ln(2) + r with |r| <= ln(2)/2, so that exp(x) = 2**k * exp(r). Adding
1.5 * 2**mantissa rounds k and leaves it in the low bits, ready to become an exponent. Source: W. Cody and
W. Waite, "Software Manual for the Elementary Functions" (1980).

"Error" is the largest one measured, in units in the last place (ulp), for float32 and float64.
"""

from __future__ import annotations

from typing import NamedTuple

from lamina.backends.cpu.math_tables import ERF, EXP, LN_2, LN_2_PARTS, LOG2_E
from lamina.backends.cpu.math_vector import Vector, fma, polynomial, x86_wide

# Beyond these exp is infinite or rounds to zero.
EXP_LIMITS = {"float32": (-104.0, 89.0), "float64": (-746.0, 710.0)}
# The same for cosh and sinh, which reach ln(2) further.
HYPERBOLIC_LIMIT = {"float32": 89.5, "float64": 710.5}
# Below the first expm1 rounds to -1; from the second on tanh, and from the third on erf, round to 1.
EXPM1_LOWEST = {"float32": -18.0, "float64": -40.0}
TANH_LIMIT = {"float32": 9.1, "float64": 19.2}
ERF_LIMIT = {"float32": 3.93, "float64": 5.95}
# Smaller numbers are their own expm1, sinh.
TINY = {"float32": 2.0**-26, "float64": 2.0**-55}


class Reduced(NamedTuple):
    """x = k*ln(2) + r. `shifted` has k + bias in the low bits of its pattern."""

    k: Vector
    r: Vector
    shifted: Vector


def reduce(x: Vector, bias: int, exact: bool = True) -> Reduced:
    """Split `x`, which must be so small that k + bias fits the exponent of a float.

    With `exact` false ln(2) is one number: enough where 2**k makes the error small.
    """
    form = x.format
    shifted = fma(x, LOG2_E, form.magic + bias)
    k = shifted - (form.magic + bias)
    if not exact:
        return Reduced(k, fma(k, -LN_2, x), shifted)
    high, low = LN_2_PARTS[form.dtype]
    return Reduced(k, fma(k, -low, fma(k, -high, x)), shifted)


def power_of_two(shifted: Vector) -> Vector:
    """2**k as a float, where the low bits of `shifted` hold k + bias and 2**k is normal."""
    return (shifted.as_bits() << shifted.format.mantissa).as_float()


def scale(p: Vector, k: Vector, shifted: Vector) -> Vector:
    """p * 2**k, rounded once, also where the result is denormal or infinite; `shifted` has bias 2 * bias."""
    wide = x86_wide(p, "scalef", operands=(p, k))
    if wide is not None:
        return wide
    bits = shifted.as_bits()
    half = bits.unsigned_shift(1)
    mantissa = p.format.mantissa
    return p * (half << mantissa).as_float() * ((bits - half) << mantissa).as_float()


def exp_of_remainder(r: Vector) -> Vector:
    """exp(r) for |r| <= ln(2)/2."""
    return fma(fma(polynomial(r, EXP[r.format.dtype]), r, 1.0), r, 1.0)


def expm1_of_remainder(r: Vector) -> Vector:
    """expm1(r) for |r| <= ln(2)/2, accurate near zero."""
    return fma(r * r, polynomial(r, EXP[r.format.dtype]), r)


def exp(x: Vector) -> Vector:
    """2**k * exp(r). Error: 0.91 and 0.92 ulp; 1.2 without fused multiply-add."""
    low, high = EXP_LIMITS[x.format.dtype]
    return exp_within(x.at_most(high).at_least(low))


def exp_within(x: Vector) -> Vector:
    """exp(x) for x within EXP_LIMITS."""
    k, r, shifted = reduce(x, 2 * x.format.bias)
    return scale(exp_of_remainder(r), k, shifted)


def expm1(x: Vector) -> Vector:
    """2**k * expm1(r) + (2**k - 1), at half size lest it overflow too early. Error: 1.6 and 2.2 ulp."""
    dtype = x.format.dtype
    clamped = x.at_most(EXP_LIMITS[dtype][1]).at_least(EXPM1_LOWEST[dtype])
    _, r, shifted = reduce(clamped, x.format.bias - 1)
    half = power_of_two(shifted)
    result = fma(half, expm1_of_remainder(r), half - 0.5)
    return (x.absolute() < TINY[dtype]).where(x, result + result)


def minus_expm1(x: Vector) -> Vector:
    """1 - exp(x) for EXPM1_LOWEST <= x <= 0."""
    _, r, shifted = reduce(x, x.format.bias, exact=False)
    size = power_of_two(shifted)
    return fma(-size, expm1_of_remainder(r), 1.0 - size)


def sigmoid(x: Vector) -> Vector:
    """e / (1 + e) or 1 / (1 + e) with e = exp(-|x|): nothing overflows. Error: 2.4 and 2.3 ulp."""
    e = exp_within(x.minus_absolute().at_least(EXP_LIMITS[x.format.dtype][0]))
    return (x < 0.0).where(e, 1.0) / (e + 1.0)


def tanh(x: Vector) -> Vector:
    """tanh|x| = t / (2 - t) with t = 1 - exp(-2|x|). Error: 2.5 ulp."""
    size = x.minus_absolute().at_least(-TANH_LIMIT[x.format.dtype])
    t = minus_expm1(size + size)
    return (t / (2.0 - t)).with_sign_of(x)


def _reduced_size(x: Vector) -> tuple[Vector, Vector]:
    """For |x| = k*ln(2) + r: (r, 2**k / 4)."""
    size = x.absolute().at_most(HYPERBOLIC_LIMIT[x.format.dtype])
    _, r, shifted = reduce(size, x.format.bias - 2)
    return r, power_of_two(shifted)


def sinh(x: Vector) -> Vector:
    """sinh|x| = (t + t/(t+1)) / 2 with t = expm1|x|, here in terms of t/4. Error: 2.3 and 2.4 ulp."""
    r, quarter = _reduced_size(x)
    t = fma(quarter, expm1_of_remainder(r), quarter - 0.25)
    half = t + t / fma(t, 4.0, 1.0)
    return (x.absolute() < TINY[x.format.dtype]).where(x, (half + half).with_sign_of(x))


def cosh(x: Vector) -> Vector:
    """cosh|x| = (e + 1/e) / 2 with e = exp|x|, here in terms of e/4. Error: 1.6 ulp."""
    r, quarter = _reduced_size(x)
    e = quarter * exp_of_remainder(r)
    half = e + 0.0625 / e
    return half + half


def erf(x: Vector) -> Vector:
    """erf|x| = 1 - exp(-|x| * P(|x|)), with P a polynomial. Error: 3.1 and 2.1 ulp."""
    dtype = x.format.dtype
    size = x.absolute().at_most(ERF_LIMIT[dtype])
    return minus_expm1(-(size * polynomial(size, ERF[dtype]))).with_sign_of(x)
