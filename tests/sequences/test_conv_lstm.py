"""ConvLSTM against real Keras: outputs and gradients."""

from __future__ import annotations

import numpy as np
import pytest
from sequence_judge import assert_same

import lamina
from lamina import layers
from lamina.core.errors import ArgumentError, ShapeError

RNG = np.random.default_rng(3)
SIGNALS = RNG.normal(size=(2, 3, 6, 2)).astype("float32")
IMAGES = RNG.normal(size=(2, 3, 5, 6, 2)).astype("float32")
VOLUMES = RNG.normal(size=(1, 2, 3, 4, 3, 1)).astype("float32")


@pytest.mark.parametrize(
    ("rank", "x", "arguments"),
    [
        (1, SIGNALS, {"padding": "same", "return_sequences": True, "go_backwards": True}),
        (2, IMAGES, {"strides": 2, "return_state": True}),
        (2, IMAGES, {"dilation_rate": 2, "padding": "same", "use_bias": False, "activation": "relu"}),
        (3, VOLUMES, {"padding": "same"}),
    ],
)
def test_parity(rank, x, arguments, real_keras):
    mine, theirs = (
        getattr(module, f"ConvLSTM{rank}D")(2, 2, **arguments) for module in (layers, real_keras.layers)
    )
    assert_same(mine, theirs, (x,))
    assert set(mine.get_config()) == set(theirs.get_config()) - {"quantization_config"}
    again = layers.deserialize(real_keras.layers.serialize(theirs))
    assert again.get_config() == {**mine.get_config(), "name": theirs.name}


def test_in_a_model():
    x = lamina.Input((3, 5, 6, 2))
    frames = layers.ConvLSTM2D(2, 3, return_sequences=True, dropout=0.2, recurrent_dropout=0.1)(x)
    assert frames.shape == (None, 3, 3, 4, 2)
    model = lamina.Model(
        x, layers.Dense(1)(layers.Flatten()(layers.Bidirectional(layers.ConvLSTM2D(1, 2))(frames)))
    )
    model.compile("adam", "mse")
    model.fit(IMAGES, np.ones(2), verbose=0)
    twin = lamina.models.model_from_json(model.to_json())
    twin.set_weights(model.get_weights())
    np.testing.assert_array_equal(twin.predict(IMAGES), model.predict(IMAGES))


def test_wrong_uses():
    with pytest.raises(ArgumentError, match="together"):
        layers.ConvLSTM2D(2, 2, strides=2, dilation_rate=2)
    with pytest.raises(ShapeError, match="must know the size"):
        layers.ConvLSTM1D(2, 2)(lamina.Input((3, None, 2)))
    with pytest.raises(ShapeError, match="does not fit"):
        layers.ConvLSTM1D(2, 9)(SIGNALS)
