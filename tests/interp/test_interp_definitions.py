"""The interpreter against the definitions: every sample row, within 4 times NumPy's own error plus 2 ulp."""

from __future__ import annotations

import math
import warnings
import zlib

import numpy as np
import pytest
from interp_definitions import DEFINITIONS
from primitive_samples import SAMPLES

from lamina.core import dtypes
from lamina.interp import RULES, Array
from lamina.ir.graph import TensorType
from lamina.ir.primitives import TABLE

BY_PRIMITIVE = {name: [sample for sample in SAMPLES if sample.primitive == name] for name in TABLE}
DIGITS = {"float16": (11, -24), "bfloat16": (8, -133), "float32": (24, -149), "float64": (53, -1074)}


def ulp(x, dtype):
    """The distance of neighbouring numbers of `dtype` around x."""
    digits, least = DIGITS[dtype]
    _, exponent = np.frexp(np.where(np.isfinite(x), x, 1).astype(np.float64))
    return np.ldexp(1.0, np.maximum(exponent - digits, least))


COMPOSED = {
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "rsqrt": lambda x: 1 / np.sqrt(x),
    "erf": lambda x: np.array([math.erf(number) for number in x.ravel()], x.dtype).reshape(x.shape),
}


def numpys_own(sample, operands, exact, dtype):
    """The largest error in ulp that NumPy makes on this row with its own function, or the plain formula."""
    function = COMPOSED.get(sample.primitive, getattr(np, sample.primitive, None))
    if sample.primitive not in COMPOSED and not isinstance(function, np.ufunc):
        return 0
    if dtype not in ("float32", "float64") or not exact.size:
        return 0
    error = np.abs(function(*operands).astype(np.longdouble) - exact) / ulp(exact, dtype)
    return np.max(np.where(np.isfinite(error), error, 0))


def wrapped(exact, dtype):
    """Python integers brought to the dtype's width."""
    if dtype == "bool":
        return exact.astype(bool)
    bits = 8 * dtypes.itemsize(dtype)
    low = dtypes.limits(dtype)[0]
    return np.array([(int(n) - low) % 2**bits + low for n in exact.ravel()], dtype).reshape(exact.shape)


def check(sample, operands, found, exact, dtype):
    exact = np.asarray(exact)
    assert found.shape == exact.shape
    if not dtypes.is_float(dtype):
        np.testing.assert_array_equal(np.asarray(found), wrapped(exact, dtype))
        return
    with np.errstate(all="ignore"):
        exact = exact.astype(np.longdouble)
        rounded = exact.astype(np.float64 if dtype == "float64" else np.float32).astype(
            dtypes.to_numpy(dtype)
        )
        wide, target = found.astype(np.longdouble), rounded.astype(np.longdouble)
        np.testing.assert_array_equal(np.isnan(wide), np.isnan(target))
        own = numpys_own(sample, operands, exact, dtype)
        budget = (2 * terms(sample, operands, found) + 4 * own) * ulp(exact, dtype)
        close = (np.abs(wide - exact) <= budget) | (wide == target) | np.isnan(target)
        # At the edge of overflow, rounding decides between the largest number and infinity.
        largest = float(np.finfo(np.float64).max) if dtype == "float64" else _largest(dtype)
        overflows = (np.abs(exact) > largest * 0.999) & (np.abs(wide) > largest * 0.99)
        close |= overflows & (np.sign(wide) == np.sign(exact))
    assert close.all(), f"{np.asarray(found)[~close][:5]} instead of {exact[~close][:5]}"


def _largest(dtype):
    return {"float16": 65504.0, "bfloat16": 3.3895e38, "float32": 3.4028235e38}[dtype]


SUMS = {
    *("reduce_sum", "cumulative_sum", "dot", "conv", "conv_input_grad", "conv_filter_grad"),
    *("scatter_window", "sum_window", "spread_window", "scatter_add", "attention", "attention_grad"),
}


def terms(sample, operands, found):
    """By how much rounding adds up: each of n additions and multiplications may be half an ulp off.

    Sums are measured against the size of their terms, which may be much larger than the sum.
    """
    if sample.primitive == "reduce_prod":
        return 1 + operands[0].size / max(found.size, 1) / 4
    if sample.primitive not in SUMS or not found.size:
        return 1
    size = [np.max(np.abs(x.astype(np.float64)), initial=1.0) for x in operands]
    count = max(x.size for x in operands)
    scale = np.maximum(np.abs(found.astype(np.float64)), 1e-30)
    return np.maximum(count**0.5 * np.prod(size) / np.where(np.isfinite(scale), scale, 1), 1)


def test_every_primitive_has_a_rule_rows_and_a_definition():
    primitives = set(TABLE) - {"input"}
    assert {primitive.name for primitive in RULES} == primitives
    assert {sample.primitive for sample in SAMPLES} == set(TABLE)
    assert set(DEFINITIONS) == primitives


@pytest.mark.parametrize("name", sorted(set(TABLE) - {"input"}))
def test_interpreter_agrees_with_definition(name):
    primitive = TABLE[name]
    for sample in BY_PRIMITIVE[name]:
        operands, attributes = sample.build(np.random.default_rng(zlib.crc32(sample.id.encode())))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            found = primitive(*operands, **attributes)
        with np.errstate(all="ignore"):
            exact = DEFINITIONS[name](*operands, **attributes)
        results = found if isinstance(found, tuple) else (found,)
        types = primitive.infer(
            tuple(TensorType(x.shape, dtypes.of_numpy(x.dtype)) for x in operands), attributes
        )
        for result, wanted, kind in zip(
            results, exact if isinstance(exact, tuple) else (exact,), types, strict=True
        ):
            try:
                assert isinstance(result, Array)
                assert TensorType(result.shape, dtypes.of_numpy(result.dtype)) == kind
                check(sample, operands, result.numpy(), wanted, kind.dtype)
            except AssertionError as error:
                raise AssertionError(f"{sample.id}: {error}") from None
