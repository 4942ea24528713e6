"""Rewrites that only this backend wants, before fusion: what has no kernel of its own becomes something that has.

- argmax and argmin: the smallest position whose element equals the extremum, so that they fuse with other work on the rows.
- long reductions: in two steps, so that several threads can take part; the split comes from the shape alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from lamina.core import dtypes
from lamina.ir import primitives as p
from lamina.ir.bind import full, iota_value
from lamina.ir.graph import Node, Value, rebuild
from lamina.ir.primitives import REDUCES

LONG = 1 << 15  # elements folded into one from which a reduction is split
PARTS = 64


def decompose(results: Sequence[Value]) -> tuple[Value, ...]:
    """The same results from primitives that have kernels."""
    return rebuild(results, _rule)


def _rule(node: Node, inputs: tuple[Value, ...]) -> Sequence[Value] | None:
    if node.primitive in (p.argmax, p.argmin):
        return [_arg_extremum(node, inputs[0])]
    if node.primitive.has(REDUCES):
        split = _split(node, inputs[0])
        return None if split is None else [split]
    return None


def _arg_extremum(node: Node, x: Value) -> Value:
    """First position of the extremum; the first NaN wins, because a NaN makes the extremum NaN."""
    axis = node.attributes["axis"]
    fold = p.reduce_max if node.primitive is p.argmax else p.reduce_min
    rest = tuple(position for position in range(x.ndim) if position != axis)
    extremum = p.broadcast(fold(x, axes=(axis,)), shape=x.shape, axes=rest)
    found = p.equal(x, extremum)
    if dtypes.is_float(x.dtype):
        found = p.bitwise_or(found, p.not_equal(x, x))
    positions = iota_value(x.shape, axis, "int32")
    beyond = full(x.shape, x.shape[axis], "int32")
    result: Value = p.reduce_min(p.select(found, positions, beyond), axes=(axis,))
    return result


def _split(node: Node, x: Value) -> Value | None:
    """Fold runs of neighbouring elements first, then the partial results."""
    axes: tuple[int, ...] = node.attributes["axes"]
    folded = prod(x.shape[axis] for axis in axes)
    kept = x.size // folded if folded else 0
    if folded < LONG or kept >= PARTS or axes != tuple(range(axes[0], axes[0] + len(axes))):
        return None
    # Never a divisor of the number of threads: the same split on every machine.
    parts = next((count for count in range(PARTS, 7, -1) if folded % count == 0), None)
    if parts is None:
        return None
    first = axes[0]
    after = x.shape[axes[-1] + 1 :]
    grouped = p.reshape(x, shape=(*x.shape[:first], parts, folded // parts, *after))
    partial = node.primitive(grouped, axes=(first + 1,))
    result: Value = node.primitive(partial, axes=(first,))
    return result
