"""Concatenations that need no kernel: the one that computes all of their parts writes these side by side.

The four gates of an LSTM are the example: their gradients come from one nest, and are wanted as one matrix.
The nest stores each at its place in that matrix.
"""

from __future__ import annotations

from lamina.backends.cpu.fuse import FULL, NEST, Fusion, Group, Join, occupied, squeeze
from lamina.core.shapes import row_major_strides
from lamina.ir import primitives as p
from lamina.ir.graph import Value


def join_parts(fusion: Fusion) -> None:
    """Let the kernels that compute the parts of concatenations write them in place, and drop the others."""
    for group in list(fusion.groups):
        if not all(value.primitive is p.concatenate for value in group.values):
            continue
        for value in list(group.values):
            found = _source(fusion, group, value)
            if found is not None:
                found.joins[value] = _join(fusion, value)
                fusion.home[value] = found
                del group.values[value]
        if not group.values:
            fusion.groups.remove(group)
    fusion.link()


def _source(fusion: Fusion, group: Group, value: Value) -> Group | None:
    """The nest that computes all parts, each of them whole at its points; None if there is none."""
    views = fusion.operand_views(value)
    homes = {fusion.home.get(view.root) for _, view in views}
    if len(views) != len(value.node.inputs) or len(homes) != 1:
        return None
    home = homes.pop()
    if home is None or home.kind != NEST or home.late != group.late:
        return None
    everywhere = tuple(range(len(home.domain)))
    is_there = all(
        home.values.get(view.root) == FULL
        and squeeze(operand.shape) == home.domain
        and occupied(view, operand.shape) == everywhere
        for operand, view in views
    )
    return home if is_there else None


def _join(fusion: Fusion, value: Value) -> Join:
    axis, strides = value.node.attributes["axis"], row_major_strides(value.shape)
    shape = value.node.inputs[0].shape
    parts, start = [], 0
    for operand, view in fusion.operand_views(value):
        parts.append((view.root, start * strides[axis]))
        start += operand.shape[axis]
    return Join(tuple(parts), tuple([stride for extent, stride in zip(shape, strides) if extent != 1]))
