"""Ids that name rows of a table: looked at before the first step, in all data, wherever they follow from it.

A compiled program reads inside its tables whatever the ids are. That must not hide a wrong id, so a layer
that looks rows up calls `expect_ids`; who runs the traced program calls `IdCheck.check` with the data first.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from lamina.core.errors import DataError
from lamina.core.scopes import Scope
from lamina.interp import run_graph
from lamina.ir import primitives as p
from lamina.ir.graph import Graph, Value, topological
from lamina.ir.trace import Tensor, Trace

Array = np.ndarray[Any, Any]

_collected: Scope[tuple[Trace, list[IdCheck]] | None] = Scope(None)


@dataclass(frozen=True)
class IdCheck:
    """`ids`, computed from `inputs` alone, must lie in 0 ... extent - 1. what: who asks, for the message."""

    ids: Value
    extent: int
    what: str
    inputs: tuple[Value, ...]

    def check(self, arrays: Sequence[Array], names: Sequence[str] | None = None) -> None:
        """DataError for the first wrong id. arrays: one per input, of any number of rows; names: of them."""
        position = self._whole()
        if position is None:
            self._check_in_parts(arrays)
            return
        array = arrays[position]
        if not array.size:
            return
        low, high = array.min(), array.max()
        if low <= -1 or high >= self.extent:
            wrong = (array <= -1) | (array >= self.extent)
            raise self._error(array, wrong, names[position] if names else "x")

    def _whole(self) -> int | None:
        """Which input holds the ids themselves; None when they have to be computed."""
        value = self.ids
        while value.primitive in (p.cast, p.reshape, p.stop_gradient):
            value = value.node.inputs[0]
        return self.inputs.index(value) if value in self.inputs else None

    def _check_in_parts(self, arrays: Sequence[Array]) -> None:
        needed = {node.outputs[0] for node in topological([self.ids]) if node.primitive is p.input}
        used = [(value, array) for value, array in zip(self.inputs, arrays) if value in needed]
        graph = Graph(tuple(value for value, _ in used), (self.ids,))
        size = used[0][0].shape[0] if used[0][0].shape else 1
        rows = len(used[0][1])
        for start in range(0, rows, size):
            start = max(min(start, rows - size), 0)
            parts = [_filled(array[start : start + size], size) for _, array in used]
            (found,) = run_graph(graph, parts)
            wrong = (found < 0) | (found >= self.extent)
            if wrong.any():
                raise self._error(found, wrong, "the ids computed from x", start)

    def _error(self, array: Array, wrong: Array, name: str, first_row: int = 0) -> DataError:
        index = tuple(int(axis) for axis in np.unravel_index(int(wrong.argmax()), array.shape))
        value = int(array[index])
        count = len(array) if array.ndim else 1
        rows = int(wrong.reshape(count, -1).any(axis=1).sum())
        place = f"row {index[0] + first_row}" if index else "the only element"
        if len(index) == 2:
            place += f", position {index[1]}"
        elif len(index) > 2:
            place += f", element {index[1:]}"
        if value < 0:
            fix = "ids count from 0; use 0 for padding, with mask_zero=True."
        else:
            fix = f"input_dim={int(array.max()) + 1}, or number the words anew with TextVectorization."
        return DataError(
            f"{self.what}: an id is outside its table of {self.extent} rows.",
            expected=f"whole numbers from 0 to {self.extent - 1}",
            got=f"{value} at {place} of {name}; {rows} of {count} rows are affected",
            fix=fix,
        )


def _filled(rows: Array, size: int) -> Array:
    """`rows` repeated to the number that the program was traced for."""
    if len(rows) == size:
        return rows
    return np.resize(rows, (size, *rows.shape[1:]))


def expect_ids(ids: Any, extent: int, what: str) -> bool:
    """Demand that `ids` lie in 0 ... extent - 1; DataError at once for eager ones.

    In a trace the demand is noted for whoever runs the program. False when nobody can know the ids before the
    program runs, because they do not follow from its inputs alone.
    """
    if not isinstance(ids, Tensor):
        array = np.asarray(ids)
        wrong = (array < 0) | (array >= extent)
        if wrong.any():
            raise IdCheck(None, extent, what, ())._error(array, wrong, "the input")  # type: ignore[arg-type]
        return True
    collected = _collected.value
    if collected is None:
        return False
    trace, checks = collected
    inputs = [node.outputs[0] for node in topological([ids.value]) if node.primitive is p.input]
    if not set(inputs) <= set(trace.inputs):
        return False
    if inputs:  # otherwise they are constants, such as positions
        checks.append(IdCheck(ids.value, extent, what, tuple(trace.inputs)))
        return True
    (array,) = run_graph(Graph((), (ids.value,)), [])
    return expect_ids(array, extent, what)


@contextmanager
def collecting(trace: Trace) -> Iterator[list[IdCheck]]:
    """Inside, `expect_ids` notes what it demands of the inputs of `trace`."""
    checks: list[IdCheck] = []
    with _collected.holding((trace, checks)):
        yield checks
