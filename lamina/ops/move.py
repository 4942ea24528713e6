"""Shapes and places: what rearranges elements without computing anything."""

from __future__ import annotations

from typing import Any

import numpy as np

from lamina.core.errors import ArgumentError, ShapeError
from lamina.core.shapes import broadcast as broadcast_shapes
from lamina.core.shapes import normalize_axes, normalize_axis, resolve_reshape
from lamina.ir import primitives as p
from lamina.ir.trace import Tensor
from lamina.ops.convert import as_tensor, dtype_of, spread
from lamina.ops.registry import op


def as_shape(shape: Any) -> tuple[int, ...]:
    """A shape given as an int, a sequence or a concrete integer array, as a tuple of ints."""
    if isinstance(shape, (int, np.integer)):
        return (int(shape),)
    return tuple([int(extent) for extent in shape])


def slice_axis(x: Any, axis: int, start: int, limit: int, stride: int = 1) -> Any:
    """x[start:limit:stride] along one axis."""
    extents = x.shape
    if start == 0 and limit == extents[axis] and stride == 1:
        return x
    rank = len(extents)
    starts, limits, strides = [0] * rank, list(extents), [1] * rank
    starts[axis], limits[axis], strides[axis] = start, limit, stride
    return p.slice(x, start=tuple(starts), limit=tuple(limits), stride=tuple(strides))


def reshaped(x: Any, shape: tuple[int, ...]) -> Any:
    return x if x.shape == shape else p.reshape(x, shape=shape)


def transposed(x: Any, permutation: tuple[int, ...]) -> Any:
    return x if permutation == tuple(range(len(permutation))) else p.transpose(x, permutation=permutation)


# --- shape -----------------------------------------------------------------------------------------


@op
def reshape(x: Any, newshape: Any) -> Any:
    """The elements of x, row by row, in another shape; one extent may be -1."""
    x = as_tensor(x)
    return reshaped(x, resolve_reshape(x.shape, as_shape(newshape)))


@op
def ravel(x: Any) -> Any:
    """The elements of x, row by row, as a vector."""
    x = as_tensor(x)
    return reshaped(x, (x.size,))


@op
def expand_dims(x: Any, axis: Any) -> Any:
    """x with new axes of extent 1, at these places of the result."""
    x = as_tensor(x)
    count = 1 if isinstance(axis, int) else len(axis)
    places = normalize_axes(axis, len(x.shape) + count)
    rest = iter(x.shape)
    return reshaped(x, tuple(1 if place in places else next(rest) for place in range(len(x.shape) + count)))


@op
def squeeze(x: Any, axis: Any = None) -> Any:
    """x without these axes of extent 1 (None: without all of them)."""
    x = as_tensor(x)
    if axis is None:
        return reshaped(x, tuple(extent for extent in x.shape if extent != 1))
    places = normalize_axes(axis, len(x.shape))
    for place in places:
        if x.shape[place] != 1:
            raise ShapeError(
                f"Cannot squeeze axis {place} of a tensor of shape {x.shape}.",
                expected="extent 1",
                got=f"extent {x.shape[place]}",
            )
    return reshaped(x, tuple(extent for place, extent in enumerate(x.shape) if place not in places))


@op
def broadcast_to(x: Any, shape: Any) -> Any:
    """x repeated to `shape` under NumPy's rules."""
    x, target = as_tensor(x), as_shape(shape)
    if broadcast_shapes(x.shape, target) != target:
        raise ShapeError(f"Shape {x.shape} does not broadcast to {target}.")
    return spread(x, target)


# --- order of axes ---------------------------------------------------------------------------------


@op
def transpose(x: Any, axes: Any = None) -> Any:
    """x with its axes in the order `axes` (None: reversed)."""
    x = as_tensor(x)
    rank = len(x.shape)
    if axes is None:
        return transposed(x, tuple(reversed(range(rank))))
    return transposed(x, tuple(normalize_axis(axis, rank) for axis in axes))


