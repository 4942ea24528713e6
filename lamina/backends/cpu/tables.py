"""Gradients of tables whose rows were taken by number: most rows are zero, and those are never stored.

The rows that a batch named are summed, in the order of the batch, into a small tensor: one row for each id of
the batch, and a last one of zeros. A map says for each row of the table which of these is its gradient. What
reads the gradient reads through the map, so that the update of a table is one sweep over weights and slots,
and the zeros come from a row that stays in the first cache.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod

from lamina.core.dtypes import itemsize, limits
from lamina.ir import primitives as p
from lamina.ir.bind import full
from lamina.ir.constants import splat
from lamina.ir.graph import Node, TensorType, Value, make
from lamina.ir.primitives import Primitive

SPARSE = 4  # rows of the table for each id of the batch, from which most rows are zero
LARGE = 1 << 18  # bytes of a table from which storing its zeros matters


def _last_place(indices: TensorType, *, count: int) -> TensorType:
    return TensorType((count,), "int32")


# For each number below `count` the place in `indices` (of rank 1) where it stands last; their size if nowhere
last_place = Primitive("last_place", 1, _last_place)


def without_zeros(node: Node, inputs: tuple[Value, ...], placed: Callable[[Value], Value]) -> Value | None:
    """A scatter_add of few rows into a large table of zeros as a gather from the sums of these rows; or
    None where it is something else.

    placed: gives a value that lies in order in memory.
    """
    table, indices, updates = inputs
    rows, count, rest = table.shape[0] if table.ndim else 0, indices.size, table.shape[1:]
    if (
        node.attributes["axis"] != 0
        or splat(table) != 0
        or not count
        or rows < SPARSE * count
        or not prod(rest)
        or table.size * itemsize(table.dtype) < LARGE
    ):
        return None
    ids = placed(p.reshape(indices, shape=(count,)))
    (places,) = make(last_place, (ids,), {"count": rows}, (TensorType((rows,), "int32"),)).outputs
    nowhere = full((count,), -1, "int32")
    sums = p.gather(places, ids, axis=0)
    low, high = limits(ids.dtype)
    if low < 0:
        sums = p.select(p.less(ids, full((count,), 0, ids.dtype)), nowhere, sums)
    if high >= rows:
        sums = p.select(p.greater(ids, full((count,), rows - 1, ids.dtype)), nowhere, sums)
    added = placed(p.reshape(updates, shape=(count, *rest)))
    zeros = full((count + 1, *rest), 0, table.dtype)
    result: Value = p.gather(p.scatter_add(zeros, sums, added, axis=0), places, axis=0)
    return result


def added_rows(value: Value) -> Value | None:
    """The rows that were summed, if `value` is what `without_zeros` gives."""
    if value.primitive is not p.gather or value.node.inputs[1].primitive is not last_place:
        return None
    summed = value.node.inputs[0]
    return summed.node.inputs[2]
