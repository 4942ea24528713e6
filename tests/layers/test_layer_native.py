"""Layers of convolutional networks in native training against the reference backend: many in one network."""

from __future__ import annotations

import numpy as np
import pytest
from image_rows import IMAGE_ROWS

import lamina
from lamina import layers

# For each rank, an input that every row of this rank accepts.
SHAPES = {3: (9, 4), 4: (8, 7, 6), 5: (4, 5, 6, 2)}
# Constants of Keras' layers that were given for other extents, and layers that are meant for vectors.
LEFT_OUT = {"normalization_given", "group_normalization_axis"}


def network(rank):
    inputs = lamina.Input(SHAPES[rank])
    outputs = []
    for row in IMAGE_ROWS:
        if len(row.shapes[0]) == rank and not row.integers and row.name not in LEFT_OUT:
            branch = row.make(layers)(inputs)
            outputs.append(layers.Dense(1)(layers.Activation("tanh")(layers.Flatten()(branch))))
    return lamina.Model(inputs, layers.Add()(outputs))


@pytest.mark.parametrize("rank", SHAPES)
def test_training_is_the_same_on_both_backends(rank, rng):
    x = rng.normal(size=(6, *SHAPES[rank])).astype("float32")
    y = rng.normal(size=(6, 1)).astype("float32")
    results = []
    for backend in ("cpu", "reference"):
        lamina.utils.set_random_seed(4)
        model = network(rank)
        model.compile(lamina.optimizers.SGD(1e-4), "mse", backend=backend)
        history = model.fit(x, y, batch_size=3, epochs=2, shuffle=False, verbose=0).history["loss"]
        results.append([np.array(history), *model.get_weights(), model.predict(x, verbose=0)])
    for native, expected in zip(*results, strict=True):
        np.testing.assert_allclose(native, expected, rtol=2e-4, atol=2e-5)
