"""What each primitive means, written a second time in another way: element by element, in wide arithmetic.

`DEFINITIONS[name](*operands, **attributes)` gives the exact result: floats as longdouble, integers as
Python's before they wrap around. The interpreter must agree within its error budget.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import mpmath
import numpy as np

from lamina.core import dtypes

Array = np.ndarray[Any, Any]
DEFINITIONS: dict[str, Callable[..., Any]] = {}


def wide(x: Array) -> Array:
    """Floats as longdouble, integers and booleans as Python's own."""
    return x.astype(np.longdouble) if x.dtype.kind == "f" or x.dtype.name == "bfloat16" else x.astype(object)


def define(name: str, function: Callable[..., Any]) -> None:
    DEFINITIONS[name] = function


def elementwise(
    name: str, of_floats: Callable[..., Any] | None, of_integers: Callable[..., Any] | None
) -> None:
    """Definitions for whole longdouble arrays, and for one Python int each."""

    def apply(*operands: Array) -> Any:
        widened = [wide(x) for x in operands]
        if widened[-1].dtype != object:
            assert of_floats is not None
            return of_floats(*widened)
        assert of_integers is not None
        result = np.empty(operands[0].shape, object)
        for place in np.ndindex(operands[0].shape):
            result[place] = of_integers(*[x[place] for x in widened])
        return result

    define(name, apply)


def by_place(shape: tuple[int, ...], dtype: Any, element: Callable[[tuple[int, ...]], Any]) -> Array:
    result = np.empty(shape, dtype)
    for place in np.ndindex(shape):
        result[place] = element(place)
    return result


def _erf(x: Any) -> Any:
    with mpmath.workdps(25):
        return np.longdouble(mpmath.nstr(mpmath.erf(float(x)), 22))


# --- unary -----------------------------------------------------------------------------------------
elementwise("negative", lambda x: -x, lambda n: -n)
elementwise("absolute", lambda x: np.where(np.signbit(x), -x, x), abs)
elementwise("sign", lambda x: np.where(np.isnan(x), x, (x > 0) * 1.0 - (x < 0)), lambda n: (n > 0) - (n < 0))
elementwise("floor", np.floor, None)
elementwise("ceil", lambda x: -np.floor(-x), None)
elementwise("round_even", lambda x: np.where(x % 2 == 0.5, np.floor(x), np.floor(x + 0.5)), None)
for _name in [
    "exp",
    "expm1",
    "log",
    "log1p",
    "sqrt",
    "sin",
    "cos",
    "tan",
    "arcsin",
    "arccos",
    "arctan",
    "sinh",
    "cosh",
    "tanh",
    "arcsinh",
    "arccosh",
    "arctanh",
]:
    elementwise(_name, getattr(np, _name), None)
elementwise("rsqrt", lambda x: 1 / np.sqrt(x), None)
elementwise("sigmoid", lambda x: 1 / (1 + np.exp(-x)), None)
elementwise("erf", np.vectorize(_erf, otypes=[np.longdouble]), None)
elementwise("invert", None, lambda n: not n if isinstance(n, bool) else -n - 1)
elementwise("is_finite", lambda x: np.abs(x) < np.inf, None)
elementwise("stop_gradient", lambda x: x, lambda n: n)


def _cast(x: Array, *, dtype: str) -> Any:
    if dtype == "bool":
        return x.astype(np.float64) != 0 if x.dtype.name == "bfloat16" else x != 0
    if dtype not in ("float16", "bfloat16", "float32", "float64") and wide(x).dtype != object:
        low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
        inside = [
            0 if np.isnan(n) else high if n > high else low if n < low else int(n) for n in wide(x).ravel()
        ]
        return np.array([*inside, None], object)[:-1].reshape(x.shape)
    return wide(x)


define("cast", _cast)

# --- binary ----------------------------------------------------------------------------------------


def _shift_left(n: int, places: int) -> int:
    return n << places if 0 <= places < 64 else 0


def _shift_right(n: int, places: int) -> int:
    return n >> places if 0 <= places < 64 else -1 if n < 0 else 0


