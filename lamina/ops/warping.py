"""Images taken at other places: any coordinates, affine and perspective maps, elastic distortions."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from lamina.core import dtypes
from lamina.core.config import config
from lamina.core.errors import ArgumentError, ShapeError, unknown_name
from lamina.core.shapes import row_major_strides
from lamina.ir import primitives as p
from lamina.ops import random
from lamina.ops.arithmetic import add, divide, floor_divide, maximum, minimum, mod, multiply, subtract
from lamina.ops.convert import as_float, as_tensor, cast, dtype_of
from lamina.ops.filtering import gaussian_blur
from lamina.ops.linear_maps import homography
from lamina.ops.logic import greater_equal, less, logical_and, where
from lamina.ops.math import absolute, floor, sign
from lamina.ops.move import expand_dims
from lamina.ops.registry import op
from lamina.ops.spatial import batch_of_images

ORDERS = {"nearest": 0, "bilinear": 1}
FILL_MODES = ("constant", "nearest", "wrap", "mirror", "reflect")


@op
def map_coordinates(
    inputs: Any, coordinates: Any, order: int, fill_mode: str = "constant", fill_value: float = 0
) -> Any:
    """The elements of `inputs` at `coordinates`, interpolated.

    coordinates: [rank of inputs, ...]; row i counts along axis i. order: 0 for the nearest element, 1 for
    linear interpolation. fill_mode: what lies outside: "constant" (`fill_value`), "nearest" (the edge),
    "wrap", "mirror" (without repeating the edge), "reflect" (repeating it). The dtype stays.

    >>> map_coordinates([[0.0, 1.0], [2.0, 3.0]], [[0.5], [0.5]], order=1)
    Array([1.5], dtype=float32)
    """
    x, coordinates = as_tensor(inputs), as_float(coordinates)
    if len(coordinates.shape) < 2 or coordinates.shape[0] != len(x.shape):
        raise ShapeError(
            "map_coordinates takes one row of coordinates per axis of the inputs.",
            expected=f"coordinates of shape ({len(x.shape)}, ...)",
            got=str(tuple(coordinates.shape)),
        )
    if order not in (0, 1):
        raise ArgumentError(f"There is no interpolation of order {order!r}.", expected="0 or 1")
    places = [coordinates[axis] for axis in range(len(x.shape))]
    lines = p.reshape(x, shape=(1, *x.shape, 1))
    batch = [p.reshape(place, shape=(1, *place.shape)) for place in places]
    found = sample(lines, batch, order, fill_mode, fill_value)
    return p.reshape(found, shape=places[0].shape)


def sample(x: Any, places: Sequence[Any], order: int, fill_mode: str, fill_value: float) -> Any:
    """x [batch, *extents, channels] at places, a [batch, *result] per extent: [batch, *result, channels]."""
    if fill_mode not in FILL_MODES:
        raise unknown_name("fill_mode", fill_mode, FILL_MODES)
    kind, x = dtype_of(x), as_float(x)
    batch, extents, channels = x.shape[0], x.shape[1:-1], x.shape[-1]
    strides = row_major_strides(extents)
    rows = p.reshape(x, shape=(batch * prod(extents), channels))
    first = np.arange(batch, dtype=np.int32) * prod(extents)
    first = as_tensor(first.reshape(batch, *(1 for _ in places[0].shape[1:])))
    axes = [
        [(index, _inside(index, extent, fill_mode), weight) for index, weight in _neighbours(place, order)]
        for place, extent in zip(places, extents)
    ]
    total = None
    for corner in itertools.product(*axes):
        at = first
        for (index, _, _), extent, stride in zip(corner, extents, strides):
            at = add(at, multiply(_folded(index, extent, fill_mode), stride))
        found = p.gather(rows, as_tensor(at), axis=0)
        for _, inside, _ in corner:
            if inside is not None:
                found = where(expand_dims(inside, -1), found, float(fill_value))
        for _, _, weight in corner:
            if weight is not None:
                found = multiply(found, as_tensor(expand_dims(weight, -1), dtype_of(found)))
        total = found if total is None else add(total, found)
    return as_tensor(total if dtypes.is_float(kind) else _round_away(total), kind)


def _neighbours(place: Any, order: int) -> list[tuple[Any, Any]]:
    """The elements around a place, with their weights (None for 1)."""
    if order == 0:
        return [(cast(_round_away(place), "int32"), None)]
    low = floor(place)
    beyond = subtract(place, low)
    index = cast(low, "int32")
    return [(index, subtract(1.0, beyond)), (add(index, 1), beyond)]


def _round_away(x: Any) -> Any:
    """To whole numbers, halves away from zero."""
    return multiply(sign(x), floor(add(absolute(x), 0.5)))


def _inside(index: Any, extent: int, fill_mode: str) -> Any:
    """Which indices are elements, where it matters; else None."""
    return logical_and(greater_equal(index, 0), less(index, extent)) if fill_mode == "constant" else None


def _folded(index: Any, extent: int, fill_mode: str) -> Any:
    """The element that stands for an index outside."""
    if fill_mode == "wrap":
        return mod(index, extent)
    if fill_mode == "mirror":
        return _mirrored(index, extent)
    if fill_mode == "reflect":
        return floor_divide(subtract(_mirrored(add(multiply(index, 2), 1), 2 * extent + 1), 1), 2)
    return minimum(maximum(index, 0), extent - 1)


def _mirrored(index: Any, extent: int) -> Any:
    """A triangular wave over the elements."""
    half = extent - 1
    return absolute(subtract(mod(add(index, half), 2 * half), half)) if half else multiply(index, 0)


# --- maps ------------------------------------------------------------------------------------------


@op
def affine_transform(
    images: Any,
    transform: Any,
    interpolation: str = "bilinear",
    fill_mode: str = "constant",
    fill_value: float = 0,
    data_format: str | None = None,
) -> Any:
    """Images whose pixel at column x, row y is the one at ((a0 x + a1 y + a2) / k, (b0 x + b1 y + b2) / k).

    transform: [a0, a1, a2, b0, b1, b2, c0, c1], or a batch of them; k = c0 x + c1 y + 1. interpolation:
    "nearest" or "bilinear". fill_mode, fill_value: as in `map_coordinates`.
    """
    transform = as_float(transform)
    if len(transform.shape) not in (1, 2) or transform.shape[-1] != 8:
        raise ShapeError(
            "An affine transform is eight numbers, or a batch of them.", got=f"shape {tuple(transform.shape)}"
        )
    rows = transform if len(transform.shape) == 2 else expand_dims(transform, 0)
    return _mapped(images, rows, interpolation, fill_mode, fill_value, data_format)


@op
def perspective_transform(
    images: Any,
    start_points: Any,
    end_points: Any,
    interpolation: str = "bilinear",
    fill_value: float = 0,
    data_format: str | None = None,
) -> Any:
    """Images drawn so that the four start points come to lie at the four end points.

    start_points, end_points: (4, 2) of column and row, or a batch of them.
    """
    start, end = as_float(start_points), as_float(end_points)
    if start.shape != end.shape or start.shape[-2:] != (4, 2) or len(start.shape) not in (2, 3):
        raise ShapeError(
            "perspective_transform takes four points (column, row) before and after, or batches of them.",
            expected="two arrays (4, 2) or (batch, 4, 2)",
            got=f"{tuple(start.shape)} and {tuple(end.shape)}",
        )
    if len(start.shape) == 2:
        start, end = expand_dims(start, 0), expand_dims(end, 0)
    return _mapped(images, homography(end, start), interpolation, "constant", fill_value, data_format)


def _mapped(
    images: Any,
    transform: Any,
    interpolation: str,
    fill_mode: str,
    fill_value: float,
    data_format: str | None,
) -> Any:
    """Images through rows of eight numbers, as `affine_transform` explains them."""
    if interpolation not in ORDERS:
        raise unknown_name("interpolation", interpolation, ORDERS)
    x, restore = batch_of_images(images, data_format)
    batch, height, width, _ = x.shape
    if transform.shape[0] not in (1, batch):
        raise ShapeError(f"{transform.shape[0]} transforms do not fit {batch} images.")
    a0, a1, a2, b0, b1, b2, c0, c1 = (transform[:, None, None, number] for number in range(8))
    kind = dtype_of(transform)
    column = as_tensor(np.arange(width)[None, None, :], kind)
    row = as_tensor(np.arange(height)[None, :, None], kind)

    def linear(first: Any, second: Any, third: Any) -> Any:
        return add(add(multiply(first, column), multiply(second, row)), third)

    scale = linear(c0, c1, 1.0)
    shape = (batch, height, width)
    places = [_spread(divide(linear(*three), scale), shape) for three in ((b0, b1, b2), (a0, a1, a2))]
    return restore(sample(x, places, ORDERS[interpolation], fill_mode, fill_value))


def _spread(x: Any, shape: tuple[int, ...]) -> Any:
    return p.broadcast(x, shape=shape, axes=(0, 1, 2))


@op
def elastic_transform(
    images: Any,
    alpha: float = 20.0,
    sigma: float = 5.0,
    interpolation: str = "bilinear",
    fill_mode: str = "reflect",
    fill_value: float = 0.0,
    seed: Any = None,
    data_format: str | None = None,
) -> Any:
    """Images distorted by smooth random displacements of their pixels.

    Simard, Steinkraus and Platt, "Best practices for convolutional neural networks applied to visual
    document analysis" (2003). alpha: how far pixels move; sigma: how smooth the field is, in pixels. seed: a
    whole number or a `SeedGenerator`; the global one by default.
    """
    x, restore = batch_of_images(images, data_format)
    batch, height, width, _ = x.shape
    noise = random.normal(random.key_of(seed), (batch, height, width, 2), 0.0, sigma, config.floatx)
    smooth = gaussian_blur(noise, int(6 * sigma) | 1, (sigma, sigma))
    return restore(displaced(x, multiply(smooth, alpha), interpolation, fill_mode, fill_value))


def displaced(images: Any, shifts: Any, interpolation: str, fill_mode: str, fill_value: float) -> Any:
    """Images [batch, height, width, channels] whose pixels are taken `shifts` [..., 2] (down, right) away."""
    if interpolation not in ORDERS:
        raise unknown_name("interpolation", interpolation, ORDERS)
    _, height, width, _ = images.shape
    column = as_tensor(np.arange(width, dtype=np.float32)[None, None, :], dtype_of(shifts))
    row = as_tensor(np.arange(height, dtype=np.float32)[None, :, None], dtype_of(shifts))
    places = [add(shifts[..., 0], row), add(shifts[..., 1], column)]
    return sample(images, places, ORDERS[interpolation], fill_mode, fill_value)
