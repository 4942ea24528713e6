"""What every layer keeps: one row of `layer_rows` each."""

from __future__ import annotations

import copy
import inspect
import json
import pickle

import numpy as np
import pytest
from augmentation_rows import AUGMENTATIONS
from layer_rows import ROWS, scale

import lamina
from lamina import layers
from lamina.core import tree
from lamina.core.serialization import custom_object_scope
from lamina.ir.symbolic import KerasTensor

rows = pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)


@pytest.fixture(autouse=True)
def known_function():
    with custom_object_scope({"scale": scale}):
        yield


def symbolic(row, batch=None):
    dtype = "int32" if row.integers else "float32"
    tensors = [layers.Input(batch_shape=(batch, *shape[1:]), dtype=dtype) for shape in row.shapes]
    return tensors[0] if len(tensors) == 1 else tensors


def test_every_layer_has_a_row():
    made = {type(row.make(layers)).__name__ for row in ROWS} | AUGMENTATIONS.keys()
    public = {
        kind.__name__  # aliases are the same class
        for name in layers.__all__
        if inspect.isclass(kind := getattr(layers, name)) and issubclass(kind, layers.Layer)
    }
    # Called on several tensors, or on strings: these have their contract in tests/sequences.
    assert public - made == {
        "Layer",
        "InputLayer",
        "Wrapper",
        "MultiHeadAttention",
        "GroupQueryAttention",
        "HashedCrossing",
        "Hashing",
        "IntegerLookup",
        "StringLookup",
        "TextVectorization",
        "GRUCell",
        "LSTMCell",
        "SimpleRNNCell",
        "StackedRNNCells",
    }


@rows
def test_shapes_and_dtypes_agree(row, run_traced):
    layer, inputs = row.make(layers), row.inputs()
    kept = row.integers and type(layer).__name__ in ("Permute", "Flatten", "Reshape", "Identity")
    dtype = "int32" if kept else "float32"

    spec = layer(symbolic(row))
    assert spec.shape == (None, *row.output[1:])
    assert spec.dtype == dtype
    assert layer(symbolic(row, batch=row.shapes[0][0])).shape == row.output

    eager = layer(inputs)
    assert eager.shape == row.output
    assert eager.dtype == dtype

    traced = run_traced(
        lambda *tensors: layer(tensors[0] if len(tensors) == 1 else list(tensors)), *tree.flatten(inputs)
    )
    assert traced.shape == row.output
    assert traced.dtype == dtype
    np.testing.assert_allclose(traced, eager, rtol=1e-6, atol=1e-6)

    shapes = [(None, *shape[1:]) for shape in row.shapes]
    computed = layer.compute_output_shape(shapes[0] if len(shapes) == 1 else shapes)
    assert tuple(computed) == (None, *row.output[1:])


@rows
def test_variables(row):
    layer = row.make(layers)
    layer(row.inputs())
    assert layer.built
    weights, state = (tuple(f"{layer.name}/{name}" for name in names) for names in (row.weights, row.state))
    assert sorted(variable.path for variable in layer.weights) == sorted(weights + state)
    assert len(layer.variables) == len(layer.weights) + row.seeds
    assert layer.count_params() == sum(variable.size for variable in layer.weights)
    if layer.trainable:
        assert tuple(variable.path for variable in layer.trainable_weights) == weights
        assert tuple(variable.path for variable in layer.non_trainable_weights) == state
    else:
        assert layer.non_trainable_weights == layer.weights


@rows
def test_config_round_trip(row):
    layer = row.make(layers)
    config = layer.get_config()
    assert type(layer).from_config(config).get_config() == config
    written = json.loads(json.dumps(layers.serialize(layer)))
    again = layers.deserialize(written)
    assert type(again) is type(layer)
    assert json.loads(json.dumps(layers.serialize(again))) == written


@rows
def test_model_with_it_survives_json(row):
    inputs = symbolic(row)
    model = lamina.Model(inputs, row.make(layers)(inputs))
    again = lamina.models.model_from_json(model.to_json())
    again.set_weights(model.get_weights())
    np.testing.assert_array_equal(again(row.inputs()), model(row.inputs()))
    assert again.get_config() == model.get_config()


@rows
@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda layer: pickle.loads(pickle.dumps(layer))])
def test_copies_are_equal_and_independent(row, duplicate):
    layer, inputs = row.make(layers), row.inputs()
    expected = layer(inputs)
    twin = duplicate(layer)
    np.testing.assert_array_equal(twin(inputs), expected)
    assert twin.get_config() == layer.get_config()
    for mine, theirs in zip(layer.variables, twin.variables, strict=True):
        assert mine is not theirs
        assert not np.shares_memory(mine.array, theirs.array)
        assert mine.path == theirs.path


@rows
def test_training_flag(row, run_traced):
    layer, inputs = row.make(layers), row.inputs()
    still = layer(inputs)
    np.testing.assert_array_equal(layer(inputs, training=False), still)
    first, second = layer(inputs, training=True), layer(inputs, training=True)
    assert first.shape == still.shape
    assert np.isfinite(first).all()
    assert (not np.array_equal(first, second)) == row.random

    # The same generator state gives the same numbers, eagerly and traced.
    fresh, traced = row.make(layers), row.make(layers)
    fresh(inputs)
    traced(inputs)
    traced.set_weights(fresh.get_weights())
    flat = tree.flatten(inputs)
    result = run_traced(
        lambda *tensors: traced(tensors[0] if len(tensors) == 1 else list(tensors), training=True), *flat
    )
    np.testing.assert_allclose(result, fresh(inputs, training=True), rtol=1e-6, atol=1e-6)


@rows
def test_gradients_reach_every_trainable_weight(row, run_traced):
    layer, inputs = row.make(layers), row.inputs()
    layer(inputs)
    if not layer.trainable_weights:
        return

    def loss_gradients(*tensors):
        outputs = layer(tensors[0] if len(tensors) == 1 else list(tensors), training=True)
        weights = np.arange(outputs.size, dtype="float32").reshape(outputs.shape)
        return lamina.gradients(lamina.ops.sum(outputs * weights), layer.trainable_weights)

    for variable, slope in zip(layer.trainable_weights, run_traced(loss_gradients, *tree.flatten(inputs))):
        assert slope.shape == variable.shape
        assert np.isfinite(slope).all()
        assert np.abs(slope).max() > 0


@rows
def test_float64(row):
    if row.integers:
        return
    layer = row.make(layers)
    wide = type(layer).from_config({**layer.get_config(), "dtype": "float64"})
    inputs = tree.map_structure(lambda array: array.astype("float64"), row.inputs())
    own_dtype_inside = (layers.Wrapper, layers.RNN, layers.Bidirectional)
    if isinstance(layer, own_dtype_inside) and "units" not in layer.get_config():
        return  # the layer inside has a dtype of its own
    assert wide(inputs).dtype == "float64"
    assert all(variable.dtype in ("float64", "int32") for variable in wide.weights)
    tensors = [KerasTensor(shape, "float64") for shape in row.shapes]
    assert wide(tensors[0] if len(tensors) == 1 else tensors).dtype == "float64"
