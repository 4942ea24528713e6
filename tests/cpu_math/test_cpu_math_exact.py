"""What has one right answer, against the reference interpreter: integers, rounding, choices, casts, bits."""

from __future__ import annotations

import numpy as np
import pytest
from cpu_math_harness import LEVELS, TARGETS, body_text, run, run_text

from lamina.backends.cpu import math
from lamina.backends.cpu.emit import Register, constant
from lamina.core import dtypes
from lamina.interp.philox import philox2x32
from lamina.interp.rules import RULES
from lamina.ir import primitives as p

FLOATS = ("float32", "float64")
COMPARISONS = ("equal", "not_equal", "less", "less_equal", "greater", "greater_equal")


def expected(name, *operands, **attributes):
    with np.errstate(all="ignore"):
        return np.asarray(RULES[p.TABLE[name]](*operands, **attributes))


def assert_equal(found, wanted, operands, signed_zeros=True):
    both_nan = (found != found) & (wanted != wanted)
    same = (found == wanted) | both_nan
    if signed_zeros and wanted.dtype.kind == "f":
        same &= both_nan | (np.signbit(found) == np.signbit(wanted))
    if not same.all():
        at = int(np.argmin(same))
        raise AssertionError(f"{[operand[at] for operand in operands]}: {found[at]!r}, not {wanted[at]!r}")