@op
def moveaxis(x: Any, source: Any, destination: Any) -> Any:
    """x with the axes `source` moved to the places `destination`; the others keep their order."""
    x = as_tensor(x)
    rank = len(x.shape)
    sources = [normalize_axis(axis, rank) for axis in ([source] if isinstance(source, int) else source)]
    places = [
        normalize_axis(axis, rank)
        for axis in ([destination] if isinstance(destination, int) else destination)
    ]
    if len(sources) != len(places):
        raise ArgumentError(f"moveaxis: {len(sources)} sources but {len(places)} destinations.")
    order = [axis for axis in range(rank) if axis not in sources]
    for place, axis in sorted(zip(places, sources)):
        order.insert(place, axis)
    return transposed(x, tuple(order))


@op
def swapaxes(x: Any, axis1: int, axis2: int) -> Any:
    """x with two axes exchanged."""
    x = as_tensor(x)
    rank = len(x.shape)
    first, second = normalize_axis(axis1, rank), normalize_axis(axis2, rank)
    order = list(range(rank))
    order[first], order[second] = second, first
    return transposed(x, tuple(order))


# --- order of elements -----------------------------------------------------------------------------


@op
def flip(x: Any, axis: Any = None) -> Any:
    """x backwards along `axis` (None: along every axis)."""
    x = as_tensor(x)
    axes = normalize_axes(axis, len(x.shape))
    return p.reverse(x, axes=axes) if axes else x


@op
def fliplr(x: Any) -> Any:
    """x backwards along axis 1."""
    return flip(x, 1)


@op
def flipud(x: Any) -> Any:
    """x backwards along axis 0."""
    return flip(x, 0)


@op
def rot90(array: Any, k: int = 1, axes: tuple[int, int] = (0, 1)) -> Any:
    """`array` turned k times by 90 degrees, from the first of the two axes towards the second."""
    array = as_tensor(array)
    rank = len(array.shape)
    if len(axes) != 2 or rank < 2:
        raise ArgumentError(f"rot90 turns in the plane of two axes, got axes {axes} of rank {rank}.")
    first, second = (normalize_axis(axis, rank) for axis in axes)
    if first == second:
        raise ArgumentError(f"rot90 needs two different axes, got {axes}.")
    turns = k % 4
    if turns == 0:
        return array
    if turns == 2:
        return flip(array, (first, second))
    if turns == 1:
        return swapaxes(flip(array, second), first, second)
    return flip(swapaxes(array, first, second), second)


@op
def roll(x: Any, shift: Any, axis: Any = None) -> Any:
    """x with its elements moved on by `shift` places along `axis`, round the end (None: flattened)."""
    x = as_tensor(x)
    if axis is None:
        return reshaped(_roll(reshaped(x, (x.size,)), int(shift), 0), x.shape)
    axes = [axis] if isinstance(axis, int) else list(axis)
    shifts = [shift] * len(axes) if isinstance(shift, int) else list(shift)
    if len(axes) != len(shifts):
        raise ArgumentError(f"roll: {len(shifts)} shifts for {len(axes)} axes.")
    for place, places in zip(axes, shifts):
        x = _roll(x, int(places), normalize_axis(place, len(x.shape)))
    return x


def _roll(x: Any, shift: int, axis: int) -> Any:
    extent = x.shape[axis]
    cut = extent - shift % extent if extent else 0
    if cut == extent:
        return x
    return p.concatenate(slice_axis(x, axis, cut, extent), slice_axis(x, axis, 0, cut), axis=axis)


# --- repetition ------------------------------------------------------------------------------------


