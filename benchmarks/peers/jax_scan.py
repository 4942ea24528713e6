"""JAX by hand: a whole epoch under one `lax.scan`, compiled once, Adam written out."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.peers.data import classification


def prepare(task: dict[str, Any]) -> Callable[[], float]:
    sizes, batch, steps = task["sizes"], task["batch"], task["steps"]
    rng = np.random.default_rng(0)

    def layer(inputs: int, units: int) -> tuple[Any, Any]:
        weights = rng.standard_normal((inputs, units)) * (2 / inputs) ** 0.5
        return jnp.asarray(weights, jnp.float32), jnp.zeros(units)

    parameters = [layer(inputs, units) for inputs, units in pairwise(sizes)]
    zeros = jax.tree.map(jnp.zeros_like, parameters)
    x, y = map(jnp.asarray, classification(task))

    def loss_of(parameters: Any, x: Any, y: Any) -> Any:
        for weights, bias in parameters[:-1]:
            x = jax.nn.relu(x @ weights + bias)
        logits = x @ parameters[-1][0] + parameters[-1][1]
        return -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(logits), y[:, None], 1)), logits

    def step(state: Any, rows: Any) -> Any:
        parameters, m, v, count, right = state
        (loss, logits), slopes = jax.value_and_grad(loss_of, has_aux=True)(parameters, x[rows], y[rows])
        count = count + 1
        m = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, m, slopes)
        v = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, v, slopes)
        rate = 1e-3 * jnp.sqrt(1 - 0.999**count) / (1 - 0.9**count)
        parameters = jax.tree.map(lambda p, m, v: p - rate * m / (jnp.sqrt(v) + 1e-7), parameters, m, v)
        right = right + jnp.sum(jnp.argmax(logits, 1) == y[rows])
        return (parameters, m, v, count, right), loss

    epoch = jax.jit(lambda state, order: jax.lax.scan(step, state, order), donate_argnums=0)
    holder = {"state": (parameters, zeros, jax.tree.map(jnp.copy, zeros), jnp.float32(0), jnp.int32(0))}
    shuffle = np.random.default_rng(1)

    def run() -> float:
        start = time.perf_counter()
        order = jnp.asarray(shuffle.permutation(steps * batch).reshape(steps, batch))
        holder["state"], losses = epoch(holder["state"], order)
        losses.block_until_ready()
        return (time.perf_counter() - start) / steps

    return run
