"""Reductions: from many elements to one."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from lamina.core import dtypes
from lamina.core.errors import ShapeError
from lamina.core.shapes import normalize_axes, normalize_axis
from lamina.ir import primitives as p
from lamina.ir.primitives import Primitive
from lamina.ops.convert import (
    as_float,
    as_number,
    as_tensor,
    binary,
    dtype_of,
    like,
    promote,
    wider_float,
)
from lamina.ops.logic import as_bool
from lamina.ops.registry import op


def keep_axes(reduced: Any, x: Any, axes: tuple[int, ...]) -> Any:
    """A result of reducing x over `axes`, with those axes put back as extents of 1."""
    kept = tuple(1 if axis in axes else extent for axis, extent in enumerate(x.shape))
    return reduced if reduced.shape == kept else p.reshape(reduced, shape=kept)


def reduce(primitive: Primitive, x: Any, axis: Any, keepdims: bool) -> Any:
    """Apply a reducing primitive over `axis` (None: all)."""
    axes = normalize_axes(axis, len(x.shape))
    reduced = primitive(x, axes=axes) if axes else x
    return keep_axes(reduced, x, axes) if keepdims else reduced


def repeat_reduced(reduced: Any, x: Any, axes: tuple[int, ...]) -> Any:
    """A result of reducing x over `axes`, repeated to the shape of x."""
    kept = tuple(axis for axis in range(len(x.shape)) if axis not in axes)
    return p.broadcast(reduced, shape=x.shape, axes=kept)


def count(x: Any, axes: tuple[int, ...]) -> int:
    """How many elements go into each result."""
    return math.prod(x.shape[axis] for axis in axes)


def accumulator(dtype: str) -> str:
    """The dtype in which integers are summed: at least 32 bits."""
    if dtype in ("bool", "int8", "int16"):
        return "int32"
    return "uint32" if dtype in ("uint8", "uint16") else dtype


# --- sums and products -----------------------------------------------------------------------------


@op
def sum(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The sum over `axis` (an int, several, or None for all). Small integers are summed in 32 bits."""
    x = as_tensor(x)
    return reduce(p.reduce_sum, as_tensor(x, accumulator(dtype_of(x))), axis, keepdims)


@op
def prod(x: Any, axis: Any = None, keepdims: bool = False, dtype: Any = None) -> Any:
    """The product over `axis`."""
    x = as_tensor(x)
    wanted = accumulator(dtype_of(x)) if dtype is None else dtypes.standardize(dtype)
    return reduce(p.reduce_prod, as_tensor(x, wanted), axis, keepdims)


