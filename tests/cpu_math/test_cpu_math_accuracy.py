"""Every function of floats against exact values: its largest error in ulp, and special values as in NumPy."""

from __future__ import annotations

import math
from functools import cache

import mpmath
import numpy as np
import pytest
from cpu_math_harness import LEVELS, run

# The largest error allowed, in ulp, for float32 and float64: what the docstrings of the math rooms state, and
# a little to spare.
LIMITS = {
    "exp": (1.25, 1.25),
    "expm1": (1.75, 2.3),
    "log": (0.95, 0.9),
    "log1p": (0.95, 0.9),
    "sqrt": (0.51, 0.51),
    "rsqrt": (1.51, 1.51),
    "sin": (2.05, 2.5),
    "cos": (2.05, 2.5),
    "tan": (3.6, 3.7),
    "arcsin": (2.4, 2.3),
    "arccos": (1.3, 1.25),
    "arctan": (2.0, 1.6),
    "sinh": (2.35, 2.5),
    "cosh": (1.65, 1.65),
    "tanh": (2.55, 2.6),
    "arcsinh": (1.8, 1.75),
    "arccosh": (2.15, 2.15),
    "arctanh": (2.0, 2.0),
    "sigmoid": (2.45, 2.4),
    "erf": (3.2, 2.2),
    "power": (0.56, 1.3),
    "arctan2": (2.0, 1.6),
}
UNARY = [name for name in LIMITS if name not in ("power", "arctan2")]
DTYPES = ("float32", "float64")


def _sigmoid(x):
    return 1 / (1 + mpmath.exp(-x))


# mpmath's name where it differs.
EXACT = {
    "arcsin": mpmath.asin, "arccos": mpmath.acos, "arctan": mpmath.atan, "arcsinh": mpmath.asinh,
    "arccosh": mpmath.acosh, "arctanh": mpmath.atanh, "sigmoid": _sigmoid, "arctan2": mpmath.atan2,
    "rsqrt": lambda x: 1 / mpmath.sqrt(x), "power": lambda x, y: x**y,
}  # fmt: skip


def numpy_function(name):
    """What NumPy computes, by the definition of the reference interpreter."""
    own = {
        "sigmoid": lambda x: np.where(x < 0, np.exp(x) / (1 + np.exp(x)), 1 / (1 + np.exp(-x))),
        "rsqrt": lambda x: 1 / np.sqrt(x),
        "erf": lambda x: np.array([math.erf(v) for v in x.tolist()], x.dtype),
    }
    return own.get(name) or getattr(np, name)


def special_values(dtype):
    info = np.finfo(dtype)
    ends = [
        0.0,
        np.inf,
        1.0,
        0.5,
        2.0,
        3.0,
        info.tiny,
        info.smallest_subnormal,
        info.max,
        1e10,
        2.0**60,
        7.25,
    ]
    return np.array([*ends, *(-number for number in ends), np.nan], dtype)


@cache
def samples(dtype, count):
    """Random patterns, numbers spread over all magnitudes, and numbers where the functions do something."""
    rng = np.random.default_rng(99)
    word = np.uint32 if dtype == "float32" else np.uint64
    patterns = rng.integers(0, np.iinfo(word).max, count, dtype=word).view(dtype)
    spread = 10.0 ** rng.uniform(-9, 3, count) * rng.choice([-1.0, 1.0], count)
    reach = 90 if dtype == "float32" else 715
    near = [rng.uniform(-1, 1, count), rng.uniform(-5, 5, count), rng.uniform(-reach, reach, count)]
    around_one = 1 + rng.uniform(-1, 1, count) * 10.0 ** rng.uniform(-7, -0.3, count)
    turns = np.rint(rng.uniform(-1e4, 1e4, count)) * (np.pi / 2)
    with np.errstate(over="ignore"):
        parts = [
            special_values(dtype),
            patterns,
            *(x.astype(dtype) for x in (spread, *near, around_one, turns)),
        ]
    found = np.concatenate(parts)
    found[np.isnan(found)] = np.nan  # quiet ones
    return found


