"""Loops and branches: what the control primitives mean, step by step."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from lamina.core import dtypes
from lamina.ir.graph import Graph

Array = np.ndarray[Any, Any]


Run = Callable[[Graph, list[Array]], list[Array]]
_runner: Run | None = None


@contextmanager
def running(runner: Run) -> Iterator[None]:
    """Let `runner` evaluate nested graphs instead of the interpreter: for tests that look inside."""
    global _runner
    before, _runner = _runner, runner
    try:
        yield
    finally:
        _runner = before


def _run(graph: Graph, arrays: list[Array]) -> list[Array]:
    from lamina.interp.eval import run_graph

    return (_runner or run_graph)(graph, arrays)


def scan(
    *arrays: Array, body: Graph, length: int, consts: int, carries: int, reverse: bool
) -> tuple[Array, ...]:
    fixed, carried = list(arrays[:consts]), list(arrays[consts : consts + carries])
    sliced = arrays[consts + carries :]
    results = [
        np.zeros((length, *value.shape), dtypes.to_numpy(value.dtype)) for value in body.outputs[carries:]
    ]
    for step in reversed(range(length)) if reverse else range(length):
        found = _run(body, [*fixed, *carried, *(array[step] for array in sliced)])
        carried = found[:carries]
        for result, value in zip(results, found[carries:]):
            result[step] = value
    return (*carried, *results)


def while_loop(*arrays: Array, condition: Graph, body: Graph, consts: int) -> tuple[Array, ...]:
    fixed, carried = list(arrays[:consts]), list(arrays[consts:])
    while _run(condition, [*fixed, *carried])[0]:
        carried = _run(body, [*fixed, *carried])
    return tuple(carried)


def cond(index: Array, *arrays: Array, branches: tuple[Graph, ...]) -> tuple[Array, ...]:
    return tuple(_run(branches[min(max(int(index), 0), len(branches) - 1)], list(arrays)))


def custom_gradient(*arrays: Array, backward: Graph, results: int, arguments: int) -> tuple[Array, ...]:
    return tuple(arrays[:results])
