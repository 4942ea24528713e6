"""Transformers as Keras users write them, for Lamina and Keras alike, and data of their shapes."""

from __future__ import annotations

from typing import Any

import numpy as np

WORDS = 1000
WIDTHS = {"block": 128, "gpt": 192, "long": 256}
BLOCKS, HEADS = {"block": 1, "gpt": 4, "long": 1}, {"block": 4, "gpt": 6, "long": 4}


def data(task: dict[str, Any]) -> tuple[Any, Any]:
    """For "gpt" random words and the words that follow, else random vectors and random targets."""
    rng = np.random.default_rng(0)
    shape = (task["batch"] * task["steps"], task["length"])
    if task["transformer"] != "gpt":
        x, y = (
            rng.standard_normal((*shape, WIDTHS[task["transformer"]])).astype(np.float32) for _ in range(2)
        )
        return x, y
    return tuple(rng.integers(0, WORDS, shape).astype(np.int32) for _ in range(2))


def build(keras: Any, task: dict[str, Any]) -> Any:
    """The compiled model; `keras` is Keras, or Lamina."""
    name, layers = task["transformer"], keras.layers
    width, causal, is_gpt = WIDTHS[name], name != "block", name == "gpt"
    if is_gpt:
        inputs = keras.Input((task["length"],), dtype="int32")
        x = layers.Embedding(WORDS, width)(inputs)
    else:
        x = inputs = keras.Input((task["length"], width))
    for _ in range(BLOCKS[name]):
        normal = layers.LayerNormalization()(x)
        attention = layers.MultiHeadAttention(HEADS[name], width // HEADS[name])
        x = layers.Add()([x, attention(normal, normal, use_causal_mask=causal)])
        inner = layers.Dense(4 * width, activation="gelu")(layers.LayerNormalization()(x))
        x = layers.Add()([x, layers.Dense(width)(inner)])
    if not is_gpt:
        model = keras.Model(inputs, x)
        model.compile("adam", "mse")
        return model
    model = keras.Model(inputs, layers.Dense(WORDS)(layers.LayerNormalization()(x)))
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model
