"""Resizing of images. Every interpolation is, per axis, a product with a matrix of weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import numpy as np

from lamina.core import dtypes
from lamina.core.errors import ArgumentError, ShapeError, unknown_name
from lamina.ir import primitives as p
from lamina.ir.trace import Tensor
from lamina.ops.arithmetic import add, divide, maximum, multiply, subtract
from lamina.ops.convert import as_float, as_tensor, dtype_of, lift, saturate_cast
from lamina.ops.logic import less, less_equal, logical_and, where
from lamina.ops.math import absolute, round, sin
from lamina.ops.move import pad, slice_axis
from lamina.ops.registry import op
from lamina.ops.spatial import batch_of_images, per_axis

# --- kernels: the weight of an element at distance x of the sample -----------------------------------


def _triangle(x: Any) -> Any:
    return maximum(subtract(1, x), 0)


def _cubic(x: Any) -> Any:
    """Keys, "Cubic convolution interpolation for digital image processing" (1981), with a = -1/2."""
    near = add(multiply(multiply(subtract(multiply(1.5, x), 2.5), x), x), 1)
    far = add(multiply(subtract(multiply(add(multiply(-0.5, x), 2.5), x), 4), x), 2)
    return where(less(x, 1), near, where(less(x, 2), far, 0.0))


def _lanczos(radius: float) -> Callable[[Any], Any]:
    def kernel(x: Any) -> Any:
        angle = multiply(np.pi, x)
        product = multiply(radius, multiply(sin(angle), sin(divide(angle, radius))))
        apart = where(less(1e-3, x), divide(product, where(less(1e-3, x), multiply(angle, angle), 1.0)), 1.0)
        return where(less_equal(x, radius), apart, 0.0)

    return kernel


KERNELS: dict[str, Callable[[Any], Any]] = {
    **dict.fromkeys(("linear", "bilinear", "trilinear"), _triangle),
    **dict.fromkeys(("cubic", "bicubic", "tricubic"), _cubic),
    "lanczos3": _lanczos(3.0),
    "lanczos5": _lanczos(5.0),
}
INTERPOLATIONS = ("nearest", "bilinear", "bicubic", "lanczos3", "lanczos5")


def _weights(extent: int, count: int, scale: Any, shift: Any, method: str, antialias: bool) -> Any:
    """[count, extent]: what each element of an axis counts at each place of its result.

    Place i samples the axis at (i + 1/2 - shift) / scale - 1/2. Antialiasing widens the kernel when the axis
    shrinks, so that no element is passed over. Weights sum to 1; samples outside the axis are 0.
    """
    back = divide(1.0, scale)
    # As arrays: where scale and shift are known, the weights are a constant of the program.
    centres, elements = (as_tensor(np.arange(length, dtype=np.float32)) for length in (count, extent))
    samples = subtract(multiply(subtract(add(centres, 0.5), shift), back), 0.5)
    widened = maximum(back, 1.0) if antialias else 1.0
    distances = absolute(subtract(samples[:, None], elements))
    weights = KERNELS[method](divide(distances, widened))
    total = p.reduce_sum(weights, axes=(1,))[:, None]
    is_far = less(absolute(total), 1e-4)
    weights = where(is_far, 0.0, divide(weights, where(is_far, 1.0, total)))
    inside = logical_and(less_equal(-0.5, samples), less_equal(samples, extent - 0.5))
    return where(inside[:, None], weights, 0.0)


def weighted(x: Any, weights: Any, axis: int) -> Any:
    """x with its elements along `axis` replaced by sums of them, with weights [results, elements]."""
    matrix = as_tensor(weights, dtype_of(x))
    if isinstance(x, Tensor):
        matrix = lift(matrix)  # so that the repeated matrix is a broadcast, and not a constant of that size
    before, after = x.shape[:axis], x.shape[axis + 1 :]
    lines = p.reshape(x, shape=(prod(before), x.shape[axis], prod(after)))
    spread = p.broadcast(matrix, shape=(prod(before), *matrix.shape), axes=(1, 2))
    product = p.dot(spread, lines, contract=((2,), (1,)), batch=((0,), (0,)))
    return p.reshape(product, shape=(*before, matrix.shape[0], *after))


def nearest(x: Any, count: int, axis: int) -> Any:
    """x with `count` places along `axis`, each a copy of the element whose middle is nearest."""
    extent = x.shape[axis]
    if count == extent:
        return x
    if extent and count % extent == 0:
        copies = (*x.shape[: axis + 1], count // extent, *x.shape[axis + 1 :])
        axes = tuple(position for position in range(len(copies)) if position != axis + 1)
        result = (*x.shape[:axis], count, *x.shape[axis + 1 :])
        return p.reshape(p.broadcast(x, shape=copies, axes=axes), shape=result)
    places = np.floor((np.arange(count) + 0.5) * extent / count).astype(np.int32)
    return p.gather(x, places, axis=axis)


# --- ops -------------------------------------------------------------------------------------------


@op
def resize(
    images: Any,
    size: Sequence[int],
    interpolation: str = "bilinear",
    antialias: bool = False,
    crop_to_aspect_ratio: bool = False,
    pad_to_aspect_ratio: bool = False,
    fill_mode: str = "constant",
    fill_value: float = 0.0,
    data_format: str | None = None,
) -> Any:
    """Images with another height and width.

    images: [height, width, channels], or a batch of them. size: (height, width). interpolation: "nearest",
    "bilinear", "bicubic", "lanczos3" or "lanczos5". antialias: smooth what shrinks.
    crop_to_aspect_ratio, pad_to_aspect_ratio: cut away, or add with `fill_value`, what would be distorted.
    The dtype stays: integers are rounded, and kept in their range.

    >>> resize(ones((2, 32, 32, 3)), (48, 64)).shape
    (2, 48, 64, 3)
    """
    if interpolation not in INTERPOLATIONS:
        raise unknown_name("interpolation", interpolation, INTERPOLATIONS)
    if fill_mode != "constant":
        raise ArgumentError(
            "resize fills with one number only.", expected="fill_mode='constant'", got=fill_mode
        )
    if crop_to_aspect_ratio and pad_to_aspect_ratio:
        raise ArgumentError("resize can crop to the aspect ratio or pad to it, not both.")
    wanted = per_axis(tuple(size), 2, "size")
    x, restore = batch_of_images(images, data_format)
    if crop_to_aspect_ratio:
        x = _cropped(x, wanted)
    elif pad_to_aspect_ratio:
        x = _padded(x, wanted, fill_value)
    if interpolation == "nearest":
        return restore(nearest(nearest(x, wanted[0], 1), wanted[1], 2))
    kind = dtype_of(x)
    resized = as_float(x)
    for axis, count in enumerate(wanted, 1):
        extent = x.shape[axis]
        if count != extent:
            weights = _weights(extent, count, count / extent, 0.0, interpolation, antialias)
            resized = weighted(resized, weights, axis)
    if dtypes.is_float(kind):
        return restore(resized)
    return restore(saturate_cast(round(resized), kind))


def _ratio_extents(x: Any, wanted: tuple[int, ...]) -> tuple[int, int]:
    """The height that the width would have at the wanted ratio, and the width that the height would have."""
    _, height, width, _ = x.shape
    return int(width * wanted[0] / wanted[1]), int(height * wanted[1] / wanted[0])


def _cropped(x: Any, wanted: tuple[int, ...]) -> Any:
    for axis, extent in enumerate(_ratio_extents(x, wanted), 1):
        kept = max(min(x.shape[axis], extent), 1)
        start = (x.shape[axis] - kept) // 2
        x = slice_axis(x, axis, start, start + kept)
    return x


def _padded(x: Any, wanted: tuple[int, ...], fill_value: float) -> Any:
    rows, columns = (
        max(extent - has, 0) // 2 for extent, has in zip(_ratio_extents(x, wanted), x.shape[1:3])
    )
    if rows:
        return pad(x, ((0, 0), (rows, rows), (0, 0), (0, 0)), constant_values=fill_value)
    if columns:
        return pad(x, ((0, 0), (0, 0), (columns, columns), (0, 0)), constant_values=fill_value)
    return x


@op
def scale_and_translate(
    images: Any,
    output_shape: Sequence[int],
    scale: Any,
    translation: Any,
    spatial_dims: Sequence[int],
    method: str,
    antialias: bool = True,
) -> Any:
    """Images scaled and moved along some axes: place i of the result is element (i - translation) / scale.

    output_shape: the whole shape of the result. scale, translation: one number per axis in `spatial_dims`;
    they may be traced. method: "linear", "cubic", "lanczos3" or "lanczos5" (also "bilinear", "bicubic", ...).
    """
    if method not in KERNELS:
        raise unknown_name("method", method, KERNELS)
    x = as_float(images)
    shape, scale, shift = tuple(output_shape), as_tensor(scale), as_tensor(translation)
    fits = len(shape) == len(x.shape) and scale.shape == shift.shape == (len(spatial_dims),)
    kept = set(range(len(x.shape))) - {axis % max(len(x.shape), 1) for axis in spatial_dims}
    if not fits or any(shape[axis] != x.shape[axis] for axis in kept):
        raise ShapeError(
            "scale_and_translate: output_shape, scale and translation do not fit the images.",
            expected="the images' extents outside spatial_dims; one scale and translation for each of these",
            got=f"images {tuple(x.shape)}, output_shape {shape}, spatial_dims {tuple(spatial_dims)}, scale"
            f" {tuple(scale.shape)}, translation {tuple(shift.shape)}",
        )
    for number, axis in enumerate(spatial_dims):
        axis = axis % len(x.shape)
        weights = _weights(x.shape[axis], shape[axis], scale[number], shift[number], method, antialias)
        x = weighted(x, weights, axis)
    return x
