"""Gradient times input: exact where a network is linear, and never faded by a softmax."""

from __future__ import annotations

import numpy as np
import pytest

from lamina import Input, Model, Sequential, layers
from lamina.core.errors import ArgumentError, ShapeError
from lamina.explain import input_contributions


@pytest.fixture
def images(rng):
    return rng.normal(size=(5, 2, 3)).astype("float32")


def classifier(*more, units=4, bias=False):
    return Sequential(
        [Input((2, 3)), layers.Flatten(), *more, layers.Dense(units, use_bias=bias, name="scores")]
    )


def test_linear_network_gives_weight_times_input(images):
    model = classifier(bias=True)
    weights = model.get_layer("scores").get_weights()[0]
    found = input_contributions(model, images, [0, 1, 2, 3, 0])
    expected = weights[:, [0, 1, 2, 3, 0]].T.reshape(images.shape) * images
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize("last", [None, "softmax", "sigmoid"])
def test_contributions_of_a_relu_network_sum_to_the_score(images, last):
    model = classifier(layers.Dense(16, activation="relu", use_bias=False), layers.Dropout(0.5))
    scores = model.predict(images, verbose=0)
    if last:
        model.add(layers.Activation(last))
    classes = np.array([0, 1, 2, 3, 0])
    found = input_contributions(model, images, classes)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found.sum(axis=(1, 2)), scores[np.arange(5), classes], rtol=1e-4, atol=1e-6)


def test_against_explains_the_difference(images):
    model = classifier(layers.Dense(8, activation="relu"))
    one, other = np.array([0, 1, 2, 3, 0]), np.array([3, 2, 1, 0, 0])
    difference = input_contributions(model, images, one, against=other)
    expected = input_contributions(model, images, one) - input_contributions(model, images, other)
    np.testing.assert_allclose(difference, expected, rtol=1e-4, atol=1e-6)


def test_a_sure_softmax_hides_nothing(images):
    model = classifier(layers.Rescaling(1e4), layers.Dense(8, use_bias=False))
    model.add(layers.Activation("softmax"))
    probabilities = model.predict(images, verbose=0)
    assert (probabilities.min(axis=1) == 0).all()
    found = input_contributions(model, images, probabilities.argmin(axis=1))
    assert (np.abs(found).max(axis=(1, 2)) > 1).all()


def test_outputs_that_are_no_softmax_are_explained_as_they_are(images):
    model = classifier(units=2)
    squared = Model(model.inputs, layers.Lambda(lambda x: x * x)(model.outputs[0]))
    score = model.predict(images, verbose=0)[:, 1:, None]
    expected = 2 * score * input_contributions(model, images, [1] * 5)
    np.testing.assert_allclose(input_contributions(squared, images, [1] * 5), expected, rtol=1e-4, atol=1e-6)


def test_no_rows(images):
    assert input_contributions(classifier(), images[:0], np.zeros(0, int)).shape == (0, 2, 3)


@pytest.mark.parametrize(
    ("classes", "against", "error", "message"),
    [
        ([0, 1], None, ShapeError, "one class number per row"),
        ([0.5] * 5, None, ShapeError, "float64"),
        ([0] * 5, [[0]] * 5, ShapeError, "against"),
        ([4] * 5, None, ArgumentError, "0 to 3"),
        ([0] * 5, [-1] * 5, ArgumentError, "got:      -1"),
    ],
)
def test_classes_that_cannot_be(images, classes, against, error, message):
    with pytest.raises(error, match=message):
        input_contributions(classifier(), images, classes, against)


def test_a_model_that_is_no_classifier(images):
    with pytest.raises(ShapeError, match="no classifier"):
        input_contributions(Sequential([Input((2, 3)), layers.Dense(4)]), images, [0] * 5)
