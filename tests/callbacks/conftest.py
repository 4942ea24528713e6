"""A small data set and a model for callbacks to watch."""

import numpy as np
import pytest

from lamina import layers, models
from lamina.random import set_random_seed


@pytest.fixture
def classes(rng):
    """(x, y): 150 rows of 4 features, and three classes that depend on them."""
    x = rng.normal(size=(150, 4)).astype("float32")
    y = np.digitize(x[:, 0] + 0.5 * x[:, 1], [-0.5, 0.5]).astype("int32")
    return x, y


@pytest.fixture
def classifier():
    """A small classifier that is compiled."""
    set_random_seed(7)
    model = models.Sequential(
        [layers.Input((4,)), layers.Dense(8, activation="relu"), layers.Dense(3, activation="softmax")]
    )
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model
