"""Generation of tokens with Keras on JAX, which keeps nothing between them."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

TEMPERATURE, TOP = 0.8, 20


def prompt(task: dict[str, Any]) -> np.ndarray[Any, Any]:
    return np.arange(task["prompt"], dtype=np.int32)[None]


def timed(task: dict[str, Any], write: Callable[[], Any]) -> Callable[[], float]:
    """Seconds per written token."""

    def run() -> float:
        start = time.perf_counter()
        write()
        return (time.perf_counter() - start) / (task["length"] - task["prompt"])

    return run


def by_predict(model: Any, task: dict[str, Any]) -> Callable[[], float]:
    """`predict` on the padded context for each token, and a draw with NumPy: the way of Keras' examples."""
    rng = np.random.default_rng(0)

    def write() -> None:
        context = np.zeros((1, task["length"]), np.int32)
        context[:, : task["prompt"]] = prompt(task)
        for place in range(task["prompt"], task["length"]):
            scores = model.predict(context, verbose=0)[0, place - 1] / TEMPERATURE
            best = np.argpartition(scores, -TOP)[-TOP:]
            chances = np.exp(scores[best] - scores[best].max(), dtype="float64")
            context[0, place] = rng.choice(best, p=chances / chances.sum())

    return timed(task, write)


def by_jit(model: Any, task: dict[str, Any]) -> Callable[[], float]:
    """One jitted function from the padded context, which stays on the device, to that with a token more."""
    trainable, others = model.trainable_variables, model.non_trainable_variables
    weights = [variable.value for variable in trainable], [variable.value for variable in others]

    @jax.jit
    def step(weights: Any, context: Any, place: Any, key: Any) -> Any:
        scores = model.stateless_call(*weights, context, training=False)[0][0, place - 1] / TEMPERATURE
        values, places = jax.lax.top_k(scores, TOP)
        token = places[jax.random.categorical(jax.random.fold_in(key, place), values)]
        return context.at[0, place].set(token)

    def write() -> None:
        context = np.zeros((1, task["length"]), np.int32)
        context[:, : task["prompt"]] = prompt(task)
        key = jax.random.key(0)
        for place in range(task["prompt"], task["length"]):
            context = step(weights, context, place, key)
        np.asarray(context)

    return timed(task, write)
