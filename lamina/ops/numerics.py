"""Numerical recipes on whole tensors: differences, integrals, norms, distances, correlations."""

from __future__ import annotations

import math
from typing import Any

from lamina.core.config import config
from lamina.core.errors import ArgumentError, ShapeError
from lamina.core.shapes import normalize_axes, normalize_axis
from lamina.ir import primitives as p
from lamina.ops.contract import matmul
from lamina.ops.convert import as_float, as_tensor, dtype_of, elementwise, like, promote
from lamina.ops.move import diagonal, reshaped, slice_axis, swapaxes
from lamina.ops.reduce import count_nonzero, keep_axes, max, mean_of, min, reduce, repeat_reduced
from lamina.ops.registry import op

# --- along an axis ---------------------------------------------------------------------------------


@op
def diff(a: Any, n: int = 1, axis: int = -1) -> Any:
    """Each element minus the one before it along an axis, n times over."""
    a = as_tensor(a)
    place = normalize_axis(axis, len(a.shape))
    for _ in range(n):
        extent = a.shape[place]
        if extent == 0:
            return a
        later, earlier = slice_axis(a, place, 1, extent), slice_axis(a, place, 0, extent - 1)
        a = p.not_equal(later, earlier) if dtype_of(a) == "bool" else p.subtract(later, earlier)
    return a


@op
def trapezoid(y: Any, x: Any = None, dx: float = 1.0, axis: int = -1) -> Any:
    """The integral of y along an axis by the trapezoidal rule, with spacing dx, or at the places x."""
    y = as_float(y)
    place = normalize_axis(axis, len(y.shape))
    extent = y.shape[place]
    middle = p.add(slice_axis(y, place, 1, extent), slice_axis(y, place, 0, extent - 1))
    if x is None:
        width = as_tensor(dx, dtype_of(y))
    else:
        x = as_float(x)
        if len(x.shape) == 1:
            width = diff(x)
            width = reshaped(width, (*width.shape, *(1,) * (len(y.shape) - 1 - place)))
        else:
            width = diff(x, axis=place)
    middle, width = promote(middle, width)
    return reduce(
        p.reduce_sum, elementwise(p.multiply, p.multiply(middle, like(middle, 0.5)), width), place, False
    )


# --- norms and distances ---------------------------------------------------------------------------


@op
def norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
    """A norm over one axis (vectors) or two (matrices); None: of all elements, or as the rank of x has it.

    ord: None (Euclidean), a number, inf, -inf; of matrices None, "fro", 1, -1, inf or -inf.
    """
    x = as_float(x)
    if axis is None and ord is None:
        return _euclidean(x, normalize_axes(None, len(x.shape)), keepdims)
    axes = tuple(range(len(x.shape))) if axis is None else _listed(axis, len(x.shape))
    if len(axes) == 1:
        return _vector_norm(x, ord, axes[0], keepdims)
    if len(axes) == 2:
        return _matrix_norm(x, ord, axes, keepdims)
    raise ArgumentError(f"norm works over one axis or two, got {axes}.")


def _listed(axis: Any, rank: int) -> tuple[int, ...]:
    listed = [axis] if isinstance(axis, int) else list(axis)
    return tuple(normalize_axis(entry, rank) for entry in listed)


def _euclidean(x: Any, axes: Any, keepdims: bool) -> Any:
    return p.sqrt(reduce(p.reduce_sum, p.multiply(x, x), axes, keepdims))


def _vector_norm(x: Any, ord: Any, axis: int, keepdims: bool) -> Any:
    if ord is None or ord == 2:
        return _euclidean(x, axis, keepdims)
    if ord == math.inf:
        return max(p.absolute(x), axis, keepdims)
    if ord == -math.inf:
        return min(p.absolute(x), axis, keepdims)
    if ord == 1:
        return reduce(p.reduce_sum, p.absolute(x), axis, keepdims)
    if ord == 0:
        count = as_tensor(count_nonzero(x, axis), dtype_of(x))
        return keep_axes(count, x, (axis,)) if keepdims else count
    if isinstance(ord, str):
        raise ArgumentError(f"Unknown norm {ord!r} of vectors.", expected="a number, inf or -inf")
    total = reduce(p.reduce_sum, p.power(p.absolute(x), like(x, ord)), axis, keepdims)
    return p.power(total, like(total, 1 / ord))


