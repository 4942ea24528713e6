"""Colours of images: grey, and hue, saturation and value."""

from __future__ import annotations

from typing import Any

import numpy as np

from lamina.core import dtypes
from lamina.core.errors import DTypeError, ShapeError
from lamina.ir import primitives as p
from lamina.ops.arithmetic import add, clip, divide, maximum, minimum, mod, multiply, subtract
from lamina.ops.convert import as_float, as_tensor, dtype_of
from lamina.ops.join import stack
from lamina.ops.logic import equal, less, where
from lamina.ops.math import absolute
from lamina.ops.registry import op
from lamina.ops.spatial import batch_of_images

LUMA = np.array([0.2989, 0.5870, 0.1140])  # of red, green, blue: ITU-R BT.601


@op
def rgb_to_grayscale(images: Any, data_format: str | None = None) -> Any:
    """The brightness of red, green and blue images, with one channel: 0.2989 r + 0.587 g + 0.114 b.

    Images that have one channel are returned as they are. The dtype stays.
    """
    x, restore = batch_of_images(images, data_format)
    if x.shape[-1] == 1:
        return restore(x)
    _three_channels(x)
    weights = as_tensor(LUMA[:, None], dtype_of(as_float(x)))
    grey = p.dot(as_float(x), weights, contract=((3,), (0,)), batch=((), ()))
    return restore(as_tensor(grey, dtype_of(x)))


@op
def rgb_to_hsv(images: Any, data_format: str | None = None) -> Any:
    """Red, green and blue as hue, saturation and value, all from 0 to 1. Images are floats."""
    x, restore = batch_of_images(images, data_format)
    red, green, blue = _planes(x)
    value = maximum(maximum(red, green), blue)
    spread = subtract(value, minimum(minimum(red, green), blue))
    is_grey, is_black = equal(spread, 0), equal(value, 0)
    saturation = where(is_black, 0.0, divide(spread, where(is_black, 1.0, value)))
    sixth = divide(1.0, multiply(6.0, where(is_grey, 1.0, spread)))
    hue = where(
        equal(value, green),
        add(multiply(sixth, subtract(blue, red)), 2 / 6),
        add(multiply(sixth, subtract(red, green)), 4 / 6),
    )
    hue = where(equal(value, red), multiply(sixth, subtract(green, blue)), hue)
    hue = where(is_grey, 0.0, add(hue, where(less(hue, 0), 1.0, 0.0)))
    return restore(as_tensor(stack([hue, saturation, value], axis=-1), dtype_of(x)))


@op
def hsv_to_rgb(images: Any, data_format: str | None = None) -> Any:
    """Hue, saturation and value, from 0 to 1, as red, green and blue. Images are floats."""
    x, restore = batch_of_images(images, data_format)
    hue, saturation, value = _planes(x)
    sector = multiply(mod(hue, 1.0), 6.0)
    tints = (
        clip(subtract(absolute(subtract(sector, 3.0)), 1.0), 0.0, 1.0),
        clip(subtract(2.0, absolute(subtract(sector, 2.0))), 0.0, 1.0),
        clip(subtract(2.0, absolute(subtract(sector, 4.0))), 0.0, 1.0),
    )
    white = subtract(1.0, saturation)
    planes = [multiply(value, add(white, multiply(saturation, tint))) for tint in tints]
    return restore(as_tensor(stack(planes, axis=-1), dtype_of(x)))


def _planes(x: Any) -> list[Any]:
    """The three channels of float images, with what is nearly 0 made 0."""
    _three_channels(x)
    if not dtypes.is_float(dtype_of(x)):
        raise DTypeError(
            f"Hues are those of float images, got {dtype_of(x)}.", fix="cast them and divide by 255 first."
        )
    return [x[..., channel] for channel in range(3)]


def _three_channels(x: Any) -> None:
    if x.shape[-1] != 3:
        raise ShapeError(
            "Colours need three channels: red, green and blue.",
            got=f"{x.shape[-1]} channel(s) in shape {tuple(x.shape)}",
            fix="channels are the last axis, or the first of an image with data_format='channels_first'.",
        )
