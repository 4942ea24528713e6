"""Moves that cost nothing: reshape, transpose, slice, broadcast and reverse as strided views of stored
values.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lamina.core.shapes import row_major_strides, size
from lamina.ir import primitives as p
from lamina.ir.graph import Value

VIEWS = frozenset({p.reshape, p.transpose, p.broadcast, p.slice, p.reverse})


@dataclass(frozen=True)
class View:
    """A window on the elements of `root`: element i of the viewed value lies at offset + sum(i * strides).

    A root that is an `iota` is never stored: what is read at an address is the address itself.
    """

    root: Value
    offset: int
    strides: tuple[int, ...]


def whole(value: Value) -> View:
    """All of a stored value, in order."""
    if value.primitive is p.iota:
        axis = value.node.attributes["axis"]
        return View(value, 0, tuple(int(position == axis) for position in range(value.ndim)))
    return View(value, 0, row_major_strides(value.shape))


class Resolver:
    """Follows moves up to what they are views of. Moves in `copied` are stored, because no strides express
    them.
    """

    def __init__(self) -> None:
        self.copied: set[Value] = set()
        self._known: dict[Value, View] = {}

    def preset(self, value: Value, view: View) -> None:
        """Say what `value` is a view of: for the inputs of nested graphs."""
        self._known[value] = view

    def __call__(self, value: Value) -> View:
        found = self._known.get(value)
        if found is None:
            found = self._known[value] = self._resolve(value)
        return found

    def _resolve(self, value: Value) -> View:
        chain = [value]
        while chain[-1].primitive in VIEWS and chain[-1] not in self._known and chain[-1] not in self.copied:
            chain.append(chain[-1].node.inputs[0])
        view = self._known.get(chain[-1]) or whole(chain[-1])
        for moved in reversed(chain[:-1]):
            stepped = move(moved, view)
            if stepped is None:
                self.copied.add(moved)
                stepped = whole(moved)
            view = self._known[moved] = stepped
        return view


def move(value: Value, view: View) -> View | None:
    """The view after the move that makes `value`, or None when strides cannot say it."""
    attributes, source = value.node.attributes, value.node.inputs[0]
    if value.primitive is p.transpose:
        return View(view.root, view.offset, tuple(view.strides[axis] for axis in attributes["permutation"]))
    if value.primitive is p.broadcast:
        strides = [0] * value.ndim
        for axis, extent, stride in zip(attributes["axes"], source.shape, view.strides):
            strides[axis] = 0 if extent != value.shape[axis] else stride
        return View(view.root, view.offset, tuple(strides))
    if value.primitive is p.slice:
        start, step = attributes["start"], attributes["stride"]
        offset = view.offset + sum(first * stride for first, stride in zip(start, view.strides))
        return View(view.root, offset, tuple(stride * every for stride, every in zip(view.strides, step)))
    if value.primitive is p.reverse:
        strides, offset = list(view.strides), view.offset
        for axis in attributes["axes"]:
            offset += (source.shape[axis] - 1) * strides[axis]
            strides[axis] = -strides[axis]
        return View(view.root, offset, tuple(strides))
    reshaped = reshape_strides(source.shape, view.strides, value.shape)
    return None if reshaped is None else View(view.root, view.offset, reshaped)


def reshape_strides(
    shape: Sequence[int], strides: Sequence[int], target: Sequence[int]
) -> tuple[int, ...] | None:
    """Strides that read `target` from the same memory without copying, or None.

    Both shapes are cut into runs of equal size; within a run the old axes must be contiguous with each other.
    """
    if size(shape) == 0:
        return tuple(0 for _ in target)
    old = [(extent, stride) for extent, stride in zip(shape, strides) if extent != 1]
    result = [0] * len(target)
    axis, taken = 0, 0
    while taken < len(old) or axis < len(target):
        if axis < len(target) and target[axis] == 1:
            axis += 1
            continue
        if taken >= len(old):
            return None
        extent, stride = old[taken]
        taken += 1
        first, product = axis, target[axis]
        axis += 1
        while extent != product:
            if extent < product:
                following, following_stride = old[taken]
                if stride != following * following_stride:
                    return None
                extent, stride = extent * following, following_stride
                taken += 1
            else:
                product *= target[axis]
                axis += 1
        step = stride
        for position in reversed(range(first, axis)):
            result[position] = step
            step *= target[position]
    return tuple(result)