@op
def mean(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The mean over `axis`; half precision is summed in float32."""
    x = as_float(x)
    kind = dtype_of(x)
    return as_tensor(mean_of(as_tensor(x, wider_float(kind)), axis, keepdims), kind)


def mean_of(x: Any, axis: Any, keepdims: bool) -> Any:
    total = reduce(p.reduce_sum, x, axis, keepdims)
    return p.divide(total, like(total, count(x, normalize_axes(axis, len(x.shape)))))


@op
def var(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The mean square deviation from the mean over `axis`."""
    x = as_float(x)
    kind = dtype_of(x)
    return as_tensor(variance_of(as_tensor(x, wider_float(kind)), axis, keepdims), kind)


def variance_of(x: Any, axis: Any, keepdims: bool) -> Any:
    axes = normalize_axes(axis, len(x.shape))
    centred = p.subtract(x, repeat_reduced(mean_of(x, axes, False), x, axes))
    return mean_of(p.multiply(centred, centred), axes, keepdims)


@op
def std(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The square root of `var`."""
    return p.sqrt(var(x, axis, keepdims))


@op
def average(x: Any, axis: Any = None, weights: Any = None) -> Any:
    """The mean over `axis`, weighted if `weights` are given: shaped like x, or one per entry of the axis."""
    if weights is None:
        return mean(as_float(x), axis)
    x, weights = promote(x, weights, also=(float,))
    if weights.shape != x.shape:
        if not isinstance(axis, int) or weights.shape != (x.shape[axis],):
            raise ShapeError(
                f"average: weights of shape {weights.shape} do not fit x {x.shape} along axis {axis}.",
                expected="weights of the shape of x, or one weight for each entry of one axis",
            )
        place = normalize_axis(axis, len(x.shape))
        weights = p.broadcast(weights, shape=x.shape, axes=(place,))
    total = reduce(p.reduce_sum, p.multiply(x, weights), axis, False)
    return p.divide(total, reduce(p.reduce_sum, weights, axis, False))


@op
def logsumexp(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """log(sum(exp(x))) over `axis`, without overflow on the way."""
    x = as_float(x)
    axes = normalize_axes(axis, len(x.shape))
    if not axes:
        return x
    largest = p.stop_gradient(p.reduce_max(x, axes=axes))
    largest = p.select(p.is_finite(largest), largest, like(largest, 0))
    total = p.reduce_sum(p.exp(p.subtract(x, repeat_reduced(largest, x, axes))), axes=axes)
    result = p.add(p.log(total), largest)
    return keep_axes(result, x, axes) if keepdims else result


@op
def count_nonzero(x: Any, axis: Any = None) -> Any:
    """How many elements over `axis` are not 0, as int32."""
    return reduce(p.reduce_sum, p.cast(as_bool(x), dtype="int32"), axis, False)


# --- extremes --------------------------------------------------------------------------------------


def _extreme(primitive: Primitive, pair: Primitive, x: Any, axis: Any, keepdims: bool, initial: Any) -> Any:
    x = as_tensor(x)
    axes = normalize_axes(axis, len(x.shape))
    if initial is not None and count(x, axes) == 0:
        empty = reduce(p.reduce_sum, as_number(x), axis, keepdims)
        return like(p.cast(empty, dtype=dtype_of(x)), initial)
    result = reduce(primitive, x, axis, keepdims)
    return result if initial is None else binary(pair, result, initial)


@op
def max(x: Any, axis: Any = None, keepdims: bool = False, initial: Any = None) -> Any:
    """The largest element over `axis`, at least `initial`; NaN if any is. ShapeError over no elements."""
    return _extreme(p.reduce_max, p.maximum, x, axis, keepdims, initial)


@op
def min(x: Any, axis: Any = None, keepdims: bool = False, initial: Any = None) -> Any:
    """The smallest element over `axis`, at most `initial`; NaN if any is. ShapeError over no elements."""
    return _extreme(p.reduce_min, p.minimum, x, axis, keepdims, initial)


@op
def amax(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The largest element over `axis`."""
    return max(x, axis, keepdims)


@op
def amin(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The smallest element over `axis`."""
    return min(x, axis, keepdims)


@op
def ptp(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The largest minus the smallest element over `axis`."""
    return p.subtract(max(x, axis, keepdims), min(x, axis, keepdims))


def _every(primitive: Primitive, of_none: bool, x: Any, axis: Any, keepdims: bool) -> Any:
    x = as_bool(x)
    if count(x, normalize_axes(axis, len(x.shape))) == 0:
        return like(p.cast(reduce(p.reduce_sum, as_number(x), axis, keepdims), dtype="bool"), of_none)
    return reduce(primitive, x, axis, keepdims)


@op
def any(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """Whether some element over `axis` is not 0."""
    return _every(p.reduce_max, False, x, axis, keepdims)


@op
def all(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """Whether every element over `axis` is not 0."""
    return _every(p.reduce_min, True, x, axis, keepdims)


def _place(primitive: Primitive, x: Any, axis: int | None, keepdims: bool) -> Any:
    x = as_tensor(x)
    if axis is None:
        found = primitive(p.reshape(x, shape=(x.size,)), axis=0)
        return p.reshape(found, shape=(1,) * len(x.shape)) if keepdims else found
    place = normalize_axis(axis, len(x.shape))
    found = primitive(x, axis=place)
    return keep_axes(found, x, (place,)) if keepdims else found


@op
def argmax(x: Any, axis: int | None = None, keepdims: bool = False) -> Any:
    """Where along `axis` (None: in the flattened tensor) the first largest element is, as int32."""
    return _place(p.argmax, x, axis, keepdims)


@op
def argmin(x: Any, axis: int | None = None, keepdims: bool = False) -> Any:
    """Where along `axis` (None: in the flattened tensor) the first smallest element is, as int32."""
    return _place(p.argmin, x, axis, keepdims)


# --- running sums and products ---------------------------------------------------------------------


def _flat_or_along(x: Any, axis: int | None) -> tuple[Any, int]:
    if axis is None:
        return p.reshape(x, shape=(x.size,)), 0
    return x, normalize_axis(axis, len(x.shape))


@op
def cumsum(x: Any, axis: int | None = None, dtype: Any = None) -> Any:
    """The running sum along `axis` (None: of the flattened tensor)."""
    x = as_number(x) if dtype is None else as_tensor(as_tensor(x), dtypes.standardize(dtype))
    x, place = _flat_or_along(x, axis)
    return p.cumulative_sum(x, axis=place, reverse=False)


@op
def cumprod(x: Any, axis: int | None = None, dtype: Any = None) -> Any:
    """The running product along `axis` (None: of the flattened tensor)."""
    x = as_number(x) if dtype is None else as_tensor(as_tensor(x), dtypes.standardize(dtype))
    x, place = _flat_or_along(x, axis)
    return running(p.multiply, 1, x, place)


def running(combine: Callable[[Any, Any], Any], neutral: float, x: Any, axis: int) -> Any:
    """Every prefix of x along `axis` combined: each pass doubles the reach, so log2(n) passes do."""
    extent, rank = x.shape[axis], len(x.shape)
    reach = 1
    while reach < extent:
        low = tuple(reach if other == axis else 0 for other in range(rank))
        limit = tuple(extent - reach if other == axis else size for other, size in enumerate(x.shape))
        head = p.slice(x, start=(0,) * rank, limit=limit, stride=(1,) * rank)
        fill = as_tensor(neutral, dtype_of(x))
        x = combine(x, p.pad(head, fill, low=low, high=(0,) * rank, interior=(0,) * rank))
        reach *= 2
    return x


# --- reductions that leave NaN out -----------------------------------------------------------------


def without_nan(x: Any, number: float) -> Any:
    """x with `number` in place of NaN."""
    x = as_tensor(x)
    return p.select(p.equal(x, x), x, like(x, number)) if dtypes.is_float(dtype_of(x)) else x


def _present(x: Any, dtype: str) -> Any:
    return p.cast(p.equal(x, x), dtype=dtype)


@op
def nansum(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The sum over `axis` of what is not NaN."""
    return sum(without_nan(x, 0), axis, keepdims)


@op
def nanprod(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The product over `axis` of what is not NaN."""
    return prod(without_nan(x, 1), axis, keepdims)


@op
def nancumsum(x: Any, axis: int | None = None, dtype: Any = None) -> Any:
    """The running sum along `axis`, NaN counting as 0."""
    return cumsum(without_nan(x, 0), axis, dtype)


@op
def nancumprod(x: Any, axis: int | None = None, dtype: Any = None) -> Any:
    """The running product along `axis`, NaN counting as 1."""
    return cumprod(without_nan(x, 1), axis, dtype)


@op
def nanmean(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The mean over `axis` of what is not NaN; NaN where nothing is left."""
    x = as_float(x)
    kind = dtype_of(x)
    wide = as_tensor(x, wider_float(kind))
    total = reduce(p.reduce_sum, without_nan(wide, 0), axis, keepdims)
    return as_tensor(
        p.divide(total, reduce(p.reduce_sum, _present(wide, dtype_of(wide)), axis, keepdims)), kind
    )


@op
def nanvar(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The variance over `axis` of what is not NaN; NaN where nothing is left."""
    x = as_float(x)
    kind = dtype_of(x)
    wide = as_tensor(x, wider_float(kind))
    axes = normalize_axes(axis, len(x.shape))
    centred = p.subtract(wide, repeat_reduced(nanmean(wide, axes), wide, axes))
    return as_tensor(nanmean(p.multiply(centred, centred), axes, keepdims), kind)


@op
def nanstd(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The square root of `nanvar`."""
    return p.sqrt(nanvar(x, axis, keepdims))


def _nan_extreme(primitive: Primitive, worst: float, x: Any, axis: Any, keepdims: bool) -> Any:
    x = as_tensor(x)
    result = reduce(primitive, without_nan(x, worst), axis, keepdims)
    if not dtypes.is_float(dtype_of(x)):
        return result
    some = reduce(p.reduce_max, p.equal(x, x), axis, keepdims)
    return p.select(some, result, like(result, math.nan))


@op
def nanmax(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The largest element over `axis` that is not NaN; NaN where nothing is left."""
    return _nan_extreme(p.reduce_max, -math.inf, x, axis, keepdims)


@op
def nanmin(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The smallest element over `axis` that is not NaN; NaN where nothing is left."""
    return _nan_extreme(p.reduce_min, math.inf, x, axis, keepdims)


def _nan_place(primitive: Primitive, worst: float, x: Any, axis: int | None, keepdims: bool) -> Any:
    x = as_tensor(x)
    found = _place(primitive, without_nan(x, worst), axis, keepdims)
    some = reduce(p.reduce_max, p.equal(x, x), axis, keepdims)
    return p.select(some, found, like(found, -1))


@op
def nanargmax(x: Any, axis: int | None = None, keepdims: bool = False) -> Any:
    """Where along `axis` the largest element that is not NaN is; -1 where nothing is left."""
    return _nan_place(p.argmax, -math.inf, x, axis, keepdims)


@op
def nanargmin(x: Any, axis: int | None = None, keepdims: bool = False) -> Any:
    """Where along `axis` the smallest element that is not NaN is; -1 where nothing is left."""
    return _nan_place(p.argmin, math.inf, x, axis, keepdims)
