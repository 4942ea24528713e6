"""Pooling: the maximum or the average of windows, of given sizes or as many as are wanted."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from lamina.core.windows import Padding
from lamina.interp import Array
from lamina.ir import primitives as p
from lamina.ops.arithmetic import divide
from lamina.ops.convert import as_float, as_tensor, dtype_of
from lamina.ops.registry import op
from lamina.ops.resizing import weighted
from lamina.ops.spatial import Ints, channels_last, in_format, per_axis, resolve_padding, spatial_rank

Numbers = int | Sequence[int]


@op
def max_pool(
    inputs: Any,
    pool_size: Numbers,
    strides: Numbers | None = None,
    padding: Any = "valid",
    data_format: str | None = None,
) -> Any:
    """The maximum of every window of the spatial axes, for each channel; padding is never the maximum.

    strides: how far windows are apart; by default they touch. padding: as in `conv`.

    >>> max_pool(ones((1, 28, 28, 3)), 2).shape
    (1, 14, 14, 3)
    """
    x = as_tensor(channels_last(inputs, data_format))
    return in_format(p.max_window(x, **_window(x, pool_size, strides, padding))[0], data_format)


@op
def average_pool(
    inputs: Any,
    pool_size: Numbers,
    strides: Numbers | None = None,
    padding: Any = "valid",
    data_format: str | None = None,
) -> Any:
    """The average of every window of the spatial axes, for each channel; padding does not count.

    Arguments as in `max_pool`.
    """
    x = as_float(channels_last(inputs, data_format))
    window = _window(x, pool_size, strides, padding)
    return in_format(
        divide(p.sum_window(x, **window), _counts(x.shape[1:-1], dtype_of(x), **window)), data_format
    )


def _window(x: Any, pool_size: Numbers, strides: Numbers | None, padding: Any) -> dict[str, Any]:
    rank = spatial_rank(x, "pooling")
    sizes = per_axis(pool_size, rank, "pool_size")
    steps = sizes if strides is None else per_axis(strides, rank, "strides")
    dilation = (1,) * rank
    pairs = resolve_padding(padding, x.shape[1:-1], sizes, steps, dilation)
    return {"sizes": sizes, "strides": steps, "padding": pairs, "dilation": dilation}


def _counts(
    spatial: Ints, dtype: str, *, sizes: Ints, strides: Ints, padding: Padding, dilation: Ints
) -> Any:
    """How many elements each window has, without the padding: a number, or an array [*places, 1]."""
    if not any(width for pair in padding for width in pair):
        return float(prod(sizes))
    axes = []
    for extent, size, stride, (low, high) in zip(spatial, sizes, strides, padding):
        starts = np.arange((low + extent + high - size) // stride + 1) * stride - low
        axes.append(np.minimum(starts + size, extent) - np.maximum(starts, 0))
    counts = np.ones(())
    for along in axes:
        counts = np.multiply.outer(counts, along)
    return as_tensor(np.maximum(counts, 1)[..., None].view(Array), dtype)


# --- adaptive --------------------------------------------------------------------------------------


@op
def adaptive_average_pool(inputs: Any, output_size: Numbers, data_format: str | None = None) -> Any:
    """Averages of `output_size` windows per spatial axis that cover it evenly.

    Window i of m over n elements reaches from floor(i n / m) to ceil((i + 1) n / m), so neighbours may share
    elements.

    >>> adaptive_average_pool(ones((2, 30, 20, 3)), 7).shape
    (2, 7, 7, 3)
    """
    x = as_float(channels_last(inputs, data_format))
    wanted = per_axis(output_size, spatial_rank(x, "adaptive pooling"), "output_size")
    if all(extent % count == 0 for extent, count in zip(x.shape[1:-1], wanted)):
        sizes = tuple(extent // count for extent, count in zip(x.shape[1:-1], wanted))
        return in_format(average_pool(x, sizes), data_format)
    for axis, count in enumerate(wanted, 1):
        weights = np.zeros((count, x.shape[axis]))
        for place, (start, stop) in enumerate(_spans(x.shape[axis], count)):
            weights[place, start:stop] = 1 / (stop - start)
        x = weighted(x, weights, axis)
    return in_format(x, data_format)


@op
def adaptive_max_pool(inputs: Any, output_size: Numbers, data_format: str | None = None) -> Any:
    """Maxima of `output_size` windows per spatial axis; the windows are those of `adaptive_average_pool`."""
    x = as_tensor(channels_last(inputs, data_format))
    wanted = per_axis(output_size, spatial_rank(x, "adaptive pooling"), "output_size")
    if all(extent % count == 0 for extent, count in zip(x.shape[1:-1], wanted)):
        sizes = tuple(extent // count for extent, count in zip(x.shape[1:-1], wanted))
        return in_format(max_pool(x, sizes), data_format)
    for axis, count in enumerate(wanted, 1):
        spans = _spans(x.shape[axis], count)
        widest = max(stop - start for start, stop in spans)
        # Short windows see their last element more than once.
        seen = [[min(start + step, stop - 1) for step in range(widest)] for start, stop in spans]
        x = p.reduce_max(p.gather(x, np.array(seen, np.int32), axis=axis), axes=(axis + 1,))
    return in_format(x, data_format)


def _spans(extent: int, count: int) -> list[tuple[int, int]]:
    return [(place * extent // count, -(-(place + 1) * extent // count)) for place in range(count)]
