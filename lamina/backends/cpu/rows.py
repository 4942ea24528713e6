"""Which kernels keep the rows of a batch apart - its examples, or images.

A thread that has computed its rows of one kernel may go on with the same rows of the next one: no barrier is
needed between them. In a small network barriers cost as much as the arithmetic, and the whole way from the
batch through the forward pass and back to the gradients of each layer's input keeps rows apart; only the
gradients of weights bring them together.

In a large network with images the arithmetic takes longer than the barriers. There, what one kernel has made
of a few images should be read by the next while it is in a near cache: kernels take turns with a few images
each (`turns`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from math import ceil

from lamina.backends.base import Program
from lamina.backends.cpu.convolve_nodes import (
    CONVOLUTIONS,
    FILTER_GRADIENTS,
    INPUT_GRADIENTS,
    conv_filter_parts,
)
from lamina.backends.cpu.convolve_winograd import conv_winograd
from lamina.backends.cpu.depthwise import unweigh_window, weigh_window
from lamina.backends.cpu.fuse import CONTRACT, NEST, POOLING, WINDOWED, Fusion, Group, squeeze
from lamina.backends.cpu.views import View
from lamina.backends.cpu.winograd import TAPS
from lamina.core.shapes import size
from lamina.ir import primitives as p
from lamina.ir.graph import Node, Value

WITH_IMAGES = CONVOLUTIONS | {conv_winograd}
UNIT = 16  # rows that one thread takes at least: a whole vector of rows, and tiles of 4, 8 or 16
HALF_UNIT = 8  # ... in loops over small batches, where a barrier would wait for others in every step
SMALL_WORK = 32e6  # operations of a step beyond which barriers no longer matter, but the shape of tiles does
FEW_IMAGES = 8  # images of a batch from which kernels may take turns
TALL = 16  # rows of a product for each image, from which on it is worth cutting between images


@dataclass
class Rows:
    """How a batch is shared: `count` rows, by units of `unit`.

    groups: the kernels that keep rows apart. edges: (earlier, later) kernels between which each row of the
    later one needs only the same row of the earlier one. mixing: the kernels that read an input of the
    program otherwise than row by row. in_turns: whether they do a few rows at a time, one kernel after the
    other; `unit` is then 1.
    """

    count: int = 0
    unit: int = UNIT
    groups: set[Group] = field(default_factory=set)
    edges: set[tuple[Group, Group]] = field(default_factory=set)
    mixing: set[Group] = field(default_factory=set)
    in_turns: bool = False

    @property
    def units(self) -> int:
        return ceil(self.count / self.unit)


def find_rows(program: Program, fusion: Fusion, is_loop: bool = False) -> Rows:
    """The rows of a program's batch, and who keeps them apart; nobody where it would not pay."""
    extents = {value.shape[0] for value in program.inputs if value.shape}
    rows = Rows(extents.pop() if len(extents) == 1 else 0)
    if is_loop and rows.count < 2 * UNIT:
        rows.unit = HALF_UNIT
    if _operations(fusion.groups) > SMALL_WORK:
        if is_loop or rows.count < FEW_IMAGES or not any(map(_has_images, fusion.groups)):
            return Rows()
        rows.unit, rows.in_turns = 1, True
    elif rows.count < 2 * rows.unit:
        return Rows()
    rows.groups = {group for group in fusion.groups if _keeps_rows(fusion, group, rows)}
    inputs = set(program.inputs)
    for group in fusion.groups:
        crossed = _read_across(fusion, group, rows) if group in rows.groups else fusion.reads(group)
        if inputs & crossed.keys():
            rows.mixing.add(group)
        if group in rows.groups:
            mixed = {fusion.home[root] for root in crossed if root in fusion.home}
            rows.edges.update(
                (earlier, group)
                for earlier in (group.after & rows.groups) - mixed
                if not _sums_images(earlier)
            )
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
    if head.primitive is conv_winograd:
        return TAPS * TAPS * left.shape[-1]
    if head.primitive in INPUT_GRADIENTS:
        return size([*right.shape[:-2], right.shape[-1]])
    return size(right.shape[:-1])


def _has_images(group: Group) -> bool:
    return group.head is not None and group.head.primitive in WITH_IMAGES


def _sums_images(group: Group) -> bool:
    """Whether a group reads images one by one, but gives sums over several of them."""
    return group.head is not None and group.head.primitive is conv_filter_parts


def _keeps_rows(fusion: Fusion, group: Group, rows: Rows) -> bool:
    """Whether the first axis of the group's domain is the rows, and none of its work runs along it."""
    if rows.in_turns and _sums_images(group):
        return True
    if not group.domain or group.domain[0] != rows.count or 0 in (group.inner or ()):
        return False
    if group.kind == CONTRACT:
        return group.head is not None and _rows_are_free(group.head, rows)
    if group.kind != NEST:
        return False
    if rows.in_turns:
        return True
    # What reads at places of its own may read memory that nobody else writes in a step, and nothing else.
    return all(
        fusion.resolve(operand).root not in fusion.home
        for value in group.values
        if moves_rows(value)
        for operand in value.node.inputs
    )


def _is_beside(value: Value) -> bool:
    """Whether a concatenation puts its parts beside each other, so that rows remain rows."""
    if value.primitive is not p.concatenate:
        return False
    first = next((axis for axis, extent in enumerate(value.shape) if extent != 1), value.ndim)
    return first < value.node.attributes["axis"]


def moves_rows(value: Value) -> bool:
    """Whether a value's rows may come from other rows of its operands."""
    return value.primitive in WINDOWED and not _is_beside(value)


def _rows_are_free(dot: Node, rows: Rows) -> bool:
    """Whether the rows of a product are the first axis of its left operand; batches of products are not.

    The tasks of convolutions are cut in their own way: perhaps between images.
    """
    if dot.primitive is not p.dot:
        return rows.in_turns and dot.primitive in WITH_IMAGES - FILTER_GRADIENTS
    count = rows.count
    left = dot.inputs[0]
    (contracted, _), (batch, _) = dot.attributes["contract"], dot.attributes["batch"]
    free = [axis for axis in range(left.ndim) if axis not in contracted and left.shape[axis] != 1]
    if rows.in_turns and size([left.shape[axis] for axis in free]) < TALL * count:
        return False
    return (
        not batch and bool(free) and left.shape[free[0]] == count and not any(a < free[0] for a in contracted)
    )


def _read_across(fusion: Fusion, group: Group, rows: Rows) -> dict[Value, None]:
    """The roots of which a row of the group needs more than the same row."""
    found: dict[Value, None] = {}
    for value in group.values:
        for position, operand in enumerate(value.node.inputs):
            view = fusion.resolve(operand)
            if view.root.primitive is p.iota or fusion.is_local(group, value, operand):
                continue
            if moves_rows(value):
                elsewhere = not (rows.in_turns and _reads_own_row(value, position))
            else:
                elsewhere = value.node is group.head and position == 1 and not _sums_images(group)
            if elsewhere or not same_rows(operand, view, rows.count):
                found[view.root] = None
    return found


def _reads_own_row(value: Value, position: int) -> bool:
    """Whether what reads an operand at places of its own stays in the same row there."""
    attributes = value.node.attributes
    if value.primitive in POOLING:
        return position == 0 or value.primitive not in (weigh_window, unweigh_window)
    if value.primitive is p.pad:
        return not (attributes["low"][0] or attributes["high"][0] or attributes["interior"][0])
    return value.primitive is p.concatenate and attributes["axis"] > 0


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


__all__ = ["Rows", "find_rows", "moves_rows", "same_rows"]
