"""Convolutional networks as Keras users write them, for Lamina and Keras alike, and data of their shapes."""

from __future__ import annotations

from typing import Any

import numpy as np

SHAPES: dict[str, tuple[int, ...]] = {
    "mnist": (28, 28, 1),
    "resnet20": (32, 32, 3),
    "vgg": (32, 32, 3),
    "conv1d": (500, 1),
    "generator": (64,),
    "mobile": (32, 32, 3),
}
CLASSES = 10


def data(task: dict[str, Any]) -> tuple[Any, Any]:
    """Random images and labels - for the generator, random codes and images."""
    rng = np.random.default_rng(0)
    rows = task["batch"] * task["steps"]
    x = rng.standard_normal((rows, *SHAPES[task["network"]])).astype(np.float32)
    if task["network"] == "generator":
        return x, np.tanh(rng.standard_normal((rows, 28, 28, 1))).astype(np.float32)
    return x, rng.integers(0, CLASSES, rows).astype(np.int32)


def build(keras: Any, task: dict[str, Any]) -> Any:
    """The compiled model; `keras` is Keras, or Lamina."""
    name = task["network"]
    x = keras.Input(SHAPES[name])
    model = keras.Model(x, _NETWORKS[name](keras.layers, x))
    if name == "generator":
        model.compile("adam", "mse")
    else:
        model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def _mnist(layers: Any, x: Any) -> Any:
    for filters in (32, 64):
        x = layers.Conv2D(filters, 3, activation="relu")(x)
        x = layers.MaxPooling2D()(x)
    x = layers.Dropout(0.5)(layers.Flatten()(x))
    return layers.Dense(CLASSES, activation="softmax")(x)


def _normalized(layers: Any, x: Any, filters: int, size: int = 3, strides: int = 1) -> Any:
    x = layers.Conv2D(filters, size, strides=strides, padding="same", use_bias=False)(x)
    return layers.BatchNormalization()(x)


def _resnet20(layers: Any, x: Any) -> Any:
    x = layers.ReLU()(_normalized(layers, x, 16))
    for filters in (16, 32, 64):
        for block in range(3):
            strides = 2 if block == 0 and filters > 16 else 1
            y = layers.ReLU()(_normalized(layers, x, filters, strides=strides))
            y = _normalized(layers, y, filters)
            if strides > 1:
                x = _normalized(layers, x, filters, size=1, strides=strides)
            x = layers.ReLU()(layers.Add()([x, y]))
    return layers.Dense(CLASSES, activation="softmax")(layers.GlobalAveragePooling2D()(x))


def _vgg(layers: Any, x: Any) -> Any:
    for filters in (64, 128, 256):
        for _ in range(2):
            x = layers.Conv2D(filters, 3, padding="same", activation="relu")(x)
        x = layers.MaxPooling2D()(x)
    return layers.Dense(CLASSES, activation="softmax")(layers.Flatten()(x))


def _conv1d(layers: Any, x: Any) -> Any:
    for filters in (32, 64, 128):
        x = layers.Conv1D(filters, 5, padding="same", activation="relu")(x)
        x = layers.MaxPooling1D()(x)
    return layers.Dense(CLASSES, activation="softmax")(layers.GlobalAveragePooling1D()(x))


def _generator(layers: Any, x: Any) -> Any:
    x = layers.Reshape((7, 7, 128))(layers.Dense(7 * 7 * 128)(x))
    x = layers.ReLU()(layers.BatchNormalization()(x))
    x = layers.Conv2DTranspose(64, 4, strides=2, padding="same", use_bias=False)(x)
    x = layers.ReLU()(layers.BatchNormalization()(x))
    return layers.Conv2DTranspose(1, 4, strides=2, padding="same", activation="tanh")(x)


def _mobile(layers: Any, x: Any) -> Any:
    x = layers.ReLU()(_normalized(layers, x, 32))
    for filters, strides in ((64, 1), (128, 2), (128, 1), (256, 2)):
        x = layers.DepthwiseConv2D(3, strides=strides, padding="same", use_bias=False)(x)
        x = layers.ReLU()(layers.BatchNormalization()(x))
        x = layers.ReLU()(_normalized(layers, x, filters, size=1))
    return layers.Dense(CLASSES, activation="softmax")(layers.GlobalAveragePooling2D()(x))


_NETWORKS = {
    "mnist": _mnist,
    "resnet20": _resnet20,
    "vgg": _vgg,
    "conv1d": _conv1d,
    "generator": _generator,
    "mobile": _mobile,
}
