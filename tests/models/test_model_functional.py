"""Functional models: graphs of any shape, against real Keras where it can judge."""

from __future__ import annotations

import json

import numpy as np
import pytest

import lamina
from lamina import layers, models, ops
from lamina.core import tree
from lamina.core.errors import ArgumentError, ShapeError
from lamina.core.naming import reset_names


def ones(*shape):
    return np.ones(shape, "float32")


def keras_weights(model):
    return [np.asarray(weight.value) for weight in model.weights]


# Each builder makes the same model with the names of Lamina or of Keras.


def chain(k):
    x = k.Input((4,))
    return k.Model(x, k.layers.Dense(2)(k.layers.Dense(3, activation="relu")(x)), name="chain")


def many_inputs(k):
    a, b = k.Input((4,), name="a"), k.Input((3,), name="b")
    joined = k.layers.Concatenate()([k.layers.Dense(2)(a), k.layers.Dense(2)(b)])
    return k.Model(
        [a, b], [k.layers.Dense(1, name="one")(joined), k.layers.Dense(2, name="two")(joined)], name="many"
    )


def dicts(k):
    a, b = k.Input((4,), name="left"), k.Input((4,), name="right")
    total = k.layers.Add()([a, b])
    outputs = {"sum": total, "more": {"dense": k.layers.Dense(2)(total), "pair": (a, b)}}
    return k.Model({"left": a, "right": b}, outputs, name="dicts")


def shared(k):
    a, b = k.Input((4,)), k.Input((4,))
    tower = k.layers.Dense(3, activation="tanh")
    return k.Model(
        [a, b],
        k.layers.Subtract()([tower(a), tower(tower(k.layers.Dense(4)(tower(b))) @ ones(3, 4))]),
        name="s",
    )


def nested(k):
    x = k.Input((4,))
    inner_input = k.Input((4,))
    inner = k.Model(inner_input, k.layers.Dense(4)(inner_input), name="inner")
    stack = k.Sequential([k.layers.Dense(3), k.layers.Dense(4)], name="stack")
    return k.Model(x, k.layers.Add()([inner(x), stack(inner(x)), x]), name="nested")


def recorded_ops(k):
    x = k.Input((4,))
    y = k.ops.relu(-x) * 2 + k.ops.sqrt(1 + k.ops.exp(x))
    z = k.ops.concatenate([y[:, :2], k.ops.sum(x, axis=-1, keepdims=True)], axis=-1)
    return k.Model(x, [z, k.ops.where(x > 0.0, x, 0.5) ** 2, abs(x) - x % 2], name="ops")


def diamond(k):
    x = k.Input((4,))
    h = k.layers.Dense(4, name="stem")(x)
    left, right = k.layers.Dense(4, name="left")(h), k.layers.ReLU(name="right")(h)
    return k.Model(
        x, k.layers.Dense(1, name="head")(k.layers.Multiply()([left, k.layers.Add()([right, h])])), name="d"
    )


BUILDERS = [chain, many_inputs, dicts, shared, nested, recorded_ops, diamond]
builders = pytest.mark.parametrize("build", BUILDERS, ids=lambda build: build.__name__)


def data_for(model, seed=0):
    rng = np.random.default_rng(seed)
    return tree.map_structure(lambda x: rng.normal(size=(5, *x.shape[1:])).astype("float32"), model.input)


@builders
def test_outputs_names_and_order_are_those_of_keras(build, real_keras):
    reset_names()
    real_keras.utils.clear_session()
    mine, theirs = build(lamina), build(real_keras)
    assert [operation.name for operation in mine.operations] == [
        operation.name for operation in theirs.operations
    ]
    assert [layer.name for layer in mine.layers] == [layer.name for layer in theirs.layers]
    assert mine.output_names == theirs.output_names
    assert [weight.path for weight in mine.weights] == [weight.path for weight in theirs.weights]
    assert mine.input_shape == theirs.input_shape
    assert mine.output_shape == theirs.output_shape
    assert mine.count_params() == theirs.count_params()

    mine.set_weights(keras_weights(theirs))
    data = data_for(mine)
    result, expected = mine(data), theirs(data)
    tree.assert_same_structure(result, expected)
    for one, other in zip(tree.flatten(result), tree.flatten(expected)):
        np.testing.assert_allclose(one, np.asarray(other), rtol=1e-5, atol=1e-6)


@builders
def test_summaries_are_those_of_keras(build, real_keras):
    reset_names()
    real_keras.utils.clear_session()
    mine, theirs = build(lamina), build(real_keras)
    for options in ({}, {"show_trainable": True}, {"expand_nested": True}):
        texts = []
        mine.summary(print_fn=texts.append, **options)
        theirs.summary(print_fn=texts.append, **options)
        assert texts[0] == texts[1]


@builders
def test_json_round_trip(build):
    model = build(lamina)
    text = model.to_json()
    again = models.model_from_json(text)
    assert json.loads(again.to_json()) == json.loads(text)
    again.set_weights(model.get_weights())
    data = data_for(model)
    for one, other in zip(tree.flatten(model(data)), tree.flatten(again(data))):
        np.testing.assert_array_equal(one, other)


