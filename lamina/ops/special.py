"""Special functions, as polynomials in the primitives."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from lamina.ir import primitives as p
from lamina.ops.convert import as_float, as_tensor, dtype_of, like, wider_float
from lamina.ops.registry import op


@op
def erf(x: Any) -> Any:
    """The error function: 2 / sqrt(pi) times the integral of exp(-t^2) from 0 to x."""
    return p.erf(as_float(x))


# Chebyshev coefficients of log(erfc(x) exp(x^2) / t) on t = 2 / (2 + x), 0 <= x; the first term counts half.
# Computed with mpmath at 64 nodes and 40 digits. Twelve terms leave an error of 1e-8, all of them 1e-17.
_LOG_ERFC = (
    -1.30265371978170943, 0.64196979235649026, 0.0194764732041858363, -0.00956151478680863164,
    -0.000946595344482036866, 0.000366839497852761452, 0.0000425233248069077716, -0.0000202785781125342432,
    -1.62429000464702551e-6, 1.3036558355805232e-6, 1.56264417220661432e-8, -8.52380959149265425e-8,
    6.5290544390988515e-9, 5.05934349555146894e-9, -9.91364156493033087e-10, -2.27365122293183586e-10,
    9.6467911020155268e-11, 2.39403808303911474e-12, -6.8860275264975534e-12, 8.94487927309072572e-13,
    3.13092139934295808e-13, -1.12708223613672524e-13, 3.81090525518923206e-16, 7.10609761360923699e-15,
    -1.5230282014571043e-15, -9.457494571291234e-17, 1.21023718922427899e-16, -2.81666308774717697e-17,
)  # fmt: skip

# M. Giles, "Approximating the erfinv function" (2010), single precision: polynomials in w - 2.5 for
# w = -log(1 - x^2) < 5 and in sqrt(w) - 3 beyond, highest power first.
_ERFINV_CENTRE = (
    2.81022636e-08, 3.43273939e-07, -3.5233877e-06, -4.39150654e-06, 0.00021858087, -0.00125372503,
    -0.00417768164, 0.246640727, 1.50140941,
)  # fmt: skip
_ERFINV_TAIL = (
    -0.000200214257, 0.000100950558, 0.00134934322, -0.00367342844, 0.00573950773, -0.0076224613,
    0.00943887047, 1.00167406, 2.83297682,
)  # fmt: skip


@op
def erfc(x: Any) -> Any:
    """1 - erf(x), without loss of digits where it is small."""
    x = as_float(x)
    kind = dtype_of(x)
    wide = as_tensor(x, wider_float(kind))
    one, size = like(wide, 1), p.absolute(wide)
    far = p.greater(wide, like(wide, 0.5))
    return as_tensor(p.select(far, erfc_of_positive(size), p.subtract(one, p.erf(wide))), kind)


def erfc_of_positive(x: Any) -> Any:
    """erfc for x >= 0 with small relative error: t exp(-x^2 + a Chebyshev series in t)."""
    terms = _LOG_ERFC if dtype_of(x) == "float64" else _LOG_ERFC[:12]
    t = p.divide(like(x, 2), p.add(x, like(x, 2)))
    twice = p.subtract(p.multiply(t, like(x, 4)), like(x, 2))
    # Clenshaw's recurrence.
    later, last = like(x, 0), like(x, 0)
    for coefficient in reversed(terms[1:]):
        step = p.add(p.subtract(p.multiply(twice, last), later), like(x, coefficient))
        later, last = last, step
    series = p.subtract(p.multiply(p.multiply(twice, last), like(x, 0.5)), later)
    exponent = p.add(p.subtract(series, p.multiply(x, x)), like(x, terms[0] / 2))
    return p.multiply(t, p.exp(exponent))


@op
def erfinv(x: Any) -> Any:
    """The inverse of erf: for x between -1 and 1; plus and minus infinity at the ends, NaN outside."""
    x = as_float(x)
    kind = dtype_of(x)
    wide = as_tensor(x, wider_float(kind))
    root = erfinv_single(wide)
    if kind == "float64":
        root = _erfinv_newton(wide, root)
    ends = p.equal(p.absolute(wide), like(wide, 1))
    return as_tensor(p.select(ends, p.multiply(wide, like(wide, math.inf)), root), kind)


def erfinv_single(x: Any) -> Any:
    """erfinv strictly between -1 and 1, with a relative error near 3e-7."""
    one = like(x, 1)
    w = p.negative(p.log(p.multiply(p.subtract(one, x), p.add(one, x))))
    centre = p.less(w, like(x, 5))
    argument = p.select(centre, p.subtract(w, like(x, 2.5)), p.subtract(p.sqrt(w), like(x, 3)))
    coefficients = [
        p.select(centre, like(x, near), like(x, far)) for near, far in zip(_ERFINV_CENTRE, _ERFINV_TAIL)
    ]
    return p.multiply(horner(argument, coefficients), x)


def _erfinv_newton(x: Any, root: Any) -> Any:
    """Four steps of Newton's method: on erf(y) = |x| near 0, and on log(erfc(y)) = log(1 - |x|) beyond.

    Each is well conditioned where it is used: 1 - |x| is exact from 1/2 on.
    """
    size, one = p.absolute(x), like(x, 1)
    rest = p.subtract(one, size)
    inside = p.bitwise_and(p.is_finite(root), p.greater(rest, like(x, 0)))
    is_near = p.less(size, like(x, 0.5))
    target = p.select(inside, rest, one)
    y = p.select(inside, p.absolute(root), like(x, 0))
    for _ in range(4):
        slope = p.multiply(p.exp(p.negative(p.multiply(y, y))), like(x, 2 / math.sqrt(math.pi)))
        beyond = erfc_of_positive(y)
        in_logs = p.multiply(p.log(p.divide(beyond, target)), beyond)
        y = p.add(y, p.divide(p.select(is_near, p.subtract(size, p.erf(y)), in_logs), slope))
    return p.select(inside, p.multiply(p.sign(x), y), root)


def horner(x: Any, coefficients: Sequence[Any]) -> Any:
    """The polynomial with these coefficient tensors, highest power first."""
    total = coefficients[0]
    for coefficient in coefficients[1:]:
        total = p.add(p.multiply(total, x), coefficient)
    return total


@op
def i0(x: Any) -> Any:
    """The modified Bessel function of the first kind and order 0.

    Source: M. Abramowitz, I. Stegun, "Handbook of Mathematical Functions", 9.6.12 (power series, up to 16)
    and 9.7.1 (asymptotic series, beyond).
    """
    x = as_float(x)
    kind = dtype_of(x)
    wide = as_tensor(x, wider_float(kind))
    size = p.absolute(wide)
    near = p.less_equal(size, like(size, 16.0))
    inner = p.select(near, size, like(size, 16.0))
    quarter = p.multiply(p.multiply(inner, inner), like(size, 0.25))
    series = horner(quarter, [like(size, 1 / math.factorial(k) ** 2) for k in range(40, -1, -1)])
    outer = p.select(near, like(size, 16.0), size)
    terms, term = [1.0], 1.0
    for k in range(1, 25):
        term *= (2 * k - 1) ** 2 / (8 * k)
        terms.append(term)
    inverse = p.divide(like(size, 1), outer)
    tail = horner(inverse, [like(size, value) for value in reversed(terms)])
    beyond = p.multiply(p.multiply(p.exp(outer), p.rsqrt(p.multiply(outer, like(size, 2 * math.pi)))), tail)
    return as_tensor(p.select(near, series, beyond), kind)