@op
def repeat(x: Any, repeats: Any, axis: int | None = None) -> Any:
    """Each entry along `axis` (None: of the flattened tensor) `repeats` times in a row.

    repeats: an int, or one count per entry.
    """
    x = as_tensor(x)
    if axis is None:
        x, axis = reshaped(x, (x.size,)), 0
    place = normalize_axis(axis, len(x.shape))
    extent = x.shape[place]
    if isinstance(repeats, Tensor):
        raise ArgumentError("repeat needs counts that are known when the program is traced.")
    counts = np.asarray(repeats)
    if counts.size == 1:
        times = int(counts.reshape(()))
        wide = (*x.shape[: place + 1], times, *x.shape[place + 1 :])
        axes = tuple(other for other in range(len(wide)) if other != place + 1)
        target = (*x.shape[:place], extent * times, *x.shape[place + 1 :])
        return p.reshape(p.broadcast(x, shape=wide, axes=axes), shape=target)
    if counts.shape != (extent,):
        raise ShapeError(f"repeat: {counts.size} counts for an axis of extent {extent}.")
    return p.gather(x, np.repeat(np.arange(extent, dtype=np.int32), counts), axis=place)


@op
def tile(x: Any, repeats: Any) -> Any:
    """x as a whole repeated `repeats` times along each axis, counted from the last."""
    x, times = as_tensor(x), as_shape(repeats)
    rank = max(len(x.shape), len(times))
    shape = (1,) * (rank - len(x.shape)) + x.shape
    times = (1,) * (rank - len(times)) + times
    interleaved = tuple(extent for pair in zip(times, shape) for extent in pair)
    axes = tuple(2 * axis + 1 for axis in range(rank))
    copies = p.broadcast(reshaped(x, shape), shape=interleaved, axes=axes)
    return reshaped(copies, tuple(count * extent for count, extent in zip(times, shape)))


@op
def pad(x: Any, pad_width: Any, mode: str = "constant", constant_values: Any = None) -> Any:
    """x with borders.

    pad_width: an int, (before, after), or one such pair per axis.
    mode: "constant" (`constant_values`, else 0), "reflect" (mirrored without the edge), "symmetric" (mirrored
    with the edge), "edge" (the edge repeated), or "wrap" (the other end).
    """
    x = as_tensor(x)
    widths = _pad_widths(pad_width, len(x.shape))
    if constant_values is not None and mode != "constant":
        raise ArgumentError(f"pad: constant_values belong to mode 'constant', got mode {mode!r}.")
    if mode == "constant":
        value = as_tensor(0 if constant_values is None else constant_values)
        low, high = tuple(before for before, _ in widths), tuple(after for _, after in widths)
        return p.pad(x, as_tensor(value, dtype_of(x)), low=low, high=high, interior=(0,) * len(widths))
    if mode not in ("reflect", "symmetric", "edge", "wrap"):
        raise ArgumentError(
            f"Unknown padding mode {mode!r}.", expected="constant, reflect, symmetric, edge or wrap"
        )
    for axis, (before, after) in enumerate(widths):
        if before or after:
            places = np.pad(np.arange(x.shape[axis], dtype=np.int32), (before, after), mode=mode)  # type: ignore[call-overload]
            x = p.gather(x, places, axis=axis)
    return x


def _pad_widths(pad_width: Any, rank: int) -> list[tuple[int, int]]:
    if isinstance(pad_width, int):
        return [(pad_width, pad_width)] * rank
    listed = list(pad_width)
    if len(listed) == 2 and all(isinstance(width, int) for width in listed):
        return [(int(listed[0]), int(listed[1]))] * rank
    if len(listed) == 1 and rank > 1:
        listed = listed * rank
    if len(listed) != rank:
        raise ShapeError(f"pad: {len(listed)} pairs of widths for a tensor of rank {rank}.")
    pairs = [(width, width) if isinstance(width, int) else tuple(width) for width in listed]
    return [(int(pair[0]), int(pair[-1])) for pair in pairs]


# --- diagonals -------------------------------------------------------------------------------------


