"""keras.random: seeds, generators inside and outside of traces, distributions, dropout."""

import copy
import json
import pickle
import random as python_random

import numpy as np
import pytest

from lamina import random
from lamina.core.errors import ArgumentError
from lamina.core.serialization import deserialize_object, serialize_object
from lamina.ir import Tensor, Trace
from lamina.random import SeedGenerator, set_random_seed
from lamina.variables import Variable

DRAWS = {
    "uniform": lambda seed: random.uniform((3, 4), -1.0, 2.0, seed=seed),
    "normal": lambda seed: random.normal((3, 4), 1.0, 2.0, seed=seed),
    "truncated_normal": lambda seed: random.truncated_normal((3, 4), seed=seed),
    "randint": lambda seed: random.randint((3, 4), 0, 1000, seed=seed),
    "categorical": lambda seed: random.categorical(np.zeros((3, 50), np.float32), 4, seed=seed),
    "dropout": lambda seed: random.dropout(np.ones((3, 4), np.float32), 0.5, seed=seed),
    "shuffle": lambda seed: random.shuffle(np.arange(12), seed=seed),
    "gamma": lambda seed: random.gamma((3, 4), 2.0, seed=seed),
    "beta": lambda seed: random.beta((3, 4), 2.0, 3.0, seed=seed),
    "binomial": lambda seed: random.binomial((3, 4), 20, 0.5, seed=seed),
}


@pytest.mark.parametrize("name", DRAWS)
def test_seeds(name, run_traced):
    draw = DRAWS[name]
    fixed = draw(5)
    assert np.array_equal(fixed, draw(5))
    assert not np.array_equal(fixed, draw(6))
    flowing, twin = SeedGenerator(5), SeedGenerator(5)
    first, second = draw(flowing), draw(flowing)
    assert np.array_equal(first, fixed)
    assert not np.array_equal(first, second)
    for expected in (first, second):
        assert np.array_equal(run_traced(lambda: draw(twin)), expected)
    assert not np.array_equal(draw(None), draw(None))


@pytest.mark.parametrize("name", DRAWS)
def test_shape_and_dtype_are_those_of_keras(name, real_keras):
    ours = DRAWS[name](1)
    theirs = {
        "uniform": lambda: real_keras.random.uniform((3, 4), seed=1),
        "normal": lambda: real_keras.random.normal((3, 4), seed=1),
        "truncated_normal": lambda: real_keras.random.truncated_normal((3, 4), seed=1),
        "randint": lambda: real_keras.random.randint((3, 4), 0, 1000, seed=1),
        "categorical": lambda: real_keras.random.categorical(np.zeros((3, 50), np.float32), 4, seed=1),
        "dropout": lambda: real_keras.random.dropout(np.ones((3, 4), np.float32), 0.5, seed=1),
        "shuffle": lambda: real_keras.random.shuffle(np.arange(12, dtype=np.int32), seed=1),
        "gamma": lambda: real_keras.random.gamma((3, 4), 2.0, seed=1),
        "beta": lambda: real_keras.random.beta((3, 4), 2.0, 3.0, seed=1),
        "binomial": lambda: real_keras.random.binomial((3, 4), 20, 0.5, seed=1),
    }[name]()
    assert ours.shape == theirs.shape
    assert ours.dtype.kind == np.asarray(theirs).dtype.kind
    assert ours.dtype.itemsize == np.asarray(theirs).dtype.itemsize or name == "shuffle"


def test_the_whole_world_is_seeded():
    def draw():
        return [
            random.uniform((2,)).tolist(),
            float(np.random.random()),
            python_random.random(),
            SeedGenerator().state.numpy().tolist(),
        ]

    set_random_seed(11)
    first, later = draw(), draw()
    set_random_seed(11)
    assert draw() == first
    assert draw() == later
    assert all(a != b for a, b in zip(first, later))
    for wrong in (-1, 2**32, 0.5, "1", None):
        with pytest.raises(ArgumentError, match="seed"):
            set_random_seed(wrong)


def test_default_seeds_do_not_depend_on_the_draws_of_others():
    set_random_seed(11)
    expected = SeedGenerator().state.numpy()
    set_random_seed(11)
    python_random.random()
    assert np.array_equal(SeedGenerator().state.numpy(), expected)


