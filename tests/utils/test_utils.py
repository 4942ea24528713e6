"""Helpers with the names of keras.utils, beside Keras."""

from __future__ import annotations

import copy
import subprocess
import sys

import numpy as np
import pytest

import lamina
from lamina import utils
from lamina.core.errors import DataError


@pytest.mark.parametrize(
    ("x", "classes"),
    [
        ([0, 2, 1], None),
        ([0, 2, 1], 5),
        ([[1], [0]], 3),
        ([[1, 0], [2, 2]], None),
        ([1.0, 0.0], None),
        (np.array([3, 1], "uint8"), None),
        ([], 2),
        (1, 2),
    ],
)
def test_to_categorical_is_that_of_keras(real_keras, x, classes):
    expected = real_keras.utils.to_categorical(np.asarray(x), classes)
    found = utils.to_categorical(x, classes)
    assert found.shape == expected.shape
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("x", [[-1, 0], [0, 3], [0.5], ["a"]])
def test_to_categorical_refuses_what_are_no_classes(x):
    with pytest.raises(DataError, match="to_categorical"):
        utils.to_categorical(x, num_classes=3)


def test_to_categorical_in_a_trace():
    @lamina.function
    def encode(x):
        return utils.to_categorical(x, 3)

    np.testing.assert_array_equal(encode(np.array([[2], [0]], "int32")), [[0, 0, 1], [1, 0, 0]])
    with pytest.raises(DataError, match="num_classes"):
        utils.to_categorical(lamina.Input((3,)))


@pytest.mark.parametrize(("axis", "order"), [(-1, 2), (1, 1), (-1, np.inf)])
def test_normalize_is_that_of_keras(real_keras, rng, axis, order):
    x = rng.normal(size=(3, 4))
    x[1] = 0.0
    np.testing.assert_allclose(utils.normalize(x, axis, order), real_keras.utils.normalize(x, axis, order))


def test_normalize_along_the_first_axis(rng):
    """Keras 3.15 spreads the norms along the last axis when it is given 0."""
    x = rng.normal(size=(3, 4))
    np.testing.assert_allclose(np.linalg.norm(utils.normalize(x, axis=0), axis=0), 1.0)


def test_normalize_makes_integers_floats_and_keeps_the_argument():
    x = np.array([[3, 4]])
    np.testing.assert_allclose(utils.normalize(x), [[0.6, 0.8]])
    assert x.tolist() == [[3, 4]]


def test_clear_session_counts_names_anew():
    utils.clear_session()
    first = lamina.layers.Dense(1).name
    assert lamina.layers.Dense(1).name != first
    utils.clear_session()
    assert lamina.layers.Dense(1).name == first


def test_set_random_seed_makes_weights_repeatable():
    def weights():
        utils.set_random_seed(5)
        layer = lamina.layers.Dense(3)
        layer.build((None, 2))
        return layer.get_weights()[0]

    np.testing.assert_array_equal(weights(), weights())


def test_is_keras_tensor():
    assert utils.is_keras_tensor(lamina.Input((2,)))
    assert not utils.is_keras_tensor(np.zeros(2))


def test_registered_objects_are_found():
    @utils.register_keras_serializable("test_utils")
    def halve(x):
        return x / 2

    try:
        assert utils.get_registered_name(halve) == "test_utils>halve"
        assert utils.get_registered_object("test_utils>halve") is halve
        assert utils.deserialize_keras_object(utils.serialize_keras_object(halve)) is halve
    finally:
        del utils.get_custom_objects()["test_utils>halve"]


def test_every_name_exists():
    assert [name for name in utils.__all__ if not hasattr(utils, name)] == []


def test_the_function_keeps_its_name_when_its_module_is_imported():
    """In a process of its own: here the module is loaded long since."""
    code = "import lamina.function, lamina; print(lamina.function(lambda x: x + 1)(1.0))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "2.0\n"


def test_config_is_that_of_keras(real_keras):
    for room in (real_keras.utils, utils):
        config = room.Config(learning_rate=0.1)
        config.seed = 1
        config["steps"] = 7
        assert (config.seed, config["learning_rate"], config.get("none", 3), config.frozen) == (
            1,
            0.1,
            3,
            False,
        )
        assert list(config) == ["learning_rate", "seed", "steps"]
        assert config.to_json() == '{"learning_rate": 0.1, "seed": 1, "steps": 7}'
        del config["steps"]
        config.update(seed=2)
        assert config.as_dict() == {"learning_rate": 0.1, "seed": 2} == dict(config.items())
        assert (len(config), "seed" in config, config.pop("seed")) == (2, True, 2)
        assert repr(config) == "<Config {'learning_rate': 0.1}>"
        with pytest.raises(AttributeError, match="learning_rate"):
            _ = config.learning_rat
        config.freeze()
        for change in (lambda c: setattr(c, "a", 1), lambda c: c.update(a=1), lambda c: c.pop("a")):
            with pytest.raises(ValueError, match="frozen"):
                change(config)
        config.unfreeze()
        config.a = 1
        assert config.a == 1


def test_config_keeps_its_methods_and_can_be_copied():
    config = utils.Config(a=1)
    with pytest.raises(AttributeError, match="method"):
        config.items = 3
    copied = copy.deepcopy(config)
    copied.a = 2
    assert (config.a, copied.a) == (1, 2)


def test_source_inputs_are_found_once_and_in_order(real_keras):
    for keras in (real_keras, lamina):
        a, b, c = (keras.Input((2,), name=name) for name in "abc")
        hidden = keras.layers.Dense(3)(a)
        total = keras.layers.Concatenate()([hidden, b, hidden])
        assert [tensor.name for tensor in keras.utils.get_source_inputs(total)] == ["a", "b"]
        found = keras.utils.get_source_inputs(c)
        assert [id(tensor) for tensor in found] == [id(c)]
    with pytest.raises(ValueError, match="KerasTensor"):
        utils.get_source_inputs(np.ones(3))