@op
def diagonal(x: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    """The diagonals of the planes of two axes, as a new last axis."""
    x = as_tensor(x)
    rank = len(x.shape)
    first, second = normalize_axis(axis1, rank), normalize_axis(axis2, rank)
    if rank < 2 or first == second:
        raise ArgumentError(f"diagonal needs two different axes, got {axis1} and {axis2} of shape {x.shape}.")
    order = (*(axis for axis in range(rank) if axis not in (first, second)), first, second)
    planes = transposed(x, order)
    rows, columns = planes.shape[-2:]
    low = (max(-offset, 0), max(offset, 0))
    length = max(min(rows - low[0], columns - low[1]), 0)
    lead = planes.shape[:-2]
    if length == 0:
        return reshaped(slice_axis(reshaped(planes, (*lead, rows * columns)), rank - 2, 0, 0), (*lead, 0))
    flat = reshaped(planes, (*lead, rows * columns))
    start = low[0] * columns + low[1]
    return slice_axis(flat, rank - 2, start, start + (length - 1) * (columns + 1) + 1, columns + 1)


@op
def diag(x: Any, k: int = 0) -> Any:
    """Of a vector, the square matrix with it on diagonal k; of a matrix, its diagonal k."""
    x = as_tensor(x)
    if len(x.shape) == 2:
        return diagonal(x, k)
    if len(x.shape) != 1:
        raise ShapeError(f"diag takes a vector or a matrix, got shape {x.shape}.")
    return _matrix_with_diagonal(x, k)


def _matrix_with_diagonal(x: Any, k: int) -> Any:
    """Spread the vector so that its elements lie extent + 1 apart, row by row of the square matrix."""
    length, side = x.shape[0], x.shape[0] + abs(k)
    start = k if k >= 0 else -k * side
    used = start + (length - 1) * (side + 1) + 1 if length else start
    flat = p.pad(x, as_tensor(0, dtype_of(x)), low=(start,), high=(side * side - used,), interior=(side,))
    return p.reshape(flat, shape=(side, side))


@op
def diagflat(x: Any, k: int = 0) -> Any:
    """The square matrix with the flattened x on diagonal k."""
    return diag(ravel(x), k)


@op
def trace(x: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    """The sum of the diagonal."""
    from lamina.ops.reduce import sum

    return sum(diagonal(x, offset, axis1, axis2), axis=-1)


# --- blocks of images ------------------------------------------------------------------------------


@op
def depth_to_space(x: Any, block_size: int, data_format: str = "channels_last") -> Any:
    """(batch, h, w, c b b) to (batch, h b, w b, c): each pixel's channels become a block of b by b pixels."""
    x = _channels_last(as_tensor(x), data_format)
    batch, height, width, channels = x.shape
    if channels % block_size**2:
        raise ShapeError(
            f"depth_to_space: {channels} channels do not fill blocks of {block_size} by {block_size}."
        )
    depth = channels // block_size**2
    x = p.reshape(x, shape=(batch, height, width, block_size, block_size, depth))
    x = p.transpose(x, permutation=(0, 1, 3, 2, 4, 5))
    return p.reshape(x, shape=(batch, height * block_size, width * block_size, depth))


@op
def space_to_depth(x: Any, block_size: int, data_format: str = "channels_last") -> Any:
    """(batch, h b, w b, c) to (batch, h, w, c b b): the inverse of `depth_to_space`."""
    x = _channels_last(as_tensor(x), data_format)
    batch, height, width, channels = x.shape
    if height % block_size or width % block_size:
        raise ShapeError(f"space_to_depth: {height} by {width} pixels are not made of {block_size}-blocks.")
    rows, columns = height // block_size, width // block_size
    x = p.reshape(x, shape=(batch, rows, block_size, columns, block_size, channels))
    x = p.transpose(x, permutation=(0, 1, 3, 2, 4, 5))
    return p.reshape(x, shape=(batch, rows, columns, channels * block_size**2))


def _channels_last(x: Any, data_format: str) -> Any:
    if data_format != "channels_last" or len(x.shape) != 4:
        raise ArgumentError(
            f"Images are channels-last, of rank 4; got data_format {data_format!r} and shape {x.shape}."
        )
    return x
