"""Filters of images: blur, edges, and a similarity that is made of blurs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from lamina.core.errors import ShapeError
from lamina.ir import primitives as p
from lamina.ops.arithmetic import add, divide, multiply, subtract
from lamina.ops.convert import as_float, as_tensor, dtype_of
from lamina.ops.convolution import depthwise_conv
from lamina.ops.create import arange
from lamina.ops.join import stack
from lamina.ops.math import exp, square
from lamina.ops.reduce import mean
from lamina.ops.registry import op
from lamina.ops.spatial import batch_of_images, per_axis


@op
def gaussian_blur(
    images: Any,
    kernel_size: int | Sequence[int] = (3, 3),
    sigma: Any = (1.0, 1.0),
    data_format: str | None = None,
) -> Any:
    """Images blurred by a Gaussian, with zeros around them.

    kernel_size, sigma: (across the width, across the height); sigma may be traced. Images are floats.
    """
    x, restore = batch_of_images(images, data_format)
    across, down = per_axis(kernel_size, 2, "kernel_size")
    widths = as_tensor(sigma, dtype_of(as_float(x)))
    x = as_float(x)
    blurred = _along(x, gaussian(across, widths[0], dtype_of(x)), 2, "same")
    return restore(_along(blurred, gaussian(down, widths[1], dtype_of(x)), 1, "same"))


def gaussian(size: int, sigma: Any, dtype: str) -> Any:
    """`size` weights of a Gaussian around its middle, which sum to 1."""
    distance = divide(subtract(arange(size, dtype=dtype), (size - 1) / 2), sigma)
    weights = exp(multiply(-0.5, square(distance)))
    return divide(weights, p.reduce_sum(weights, axes=(0,)))


def _along(x: Any, weights: Any, axis: int, padding: str) -> Any:
    """Every channel of [batch, height, width, channels] filtered along one axis."""
    size, channels = weights.shape[0], x.shape[-1]
    shape = [1, 1, channels, 1]
    shape[axis - 1] = size
    kernel = p.broadcast(weights, shape=tuple(shape), axes=(axis - 1,))
    return depthwise_conv(x, kernel, padding=padding)


@op
def sobel_edges(images: Any, data_format: str | None = None) -> Any:
    """How steep images are, downwards and to the right: [batch, height, width, channels, 2].

    With zeros around the images.
    """
    x, restore = batch_of_images(images, data_format)
    if len(as_tensor(images).shape) != 4:
        raise ShapeError(f"sobel_edges works on a batch of images, got shape {as_tensor(images).shape}.")
    x = as_float(x)
    smooth, slope = (as_tensor(np.array(taps), dtype_of(x)) for taps in ([1.0, 2.0, 1.0], [-1.0, 0.0, 1.0]))
    down = _along(_along(x, slope, 1, "same"), smooth, 2, "same")
    right = _along(_along(x, slope, 2, "same"), smooth, 1, "same")
    return stack([restore(down), restore(right)], axis=-1)


@op
def ssim(
    image1: Any,
    image2: Any,
    max_val: float = 1.0,
    filter_size: int = 11,
    filter_sigma: float = 1.5,
    k1: float = 0.01,
    k2: float = 0.03,
    data_format: str | None = None,
) -> Any:
    """The structural similarity of images: 1 for equal ones; one number per image.

    Wang, Bovik, Sheikh and Simoncelli, "Image quality assessment: from error visibility to structural
    similarity" (2004). max_val: the largest value that a pixel can have.
    """
    first, _ = batch_of_images(image1, data_format)
    second, _ = batch_of_images(image2, data_format)
    if first.shape != second.shape:
        raise ShapeError(
            "ssim compares images of one shape.", got=f"{tuple(first.shape)} and {tuple(second.shape)}"
        )
    kind = dtype_of(as_float(first))
    first, second = as_tensor(first, kind), as_tensor(second, kind)
    weights = gaussian(per_axis(filter_size, 1, "filter_size")[0], filter_sigma, kind)

    def local(x: Any) -> Any:
        return _along(_along(x, weights, 1, "valid"), weights, 2, "valid")

    mean1, mean2 = local(first), local(second)
    both, squares = multiply(mean1, mean2), add(square(mean1), square(mean2))
    variances = subtract(add(local(square(first)), local(square(second))), squares)
    covariance = subtract(local(multiply(first, second)), both)
    small1, small2 = (k1 * max_val) ** 2, (k2 * max_val) ** 2
    similarity = divide(
        multiply(add(multiply(2.0, both), small1), add(multiply(2.0, covariance), small2)),
        multiply(add(squares, small1), add(variances, small2)),
    )
    per_image = as_tensor(mean(similarity, axis=(1, 2, 3)), dtype_of(as_tensor(image1)))
    return per_image if len(as_tensor(image1).shape) == 4 else per_image[0]
