"""Sample rows: how to call every op. `ROWS[name]` is a list of Rows; the tests run each through Keras too."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Random = np.random.Generator


@dataclass(frozen=True)
class Row:
    """One call.

    build: from a generator, the positional arguments; arrays among them are traced in the traced test.
    tolerance: relative and absolute, against the float32 results of Keras. keras: whether Keras can judge.
    """

    build: Callable[[Random], tuple[Any, ...]]
    keywords: dict[str, Any] = field(default_factory=dict)
    tolerance: float = 2e-6
    keras: bool = True
    traced: bool = True


def normal(*shape: int) -> Callable[[Random], np.ndarray[Any, Any]]:
    return lambda rng: rng.standard_normal(shape).astype(np.float32)


def between(low: float, high: float, *shape: int) -> Callable[[Random], np.ndarray[Any, Any]]:
    return lambda rng: rng.uniform(low, high, shape).astype(np.float32)


def whole(low: int, high: int, *shape: int, dtype: str = "int32") -> Callable[[Random], np.ndarray[Any, Any]]:
    return lambda rng: rng.integers(low, high, shape).astype(dtype)


def flags(*shape: int) -> Callable[[Random], np.ndarray[Any, Any]]:
    return lambda rng: rng.integers(0, 2, shape).astype(bool)


def with_nan(*shape: int) -> Callable[[Random], np.ndarray[Any, Any]]:
    def build(rng: Random) -> np.ndarray[Any, Any]:
        x = rng.standard_normal(shape).astype(np.float32)
        x[rng.random(shape) < 0.3] = np.nan
        return x

    return build


SPECIAL = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0, -1.0, 1e-30, 1e30, -2.5, 2.5, 0.5], np.float32)


def special(rng: Random) -> np.ndarray[Any, Any]:
    return SPECIAL.copy()


def probabilities(*shape: int) -> Callable[[Random], np.ndarray[Any, Any]]:
    def build(rng: Random) -> np.ndarray[Any, Any]:
        x = rng.uniform(0.05, 1, shape)
        return (x / x.sum(-1, keepdims=True)).astype(np.float32)

    return build


def row(
    *builders: Any, tolerance: float = 2e-6, keras: bool = True, traced: bool = True, **keywords: Any
) -> Row:
    """A Row whose arguments are built in order; what is not callable stands for itself."""

    def build(rng: Random) -> tuple[Any, ...]:
        return tuple(_made(builder, rng) for builder in builders)

    return Row(build, keywords, tolerance, keras, traced)


def _made(builder: Any, rng: Random) -> Any:
    if isinstance(builder, list):
        return [_made(entry, rng) for entry in builder]
    return builder(rng) if callable(builder) else builder


ROWS: dict[str, list[Row]] = {}


def rows(names: str, *entries: Row) -> None:
    for name in names.split():
        ROWS.setdefault(name, []).extend(entries)


# --- one operand -----------------------------------------------------------------------------------
rows("negative absolute abs fabs square reciprocal floor ceil trunc", row(normal(2, 17)), row(special))
rows("sign", row(normal(2, 17)), row(np.array([np.nan, 3.0, -2.0, 0.0], np.float32)), row(whole(-3, 3, 5)))
rows("signbit", row(special), row(whole(-3, 3, 5)))
rows(
    "round",
    row(normal(3, 5)),
    row(normal(4), 2),
    row(between(-500, 500, 4), -2),
    row(whole(-999, 999, 6), -1),
)
rows("round", row(np.array([0.5, 1.5, 2.5, -0.5, -1.5], np.float32)))
rows("exp exp2 expm1", row(normal(3, 5)), row(special))
rows("log log2 log10 sqrt rsqrt", row(between(0.01, 50, 3, 5)), row(special))
rows("log1p", row(between(-0.9, 50, 3, 5)), row(special))
rows(
    "cbrt", row(between(-50, 50, 3, 5)), row(np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 27.0], np.float32))
)
rows("sin cos tan arctan sinh cosh tanh arcsinh", row(normal(3, 5)), row(whole(-3, 3, 4)))
rows("arcsin arccos arctanh", row(between(-0.95, 0.95, 3, 5)), row(np.array([-1.5, 1.0, np.nan], np.float32)))
rows("arccosh", row(between(1.0, 20, 3, 5)), row(np.array([0.5, 1.0, np.inf], np.float32)))
rows("sinc", row(normal(3, 5)), row(np.array([0.0, 1.0, -0.5], np.float32)))
rows("deg2rad rad2deg", row(between(-400, 400, 5)))
rows("erf", row(normal(3, 5)), row(special))
rows(
    "erfc", row(between(-4, 9, 40), tolerance=2e-5), row(np.array([0.0, np.inf, -np.inf, np.nan], np.float32))
)
rows("erfinv", row(between(-1, 1, 40)), row(np.array([-1, 1, 0, 1.5, np.nan, 0.9999999, 1e-8], np.float32)))
rows("i0", row(between(-30, 30, 20), tolerance=1e-5), row(np.float32([0, 12, -12, 5])))
rows("isfinite isnan isinf isposinf isneginf isreal", row(special), row(whole(0, 3, 4)), row(flags(4)))
rows("nan_to_num", row(special), row(special, nan=1.0, posinf=2.0, neginf=-2.0), row(whole(0, 3, 4)))
rows("logical_not", row(flags(5)), row(normal(3)), row(whole(0, 2, 4)))
rows("bitwise_not bitwise_invert", row(whole(-9, 9, 5)), row(flags(4)), row(whole(0, 200, 5, dtype="uint8")))

# --- two operands ----------------------------------------------------------------------------------
rows("add subtract multiply maximum minimum", row(normal(3, 4), normal(4)), row(normal(2, 1), 1.5))
rows("add subtract multiply maximum minimum", row(whole(-5, 5, 3), normal(3)), row(2, whole(0, 9, 4)))
rows("add subtract multiply maximum minimum", row(normal(2, 0), normal(1, 1)), row(special, special))
rows(
    "divide true_divide",
    row(normal(3, 4), normal(4)),
    row(whole(-5, 5, 4), whole(1, 5, 4)),
    row(1, normal(3)),
)
rows("divide_no_nan", row(normal(3, 4), np.float32([1, 0, 2, 0])), row(whole(0, 5, 4), whole(0, 2, 4)))
rows("floor_divide mod fmod", row(normal(3, 4), normal(4)), row(whole(-9, 9, 8), whole(1, 5, 8)))
rows(
    "floor_divide mod fmod",
    row(whole(-9, 9, 8), 3),
    row(whole(-9, 9, 8), -3),
    row(np.float32([-1.5, 2.5]), 0.5),
)
rows(
    "power", row(between(0.1, 3, 3, 4), normal(4)), row(normal(5), 2), row(normal(5), 3), row(2.0, normal(4))
)
rows(
    "power",
    row(whole(-4, 5, 6), whole(0, 5, 6)),
    row(special, 2.0),
    row(special, 0.0),
    row(whole(-4, 5, 6), 2),
)
rows("fmax fmin", row(normal(3, 4), normal(4)), row(with_nan(9), with_nan(9)), row(whole(0, 9, 4), 3))
rows("clip", row(normal(3, 4), -0.5, 0.5), row(whole(-9, 9, 5), -3, 3), row(normal(3), normal(3), 5.0))
rows("clip", row(flags(4), 0, 1))
rows("arctan2 hypot", row(normal(3, 4), normal(4)), row(whole(-5, 5, 4), whole(1, 5, 4)))
rows("hypot", row(np.float32([0, 3e38, np.inf, 1e-30]), np.float32([0, 1e38, 1, 1e-30])))
rows("arctan2", row(np.float32([0, -0.0, 1, -1, np.inf]), np.float32([-1, -1, 0, -0.0, np.inf])))
rows("logaddexp logaddexp2", row(normal(3, 4), normal(4)), row(np.float32([1e4, -np.inf, np.inf, 0]), 3.0))
rows("logaddexp", row(np.float32([np.inf, -np.inf]), np.float32([np.inf, -np.inf])), row(whole(0, 4, 3), 1))
rows("heaviside", row(np.float32([-1, 0, 2, np.nan]), 0.5), row(normal(3, 4), normal(4)))
rows("ldexp", row(normal(4), whole(-10, 10, 4)), row(np.float32([1e-30, 3.0]), np.int32([140, 1])))
rows("equal not_equal less less_equal greater greater_equal", row(whole(0, 3, 3, 4), whole(0, 3, 4)))
rows("equal not_equal less less_equal greater greater_equal", row(special, 0.0), row(flags(4), flags(4)))
rows("equal not_equal less less_equal greater greater_equal", row(whole(0, 3, 4), normal(4)))
rows("isclose", row(np.float32([1, 2, np.nan, np.inf]), np.float32([1.000001, 2.1, np.nan, np.inf])))
rows("isclose", row(with_nan(6), with_nan(6), equal_nan=True), row(whole(0, 3, 5), whole(0, 3, 5)))
rows("isclose allclose", row(normal(4), normal(4), rtol=0.5, atol=0.5), row(normal(3, 4), normal(4)))
rows("allclose", row(np.float32([1, 2]), np.float32([1, 2])))
rows("logical_and logical_or logical_xor", row(flags(3, 4), flags(4)), row(whole(0, 2, 5), normal(5)))
rows("bitwise_and bitwise_or bitwise_xor", row(whole(-9, 9, 3, 4), whole(-9, 9, 4)), row(flags(4), flags(4)))
rows("bitwise_left_shift left_shift bitwise_right_shift right_shift", row(whole(-99, 99, 6), whole(0, 6, 6)))
rows("bitwise_left_shift bitwise_right_shift", row(whole(0, 99, 6), 2))
rows("isin", row(whole(0, 9, 3, 4), whole(0, 9, 5)), row(whole(0, 9, 4), whole(0, 9, 2, 2), invert=True))
rows("where", row(flags(3, 4), normal(4), normal(3, 1)), row(flags(4), 1, normal(4)), row(flags(5), 0.0, 1))
rows("where", row(flags(2, 3), traced=False))
rows("select", row([flags(4), flags(4)], [normal(4), normal(4)], 2.5), row([flags(3)], [whole(0, 5, 3)]))
rows("nonzero", row(whole(0, 2, 3, 4), traced=False))

# --- reduce ----------------------------------------------------------------------------------------
for keywords in ({}, {"axis": 1}, {"axis": -1, "keepdims": True}, {"axis": (0, 2)}, {"keepdims": True}):
    rows(
        "sum prod mean max min amax amin ptp var std logsumexp",
        row(normal(3, 5, 4), tolerance=1e-5, **keywords),
    )
    rows("any all", row(flags(3, 2, 4), **keywords))
    rows(
        "nansum nanprod nanmean nanmax nanmin nanvar nanstd",
        row(with_nan(3, 5, 4), tolerance=1e-5, **keywords),
    )
    rows("median nanmedian", row(with_nan(3, 5, 4), **keywords), row(normal(3, 5, 4), **keywords))
rows("sum prod mean max min var std", row(whole(-9, 9, 3, 4)), row(normal(4, 0), axis=0))
rows("sum prod", row(normal(2, 0)), row(flags(4)), row(whole(0, 9, 4, dtype="uint8")))
rows("prod", row(normal(4), dtype="float16", tolerance=1e-3))
rows("max min", row(normal(3, 4), axis=0, initial=0.5), row(flags(3)), row(special))
rows("any all", row(normal(3, 4), axis=0), row(normal(0, 3), axis=0))
rows(
    "average",
    row(normal(3, 4)),
    row(normal(3, 4), axis=1),
    row(normal(3, 4), axis=1, weights=np.float32([1, 2, 3, 4])),
)
rows("average", row(normal(2, 3), weights=np.float32([[1, 2, 3], [4, 5, 6]])), row(whole(0, 9, 4)))
rows("logsumexp", row(np.float32([[1000, 999], [-np.inf, -np.inf], [np.inf, 1]]), axis=1))
rows("count_nonzero", row(whole(0, 2, 3, 4)), row(whole(0, 2, 3, 4), axis=1), row(normal(3)))
rows("argmax argmin", row(normal(3, 5)), row(normal(3, 5), axis=1), row(normal(3, 5), axis=0, keepdims=True))
rows("argmax argmin", row(np.float32([1, 3, 3, 1])), row(np.float32([1, np.nan, 3, np.nan])), row(flags(5)))
rows(
    "nanargmax nanargmin",
    row(with_nan(3, 9), axis=1),
    row(np.float32([[np.nan, np.nan], [1, np.nan]]), axis=1),
)
rows("cumsum", row(normal(3, 5)), row(normal(3, 5), axis=1), row(whole(0, 9, 7), axis=0), row(flags(5)))
rows("cumprod", row(normal(3, 5)), row(normal(3, 17), axis=1), row(whole(1, 3, 7), axis=0), row(normal(0)))
rows("nancumsum nancumprod", row(with_nan(3, 5), axis=1), row(with_nan(6)))
for method in ("linear", "lower", "higher", "midpoint", "nearest"):
    rows("quantile nanquantile", row(normal(3, 8), 0.3, axis=1, method=method))
    rows("percentile nanpercentile", row(normal(3, 8), 30.0, axis=1, method=method))
rows(
    "quantile nanquantile",
    row(with_nan(3, 9), np.float32([0.1, 0.9]), axis=1, keepdims=True),
    row(normal(2, 3), 0.5),
)
rows(
    "percentile nanpercentile",
    row(with_nan(3, 9), np.float32([10, 90]), axis=0),
    row(normal(2, 3, 4), 25.0, axis=(0, 2)),
)

# --- move ------------------------------------------------------------------------------------------
rows("reshape", row(normal(3, 4), (2, -1)), row(normal(3, 4), -1), row(normal(1), ()))
rows("ravel copy array", row(normal(3, 4)))
rows("expand_dims", row(normal(3, 4), 1), row(normal(3, 4), -1), row(normal(3, 4), (0, 2)))
rows("squeeze", row(normal(1, 3, 1)), row(normal(1, 3, 1), 0), row(normal(1, 3, 1), -1))
rows("broadcast_to", row(normal(3, 1), (2, 3, 4)), row(normal(1), (3, 0)))
rows(
    "transpose",
    row(normal(2, 3, 4)),
    row(normal(2, 3, 4), (1, 2, 0)),
    row(normal(3)),
    row(normal(2, 3), (-1, 0)),
)
rows("moveaxis", row(normal(2, 3, 4), 0, -1), row(normal(2, 3, 4, 5), (0, 1), (-1, 0)))
rows("swapaxes", row(normal(2, 3, 4), 0, 2), row(normal(2, 3, 4), -1, 1))
rows("flip", row(normal(3, 4)), row(normal(3, 4), 1), row(normal(3, 4), (0, 1)))
rows("fliplr flipud", row(normal(3, 4)))
rows(
    "rot90",
    *[row(normal(3, 4), k) for k in range(-1, 4)],
    row(normal(2, 3, 4), 1, (1, 2)),
    row(normal(2, 3), 3),
)
rows(
    "roll",
    row(normal(3, 4), 2),
    row(normal(3, 4), -1, 1),
    row(normal(3, 4), (1, -2), (0, 1)),
    row(normal(0, 2), 1, 0),
)
rows(
    "repeat",
    row(normal(3, 4), 2),
    row(normal(3, 4), 2, 1),
    row(normal(3, 2), np.int32([1, 0, 2]), 0, traced=False),
)
rows("tile", row(normal(3, 4), 2), row(normal(3), (2, 2)), row(normal(2, 1, 2), (3, 1, 2)))
rows(
    "pad",
    row(normal(3, 4), ((1, 2), (0, 1))),
    row(normal(3, 4), 1, constant_values=2.0),
    row(normal(3, 4), (1, 2)),
)
rows(
    "pad",
    *[row(normal(3, 4), ((1, 2), (2, 1)), mode=mode) for mode in ("reflect", "symmetric", "edge", "wrap")],
)
rows(
    "diagonal trace",
    row(normal(4, 5)),
    row(normal(4, 5), 1),
    row(normal(4, 5), -2),
    row(normal(2, 3, 4), 0, 2, 0),
)
rows("diagonal", row(normal(2, 3), 7))
rows("diag", row(normal(4)), row(normal(4), 2), row(normal(4), -1), row(normal(4, 5)), row(normal(4, 5), -1))
rows("diagflat", row(normal(2, 2)), row(normal(3), 1))
rows("depth_to_space", row(normal(2, 3, 4, 8), 2))
rows("space_to_depth", row(normal(2, 4, 6, 3), 2))
rows(
    "concatenate",
    row([normal(2, 3), normal(4, 3)]),
    row([normal(2, 3), whole(0, 3, 2, 2)], 1),
    row([normal(2), normal(0)]),
)
rows(
    "stack",
    row([normal(2, 3), normal(2, 3)]),
    row([normal(2, 3), whole(0, 3, 2, 3)], -1),
    row([normal(), normal()]),
)
rows("append", row(normal(2, 3), normal(4)), row(normal(2, 3), normal(1, 3), 0))
rows("vstack hstack dstack", row([normal(3), normal(3)]), row([normal(2, 3), normal(2, 3)]))
rows(
    "meshgrid", row(normal(3), normal(4)), row(normal(3), normal(4), normal(2), indexing="ij"), row(normal(3))
)
rows(
    "split", row(normal(6, 4), 3), row(normal(6, 4), [1, 4]), row(normal(6, 4), 2, 1), row(normal(6), [2, 6])
)
rows("array_split", row(normal(7, 4), 3), row(normal(7, 5), 2, 1))
rows("vsplit", row(normal(6, 4), 3))
rows("hsplit", row(normal(6, 4), 2), row(normal(6), 3))
rows("dsplit", row(normal(2, 3, 4), 2))
rows("unstack", row(normal(3, 4)), row(normal(3, 4), 4, 1))

# --- create ----------------------------------------------------------------------------------------
rows("zeros ones", row((2, 3)), row(4, dtype="int32"))
rows("empty", row((2, 3), keras=False))
rows("zeros_like ones_like", row(normal(2, 3)), row(whole(0, 3, 2)), row(normal(2), dtype="int32"))
rows("empty_like", row(normal(2, 3), keras=False))
rows("full", row((2, 3), 1.5), row((2,), 3, dtype="int32"), row((2, 3), np.float32([1, 2, 3])))
rows("full_like", row(normal(2, 3), 2.0), row(whole(0, 3, 2), 7))
rows("arange", row(5), row(2, 9, 3), row(0.5, 3.0, 0.5), row(5, 0, -2), row(3, dtype="float32"), row(0))
rows(
    "linspace",
    row(0, 1),
    row(-1.0, 2.0, 7, endpoint=False),
    row(normal(3), normal(3), 5, axis=1),
    row(0, 10, 5, dtype="int32"),
)
rows("linspace", row(0.0, 1.0, 5, retstep=True), row(2.0, 3.0, 1))
rows("logspace", row(0, 2, 5, tolerance=1e-5), row(0.0, 3.0, 4, base=2, tolerance=1e-5))
rows("geomspace", row(1.0, 1000.0, 4, tolerance=1e-5), row(-1.0, -8.0, 4, tolerance=1e-5))
rows("eye", row(3), row(3, 4, 1), row(4, 2, -1, dtype="int32"))
rows("identity", row(3))
rows("tri", row(3), row(3, 4, 1), row(4, 3, -1, dtype="int32"))
rows("tril triu", row(normal(3, 4)), row(normal(2, 3, 3), 1), row(normal(3, 4), -1), row(whole(0, 9, 3, 3)))
rows("vander", row(normal(4)), row(normal(4), 3, increasing=True))
rows("hanning hamming blackman bartlett", row(7, tolerance=1e-6), row(1))
rows("kaiser", row(7, 8.0, tolerance=1e-5))

# --- index -----------------------------------------------------------------------------------------
for key in (
    1,
    -1,
    slice(1, 3),
    slice(None, None, -1),
    slice(4, 0, -2),
    Ellipsis,
    None,
    (None, 1, Ellipsis, None),
):
    rows("getitem get_item", row(normal(5, 4, 3), key))
rows(
    "getitem get_item",
    row(normal(5, 4, 3), (slice(0, 5, 2), -2)),
    row(normal(5, 4, 3), (Ellipsis, slice(1, 1))),
)
rows(
    "getitem",
    row(normal(5, 4, 3), np.int32([0, -1, 2])),
    row(normal(5, 4), (np.int32([[0], [1]]), np.int32([1, 2]))),
)
rows("getitem", row(normal(5, 4, 3), (0, slice(None), np.int32([0, 2]))), row(normal(5, 4), ([0, 1], 2)))
rows("take", row(normal(5, 4), np.int32([0, -1, 2])), row(normal(5, 4), np.int32([[0, 3], [1, 2]]), axis=1))
rows("take", row(normal(5, 4), 1, axis=0))
rows(
    "take_along_axis",
    row(normal(3, 4), whole(0, 4, 3, 2), axis=1),
    row(normal(3, 4), whole(0, 3, 1, 4), axis=0),
)
rows("take_along_axis", row(normal(3, 4), whole(0, 12, 5)), row(normal(3, 1), whole(-3, 0, 2, 4), axis=0))
rows("slice", row(normal(5, 4), (1, 2), (3, 2)), row(normal(5, 4), np.int32([4, 0]), (2, 4)))
rows(
    "slice_update", row(normal(5, 4), (1, 2), normal(3, 2)), row(normal(5, 4), np.int32([4, 0]), normal(2, 4))
)
rows("slice_update", row(normal(5, 4), (0, 0), normal(5, 4)))
rows(
    "one_hot",
    row(whole(0, 5, 3), 5),
    row(whole(-1, 6, 3, 2), 5, axis=1),
    row(whole(0, 3, 2), 3, dtype="int32"),
)
rows("one_hot", row(whole(0, 9, 4, dtype="uint8"), 300, keras=False), row(np.float32([0, 1.5, 2]), 3))
rows("multi_hot", row(whole(0, 5, 3, 2), 5), row(whole(0, 5, 3), 5), row(whole(0, 5, 3, 2), 5, dtype="int32"))
rows("unravel_index", row(whole(0, 24, 5), (2, 3, 4)))

# --- scatter ---------------------------------------------------------------------------------------
rows(
    "scatter",
    row(np.int32([[0, 1], [2, 0], [0, 1]]), normal(3), (3, 2)),
    row(np.int32([[1], [-1], [9]]), normal(3, 2), (4, 2)),
)
for reduction in (None, "add", "mul", "max", "min"):
    rows("scatter_update", row(normal(4, 3), np.int32([[0, 1], [3, 2]]), normal(2), reduction=reduction))
    rows(
        "scatter_update", row(whole(1, 9, 4, 3), np.int32([[0], [3]]), whole(1, 9, 2, 3), reduction=reduction)
    )
for reduction in ("add", "mul", "max", "min"):
    rows(
        "scatter_update", row(normal(4), np.int32([[2], [0], [2], [2], [9]]), normal(5), reduction=reduction)
    )
rows(
    "segment_sum segment_max segment_min segment_prod", row(normal(7, 2), np.int32([0, 2, 2, 0, 3, 3, 3]), 5)
)
rows(
    "segment_sum segment_max segment_min segment_prod",
    row(whole(-5, 5, 5), np.int32([0, 0, 2, 2, 2]), 3, sorted=True),
)
rows(
    "bincount",
    row(whole(0, 5, 20), minlength=8),
    row(whole(0, 5, 20), normal(20), minlength=8, tolerance=1e-5),
)
rows("bincount", row(whole(0, 5, 20), traced=False), row(whole(0, 5, 3, 7), minlength=6))

# --- order -----------------------------------------------------------------------------------------
rows(
    "sort argsort",
    row(normal(3, 7)),
    row(whole(0, 3, 3, 7)),
    row(normal(5, 3), 0),
    row(np.float32([2, np.nan, -1, np.inf])),
)
rows("argpartition", row(normal(7), 2, keras=False))
rows("top_k", row(normal(3, 7), 3), row(whole(0, 4, 9), 4), row(normal(3, 7), 1))
rows(
    "in_top_k",
    row(whole(0, 5, 6), normal(6, 5), 2),
    row(np.int32([0, 1]), np.float32([[np.nan, 1], [2, 3]]), 1),
)
for side in ("left", "right"):
    rows(
        "searchsorted", row(np.float32([0, 1, 1, 2, 5]), np.float32([-1, 0, 1, 1.5, 5, 9, np.nan]), side=side)
    )
    rows("searchsorted", row(np.int32([0, 3, 4]), whole(-1, 6, 2, 5), side=side))
rows("digitize", row(normal(9), np.float32([-1, 0, 1])), row(whole(0, 9, 5), np.int32([3, 5])))
rows("histogram", row(normal(50)), row(normal(50), 5, (-1.0, 1.0)), row(np.float32([2, 2])))
rows(
    "unique",
    row(whole(0, 5, 12), traced=False),
    row(whole(0, 2, 6, 2), axis=0, return_counts=True, traced=False),
)
rows("unique", row(whole(0, 5, 12), return_index=True, return_inverse=True, return_counts=True, traced=False))
rows("unique", row(whole(0, 4, 12), size=6, fill_value=-1, return_counts=True, traced=False))

# --- contract --------------------------------------------------------------------------------------
for shapes in (
    ((3, 4), (4, 5)),
    ((4,), (4,)),
    ((4,), (4, 5)),
    ((3, 4), (4,)),
    ((2, 3, 4), (4, 5)),
    ((3, 4), (2, 4, 5)),
):
    rows("matmul dot", row(normal(*shapes[0]), normal(*shapes[1]), tolerance=1e-5))
rows(
    "matmul",
    row(normal(2, 1, 3, 4), normal(5, 4, 2), tolerance=1e-5),
    row(normal(2, 3, 4), normal(4), tolerance=1e-5),
)
rows(
    "matmul",
    row(whole(0, 9, 3, 4), whole(0, 9, 4, 2)),
    row(whole(-99, 99, 3, 9, dtype="int8"), whole(-99, 99, 9, 2, dtype="int8")),
)
rows(
    "matmul",
    row(normal(3, 0), normal(0, 2)),
    row(flags(3, 4), flags(4, 2)),
    row(normal(4), normal(2, 4, 3), tolerance=1e-5),
)
rows("dot", row(normal(2, 3, 4), normal(5, 4, 2), tolerance=1e-5), row(2.0, normal(3)))
rows("tensordot", row(normal(2, 3, 4), normal(3, 4, 5), tolerance=1e-5), row(normal(2, 3), normal(4), 0))
rows("tensordot", row(normal(2, 3, 4), normal(4, 5, 2), axes=([0, 2], [2, 0]), tolerance=1e-5))
rows("inner", row(normal(3, 4), normal(5, 4), tolerance=1e-5), row(normal(4), normal(4), tolerance=1e-5))
rows("vdot", row(normal(3, 4), normal(3, 4), tolerance=1e-5))
rows("outer", row(normal(3), normal(2, 2)), row(whole(0, 9, 3), normal(2)))
rows("kron", row(normal(2, 3), normal(3, 2)), row(normal(2), normal(3, 2)))
rows(
    "cross",
    row(normal(4, 3), normal(4, 3)),
    row(normal(3, 4), normal(3, 4), axis=0),
    row(normal(4, 2), normal(4, 2)),
)
rows("cross", row(normal(3), normal(4, 3)), row(normal(4, 2), normal(4, 3)), row(normal(4, 3), normal(4, 2)))
for subscripts, first, second in (
    ("ij,jk->ik", (3, 4), (4, 5)), ("ij,kj", (3, 4), (5, 4)), ("bij,bjk->bik", (2, 3, 4), (2, 4, 5)),
    ("i,j->ij", (3,), (4,)), ("...ij,...jk->...ik", (2, 3, 4), (1, 4, 5)), ("ij,ij->", (3, 4), (3, 4)),
    ("abc,cd->abd", (2, 3, 4), (4, 5)), ("btnh,bsnh->bnts", (2, 3, 2, 4), (2, 5, 2, 4)),
):  # fmt: skip
    rows("einsum", row(subscripts, normal(*first), normal(*second), tolerance=1e-5))
rows(
    "einsum",
    row("ii->i", normal(3, 3)),
    row("ii", normal(3, 3), tolerance=1e-5),
    row("ij->ji", normal(3, 4)),
    row("ij->", normal(3, 4), tolerance=1e-5),
)
rows(
    "einsum",
    row("ij,jk,kl->il", normal(2, 3), normal(3, 4), normal(4, 5), tolerance=1e-5),
    row("i...->...", normal(3, 4), tolerance=1e-5),
)
for mode in ("valid", "same", "full"):
    rows(
        "correlate",
        row(normal(7), normal(3), mode=mode, tolerance=1e-5),
        row(normal(3), normal(6), mode=mode, tolerance=1e-5),
    )
rows("extract_sequences", row(normal(2, 9), 4, 2))

# --- numerics --------------------------------------------------------------------------------------
rows("diff", row(normal(3, 5)), row(normal(5, 3), 2, 0), row(whole(0, 9, 5)))
rows(
    "trapezoid",
    row(normal(3, 5), tolerance=1e-5),
    row(normal(5), np.float32([0, 1, 3, 4, 8]), tolerance=1e-5),
    row(normal(3, 5), dx=0.5, axis=0, tolerance=1e-5),
)
rows("norm", row(normal(3, 4)), row(normal(3, 4), axis=1), row(normal(3, 4), axis=1, keepdims=True))
for order in (1, 2, 3, 0, np.inf, -np.inf):
    rows("norm", row(normal(3, 4), ord=order, axis=1), row(normal(3, 4), ord=order, axis=0, keepdims=True))
for order in ("fro", 1, -1, np.inf, -np.inf):
    rows(
        "norm",
        row(normal(3, 4), ord=order),
        row(normal(2, 3, 4), ord=order, axis=(0, 2), keepdims=True),
        row(normal(2, 3, 4), ord=order, axis=(2, 1)),
    )
rows(
    "normalize",
    row(normal(3, 4)),
    row(normal(3, 4), axis=0, order=1),
    row(normal(3, 4), order=3),
    row(np.zeros((2, 2), np.float32)),
)
rows(
    "cdist",
    row(normal(3, 4), normal(5, 4), tolerance=1e-5),
    row(normal(2, 3, 4), normal(2, 5, 4), tolerance=1e-5),
)
rows("corrcoef", row(normal(3, 9), tolerance=1e-5))
rows("psnr", row(between(0, 1, 2, 5), between(0, 1, 2, 5), 1.0, tolerance=1e-5))

# --- activations, losses, normalisation ------------------------------------------------------------
rows(
    "relu relu6 leaky_relu hard_sigmoid hard_tanh hard_silu hard_swish hard_shrink soft_shrink sparse_plus "
    "sparse_sigmoid sigmoid log_sigmoid softplus squareplus softsign tanh_shrink silu swish gelu elu celu "
    "selu",
    row(normal(3, 5)),
    row(between(-90, 90, 20), tolerance=4e-6),
    row(np.float32([0.0, 1.0, -1.0, 0.5, -0.5, 3.0, -3.0])),
)
rows("leaky_relu", row(normal(5), 0.3))
rows("hard_shrink soft_shrink", row(normal(9), 0.2))
rows("squareplus", row(normal(9), 1))
rows("gelu", row(normal(9), approximate=False))
rows("elu celu", row(normal(9), 0.5))
rows("threshold", row(normal(9), 0.1, 5.0))
rows("glu", row(normal(3, 6)), row(normal(4, 3), 0))
rows(
    "softmax log_softmax",
    row(normal(3, 5)),
    row(normal(3, 5), 0),
    row(np.float32([[1e4, 0, -1e4]])),
    row(normal(2, 3, 4), axis=(1, 2)),
)
rows("softmax log_softmax", row(normal(0, 5)))
rows("sparsemax", row(normal(3, 5), keras=False), row(normal(3, 5), 0, keras=False))
rows(
    "binary_crossentropy",
    row(between(0, 1, 4, 3), between(0, 1, 4, 3)),
    row(whole(0, 2, 4), between(0, 1, 4)),
    row(np.float32([0, 1]), np.float32([1, 0]), tolerance=1e-5),
)
rows(
    "binary_crossentropy",
    row(between(0, 1, 4, 3), normal(4, 3), from_logits=True),
    row(np.float32([0, 1, 0, 1]), np.float32([200, -200, -200, 0]), from_logits=True),
)
rows(
    "categorical_crossentropy",
    row(probabilities(4, 3), probabilities(4, 3)),
    row(probabilities(4, 3), normal(4, 3), from_logits=True),
)
rows("categorical_crossentropy", row(probabilities(4, 3), between(0.1, 1, 4, 3), axis=0))
rows(
    "sparse_categorical_crossentropy",
    row(whole(0, 3, 4), probabilities(4, 3)),
    row(whole(0, 3, 4), normal(4, 3), from_logits=True),
)
rows(
    "sparse_categorical_crossentropy",
    row(whole(0, 3, 4, 1), between(0.1, 1, 4, 3)),
    row(whole(0, 3, 2, 4), normal(2, 4, 3), from_logits=True),
)
rows("moments", row(normal(3, 5), 0), row(normal(3, 5, 2), (0, 2), keepdims=True))
rows(
    "layer_normalization",
    row(normal(3, 5), tolerance=1e-5),
    row(normal(3, 5), normal(5), normal(5), tolerance=1e-5),
)
rows("layer_normalization", row(normal(2, 3, 5), normal(3), normal(3), axis=1, epsilon=0.1, tolerance=1e-5))
rows("rms_normalization", row(normal(3, 5)), row(normal(3, 5), normal(5), epsilon=0.1))
rows(
    "batch_normalization",
    row(normal(3, 5), normal(5), between(0.5, 2, 5), 1, normal(5), normal(5), tolerance=1e-5),
)
rows("batch_normalization", row(normal(3, 5, 2), normal(5), between(0.5, 2, 5), 1, tolerance=1e-5))
rows("dot_product_attention", row(normal(2, 3, 4, 8), normal(2, 5, 4, 8), normal(2, 5, 4, 8), tolerance=1e-5))
rows(
    "dot_product_attention",
    row(normal(2, 3, 4, 8), normal(2, 3, 2, 8), normal(2, 3, 2, 8), is_causal=True, tolerance=1e-5),
)
rows(
    "dot_product_attention",
    row(
        normal(1, 3, 2, 4),
        normal(1, 3, 2, 4),
        normal(1, 3, 2, 4),
        bias=np.ones((1, 2, 3, 3), np.float32),
        mask=np.tri(3, dtype=bool)[None, None],
        scale=0.3,
        tolerance=1e-5,
    ),
)

# --- conversion ------------------------------------------------------------------------------------
rows(
    "convert_to_tensor",
    row(normal(3)),
    row([1, 2]),
    row([1.0, 2.0]),
    row([True]),
    row(3),
    row(2.5),
    row([[1, 2.0]], dtype="float16"),
)
rows(
    "cast",
    row(normal(5), "int32"),
    row(whole(-9, 9, 5), "float32"),
    row(normal(5), "bool"),
    row(normal(5), "float16"),
)
rows(
    "saturate_cast",
    row(np.float32([-300, 2.7, 300]), "uint8"),
    row(whole(-999, 999, 5), "int8"),
    row(np.float32([1e9, -1e9]), "float16"),
)
rows("stop_gradient", row(normal(3)))
