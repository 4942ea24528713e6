"""Which kernels keep the rows of a batch apart.

A thread that has computed its rows of one kernel may go on with the same rows of the next one: no barrier is
needed between them. In a small network barriers cost as much as the arithmetic, and the whole way from the
batch through the forward pass and back to the gradients of each layer's input keeps rows apart; only the
gradients of weights bring them together.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from math import ceil

from lamina.backends.base import Program
from lamina.backends.cpu.convolve_nodes import INPUT_GRADIENTS
from lamina.backends.cpu.fuse import CONTRACT, NEST, WINDOWED, Fusion, Group, squeeze
from lamina.backends.cpu.views import View
from lamina.core.shapes import size
from lamina.ir import primitives as p
from lamina.ir.graph import Node, Value

UNIT = 16  # rows that one thread takes at least: a whole vector of rows, and tiles of 4, 8 or 16
HALF_UNIT = 8  # ... in loops over small batches, where a barrier would wait for others in every step
SMALL_WORK = 32e6  # operations of a step beyond which barriers no longer matter, but the shape of tiles does


@dataclass
class Rows:
    """How a batch is shared: `count` rows, by units of `unit`.

    groups: the kernels that keep rows apart. edges: (earlier, later) kernels between which each row of the
    later one needs only the same row of the earlier one. mixing: the kernels that read an input of the
    program otherwise than row by row.
    """

    count: int = 0
    unit: int = UNIT
    groups: set[Group] = field(default_factory=set)
    edges: set[tuple[Group, Group]] = field(default_factory=set)
    mixing: set[Group] = field(default_factory=set)

    @property
    def units(self) -> int:
        return ceil(self.count / self.unit)


def find_rows(program: Program, fusion: Fusion, is_loop: bool = False) -> Rows:
    """The rows of a program's batch, and who keeps them apart; nobody where it would not pay."""
    extents = {value.shape[0] for value in program.inputs if value.shape}
    rows = Rows(extents.pop() if len(extents) == 1 else 0)
    if is_loop and rows.count < 2 * UNIT:
        rows.unit = HALF_UNIT
    if rows.count < 2 * rows.unit or _operations(fusion.groups) > SMALL_WORK:
        return Rows()
    rows.groups = {group for group in fusion.groups if _keeps_rows(fusion, group, rows.count)}
    inputs = set(program.inputs)
    for group in fusion.groups:
        crossed = _read_across(fusion, group, rows.count) if group in rows.groups else fusion.reads(group)
        if inputs & crossed.keys():
            rows.mixing.add(group)
        if group in rows.groups:
            mixed = {fusion.home[root] for root in crossed if root in fusion.home}
            rows.edges.update((earlier, group) for earlier in (group.after & rows.groups) - mixed)
    return rows


def _operations(groups: Iterable[Group]) -> float:
    total = 0.0
    for group in groups:
        total += size(group.domain) * len(group.values)
        if group.kind == CONTRACT and group.head is not None:
            total += 2.0 * size(group.domain) * _products(group.head)
    return total


def _products(head: Node) -> int:
    """Products in each sum of a matrix product or convolution."""
    left, right = head.inputs[:2]
    if head.primitive is p.dot:
        return size([left.shape[axis] for axis in head.attributes["contract"][0]])
    if head.primitive in INPUT_GRADIENTS:
        return size([*right.shape[:-2], right.shape[-1]])
    return size(right.shape[:-1])


def _keeps_rows(fusion: Fusion, group: Group, count: int) -> bool:
    """Whether the first axis of the group's domain is the rows, and none of its work runs along it."""
    if not group.domain or group.domain[0] != count or 0 in (group.inner or ()):
        return False
    if group.kind == CONTRACT:
        return group.head is not None and _rows_are_free(group.head, count)
    if group.kind != NEST:
        return False
    # What reads at places of its own may read memory that nobody else writes in a step, and nothing else.
    return all(
        fusion.resolve(operand).root not in fusion.home
        for value in group.values
        if value.primitive in WINDOWED
        for operand in value.node.inputs
    )


def _rows_are_free(dot: Node, count: int) -> bool:
    """Whether the rows of a product are the first axis of its left operand; batches of products are not,
    nor are those of convolutions, whose tasks are cut in their own way.
    """
    if dot.primitive is not p.dot:
        return False
    left = dot.inputs[0]
    (contracted, _), (batch, _) = dot.attributes["contract"], dot.attributes["batch"]
    free = [axis for axis in range(left.ndim) if axis not in contracted and left.shape[axis] != 1]
    return (
        not batch and bool(free) and left.shape[free[0]] == count and not any(a < free[0] for a in contracted)
    )


def _read_across(fusion: Fusion, group: Group, count: int) -> dict[Value, None]:
    """The roots of which a row of the group needs more than the same row."""
    found: dict[Value, None] = {}
    for value in group.values:
        for position, operand in enumerate(value.node.inputs):
            view = fusion.resolve(operand)
            if view.root.primitive is p.iota or fusion.is_local(group, value, operand):
                continue
            elsewhere = value.primitive in WINDOWED or (value.node is group.head and position == 1)
            if elsewhere or not same_rows(operand, view, count):
                found[view.root] = None
    return found


def same_rows(operand: Value, view: View, count: int) -> bool:
    """Whether row i of the operand lies within row i of what it is a view of."""
    axes = [(extent, stride) for extent, stride in zip(operand.shape, view.strides) if extent != 1]
    root = squeeze(view.root.shape)
    if not axes or not root or axes[0][0] != count or root[0] != count:
        return False
    length = view.root.size // count
    reach = [(extent - 1) * stride for extent, stride in axes[1:]]
    lowest = view.offset + sum(step for step in reach if step < 0)
    highest = view.offset + sum(step for step in reach if step > 0)
    return axes[0][1] == length and lowest >= 0 and highest < length


__all__ = ["Rows", "find_rows", "same_rows"]
