"""Sample rows of convolutions, pooling and patches; `op_samples` has all."""

from __future__ import annotations

import numpy as np
from op_rows import ROWS, between, normal, row, rows, whole

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

# --- resizing --------------------------------------------------------------------------------------
for _way in ("nearest", "bilinear", "bicubic", "lanczos3", "lanczos5"):
    rows(
        "resize",
        row(normal(2, 5, 6, 3), (10, 12), _way, tolerance=2e-5, judge="jax"),
        row(normal(2, 9, 7, 2), (4, 11), _way, tolerance=2e-5, judge="jax"),
        row(normal(2, 9, 7, 2), (4, 3), _way, True, tolerance=2e-5, judge="jax"),
        row(whole(0, 256, 9, 7, 3, dtype="uint8"), (4, 11), _way, judge="jax"),
    )
rows(
    "resize",
    row(normal(2, 3, 9, 7), (4, 5), data_format=FIRST, judge="jax", tolerance=2e-5),
    row(normal(2, 9, 7, 1), (4, 5), crop_to_aspect_ratio=True, judge="jax", tolerance=2e-5),
    row(normal(2, 4, 9, 1), (8, 5), crop_to_aspect_ratio=True, judge="jax", tolerance=2e-5),
    row(normal(2, 9, 4, 1), (5, 6), pad_to_aspect_ratio=True, fill_value=2.0, judge="jax", tolerance=2e-5),
    row(normal(4, 9, 1), (5, 6), pad_to_aspect_ratio=True, judge="jax", tolerance=2e-5),
)
for _way in ("linear", "cubic", "lanczos3"):
    rows(
        "scale_and_translate",
        row(
            normal(2, 9, 7, 3), (2, 6, 8, 3), np.float32([0.6, 1.3]), np.float32([0.4, -1.0]), (1, 2), _way,
            judge="jax", tolerance=2e-5,
        ),
    )  # fmt: skip
rows(
    "scale_and_translate",
    row(normal(9, 7), (9, 4), np.float32([0.5]), np.float32([0.0]), (-1,), "bilinear", False, judge="jax"),
)

# --- colours ---------------------------------------------------------------------------------------
rows(
    "rgb_to_grayscale",
    row(between(0, 1, 2, 4, 5, 3), judge="jax"),
    row(normal(2, 4, 5, 1), judge="jax"),
    row(whole(0, 256, 4, 5, 3, dtype="uint8"), judge="jax"),
    row(normal(2, 3, 4, 5), FIRST, judge="jax"),
)
rows("rgb_to_hsv hsv_to_rgb", row(between(0, 1, 2, 4, 5, 3), judge="jax", tolerance=1e-5))
rows(
    "rgb_to_hsv hsv_to_rgb",
    row(np.zeros((1, 2, 3), np.float32)),
    row(between(0, 1, 3, 4, 5), FIRST, judge="jax"),
)
rows(
    "rgb_to_hsv", row(np.float32([[[0.5, 0.5, 0.5], [1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0], [1, 0, 1]]]))
)

# --- filters ---------------------------------------------------------------------------------------
rows(
    "gaussian_blur",
    row(normal(2, 6, 7, 3), data_format="channels_last", judge="jax"),
    row(normal(6, 7, 2), (5, 3), (1.5, 0.5), "channels_last", judge="jax"),
    row(normal(2, 2, 6, 7), (3, 5), (1.5, 0.5), FIRST, judge="jax"),
)
rows("sobel_edges", row(normal(2, 6, 7, 3), judge="jax"), row(normal(2, 3, 6, 7), FIRST, judge="jax"))
rows(
    "ssim",
    row(between(0, 1, 2, 14, 13, 3), between(0, 1, 2, 14, 13, 3), tolerance=2e-5),
    row(between(0, 1, 8, 9, 1), between(0, 1, 8, 9, 1), 2.0, 5, 1.0, tolerance=2e-5),
)

# --- frames ----------------------------------------------------------------------------------------
rows(
    "pad_images",
    row(normal(2, 5, 6, 3), 1, 2, 3, 4),
    row(normal(5, 6, 3), 1, None, None, 2, 8, 9),
    row(normal(2, 3, 5, 6), 1, 2, 0, 0, data_format=FIRST),
)
rows(
    "crop_images",
    row(normal(2, 8, 9, 3), 1, 2, 3, 4),
    row(normal(8, 9, 3), None, 2, 1, None, 4, 5),
    row(normal(2, 3, 8, 9), 1, 2, 0, 0, data_format=FIRST),
)

# --- warping ---------------------------------------------------------------------------------------
AFFINE = np.float32([[1, 0.2, -0.7, 0.1, 0.8, 0.3, 0, 0], [0.5, 0, 1.2, 0, 1.5, -2, 0, 0]])
for _mode in ("constant", "nearest", "wrap", "mirror", "reflect"):
    rows(
        "map_coordinates",
        *(
            row(normal(5, 6), between(-9, 14, 2, 3, 7), order, _mode, 0.5, judge="jax", tolerance=1e-5)
            for order in (0, 1)
        ),
    )
    rows(
        "affine_transform",
        row(
            normal(2, 5, 6, 3), AFFINE,
            "bilinear", _mode, 0.25, judge="jax", tolerance=1e-4,
        ),
    )  # fmt: skip
rows(
    "map_coordinates",
    row(normal(4, 5, 3), between(0, 2, 3, 6), 1, judge="jax", tolerance=1e-5),
    row(whole(0, 90, 4, 5), between(0, 3, 2, 6), 1, judge="jax"),
    row(normal(1, 5), between(-3, 4, 2, 6), 1, "mirror", judge=None),
)
rows(
    "affine_transform",
    row(normal(5, 6, 3), np.float32([1, 0, 1.4, 0, 1, -0.6, 0, 0]), "nearest", judge="jax"),
    row(
        normal(1, 3, 5, 6),
        np.float32([1, 0, 1.3, 0, 1, -0.6, 0, 0]),
        data_format=FIRST,
        judge="jax",
        tolerance=1e-5,
    ),
)
CORNERS = np.float32([[0, 0], [6, 0], [0, 5], [6, 5]])
MOVED = np.float32([[1, 0.5], [5, 0], [0.3, 4], [6, 5.2]])
rows(
    "perspective_transform",
    row(normal(5, 6, 3), CORNERS, MOVED, judge="jax", tolerance=2e-4),
    row(
        normal(2, 5, 6, 1),
        np.stack([CORNERS, MOVED]),
        np.stack([MOVED, CORNERS]),
        judge="jax",
        tolerance=2e-4,
    ),
    row(normal(1, 2, 5, 6), CORNERS, MOVED, "nearest", 1.5, FIRST, judge="jax"),
)
rows(
    "elastic_transform",
    row(normal(2, 8, 9, 3), 5.0, 1.0, seed=3, judge=None),
    row(normal(8, 9, 1), seed=1, judge=None),
)