def test_generators_count(run_traced):
    seeds = SeedGenerator(seed=1337, name="mine")
    assert seeds.state.path == "mine/seed_generator_state"
    assert (seeds.state.dtype, seeds.state.trainable) == ("uint32", False)
    assert seeds.next().tolist() == [1337, 0]
    assert seeds.next().tolist() == [1337, 1]
    both = run_traced(lambda: (seeds.next(), seeds.next()))
    assert [key.tolist() for key in both] == [[1337, 2], [1337, 3]]
    assert seeds.state.numpy().tolist() == [1337, 4]
    seeds.state.assign([5, 2**32 - 1])
    seeds.next()
    assert seeds.state.numpy().tolist() == [5, 0]


def test_generators_go_round_and_copy():
    seeds = SeedGenerator(seed=3, name="mine")
    seeds.next()
    back = deserialize_object(json.loads(json.dumps(serialize_object(seeds))))
    assert back.get_config() == seeds.get_config() == {"seed": 3, "name": "mine"}
    assert SeedGenerator.from_config({"seed": None, "name": "x"}).get_config() == {"seed": None, "name": "x"}
    for twin in (copy.deepcopy(seeds), pickle.loads(pickle.dumps(seeds))):
        assert twin.next().tolist() == [3, 1]
    assert seeds.next().tolist() == [3, 1]
    keras_form = {
        "module": "keras.random",
        "class_name": "SeedGenerator",
        "config": {"seed": 3, "name": "mine"},
    }
    assert deserialize_object(keras_form).next().tolist() == [3, 0]


@pytest.mark.parametrize("seed", [0, 2**31, 2**32 - 1, 2**40 + 7, -1, np.int64(5), np.uint32(2**32 - 1)])
def test_seeds_of_any_size(seed):
    assert np.array_equal(random.normal((3,), seed=seed), random.normal((3,), seed=SeedGenerator(seed)))


def test_wrong_seeds_are_refused():
    for wrong in ("1", 1.5, [1]):
        with pytest.raises(ArgumentError, match="seed must be a whole number"):
            random.uniform((2,), seed=wrong)
        with pytest.raises(ArgumentError, match="seed must be a whole number"):
            SeedGenerator(wrong)


def test_unseeded_calls_inside_a_trace_have_state(run_traced):
    set_random_seed(1)
    eager = [random.normal((4,)), random.normal((4,))]
    set_random_seed(1)
    for expected in eager:
        with Trace() as trace:
            assert isinstance(random.normal((4,)), Tensor)
        assert len(trace.updates()) == 1
        np.testing.assert_array_equal(run_traced(lambda: random.normal((4,))), expected)


# --- dropout ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_dropout_keeps_the_mean(rate):
    result = np.asarray(random.dropout(np.ones((400, 500), np.float32), rate, seed=1))
    kept = result != 0
    np.testing.assert_allclose(result[kept], 1 / (1 - rate), rtol=1e-6)
    assert kept.mean() == pytest.approx(1 - rate, abs=4 * (rate * (1 - rate) / kept.size) ** 0.5)


def test_dropout_at_the_ends():
    x = np.array([[1.0, np.inf], [np.nan, -1.0]], np.float32)
    np.testing.assert_array_equal(random.dropout(x, 0.0, seed=1), x)
    assert random.dropout(x, 1.0, seed=1).tolist() == [[0, 0], [0, 0]]
    for wrong in (-0.1, 1.5, float("nan")):
        with pytest.raises(ArgumentError, match="between 0 and 1"):
            random.dropout(x, wrong)


def test_dropout_with_a_shared_mask():
    result = np.asarray(
        random.dropout(np.ones((50, 7, 3), np.float32), 0.5, noise_shape=(None, 1, 3), seed=2)
    )
    assert result.shape == (50, 7, 3)
    assert (result == result[:, :1]).all()
    assert 0.3 < (result != 0).mean() < 0.7
    assert not (result == result[:, :, :1]).all()


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_dropout_keeps_the_dtype(dtype):
    x = Variable("ones", shape=(8, 8), dtype=dtype)
    assert str(random.dropout(x, 0.5, seed=1).dtype) == dtype