def integers(dtype, rng, count=600):
    """The ends, small numbers, and numbers of every size."""
    low, high = dtypes.limits(dtype)
    chosen = [low, low + 1, high, high - 1, 0, 1, 2, 3, 7] + ([-1, -2, -7] if low else [])
    ends = np.array(chosen, dtypes.to_numpy(dtype))
    wide = rng.integers(low, high, count, dtype=dtype, endpoint=True)
    return np.concatenate(
        [ends, wide, rng.integers(low // 40, high // 40, count, dtype=dtype, endpoint=True)]
    )


def integer_pairs(dtype, rng):
    x, y = integers(dtype, rng), integers(dtype, rng)
    ends = np.meshgrid(x[:12], y[:12])
    few = rng.integers(-9 if dtypes.limits(dtype)[0] else 0, 10, x.size).astype(dtype)
    return np.concatenate([ends[0].ravel(), x, x]), np.concatenate([ends[1].ravel(), y, few])


def floats(dtype, rng, count=1500):
    word = np.uint32 if dtype == "float32" else np.uint64
    patterns = rng.integers(0, np.iinfo(word).max, count, dtype=word).view(dtype)
    patterns[np.isnan(patterns)] = np.nan
    info = np.finfo(dtype)
    ends = [0.0, np.inf, 1.0, 0.5, 1.5, 2.5, 3.0, info.tiny, info.smallest_subnormal, info.max, 2.0**23 + 1]
    ends += [2.0**22 + 0.5, 2.0**23 - 0.5, 2.0**52 + 1, 2.0**51 + 0.5, 0.49999997, 1e10]
    near = rng.standard_normal(count) * 10.0 ** rng.uniform(-2, 3, count)
    halves = rng.integers(-50, 50, count) / 2
    return np.concatenate(
        [
            np.array([*ends, *(-end for end in ends), np.nan], dtype),
            patterns,
            near.astype(dtype),
            halves.astype(dtype),
        ]
    )


def float_pairs(dtype, rng):
    x = floats(dtype, rng)
    y = rng.permutation(floats(dtype, rng))
    ends = np.meshgrid(x[:35], x[:35])
    with np.errstate(all="ignore"):
        near = x + np.spacing(np.where(np.isfinite(x), x, 0)) * rng.integers(-3, 4, x.size).astype(dtype)
    return np.concatenate([ends[0].ravel(), x, x]), np.concatenate([ends[1].ravel(), y, near.astype(dtype)])


# --- integers --------------------------------------------------------------------------------------

INTEGER_UNARY = ("negative", "absolute", "sign", "invert", "is_finite", "stop_gradient")
INTEGER_BINARY = (
    "add", "subtract", "multiply", "floor_divide", "remainder", "power", "maximum", "minimum", "bitwise_and",
    "bitwise_or", "bitwise_xor", "shift_left", "shift_right", *COMPARISONS,
)  # fmt: skip


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("dtype", dtypes.INTEGERS)
def test_integers(dtype, level, rng):
    x, y = integer_pairs(dtype, rng)
    for name in INTEGER_UNARY:
        assert_equal(run(name, x, level=level), expected(name, x), (x,))
    for name in INTEGER_BINARY:
        assert_equal(run(name, x, y, level=level), expected(name, x, y), (x, y))


@pytest.mark.parametrize("dtype", ["int8", "uint32", "int64"])
def test_integers_one_at_a_time(dtype, rng):
    x, y = integer_pairs(dtype, rng)
    for name in ("floor_divide", "remainder", "power", "shift_right"):
        assert_equal(run(name, x, y, lanes=1), expected(name, x, y), (x, y))


@pytest.mark.parametrize("level", LEVELS)
def test_booleans(level, rng):
    x, y = rng.integers(0, 2, (2, 100)).astype(bool)
    for name in ("invert", "is_finite", "stop_gradient"):
        assert_equal(run(name, x, level=level), expected(name, x), (x,))
    for name in ("maximum", "minimum", "bitwise_and", "bitwise_or", "bitwise_xor", *COMPARISONS):
        assert_equal(run(name, x, y, level=level), expected(name, x, y), (x, y))


# --- floats ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("dtype", FLOATS)
def test_floats(dtype, level, rng):
    x, y = float_pairs(dtype, rng)
    for name in (
        "negative",
        "absolute",
        "sign",
        "floor",
        "ceil",
        "round_even",
        "sqrt",
        "is_finite",
        "stop_gradient",
    ):
        assert_equal(run(name, x, level=level), expected(name, x), (x,))
    for name in ("add", "subtract", "multiply", "divide", "remainder", "floor_divide", *COMPARISONS):
        assert_equal(run(name, x, y, level=level), expected(name, x, y), (x, y))
    for name in ("maximum", "minimum"):
        assert_equal(run(name, x, y, level=level), expected(name, x, y), (x, y), signed_zeros=False)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("number", [0.0, 6.0, -1.5, float("inf"), float("nan")])
@pytest.mark.parametrize("name", ["maximum", "minimum"])
def test_extremes_with_a_constant(name, number, level, rng):
    x, target = floats("float32", rng), TARGETS[level]
    for constant_first in (False, True):

        def body(builder, registers, constant_first=constant_first):
            operands = [registers[0], constant(number, "float", registers[0].lanes)]
            ordered = operands[::-1] if constant_first else operands
            return math.emit(builder, p.TABLE[name], ["float32"] * 2, "float32", ordered, target)

        text = body_text(body, ["float32"], "float32", 1, target)
        found = run_text(text, target, [x], "float32")
        assert_equal(found, expected(name, x, np.full_like(x, number)), (x,), signed_zeros=False)


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int64", "float32", "float64"])
def test_select(dtype, rng):
    condition, x, y = rng.integers(0, 2, (3, 200))
    operands = condition.astype(bool), x.astype(dtype), y.astype(dtype)
    for level in LEVELS:
        assert_equal(run("select", *operands, level=level), np.where(*operands), operands)


# --- casts -----------------------------------------------------------------------------------------


def values_to_cast(dtype, rng):
    if dtype == "bool":
        return rng.integers(0, 2, 100).astype(bool)
    if dtype in dtypes.INTEGERS:
        return integers(dtype, rng)
    limits = [2.0**bits + step for bits in (7, 8, 15, 16, 31, 32, 63, 64) for step in (-1, -0.5, 0, 1)]
    edges = [65504, 65519, 65520, 65521, 6e-8, 2.98e-8, 2.99e-8, 3.38e38, 3.3961e38, 3.4e38, 0.9, np.inf, 0.0]
    spread = rng.standard_normal(1000) * 2.0 ** rng.uniform(-30, 70, 1000)
    x = np.concatenate(
        [limits, edges, spread, rng.integers(-300, 300, 500) + rng.choice([0, 0.5, 0.25], 500)]
    )
    x = np.concatenate([x, -x, [np.nan]])
    if dtype == "float64":
        halves = np.arange(0, 0x7C00, 3, dtype=np.uint16).view(np.float16).astype(np.float64)
        ties = (halves[1:] + halves[:-1]) / 2
        x = np.concatenate([x, ties, np.nextafter(ties, 0), np.nextafter(ties, np.inf)])
    with np.errstate(over="ignore"):
        return x.astype(dtypes.to_numpy(dtype))


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("source", dtypes.ALL)
def test_casts(source, level, rng):
    x = values_to_cast(source, rng)
    for result in dtypes.ALL:
        wanted = expected("cast", x, dtype=result)
        for lanes in (None, 1):
            found = run("cast", x, lanes=lanes, level=level, result_dtype=result)
            assert found.dtype == wanted.dtype
            assert_equal(found.astype(np.float64), wanted.astype(np.float64), (x,))


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_every_half_there_and_back(dtype, level):
    x = np.arange(65536, dtype=np.uint32).astype(np.uint16).view(dtypes.to_numpy(dtype))
    wide = run("cast", x, level=level, result_dtype="float32")
    assert_equal(wide, x.astype(np.float32), (x,))
    back = run("cast", wide, level=level, result_dtype=dtype)
    number = ~np.isnan(wide)
    assert (back.view(np.uint16) == x.view(np.uint16))[number].all()
    assert np.isnan(back.astype(np.float32))[~number].all()


# --- random bits -----------------------------------------------------------------------------------


@pytest.mark.parametrize("lanes", [1, 2, 4, 8, 16, 32])
def test_random_bits(lanes):
    counter = np.arange(64, dtype=np.uint32) * np.uint32(99991) + np.uint32(2**31)
    key, second = 0x9ABCDEF0, 0xFFFFFFF9
    wanted, _ = philox2x32((counter, second), key)
    for target in TARGETS.values():

        def body(builder, registers, target=target):
            words = (Register(str(word - 2**32), "i32") for word in (key, second))
            return math.random_bits(builder, *words, registers[0], target)

        found = run_text(body_text(body, ["uint32"], "uint32", lanes, target), target, [counter], "uint32")
        assert (found == wanted).all()
