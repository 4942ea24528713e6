"""Recurrent networks over token numbers as Keras users write them, for Lamina and Keras alike; their data."""

from __future__ import annotations

from typing import Any

import numpy as np

WORDS, UNITS = 20_000, 128


def data(task: dict[str, Any]) -> tuple[Any, Any]:
    """Random tokens, and a label for each sequence."""
    rng = np.random.default_rng(0)
    rows = task["batch"] * task["steps"]
    tokens = rng.integers(0, WORDS, (rows, task["length"])).astype(np.int32)
    return tokens, rng.integers(0, 2, (rows, 1)).astype(np.float32)


def build(keras: Any, task: dict[str, Any]) -> Any:
    """The compiled model; `keras` is Keras, or Lamina."""
    layers = keras.layers
    recurrent = {
        "lstm": lambda: layers.LSTM(UNITS),
        "gru": lambda: layers.GRU(UNITS),
        "simple": lambda: layers.SimpleRNN(UNITS),
        "bidirectional": lambda: layers.Bidirectional(layers.LSTM(UNITS // 2)),
    }[task["recurrent"]]()
    model = keras.Sequential(
        [
            keras.Input((task["length"],), dtype="int32"),
            layers.Embedding(WORDS, UNITS),
            recurrent,
            layers.Dense(1, activation="sigmoid"),
        ]
    )
    model.compile("adam", "binary_crossentropy")
    return model
