"""x ** y of floats: exp(y * log|x|), with so many digits of the logarithm that those of the power are right.

float32 is computed in float64. float64 needs 65 bits of the logarithm (y*log|x| may reach 2**9.5, and its
absolute error is the relative one of the result), so there it is an unevaluated sum of two numbers.
"""

from __future__ import annotations

from lamina.backends.cpu.math_double import Double, add, multiply, quick_two_sum, two_product
from lamina.backends.cpu.math_exp import EXP_LIMITS, exp_of_remainder, power_of_two, reduce, scale
from lamina.backends.cpu.math_log import split_bits
from lamina.backends.cpu.math_tables import ATANH, EXP_SHORT, LN_2, LN_2_PARTS, LOG_SHORT, THIRD_DOUBLE
from lamina.backends.cpu.math_vector import Vector, fma, polynomial

NAN = float("nan")
INFINITY = float("inf")
# A power larger than this gives 0, 1 or infinity, as an infinite one does.
LARGEST_POWER = 2.0**64


def power(x: Vector, y: Vector) -> Vector:
    """x ** y with the special values of C: 1 for y = 0 and for x = 1, NaN for negative x and fractional y.

    Error: 0.55 and 0.95 ulp; float64 without fused multiply-add 1.25.
    """
    size = x.absolute()
    bounded = y.at_most(LARGEST_POWER).at_least(-LARGEST_POWER)
    magnitude = _float32(size, bounded) if x.element == "float" else _float64(size, bounded)
    growing = y > 0.0
    magnitude = size.equals(1.0).where(1.0, magnitude)
    magnitude = size.equals(0.0).where(growing.where(x.full(0.0), INFINITY), magnitude)
    magnitude = size.equals(INFINITY).where(growing.where(x.full(INFINITY), 0.0), magnitude)

    whole = y.floor().equals(y)
    half = y * 0.5
    odd = whole & half.floor().differs(half)
    signed = (x.as_bits() & odd.where(x.full(1 << (x.bits - 1), x.format.integer), 0)) | magnitude.as_bits()
    undefined = (x < 0.0) & (x > -INFINITY) & ~whole
    result = undefined.where(NAN, signed.as_float())
    result = x.compare("uno", y).where(x + y, result)
    return (x.equals(1.0) | y.equals(0.0)).where(1.0, result)


def _float32(x: Vector, y: Vector) -> Vector:
    """x ** y for x > 0, rounded once at the end; float32 denormals are normal numbers here."""
    wide, power = x.convert("fpext", "double"), y.convert("fpext", "double")
    mantissa, exponent = split_bits(wide)
    f = mantissa.as_float() - 1.0
    square = f * f
    tail = fma(f * square, polynomial(f, LOG_SHORT["float64"]), fma(square, -0.5, f))
    logarithm = fma(exponent.convert("trunc", "i32").convert("sitofp", "double"), LN_2, tail)
    low, high = EXP_LIMITS["float32"]
    _, r, shifted = reduce((power * logarithm).at_most(high).at_least(low), wide.format.bias, exact=False)
    p = fma(fma(polynomial(r, EXP_SHORT["float64"]), r, 1.0), r, 1.0)
    return (p * power_of_two(shifted)).convert("fptrunc", "float")


def _float64(x: Vector, y: Vector) -> Vector:
    """x ** y for x > 0."""
    logarithm = _logarithm(x)
    product, error = two_product(y, logarithm.high)
    low, high = EXP_LIMITS["float64"]
    # Where the product is cut off, the result is 0 or infinity whatever the error, which may be large there.
    error = (product.absolute() < 2 * high).where(fma(y, logarithm.low, error), 0.0)
    k, r, shifted = reduce(product.at_most(high).at_least(low), 2 * x.format.bias)
    return scale(exp_of_remainder(r + error), k, shifted)


def _logarithm(x: Vector) -> Double:
    """log(x) to about 68 bits, for x > 0: e*ln(2) + 2*arctanh(s) with s = f / (2 + f)."""
    form = x.format
    denormal = x < form.smallest_normal
    mantissa, exponent = split_bits(denormal.where(x * 2.0**form.mantissa, x))
    exponent = denormal.where(exponent - form.mantissa, exponent)
    e = exponent.convert("trunc", "i32").convert("sitofp", form.element)
    f = mantissa.as_float() - 1.0

    divisor, divisor_low = quick_two_sum(x.full(2.0), f)
    s_high = f / divisor
    product, error = two_product(s_high, divisor)
    s_low = ((f - product) - error - s_high * divisor_low) / divisor
    s = Double(s_high, s_low)
    square = multiply(s, s)
    cube = multiply(s, square)
    third = multiply(cube, Double(x.full(THIRD_DOUBLE[0]), x.full(THIRD_DOUBLE[1])))
    tail = cube.high * square.high * polynomial(square.high, ATANH["float64"])
    half = add(s, Double(third.high, third.low + tail))
    high, low = LN_2_PARTS["float64"]
    return add(Double(e * high, e * low), Double(half.high * 2.0, half.low * 2.0))
