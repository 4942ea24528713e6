"""The living definition: what each primitive computes, in NumPy. One row per primitive, in the table's order.

A rule takes arrays and the attributes; `eval` calls it with warnings off. float16 and bfloat16 operands of
everything that computes arrive here widened to float32, and `eval` rounds the result once, at the end.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from lamina.core import dtypes
from lamina.interp import attention, control, host, windows
from lamina.interp.philox import random_bits
from lamina.ir import primitives as p
from lamina.ir.primitives import Primitive

Array = np.ndarray[Any, Any]
Rule = Callable[..., Any]


# --- unary -----------------------------------------------------------------------------------------


def _sigmoid(x: Array) -> Array:
    """1 / (1 + exp(-x)), without overflow and with full relative accuracy on the left."""
    small = np.exp(-np.abs(x))
    return np.asarray(np.where(np.signbit(x), small, 1) / (1 + small))


def _erf(x: Array) -> Array:
    return np.array([math.erf(number) for number in x.ravel().tolist()], x.dtype).reshape(x.shape)


def _cast(x: Array, *, dtype: str) -> Array:
    """Floats to integers truncate; what does not fit becomes the nearest integer that fits, NaN becomes 0."""
    if not dtypes.is_integer(dtype) or not dtypes.is_float(dtypes.of_numpy(x.dtype)):
        return x.astype(dtypes.to_numpy(dtype))
    if x.dtype not in (np.float32, np.float64):
        x = x.astype(np.float32)
    low, high = dtypes.limits(dtype)
    result = np.where(x > low, x.astype(dtypes.to_numpy(dtype)), dtypes.to_numpy(dtype).type(low))
    result[x >= float(high)] = high
    result[np.isnan(x)] = 0
    return result


# --- binary ----------------------------------------------------------------------------------------


def _power(x: Array, y: Array) -> Array:
    """x ** y. Integers wrap around; a negative power is 1 / x**-y truncated: 0 unless x is 1 or -1."""
    if x.dtype.kind != "i":
        return np.asarray(np.power(x, y))
    positive = np.power(x, np.maximum(y, 0))
    reciprocal = np.where(x == 1, 1, np.where(x == -1, 1 - 2 * (y & 1), 0))
    return np.where(y < 0, reciprocal, positive)


# --- reduce ----------------------------------------------------------------------------------------


def _cumulative_sum(x: Array, *, axis: int, reverse: bool) -> Array:
    if not reverse:
        return np.cumsum(x, axis, dtype=x.dtype)
    return np.flip(np.cumsum(np.flip(x, axis), axis, dtype=x.dtype), axis)


# --- move ------------------------------------------------------------------------------------------


def _broadcast(x: Array, *, shape: tuple[int, ...], axes: tuple[int, ...]) -> Array:
    placed = [1] * len(shape)
    for axis, extent in zip(axes, x.shape):
        placed[axis] = extent
    return np.broadcast_to(x.reshape(placed), shape)


def _slice(x: Array, *, start: tuple[int, ...], limit: tuple[int, ...], stride: tuple[int, ...]) -> Array:
    return x[tuple(map(slice, start, limit, stride))]


def _pad(
    x: Array, value: Array, *, low: tuple[int, ...], high: tuple[int, ...], interior: tuple[int, ...]
) -> Array:
    spread = [extent + max(extent - 1, 0) * between for extent, between in zip(x.shape, interior)]
    result = np.full([sum(widths) for widths in zip(low, spread, high)], value, x.dtype)
    places = zip(low, spread, interior)
    result[tuple(slice(before, before + length, between + 1) for before, length, between in places)] = x
    return result


def _iota(*, shape: tuple[int, ...], axis: int, dtype: str) -> Array:
    line = np.arange(shape[axis]).astype(dtypes.to_numpy(dtype))
    return _broadcast(line, shape=shape, axes=(axis,))


# --- contract --------------------------------------------------------------------------------------


def _dot(
    x: Array,
    y: Array,
    *,
    contract: tuple[tuple[int, ...], tuple[int, ...]],
    batch: tuple[tuple[int, ...], tuple[int, ...]],
) -> Array:
    """A matrix product per batch entry, with the free and the contracted axes each made one."""
    free_x = [axis for axis in range(x.ndim) if axis not in contract[0] + batch[0]]
    free_y = [axis for axis in range(y.ndim) if axis not in contract[1] + batch[1]]
    batch_shape = [x.shape[axis] for axis in batch[0]]
    shape_x, shape_y = [x.shape[axis] for axis in free_x], [y.shape[axis] for axis in free_y]
    shared = math.prod(x.shape[axis] for axis in contract[0])
    left = x.transpose(*batch[0], *free_x, *contract[0]).reshape(*batch_shape, math.prod(shape_x), shared)
    right = y.transpose(*batch[1], *contract[1], *free_y).reshape(*batch_shape, shared, math.prod(shape_y))
    product: Array = np.matmul(left, right)
    return product.reshape((*batch_shape, *shape_x, *shape_y))


# --- gather and scatter ----------------------------------------------------------------------------


def _gather(x: Array, indices: Array, *, axis: int) -> Array:
    last = max(x.shape[axis] - 1, 0)
    if indices.dtype == np.uint64:
        indices = np.minimum(indices, np.uint64(last))
    return np.take(x, indices.astype(np.intp), axis, mode="clip")


def _scatter_add(x: Array, indices: Array, updates: Array, *, axis: int) -> Array:
    before, extent = math.prod(x.shape[:axis]), x.shape[axis]
    after = math.prod(x.shape[axis + 1 :])
    inside = (indices.ravel() >= 0) & (indices.ravel() < extent)
    rows = indices.ravel()[inside].astype(np.intp)
    result = np.array(x).reshape(before, extent, after)
    where: Any = (slice(None), rows)
    np.add.at(result, where, updates.reshape(before, indices.size, after)[:, inside])
    return result.reshape(x.shape)


# --- sort ------------------------------------------------------------------------------------------


def _sort(x: Array, *, axis: int, descending: bool) -> tuple[Array, Array]:
    """Stable both ways: descending sorts by a key in reverse order, -x or the complement of integers."""
    key = x if not descending else -x if x.dtype.kind == "f" else ~x
    order = np.argsort(key, axis, kind="stable")
    return np.take_along_axis(x, order, axis), order


RULES: dict[Primitive, Rule] = {
    # unary
    p.negative: np.negative,
    p.absolute: np.absolute,
    p.sign: np.sign,
    p.floor: np.floor,
    p.ceil: np.ceil,
    p.round_even: np.rint,
    p.exp: np.exp,
    p.expm1: np.expm1,
    p.log: np.log,
    p.log1p: np.log1p,
    p.sqrt: np.sqrt,
    p.rsqrt: lambda x: 1 / np.sqrt(x),
    p.sin: np.sin,
    p.cos: np.cos,
    p.tan: np.tan,
    p.arcsin: np.arcsin,
    p.arccos: np.arccos,
    p.arctan: np.arctan,
    p.sinh: np.sinh,
    p.cosh: np.cosh,
    p.tanh: np.tanh,
    p.arcsinh: np.arcsinh,
    p.arccosh: np.arccosh,
    p.arctanh: np.arctanh,
    p.sigmoid: _sigmoid,
    p.erf: _erf,
    p.invert: np.invert,
    p.is_finite: np.isfinite,
    p.cast: _cast,
    p.stop_gradient: lambda x: x,
    # binary
    p.add: np.add,
    p.subtract: np.subtract,
    p.multiply: np.multiply,
    p.divide: np.divide,
    p.floor_divide: np.floor_divide,
    p.remainder: np.remainder,
    p.power: _power,
    p.maximum: np.maximum,
    p.minimum: np.minimum,
    p.arctan2: np.arctan2,
    p.bitwise_and: np.bitwise_and,
    p.bitwise_or: np.bitwise_or,
    p.bitwise_xor: np.bitwise_xor,
    p.shift_left: np.left_shift,
    p.shift_right: np.right_shift,
    # compare and select
    p.equal: np.equal,
    p.not_equal: np.not_equal,
    p.less: np.less,
    p.less_equal: np.less_equal,
    p.greater: np.greater,
    p.greater_equal: np.greater_equal,
    p.select: np.where,
    # reduce
    p.reduce_sum: lambda x, axes: np.sum(x, axes, dtype=x.dtype),
    p.reduce_prod: lambda x, axes: np.prod(x, axes, dtype=x.dtype),
    p.reduce_max: lambda x, axes: np.max(x, axes),
    p.reduce_min: lambda x, axes: np.min(x, axes),
    p.argmax: lambda x, axis: np.argmax(x, axis),
    p.argmin: lambda x, axis: np.argmin(x, axis),
    p.cumulative_sum: _cumulative_sum,
    # move
    p.reshape: lambda x, shape: x.reshape(shape),
    p.transpose: lambda x, permutation: x.transpose(permutation),
    p.broadcast: _broadcast,
    p.slice: _slice,
    p.pad: _pad,
    p.concatenate: lambda *arrays, axis: np.concatenate(arrays, axis),
    p.reverse: lambda x, axes: np.flip(x, axes),
    p.constant: lambda value: value.array,
    p.iota: _iota,
    # contract
    p.dot: _dot,
    p.conv: windows.conv,
    p.conv_input_grad: windows.conv_input_grad,
    p.conv_filter_grad: windows.conv_filter_grad,
    p.attention: attention.attention,
    p.attention_grad: attention.attention_grad,
    # window
    p.max_window: windows.max_window,
    p.gather_window: windows.gather_window,
    p.scatter_window: windows.scatter_window,
    p.sum_window: windows.sum_window,
    p.spread_window: windows.spread_window,
    # gather and scatter
    p.gather: _gather,
    p.scatter_add: _scatter_add,
    # random
    p.random_bits: random_bits,
    # sort
    p.sort: _sort,
    # host
    p.host: host.host,
    # control
    p.scan: control.scan,
    p.while_loop: control.while_loop,
    p.cond: control.cond,
    p.custom_gradient: control.custom_gradient,
}
