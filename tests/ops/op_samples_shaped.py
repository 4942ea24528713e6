"""Sample rows of the ops that move, make, index, scatter, order and contract; `op_samples` has all."""

from __future__ import annotations

import numpy as np
from op_rows import ROWS, flags, given, normal, row, rows, whole

__all__ = ["ROWS"]

# --- move ------------------------------------------------------------------------------------------
rows("reshape", row(normal(3, 4), (2, -1)), row(normal(3, 4), -1), row(normal(1), ()))
rows("ravel copy array", row(normal(3, 4)))
rows("expand_dims", row(normal(3, 4), 1), row(normal(3, 4), -1), row(normal(3, 4), (0, 2)))
rows("real imag conjugate conj", row(normal(2, 3)))
rows("angle", row(np.float32([1, -2, 0, np.nan])), row(whole(-3, 3, 5)))
rows("rearrange", row(normal(2, 6, 3), "b (h w) c -> b c h w", h=2), row(normal(2, 3), "a b -> (b a)"))
rows(
    "rearrange",
    row(normal(2, 1, 3), "a 1 b -> b () a", judge=None),
    row(normal(4, 6), "(a b) (c d) -> a c (b d)", a=2, d=3),
)
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
rows("empty", row((2, 3), judge=None))
rows("zeros_like ones_like", row(normal(2, 3)), row(whole(0, 3, 2)), row(normal(2), dtype="int32"))
rows("empty_like", row(normal(2, 3), judge=None))
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
rows("linspace", row(0.0, 1.0, 5, retstep=True, judge="jax"), row(2.0, 3.0, 1))
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
rows("slice", row(normal(5, 4), (1, 2), (3, 2)), row(normal(5, 4), np.int32([4, 0]), (2, 4), judge="jax"))
rows(
    "slice_update",
    row(normal(5, 4), (1, 2), normal(3, 2)),
    row(normal(5, 4), np.int32([4, 0]), normal(2, 4), judge="jax"),
)
rows("slice_update", row(normal(5, 4), (0, 0), normal(5, 4)))
rows(
    "one_hot",
    row(whole(0, 5, 3), 5),
    row(whole(-1, 6, 3, 2), 5, axis=1, judge="jax"),
    row(whole(0, 3, 2), 3, dtype="int32"),
)
rows(
    "one_hot",
    row(whole(0, 9, 4, dtype="uint8"), 300, judge=None),
    row(np.float32([0, 1.5, 2]), 3, judge="jax"),
)
rows("multi_hot", row(whole(0, 5, 3, 2), 5), row(whole(0, 5, 3), 5), row(whole(0, 5, 3, 2), 5, dtype="int32"))
rows("unravel_index", row(whole(0, 24, 5), (2, 3, 4)))

# --- scatter ---------------------------------------------------------------------------------------
rows(
    "scatter",
    row(np.int32([[0, 1], [2, 0], [0, 1]]), normal(3), (3, 2)),
    row(np.int32([[1], [-1], [9]]), normal(3, 2), (4, 2), judge="jax"),
)
for reduction in (None, "add", "mul", "max", "min"):
    rows("scatter_update", row(normal(4, 3), np.int32([[0, 1], [3, 2]]), normal(2), reduction=reduction))
    rows(
        "scatter_update", row(whole(1, 9, 4, 3), np.int32([[0], [3]]), whole(1, 9, 2, 3), reduction=reduction)
    )
for reduction in ("add", "mul", "max", "min"):
    rows(
        "scatter_update",
        row(normal(4), np.int32([[2], [0], [2], [2], [9]]), normal(5), reduction=reduction, judge="jax"),
    )
rows(
    "segment_sum segment_max segment_min segment_prod", row(normal(7, 2), np.int32([0, 2, 2, 0, 3, 3, 3]), 5)
)
rows(
    "segment_sum segment_max segment_min segment_prod",
    row(whole(-5, 5, 5), np.int32([0, 0, 2, 2, 2]), 3, sorted=True, judge="jax"),
)
rows(
    "bincount",
    row(whole(0, 5, 20), minlength=8),
    row(whole(0, 5, 20), normal(20), minlength=8, tolerance=1e-5),
)
rows("bincount", row(whole(0, 5, 20), traced=False), row(whole(0, 5, 3, 7), minlength=6))

