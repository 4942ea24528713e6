"""Lamina itself, through the public face: Sequential, compile, fit."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

import lamina
from benchmarks.peers import forward, images, sequences, transformers
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


def build(task: dict[str, Any]) -> lamina.Model:
    """The compiled model of a task."""
    if "transformer" in task:
        return transformers.build(lamina, task)
    if "recurrent" in task:
        return sequences.build(lamina, task)
    return images.build(lamina, task) if "network" in task else make_model(task["sizes"])


def data(task: dict[str, Any]) -> tuple[Any, Any]:
    """The data of a task."""
    if "transformer" in task:
        return transformers.data(task)
    if "recurrent" in task:
        return sequences.data(task)
    return images.data(task) if "network" in task else classification(task)


def prepare(task: dict[str, Any]) -> Callable[[], float]:
    if "generate" in task:
        return _generating(task)
    model, (x, y) = build(task), data(task)

    if "inference" in task:
        return forward.timed(lambda: model.predict_on_batch(x), task["inference"])

    def run() -> float:
        start = time.perf_counter()
        model.fit(x, y, batch_size=task["batch"], epochs=task["epochs"], verbose=0)
        return (time.perf_counter() - start) / (task["steps"] * task["epochs"])

    return run


def _generating(task: dict[str, Any]) -> Callable[[], float]:
    """Seconds per token that the model goes on with after a prompt."""
    model, count = build(task), task["length"] - task["prompt"]
    prompt = np.arange(task["prompt"], dtype=np.int32)

    def run() -> float:
        start = time.perf_counter()
        lamina.generate(model, prompt, count, temperature=0.8, top_k=20, seed=0)
        return (time.perf_counter() - start) / count

    return run
