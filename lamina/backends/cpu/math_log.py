"""log and what is made of it: log1p, arcsinh, arccosh, arctanh.

All share one core: u = m * 2**e with 3/4 <= m < 3/2, so that log(u) = e*ln(2) + log1p(m - 1), where m - 1 is
exact. "Error" is the largest one measured, in units in the last place (ulp), for float32 and float64.
"""

from __future__ import annotations

from lamina.backends.cpu.math_tables import LN_2, LN_2_PARTS, LOG
from lamina.backends.cpu.math_vector import Vector, fma, polynomial, x86_wide

NAN = float("nan")
INFINITY = float("inf")

# From here on x + sqrt(x**2 + 1) and x + sqrt(x**2 - 1) round to 2x.
HUGE = {"float32": 2.0**30, "float64": 2.0**60}
# Smaller numbers are their own log1p, and twice their arctanh is that of their double.
TINY = {"float32": 2.0**-25, "float64": 2.0**-54}


def log_of_parts(f: Vector, e: Vector) -> Vector:
    """e*ln(2) + log1p(f) for -1/4 <= f < 1/2, small parts first."""
    high, low = LN_2_PARTS[f.format.dtype]
    square = f * f
    tail = fma(f * square, polynomial(f, LOG[f.format.dtype]), e * low)
    return fma(e, high, fma(square, -0.5, tail) + f)


def split_bits(u: Vector) -> tuple[Vector, Vector]:
    """(pattern of m, e as an integer) of a positive normal number."""
    form = u.format
    three_quarters = form.one_bits - (1 << (form.mantissa - 1))
    distance = u.as_bits() - three_quarters
    mantissa = (distance & ((1 << form.mantissa) - 1)) + three_quarters
    return mantissa, distance >> form.mantissa


def log(x: Vector) -> Vector:
    """e*ln(2) + log1p(m - 1). Error: 0.89 and 0.83 ulp."""
    wide = _log_wide(x)
    if wide is not None:
        return wide
    form = x.format
    denormal = x < form.smallest_normal
    normal = denormal.where(x * 2.0**form.mantissa, x)
    mantissa, exponent = split_bits(normal)
    e = exponent.convert("sitofp", form.element)
    e = denormal.where(e - float(form.mantissa), e)
    return _with_special_values(x, log_of_parts(mantissa.as_float() - 1.0, e))


def _log_wide(x: Vector) -> Vector | None:
    """The same with AVX-512's own instructions, which know zero, denormals, infinity and negative numbers."""
    # 11: mantissa between 3/4 and 3/2, NaN for negative numbers.
    m = x86_wide(x, "getmant", "i32 11", operands=(x,))
    exponent = x86_wide(x, "getexp", operands=(x,))
    if m is None or exponent is None:
        return None
    return log_of_parts(m - 1.0, (m < 1.0).where(exponent + 1.0, exponent))


def _with_special_values(x: Vector, result: Vector, lowest: float = 0.0) -> Vector:
    """The logarithm at the ends of its domain: -inf at `lowest`, NaN below, inf at inf."""
    edge = x.equals(lowest).where(x.full(-INFINITY), NAN)
    inside = (x > lowest).where(result, edge)
    return x.equals(INFINITY).where(x, inside)


def _log1p_inside(x: Vector) -> Vector:
    """log(1 + x) for finite x > -1. The exponent of 1 + x is taken off x and 1 apart: no digit is lost."""
    form = x.format
    _, exponent = split_bits(x + 1.0)
    shift = exponent << form.mantissa
    # 2**-e is not needed where it rounds away against 1, and would leave the exponent's range for large e.
    limited = (exponent > 2 * form.mantissa).where(2 * form.mantissa, exponent) << form.mantissa
    one = (x.full(form.one_bits, form.integer) - limited).as_float()
    f = (x.as_bits() - shift).as_float() + (one - 1.0)
    return log_of_parts(f, exponent.convert("sitofp", form.element))


def log1p(x: Vector) -> Vector:
    """-inf at -1, NaN below. Error: 0.86 and 0.80 ulp."""
    result = _with_special_values(x, _log1p_inside(x), -1.0)
    return (x.absolute() < TINY[x.format.dtype]).where(x, result)


def arcsinh(x: Vector) -> Vector:
    """arcsinh|x| = log1p(|x| + x**2 / (1 + sqrt(x**2 + 1))), and log|x| + ln(2) for large ones.

    Error: 1.8 and 1.7 ulp.
    """
    dtype = x.format.dtype
    size = x.absolute()
    huge = size > HUGE[dtype]
    square = size * size
    argument = size + square / ((square + 1.0).sqrt() + 1.0)
    result = _log1p_inside(huge.where(size, argument))
    result = huge.where(result + LN_2, result)
    result = (size < TINY[dtype]).where(size, result)
    # Infinity and NaN are their own arcsinh.
    return (size < INFINITY).where(result.with_sign_of(x), x)


def arccosh(x: Vector) -> Vector:
    """arccosh(x) = log1p(t + sqrt(2t + t**2)) with t = x - 1, and log(x) + ln(2) for large ones.

    NaN below 1. Error: 2.1 ulp.
    """
    huge = x > HUGE[x.format.dtype]
    t = x - 1.0
    argument = t + fma(t, t, t + t).sqrt()
    result = _log1p_inside(huge.where(x, argument))
    result = huge.where(result + LN_2, result)
    result = (x < 1.0).where(NAN, result)
    return (x < INFINITY).where(result, x + INFINITY)


def arctanh(x: Vector) -> Vector:
    """arctanh|x| = log1p(2|x| / (1 - |x|)) / 2; infinite at 1, NaN beyond. Error: 2.0 ulp."""
    size = x.absolute()
    result = _log1p_inside((size + size) / (1.0 - size)) * 0.5
    edge = size.equals(1.0).where(x.full(INFINITY), NAN)
    result = (size < 1.0).where(result, edge)
    return (size < TINY[x.format.dtype]).where(x, result.with_sign_of(x))