@builders
def test_json_of_keras_is_read(build, real_keras):
    theirs = build(real_keras)
    mine = models.model_from_json(theirs.to_json())
    assert [operation.name for operation in mine.operations] == [
        operation.name for operation in theirs.operations
    ]
    mine.set_weights(keras_weights(theirs))
    data = data_for(mine)
    for one, other in zip(tree.flatten(mine(data)), tree.flatten(theirs(data))):
        np.testing.assert_allclose(one, np.asarray(other), rtol=1e-5, atol=1e-6)


@builders
def test_traced_symbolic_and_eager_agree(build, run_traced):
    model = build(lamina)
    data = data_for(model)
    flat = tree.flatten(data)
    eager = model(data)
    traced = run_traced(lambda *tensors: model(tree.pack_like(model.input, tensors)), *flat)
    spec = model(tree.map_structure(lambda x: lamina.Input(x.shape[1:]), model.input))
    shape = model.compute_output_shape(
        tree.map_structure(lambda x: x.shape, data) if len(flat) > 1 else flat[0].shape
    )
    for one, other, symbol in zip(*map(tree.flatten, (eager, traced, spec))):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
        assert symbol.shape == (None, *one.shape[1:])
    assert tree.flatten(shape) == tree.flatten(tree.map_structure(lambda x: x.shape, eager))


# --- how a model is called -------------------------------------------------------------------------


def test_inputs_by_position_by_name_and_as_lists():
    model = many_inputs(lamina)
    a, b = ones(2, 4), 2 * ones(2, 3)
    expected = model([a, b])
    for given in ((a, b), {"a": a, "b": b}, {"b": b, "a": a, "unused": a}, [a.tolist(), b.tolist()]):
        for one, other in zip(model(given), expected):
            np.testing.assert_array_equal(one, other)
    single = chain(lamina)
    for given in (
        a,
        [a],
        a.tolist(),
        a.astype("float64"),
        {single.inputs[0].name: a},
        lamina.ops.convert_to_tensor(a),
    ):
        np.testing.assert_array_equal(single(given), single(a))


def test_inputs_are_cast_and_get_a_missing_last_axis():
    x = lamina.Input((3, 1), dtype="int32")
    model = lamina.Model(x, layers.Flatten()(x))
    assert model(ones(2, 3)).dtype == "int32"
    assert model(ones(2, 3)).shape == (2, 3)
    y = lamina.Input((3,))
    assert lamina.Model(y, layers.Identity()(y))(ones(2, 3, 1)).shape == (2, 3)


def test_optional_inputs():
    class AddOptional(layers.Layer):
        def call(self, x, y=None):
            return x if y is None else x + y

    x, y = lamina.Input((2,)), lamina.Input((2,), optional=True)
    model = lamina.Model([x, y], AddOptional()(x, y))
    np.testing.assert_array_equal(model([ones(1, 2), None]), ones(1, 2))
    np.testing.assert_array_equal(model([ones(1, 2), ones(1, 2)]), 2 * ones(1, 2))


@pytest.mark.parametrize(
    ("given", "parts"),
    [
        ([ones(2, 4)], ["2: 'a' (None, 4), 'b' (None, 3)", "1, of shapes (2, 4)", "by name"]),
        (ones(2, 4), ["1, of shapes (2, 4)"]),
        ({"a": ones(2, 4)}, ["no data for its input 'b'", "the keys a"]),
        ([ones(2, 3), ones(2, 3)], ["input 'a'", "(None, 4)", "(2, 3)"]),
        ([ones(4), ones(2, 3)], ["input 'a'", "x[None]"]),
        ([ones(2, 4), None], ["None for its input 'b'", "optional=True"]),
        ([ones(2, 4)] * 3, ["3, of shapes"]),
    ],
)
def test_wrong_inputs_are_named(given, parts):
    with pytest.raises((ArgumentError, ShapeError)) as caught:
        many_inputs(lamina)(given)
    assert "Model 'many'" in str(caught.value)
    for part in parts:
        assert part in str(caught.value)


def test_dict_inputs_in_another_order_need_a_dict():
    a, b = lamina.Input((2,), name="a"), lamina.Input((3,), name="b")
    model = lamina.Model({"b": b, "a": a}, layers.Concatenate()([a, b]))
    assert model({"a": ones(1, 2), "b": ones(1, 3)}).shape == (1, 5)
    with pytest.raises(ArgumentError, match="must be called with one"):
        model([ones(1, 3), ones(1, 2)])


def test_explicit_training_in_the_graph_wins():
    x = lamina.Input((100,))
    model = lamina.Model(x, layers.Dropout(0.5, seed=1)(x, training=True))
    assert (model(ones(1, 100), training=False) == 0).any()
    other = lamina.Model(x, layers.Dropout(0.5, seed=1)(x))
    assert (other(ones(1, 100)) == 1).all()
    assert (other(ones(1, 100), training=True) == 0).any()


