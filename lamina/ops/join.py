"""Putting tensors together and taking them apart."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from lamina.core.errors import ArgumentError, ShapeError
from lamina.core.shapes import normalize_axis
from lamina.ir import primitives as p
from lamina.ir.trace import Tensor
from lamina.ops.convert import as_tensor, promote
from lamina.ops.move import reshaped, slice_axis
from lamina.ops.registry import op

# --- together --------------------------------------------------------------------------------------


def _promoted(tensors: Any, what: str) -> list[Any]:
    if len(tensors) == 0:
        raise ArgumentError(f"{what} needs at least one tensor.")
    return promote(*tensors)


@op
def concatenate(xs: Any, axis: int | None = 0) -> Any:
    """Tensors one after the other along an axis (None: flattened first), promoted to one dtype."""
    parts = _promoted(xs, "concatenate")
    if axis is None:
        parts, axis = [reshaped(part, (part.size,)) for part in parts], 0
    ranks = {len(part.shape) for part in parts}
    if len(ranks) != 1 or ranks == {0}:
        raise ShapeError(
            "concatenate needs tensors of one rank, at least 1.",
            got=", ".join(str(part.shape) for part in parts),
        )
    place = normalize_axis(axis, len(parts[0].shape))
    return parts[0] if len(parts) == 1 else p.concatenate(*parts, axis=place)


@op
def stack(x: Any, axis: int = 0) -> Any:
    """Tensors of one shape along a new axis, promoted to one dtype."""
    parts = _promoted(x, "stack")
    shape = parts[0].shape
    if any(part.shape != shape for part in parts):
        raise ShapeError(
            "stack needs tensors of one shape.", got=", ".join(str(part.shape) for part in parts)
        )
    place = normalize_axis(axis, len(shape) + 1)
    wide = (*shape[:place], 1, *shape[place:])
    parts = [p.reshape(part, shape=wide) for part in parts]
    return parts[0] if len(parts) == 1 else p.concatenate(*parts, axis=place)


@op
def append(x1: Any, x2: Any, axis: int | None = None) -> Any:
    """x2 after x1 along an axis (None: both flattened)."""
    return concatenate([x1, x2], axis)


def _at_least(x: Any, rank: int) -> Any:
    """x with axes added as vstack, hstack and dstack want them."""
    x = as_tensor(x)
    have = len(x.shape)
    if have >= rank:
        return x
    if rank == 3:
        return reshaped(x, {0: (1, 1, 1), 1: (1, *x.shape, 1), 2: (*x.shape, 1)}[have])
    return reshaped(x, (1,) * (rank - have) + x.shape)


@op
def vstack(xs: Any) -> Any:
    """Tensors above one another, along axis 0; vectors count as rows."""
    return concatenate([_at_least(x, 2) for x in xs], 0)


@op
def hstack(xs: Any) -> Any:
    """Tensors beside one another: along axis 1, vectors along axis 0."""
    parts = [_at_least(x, 1) for x in xs]
    return concatenate(parts, 0 if parts and len(parts[0].shape) == 1 else 1)


@op
def dstack(xs: Any) -> Any:
    """Tensors behind one another, along axis 2."""
    return concatenate([_at_least(x, 3) for x in xs], 2)


@op
def meshgrid(*x: Any, indexing: str = "xy") -> list[Any]:
    """From vectors of coordinates, the tensors of each coordinate over their grid."""
    if indexing not in ("xy", "ij"):
        raise ArgumentError(f"meshgrid: indexing must be 'xy' or 'ij', got {indexing!r}.")
    lines = [as_tensor(line) for line in x]
    lines = [reshaped(line, (line.size,)) for line in lines]
    order = list(range(len(lines)))
    if indexing == "xy" and len(lines) > 1:
        order[0], order[1] = 1, 0
    shape = tuple(lines[position].shape[0] for position in order)
    return [
        p.broadcast(line, shape=shape, axes=(order.index(position),)) for position, line in enumerate(lines)
    ]


# --- apart -----------------------------------------------------------------------------------------


def _split_at(x: Any, places: list[int], axis: int) -> list[Any]:
    extent = x.shape[axis]
    bounds = [
        0,
        *(min(max(place, 0), extent) if place >= 0 else max(place + extent, 0) for place in places),
        extent,
    ]
    return [slice_axis(x, axis, low, max(low, high)) for low, high in pairwise(bounds)]


def _places(indices_or_sections: Any) -> int | list[int]:
    if isinstance(indices_or_sections, Tensor):
        raise ArgumentError("split needs places that are known when the program is traced.")
    if isinstance(indices_or_sections, (int, np.integer)):
        return int(indices_or_sections)
    return [int(place) for place in indices_or_sections]


@op
def split(x: Any, indices_or_sections: Any, axis: int = 0) -> list[Any]:
    """x cut along an axis: into so many equal parts, or at these places."""
    x = as_tensor(x)
    place, cuts = normalize_axis(axis, len(x.shape)), _places(indices_or_sections)
    if isinstance(cuts, list):
        return _split_at(x, cuts, place)
    extent = x.shape[place]
    if cuts < 1 or extent % cuts:
        raise ShapeError(
            f"Cannot split axis {axis} of shape {x.shape} into {cuts} equal parts.",
            fix="use array_split, or give the places to cut at.",
        )
    return _split_at(x, [extent // cuts * number for number in range(1, cuts)], place)


@op
def array_split(x: Any, indices_or_sections: Any, axis: int = 0) -> list[Any]:
    """Like `split`, but the first parts may be longer by one."""
    x = as_tensor(x)
    place, cuts = normalize_axis(axis, len(x.shape)), _places(indices_or_sections)
    if isinstance(cuts, list):
        return _split_at(x, cuts, place)
    if cuts < 1:
        raise ArgumentError(f"array_split needs at least one part, got {cuts}.")
    each, longer = divmod(x.shape[place], cuts)
    return _split_at(x, [each * number + min(number, longer) for number in range(1, cuts)], place)


@op
def vsplit(x: Any, indices_or_sections: Any) -> list[Any]:
    """`split` along axis 0."""
    return split(x, indices_or_sections, 0)


@op
def hsplit(x: Any, indices_or_sections: Any) -> list[Any]:
    """`split` along axis 1, of a vector along axis 0."""
    x = as_tensor(x)
    return split(x, indices_or_sections, 0 if len(x.shape) == 1 else 1)


@op
def dsplit(x: Any, indices_or_sections: Any) -> list[Any]:
    """`split` along axis 2."""
    return split(x, indices_or_sections, 2)


@op
def unstack(x: Any, num: int | None = None, axis: int = 0) -> list[Any]:
    """The entries of x along an axis, without that axis."""
    x = as_tensor(x)
    place = normalize_axis(axis, len(x.shape))
    if num is not None and num != x.shape[place]:
        raise ShapeError(f"unstack: axis {axis} of shape {x.shape} has {x.shape[place]} entries, not {num}.")
    shape = (*x.shape[:place], *x.shape[place + 1 :])
    return [p.reshape(slice_axis(x, place, low, low + 1), shape=shape) for low in range(x.shape[place])]
