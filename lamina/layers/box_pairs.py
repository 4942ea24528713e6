"""Two bounding boxes: how much they overlap, and one as its difference from the other."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from lamina import ops
from lamina.core.config import config
from lamina.core.errors import ArgumentError, ShapeError
from lamina.layers.boxes import convert_format, known_format

Size = Sequence[int] | None


def compute_iou(
    boxes1: Any,
    boxes2: Any,
    bounding_box_format: str,
    use_masking: bool = False,
    mask_val: float = -1,
    image_shape: Size = None,
) -> Any:
    """The overlap of every box with every other: intersection over union, (..., n, m), from 0 to 1.

    boxes1: (n, 4) or (batch, n, 4); boxes2: (m, 4) or (batch, m, 4). use_masking: boxes of negative numbers
    only, which stand for none, have the overlap `mask_val`. image_shape: (height, width, channels), which
    relative formats need.

    >>> compute_iou(np.array([[0, 0, 2, 2]]), np.array([[0, 0, 2, 2], [1, 0, 3, 2]]), "xyxy").round(3)
    array([[1.   , 0.333]], dtype=float32)
    """
    first, second = (_corners(boxes, bounding_box_format, image_shape) for boxes in (boxes1, boxes2))
    if any(len(boxes.shape) not in (2, 3) for boxes in (first, second)):
        raise ShapeError(
            "compute_iou takes boxes (n, 4) or (batch, n, 4).",
            got=f"{tuple(first.shape)} and {tuple(second.shape)}",
        )
    rows, columns = ops.expand_dims(first, -2), ops.expand_dims(second, -3)
    shared = _intersection(rows, columns)
    overlap = shared / (_area(rows) + _area(columns) - shared + config.epsilon)
    if not use_masking:
        return overlap
    none = ops.logical_or(ops.max(rows, axis=-1) < 0, ops.max(columns, axis=-1) < 0)
    return ops.where(none, ops.cast(mask_val, overlap.dtype), overlap)


def compute_ciou(boxes1: Any, boxes2: Any, bounding_box_format: str, image_shape: Size = None) -> Any:
    """The complete overlap of boxes (..., 4) in pairs: less for centres apart, and for other aspect ratios.

    image_shape: (height, width, channels), which relative formats need.
    Source: Z. Zheng et al., "Distance-IoU Loss" (2020).

    >>> compute_ciou(np.array([[0, 0, 2, 2]]), np.array([[1, 0, 3, 2]]), "xyxy").round(3)
    array([0.256], dtype=float32)
    """
    first, second = (_corners(boxes, bounding_box_format, image_shape) for boxes in (boxes1, boxes2))
    tiny = config.epsilon
    wide = [boxes[..., 2] - boxes[..., 0] for boxes in (first, second)]
    high = [boxes[..., 3] - boxes[..., 1] + tiny for boxes in (first, second)]
    shared = _intersection(first, second)
    overlap = shared / (wide[0] * high[0] + wide[1] * high[1] - shared + 2 * tiny)
    hull = ops.maximum(first[..., 2:], second[..., 2:]) - ops.minimum(first[..., :2], second[..., :2])
    apart = (first[..., :2] + first[..., 2:] - second[..., :2] - second[..., 2:]) / 2
    distance = ops.sum(ops.square(apart), axis=-1) / (ops.sum(ops.square(hull), axis=-1) + tiny)
    slopes = ops.arctan(wide[1] / high[1]) - ops.arctan(wide[0] / high[0])
    shape = 4 / math.pi**2 * ops.square(slopes)
    return overlap - (distance + shape * shape / (shape - overlap + 1 + tiny))


def encode_box_to_deltas(
    anchors: Any,
    boxes: Any,
    anchor_format: str,
    box_format: str,
    encoding_format: str = "center_yxhw",
    variance: Any = None,
    image_shape: Size = None,
) -> Any:
    """Boxes as differences from anchors: centres apart, in sizes of the anchor; logarithms of size ratios.

    anchors: (n, 4); boxes: (n, 4) or (batch, n, 4). encoding_format: "center_yxhw" or "center_xywh".
    variance: four numbers by which the differences are divided. `decode_deltas_to_boxes` is the inverse.

    >>> anchor, box = np.array([[0.0, 0.0, 2.0, 2.0]]), np.array([[1.0, 0.0, 3.0, 2.0]])
    >>> encode_box_to_deltas(anchor, box, "xyxy", "xyxy")
    Array([[0. , 0.5, 0. , 0. ]], dtype=float32)
    """
    factors = _checked_variance(variance)
    _check_encoding(encoding_format)
    place, size = _halves(_converted(anchors, anchor_format, encoding_format, image_shape))
    box_place, box_size = _halves(_converted(boxes, box_format, encoding_format, image_shape))
    size, box_size = ops.maximum(size, config.epsilon), ops.maximum(box_size, config.epsilon)
    deltas = ops.concatenate([(box_place - place) / size, ops.log(box_size / size)], axis=-1)
    return deltas if factors is None else deltas / factors


def decode_deltas_to_boxes(
    anchors: Any,
    boxes_delta: Any,
    anchor_format: str,
    box_format: str,
    encoded_format: str = "center_yxhw",
    variance: Any = None,
    image_shape: Size = None,
) -> Any:
    """The boxes that differ from anchors by `boxes_delta`; the inverse of `encode_box_to_deltas`.

    anchors, boxes_delta: arrays, or dicts of them with the same keys.

    >>> anchor, deltas = np.array([[0.0, 0.0, 2.0, 2.0]]), np.array([[0.0, 0.5, 0.0, 0.0]])
    >>> decode_deltas_to_boxes(anchor, deltas, "xyxy", "xyxy")
    Array([[1., 0., 3., 2.]], dtype=float32)
    """
    factors = _checked_variance(variance)
    _check_encoding(encoded_format)

    def decoded(anchor: Any, deltas: Any) -> Any:
        place, size = _halves(_converted(anchor, anchor_format, encoded_format, image_shape))
        deltas = ops.cast(deltas, "float32")
        shift, growth = _halves(deltas if factors is None else deltas * factors)
        boxes = ops.concatenate([shift * size + place, ops.exp(growth) * size], axis=-1)
        return _converted(boxes, encoded_format, box_format, image_shape)

    if isinstance(anchors, Mapping):
        return {level: decoded(anchor, boxes_delta[level]) for level, anchor in anchors.items()}
    return decoded(anchors, boxes_delta)


def _corners(boxes: Any, name: str, image_shape: Size) -> Any:
    if known_format(name).startswith("rel_") and image_shape is None:
        raise ArgumentError(f"Boxes in {name!r} need image_shape=(height, width, channels).")
    return _converted(boxes, name, "xyxy", image_shape)


def _converted(boxes: Any, source: str, target: str, image_shape: Size) -> Any:
    height, width = (None, None) if image_shape is None else image_shape[:2]
    return convert_format(boxes, source, target, height, width)


def _halves(boxes: Any) -> tuple[Any, Any]:
    return boxes[..., :2], boxes[..., 2:]


def _area(boxes: Any) -> Any:
    return (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])


def _intersection(first: Any, second: Any) -> Any:
    sides = ops.minimum(first[..., 2:], second[..., 2:]) - ops.maximum(first[..., :2], second[..., :2])
    sides = ops.maximum(sides, 0)
    return sides[..., 0] * sides[..., 1]


def _check_encoding(name: str) -> None:
    if name not in ("center_xywh", "center_yxhw"):
        raise ArgumentError(
            f"Boxes cannot be encoded in {name!r}.", expected="'center_yxhw' or 'center_xywh'"
        )


def _checked_variance(variance: Any) -> Any:
    if variance is None:
        return None
    variance = ops.cast(variance, "float32")
    if variance.shape[-1:] != (4,):
        raise ArgumentError("variance is four numbers.", got=f"shape {tuple(variance.shape)}")
    return variance
