"""Sample rows: how to call every op. `ROWS[name]` is a list of Rows; the tests run each through Keras too.

Here are the ops that compute; `op_samples_shaped` has those that move, make, index and contract,
`op_samples_spatial` those on images.
"""

from __future__ import annotations

import numpy as np
from op_rows import between, flags, normal, probabilities, row, rows, special, whole, with_nan
from op_samples_linear import ROWS as LINEAR_ROWS
from op_samples_shaped import ROWS
from op_samples_spatial import ROWS as SPATIAL_ROWS

assert SPATIAL_ROWS is LINEAR_ROWS is ROWS  # importing them adds their rows

__all__ = ["ROWS"]

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
rows("where", row(flags(2, 3), traced=False, judge="jax"))
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
rows("sparsemax", row(normal(3, 5), judge=None), row(normal(3, 5), 0, judge=None))
rows(
    "binary_crossentropy",
    row(between(0, 1, 4, 3), between(0, 1, 4, 3)),
    row(whole(0, 2, 4), between(0, 1, 4), judge="jax"),
    row(np.float32([0, 1]), np.float32([1, 0]), tolerance=1e-5),
)
rows(
    "binary_crossentropy",
    row(between(0, 1, 4, 3), normal(4, 3), from_logits=True),
    row(np.float32([0, 1, 0, 1]), np.float32([200, -200, -200, 0]), from_logits=True, judge="jax"),
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
    row(
        normal(2, 3, 4, 8),
        normal(2, 3, 2, 8),
        normal(2, 3, 2, 8),
        is_causal=True,
        tolerance=1e-5,
        judge="jax",
    ),
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
