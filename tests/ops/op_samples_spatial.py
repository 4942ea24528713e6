"""Sample rows of convolutions, pooling and patches; `op_samples` has all."""

from __future__ import annotations

from op_rows import ROWS, normal, row, rows, whole

__all__ = ["ROWS"]

FIRST = "channels_first"

# --- convolution -----------------------------------------------------------------------------------
rows(
    "conv",
    row(normal(2, 9, 3), normal(3, 3, 5)),
    row(normal(2, 9, 3), normal(4, 3, 5), 2, "same"),
    row(normal(2, 9, 3), normal(3, 3, 5), 1, "same", dilation_rate=3),
    row(normal(2, 8, 7, 3), normal(3, 3, 3, 4)),
    row(normal(2, 8, 7, 3), normal(3, 2, 3, 4), (2, 3), "SAME"),
    row(normal(2, 8, 7, 4), normal(1, 3, 2, 6), padding="valid"),
    row(normal(2, 8, 7, 1), normal(3, 3, 1, 4), padding="same", dilation_rate=(2, 1)),
    row(normal(2, 3, 8, 7), normal(3, 3, 3, 4), 2, "same", FIRST),
    row(normal(1, 4, 5, 6, 2), normal(2, 3, 2, 2, 3), padding="same"),
    row(normal(1, 4, 5, 6, 2), normal(2, 2, 2, 2, 3), (1, 2, 2)),
    row(whole(0, 255, 2, 6, 6, 3, dtype="uint8"), normal(3, 3, 3, 4), judge="jax", tolerance=2e-4),
    row(normal(2, 9, 3), normal(3, 3, 5), padding=((2, 0),), judge=None),
    row(normal(2, 9, 3), normal(3, 3, 5), padding="causal", dilation_rate=2, judge=None),
)
rows(
    "depthwise_conv",
    row(normal(2, 9, 3), normal(3, 3, 2)),
    row(normal(2, 8, 7, 3), normal(3, 3, 3, 1), 2, "same"),
    row(normal(2, 8, 7, 3), normal(2, 3, 3, 4), padding="same", dilation_rate=2),
    row(normal(2, 3, 8, 7), normal(3, 3, 3, 2), data_format=FIRST),
)
rows(
    "separable_conv",
    row(normal(2, 9, 3), normal(3, 3, 2), normal(1, 6, 4)),
    row(normal(2, 8, 7, 3), normal(3, 3, 3, 1), normal(1, 1, 3, 5), 2, "same"),
    row(normal(2, 3, 8, 7), normal(3, 3, 3, 2), normal(1, 1, 6, 2), data_format=FIRST),
)
rows(
    "conv_transpose",
    row(normal(2, 5, 3), normal(3, 4, 3)),
    row(normal(2, 5, 3), normal(3, 4, 3), 2, "same"),
    row(normal(2, 5, 3), normal(2, 4, 3), 3, "valid"),
    row(normal(2, 5, 3), normal(3, 4, 3), 2, "same", 0),
    row(normal(2, 5, 3), normal(4, 4, 3), 2, "same", 1),
    row(normal(2, 5, 3), normal(3, 4, 3), 2, "valid", 1),
    row(normal(2, 5, 3), normal(3, 4, 3), 1, "valid", 3),
    row(normal(2, 5, 3), normal(3, 4, 3), 1, "same", dilation_rate=2),
    row(normal(2, 4, 5, 3), normal(3, 3, 4, 3), (2, 1), "same"),
    row(normal(2, 4, 5, 3), normal(2, 2, 4, 3), 2, "valid", (0, 1)),
    row(normal(2, 3, 4, 5), normal(3, 3, 4, 3), 2, "same", data_format=FIRST),
    row(normal(1, 2, 3, 2, 2), normal(2, 2, 3, 3, 2), 2, "same"),
)

# --- pooling ---------------------------------------------------------------------------------------
for _name in ("max_pool", "average_pool"):
    rows(
        _name,
        row(normal(2, 9, 3), 2, 2),
        row(
            normal(2, 9, 3), 2, judge=None
        ),  # by default windows touch, which fails in Keras on NumPy and JAX
        row(normal(2, 9, 3), 3, 2, "same"),
        row(normal(2, 9, 3), 3, 1, "SAME"),
        row(normal(2, 8, 7, 3), 2, 2),
        row(normal(2, 8, 7, 3), (2, 3), (1, 2), "same"),
        row(normal(2, 3, 8, 7), 3, 3, "same", FIRST),
        row(normal(1, 4, 5, 6, 2), (2, 2, 3), 2, "same"),
        row(normal(1, 5, 5, 2), 1, 2),
    )
rows("max_pool", row(whole(-9, 9, 2, 8, 7, 3), 2, judge=None))
for _name in ("adaptive_average_pool", "adaptive_max_pool"):
    rows(
        _name,
        row(normal(2, 12, 3), 4),
        row(normal(2, 11, 3), 4),
        row(normal(2, 9, 7, 3), (4, 7)),
        row(normal(2, 6, 8, 3), (3, 2)),
        row(normal(2, 3, 9, 7), 5, FIRST),
        row(normal(2, 3, 4, 3), (5, 4), judge=None),
        row(normal(1, 5, 6, 4, 2), (2, 4, 3)),
    )

# --- patches ---------------------------------------------------------------------------------------
rows(
    "unfold",
    row(normal(2, 3, 6, 7), 2),
    row(normal(2, 3, 6, 6), 3, stride=3),
    row(normal(2, 2, 6, 7), (2, 3), (2, 1), (1, 0), (1, 2)),
)
rows(
    "fold",
    row(normal(2, 12, 30), (6, 7), 2),
    row(normal(2, 8, 4), 4, 2, stride=2),
    row(normal(2, 12, 18), (6, 7), (2, 3), (2, 1), (1, 0), (1, 2)),
)
rows(
    "extract_patches",
    row(normal(2, 8, 7, 3), 2),
    row(normal(8, 7, 3), (3, 2), 1, padding="same"),
    row(normal(2, 8, 7, 3), 3, 1, 2),
    row(normal(2, 3, 8, 7), (2, 3), data_format=FIRST),
    row(normal(1, 4, 4, 6, 2), (2, 2, 3)),
)
rows(
    "extract_patches_3d", row(normal(2, 4, 4, 6, 2), 2), row(normal(4, 4, 6, 1), (2, 3, 2), 1, padding="same")
)