def test_masks_flow_through_models():
    class Count(layers.Layer):
        def call(self, inputs, mask=None):
            return ops.sum(ops.cast(mask, "float32"), axis=-1, keepdims=True)

        def compute_mask(self, inputs, previous_mask):
            return None

    x = lamina.Input((3, 1))
    model = lamina.Model(x, Count()(layers.Dense(2)(layers.Masking()(x))))
    data = np.array([[[1.0], [0.0], [2.0]]])
    assert model(data) == 2.0
    stack = lamina.Sequential([lamina.Input((3, 1)), layers.Masking(), layers.Dense(2), Count()])
    assert stack(data) == 2.0
    assert len(model.layers) == 4


# --- making models ---------------------------------------------------------------------------------


def test_a_part_of_a_model_shares_its_weights():
    x = lamina.Input((4,))
    h = layers.Dense(3, activation="relu", name="hidden")(x)
    y = layers.Dense(2, name="scores")(h)
    whole, front, back = lamina.Model(x, y), lamina.Model(x, h), lamina.Model(h, y)
    data = np.random.default_rng(0).normal(size=(5, 4)).astype("float32")
    np.testing.assert_allclose(back(front(data)), whole(data), rtol=1e-6)
    assert back.weights[0] is whole.weights[2]
    assert [layer.name for layer in back.layers][1:] == ["scores"]
    assert back.input_shape == (None, 3)
    features = lamina.Model(whole.inputs, [layer.output for layer in whole.layers])
    assert [tuple(part.shape) for part in features(data)] == [(5, 4), (5, 3), (5, 2)]
    assert models.model_from_json(back.to_json()).count_params() == back.count_params()


def test_an_input_that_nothing_uses_stays():
    x, y = lamina.Input((2,), name="used"), lamina.Input((3,), name="unused")
    model = lamina.Model([x, y], layers.Dense(1)(x))
    assert {layer.name for layer in model.layers} >= {"used", "unused"}
    assert model([ones(1, 2), ones(1, 3)]).shape == (1, 1)
    assert models.model_from_json(model.to_json()).input_shape == [(None, 2), (None, 3)]


def test_the_same_tensor_twice_and_an_input_as_output():
    x = lamina.Input((2,))
    model = lamina.Model(x, [x, x, layers.Add()([x, x])])
    first, second, total = model(ones(1, 2))
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(total, 2 * ones(1, 2))


@pytest.mark.parametrize(
    ("make", "parts"),
    [
        (
            lambda: lamina.Model(lamina.Input((2,)), layers.Dense(1)(lamina.Input((2,), name="other"))),
            ["'dense", "other"],
        ),
        (lambda: lamina.Model(ones(2), lamina.Input((2,))), ["inputs", "KerasTensors", "ndarray"]),
        (lambda: lamina.Model(lamina.Input((2,)), ones(2)), ["outputs", "KerasTensors"]),
        (lambda: lamina.Model([], lamina.Input((2,))), ["at least one tensor as inputs"]),
    ],
)
def test_models_that_cannot_be(make, parts):
    with pytest.raises(ArgumentError) as caught:
        make()
    for part in parts:
        assert part in str(caught.value)


def test_two_layers_of_one_name():
    x = lamina.Input((2,))
    with pytest.raises(ArgumentError, match="two layers named 'twin'"):
        lamina.Model(x, layers.Dense(2, name="twin")(layers.Dense(2, name="twin")(x)))


def test_freezing():
    model = nested(lamina)
    model.trainable = False
    assert model.trainable_weights == []
    again = models.model_from_json(model.to_json())
    assert again.trainable_weights == []
    model.trainable = True
    model.get_layer("inner").trainable = False
    assert len(model.trainable_weights) == 4
    assert len(models.model_from_json(model.to_json()).trainable_weights) == 4


def test_functions_are_graphs_without_being_layers():
    x, y = lamina.Input((3,)), lamina.Input((3,))
    function = lamina.Function({"x": x, "y": y}, [ops.sum(x * y, axis=-1), layers.Dense(2)(x)], name="f")
    product, dense = function({"x": ones(2, 3), "y": 2 * ones(2, 3)})
    np.testing.assert_array_equal(product, [6.0, 6.0])
    assert dense.shape == (2, 2)
    assert function.compute_output_shape({"x": (7, 3), "y": (7, 3)}) == [(7,), (7, 2)]
    z = lamina.Input((3,))
    assert lamina.Model(z, function({"x": z, "y": z}))(ones(2, 3))[0].shape == (2,)
    with pytest.raises(ShapeError, match=r"input '.*'"):
        function({"x": ones(2, 4), "y": ones(2, 3)})
    with pytest.raises(ArgumentError, match="another structure"):
        function([ones(2, 3), ones(2, 3)])


def test_a_deep_model(real_keras):
    x = y = lamina.Input((2,))
    for _ in range(400):
        y = layers.ReLU()(y)
    model = lamina.Model(x, y)
    assert model(ones(1, 2)).shape == (1, 2)
    assert len(model.layers) == 401