def _matrix_norm(x: Any, ord: Any, axes: tuple[int, ...], keepdims: bool) -> Any:
    rows, columns = axes
    if ord is None or ord == "fro":
        return _euclidean(x, axes, keepdims)
    if ord in (1, -1, math.inf, -math.inf):
        summed, compared = (rows, columns) if ord in (1, -1) else (columns, rows)
        sums = reduce(p.reduce_sum, p.absolute(x), summed, True)
        extreme = max if ord > 0 else min
        result = extreme(sums, compared, True)
        return result if keepdims else reshaped(result, reduce(p.reduce_sum, x, axes, False).shape)
    raise ArgumentError(
        f"The matrix norm {ord!r} needs singular values, which are not there yet.",
        expected="None, 'fro', 1, -1, inf or -inf",
    )


@op
def normalize(x: Any, axis: Any = -1, order: int = 2, epsilon: float | None = None) -> Any:
    """x divided by its norm of this order over `axis`, but by no less than `epsilon`."""
    if not isinstance(order, int) or order < 1:
        raise ArgumentError(f"normalize: order must be a positive whole number, got {order!r}.")
    x = as_float(x)
    if not x.shape:
        x = reshaped(x, (1,))
    epsilon = config.epsilon if epsilon is None else epsilon
    if order == 2:
        inverse = p.rsqrt(reduce(p.reduce_sum, p.multiply(x, x), axis, True))
        return elementwise(p.multiply, x, p.minimum(inverse, like(inverse, 1 / epsilon)))
    length = norm(x, order, axis, keepdims=True)
    return elementwise(p.divide, x, p.maximum(length, like(length, epsilon)))


@op
def cdist(x: Any, y: Any) -> Any:
    """The distances between the rows of x and those of y: (..., n, d) and (..., m, d) to (..., n, m)."""
    x, y = promote(x, y, also=(float,))
    if len(x.shape) < 2 or len(y.shape) < 2 or x.shape[-1] != y.shape[-1]:
        raise ShapeError(f"cdist needs rows of one length, got shapes {x.shape} and {y.shape}.")
    left = reshaped(x, (*x.shape[:-1], 1, x.shape[-1]))
    right = reshaped(y, (*y.shape[:-2], 1, *y.shape[-2:]))
    return _euclidean(elementwise(p.subtract, left, right), -1, False)


@op
def corrcoef(x: Any) -> Any:
    """The correlation coefficients of the rows of x, as a symmetric matrix with 1 on the diagonal."""
    x = as_float(x)
    if len(x.shape) < 2:
        return like(reduce(p.reduce_sum, x, None, False), 1)
    rows = reshaped(x, (x.shape[0], x.size // x.shape[0]))
    centred = p.subtract(rows, repeat_reduced(mean_of(rows, (1,), False), rows, (1,)))
    products = matmul(centred, swapaxes(centred, 0, 1))
    deviation = p.sqrt(diagonal(products))
    by_row = p.broadcast(deviation, shape=products.shape, axes=(0,))
    by_column = p.broadcast(deviation, shape=products.shape, axes=(1,))
    ratio = p.divide(p.divide(products, by_row), by_column)
    return p.minimum(p.maximum(ratio, like(ratio, -1)), like(ratio, 1))


@op
def psnr(x1: Any, x2: Any, max_val: float) -> Any:
    """The peak signal-to-noise ratio in decibels: 20 log10(max_val) - 10 log10(mean((x1 - x2)^2))."""
    x1, x2 = promote(x1, x2, also=(float,))
    if x1.shape != x2.shape:
        raise ShapeError(f"psnr compares tensors of one shape, got {x1.shape} and {x2.shape}.")
    gap = p.subtract(x1, x2)
    error = mean_of(p.multiply(gap, gap), None, False)
    decibels = p.multiply(p.log(error), like(error, -10 / math.log(10)))
    peak = elementwise(p.log, as_tensor(max_val, dtype_of(error)))
    return elementwise(p.add, decibels, p.multiply(peak, like(peak, 20 / math.log(10))))
