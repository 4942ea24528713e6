"""Writing by place: scatter, segments, counting. Updates whose place lies outside are dropped."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from lamina.core import dtypes
from lamina.core.errors import ArgumentError, ShapeError
from lamina.core.shapes import row_major_strides, size
from lamina.ir import primitives as p
from lamina.ir.trace import Tensor
from lamina.ops.convert import as_tensor, dtype_of, elementwise, filled, like
from lamina.ops.index import place_dtype
from lamina.ops.move import as_shape, reshaped, slice_axis
from lamina.ops.registry import op


def _flat_places(indices: Any, extents: tuple[int, ...]) -> Any:
    """Row-major places from index vectors along the last axis (negative: from the end); -1 if outside."""
    kind = place_dtype(size(extents))
    indices = as_tensor(as_tensor(indices), kind)
    lead = indices.shape[:-1]
    total = inside = None
    for number, (extent, stride) in enumerate(zip(extents, row_major_strides(extents))):
        index = reshaped(slice_axis(indices, len(lead), number, number + 1), (math.prod(lead),))
        index = p.select(p.less(index, like(index, 0)), p.add(index, like(index, extent)), index)
        fits = p.bitwise_and(p.greater_equal(index, like(index, 0)), p.less(index, like(index, extent)))
        steps = index if stride == 1 else p.multiply(index, like(index, stride))
        total = steps if total is None else p.add(total, steps)
        inside = fits if inside is None else p.bitwise_and(inside, fits)
    return p.select(inside, total, like(total, -1))


def _prepared(
    indices: Any, updates: Any, shape: tuple[int, ...], dtype: str
) -> tuple[Any, Any, tuple[int, ...]]:
    """(flat places, updates as rows, shape with the indexed axes made one)."""
    indices = as_tensor(indices)
    depth = indices.shape[-1]
    rest = shape[depth:]
    rows = math.prod(indices.shape[:-1])
    updates = as_tensor(as_tensor(updates), dtype)
    if updates.shape != (*indices.shape[:-1], *rest):
        raise ShapeError(
            f"scatter: updates of shape {updates.shape} do not fit.",
            expected=f"{(*indices.shape[:-1], *rest)}, from indices {indices.shape} into {shape}",
        )
    return (
        _flat_places(indices, shape[:depth]),
        reshaped(updates, (rows, *rest)),
        (size(shape[:depth]), *rest),
    )


@op
def scatter(indices: Any, values: Any, shape: Any) -> Any:
    """A tensor of `shape`, 0 except for `values` added at `indices`, whose last axis is a place."""
    target = as_shape(shape)
    kind = dtype_of(as_tensor(values))
    places, rows, merged = _prepared(indices, values, target, kind)
    return reshaped(p.scatter_add(filled(merged, 0, kind), places, rows, axis=0), target)


@op
def scatter_update(inputs: Any, indices: Any, updates: Any, reduction: str | None = None) -> Any:
    """`inputs` with `updates` put at `indices`, whose last axis is a place.

    reduction: None puts them there (the last one wins); "add", "mul", "max" and "min" combine.
    """
    x = as_tensor(inputs)
    kind = dtype_of(x)
    if kind == "bool":
        return as_tensor(
            scatter_update(as_tensor(x, "int32"), indices, as_tensor(updates, "int32"), reduction), "bool"
        )
    places, rows, merged = _prepared(indices, updates, x.shape, kind)
    flat = reshaped(x, merged)
    if reduction == "add":
        return reshaped(p.scatter_add(flat, places, rows, axis=0), x.shape)
    if reduction not in _COMBINE:
        raise ArgumentError(
            f"Unknown reduction {reduction!r} of scatter_update.",
            expected="None, 'add', 'mul', 'max' or 'min'",
        )
    combine = _COMBINE[reduction]
    places, rows = _last_of_each(places, rows, combine)
    written = p.scatter_add(filled(merged, 0, kind), places, rows, axis=0)
    hit = _is_hit(places, merged)
    result = written if combine is None else combine(flat, written)
    return reshaped(p.select(hit, result, flat), x.shape)


_COMBINE: dict[str | None, Callable[[Any, Any], Any] | None] = {
    None: None,
    "mul": p.multiply,
    "max": p.maximum,
    "min": p.minimum,
}


def _is_hit(places: Any, shape: tuple[int, ...]) -> Any:
    counts = p.scatter_add(filled(shape[:1], 0, "int32"), places, like(as_tensor(places, "int32"), 1), axis=0)
    return p.broadcast(p.greater(counts, like(counts, 0)), shape=shape, axes=(0,))


def _last_of_each(places: Any, rows: Any, combine: Callable[[Any, Any], Any] | None) -> tuple[Any, Any]:
    """Bring equal places together, combine the rows of each, and leave one; the others get place -1.

    Without `combine` the last row of each place stays as it is.
    """
    ordered, order = p.sort(places, axis=0, descending=False)
    rows = p.gather(rows, order, axis=0) if places.size else rows
    count = places.size
    axes = tuple(range(len(rows.shape)))
    reach = 1
    while combine is not None and reach < count:
        # Each pass doubles how far back a row has been combined.
        earlier, later = slice_axis(ordered, 0, 0, count - reach), slice_axis(ordered, 0, reach, count)
        same = p.broadcast(p.equal(earlier, later), shape=(count - reach, *rows.shape[1:]), axes=axes[:1])
        tail = slice_axis(rows, 0, reach, count)
        combined = p.select(same, combine(slice_axis(rows, 0, 0, count - reach), tail), tail)
        rows = p.concatenate(slice_axis(rows, 0, 0, reach), combined, axis=0)
        reach *= 2
    if count < 2:
        return ordered, rows
    repeated = p.equal(slice_axis(ordered, 0, 0, count - 1), slice_axis(ordered, 0, 1, count))
    no = as_tensor(False)
    repeated = p.pad(repeated, no, low=(0,), high=(1,), interior=(0,))
    return p.select(repeated, like(ordered, -1), ordered), rows


# --- segments --------------------------------------------------------------------------------------


def _segments(data: Any, segment_ids: Any, num_segments: int | None) -> tuple[Any, Any, int]:
    data, ids = as_tensor(data), as_tensor(segment_ids)
    if len(ids.shape) != 1 or ids.shape[0] != data.shape[0]:
        raise ShapeError(f"Segment ids of shape {ids.shape} do not line up with axis 0 of data {data.shape}.")
    if num_segments is None:
        if isinstance(ids, Tensor):
            raise ArgumentError("num_segments must be given when segment_ids are traced: it gives the shape.")
        num_segments = int(ids.max()) + 1 if ids.size else 0
    return data, as_tensor(ids, place_dtype(num_segments)), int(num_segments)


@op
def segment_sum(data: Any, segment_ids: Any, num_segments: int | None = None, sorted: bool = False) -> Any:
    """The sums of the rows of `data` with equal ids: (n, ...) to (num_segments, ...)."""
    data, ids, count = _segments(data, segment_ids, num_segments)
    return p.scatter_add(filled((count, *data.shape[1:]), 0, dtype_of(data)), ids, data, axis=0)


def _segment_fold(combine: Callable[[Any, Any], Any], empty: Any, data: Any, ids: Any, count: int) -> Any:
    shape = (count, *data.shape[1:])
    places, rows = _last_of_each(ids, data, combine)
    folded = p.scatter_add(filled(shape, 0, dtype_of(data)), places, rows, axis=0)
    return p.select(_is_hit(places, shape), folded, like(folded, empty))


@op
def segment_max(data: Any, segment_ids: Any, num_segments: int | None = None, sorted: bool = False) -> Any:
    """The largest of the rows of `data` with equal ids; the dtype's least number where there is none."""
    data, ids, count = _segments(data, segment_ids, num_segments)
    return _segment_fold(p.maximum, dtypes.limits(dtype_of(data))[0], data, ids, count)


