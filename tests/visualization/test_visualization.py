"""Drawings on images: against Keras where it needs no further package, and by looking at pixels."""

import matplotlib
import numpy as np
import pytest
from PIL import Image

from lamina import visualization
from lamina.core.errors import ArgumentError, DTypeError, ShapeError
from lamina.visualization.boxes import corners

matplotlib.use("agg")


@pytest.fixture
def photos(rng):
    return rng.integers(0, 256, (3, 8, 10, 3)).astype("float32")


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@pytest.mark.parametrize(
    "options",
    [
        {"num_classes": 4},
        {"num_classes": 4, "alpha": 0.3, "ignore_index": 2},
        {"num_classes": 2, "color_mapping": {0: [255, 0, 0], 1: [0, 255, 0]}},
        {},
    ],
)
def test_masks_are_drawn_as_in_keras(photos, rng, real_keras, options):
    masks = rng.integers(0, 4, (3, 8, 10, 1)).astype("int32")
    ours = visualization.draw_segmentation_masks(photos, masks, **options)
    theirs = real_keras.visualization.draw_segmentation_masks(photos, masks, **options)
    np.testing.assert_allclose(ours.astype(int), np.asarray(theirs).astype(int), atol=1)
    assert ours.dtype == np.uint8


@pytest.mark.parametrize(
    ("box_format", "box"),
    [
        ("xyxy", [1, 2, 5, 7]),
        ("yxyx", [2, 1, 7, 5]),
        ("xywh", [1, 2, 4, 5]),
        ("center_xywh", [3, 4.5, 4, 5]),
        ("center_yxhw", [4.5, 3, 5, 4]),
        ("rel_xyxy", [0.1, 0.25, 0.5, 0.875]),
        ("rel_yxyx", [0.25, 0.1, 0.875, 0.5]),
    ],
)
def test_formats_of_boxes(box_format, box):
    np.testing.assert_allclose(corners([[box]], box_format, 8, 10), [[[1, 2, 5, 7]]], rtol=1e-6)


def test_boxes_are_framed():
    images = np.zeros((2, 20, 20, 3), "float32")
    boxes = {"boxes": [[[4, 5, 12, 15]], [[1, 1, 3, 3]]], "labels": [[1], [-1]]}
    drawn = visualization.draw_bounding_boxes(images, boxes, "xyxy", color=(255, 0, 0), line_thickness=1)
    frame = drawn[0, :, :, 0] == 255
    assert frame[5, 4:13].all()
    assert frame[15, 4:13].all()
    assert frame[5:16, 4].all()
    assert frame[5:16, 12].all()
    assert frame.sum() == 2 * 9 + 2 * 9
    assert not drawn[1].any()


def test_names_and_confidences_are_written():
    images = np.zeros((1, 60, 120, 3), "uint8")
    boxes = {"boxes": [[[4, 30, 100, 50]]], "labels": [[1]], "confidences": [[0.5]]}
    framed = visualization.draw_bounding_boxes(images, boxes, "xyxy")
    named = visualization.draw_bounding_boxes(images, boxes, "xyxy", class_mapping={1: "cat"})
    assert not framed[0, :28].any()
    assert named[0, :28].any()


def test_galleries_are_written(photos, tmp_path):
    names = {0: "cat", 1: "dog"}
    figure = visualization.plot_image_gallery(
        photos, [0, 1, 0], np.array([1, 1, 0]), names, cols=2, path=tmp_path / "a.png"
    )
    assert [axis.get_title() for axis in figure.axes] == [
        "Truth: cat\nPred: dog",
        "Truth: dog\nPred: dog",
        "Truth: cat\nPred: cat",
        "",
    ]
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.size == (240, 240)
    assert visualization.plot_image_gallery(photos, show=False).axes[0].images[0].get_array().max() <= 1.0
    boxes = {"boxes": np.tile([1.0, 1.0, 5.0, 5.0], (3, 2, 1)), "labels": np.zeros((3, 2))}
    figure = visualization.plot_bounding_box_gallery(
        photos, "xyxy", boxes, boxes, class_mapping=names, legend=True, path=tmp_path / "b.png"
    )
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["Ground Truth", "Prediction"]
    masks = np.zeros((3, 8, 10, 1), "int32")
    figure = visualization.plot_segmentation_mask_gallery(photos, 2, y_true=masks, y_pred=masks, show=False)
    assert len(figure.axes) == 9
    matplotlib.pyplot.close("all")


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: visualization.plot_image_gallery(np.zeros((8, 8, 3))), ShapeError, "must be a batch"),
        (lambda: visualization.plot_image_gallery(np.zeros((1, 8, 8, 3)), [1]), ArgumentError, "label_map"),
        (
            lambda: visualization.plot_image_gallery(np.zeros((1, 8, 8, 3)), path="a.png", show=True),
            ArgumentError,
            "not both",
        ),
        (
            lambda: visualization.draw_segmentation_masks(np.zeros((1, 8, 8, 3)), np.zeros((1, 8, 8, 1))),
            DTypeError,
            "whole numbers, got float64",
        ),
        (
            lambda: visualization.draw_segmentation_masks(np.zeros((1, 8, 8, 3)), np.zeros((1, 8, 8), int)),
            ShapeError,
            "do not fit",
        ),
        (
            lambda: visualization.draw_bounding_boxes(np.zeros((1, 8, 8, 3)), [[1, 2, 3, 4]], "xyxy"),
            ArgumentError,
            "a dict with 'boxes'",
        ),
        (lambda: corners([[1, 2, 3, 4]], "xywz", 8, 8), ArgumentError, "Unknown format of boxes 'xywz'"),
    ],
)
def test_wrong_arguments(call, error, text):
    with pytest.raises(error, match=text):
        call()
