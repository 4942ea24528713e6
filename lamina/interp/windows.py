"""The primitives with windows, in NumPy: convolutions and pooling over [batch, *spatial, channels].

All go through the window element by element: an element sees, from all places of the window, a strided slice
of the padded input, a view. So no tensor of windows is made, and backward has the slice on the other side.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from typing import Any

import numpy as np

from lamina.core import dtypes, windows
from lamina.core.windows import Padding

Array = np.ndarray[Any, Any]
Ints = tuple[int, ...]


def _padded(x: Array, padding: Padding, fill: Any = 0) -> Array:
    return np.pad(x, ((0, 0), *padding, (0, 0)), constant_values=fill)


def _zeros(batch: int, shape: Ints, padding: Padding, channels: int, dtype: Any) -> Array:
    widened = [low + extent + high for extent, (low, high) in zip(shape, padding)]
    return np.zeros((batch, *widened, channels), dtype)


def _unpadded(x: Array, padding: Padding) -> Array:
    inner = tuple(slice(low, extent - high) for extent, (low, high) in zip(x.shape[1:-1], padding))
    return x[(slice(None), *inner)]


def _taps(sizes: Ints, places: Ints, strides: Ints, dilation: Ints) -> Iterator[tuple[Ints, Any]]:
    """Each element of the window, with the elements of padded x that it sees from all places."""
    for tap in np.ndindex(*sizes):
        starts = [position * step for position, step in zip(tap, dilation)]
        spans = zip(starts, places, strides)
        seen = tuple(slice(start, start + (count - 1) * step + 1, step) for start, count, step in spans)
        yield tap, (slice(None), *seen)


# --- contract --------------------------------------------------------------------------------------


def conv(x: Array, kernel: Array, *, strides: Ints, padding: Padding, dilation: Ints, groups: int) -> Array:
    sizes = kernel.shape[:-2]
    places = windows.places(x.shape[1:-1], sizes, strides, padding, dilation)
    padded, result = _padded(x, padding), np.zeros((x.shape[0], *places, kernel.shape[-1]), x.dtype)
    for tap, seen in _taps(sizes, places, strides, dilation):
        if groups == 1:
            result += padded[seen] @ kernel[tap]
        else:
            product = np.einsum(
                "...gc,gco->...go", _grouped(padded[seen], groups), _blocks(kernel[tap], groups)
            )
            result += product.reshape(result.shape)
    return result


def conv_input_grad(
    y: Array, kernel: Array, *, shape: Ints, strides: Ints, padding: Padding, dilation: Ints, groups: int
) -> Array:
    result = _zeros(y.shape[0], shape, padding, kernel.shape[-2] * groups, y.dtype)
    for tap, seen in _taps(kernel.shape[:-2], y.shape[1:-1], strides, dilation):
        if groups == 1:
            result[seen] += y @ kernel[tap].T
        else:
            product = np.einsum("...go,gco->...gc", _grouped(y, groups), _blocks(kernel[tap], groups))
            result[seen] += product.reshape(result[seen].shape)
    return _unpadded(result, padding)


def conv_filter_grad(
    x: Array, y: Array, *, shape: Ints, strides: Ints, padding: Padding, dilation: Ints, groups: int
) -> Array:
    padded, rows = _padded(x, padding), prod(y.shape[:-1])
    result = np.zeros((*shape, x.shape[-1] // groups, y.shape[-1]), x.dtype)
    for tap, seen in _taps(shape, y.shape[1:-1], strides, dilation):
        left, right = padded[seen].reshape(rows, x.shape[-1]), y.reshape(rows, y.shape[-1])
        if groups == 1:
            result[tap] = left.T @ right
        else:
            product = np.einsum("ngc,ngo->cgo", _grouped(left, groups), _grouped(right, groups))
            result[tap] = product.reshape(result[tap].shape)
    return result


def _grouped(x: Array, groups: int) -> Array:
    """The last axis as two: group, channel of the group."""
    return x.reshape(*x.shape[:-1], groups, x.shape[-1] // groups)


def _blocks(matrix: Array, groups: int) -> Array:
    """[channels of a group, filters] as [group, channels of a group, filters of a group]."""
    return np.moveaxis(_grouped(matrix, groups), 1, 0)


# --- window ----------------------------------------------------------------------------------------


def max_window(
    x: Array, *, sizes: Ints, strides: Ints, padding: Padding, dilation: Ints
) -> tuple[Array, Array]:
    """An element takes over when it is greater, or the first NaN, or the first that is no padding."""
    places = windows.places(x.shape[1:-1], sizes, strides, padding, dilation)
    padded = _padded(x, padding)
    is_real = _padded(np.ones((1, *x.shape[1:-1], 1), bool), padding, False)
    values = np.full((x.shape[0], *places, x.shape[-1]), dtypes.limits(dtypes.of_numpy(x.dtype))[0], x.dtype)
    index = np.full(values.shape, -1, np.int32)
    for number, (_, seen) in enumerate(_taps(sizes, places, strides, dilation)):
        value = padded[seen]
        is_first_nan = (value != value) & (values == values)
        takes_over = is_real[seen] & ((value > values) | is_first_nan | (index < 0))
        values, index = np.where(takes_over, value, values), np.where(takes_over, number, index)
    return values, index


def gather_window(
    x: Array, index: Array, *, sizes: Ints, strides: Ints, padding: Padding, dilation: Ints
) -> Array:
    padded, result = _padded(x, padding), np.zeros(index.shape, x.dtype)
    for number, (_, seen) in enumerate(_taps(sizes, index.shape[1:-1], strides, dilation)):
        result = np.where(index == number, padded[seen], result)
    return result


def scatter_window(
    y: Array, index: Array, *, shape: Ints, sizes: Ints, strides: Ints, padding: Padding, dilation: Ints
) -> Array:
    result = _zeros(y.shape[0], shape, padding, y.shape[-1], y.dtype)
    for number, (_, seen) in enumerate(_taps(sizes, y.shape[1:-1], strides, dilation)):
        result[seen] += np.where(index == number, y, np.zeros((), y.dtype))
    return _unpadded(result, padding)


def sum_window(x: Array, *, sizes: Ints, strides: Ints, padding: Padding, dilation: Ints) -> Array:
    places = windows.places(x.shape[1:-1], sizes, strides, padding, dilation)
    padded, result = _padded(x, padding), np.zeros((x.shape[0], *places, x.shape[-1]), x.dtype)
    for _, seen in _taps(sizes, places, strides, dilation):
        result += padded[seen]
    return result


def spread_window(
    y: Array, *, shape: Ints, sizes: Ints, strides: Ints, padding: Padding, dilation: Ints
) -> Array:
    result = _zeros(y.shape[0], shape, padding, y.shape[-1], y.dtype)
    for _, seen in _taps(sizes, y.shape[1:-1], strides, dilation):
        result[seen] += y
    return _unpadded(result, padding)
