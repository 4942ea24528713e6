"""The constants of the math rooms, measured with many digits."""

from __future__ import annotations

from itertools import pairwise

import mpmath
import numpy as np
import pytest
from cpu_math_minimax import FITS, error_of

from lamina.backends.cpu import math_tables, math_trig

# log2 of the largest error allowed, relative to the function the polynomial is a part of.
BOUNDS = {
    ("EXP", "float32"): -26.0, ("EXP", "float64"): -54.6,
    ("LOG", "float32"): -27.4, ("LOG", "float64"): -58.4,
    ("LOG_SHORT", "float64"): -40.8, ("EXP_SHORT", "float64"): -28.2,
    ("ATANH", "float64"): -68.7,
    ("SIN", "float32"): -27.7, ("SIN", "float64"): -57.0,
    ("COS", "float32"): -32.0, ("COS", "float64"): -59.4,
    ("ASIN", "float32"): -27.5, ("ASIN", "float64"): -55.7,
    ("ATAN", "float32"): -27.0, ("ATAN", "float64"): -53.9,
    ("ERF32", "float32"): -24.1, ("ERF64", "float64"): -56.0,
}  # fmt: skip


def test_every_polynomial_is_measured():
    assert set(BOUNDS) == {(name, dtype) for name, fit in FITS.items() for dtype in fit.terms}


@pytest.mark.parametrize(("name", "dtype"), BOUNDS)
def test_polynomials(name, dtype):
    coefficients = getattr(math_tables, name.rstrip("3264"))[dtype]
    assert len(coefficients) == FITS[name].terms[dtype]
    rounded = [float(np.dtype(dtype).type(c)) for c in coefficients]
    assert mpmath.log(error_of(FITS[name], rounded, points=120), 2) <= BOUNDS[name, dtype]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_split_constants(dtype):
    digits = {"float32": 24, "float64": 53}[dtype]
    whole = {"float32": 13, "float64": 20}[dtype]
    with mpmath.workprec(400):
        for parts, exact in (
            (math_tables.LN_2_PARTS[dtype], mpmath.log(2)),
            (math_tables.HALF_PI_FUSED[dtype], mpmath.pi / 2),
            (math_tables.HALF_PI_SPLIT[dtype], mpmath.pi / 2),
        ):
            rounded = [float(np.dtype(dtype).type(part)) for part in parts]
            assert rounded == list(parts)
            rest = abs(exact - mpmath.fsum(parts))
            assert rest <= abs(parts[-1]) * mpmath.mpf(2) ** -digits
        for part in math_tables.HALF_PI_SPLIT[dtype][:-1]:
            assert _bits(part) + whole <= digits
        # The exponents of denormals included.
        assert _bits(math_tables.LN_2_PARTS[dtype][0]) + {"float32": 8, "float64": 11}[dtype] <= digits


def _bits(number):
    """How many binary digits a float has."""
    numerator, _ = float(number).as_integer_ratio()
    return (numerator >> ((numerator & -numerator).bit_length() - 1)).bit_length()


def test_digits_of_two_over_pi():
    with mpmath.workprec(1500):
        for row, parts in enumerate(math_trig._two_over_pi()):
            exact = mpmath.fmod(2 / mpmath.pi * mpmath.mpf(2) ** (32 * row), 4)
            assert abs(mpmath.fsum(parts) - exact) < mpmath.mpf(2) ** -205
            assert all(abs(low) <= np.spacing(high) for high, low in pairwise(parts))