# --- sequences -------------------------------------------------------------------------------------
rows(
    "ctc_loss",
    row(whole(1, 5, 3, 4), normal(3, 9, 5), np.int32([4, 2, 3]), np.int32([9, 8, 9]), tolerance=1e-4),
)
rows(
    "ctc_decode",
    row(normal(3, 7, 4), np.int32([7, 5, 3])),
    row(normal(2, 3, 4), np.int32([3, 3]), mask_index=2),
)

# --- control ---------------------------------------------------------------------------------------
rows(
    "scan",
    row(given(lambda c, x: (c + x, c * x)), normal(3), normal(5, 3)),
    row(given(lambda c, x: (c * 0.5 + x, (c, x))), normal(), normal(4), reverse=True),
    row(
        given(lambda c, x: ([c[0] + x["a"], c[1] * 2.0], c[0])),
        [normal(2), normal(2)],
        lambda rng: {"a": rng.standard_normal((3, 2)).astype("float32")},
    ),
    row(given(lambda c, x: (c + 1.0, c)), normal(2), None, 4),
)
rows("map", row(given(lambda x: x * x + 1.0), normal(4, 3)))
rows("vectorized_map", row(given(lambda x: x * 2.0), normal(4, 3)))
rows(
    "while_loop",
    row(given(lambda i, x: i < 4), given(lambda i, x: (i + 1, x * 2.0)), (np.int32(0), np.float32([1, 2]))),
)
rows(
    "while_loop",
    row(given(lambda x: x < 9.0), given(lambda x: x * 2.0 + 1.0), (np.float32(1),), 2),
)
rows(
    "fori_loop",
    row(1, 5, given(lambda i, x: x * 0.5 + 1.0), normal(3)),
    row(3, 1, given(lambda i, x: x + 1.0), normal(3)),
)
rows("cond", row(np.array(True), given(lambda: np.float32(1)), given(lambda: np.float32(2))))
rows("cond", row(np.array(False), given(lambda: np.float32([1, 3])), given(lambda: np.float32([2, 4]))))
for index in (0, 1, 2):
    rows(
        "switch",
        row(
            np.int32(index),
            [given(lambda x: x + 1.0), given(lambda x: x * 2.0), given(lambda x: -x)],
            normal(3),
        ),
    )
for reverse in (False, True):
    rows(
        "associative_scan",
        *(
            row(given(lambda a, b: a + b), normal(length, 2), reverse=reverse, judge="jax")
            for length in (1, 2, 3, 8, 9)
        ),
        row(given(lambda a, b: a * b), normal(2, 5), reverse=reverse, axis=1, judge="jax"),
    )

# --- order -----------------------------------------------------------------------------------------
rows(
    "sort argsort",
    row(normal(3, 7)),
    row(whole(0, 3, 3, 7), judge="jax"),
    row(normal(5, 3), 0),
    row(np.float32([2, np.nan, -1, np.inf])),
)
rows("argpartition", row(normal(7), 2, judge=None))
rows("top_k", row(normal(3, 7), 3, judge="jax"), row(whole(0, 4, 9), 4, judge="jax"))
rows("top_k", row(normal(3, 7), 1, judge="jax"))
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
rows("histogram", row(normal(50), judge="jax"), row(normal(50), 5, (-1.0, 1.0), judge="jax"))
rows("histogram", row(np.float32([2, 2]), judge="jax"))
rows(
    "unique",
    row(whole(0, 5, 12), traced=False),
    row(whole(0, 2, 6, 2), axis=0, return_counts=True, traced=False, judge="jax"),
)
rows(
    "unique",
    row(
        whole(0, 5, 12), return_index=True, return_inverse=True, return_counts=True, traced=False, judge="jax"
    ),
    row(whole(0, 4, 12), size=6, fill_value=-1, return_counts=True, traced=False, judge="jax"),
)

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