def _power(n: int, exponent: int) -> int:
    if exponent >= 0:
        return n**exponent if abs(n) < 2 or exponent < 1000 else pow(n, exponent, 2**64)
    return {1: 1, -1: 1 if exponent % 2 == 0 else -1}.get(n, 0)


elementwise("add", lambda x, y: x + y, lambda n, m: n + m)
elementwise("subtract", lambda x, y: x - y, lambda n, m: n - m)
elementwise("multiply", lambda x, y: x * y, lambda n, m: n * m)
elementwise("divide", lambda x, y: x / y, None)
elementwise("floor_divide", np.floor_divide, lambda n, m: n // m if m else 0)
elementwise("remainder", np.remainder, lambda n, m: n % m if m else 0)
elementwise("power", np.power, _power)
elementwise("maximum", lambda x, y: np.where(np.isnan(x) | (x > y), x, y), max)
elementwise("minimum", lambda x, y: np.where(np.isnan(x) | (x < y), x, y), min)
elementwise("arctan2", np.arctan2, None)
elementwise("bitwise_and", None, lambda n, m: n & m)
elementwise("bitwise_or", None, lambda n, m: n | m)
elementwise("bitwise_xor", None, lambda n, m: n ^ m)
elementwise("shift_left", None, _shift_left)
elementwise("shift_right", None, _shift_right)

# --- compare and select ----------------------------------------------------------------------------
elementwise("equal", lambda x, y: x == y, lambda n, m: n == m)
elementwise("not_equal", lambda x, y: ~(x == y), lambda n, m: n != m)
elementwise("less", lambda x, y: x < y, lambda n, m: n < m)
elementwise("less_equal", lambda x, y: x <= y, lambda n, m: n <= m)
elementwise("greater", lambda x, y: x > y, lambda n, m: n > m)
elementwise("greater_equal", lambda x, y: x >= y, lambda n, m: n >= m)
define(
    "select", lambda c, x, y: by_place(c.shape, wide(x).dtype, lambda i: wide(x)[i] if c[i] else wide(y)[i])
)

# --- reduce ----------------------------------------------------------------------------------------


def _lines(x: Array, axes: tuple[int, ...]) -> tuple[Array, tuple[int, ...]]:
    """x with `axes` last and made one, and the shape of the others."""
    kept = tuple(axis for axis in range(x.ndim) if axis not in axes)
    shape = tuple(x.shape[axis] for axis in kept)
    return wide(x).transpose(*kept, *axes).reshape(
        *shape, -1 if x.size else math.prod(x.shape[a] for a in axes)
    ), shape


def reduction(name: str, fold: Callable[[list[Any]], Any]) -> None:
    def apply(x: Array, *, axes: tuple[int, ...]) -> Any:
        lines, shape = _lines(x, axes)
        return by_place(shape, lines.dtype, lambda place: fold(list(lines[place])))

    define(name, apply)


def _extreme(choose: Callable[..., Any]) -> Callable[[list[Any]], Any]:
    return lambda line: next((n for n in line if n != n), None) if any(n != n for n in line) else choose(line)


def _first_place(beats: Callable[[Any, Any], bool]) -> Callable[..., Any]:
    def place_in(line: list[Any]) -> int:
        best = 0
        for number, element in enumerate(line):
            if line[best] == line[best] and (element != element or beats(element, line[best])):
                best = number
        return best

    def apply(x: Array, *, axis: int) -> Any:
        lines, shape = _lines(x, (axis,))
        return by_place(shape, object, lambda place: place_in(list(lines[place])))

    return apply


def _cumulative_sum(x: Array, *, axis: int, reverse: bool) -> Any:
    def element(place: tuple[int, ...]) -> Any:
        line = wide(x)[(*place[:axis], slice(None), *place[axis + 1 :])]
        return sum(line[place[axis] :] if reverse else line[: place[axis] + 1])

    return by_place(x.shape, wide(x).dtype, element)


reduction("reduce_sum", sum)
reduction("reduce_prod", math.prod)
reduction("reduce_max", _extreme(max))
reduction("reduce_min", _extreme(min))
define("argmax", _first_place(lambda n, m: n > m))
define("argmin", _first_place(lambda n, m: n < m))
define("cumulative_sum", _cumulative_sum)

# --- move ------------------------------------------------------------------------------------------


def _reshape(x: Array, *, shape: tuple[int, ...]) -> Any:
    elements = iter([wide(x)[place] for place in np.ndindex(x.shape)])
    return by_place(shape, wide(x).dtype, lambda place: next(elements))


def _transpose(x: Array, *, permutation: tuple[int, ...]) -> Any:
    shape = tuple(x.shape[axis] for axis in permutation)
    inverse = [permutation.index(axis) for axis in range(x.ndim)]
    return by_place(shape, wide(x).dtype, lambda place: wide(x)[tuple(place[axis] for axis in inverse)])


def _broadcast(x: Array, *, shape: tuple[int, ...], axes: tuple[int, ...]) -> Any:
    def element(place: tuple[int, ...]) -> Any:
        return wide(x)[tuple(place[axis] if extent > 1 else 0 for axis, extent in zip(axes, x.shape))]

    return by_place(shape, wide(x).dtype, element)


def _slice(x: Array, *, start: tuple[int, ...], limit: tuple[int, ...], stride: tuple[int, ...]) -> Any:
    places = [list(range(*bounds)) for bounds in zip(start, limit, stride)]
    elements = iter([wide(x)[place] for place in itertools.product(*places)])
    return by_place(tuple(map(len, places)), wide(x).dtype, lambda place: next(elements))


def _pad(x: Array, value: Array, *, low: Any, high: Any, interior: Any) -> Any:
    shape = [b + n + max(n - 1, 0) * i + a for b, n, i, a in zip(low, x.shape, interior, high)]
    result = np.full(shape, wide(value)[()], wide(x).dtype)
    for place in np.ndindex(x.shape):
        result[tuple(b + n * (i + 1) for b, n, i in zip(low, place, interior))] = wide(x)[place]
    return result


def _concatenate(*operands: Array, axis: int) -> Any:
    parts = [np.moveaxis(wide(x), axis, 0) for x in operands]
    rows = [row for part in parts for row in part]
    if not rows:
        return parts[0]
    return np.moveaxis(
        np.array([*rows, None], object)[:-1] if parts[0].ndim == 1 else np.stack(rows), 0, axis
    )


def _reverse(x: Array, *, axes: tuple[int, ...]) -> Any:
    def element(place: tuple[int, ...]) -> Any:
        return wide(x)[
            tuple(n - 1 - i if axis in axes else i for axis, (i, n) in enumerate(zip(place, x.shape)))
        ]

    return by_place(x.shape, wide(x).dtype, element)


define("reshape", _reshape)
define("transpose", _transpose)
define("broadcast", _broadcast)
define("slice", _slice)
define("pad", _pad)
define("concatenate", _concatenate)
define("reverse", _reverse)
define("constant", lambda *, value: wide(value.array))
define("iota", lambda *, shape, axis, dtype: by_place(shape, object, lambda place: place[axis]))

# --- contract --------------------------------------------------------------------------------------


def _dot(x: Array, y: Array, *, contract: Any, batch: Any) -> Any:
    """Einstein's sum with one letter per axis."""
    x_labels, y_labels = list(range(x.ndim)), list(range(x.ndim, x.ndim + y.ndim))
    for ours, theirs in (*zip(*contract), *zip(*batch)):
        y_labels[theirs] = x_labels[ours]
    shared = [x_labels[axis] for axis in batch[0]]
    used = {x_labels[axis] for axis in (*contract[0], *batch[0])}
    result = shared + [label for label in x_labels + y_labels if label not in used]
    return np.einsum(wide(x), x_labels, wide(y), y_labels, result, optimize=False)


define("dot", _dot)


def _attention_of_rows(
    query: Array, key: Array, *others: Array, causal: bool, scale: float, rate: float
) -> Any:
    """For each (batch, head, query): the place, its scores, which of them count, and what weights become."""
    repeats = query.shape[2] // key.shape[2]
    shape = (query.shape[0], query.shape[2], query.shape[1], key.shape[1])
    keys = [other for other in others if other.dtype == np.uint32]
    bits = [DEFINITIONS["random_bits"](each, shape=shape) for each in keys]
    for row, head, at in np.ndindex(query.shape[0], query.shape[2], query.shape[1]):
        scores = scale * np.dot(wide(key)[row, :, head // repeats], wide(query)[row, at, head])
        allowed = np.ones(len(scores), bool)
        for entry in (other for other in others if other.dtype == bool):
            chosen = [0 if extent == 1 else place for extent, place in zip(entry.shape, (row, head, 0, at))]
            allowed &= entry[chosen[0], chosen[1], :, chosen[3]]
        if causal:
            allowed &= np.arange(len(scores)) <= at
        kind = np.float64 if query.dtype == np.float64 else np.float32
        dropped = np.ones(len(scores), np.longdouble)
        for words in bits:
            units = (words[row, head, at] // 2**8) / 2**24
            dropped = np.where(units < float(np.float32(1 - rate)), 1 / np.longdouble(1 - rate), 0)
        yield (row, at, head), np.where(allowed, scores, -0.7 * float(np.finfo(kind).max)), allowed, dropped


def _attention(query: Array, key: Array, value: Array, *mask: Array, **how: Any) -> Any:
    repeats = query.shape[2] // key.shape[2]
    result = np.zeros((*query.shape[:3], value.shape[3]), np.longdouble)
    highest = np.zeros((query.shape[0], query.shape[2], query.shape[1]), np.longdouble)
    total = highest.copy()
    for (row, at, head), scores, _, kept in _attention_of_rows(query, key, *mask, **how):
        powers = np.exp(scores - scores.max())
        highest[row, head, at], total[row, head, at] = scores.max(), powers.sum()
        result[row, at, head] = np.dot(kept * powers / powers.sum(), wide(value)[row, :, head // repeats])
    return result, highest, total


def _attention_grad(
    query: Array, key: Array, value: Array, result: Array, highest: Array, total: Array, cotangent: Array,
    *mask: Array, **how: Any,
) -> Any:  # fmt: skip
    repeats = query.shape[2] // key.shape[2]
    found = [np.zeros(x.shape, np.longdouble) for x in (query, key, value)]
    for (row, at, head), scores, allowed, kept in _attention_of_rows(query, key, *mask, **how):
        group, sent = head // repeats, wide(cotangent)[row, at, head]
        powers = np.exp(scores - wide(highest)[row, head, at])
        weights = powers / wide(total)[row, head, at]
        mean = np.dot(sent, wide(result)[row, at, head])
        of_scores = (
            np.where(allowed, weights * (kept * (wide(value)[row, :, group] @ sent) - mean), 0) * how["scale"]
        )
        found[0][row, at, head] = np.dot(of_scores, wide(key)[row, :, group])
        found[1][row, :, group] += np.outer(of_scores, wide(query)[row, at, head])
        found[2][row, :, group] += np.outer(kept * weights, sent)
    return tuple(found)


define("attention", _attention)
define("attention_grad", _attention_grad)


def _meetings(shape: Any, sizes: Any, places: Any, strides: Any, padding: Any, dilation: Any) -> Any:
    """Every (place of the window, element of the window, element of the input) that meet, per definition."""
    for place in np.ndindex(*places):
        for tap in np.ndindex(*sizes):
            seen = tuple(
                i * s - low + j * d for i, s, (low, _), j, d in zip(place, strides, padding, tap, dilation)
            )
            if all(0 <= at < extent for at, extent in zip(seen, shape)):
                yield place, tap, seen


def _places(shape: Any, sizes: Any, strides: Any, padding: Any, dilation: Any) -> Any:
    spans = zip(shape, sizes, strides, padding, dilation)
    return tuple((n + low + high - (k - 1) * d - 1) // s + 1 for n, k, s, (low, high), d in spans)


def _pairs(channels: int, filters: int, groups: int) -> Any:
    """Every (channel, channel of its group, filter) that a kernel connects."""
    for channel in range(channels):
        for filter_ in range(filters):
            if channel * groups // channels == filter_ * groups // filters:
                yield channel, channel % (channels // groups), filter_


def _dense(kernel: Array, channels: int, groups: int) -> Array:
    """The kernel of a convolution without groups that does the same: zero between groups."""
    result = np.zeros((*kernel.shape[:-2], channels, kernel.shape[-1]), kernel.dtype)
    for channel, within, filter_ in _pairs(channels, kernel.shape[-1], groups):
        result[..., channel, filter_] = kernel[..., within, filter_]
    return result


def _conv(x: Array, kernel: Array, *, groups: int, **how: Any) -> Any:
    x, kernel = wide(x), _dense(wide(kernel), x.shape[-1], groups)
    places = _places(x.shape[1:-1], kernel.shape[:-2], **how)
    result = np.zeros((x.shape[0], *places, kernel.shape[-1]), x.dtype)
    for place, tap, seen in _meetings(x.shape[1:-1], kernel.shape[:-2], places, **how):
        result[(slice(None), *place)] += np.dot(x[(slice(None), *seen)], kernel[tap])
    return result


def _conv_input_grad(y: Array, kernel: Array, *, shape: Any, groups: int, **how: Any) -> Any:
    channels = kernel.shape[-2] * groups
    y, kernel = wide(y), _dense(wide(kernel), channels, groups)
    result = np.zeros((y.shape[0], *shape, channels), y.dtype)
    for place, tap, seen in _meetings(shape, kernel.shape[:-2], y.shape[1:-1], **how):
        result[(slice(None), *seen)] += np.dot(y[(slice(None), *place)], kernel[tap].T)
    return result


def _conv_filter_grad(x: Array, y: Array, *, shape: Any, groups: int, **how: Any) -> Any:
    x, y = wide(x), wide(y)
    whole = np.zeros((*shape, x.shape[-1], y.shape[-1]), x.dtype)
    for place, tap, seen in _meetings(x.shape[1:-1], shape, y.shape[1:-1], **how):
        whole[tap] += np.dot(x[(slice(None), *seen)].T, y[(slice(None), *place)])
    result = np.zeros((*shape, x.shape[-1] // groups, y.shape[-1]), x.dtype)
    for channel, within, filter_ in _pairs(x.shape[-1], y.shape[-1], groups):
        result[..., within, filter_] = whole[..., channel, filter_]
    return result


define("conv", _conv)
define("conv_input_grad", _conv_input_grad)
define("conv_filter_grad", _conv_filter_grad)

# --- window ----------------------------------------------------------------------------------------


def _max_window(x: Array, *, sizes: Any, **how: Any) -> Any:
    x = wide(x)
    places = _places(x.shape[1:-1], sizes, **how)
    values = np.empty((x.shape[0], *places, x.shape[-1]), x.dtype)
    index = np.full(values.shape, -1, object)
    for place, tap, seen in _meetings(x.shape[1:-1], sizes, places, **how):
        here, number = (slice(None), *place), int(np.ravel_multi_index(tap, sizes))
        element = x[(slice(None), *seen)]
        unset, old = index[here] == -1, values[here]
        takes = unset | (element > np.where(unset, element, old)) | ((element != element) & (old == old))
        values[here] = np.where(takes, element, old)
        index[here] = np.where(takes, number, index[here])
    return values, index


def _gather_window(x: Array, index: Array, *, sizes: Any, **how: Any) -> Any:
    result = np.zeros(index.shape, wide(x).dtype)
    for place, tap, seen in _meetings(x.shape[1:-1], sizes, index.shape[1:-1], **how):
        here = (slice(None), *place)
        chosen = index[here] == np.ravel_multi_index(tap, sizes)
        result[here] = np.where(chosen, wide(x)[(slice(None), *seen)], result[here])
    return result


def _scatter_window(y: Array, index: Array, *, shape: Any, sizes: Any, **how: Any) -> Any:
    result = np.zeros((y.shape[0], *shape, y.shape[-1]), wide(y).dtype)
    for place, tap, seen in _meetings(shape, sizes, y.shape[1:-1], **how):
        here = (slice(None), *place)
        chosen = index[here] == np.ravel_multi_index(tap, sizes)
        result[(slice(None), *seen)] += np.where(chosen, wide(y)[here], 0)
    return result


def _sum_window(x: Array, *, sizes: Any, **how: Any) -> Any:
    x = wide(x)
    places = _places(x.shape[1:-1], sizes, **how)
    result = np.zeros((x.shape[0], *places, x.shape[-1]), x.dtype)
    for place, _, seen in _meetings(x.shape[1:-1], sizes, places, **how):
        result[(slice(None), *place)] += x[(slice(None), *seen)]
    return result


def _spread_window(y: Array, *, shape: Any, sizes: Any, **how: Any) -> Any:
    result = np.zeros((y.shape[0], *shape, y.shape[-1]), wide(y).dtype)
    for place, _, seen in _meetings(shape, sizes, y.shape[1:-1], **how):
        result[(slice(None), *seen)] += wide(y)[(slice(None), *place)]
    return result


define("max_window", _max_window)
define("gather_window", _gather_window)
define("scatter_window", _scatter_window)
define("sum_window", _sum_window)
define("spread_window", _spread_window)

# --- gather and scatter ----------------------------------------------------------------------------


def _gather(x: Array, indices: Array, *, axis: int) -> Any:
    shape = x.shape[:axis] + indices.shape + x.shape[axis + 1 :]

    def element(place: tuple[int, ...]) -> Any:
        index = int(indices[place[axis : axis + indices.ndim]])
        inside = min(max(index, 0), x.shape[axis] - 1)
        return wide(x)[(*place[:axis], inside, *place[axis + indices.ndim :])]

    return by_place(shape, wide(x).dtype, element)


def _scatter_add(x: Array, indices: Array, updates: Array, *, axis: int) -> Any:
    result = wide(x).copy()
    for place in np.ndindex(updates.shape):
        index = int(indices[place[axis : axis + indices.ndim]])
        if 0 <= index < x.shape[axis]:
            result[(*place[:axis], index, *place[axis + indices.ndim :])] += wide(updates)[place]
    return result


define("gather", _gather)
define("scatter_add", _scatter_add)

# --- random ----------------------------------------------------------------------------------------


def _random_bits(key: Array, *, shape: tuple[int, ...]) -> Any:
    """Philox2x32-7 in Python's integers."""

    def element(number: int) -> int:
        first, second, round_key = number, int(key[1]), int(key[0])
        for _ in range(7):
            product = 0xD256D193 * first
            first, second = (product >> 32) ^ round_key ^ second, product & 0xFFFFFFFF
            round_key = (round_key + 0x9E3779B9) & 0xFFFFFFFF
        return first

    return np.array([*map(element, range(math.prod(shape))), None], object)[:-1].reshape(shape)


define("random_bits", _random_bits)

# --- sort ------------------------------------------------------------------------------------------


def _sort(x: Array, *, axis: int, descending: bool) -> Any:
    values, places = wide(x).copy(), np.empty(x.shape, object)
    for place in np.ndindex(*(n for other, n in enumerate(x.shape) if other != axis)):
        line = (*place[:axis], slice(None), *place[axis:])
        numbers = list(wide(x)[line])
        ordinary = [i for i, n in enumerate(numbers) if n == n]
        order = sorted(ordinary, key=lambda i: -numbers[i] if descending else numbers[i])
        order += [i for i, n in enumerate(numbers) if n != n]
        values[line] = [numbers[i] for i in order]
        places[line] = order
    return values, places


define("sort", _sort)

# --- host ------------------------------------------------------------------------------------------


def _exact(matrix: Any) -> list[list[Fraction]]:
    return [[Fraction(float(number)) for number in line] for line in matrix]


def _solved(a: Any, b: Any) -> tuple[Any, Fraction]:
    """(x with a x = b, the determinant of a) in fractions, by elimination."""
    lines = [[*left, *right] for left, right in zip(_exact(a), _exact(b))]
    determinant = Fraction(1)
    for column in range(len(lines)):
        pivot = next(row for row in range(column, len(lines)) if lines[row][column])
        determinant *= lines[pivot][column] * (1 if pivot == column else -1)
        lines[column], lines[pivot] = lines[pivot], lines[column]
        lines[column] = [number / lines[column][column] for number in lines[column]]
        for row in range(len(lines)):
            if row != column:
                factor = lines[row][column]
                lines[row] = [n - factor * m for n, m in zip(lines[row], lines[column])]
    return np.array([[float(n) for n in line[len(lines) :]] for line in lines]), determinant


def _factor(x: Any) -> Any:
    """The Cholesky factor, element by element."""
    lower = np.zeros(x.shape)
    for row, column in np.ndindex(*x.shape):
        if column <= row:
            rest = x[row, column] - lower[row, :column] @ lower[column, :column]
            lower[row, column] = math.sqrt(rest) if row == column else rest / lower[column, column]
    return lower


def _dft(real: Any, imaginary: Any, *, axes: tuple[int, ...], inverse: bool) -> Any:
    x = real + 1j * imaginary
    for axis in axes:
        size = x.shape[axis]
        turns = np.outer(np.arange(size), np.arange(size)) % size / size
        wave = np.exp((2j if inverse else -2j) * np.pi * turns) / (size if inverse else 1)
        x = np.moveaxis(np.tensordot(wave, np.moveaxis(x, axis, 0), 1), 0, axis)
    return x.real.round(12), x.imag.round(12)


def _host(*arrays: Array, function: str, options: tuple[tuple[str, Any], ...]) -> Any:
    operands = [np.asarray(array, np.float64) for array in arrays]
    if function == "fft":
        return _dft(*operands, **dict(options))
    if function == "cholesky":
        return _factor(operands[0])
    if function == "solve":
        return np.array([_solved(a, b)[0] for a, b in zip(*operands)])
    assert function == "det"
    return np.array([float(_solved(a, np.eye(len(a)))[1]) for a in operands[0]])


define("host", _host)

# --- control ---------------------------------------------------------------------------------------


def _inside(graph: Any, operands: list[Any]) -> list[Any]:
    """A nested graph by the definitions of what it is made of. Numbers stay as they come in."""
    known = dict(zip(graph.inputs, operands))
    for node in graph.nodes():
        if node.primitive.name == "input":
            continue
        results = DEFINITIONS[node.primitive.name](*[known[x] for x in node.inputs], **node.attributes)
        exact = results if isinstance(results, tuple) else (results,)
        for value, result in zip(node.outputs, exact):
            known[value] = np.asarray(result).astype(dtypes.to_numpy(value.dtype))
    return [known[value] for value in graph.outputs]


def _scan(*arrays: Array, body: Any, length: int, consts: int, carries: int, reverse: bool) -> Any:
    state = list(arrays[consts : consts + carries])
    seen: dict[int, list[Any]] = {}
    for time in range(length)[:: -1 if reverse else 1]:
        made = _inside(body, [*arrays[:consts], *state, *[x[time] for x in arrays[consts + carries :]]])
        state, seen[time] = made[:carries], made[carries:]
    stacks = [
        np.array([seen[time][number] for time in range(length)]).reshape(length, *value.shape)
        for number, value in enumerate(body.outputs[carries:])
    ]
    return tuple(wide(np.asarray(x)) for x in (*state, *stacks))


def _while_loop(*arrays: Array, condition: Any, body: Any, consts: int) -> Any:
    state = list(arrays[consts:])
    while bool(_inside(condition, [*arrays[:consts], *state])[0]):
        state = _inside(body, [*arrays[:consts], *state])
    return tuple(wide(np.asarray(x)) for x in state)


def _cond(index: Array, *arrays: Array, branches: Any) -> Any:
    chosen = sorted((0, int(index), len(branches) - 1))[1]
    return tuple(wide(np.asarray(x)) for x in _inside(branches[chosen], list(arrays)))


def _custom_gradient(*arrays: Array, backward: Any, results: int, arguments: int) -> Any:
    # Operands: the results, what their gradient needs, the arguments. Only `results` of them are returned.
    assert len(arrays) >= results + arguments
    return tuple(wide(np.asarray(x)) for x in arrays[:results])


define("custom_gradient", _custom_gradient)
define("scan", _scan)
define("while_loop", _while_loop)
define("cond", _cond)
