"""The arithmetic alone: a register-only loop of as many multiply-adds as the matrix products of a step need.

It runs on as many threads as Lamina uses for the step, so that it says how far from the limit that is.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

from benchmarks.peers.data import classification
from benchmarks.peers.lamina import make_model
from benchmarks.probe import on_threads, probe
from lamina.backends.cpu.target import Target


def flops(sizes: list[int], batch: int) -> int:
    """Operations of the products of one step: forward, gradients for weights, gradients for inputs.

    The first layer has two of the three: nobody needs the gradient for the data.
    """
    products = [inputs * units for inputs, units in pairwise(sizes)]
    return 2 * batch * (3 * sum(products) - products[0])


def prepare(task: dict[str, Any]) -> Callable[[], float]:
    operations = flops(task["sizes"], task["batch"])
    model = make_model(task["sizes"])
    x, y = classification(task | {"steps": 1})
    model.fit(x, y, batch_size=task["batch"], verbose=0)
    threads = max(report.threads for report in model.compile_report().programs)
    rate = probe(Target.host())
    return lambda: operations / on_threads(rate, threads, 100)
