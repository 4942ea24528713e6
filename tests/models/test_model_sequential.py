"""Sequential: adding, taking away, deferred building, configs - against real Keras where it can judge."""

from __future__ import annotations

import numpy as np
import pytest

import lamina
from lamina import Sequential, layers, models
from lamina.core.errors import ArgumentError, ShapeError
from lamina.core.naming import reset_names
from lamina.layers import Dense, Input


def ones(*shape):
    return np.ones(shape, "float32")


def stack(k):
    L = k.layers
    return [
        L.Dense(8, activation="relu"),
        L.Dropout(0.3),
        L.Reshape((2, 4)),
        L.Flatten(),
        L.Dense(3, activation="softmax"),
    ]


@pytest.mark.parametrize("with_input", [True, False])
def test_same_as_keras(with_input, real_keras):
    reset_names()
    real_keras.utils.clear_session()
    built = []
    for k in (lamina, real_keras):
        model = k.Sequential(([k.Input((5,))] if with_input else []) + stack(k))
        if not with_input:
            model.build((None, 5))
        built.append(model)
    mine, theirs = built
    assert [layer.name for layer in mine.layers] == [layer.name for layer in theirs.layers]
    assert [weight.path for weight in mine.weights] == [weight.path for weight in theirs.weights]
    assert [variable.path for variable in mine.variables] == [variable.path for variable in theirs.variables]
    mine.set_weights([np.asarray(weight.value) for weight in theirs.weights])
    x = np.random.default_rng(0).normal(size=(7, 5)).astype("float32")
    np.testing.assert_allclose(mine(x), np.asarray(theirs(x)), rtol=1e-5, atol=1e-6)
    texts = []
    for model in built:
        model.summary(print_fn=texts.append, show_trainable=True)
    assert texts[0] == texts[1]
    assert mine.get_config().keys() == theirs.get_config().keys()

    again = models.model_from_json(theirs.to_json())
    again.set_weights(mine.get_weights())
    np.testing.assert_array_equal(again(x), mine(x))
    assert [weight.path for weight in again.weights] == [weight.path for weight in mine.weights]


def test_layers_are_built_as_they_are_added():
    model = Sequential(name="m")
    assert model.layers == []
    model.add(Input((4,)))
    assert not model.built
    model.add(Dense(3, name="first"))
    assert model.built
    first = model.layers[0].kernel
    model.add(Dense(2, name="second"))
    assert model.layers[0].kernel is first
    assert [weight.path for weight in model.weights] == [
        f"m/{n}/{w}" for n in ("first", "second") for w in ("kernel", "bias")
    ]
    assert len(model.layers[0]._inbound_nodes) == 1
    assert model.input_shape == (None, 4)
    assert model.output_shape == (None, 2)
    assert model.inputs[0] is model.input


def test_popping():
    model = Sequential([Input((4,)), Dense(3, name="a"), Dense(2, name="b")])
    assert model.pop().name == "b"
    assert model.output_shape == (None, 3)
    assert model(ones(2, 4)).shape == (2, 3)
    assert len(model.weights) == 2
    model.add(Dense(5, name="c"))
    assert model(ones(2, 4)).shape == (2, 5)
    model.pop()
    model.pop()
    assert model.layers == []
    with pytest.raises(ArgumentError, match="no layer to take away"):
        model.pop()


def test_building_waits_for_data():
    model = Sequential([Dense(3), Dense(2)])
    assert not model.built
    assert model.weights == []
    with pytest.raises(AttributeError, match="no output_shape yet"):
        _ = model.output_shape
    assert model([[1.0, 2.0, 3.0]]).shape == (1, 2)
    assert model.built
    assert model.input_shape == (None, 3)
    assert model(ones(9, 3)).shape == (9, 2)
    with pytest.raises(ShapeError, match="shape \\(None, 3\\)"):
        model(ones(9, 4))
    with pytest.raises(ShapeError, match="made for another input shape"):
        model.build((None, 4))


def test_building_in_a_trace(run_traced):
    model = Sequential([Dense(3), layers.Dropout(0.5, seed=1)])
    result = run_traced(lambda x: model(x, training=True), ones(2, 4))
    assert result.shape == (2, 3)
    assert model.input_shape == (None, 4)


def test_an_inner_model_may_come_first():
    inner_input = Input((4,))
    inner = lamina.Model(inner_input, Dense(3)(inner_input))
    model = Sequential([inner, Dense(2)])
    assert model.input_shape == (None, 4)
    assert len(model.weights) == 4
    assert len(model.layers) == 2


def test_input_shape_of_the_first_layer():
    with pytest.warns(UserWarning, match="make Input"):
        model = Sequential([Dense(3, input_shape=(4,)), Dense(2)])
    assert model.input_shape == (None, 4)
    assert len(model.weights) == 4


def test_inputs_of_other_dtypes_and_structures():
    class Sum(layers.Layer):
        def call(self, inputs):
            return inputs["a"] + inputs["b"]

    model = Sequential([Sum(), Dense(2)])
    assert model({"a": ones(2, 3), "b": ones(2, 3)}).shape == (2, 2)
    integers = Sequential([Input((3,), dtype="int32"), layers.Identity()])
    assert integers(ones(2, 3)).dtype == "int32"


def test_a_layer_may_be_used_twice():
    dense = Dense(4)
    model = Sequential([Input((4,)), dense, dense])
    assert len(model.weights) == 2
    x = ones(1, 4)
    np.testing.assert_allclose(model(x), dense(dense(x)), rtol=1e-6)


def test_layers_with_several_outputs_in_the_middle():
    model = Sequential([Input((4,)), layers.Lambda(lambda x: [x, 2 * x]), layers.Add()])
    np.testing.assert_array_equal(model(ones(1, 4)), 3 * ones(1, 4))


@pytest.mark.parametrize(
    ("make", "parts"),
    [
        (lambda: Sequential([Dense], name="m"), ["'m'", "Dense(...)"]),
        (lambda: Sequential([np.ones(3)]), ["stack of layers", "ndarray"]),
        (lambda: Sequential([Dense(2, name="q"), Dense(2, name="q")]), ["'q'"]),
        (lambda: Sequential([Dense(2), Input((3,))]), ["only as its first entry"]),
        (lambda: Sequential([Input((3,)), Input((3,))]), ["only as its first entry"]),
        (lambda: Sequential()(ones(2, 3)), ["no layers to build"]),
        (lambda: Sequential([layers.Add()]).build((None, 3)), ["merges a list"]),
    ],
)
def test_stacks_that_cannot_be(make, parts):
    with pytest.raises(ArgumentError) as caught:
        make()
    for part in parts:
        assert part in str(caught.value)


def test_config_of_an_unbuilt_model():
    model = Sequential([Dense(3), Dense(2)], name="m", trainable=False)
    again = Sequential.from_config(model.get_config())
    assert not again.built
    assert again.get_config() == model.get_config()
    assert not again.trainable
    with pytest.raises(ArgumentError, match="not the config of a Sequential"):
        Sequential.from_config({"name": "m"})


def test_get_layer():
    model = Sequential([Input((3,)), Dense(2, name="first"), Dense(2, name="second")])
    assert model.get_layer("second") is model.layers[1]
    assert model.get_layer(index=-1) is model.layers[1]
    with pytest.raises(ArgumentError, match="did you mean 'first'"):
        model.get_layer("frist")
    with pytest.raises(ArgumentError, match="none at index 2"):
        model.get_layer(index=2)
    with pytest.raises(ArgumentError, match="a name or an index"):
        model.get_layer()
    with pytest.raises(AttributeError):
        model.layers = []
