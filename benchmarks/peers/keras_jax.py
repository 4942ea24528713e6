"""Keras 3 on JAX: the same script.

Setting in the task: "steps_per_execution", how many steps Keras puts into one call of the compiled program.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import keras

from benchmarks.peers import forward, images, sequences, transformers
from benchmarks.peers.data import classification


def prepare(task: dict[str, Any]) -> Callable[[], float]:
    if "generate" in task:
        from benchmarks.peers import generation

        return generation.by_predict(transformers.build(keras, task), task)
    if "transformer" in task:
        model, (x, y) = transformers.build(keras, task), transformers.data(task)
    elif "recurrent" in task:
        model, (x, y) = sequences.build(keras, task), sequences.data(task)
    elif "network" in task:
        model, (x, y) = images.build(keras, task), images.data(task)
    else:
        model, (x, y) = make_model(task), classification(task)

    if "inference" in task:
        return forward.timed(lambda: model.predict_on_batch(x), task["inference"])

    def run() -> float:
        start = time.perf_counter()
        model.fit(x, y, batch_size=task["batch"], epochs=task["epochs"], verbose=0)
        return (time.perf_counter() - start) / (task["steps"] * task["epochs"])

    return run


def make_model(task: dict[str, Any]) -> keras.Model:
    """A compiled classifier with layers of the task's sizes."""
    sizes = task["sizes"]
    model = keras.Sequential(
        [
            keras.Input((sizes[0],)),
            *(keras.layers.Dense(units, activation="relu") for units in sizes[1:-1]),
            keras.layers.Dense(sizes[-1], activation="softmax"),
        ]
    )
    model.compile(
        "adam",
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
        steps_per_execution=task.get("steps_per_execution", 1),
    )
    return model
