"""Arithmetic on static shapes: tuples of whole numbers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import prod

from lamina.core.errors import ShapeError

Shape = tuple[int, ...]


def size(shape: Sequence[int]) -> int:
    """Number of elements."""
    return prod(shape)


def broadcast(*shapes: Sequence[int]) -> Shape:
    """The common shape under NumPy's broadcasting rules; ShapeError when there is none."""
    rank = max((len(shape) for shape in shapes), default=0)
    result = []
    for position in range(-rank, 0):
        extents = {shape[position] for shape in shapes if len(shape) >= -position} - {1}
        if len(extents) > 1:
            shown = " and ".join(str(tuple(shape)) for shape in shapes)
            raise ShapeError(
                f"Shapes {shown} do not broadcast.",
                expected="equal extents, or 1, counted from the last axis",
                got=f"{' and '.join(map(str, sorted(extents)))} at axis {position}",
            )
        result.append(extents.pop() if extents else 1)
    return tuple(result)


def normalize_axis(axis: int, rank: int) -> int:
    """`axis` counted from the front; ShapeError when it is outside the rank."""
    if not -rank <= axis < rank:
        raise ShapeError(
            f"Axis {axis} is outside a tensor of rank {rank}.", expected=f"{-rank} to {rank - 1}"
        )
    return axis + rank if axis < 0 else axis


def normalize_axes(axes: int | Iterable[int] | None, rank: int) -> tuple[int, ...]:
    """Sorted, distinct, non-negative axes; None means all of them."""
    if axes is None:
        return tuple(range(rank))
    listed = [axes] if isinstance(axes, int) else [int(axis) for axis in axes]
    normal = [normalize_axis(axis, rank) for axis in listed]
    if len(set(normal)) != len(normal):
        raise ShapeError(f"Axes {tuple(listed)} name the same axis twice.")
    return tuple(sorted(normal))


def remove(shape: Sequence[int], axes: Iterable[int]) -> Shape:
    """`shape` without the given axes."""
    gone = set(axes)
    return tuple(extent for axis, extent in enumerate(shape) if axis not in gone)


def row_major_strides(shape: Sequence[int]) -> tuple[int, ...]:
    """Strides in elements of a contiguous row-major array."""
    strides: list[int] = []
    step = 1
    for extent in reversed(shape):
        strides.append(step)
        step *= extent
    return tuple(reversed(strides))


def resolve_reshape(shape: Sequence[int], target: Sequence[int]) -> Shape:
    """`target` with a single -1 filled in; ShapeError when the number of elements differs."""
    total, known = size(shape), prod(extent for extent in target if extent != -1)
    unknown = sum(extent == -1 for extent in target)
    if unknown > 1:
        raise ShapeError(f"reshape to {tuple(target)}: only one extent may be -1.")
    if unknown:
        if known == 0 or total % known:
            raise ShapeError(
                f"Cannot reshape {tuple(shape)} to {tuple(target)}: {total} elements do not divide."
            )
        return tuple(total // known if extent == -1 else int(extent) for extent in target)
    if known != total:
        raise ShapeError(
            f"Cannot reshape {tuple(shape)} ({total} elements) to {tuple(target)} ({known} elements)."
        )
    return tuple(int(extent) for extent in target)
