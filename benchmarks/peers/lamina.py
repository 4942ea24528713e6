"""Lamina itself, through the public face: Sequential, compile, fit."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import lamina
from benchmarks.peers import images, sequences, transformers
from benchmarks.peers.data import classification


def make_model(sizes: list[int]) -> lamina.Model:
    """A compiled classifier with layers of these sizes."""
    model = lamina.Sequential(
        [
            lamina.Input((sizes[0],)),
            *(lamina.layers.Dense(units, activation="relu") for units in sizes[1:-1]),
            lamina.layers.Dense(sizes[-1], activation="softmax"),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def prepare(task: dict[str, Any]) -> Callable[[], float]:
    if "transformer" in task:
        model, (x, y) = transformers.build(lamina, task), transformers.data(task)
    elif "recurrent" in task:
        model, (x, y) = sequences.build(lamina, task), sequences.data(task)
    elif "network" in task:
        model, (x, y) = images.build(lamina, task), images.data(task)
    else:
        model, (x, y) = make_model(task["sizes"]), classification(task)

    def run() -> float:
        start = time.perf_counter()
        model.fit(x, y, batch_size=task["batch"], epochs=task["epochs"], verbose=0)
        return (time.perf_counter() - start) / (task["steps"] * task["epochs"])

    return run