def _split(exact, dtype):
    """A real mpmath number as float64 high + low; NaN where there is none."""
    if isinstance(exact, mpmath.mpc) or not mpmath.isfinite(exact):
        return (float(exact), 0.0) if not isinstance(exact, mpmath.mpc) else (math.nan, 0.0)
    # Beyond these the exponent may be too large to convert, and the result is infinite or zero anyway.
    if abs(exact) > mpmath.mpf(2) ** 1100:
        return math.copysign(math.inf, exact), 0.0
    if 0 < abs(exact) < mpmath.mpf(2) ** -1200:
        return math.copysign(0.0, exact), 0.0
    high = float(exact)
    return high, float(exact - high) if math.isfinite(high) else 0.0


@cache
def _exact(name, dtype, *operands):
    function = EXACT.get(name) or getattr(mpmath, name)
    highs, lows = [], []
    with mpmath.workprec(130):
        for numbers in zip(*operands):
            high, low = _split(_apply(function, numbers), dtype)
            highs.append(high)
            lows.append(low)
    return np.array(highs), np.array(lows)


def _apply(function, numbers):
    if not all(math.isfinite(number) for number in numbers):
        return mpmath.nan
    try:
        return function(*(mpmath.mpf(number) for number in numbers))
    except (ZeroDivisionError, ValueError):
        return mpmath.nan


def errors_in_ulp(result, exact, low, dtype):
    """The distance in units in the last place of the exact value; infinite where only one is finite.

    An overflow may come one ulp early or late.
    """
    info = np.finfo(dtype)
    _, exponent = np.frexp(np.maximum(np.abs(exact), float(info.tiny)))
    unit = np.ldexp(1.0, np.maximum(exponent - 1 - info.nmant, info.minexp - info.nmant))
    with np.errstate(invalid="ignore", over="ignore"):
        distance = np.abs((result.astype(np.float64) - exact) - low) / unit
        overflows = np.isinf(result) & (np.abs(exact) >= float(info.max) * (1 - info.eps))
        overflows &= np.sign(result) == np.sign(exact)
    return np.where(overflows, 0.0, np.where(np.isfinite(distance), distance, np.inf))


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("name", UNARY)
def test_float32_errors(name, level):
    x = samples("float32", 50000)
    wide = x.astype(np.float64)
    with np.errstate(all="ignore"):
        # float64 has 29 digits more.
        exact = numpy_function(name)(wide)
    errors = errors_in_ulp(run(name, x, level=level), exact, 0.0, "float32")
    errors = np.where(np.isnan(exact) | np.isinf(x), 0, errors)
    worst = int(np.argmax(errors))
    assert errors[worst] <= LIMITS[name][0], f"{name}({x[worst]!r}) is {errors[worst]:.3f} ulp off"


@pytest.mark.parametrize("name", UNARY)
def test_float64_errors(name):
    x = samples("float64", 700)
    exact, low = _exact(name, "float64", tuple(x.tolist()))
    known = ~np.isnan(exact)
    assert known.sum() > 1000
    for level in LEVELS:
        errors = np.where(known, errors_in_ulp(run(name, x, level=level), exact, low, "float64"), 0)
        worst = int(np.argmax(errors))
        assert errors[worst] <= LIMITS[name][1], (
            f"{name}({x[worst]!r}) is {errors[worst]:.3f} ulp off on {level}"
        )


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", UNARY)
def test_limits_are_within_the_budget_of_numpy(name, dtype):
    """Four times NumPy's own error, which is at least half an ulp, plus two ulp."""
    assert LIMITS[name][DTYPES.index(dtype)] <= 4 * 0.5 + 2


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", UNARY)
def test_special_values_are_numpys(name, dtype, level):
    x = special_values(dtype)
    with np.errstate(all="ignore"):
        expected = numpy_function(name)(x)
    assert_same_class(run(name, x, level=level), expected, (x,))


