"""Random numbers: distributions, ranges, keys, and the same numbers traced as eager."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from lamina.core.errors import ArgumentError, DTypeError
from lamina.interp import Array, run_graph
from lamina.ir.graph import Graph
from lamina.ir.trace import Trace
from lamina.ops import random

KEY = np.array([1234, 5], np.uint32)
OTHER = np.array([1234, 6], np.uint32)
MANY = (40_000,)

DISTRIBUTIONS = {
    "uniform": (lambda key: random.uniform(key, MANY, -2.0, 3.0), stats.uniform(-2, 5)),
    "normal": (lambda key: random.normal(key, MANY, 1.0, 2.0), stats.norm(1, 2)),
    "truncated_normal": (lambda key: random.truncated_normal(key, MANY), stats.truncnorm(-2, 2)),
    "gamma": (lambda key: random.gamma(key, MANY, 2.5), stats.gamma(2.5)),
    "gamma below 1": (lambda key: random.gamma(key, MANY, 0.3), stats.gamma(0.3)),
    "beta": (lambda key: random.beta(key, MANY, 2.0, 0.5), stats.beta(2, 0.5)),
    "normal float64": (lambda key: random.normal(key, MANY, dtype="float64"), stats.norm()),
    "uniform float64": (lambda key: random.uniform(key, MANY, dtype="float64"), stats.uniform()),
}
DISCRETE = {
    "bernoulli": (lambda key: random.bernoulli(key, MANY, 0.3), stats.bernoulli(0.3)),
    "bernoulli of tensors": (lambda key: random.bernoulli(key, MANY, np.float32(0.3)), stats.bernoulli(0.3)),
    "randint": (lambda key: random.randint(key, MANY, -3, 8), stats.randint(-3, 8)),
    "binomial": (lambda key: random.binomial(key, MANY, 9, 0.25), stats.binom(9, 0.25)),
    "categorical": (
        lambda key: random.categorical(key, np.log(np.float32([[0.1, 0.2, 0.3, 0.4]])), MANY[0])[0],
        stats.rv_discrete(values=(range(4), [0.1, 0.2, 0.3, 0.4])),
    ),
}


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_continuous_distribution(name):
    draw, judge = DISTRIBUTIONS[name]
    assert stats.kstest(np.asarray(draw(KEY)).astype(np.float64), judge.cdf).pvalue > 1e-3


@pytest.mark.parametrize("name", DISCRETE)
def test_discrete_distribution(name):
    draw, judge = DISCRETE[name]
    values, counts = np.unique(np.asarray(draw(KEY)).astype(int), return_counts=True)
    expected = judge.pmf(values) * MANY[0]
    assert abs(expected.sum() - MANY[0]) < 5
    assert stats.chisquare(counts, expected * counts.sum() / expected.sum()).pvalue > 1e-3


@pytest.mark.parametrize("name", [*DISTRIBUTIONS, *DISCRETE])
def test_same_key_same_numbers_and_other_key_others(name):
    draw, _ = {**DISTRIBUTIONS, **DISCRETE}[name]
    first, again, other = (np.asarray(draw(key)) for key in (KEY, KEY, OTHER))
    np.testing.assert_array_equal(first, again)
    assert (first != other).mean() > 0.1
    assert isinstance(draw(KEY), Array)


@pytest.mark.parametrize("name", [*DISTRIBUTIONS, *DISCRETE])
def test_traced_numbers_are_eager_numbers(name):
    draw, _ = {**DISTRIBUTIONS, **DISCRETE}[name]
    with Trace() as trace:
        result = draw(trace.input("key", (2,), "uint32"))
    found = run_graph(Graph(tuple(trace.inputs), (result.value,)), [KEY])[0]
    np.testing.assert_array_equal(found, draw(KEY))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (1.0, 2.0), (-1e-3, 1e-3), (5.0, 5.5)])
def test_uniform_never_reaches_its_upper_end(dtype, low, high):
    drawn = random.uniform(KEY, (100_000,), low, high, dtype)
    assert drawn.dtype.name == dtype
    wide = np.asarray(drawn).astype(np.float64)
    assert wide.min() >= np.asarray(low, drawn.dtype).astype(np.float64)
    assert wide.max() < np.asarray(high, drawn.dtype).astype(np.float64)


def test_float32_uniform_is_the_top_24_bits():
    bits = np.asarray(random.bits(KEY, (1000,)))
    expected = ((bits >> 8) * 2.0**-24).astype(np.float32)
    np.testing.assert_array_equal(random.uniform(KEY, (1000,)), expected)


@pytest.mark.parametrize("draw", [random.normal, random.truncated_normal])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_normals_are_finite_in_every_dtype(draw, dtype):
    drawn = draw(KEY, (50_000,), dtype=dtype)
    assert drawn.dtype.name == dtype
    wide = np.asarray(drawn).astype(np.float64)
    assert np.isfinite(wide).all()
    assert abs(wide.mean()) < 0.02
    if draw is random.truncated_normal:
        assert np.abs(wide).max() <= 2


def test_shuffle_keeps_rows_together_and_permutes_them():
    x = np.arange(60).reshape(20, 3)
    shuffled = np.asarray(random.shuffle(KEY, x))
    assert not np.array_equal(shuffled, x)
    np.testing.assert_array_equal(shuffled[np.argsort(shuffled[:, 0])], x)
    columns = np.asarray(random.shuffle(KEY, x, axis=1))
    assert sorted(columns[0].tolist()) == [0, 1, 2]
    assert random.shuffle(KEY, np.zeros((0, 3), np.float32)).shape == (0, 3)


def test_permutations_are_equally_likely():
    seen = {}
    for count in range(6000):
        order = tuple(random.permutation(np.array([7, count], np.uint32), 3).tolist())
        seen[order] = seen.get(order, 0) + 1
    assert len(seen) == 6
    assert stats.chisquare(list(seen.values())).pvalue > 1e-3


@pytest.mark.parametrize("probability", [0.0, 1.0])
def test_certain_events(probability):
    assert np.asarray(random.bernoulli(KEY, (100,), probability)).mean() == probability


def test_randint_covers_the_whole_range_of_a_dtype():
    drawn = np.asarray(random.randint(KEY, (5000,), 0, 256, "uint8"))
    assert (drawn.min(), drawn.max()) == (0, 255)
    wide = np.asarray(random.randint(KEY, (1000,), -(2**62), 2**62, "int64"))
    assert wide.min() < -(2**60)
    assert wide.max() > 2**60


def test_parameters_may_be_tensors():
    mean = np.float32([0.0, 100.0])
    drawn = np.asarray(random.normal(KEY, (1000, 2), mean, np.float32([1.0, 10.0])))
    np.testing.assert_allclose(drawn.mean(0), mean, atol=1.5)
    drawn = np.asarray(random.gamma(KEY, (2000, 2), np.float32([0.5, 50.0])))
    np.testing.assert_allclose(drawn.mean(0), [0.5, 50.0], rtol=0.1)
    drawn = np.asarray(random.binomial(KEY, (2000, 2), [3, 20], np.float32([0.5, 0.1])))
    np.testing.assert_allclose(drawn.mean(0), [1.5, 2.0], rtol=0.1)


@pytest.mark.parametrize(
    ("call", "kind"),
    [
        (lambda: random.uniform(KEY, (2,), dtype="int32"), DTypeError),
        (lambda: random.randint(KEY, (2,), 0, 2, dtype="float32"), DTypeError),
        (lambda: random.randint(KEY, (2,), 2, 2), ArgumentError),
        (lambda: random.categorical(KEY, np.zeros(3, np.float32), 2), ArgumentError),
    ],
)
def test_wrong_arguments(call, kind):
    with pytest.raises(kind):
        call()
