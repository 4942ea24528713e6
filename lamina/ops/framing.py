"""The frame of images: rows and columns added around them, or cut away."""

from __future__ import annotations

from typing import Any

from lamina.core.errors import ArgumentError
from lamina.ops.move import pad, slice_axis
from lamina.ops.registry import op
from lamina.ops.spatial import batch_of_images


@op
def pad_images(
    images: Any,
    top_padding: int | None = None,
    left_padding: int | None = None,
    bottom_padding: int | None = None,
    right_padding: int | None = None,
    target_height: int | None = None,
    target_width: int | None = None,
    data_format: str | None = None,
) -> Any:
    """Images with zeros around them. Of top, bottom and target_height two are given; so for the width.

    >>> pad_images(ones((2, 15, 25, 3)), 2, 3, target_height=20, target_width=30).shape
    (2, 20, 30, 3)
    """
    x, restore = batch_of_images(images, data_format)
    widths = [(0, 0)] * 4
    for axis, given in _sides(
        top_padding, bottom_padding, target_height, left_padding, right_padding, target_width
    ):
        before, after, target = given
        extent = x.shape[axis]
        before = target - after - extent if before is None else before
        after = target - before - extent if after is None else after
        _not_negative(axis, extent, before, after, "pad_images")
        widths[axis] = (before, after)
    return restore(pad(x, tuple(widths)))


@op
def crop_images(
    images: Any,
    top_cropping: int | None = None,
    left_cropping: int | None = None,
    bottom_cropping: int | None = None,
    right_cropping: int | None = None,
    target_height: int | None = None,
    target_width: int | None = None,
    data_format: str | None = None,
) -> Any:
    """The middle of images. Of top, bottom and target_height two are given; so for the width.

    >>> crop_images(ones((2, 15, 25, 3)), 2, 3, target_height=10, target_width=20).shape
    (2, 10, 20, 3)
    """
    x, restore = batch_of_images(images, data_format)
    sides = _sides(top_cropping, bottom_cropping, target_height, left_cropping, right_cropping, target_width)
    for axis, (before, after, target) in sides:
        extent = x.shape[axis]
        before = extent - target - after if before is None else before
        kept = extent - before - after if target is None else target
        _not_negative(axis, extent, before, extent - before - kept, "crop_images", kept)
        x = slice_axis(x, axis, before, before + kept)
    return restore(x)


def _sides(*given: int | None) -> list[tuple[int, Any]]:
    """(axis, (before, after, target)) of rows and columns; two of the three are known."""
    words = ("top", "bottom", "target_height"), ("left", "right", "target_width")
    for names, three in zip(words, (given[:3], given[3:])):
        if three.count(None) != 1:
            shown = ", ".join(f"{name}={value}" for name, value in zip(names, three))
            raise ArgumentError(f"Give exactly two of {', '.join(names)}.", got=shown)
    return [(1, given[:3]), (2, given[3:])]


def _not_negative(axis: int, extent: int, before: int, after: int, name: str, kept: int = 0) -> None:
    if min(before, after, kept) < 0:
        what, ends = ("height", ("top", "bottom")) if axis == 1 else ("width", ("left", "right"))
        raise ArgumentError(
            f"{name}: the numbers do not fit a {what} of {extent}.",
            expected="nothing below 0",
            got=f"{ends[0]} {before}, {ends[1]} {after}" + (f", {what} {kept}" if kept else ""),
        )
