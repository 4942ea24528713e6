"""Functions of bounding boxes: the numbers of real Keras, and errors."""

from __future__ import annotations

import numpy as np
import pytest

from lamina.core.errors import ArgumentError, ShapeError
from lamina.layers.boxes import FORMATS
from lamina.utils import bounding_boxes

SIZE = {"height": 50, "width": 80}


@pytest.fixture
def boxes(rng):
    corners = rng.uniform(0, 30, (2, 5, 2))
    return np.concatenate([corners, corners + rng.uniform(1, 20, (2, 5, 2))], axis=-1).astype("float32")


def same(name, real_keras, *arguments, **options):
    mine = getattr(bounding_boxes, name)(*arguments, **options)
    theirs = getattr(real_keras.utils.bounding_boxes, name)(*arguments, **options)
    np.testing.assert_allclose(mine, np.asarray(theirs), rtol=2e-5, atol=2e-4)
    return mine


@pytest.mark.parametrize("source", FORMATS)
def test_formats(source, boxes, real_keras):
    given = bounding_boxes.convert_format(boxes, "xyxy", source, **SIZE)
    for target in FORMATS:
        same("convert_format", real_keras, given, source, target, **SIZE)
    back = bounding_boxes.convert_format({"boxes": given, "labels": 1}, source.upper(), "xyxy", **SIZE)
    np.testing.assert_allclose(back["boxes"], boxes, rtol=1e-4, atol=1e-4)
    assert back["labels"] == 1


def test_moves(boxes, real_keras):
    same("crop", real_keras, boxes, top=7, left=9, height=20, width=25)
    same("pad", real_keras, boxes, top=7, left=9)
    per_image = np.array([0.2, -0.3], "float32")
    same(
        "affine_transform", real_keras, boxes, 200 * per_image, per_image, 0.5 * per_image, 1 + per_image,
        30 * per_image, -20 * per_image, center_x=0.3, center_y=0.6, **SIZE,
    )  # fmt: skip


def test_cut_off_at_the_edges(boxes, real_keras):
    away = boxes + np.array([-25.0, 0, -25.0, 0], "float32")
    labels = np.arange(10).reshape(2, 5)
    mine = bounding_boxes.clip_to_image_size({"boxes": away, "labels": labels}, 20, 18)
    theirs = real_keras.utils.bounding_boxes.clip_to_image_size({"boxes": away, "labels": labels}, 20, 18)
    np.testing.assert_allclose(mine["boxes"], np.asarray(theirs["boxes"]))
    np.testing.assert_array_equal(mine["labels"], np.asarray(theirs["labels"]))
    assert (mine["labels"] == -1).any()
    relative = bounding_boxes.convert_format(away, "xyxy", "rel_yxyx", 20, 18)
    cut = bounding_boxes.clip_to_image_size({"boxes": relative}, bounding_box_format="rel_yxyx")["boxes"]
    np.testing.assert_allclose(
        bounding_boxes.convert_format(cut, "rel_yxyx", "xyxy", 20, 18), mine["boxes"], atol=1e-4
    )


def test_overlaps(boxes, real_keras):
    other = (boxes + np.float32(4.0))[:, :3]
    for first, second in ((boxes, other), (boxes[0], other[0])):
        same("compute_iou", real_keras, first, second, "xyxy")
        same("compute_iou", real_keras, first, second, "center_xywh")
    assert bounding_boxes.compute_iou(boxes[0], other, "xyxy").shape == (2, 5, 3)
    masked = boxes[0].copy()
    masked[1] = -1
    found = same("compute_iou", real_keras, masked, masked, "xyxy", use_masking=True, mask_val=-2)
    assert (found[1] == -2).all()
    same("compute_ciou", real_keras, boxes, boxes[:, ::-1], "xyxy")
    relative = bounding_boxes.convert_format(boxes, "xyxy", "rel_xywh", **SIZE)
    np.testing.assert_allclose(
        bounding_boxes.compute_ciou(relative, relative[:, ::-1], "rel_xywh", image_shape=(50, 80, 3)),
        bounding_boxes.compute_ciou(boxes, boxes[:, ::-1], "xyxy"),
        atol=1e-4,
    )


@pytest.mark.parametrize("encoding", ["center_xywh", "center_yxhw"])
def test_differences_from_anchors(encoding, boxes, real_keras):
    anchors, variance = boxes[0] + np.float32(3.0), [0.1, 0.1, 0.2, 0.2]
    deltas = same("encode_box_to_deltas", real_keras, anchors, boxes, "xyxy", "xyxy", encoding, variance)
    back = same("decode_deltas_to_boxes", real_keras, anchors, deltas, "xyxy", "xyxy", encoding, variance)
    np.testing.assert_allclose(back, boxes, rtol=1e-4, atol=1e-3)
    levels = bounding_boxes.decode_deltas_to_boxes(
        {"a": anchors}, {"a": deltas}, "xyxy", "xyxy", encoding, variance
    )
    np.testing.assert_array_equal(levels["a"], back)


@pytest.mark.parametrize(
    ("error", "wrong", "fragment"),
    [
        (ArgumentError, lambda x: bounding_boxes.convert_format(x, "xyxy", "corners"), "'corners'"),
        (ArgumentError, lambda x: bounding_boxes.convert_format(x, "xyxy", "rel_xyxy"), "height and width"),
        (ShapeError, lambda x: bounding_boxes.convert_format(x[..., :3], "xyxy", "xywh"), "(2, 5, 3)"),
        (ArgumentError, lambda x: bounding_boxes.clip_to_image_size({"boxes": x}), "must be given"),
        (ArgumentError, lambda x: bounding_boxes.crop(x, 1, 1, 2, 2, "rel_xyxy"), "by pixels"),
        (ArgumentError, lambda x: bounding_boxes.compute_iou(x, x, "rel_xyxy"), "image_shape"),
        (ShapeError, lambda x: bounding_boxes.compute_iou(x[0, 0], x, "xyxy"), "(4,)"),
        (
            ArgumentError,
            lambda x: bounding_boxes.encode_box_to_deltas(x, x, "xyxy", "xyxy", "xyxy"),
            "'xyxy'",
        ),
        (
            ArgumentError,
            lambda x: bounding_boxes.encode_box_to_deltas(x, x, "xyxy", "xyxy", variance=[1, 2]),
            "four numbers",
        ),
        (
            ArgumentError,
            lambda x: bounding_boxes.affine_transform(x, 0, 0, 0, 1, 0, 0, 5, 5, bounding_box_format="xywh"),
            "'xyxy'",
        ),
    ],
)
def test_wrong_uses(error, wrong, fragment, boxes):
    with pytest.raises(error) as caught:
        wrong(boxes)
    assert fragment in str(caught.value)
