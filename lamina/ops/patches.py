"""Patches of images: every window as one vector, and back."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from lamina.core import windows
from lamina.core.errors import ShapeError
from lamina.core.windows import Padding
from lamina.ir import primitives as p
from lamina.ops.convert import as_tensor, dtype_of, filled, scalar
from lamina.ops.registry import op
from lamina.ops.spatial import Ints, channels_last, in_format, per_axis, resolve_padding

Numbers = int | Sequence[int]


@op
def unfold(
    x: Any, kernel_size: Numbers, dilation: Numbers = 1, padding: Numbers = 0, stride: Numbers = 1
) -> Any:
    """The windows of images [batch, channels, height, width] as columns: [batch, channels * h * w, places].

    Channels come first here, as in Keras.

    >>> unfold(ones((1, 2, 4, 4)), kernel_size=2, stride=2).shape
    (1, 8, 4)
    """
    x = as_tensor(x)
    if len(x.shape) != 4:
        raise ShapeError(f"unfold: images are [batch, channels, height, width], got shape {tuple(x.shape)}.")
    sizes, how = _square_window(kernel_size, dilation, padding, stride)
    seen = _windows(
        channels_last(x, "channels_first"), sizes, **how
    )  # [batch, rows, h, columns, w, channels]
    columns = p.transpose(seen, permutation=(0, 5, 2, 4, 1, 3))
    batch, channels, height, width, *places = columns.shape
    return p.reshape(columns, shape=(batch, channels * height * width, prod(places)))


@op
def fold(
    x: Any,
    output_size: Numbers,
    kernel_size: Numbers,
    dilation: Numbers = 1,
    padding: Numbers = 0,
    stride: Numbers = 1,
) -> Any:
    """Columns as `unfold` makes them, added where they came from: [batch, channels, height, width]."""
    x = as_tensor(x)
    sizes, how = _square_window(kernel_size, dilation, padding, stride)
    shape = per_axis(output_size, 2, "output_size")
    places = windows.places(shape, sizes, **how)
    if len(x.shape) != 3 or x.shape[1] % prod(sizes) or x.shape[2] != prod(places):
        raise ShapeError(
            f"fold: columns do not fit windows of {sizes} over {shape}.",
            expected=f"[batch, channels * {prod(sizes)}, {prod(places)}]",
            got=str(tuple(x.shape)),
        )
    batch, channels = x.shape[0], x.shape[1] // prod(sizes)
    columns = p.reshape(x, shape=(batch, channels, *sizes, *places))
    image = p.transpose(columns, permutation=(0, 4, 2, 5, 3, 1))  # [batch, rows, h, columns, w, channels]
    for axis, (extent, size, count) in enumerate(zip(shape, sizes, places), 1):
        flat = (*image.shape[:axis], count * size, *image.shape[axis + 2 :])
        target = filled((*image.shape[:axis], extent, *image.shape[axis + 2 :]), 0, dtype_of(x))
        index = _seen_by(
            size, count, how["strides"][axis - 1], how["padding"][axis - 1], how["dilation"][axis - 1]
        )
        image = p.scatter_add(target, index.reshape(-1), p.reshape(image, shape=flat), axis=axis)
    return in_format(image, "channels_first")


@op
def extract_patches(
    images: Any,
    size: Numbers,
    strides: Numbers | None = None,
    dilation_rate: Numbers = 1,
    padding: str = "valid",
    data_format: str | None = None,
) -> Any:
    """Every window of an image as one vector: [..., rows, columns, h * w * channels].

    images: [height, width, channels], or a batch of them. size: one number, (h, w), or three for volumes.
    strides: how far windows are apart; by default they touch.

    >>> extract_patches(ones((2, 32, 32, 3)), 8).shape
    (2, 4, 4, 192)
    """
    rank = 3 if isinstance(size, (tuple, list)) and len(size) == 3 else 2
    return _patches(images, rank, size, strides, dilation_rate, padding, data_format)


@op
def extract_patches_3d(
    volumes: Any,
    size: Numbers,
    strides: Numbers | None = None,
    dilation_rate: Numbers = 1,
    padding: str = "valid",
    data_format: str | None = None,
) -> Any:
    """`extract_patches` for volumes [depth, height, width, channels], or a batch of them."""
    return _patches(volumes, 3, size, strides, dilation_rate, padding, data_format)


def _patches(
    images: Any,
    rank: int,
    size: Numbers,
    strides: Numbers | None,
    dilation_rate: Numbers,
    padding: str,
    data_format: str | None,
) -> Any:
    images = as_tensor(images)
    if len(images.shape) not in (rank + 1, rank + 2):
        raise ShapeError(
            f"Patches of {rank} axes are taken from one image with channels, or a batch of them.",
            expected=f"rank {rank + 1} or {rank + 2}",
            got=f"shape {tuple(images.shape)}",
        )
    batched = len(images.shape) == rank + 2
    x = channels_last(images, data_format, batched)
    x = x if batched else p.reshape(x, shape=(1, *x.shape))
    sizes, dilation = per_axis(size, rank, "size"), per_axis(dilation_rate, rank, "dilation_rate")
    steps = sizes if strides is None else per_axis(strides, rank, "strides")
    pairs = resolve_padding(padding, x.shape[1:-1], sizes, steps, dilation)
    seen = _windows(x, sizes, steps, pairs, dilation)
    order = (0, *range(1, 2 * rank, 2), *range(2, 2 * rank + 1, 2), 2 * rank + 1)
    places = seen.shape[1 : 2 * rank : 2]
    vectors = p.reshape(
        p.transpose(seen, permutation=order), shape=(x.shape[0], *places, prod(sizes) * x.shape[-1])
    )
    vectors = vectors if batched else p.reshape(vectors, shape=vectors.shape[1:])
    return in_format(vectors, data_format, batched)


# --- parts -----------------------------------------------------------------------------------------


def _square_window(
    kernel_size: Numbers, dilation: Numbers, padding: Numbers, stride: Numbers
) -> tuple[Ints, dict[str, Any]]:
    pairs = tuple((width, width) for width in per_axis(padding, 2, "padding", least=0))
    how = {
        "strides": per_axis(stride, 2, "stride"),
        "padding": pairs,
        "dilation": per_axis(dilation, 2, "dilation"),
    }
    return per_axis(kernel_size, 2, "kernel_size"), how


def _windows(x: Any, sizes: Ints, strides: Ints, padding: Padding, dilation: Ints) -> Any:
    """[batch, *spatial, channels] as [batch, places, size, places, size, ..., channels]."""
    places = windows.places(x.shape[1:-1], sizes, strides, padding, dilation)
    if any(width for pair in padding for width in pair):
        low, high = ((0, *(pair[side] for pair in padding), 0) for side in range(2))
        x = p.pad(x, scalar(0, dtype_of(x)), low=low, high=high, interior=(0,) * len(x.shape))
    for axis, (size, count, stride, step) in enumerate(zip(sizes, places, strides, dilation)):
        at = 1 + 2 * axis
        if step == 1 and stride == size:  # windows that touch are there already
            x = p.slice(
                x,
                start=(0,) * len(x.shape),
                limit=(*x.shape[:at], count * size, *x.shape[at + 1 :]),
                stride=(1,) * len(x.shape),
            )
            x = p.reshape(x, shape=(*x.shape[:at], count, size, *x.shape[at + 1 :]))
        else:
            x = p.gather(x, _seen_by(size, count, stride, (0, 0), step), axis=at)
    return x


def _seen_by(
    size: int, count: int, stride: int, padding: tuple[int, int], dilation: int
) -> np.ndarray[Any, Any]:
    """Which element each place of the window sees with each of its own: [count, size]; some lie outside."""
    starts = np.arange(count, dtype=np.int32) * stride - padding[0]
    return starts[:, None] + np.arange(size, dtype=np.int32) * dilation
