"""Bounding boxes: their formats, and what becomes of them when an image is cut, padded, moved or cut off.

A box is four numbers on the last axis. Coordinates count the edges of pixels: the box of the first pixel is
(0, 0, 1, 1) in the format "xyxy", and (0, 0, width, height) is the box of the whole image.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from lamina import ops
from lamina.core.errors import ArgumentError, ShapeError

FORMATS = (
    "xyxy", "yxyx", "xywh", "center_xywh", "center_yxhw",
    "rel_xyxy", "rel_yxyx", "rel_xywh", "rel_center_xywh",
)  # fmt: skip


def convert_format(
    boxes: Any, source: str, target: str, height: Any = None, width: Any = None, dtype: str = "float32"
) -> Any:
    """Boxes (..., 4), or a dict with "boxes", in another format.

    The formats: "xyxy" is left, top, right, bottom, and "yxyx" the same with rows first; "xywh" is left, top,
    width, height; "center_xywh" and "center_yxhw" begin with the centre; with "rel_" in front, they are
    shares of the image's width and height, which must be given to come from or to those.
    Raises ArgumentError for unknown formats and missing sizes, ShapeError for anything but four numbers.

    >>> convert_format(np.array([[10, 20, 30, 60]]), "xyxy", "center_xywh")
    Array([[20., 40., 20., 40.]], dtype=float32)
    """
    if isinstance(boxes, Mapping):
        return {**boxes, "boxes": convert_format(boxes["boxes"], source, target, height, width, dtype)}
    source, target = known_format(source), known_format(target)
    boxes = ops.cast(boxes, dtype)
    if boxes.shape[-1:] != (4,):
        raise ShapeError("A box has four numbers.", expected="(..., 4)", got=f"{tuple(boxes.shape)}")
    if source == target:
        return boxes
    relative = source.startswith("rel_"), target.startswith("rel_")
    corners = _to_corners(boxes, source)
    if relative[0] != relative[1]:
        if height is None or width is None:
            raise ArgumentError(
                f"From {source!r} to {target!r} the size of the image must be known.",
                fix="give height and width.",
            )
        extents = [ops.cast(extent, dtype) for extent in (width, height, width, height)]
        change = ops.multiply if relative[0] else ops.divide
        corners = [change(corner, extent) for corner, extent in zip(corners, extents)]
    return _from_corners(corners, target)


def known_format(name: Any) -> str:
    """The name of a format in lower case; ArgumentError for an unknown one."""
    if not isinstance(name, str) or name.lower() not in FORMATS:
        raise ArgumentError(
            f"There is no format of bounding boxes {name!r}.", expected=f"one of {', '.join(FORMATS)}"
        )
    return name.lower()


def _to_corners(boxes: Any, name: str) -> list[Any]:
    """Left, top, right and bottom, each (..., 1)."""
    x, y, right, bottom = (boxes[..., place : place + 1] for place in _places(name))
    if name.endswith(("xyxy", "yxyx")):
        return [x, y, right, bottom]
    if "center" in name:
        x, y = x - right / 2, y - bottom / 2
    return [x, y, x + right, y + bottom]


def _from_corners(corners: list[Any], name: str) -> Any:
    """The inverse of `_to_corners`."""
    left, top, right, bottom = corners
    if not name.endswith(("xyxy", "yxyx")):
        right, bottom = right - left, bottom - top
        if "center" in name:
            left, top = left + right / 2, top + bottom / 2
    parts = [left, top, right, bottom]
    return ops.concatenate([parts[place] for place in _places(name)], axis=-1)


def _places(name: str) -> tuple[int, ...]:
    return (1, 0, 3, 2) if name.endswith(("yxyx", "yxhw")) else (0, 1, 2, 3)


def clip_to_image_size(
    bounding_boxes: Mapping[str, Any],
    height: Any = None,
    width: Any = None,
    bounding_box_format: str = "xyxy",
) -> dict[str, Any]:
    """Boxes, a dict with "boxes" (..., 4) and perhaps "labels", cut off at the edges of the image.

    A box of which nothing is left gets the label -1. height, width: not needed for relative formats.

    >>> clip_to_image_size({"boxes": np.array([[-5.0, 2.0, 9.0, 4.0]])}, height=3, width=6)["boxes"]
    Array([[0., 2., 6., 3.]])
    """
    name = known_format(bounding_box_format)
    if name.startswith("rel_"):
        height, width = 1, 1
    if height is None or width is None:
        raise ArgumentError(f"Boxes in {name!r} are cut off at height and width, which must be given.")
    corners = _to_corners(ops.convert_to_tensor(bounding_boxes["boxes"]), name)
    clipped = _clipped(corners, height, width)
    found = {**bounding_boxes, "boxes": _from_corners(clipped, name)}
    if bounding_boxes.get("labels") is not None:
        left, top, right, bottom = clipped
        labels = ops.convert_to_tensor(bounding_boxes["labels"])
        there = (right - left) * (bottom - top) > 0
        there = there if len(labels.shape) == len(there.shape) else there[..., 0]
        found["labels"] = ops.where(there, labels, ops.cast(-1, labels.dtype))
    return found


def _clipped(corners: list[Any], height: Any, width: Any) -> list[Any]:
    limits = [ops.cast(extent, corners[0].dtype) for extent in (width, height, width, height)]
    return [ops.minimum(ops.maximum(corner, 0), limit) for corner, limit in zip(corners, limits)]


def crop(boxes: Any, top: Any, left: Any, height: Any, width: Any, bounding_box_format: str = "xyxy") -> Any:
    """Boxes (..., 4) seen from a piece of the image, cut off at its edges.

    >>> crop(np.array([[10.0, 20.0, 50.0, 60.0]]), top=10, left=20, height=40, width=30)
    Array([[ 0., 10., 30., 40.]])
    """
    corners = _shifted(boxes, -top, -left, bounding_box_format)
    return _from_corners(_clipped(corners, height, width), known_format(bounding_box_format))


def pad(
    boxes: Any, top: Any, left: Any, height: Any = None, width: Any = None, bounding_box_format: str = "xyxy"
) -> Any:
    """Boxes (..., 4) in an image that got borders at its top and left. height, width: not needed.

    >>> pad(np.array([[10.0, 20.0, 50.0, 60.0]]), top=1, left=2)
    Array([[12., 21., 52., 61.]])
    """
    return _from_corners(_shifted(boxes, top, left, bounding_box_format), known_format(bounding_box_format))


def _shifted(boxes: Any, down: Any, right: Any, bounding_box_format: str) -> list[Any]:
    name = known_format(bounding_box_format)
    if name.startswith("rel_"):
        raise ArgumentError(
            f"Boxes in {name!r} cannot be moved by pixels.", fix="convert_format(boxes, ..., 'xyxy') before."
        )
    corners = _to_corners(ops.convert_to_tensor(boxes), name)
    return [corner + shift for corner, shift in zip(corners, (right, down, right, down))]


def around(points: Any) -> Any:
    """The boxes (..., 4) around points (..., n, 2) of x and y."""
    return ops.concatenate([ops.min(points, axis=-2), ops.max(points, axis=-2)], axis=-1)


def corners_of(boxes: Any) -> Any:
    """The corners (..., 4, 2) of boxes (..., 4) in the format "xyxy"."""
    left, top, right, bottom = (boxes[..., place] for place in range(4))
    points = [(left, top), (right, top), (right, bottom), (left, bottom)]
    return ops.stack([ops.stack(point, axis=-1) for point in points], axis=-2)


def affine_transform(
    boxes: Any,
    angle: Any,
    translate_x: Any,
    translate_y: Any,
    scale: Any,
    shear_x: Any,
    shear_y: Any,
    height: Any,
    width: Any,
    center_x: Any = None,
    center_y: Any = None,
    bounding_box_format: str = "xyxy",
) -> Any:
    """The boxes around (batch, n, 4) boxes that are turned, moved, scaled and slanted; not cut off.

    angle, shear_x, shear_y: (batch,), in degrees. translate_x, translate_y, and the centre, 0.5 if it is not
    given: shares of width - 1 and height - 1. scale: (batch,), a factor.

    >>> one, none = np.ones(1, "float32"), np.zeros(1, "float32")
    >>> box = np.array([[[0.0, 0.0, 2.0, 2.0]]])
    >>> affine_transform(box, 90 * one, none, none, one, none, none, 5, 5).round()
    Array([[[0., 2., 2., 4.]]], dtype=float32)
    """
    if known_format(bounding_box_format) != "xyxy":
        raise ArgumentError("affine_transform takes boxes in the format 'xyxy'.", got=bounding_box_format)
    turn, slant_x, slant_y = (
        ops.multiply(-math.pi / 180, ops.cast(x, "float32")) for x in (angle, shear_x, shear_y)
    )
    along = ops.cos(turn - slant_y) / ops.cos(slant_y)
    across = -ops.sin(turn - slant_y) / ops.cos(slant_y)
    matrix = [
        [ops.cos(turn) - across * ops.tan(slant_x), -(along * ops.tan(slant_x) + ops.sin(turn))],
        [-across, along],
    ]
    centre = [
        (0.5 if share is None else share) * (ops.cast(extent, "float32") - 1)
        for share, extent in ((center_x, width), (center_y, height))
    ]
    moved = [
        ops.multiply(share, ops.cast(extent, "float32") - 1)
        for share, extent in ((translate_x, width), (translate_y, height))
    ]
    points = corners_of(ops.cast(boxes, "float32"))
    apart = [points[..., axis] - _per_box(centre[axis] - moved[axis]) for axis in range(2)]
    placed = [
        _per_box(centre[axis])
        + _per_box(scale * matrix[axis][0]) * apart[0]
        + _per_box(scale * matrix[axis][1]) * apart[1]
        for axis in range(2)
    ]
    return around(ops.stack(placed, axis=-1))


def mapped(boxes: Any, rows: Any) -> Any:
    """The boxes around boxes (batch, n, 4) in "xyxy" whose corners go where maps of pixels take them.

    rows: (batch, 8), [a0, a1, a2, b0, b1, b2, c0, c1]: x becomes (a0 x + a1 y + a2) / (c0 x + c1 y + 1).
    Maps of pixels take centres of pixels to centres, which lie half a pixel from their edges.
    """
    a0, a1, a2, b0, b1, b2, c0, c1 = (_per_box(rows[:, place]) for place in range(8))
    points = corners_of(boxes) - 0.5
    x, y = points[..., 0], points[..., 1]
    scale = c0 * x + c1 * y + 1.0
    return around(ops.stack([(a0 * x + a1 * y + a2) / scale, (b0 * x + b1 * y + b2) / scale], axis=-1)) + 0.5


def inverse_affine(rows: Any) -> Any:
    """The maps (batch, 8) that undo affine ones, whose last two numbers are 0."""
    a0, a1, a2, b0, b1, b2 = (rows[:, place] for place in range(6))
    area = a0 * b1 - a1 * b0
    zero = ops.zeros_like(a0)
    inverse = [b1, -a1, a1 * b2 - b1 * a2, -b0, a0, b0 * a2 - a0 * b2]
    return ops.stack([*(number / area for number in inverse), zero, zero], axis=1)


def resized(boxes: Any, before: tuple[int, int], after: tuple[int, int], aspect: str | None = None) -> Any:
    """Boxes (..., 4) in "xyxy" of an image that was (height, width) before and is another size after.

    aspect: "crop" if the image was cut to its new aspect ratio first, "pad" if it got borders, else None.
    """
    kept, start = list(before), [0, 0]
    if aspect is not None:
        wanted = [int(before[1] * after[0] / after[1]), int(before[0] * after[1] / after[0])]
        for axis in range(2):
            if aspect == "crop":
                kept[axis] = max(min(before[axis], wanted[axis]), 1)
                start[axis] = (before[axis] - kept[axis]) // 2
            else:
                border = max(wanted[axis] - before[axis], 0) // 2
                kept[axis], start[axis] = before[axis] + 2 * border, -border
    top, left = start
    tall, wide = (extent / part for extent, part in zip(after, kept))
    return (boxes - [left, top, left, top]) * [wide, tall, wide, tall]


def _per_box(values: Any) -> Any:
    """One value for each image, ready to be broadcast over its boxes and their corners."""
    return ops.reshape(values, (-1, 1, 1))
