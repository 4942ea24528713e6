"""Bytes are trained on as they are: they become floats in the compiled step, never as a whole."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

import lamina
from lamina import layers


def network():
    lamina.utils.set_random_seed(0)
    model = lamina.Sequential(
        [
            layers.Input((16, 16, 3)),
            layers.Rescaling(1 / 255),
            layers.Conv2D(4, 3, strides=4),
            layers.GlobalAveragePooling2D(),
            layers.Dense(2, "softmax"),
        ]
    )
    model.compile("sgd", "sparse_categorical_crossentropy")
    return model


@pytest.fixture
def images(rng):
    return rng.integers(0, 256, (6000, 16, 16, 3)).astype("uint8")


def test_no_copy_of_the_data_is_made(images):
    labels = np.zeros(len(images), "int64")
    model = network()
    model.fit(images[:64], labels[:64], batch_size=64, verbose=0)
    model.predict(images[:64], batch_size=64, verbose=0)
    tracemalloc.start()
    try:
        model.fit(images, labels, batch_size=64, verbose=0)
        model.evaluate(images, labels, batch_size=64, verbose=0)
        model.predict(images, batch_size=64, verbose=0)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < images.nbytes / 2


def test_bytes_and_floats_give_the_same_training(images):
    images, labels = images[:256], images[:256, 0, 0, 0] // 128
    first = network().fit(images, labels, batch_size=64, epochs=2, verbose=0).history
    second = network().fit(images.astype("float32"), labels, batch_size=64, epochs=2, verbose=0).history
    assert first == second


def test_bytes_as_labels_with_a_metric(rng):
    """Loss and metric read the same labels, which are cast for both."""
    x, y = rng.random((384, 28, 28)).astype("float32"), rng.integers(0, 10, 384).astype("uint8")
    losses = []
    for backend in ("cpu", "reference"):
        lamina.utils.set_random_seed(1)
        model = lamina.Sequential(
            [layers.Input((28, 28)), layers.Flatten(), layers.Dense(128, "relu"), layers.Dense(10, "softmax")]
        )
        model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"], backend=backend)
        losses.append(model.fit(x, y, batch_size=128, epochs=2, shuffle=False, verbose=0).history["loss"])
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-4)