def assert_same_class(result, expected, operands):
    """NaN, infinities and zeros with their signs are where they should be."""
    for at, (found, wanted) in enumerate(zip(result, expected)):
        where = tuple(operand[at] for operand in operands)
        assert np.isnan(found) == np.isnan(wanted), (where, found, wanted)
        if not np.isnan(wanted):
            assert np.isinf(found) == np.isinf(wanted), (where, found, wanted)
            assert (found == 0) == (wanted == 0), (where, found, wanted)
            assert np.signbit(found) == np.signbit(wanted), (where, found, wanted)


@cache
def pairs(name, dtype):
    """Operands of powers that do not all overflow, or points in the plane."""
    rng = np.random.default_rng(5)
    count, reach = 250, 88.0 if dtype == "float32" else 708.0
    if name == "arctan2":
        sizes = 10.0 ** rng.uniform(-20, 20, (2, 4 * count))
        flat = 10.0 ** rng.uniform(-1, 1, (2, count))
        points = np.concatenate([sizes, flat], 1) * rng.choice([-1.0, 1.0], (2, 5 * count))
        return points[0].astype(dtype), points[1].astype(dtype)
    around_one = 1 + rng.uniform(-1, 1, count) * 10.0 ** rng.uniform(-6, -1, count)
    bases = np.concatenate(
        [rng.uniform(0, 5, count), 10.0 ** rng.uniform(-37, 38, count), around_one]
    ).astype(dtype)
    tiny = np.geomspace(float(np.finfo(dtype).smallest_subnormal), float(np.finfo(dtype).tiny), 40).astype(
        dtype
    )
    bases = np.concatenate([bases, tiny])
    bases = bases[bases != 1]
    logarithms = np.log(bases.astype(np.float64))
    powers = (rng.uniform(-reach * 1.1, reach, bases.size) / logarithms).astype(dtype)
    powers[::3] = rng.integers(-6, 7, powers[::3].size)
    whole = np.flatnonzero(powers == np.rint(powers))
    bases[whole[::2]] *= -1
    return bases, powers


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["power", "arctan2"])
def test_errors_of_two_operands(name, dtype):
    x, y = pairs(name, dtype)
    exact, low = _exact(name, dtype, tuple(x.tolist()), tuple(y.tolist()))
    known = ~np.isnan(exact)
    assert known.mean() > 0.9
    for level in LEVELS:
        errors = np.where(known, errors_in_ulp(run(name, x, y, level=level), exact, low, dtype), 0)
        at = int(np.argmax(errors))
        limit = LIMITS[name][DTYPES.index(dtype)]
        assert errors[at] <= limit, f"{name}({x[at]!r}, {y[at]!r}) is {errors[at]:.3f} ulp off on {level}"


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["power", "arctan2"])
def test_special_values_of_two_operands_are_numpys(name, dtype, level):
    x, y = (grid.ravel() for grid in np.meshgrid(special_values(dtype), special_values(dtype)))
    with np.errstate(all="ignore"):
        expected = numpy_function(name)(x, y)
    assert_same_class(run(name, x, y, level=level), expected, (x, y))


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("name", ["sin", "cos", "tan"])
def test_the_hardest_angles(name, level):
    """The float64 number nearest to a multiple of pi/2, and others known for it (J.-M. Muller et al.)."""
    x = np.array(
        [6381956970095103.0 * 2.0**797, 5.319372648326541e255, 1e22, 2.0**1023, 1.6409e18], np.float64
    )
    exact, low = _exact(name, "float64", tuple(x.tolist()))
    assert errors_in_ulp(run(name, x, level=level), exact, low, "float64").max() <= LIMITS[name][1]


@pytest.mark.parametrize("level", LEVELS)
def test_float32_angles_of_every_size(level):
    """Every exponent on both sides of the bound of the quick reduction."""
    rng = np.random.default_rng(3)
    x = np.ldexp(rng.uniform(1, 2, 128 * 60), np.repeat(np.arange(128), 60)).astype(np.float32)
    for name in ("sin", "cos", "tan"):
        exact = numpy_function(name)(x.astype(np.float64))
        errors = errors_in_ulp(run(name, x, level=level), exact, 0.0, "float32")
        assert errors.max() <= LIMITS[name][0]
