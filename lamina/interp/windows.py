"""The primitives with windows, in NumPy: convolutions and pooling over [batch, *spatial, channels].

Forward, windows are views (`sliding_window_view`); backward, each place of the window adds to the elements
it saw.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from lamina.core import dtypes
from lamina.core.windows import Padding, reach

Array = np.ndarray[Any, Any]
Ints = tuple[int, ...]


def _padded(x: Array, padding: Padding, fill: Any = 0) -> Array:
    return np.pad(x, ((0, 0), *padding, (0, 0)), constant_values=fill)


def _windows(x: Array, sizes: Sequence[int], strides: Ints, dilation: Ints) -> Array:
    """The windows of padded x as a view [batch, *places, channels, *sizes]."""
    axes = tuple(range(1, x.ndim - 1))
    whole = sliding_window_view(x, tuple(map(reach, sizes, dilation)), axis=axes)  # type: ignore[arg-type]
    every = tuple(slice(None, None, step) for step in strides)
    within = tuple(slice(None, None, step) for step in dilation)
    return whole[(slice(None), *every, slice(None), *within)]


def _taps(sizes: Ints, places: Ints, strides: Ints, dilation: Ints) -> Iterator[tuple[Ints, Any]]:
    """Each element of the window, with the elements of padded x that it sees from all places."""
    for tap in np.ndindex(*sizes):
        starts = [position * step for position, step in zip(tap, dilation)]
        spans = zip(starts, places, strides)
        seen = tuple(slice(start, start + (count - 1) * step + 1, step) for start, count, step in spans)
        yield tap, (slice(None), *seen)


def _unpadded(x: Array, padding: Padding) -> Array:
    inner = tuple(slice(low, extent - high) for extent, (low, high) in zip(x.shape[1:-1], padding))
    return x[(slice(None), *inner)]


def _empty(batch: int, shape: Ints, padding: Padding, channels: int, dtype: Any) -> Array:
    widened = [low + extent + high for extent, (low, high) in zip(shape, padding)]
    return np.zeros((batch, *widened, channels), dtype)


# --- contract --------------------------------------------------------------------------------------


def conv(x: Array, kernel: Array, *, strides: Ints, padding: Padding, dilation: Ints, groups: int) -> Array:
    """Per group: each window times the kernel, summed over the window and the channels."""
    sizes = kernel.shape[:-2]
    seen = _windows(_padded(x, padding), sizes, strides, dilation)
    channels_last = np.split(np.moveaxis(seen, x.ndim - 1, -1), groups, axis=-1)
    per_group = [
        np.tensordot(part, weights, axes=kernel.ndim - 1)
        for part, weights in zip(channels_last, np.split(kernel, groups, axis=-1))
    ]
    return np.concatenate(per_group, axis=-1)


def conv_input_grad(
    y: Array, kernel: Array, *, shape: Ints, strides: Ints, padding: Padding, dilation: Ints, groups: int
) -> Array:
    per_group = kernel.shape[-2]
    result = _empty(y.shape[0], shape, padding, per_group * groups, y.dtype)
    cotangents, weights = np.split(y, groups, axis=-1), np.split(kernel, groups, axis=-1)
    for tap, seen in _taps(kernel.shape[:-2], y.shape[1:-1], strides, dilation):
        for group, (cotangent, filters) in enumerate(zip(cotangents, weights)):
            mine = slice(group * per_group, (group + 1) * per_group)
            result[(*seen, mine)] += np.matmul(cotangent, filters[tap].T)
    return _unpadded(result, padding)


def conv_filter_grad(
    x: Array, y: Array, *, shape: Ints, strides: Ints, padding: Padding, dilation: Ints, groups: int
) -> Array:
    seen = _windows(_padded(x, padding), shape, strides, dilation)
    axes = list(range(y.ndim - 1))
    per_group = [
        np.moveaxis(np.tensordot(part, cotangent, axes=(axes, axes)), 0, -2)
        for part, cotangent in zip(np.split(seen, groups, axis=y.ndim - 1), np.split(y, groups, axis=-1))
    ]
    return np.concatenate(per_group, axis=-1)


# --- window ----------------------------------------------------------------------------------------


def max_window(
    x: Array, *, sizes: Ints, strides: Ints, padding: Padding, dilation: Ints
) -> tuple[Array, Array]:
    """Where the window lies over padding, the lowest number stands, and its place cannot be chosen."""
    lowest = dtypes.limits(dtypes.of_numpy(x.dtype))[0]
    seen = _lines(_windows(_padded(x, padding, lowest), sizes, strides, dilation), x.ndim)
    real = _windows(_padded(np.ones(x.shape, bool), padding, False), sizes, strides, dilation)
    values = seen.max(-1)
    wins = ((seen == values[..., None]) | (seen != seen)) & _lines(real, x.ndim)
    return values, wins.argmax(-1)


def _lines(windows: Array, rank: int) -> Array:
    """Each window's elements as one axis."""
    return windows.reshape(*windows.shape[:rank], int(np.prod(windows.shape[rank:])))


def gather_window(
    x: Array, index: Array, *, sizes: Ints, strides: Ints, padding: Padding, dilation: Ints
) -> Array:
    seen = _lines(_windows(_padded(x, padding), sizes, strides, dilation), x.ndim)
    inside = (index >= 0) & (index < seen.shape[-1])
    place = np.where(inside, index, 0).astype(np.intp)[..., None]
    found = np.take_along_axis(seen, place, -1)[..., 0]
    return np.where(inside, found, np.zeros((), x.dtype))


def scatter_window(
    y: Array, index: Array, *, shape: Ints, sizes: Ints, strides: Ints, padding: Padding, dilation: Ints
) -> Array:
    result = _empty(y.shape[0], shape, padding, y.shape[-1], y.dtype)
    for number, (_, seen) in enumerate(_taps(sizes, y.shape[1:-1], strides, dilation)):
        result[seen] += np.where(index == number, y, np.zeros((), y.dtype))
    return _unpadded(result, padding)


def sum_window(x: Array, *, sizes: Ints, strides: Ints, padding: Padding, dilation: Ints) -> Array:
    seen = _windows(_padded(x, padding), sizes, strides, dilation)
    return seen.sum(tuple(range(x.ndim, seen.ndim)), dtype=x.dtype)


def spread_window(
    y: Array, *, shape: Ints, sizes: Ints, strides: Ints, padding: Padding, dilation: Ints
) -> Array:
    result = _empty(y.shape[0], shape, padding, y.shape[-1], y.dtype)
    for _, seen in _taps(sizes, y.shape[1:-1], strides, dilation):
        result[seen] += y
    return _unpadded(result, padding)
