"""Order: sorting, ranking, searching, and the statistics that stand on them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from lamina.core import dtypes
from lamina.core.errors import ArgumentError, ShapeError
from lamina.core.shapes import normalize_axes, normalize_axis, size
from lamina.ir import primitives as p
from lamina.ir.trace import Tensor
from lamina.ops.convert import as_float, as_tensor, dtype_of, elementwise, filled, like, promote, spread
from lamina.ops.create import linspace
from lamina.ops.index import take_along_axis
from lamina.ops.move import moveaxis, reshaped, slice_axis, transposed
from lamina.ops.registry import op
from lamina.ops.scattering import bincount

# --- sorting ---------------------------------------------------------------------------------------


@op
def sort(x: Any, axis: int | None = -1) -> Any:
    """The elements along an axis (None: of the flattened tensor) from small to large, NaN last."""
    return _sorted(x, axis)[0]


@op
def argsort(x: Any, axis: int | None = -1) -> Any:
    """The places from which `sort` takes its elements, as int32; equal ones keep their order."""
    return _sorted(x, axis)[1]


def _sorted(x: Any, axis: int | None) -> tuple[Any, Any]:
    x = as_tensor(x)
    if not x.shape:
        return x, as_tensor(0)
    if axis is None:
        x, axis = reshaped(x, (x.size,)), 0
    values, places = p.sort(x, axis=normalize_axis(axis, len(x.shape)), descending=False)
    return values, places


@op
def argpartition(x: Any, kth: int, axis: int | None = -1) -> Any:
    """Places along an axis: place k has what `sort` would put there, with no larger element before it."""
    return argsort(x, axis)


@op
def top_k(x: Any, k: int, sorted: bool = True) -> tuple[Any, Any]:
    """The k largest elements along the last axis, largest first, and their places."""
    x = as_tensor(x)
    last = len(x.shape) - 1
    if last < 0 or not 0 <= k <= x.shape[last]:
        raise ArgumentError(f"top_k: k = {k} does not fit the last axis of shape {x.shape}.")
    values, places = p.sort(x, axis=last, descending=True)
    return slice_axis(values, last, 0, k), slice_axis(places, last, 0, k)


@op
def in_top_k(targets: Any, predictions: Any, k: int) -> Any:
    """Whether each target class is among the k best predictions of its row.

    targets: integers (batch,). predictions: (batch, classes).
    """
    targets, predictions = as_tensor(targets), as_tensor(predictions)
    last = len(predictions.shape) - 1
    chosen = take_along_axis(predictions, reshaped(targets, (*targets.shape, 1)), axis=last)
    # NaN is not a high prediction.
    chosen = p.select(p.equal(chosen, chosen), chosen, like(chosen, -math.inf))
    better = elementwise(p.greater, predictions, chosen)
    ahead = p.reduce_sum(p.cast(better, dtype="int32"), axes=(last,))
    return p.less(ahead, like(ahead, k))


# --- searching -------------------------------------------------------------------------------------


@op
def searchsorted(sorted_sequence: Any, values: Any, side: str = "left") -> Any:
    """Where each value would go in a sorted vector: before its equals ("left") or after them ("right")."""
    if side not in ("left", "right"):
        raise ArgumentError(f"searchsorted: side must be 'left' or 'right', got {side!r}.")
    line, values = promote(sorted_sequence, values)
    if len(line.shape) != 1:
        raise ShapeError(f"searchsorted needs a sorted vector, got shape {line.shape}.")
    count = line.shape[0]
    found = like(as_tensor(values, "int32"), 0)
    if count == 0:
        return found
    comes_before = p.less if side == "left" else p.less_equal
    step = 1 << (count.bit_length() - 1)
    while step:
        # Go on by `step` places if the last of them still comes before the value.
        place = p.add(found, like(found, step - 1))
        element = p.gather(line, place, axis=0)
        goes_on = comes_before(element, values)
        if dtypes.is_float(dtype_of(values)):
            nan_goes_last = p.bitwise_and(p.not_equal(values, values), p.equal(element, element))
            goes_on = p.bitwise_or(goes_on, nan_goes_last)
        goes_on = p.bitwise_and(goes_on, p.less(place, like(place, count)))
        found = p.select(goes_on, p.add(found, like(found, step)), found)
        step //= 2
    return found


@op
def digitize(x: Any, bins: Any) -> Any:
    """The number of the interval, between increasing `bins`, in which each element lies."""
    return searchsorted(bins, x, side="right")


@op
def histogram(x: Any, bins: int = 10, range: tuple[Any, Any] | None = None) -> tuple[Any, Any]:
    """(counts, edges) of `bins` equal intervals over `range` (None: from the least to the largest)."""
    if not isinstance(bins, int) or bins < 1:
        raise ArgumentError(f"histogram: bins must be a positive whole number, got {bins!r}.")
    x = as_float(x)
    x = reshaped(x, (x.size,))
    if range is not None:
        low, high = (as_tensor(end, dtype_of(x)) for end in range)
    elif x.size == 0:
        low, high = as_tensor(0, dtype_of(x)), as_tensor(1, dtype_of(x))
    else:
        low, high = p.reduce_min(x, axes=(0,)), p.reduce_max(x, axes=(0,))
    # A single value lies in the middle of an interval of width 1.
    flat = elementwise(p.equal, low, high)
    low = elementwise(p.select, flat, p.subtract(low, like(low, 0.5)), low)
    high = elementwise(p.select, flat, p.add(high, like(high, 0.5)), high)
    edges = linspace(low, high, bins + 1)
    place = searchsorted(edges, x, side="right")
    # The last interval contains its upper edge.
    at_end = elementwise(p.equal, x, high)
    place = p.subtract(p.select(at_end, like(place, bins), place), like(place, 1))
    place = p.select(p.less(place, like(place, bins)), place, like(place, -1))
    counts = bincount(place, minlength=bins) if isinstance(place, Tensor) else _counts(place, bins)
    return as_tensor(counts, dtype_of(x)), edges


def _counts(place: Any, bins: int) -> Any:
    return p.scatter_add(filled((bins,), 0, "int32"), place, like(place, 1), axis=0)


@op
def unique(
    x: Any,
    sorted: bool = True,
    return_index: bool = False,
    return_inverse: bool = False,
    return_counts: bool = False,
    axis: int | None = None,
    size: int | None = None,
    fill_value: Any = None,
) -> Any:
    """The distinct elements of x (along `axis`: the distinct slices), in order; eager only.

    With `return_index`, `return_inverse` and `return_counts`, a tuple that also has where each first occurs,
    which one each element is, and how often each occurs. `size` cuts or fills the result to that many.
    """
    x = as_tensor(x)
    if isinstance(x, Tensor):
        raise ArgumentError("unique() of a traced tensor would have a shape that depends on its numbers.")
    found = np.unique(x.numpy(), True, True, True, axis=axis, equal_nan=False)
    values, index, inverse, counts = found
    place = axis or 0
    if size is not None:
        values, index, counts = (
            _fitted(part, size, where) for part, where in ((values, place), (index, 0), (counts, 0))
        )
        if fill_value is not None and len(found[1]) < size:
            np.moveaxis(values, place, 0)[len(found[1]) :] = fill_value
        counts[len(found[1]) :] = 0
    result = [as_tensor(values)]
    for wanted, part in ((return_index, index), (return_inverse, inverse), (return_counts, counts)):
        if wanted:
            result.append(as_tensor(part.astype(np.int32)))
    return result[0] if len(result) == 1 else tuple(result)


def _fitted(array: np.ndarray[Any, Any], length: int, axis: int) -> np.ndarray[Any, Any]:
    """`array` cut to `length` along an axis, or filled up with its first entry."""
    places = np.arange(length)
    places[places >= array.shape[axis]] = 0
    return np.take(array, places, axis)


# --- quantiles -------------------------------------------------------------------------------------

_METHODS = ("linear", "lower", "higher", "midpoint", "nearest")


def _quantile(x: Any, q: Any, axis: Any, method: str, keepdims: bool, ignore_nan: bool) -> Any:
    if method not in _METHODS:
        raise ArgumentError(f"Unknown quantile method {method!r}.", expected=", ".join(_METHODS))
    x = as_float(x)
    q = as_tensor(as_float(q), dtype_of(x))
    rank = len(x.shape)
    axes = normalize_axes(axis, rank)
    kept = tuple(place for place in range(rank) if place not in axes)
    shape = tuple(x.shape[place] for place in kept)
    lines = reshaped(transposed(x, (*kept, *axes)), (*shape, size([x.shape[place] for place in axes])))
    ordered, _ = p.sort(lines, axis=len(shape), descending=False)
    result = _between(ordered, lines, q, method, ignore_nan)
    if keepdims:
        wide = tuple(1 if place in axes else x.shape[place] for place in range(rank))
        result = reshaped(result, (*q.shape, *wide))
    return result


def _between(ordered: Any, lines: Any, q: Any, method: str, ignore_nan: bool) -> Any:
    """Quantiles of sorted lines along the last axis: (..., n) and q (...) give (q..., ...)."""
    last = len(ordered.shape) - 1
    is_number = p.equal(lines, lines)
    numbers = p.reduce_sum(p.cast(is_number, dtype="int32"), axes=(last,))
    total = (
        as_tensor(numbers, dtype_of(q))
        if ignore_nan
        else like(as_tensor(numbers, dtype_of(q)), lines.shape[last])
    )
    wide = (*q.shape, *total.shape)
    position = p.multiply(
        p.broadcast(q, shape=wide, axes=tuple(range(len(q.shape)))),
        spread(p.subtract(total, like(total, 1)), wide),
    )
    below, above = p.floor(position), p.ceil(position)
    low, high = (_pick(ordered, place, len(q.shape)) for place in (below, above))
    if method == "linear":
        above_part = p.subtract(position, below)
        result = p.add(p.multiply(low, p.subtract(like(low, 1), above_part)), p.multiply(high, above_part))
        result = p.select(p.equal(low, high), low, result)
    elif method == "nearest":
        result = _pick(ordered, p.round_even(position), len(q.shape))
    elif method == "midpoint":
        result = p.multiply(p.add(low, high), like(low, 0.5))
    else:
        result = low if method == "lower" else high
    if ignore_nan:
        missing = p.equal(numbers, like(numbers, 0))
    else:
        missing = p.less(numbers, like(numbers, lines.shape[last]))
    return p.select(spread(missing, wide), like(result, math.nan), result)


def _pick(ordered: Any, place: Any, q_rank: int) -> Any:
    """The elements of sorted lines (..., n) at places (q..., ...)."""
    last = len(ordered.shape) - 1
    place = as_tensor(place, "int32")
    moved = moveaxis(place, list(range(q_rank)), list(range(last, last + q_rank))) if q_rank else place
    flat = reshaped(moved, (*ordered.shape[:last], size(moved.shape[last:])))
    found = reshaped(take_along_axis(ordered, p.maximum(flat, like(flat, 0)), axis=last), moved.shape)
    return moveaxis(found, list(range(last, last + q_rank)), list(range(q_rank))) if q_rank else found


@op
def quantile(x: Any, q: Any, axis: Any = None, method: str = "linear", keepdims: bool = False) -> Any:
    """The value below which the fraction q of the elements over `axis` lies; NaN where any is NaN.

    method: what to give between two elements: "linear", "lower", "higher", "midpoint" or "nearest".
    Several q's come as the first axes of the result.
    """
    return _quantile(x, q, axis, method, keepdims, ignore_nan=False)


@op
def nanquantile(x: Any, q: Any, axis: Any = None, method: str = "linear", keepdims: bool = False) -> Any:
    """`quantile` of what is not NaN."""
    return _quantile(x, q, axis, method, keepdims, ignore_nan=True)


def _hundredth(q: Any) -> Any:
    q = as_float(q)
    return p.divide(q, like(q, 100))


@op
def percentile(x: Any, q: Any, axis: Any = None, method: str = "linear", keepdims: bool = False) -> Any:
    """`quantile` with q in percent."""
    return _quantile(x, _hundredth(q), axis, method, keepdims, ignore_nan=False)


@op
def nanpercentile(x: Any, q: Any, axis: Any = None, method: str = "linear", keepdims: bool = False) -> Any:
    """`nanquantile` with q in percent."""
    return _quantile(x, _hundredth(q), axis, method, keepdims, ignore_nan=True)


@op
def median(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The middle element over `axis`, or the mean of the two in the middle."""
    return _quantile(x, 0.5, axis, "midpoint", keepdims, ignore_nan=False)


@op
def nanmedian(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """`median` of what is not NaN."""
    return _quantile(x, 0.5, axis, "midpoint", keepdims, ignore_nan=True)
