"""JAX by hand: an LSTM under `lax.scan`, whole epochs under one more, compiled once, Adam written out."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.peers.sequences import UNITS, WORDS, data


def prepare(task: dict[str, Any]) -> Callable[[], float]:
    if task["recurrent"] != "lstm":
        raise ImportError("only the LSTM is written by hand")
    batch, steps = task["batch"], task["steps"]
    rng = np.random.default_rng(0)
    shapes = {"table": (WORDS, UNITS), "w": (UNITS, 4 * UNITS), "u": (UNITS, 4 * UNITS), "out": (UNITS, 1)}
    parameters = {
        name: jnp.asarray(0.05 * rng.standard_normal(shape), jnp.float32) for name, shape in shapes.items()
    }
    parameters |= {"b": jnp.zeros(4 * UNITS), "bias": jnp.zeros(1)}
    zeros = jax.tree.map(jnp.zeros_like, parameters)
    x, y = map(jnp.asarray, data(task))

    def loss_of(p: Any, x: Any, y: Any) -> Any:
        projected = jnp.swapaxes(p["table"][x], 0, 1) @ p["w"] + p["b"]

        def cell(carry: Any, projected: Any) -> Any:
            h, c = carry
            i, f, g, o = jnp.split(projected + h @ p["u"], 4, axis=-1)
            c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
            return (jax.nn.sigmoid(o) * jnp.tanh(c), c), None

        start = jnp.zeros((batch, UNITS))
        (h, _), _ = jax.lax.scan(cell, (start, start), projected)
        logits = h @ p["out"] + p["bias"]
        return jnp.mean(jnp.maximum(logits, 0) - logits * y + jnp.log1p(jnp.exp(-jnp.abs(logits))))

    def step(state: Any, rows: Any) -> Any:
        parameters, m, v, count = state
        loss, slopes = jax.value_and_grad(loss_of)(parameters, x[rows], y[rows])
        count = count + 1
        m = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, m, slopes)
        v = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, v, slopes)
        rate = 1e-3 * jnp.sqrt(1 - 0.999**count) / (1 - 0.9**count)
        parameters = jax.tree.map(lambda p, m, v: p - rate * m / (jnp.sqrt(v) + 1e-7), parameters, m, v)
        return (parameters, m, v, count), loss

    epoch = jax.jit(lambda state, order: jax.lax.scan(step, state, order), donate_argnums=0)
    holder = {"state": (parameters, zeros, jax.tree.map(jnp.copy, zeros), jnp.float32(0))}
    shuffle = np.random.default_rng(1)

    def run() -> float:
        start = time.perf_counter()
        order = jnp.asarray(shuffle.permutation(steps * batch).reshape(steps, batch))
        holder["state"], losses = epoch(holder["state"], order)
        losses.block_until_ready()
        return (time.perf_counter() - start) / steps

    return run
