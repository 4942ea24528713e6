"""Tensors out of nothing but a shape. Inside a trace they are computed by the program, not stored in it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from lamina.core import dtypes
from lamina.core.config import config
from lamina.core.errors import ArgumentError
from lamina.core.shapes import normalize_axis
from lamina.interp import as_eager
from lamina.ir import primitives as p
from lamina.ir.trace import Tensor, current
from lamina.ops.convert import (
    as_float,
    as_tensor,
    dtype_of,
    elementwise,
    filled,
    lift,
    like,
    promote,
    spread,
    together,
)
from lamina.ops.move import as_shape
from lamina.ops.registry import op


def counting(shape: tuple[int, ...], axis: int, dtype: str) -> Any:
    """0, 1, 2, ... along one axis, in the trace under way if there is one."""
    return p.iota(shape=shape, axis=axis, dtype=dtype)


# --- one number everywhere -------------------------------------------------------------------------


@op
def full(shape: Any, fill_value: Any, dtype: Any = None) -> Any:
    """A tensor with one value everywhere (or with `fill_value` broadcast, if it is a tensor)."""
    kind = dtypes.standardize(dtype)
    if isinstance(fill_value, (bool, int, float)):
        return filled(as_shape(shape), fill_value, kind)
    value = as_tensor(fill_value, kind)
    return spread(lift(value) if current() is not None else value, as_shape(shape))


@op
def zeros(shape: Any, dtype: Any = None) -> Any:
    """0 everywhere."""
    return filled(as_shape(shape), 0, dtypes.standardize(dtype))


@op
def ones(shape: Any, dtype: Any = None) -> Any:
    """1 everywhere."""
    return filled(as_shape(shape), 1, dtypes.standardize(dtype))


@op
def empty(shape: Any, dtype: Any = None) -> Any:
    """A tensor whose numbers do not matter; they are 0."""
    return zeros(shape, dtype)


def _kind_like(x: Any, dtype: Any) -> str:
    return dtype_of(x) if dtype is None else dtypes.standardize(dtype)


@op
def full_like(x: Any, fill_value: Any, dtype: Any = None) -> Any:
    """One value everywhere, in the shape of x and, unless given, its dtype."""
    x = as_tensor(x)
    return full(x.shape, fill_value, _kind_like(x, dtype))


@op
def zeros_like(x: Any, dtype: Any = None) -> Any:
    """0 everywhere, in the shape of x and, unless given, its dtype."""
    x = as_tensor(x)
    return filled(x.shape, 0, _kind_like(x, dtype))


@op
def ones_like(x: Any, dtype: Any = None) -> Any:
    """1 everywhere, in the shape of x and, unless given, its dtype."""
    x = as_tensor(x)
    return filled(x.shape, 1, _kind_like(x, dtype))


@op
def empty_like(x: Any, dtype: Any = None) -> Any:
    """A tensor like x whose numbers do not matter; they are 0."""
    return zeros_like(x, dtype)


# --- sequences -------------------------------------------------------------------------------------


@op
def arange(start: Any, stop: Any = None, step: Any = None, dtype: Any = None) -> Any:
    """start, start + step, ... up to, but without, stop. With one argument: 0, 1, ... up to it."""
    given = [number for number in (start, stop, step) if number is not None]
    if any(isinstance(number, Tensor) for number in given):
        raise ArgumentError(
            "arange needs numbers that are known when the program is traced: they give its shape."
        )
    if dtype is None:
        kinds = [
            type(number) if isinstance(number, (bool, int, float)) else dtype_of(as_tensor(number))
            for number in given
        ]
        kind = dtypes.result_type(*[float if kind is np.float64 else kind for kind in kinds])
    else:
        kind = dtypes.standardize(dtype)
    first, last = (0, start) if stop is None else (start, stop)
    step = 1 if step is None else step
    if step == 0:
        raise ArgumentError("arange: step must not be 0.")
    length = max(math.ceil((last - first) / step), 0)
    if current() is None:
        return as_eager(np.arange(first, last, step).astype(dtypes.to_numpy(kind)))
    exact = "float64" if dtypes.is_float(kind) else "int64" if kind in ("uint64", "int64") else "int32"
    line = counting((length,), 0, exact if (first, step) != (0, 1) else kind)
    if (first, step) == (0, 1):
        return line
    scaled = p.multiply(line, like(line, step)) if step != 1 else line
    return as_tensor(p.add(scaled, like(scaled, first)), kind)


@op
def linspace(
    start: Any,
    stop: Any,
    num: int = 50,
    endpoint: bool = True,
    retstep: bool = False,
    dtype: Any = None,
    axis: int = 0,
) -> Any:
    """`num` evenly spaced numbers from start to stop (with it, if `endpoint`), along a new axis.

    With `retstep`, a pair: the numbers, and the distance between them.
    """
    if num < 0:
        raise ArgumentError(f"linspace: num must not be negative, got {num}.")
    start, stop = together(*promote(start, stop, also=(float,)))
    kind = dtype_of(start) if dtype is None else dtypes.standardize(dtype)
    parts = num - 1 if endpoint else num
    span = p.subtract(stop, start)
    step = p.divide(span, like(span, parts)) if parts > 0 else like(span, math.nan)
    place = normalize_axis(axis, len(start.shape) + 1)
    shape = (*start.shape[:place], num, *start.shape[place:])
    others = tuple(other for other in range(len(shape)) if other != place)
    position = as_tensor(counting(shape, place, "int32"), dtype_of(start))
    fraction = p.divide(position, like(position, max(parts, 1)))
    if current() is not None:
        start, stop = lift(start), lift(stop)
    low, high = (p.broadcast(x, shape=shape, axes=others) for x in (start, stop))
    # (1 - f) a + f b, which is exact at both ends.
    line = p.add(p.multiply(low, p.subtract(like(fraction, 1), fraction)), p.multiply(high, fraction))
    if dtypes.is_integer(kind):
        line = p.floor(line)
    line = as_tensor(line, kind)
    return (line, step) if retstep else line


@op
def logspace(
    start: Any,
    stop: Any,
    num: int = 50,
    endpoint: bool = True,
    base: Any = 10,
    dtype: Any = None,
    axis: int = 0,
) -> Any:
    """base ** linspace(start, stop)."""
    line = linspace(start, stop, num, endpoint, axis=axis)
    result = elementwise(p.power, *promote(base, line))
    return result if dtype is None else as_tensor(result, dtypes.standardize(dtype))


@op
def geomspace(
    start: Any, stop: Any, num: int = 50, endpoint: bool = True, dtype: Any = None, axis: int = 0
) -> Any:
    """`num` numbers from start to stop with a constant ratio; both of one sign."""
    start, stop = together(*promote(start, stop, also=(float,)))
    sign = p.sign(start)
    logs = linspace(p.log(p.absolute(start)), p.log(p.absolute(stop)), num, endpoint, axis=axis)
    place = normalize_axis(axis, len(logs.shape))
    others = tuple(other for other in range(len(logs.shape)) if other != place)
    result = p.multiply(p.exp(logs), p.broadcast(sign, shape=logs.shape, axes=others))
    return result if dtype is None else as_tensor(result, dtypes.standardize(dtype))


# --- matrices --------------------------------------------------------------------------------------


def _below_diagonal(rows: int, columns: int, k: int) -> Any:
    """Where column - row <= k."""
    shape = (rows, columns)
    row, column = counting(shape, 0, "int32"), counting(shape, 1, "int32")
    return p.less_equal(column, p.add(row, like(row, k)))


@op
def eye(N: int, M: int | None = None, k: int = 0, dtype: Any = None) -> Any:
    """The N by M matrix with 1 on diagonal k and 0 elsewhere."""
    shape = (int(N), int(N if M is None else M))
    row, column = counting(shape, 0, "int32"), counting(shape, 1, "int32")
    return as_tensor(p.equal(column, p.add(row, like(row, k))), dtypes.standardize(dtype))


@op
def identity(n: int, dtype: Any = None) -> Any:
    """The n by n identity matrix."""
    return eye(n, dtype=dtype)


@op
def tri(N: int, M: int | None = None, k: int = 0, dtype: Any = None) -> Any:
    """The N by M matrix with 1 on and below diagonal k and 0 above it."""
    return as_tensor(_below_diagonal(int(N), int(N if M is None else M), k), dtypes.standardize(dtype))


def _triangle(x: Any, k: int, lower: bool) -> Any:
    x = as_tensor(x)
    if len(x.shape) < 2:
        raise ArgumentError(f"A triangle needs a matrix, got shape {x.shape}.")
    below = spread(_below_diagonal(x.shape[-2], x.shape[-1], k), x.shape)
    zero = like(x, 0)
    return p.select(below, x, zero) if lower else p.select(below, zero, x)


@op
def tril(x: Any, k: int = 0) -> Any:
    """x with 0 above diagonal k of its last two axes."""
    return _triangle(x, k, lower=True)


@op
def triu(x: Any, k: int = 0) -> Any:
    """x with 0 below diagonal k of its last two axes."""
    return _triangle(x, k - 1, lower=False)


@op
def vander(x: Any, N: int | None = None, increasing: bool = False) -> Any:
    """The matrix of the powers of a vector: x^(N-1), ..., x, 1 in each row, or the other way round."""
    x = as_tensor(x)
    columns = x.shape[0] if N is None else N
    shape = (x.shape[0], columns)
    exponent = counting(shape, 1, "int32")
    if not increasing:
        exponent = p.reverse(exponent, axes=(1,))
    return p.power(p.broadcast(x, shape=shape, axes=(0,)), as_tensor(exponent, dtype_of(x)))


# --- windows of signal processing ------------------------------------------------------------------


def _cosine_window(x: Any, *weights: float) -> Any:
    """The sum of (-1)^k weight_k cos(2 pi k n / (N - 1)), for n from 0 to N - 1."""
    length = int(x)
    if length < 2:
        return ones((max(length, 0),), config.floatx)
    position = counting((length,), 0, config.floatx)
    total = like(position, weights[0])
    for k, weight in enumerate(weights[1:], 1):
        angle = p.multiply(position, like(position, 2 * math.pi * k / (length - 1)))
        total = p.add(total, p.multiply(p.cos(angle), like(angle, weight * (-1) ** k)))
    return total


@op
def hanning(x: Any) -> Any:
    """The Hann window of x points."""
    return _cosine_window(x, 0.5, 0.5)


@op
def hamming(x: Any) -> Any:
    """The Hamming window of x points."""
    return _cosine_window(x, 0.54, 0.46)


@op
def blackman(x: Any) -> Any:
    """The Blackman window of x points."""
    return _cosine_window(x, 0.42, 0.5, 0.08)


@op
def bartlett(x: Any) -> Any:
    """The triangular window of x points, 0 at both ends."""
    length = int(x)
    if length < 2:
        return ones((max(length, 0),), config.floatx)
    position = counting((length,), 0, config.floatx)
    centred = p.subtract(p.multiply(position, like(position, 2 / (length - 1))), like(position, 1))
    return p.subtract(like(centred, 1), p.absolute(centred))


@op
def kaiser(x: Any, beta: Any) -> Any:
    """The Kaiser window of x points: i0(beta sqrt(1 - t^2)) / i0(beta), for t from -1 to 1."""
    from lamina.ops.special import i0

    length = int(x)
    if length < 2:
        return ones((max(length, 0),), config.floatx)
    position = counting((length,), 0, config.floatx)
    centred = p.subtract(p.multiply(position, like(position, 2 / (length - 1))), like(position, 1))
    inside = p.maximum(p.subtract(like(centred, 1), p.multiply(centred, centred)), like(centred, 0))
    beta = as_float(beta)
    shaped = elementwise(p.multiply, p.sqrt(inside), as_tensor(beta, dtype_of(inside)))
    return elementwise(p.divide, i0(shaped), as_tensor(i0(beta), dtype_of(inside)))
