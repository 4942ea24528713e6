"""Crossentropies see the logits behind a traced softmax or sigmoid, and make few nodes of them."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from loss_cases import make_data, sigmoid, softmax

from lamina import losses, ops
from lamina.core.config import config
from lamina.grad.reverse import gradients
from lamina.interp import run_graph
from lamina.ir import Graph, Trace
from lamina.losses.logits import argument_of, sigmoid_logits, softmax_logits

LOSSES = [
    ("BinaryCrossentropy", "sigmoid", "binary_logits", {}),
    ("BinaryCrossentropy", "sigmoid", "binary_logits", {"label_smoothing": 0.1}),
    ("CategoricalCrossentropy", "softmax", "one_hot_logits", {}),
    ("CategoricalCrossentropy", "softmax", "one_hot_logits", {"label_smoothing": 0.1}),
    ("SparseCategoricalCrossentropy", "softmax", "labels_logits", {}),
    ("SparseCategoricalCrossentropy", "softmax", "labels_logits", {"ignore_class": 0}),
    ("CategoricalFocalCrossentropy", "softmax", "one_hot_logits", {}),
    ("BinaryFocalCrossentropy", "sigmoid", "binary_logits", {"gamma": 0.5}),
]
# Their formula needs the probabilities themselves.
OF_PROBABILITIES = [
    ("CategoricalGeneralizedCrossEntropy", "softmax", "labels_logits", {}),
    ("KLDivergence", "softmax", "one_hot_logits", {}),
    ("Poisson", "softmax", "one_hot_logits", {}),
    ("MeanSquaredLogarithmicError", "sigmoid", "binary_logits", {}),
]


@pytest.mark.parametrize(("name", "activation", "data", "options"), LOSSES)
def test_loss_of_traced_activation_is_the_loss_of_the_logits(rng, name, activation, data, options):
    """Not only equal in value: the very same node."""
    y_true, logits = make_data(data, rng)
    with Trace() as trace:
        target = trace.input("y", y_true.shape, y_true.dtype.name)
        tensor = trace.input("logits", logits.shape, "float32")
        loss = getattr(losses, name)
        from_activation = loss(**options)(target, getattr(ops, activation)(tensor))
        from_logits = loss(from_logits=True, **options)(target, tensor)
    assert from_activation.value is from_logits.value


@pytest.mark.parametrize(("name", "activation", "data", "options"), LOSSES + OF_PROBABILITIES)
@pytest.mark.parametrize("scale", [0.0, 50.0, 1000.0, -1000.0])
def test_saturated_activations_have_finite_gradients(rng, name, activation, data, options, scale):
    y_true, logits = make_data(data, rng)
    logits = (scale * logits).astype(np.float32)
    with Trace() as trace:
        target = trace.input("y", y_true.shape, y_true.dtype.name)
        tensor = trace.input("logits", logits.shape, "float32")
        value = getattr(losses, name)(**options)(target, getattr(ops, activation)(tensor)).value
        (gradient,) = gradients(value, [tensor.value])
    found, slope = run_graph(Graph(tuple(trace.inputs), (value, gradient)), [y_true, logits])
    assert np.isfinite(found)
    assert np.isfinite(slope).all()


def test_logits_are_found_along_any_axis_and_only_there(rng):
    with Trace() as trace:
        x = trace.input("x", (4, 3, 5), "float32")
        y = ops.softmax(x, axis=1)
        assert softmax_logits(y, 1).value is x.value
        assert softmax_logits(y, -1) is None
        assert sigmoid_logits(y) is None
        assert sigmoid_logits(ops.sigmoid(2.0 * x)).value is (2.0 * x).value
        assert softmax_logits(2.0 * ops.softmax(x)) is None
        assert softmax_logits(x) is None


def test_a_softmax_written_by_hand_is_not_mistaken(rng):
    """Close to a softmax, but with another denominator."""
    with Trace() as trace:
        x = trace.input("x", (4, 5), "float32")
        e = ops.exp(x - ops.max(x, axis=-1, keepdims=True))
        assert softmax_logits(e / (1e-3 + ops.sum(e, axis=-1, keepdims=True))) is None


def test_logits_are_seen_through_the_cast_of_mixed_precision():
    with Trace() as trace:
        x = trace.input("x", (4, 5), "float16")
        found = softmax_logits(ops.cast(ops.softmax(x), "float32"))
        assert found.value is ops.cast(x, "float32").value
        assert argument_of(ops.softmax, ops.cast(ops.cast(ops.softmax(x), "int32"), "float32")) is None


def test_eager_probabilities_are_clipped_as_in_keras(real_keras):
    y_true, y_pred = np.array([0, 1], np.int32), np.array([[1.0, 0.0], [1.0, 0.0]], np.float32)
    found = losses.SparseCategoricalCrossentropy(reduction="none")(y_true, y_pred)
    expected = real_keras.losses.SparseCategoricalCrossentropy(reduction="none")(y_true, y_pred)
    np.testing.assert_allclose(found, np.asarray(expected), rtol=1e-6)
    np.testing.assert_allclose(found[1], -np.log(config.epsilon), rtol=1e-6)


def test_sure_and_wrong_still_learns(rng):
    """Behind a softmax the clipped form would have no gradient; the logits have the full one."""
    y_true = np.array([0], np.int32)
    logits = np.array([[-200.0, 200.0, 0.0]], np.float32)
    with Trace() as trace:
        target, tensor = trace.input("y", (1,), "int32"), trace.input("x", (1, 3), "float32")
        value = losses.SparseCategoricalCrossentropy()(target, ops.softmax(tensor)).value
        (gradient,) = gradients(value, [tensor.value])
    found, slope = run_graph(Graph(tuple(trace.inputs), (value, gradient)), [y_true, logits])
    assert found == 400.0
    np.testing.assert_array_equal(slope, [[-1.0, 1.0, 0.0]])


@pytest.mark.parametrize("name", ["softmax", "sigmoid"])
def test_gradient_is_prediction_minus_target(rng, name):
    """The textbook form, to a few units in the last place; at logits 0 too."""
    data = "one_hot_logits" if name == "softmax" else "binary_logits"
    y_true, logits = make_data(data, rng)
    logits[0] = 0
    loss = losses.CategoricalCrossentropy if name == "softmax" else losses.BinaryCrossentropy
    with Trace() as trace:
        target = trace.input("y", y_true.shape, "float32")
        tensor = trace.input("x", logits.shape, "float32")
        value = loss(reduction="sum")(target, getattr(ops, name)(tensor)).value
        (gradient,) = gradients(value, [tensor.value])
    (slope,) = run_graph(Graph(tuple(trace.inputs), (gradient,)), [y_true, logits])
    prediction = softmax(logits) if name == "softmax" else sigmoid(logits)
    expected = prediction - y_true
    if name == "sigmoid":
        expected = expected / logits.shape[1]
    np.testing.assert_allclose(slope, expected, atol=5e-7)


def test_sparse_crossentropy_of_a_softmax_is_one_row_of_few_primitives(rng):
    """Value and gradient share one exp; labels are compared, never gathered; every reduction is along a row
    (but for the sum over the batch)."""
    with Trace() as trace:
        target, tensor = trace.input("y", (32,), "int32"), trace.input("x", (32, 10), "float32")
        probabilities = ops.softmax(tensor)
        value = losses.SparseCategoricalCrossentropy()(target, probabilities).value
        (gradient,) = gradients(value, [tensor.value])
    nodes = Graph(tuple(trace.inputs), (value, gradient, probabilities.value)).nodes()
    used = Counter(node.primitive.name for node in nodes)
    assert used["exp"] == used["log"] == used["reduce_max"] == used["equal"] == 1
    assert used["reduce_sum"] <= 3
    assert "gather" not in used
    assert "scatter_add" not in used
    arithmetic = [node for node in nodes if node.inputs and not node.primitive.has("moves")]
    assert len(arithmetic) <= 22, "\n".join(map(str, arithmetic))