@op
def segment_min(data: Any, segment_ids: Any, num_segments: int | None = None, sorted: bool = False) -> Any:
    """The smallest of the rows of `data` with equal ids; the dtype's greatest number where there is none."""
    data, ids, count = _segments(data, segment_ids, num_segments)
    return _segment_fold(p.minimum, dtypes.limits(dtype_of(data))[1], data, ids, count)


@op
def segment_prod(data: Any, segment_ids: Any, num_segments: int | None = None, sorted: bool = False) -> Any:
    """The products of the rows of `data` with equal ids; 1 where there is none."""
    data, ids, count = _segments(data, segment_ids, num_segments)
    return _segment_fold(p.multiply, 1, data, ids, count)


# --- counting --------------------------------------------------------------------------------------


@op
def bincount(x: Any, weights: Any = None, minlength: int = 0, sparse: bool = False) -> Any:
    """How often each of 0, 1, 2, ... occurs in x (or the sum of its weights); of a matrix, row by row.

    The result has max(x) + 1 entries, at least `minlength`. A traced x has no known maximum: there it has
    exactly `minlength` entries, and larger numbers are not counted.
    """
    if sparse:
        raise ArgumentError("Lamina has dense tensors only.", fix="leave out sparse=True.")
    x = as_tensor(x)
    length = int(minlength)
    if not isinstance(x, Tensor):
        length = max(length, int(np.max(np.asarray(x))) + 1 if x.size else 0)
    elif length < 1:
        raise ArgumentError("bincount of a traced tensor needs minlength: it gives the shape of the result.")
    amounts = like(as_tensor(x, "int32"), 1) if weights is None else as_tensor(weights)
    places = as_tensor(x, "int32")
    if len(x.shape) == 1:
        return p.scatter_add(filled((length,), 0, dtype_of(amounts)), places, amounts, axis=0)
    rows = x.shape[0]
    start = p.iota(shape=x.shape, axis=0, dtype="int32")
    inside = p.bitwise_and(p.greater_equal(places, like(places, 0)), p.less(places, like(places, length)))
    flat = p.add(places, elementwise(p.multiply, start, as_tensor(length)))
    flat = p.select(inside, flat, like(flat, -1))
    total = p.scatter_add(
        filled((rows * length,), 0, dtype_of(amounts)),
        reshaped(flat, (x.size,)),
        reshaped(amounts, (x.size,)),
        axis=0,
    )
    return reshaped(total, (rows, length))
