"""Layers that change images: their contract, and what they do with what Keras drew."""

from __future__ import annotations

import json

import numpy as np
import pytest
from augmentation_rows import ALWAYS, AUGMENTATIONS, SHAPES

import lamina
from lamina import layers
from lamina.core.errors import ArgumentError, ShapeError

named = pytest.mark.parametrize("name", AUGMENTATIONS)


@pytest.fixture
def images(rng):
    return rng.integers(0, 256, (4, 7, 8, 3)).astype("uint8")


def made(name):
    return AUGMENTATIONS[name](layers)


@named
def test_shapes_dtypes_and_single_images(name, images):
    shape = SHAPES.get(name, images.shape)
    layer = made(name)
    spec = layer(layers.Input((7, 8, 3), dtype="uint8"))
    assert spec.shape == (None, *shape[1:])
    assert spec.dtype == "float32"
    for training in (True, False):
        assert layer(images, training=training).shape == shape
        assert layer(images, training=training).dtype == "float32"
        assert layer(images[0], training=training).shape == shape[1:]
    assert np.isfinite(layer(images.astype("float32"), training=True)).all()


@named
def test_outside_training_images_stay(name, images):
    if name in ALWAYS or name in SHAPES:
        return
    np.testing.assert_array_equal(made(name)(images, training=False), images)


@named
def test_a_seed_decides_eagerly_and_traced(name, images, run_traced):
    layer, twin, traced = made(name), made(name), made(name)
    first = layer(images, training=True)
    np.testing.assert_array_equal(twin(images, training=True), first)
    by_trace = run_traced(lambda x: traced(x, training=True), images)
    np.testing.assert_allclose(by_trace, first, rtol=1e-6, atol=1e-4)
    if layer.variables and name != "Pipeline":
        later = [layer(images, training=True) for _ in range(4)]
        assert any(not np.array_equal(first, each) for each in later)


@named
def test_configs(name, real_keras):
    layer = made(name)
    again = layers.deserialize(json.loads(json.dumps(layers.serialize(layer))))
    assert json.dumps(layers.serialize(again)) == json.dumps(layers.serialize(layer))
    theirs = AUGMENTATIONS[name](real_keras.layers)
    understood = layers.deserialize(real_keras.layers.serialize(theirs))
    assert type(understood) is type(layer)
    mine, known = layer.get_config(), theirs.get_config()
    assert {key for key, value in known.items() if value is not None} - set(mine) <= {"dtype", "trainable"}


WITH_THE_DRAWS_OF_KERAS = [
    "RandomZoom", "RandomTranslation", "RandomShear", "RandomPerspective", "RandomCrop", "RandomBrightness",
    "RandomContrast", "RandomHue", "RandomSaturation", "RandomColorDegeneration", "RandomSharpness",
    "RandomPosterization", "RandomInvert", "RandomGrayscale", "Solarization", "RandomGaussianBlur",
    "RandomErasing", "MixUp", "CutMix", "RandomRotation", "AutoContrast", "Resizing", "CenterCrop",
    "ContrastLimitedAdaptiveHistogramEqualization", "MaxNumBoundingBoxes",
]  # fmt: skip


@pytest.mark.filterwarnings("ignore:Explicitly requested dtype int64")
@pytest.mark.parametrize("name", WITH_THE_DRAWS_OF_KERAS)
def test_the_same_change_as_keras(name, images, real_keras):
    theirs = AUGMENTATIONS[name](real_keras.layers)
    batch = images.astype("float32")
    drawn = theirs.get_random_transformation(batch, training=True)
    expected = np.asarray(theirs.transform_images(batch, drawn, training=True))
    if isinstance(drawn, dict):
        drawn = {key: np.asarray(value) for key, value in drawn.items() if hasattr(value, "dtype")}
    elif drawn is not None:
        drawn = tuple(map(np.asarray, drawn)) if isinstance(drawn, tuple) else np.asarray(drawn)
    got = made(name).transform_images(batch, drawn, training=True)
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=5e-4)  # of 255


def test_draws_have_the_ranges_they_should():
    many = np.full((2000, 2, 2, 1), 100.0, "float32")
    draws = {
        "angle": (layers.RandomRotation(0.25, seed=1), -90, 90),
        "height_zoom": (layers.RandomZoom((-0.1, 0.3), seed=1), 0.9, 1.3),
        "contrast_factor": (layers.RandomContrast(0.2, seed=1), 0.8, 1.2),
        "rgb_delta": (layers.RandomBrightness(0.5, (0, 1), seed=1), -0.5, 0.5),
    }
    for key, (layer, low, high) in draws.items():
        values = layer.get_random_transformation(many)[key]
        assert low <= values.min() < low + 0.02 * (high - low)
        assert high - 0.02 * (high - low) < values.max() <= high
    flips = layers.RandomFlip(seed=1).get_random_transformation(many)
    assert abs(flips["horizontal"].mean() - 0.5) < 0.05
    assert abs((flips["horizontal"] == flips["vertical"]).mean() - 0.5) < 0.05


def test_flips(images):
    both = layers.RandomFlip(seed=3)
    drawn = {
        "horizontal": np.array([True, False, True, False]),
        "vertical": np.array([True, True, False, False]),
    }
    flipped = both.transform_images(images, drawn)
    for row, expected in enumerate((images[0, ::-1, ::-1], images[1, ::-1], images[2, :, ::-1], images[3])):
        np.testing.assert_array_equal(flipped[row], expected)


def test_equalization_is_of_each_image(images):
    together = layers.Equalization()(images)
    alone = np.stack([layers.Equalization()(image[None])[0] for image in images])
    np.testing.assert_array_equal(together, alone)
    np.testing.assert_array_equal(layers.Equalization()(np.full((1, 3, 3, 1), 9.0)), 9.0)


def test_labels_are_mixed_as_the_images_are(images):
    labels = np.eye(4, dtype="float32")
    solid = np.broadcast_to(np.arange(4, dtype="float32").reshape(4, 1, 1, 1), (4, 8, 8, 1))
    mixed = layers.MixUp(1.0, seed=2)({"images": solid, "labels": labels}, training=True)
    np.testing.assert_allclose(
        mixed["images"][:, 0, 0, 0], mixed["labels"] @ np.arange(4), rtol=1e-5, atol=1e-6
    )
    cut = layers.CutMix(seed=2)({"images": solid, "labels": labels}, training=True)
    np.testing.assert_allclose(cut["labels"].sum(axis=1), 1, rtol=1e-5)
    assert ((cut["images"] == solid) | (cut["images"] != solid)).all()
    for row in range(4):
        assert len(np.unique(cut["images"][row])) <= 2
    with pytest.raises(ArgumentError, match="to_categorical"):
        layers.MixUp()({"images": images, "labels": np.arange(4)}, training=True)


def test_masks_move_with_the_images(images):
    masks = (images[..., :1] > 128).astype("int32")
    for name in ("RandomFlip", "RandomTranslation", "RandomCrop", "CenterCrop"):
        moved = made(name)({"images": masks.astype("float32"), "segmentation_masks": masks}, training=True)
        assert moved["segmentation_masks"].dtype == "int32"
        assert set(np.unique(moved["segmentation_masks"]).tolist()) <= {0, 1}
        if name in ("RandomFlip", "RandomCrop", "CenterCrop"):
            np.testing.assert_array_equal(moved["segmentation_masks"], moved["images"])


# --- bounding boxes --------------------------------------------------------------------------------


def boxed(layer, corners=((0, 0, 2, 2),), size=(4, 4), **more):
    """What becomes of an image that is black but for its boxes, and of the boxes."""
    corners = np.array(corners, "float32")
    image = np.zeros((*size, 1), "float32")
    for left, top, right, bottom in corners.astype(int):
        image[top:bottom, left:right] = 255.0
    labels = np.arange(1, len(corners) + 1)
    data = {"images": image, "bounding_boxes": {"boxes": corners, "labels": labels}, **more}
    changed = layer(data, training=True)
    return changed["images"][..., 0], changed["bounding_boxes"]


# How many pixels the box may be off: where places are interpolated, bright pixels end somewhere between two.
PIXELS = {"flip": 0.0, "rotation": 0.51, "translation": 0.51, "zoom": 0.51}
MOVES = {
    "flip": lambda L, **k: L.RandomFlip(seed=4, **k),
    "rotation": lambda L, **k: L.RandomRotation((0.25, 0.25), fill_mode="constant", **k),
    "translation": lambda L, **k: L.RandomTranslation((0.25, 0.25), (-0.1, -0.1), fill_mode="constant", **k),
    "zoom": lambda L, **k: L.RandomZoom((1.0, 1.0), fill_mode="constant", **k),
    "crop": lambda L, **k: L.RandomCrop(12, 15, seed=1, **k),
    "center crop": lambda L, **k: L.CenterCrop(14, 12, **k),
    "center crop of small images": lambda L, **k: L.CenterCrop(30, 40, **k),
    "resizing": lambda L, **k: L.Resizing(40, 60, interpolation="nearest", **k),
    "resizing, cropped": lambda L, **k: L.Resizing(30, 30, crop_to_aspect_ratio=True, **k),
    "resizing, padded": lambda L, **k: L.Resizing(40, 40, pad_to_aspect_ratio=True, **k),
    "perspective": lambda L, **k: L.RandomPerspective((1.0, 1.0), scale=0.3, seed=2, **k),
}


@pytest.mark.parametrize("name", MOVES)
def test_boxes_move_with_the_images(name):
    """The box is around what became of the bright rectangle, as far as pixels can tell."""
    image, moved = boxed(MOVES[name](layers, bounding_box_format="xyxy"), [(6, 5, 11, 13)], size=(20, 20))
    rows, columns = np.nonzero(np.asarray(image) > 100.0)
    seen = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    np.testing.assert_allclose(moved["boxes"][0], seen, atol=PIXELS.get(name, 1.01))
    assert moved["labels"].tolist() == [1]


@pytest.mark.parametrize("form", ["yxyx", "center_xywh", "rel_xywh"])
def test_boxes_of_other_formats(form):
    from lamina.utils.bounding_boxes import convert_format

    corners = np.array([[[3.0, 2.0, 8.0, 9.0]]], "float32")
    for name in ("flip", "resizing", "crop"):
        plain = MOVES[name](layers, bounding_box_format="xyxy")
        other = MOVES[name](layers, bounding_box_format=form)
        images, labels = np.zeros((1, 20, 20, 1)), np.ones((1, 1), "int32")
        expected = plain({"images": images, "bounding_boxes": {"boxes": corners, "labels": labels}})
        given = {"boxes": convert_format(corners, "xyxy", form, 20, 20), "labels": labels}
        found = other({"images": images, "bounding_boxes": given})
        size = expected["images"].shape[1:3]
        wanted = convert_format(expected["bounding_boxes"]["boxes"], "xyxy", form, *size)
        np.testing.assert_allclose(found["bounding_boxes"]["boxes"], wanted, rtol=1e-5, atol=1e-5)


def test_boxes_that_leave_the_image():
    away = layers.RandomTranslation((0.0, 0.0), (0.5, 0.5), bounding_box_format="xyxy")
    _, moved = boxed(away, [(0, 0, 4, 4), (6, 1, 8, 3), (3, 3, 5, 5)], size=(8, 8))
    assert moved["labels"].tolist() == [1, -1, 3]
    np.testing.assert_allclose(moved["boxes"][[0, 2]], [[4, 0, 8, 4], [7, 3, 8, 5]], atol=1e-5)


def test_translated_boxes_as_keras(real_keras, rng):
    corners = rng.uniform(0, 10, (3, 4, 2))
    given = {"boxes": np.concatenate([corners, corners + 4], -1).astype("float32"),
             "labels": np.ones((3, 4), "int32")}  # fmt: skip
    layer, theirs = (
        module.RandomTranslation(0.3, 0.4, seed=1, bounding_box_format="rel_xyxy")
        for module in (layers, real_keras.layers)
    )
    drawn = theirs.get_random_transformation(np.zeros((3, 14, 16, 1)), training=True)
    from lamina.utils.bounding_boxes import convert_format

    given = convert_format(given, "xyxy", "rel_xyxy", 14, 16)
    found = layer.transform_bounding_boxes(
        given, {"translations": np.asarray(drawn["translations"])}, True, (14, 16)
    )
    expected = theirs.transform_bounding_boxes(
        {"boxes": np.asarray(given["boxes"]), "labels": given["labels"]}, drawn, True
    )
    np.testing.assert_allclose(found["boxes"], np.asarray(expected["boxes"]), atol=1e-5)
    np.testing.assert_array_equal(found["labels"], np.asarray(expected["labels"]))


def test_the_number_of_boxes():
    some = {"boxes": np.ones((2, 2, 4), "float32"), "labels": np.array([[1, 2], [3, 4]])}
    images = np.zeros((2, 8, 8, 3), "float32")
    for most, labels in ((1, [[1], [3]]), (3, [[1, 2, -9], [3, 4, -9]])):
        layer = layers.MaxNumBoundingBoxes(most, fill_value=-9, bounding_box_format="xyxy")
        found = layer({"images": images, "bounding_boxes": some})["bounding_boxes"]
        assert found["boxes"].shape == (2, most, 4)
        assert found["labels"].tolist() == labels
        symbolic = {"boxes": layers.Input((2, 4)), "labels": layers.Input((2,))}
        spec = layer({"images": layers.Input((8, 8, 3)), "bounding_boxes": symbolic})
        assert spec["bounding_boxes"]["boxes"].shape == (None, most, 4)
    mixed = layers.MixUp(seed=1, bounding_box_format="xyxy")(
        {"images": images, "bounding_boxes": some}, training=True
    )["bounding_boxes"]
    assert mixed["boxes"].shape == (2, 4, 4)
    assert {tuple(row) for row in mixed["labels"].tolist()} <= {
        (1, 2, 3, 4),
        (3, 4, 1, 2),
        (1, 2, 1, 2),
        (3, 4, 3, 4),
    }


def test_boxes_through_a_policy(run_traced):
    layer = layers.RandAugment(factor=0.3, seed=3, bounding_box_format="xyxy")
    twin = layers.RandAugment(factor=0.3, seed=3, bounding_box_format="xyxy")
    images = np.zeros((2, 16, 16, 3), "float32")
    boxes = np.array([[[4, 4, 9, 9]], [[2, 3, 12, 8]]], "float32")
    labels = np.ones((2, 1), "int32")

    def changed(of):
        return lambda x, b, n: of({"images": x, "bounding_boxes": {"boxes": b, "labels": n}}, training=True)[
            "bounding_boxes"
        ]["boxes"]

    several = [changed(layer)(images, boxes, labels) for _ in range(6)]
    assert any(not np.array_equal(boxes, each) for each in several)
    np.testing.assert_allclose(run_traced(changed(twin), images, boxes, labels), several[0], atol=1e-4)


def test_masks_are_distorted_as_their_images(rng):
    masks = (rng.uniform(size=(2, 40, 40, 1)) > 0.5).astype("float32")
    layer = layers.RandomElasticTransform((1.0, 1.0), 0.8, interpolation="nearest", seed=4)
    found = layer({"images": masks, "segmentation_masks": masks}, training=True)
    np.testing.assert_array_equal(found["images"], found["segmentation_masks"])
    assert not np.array_equal(found["images"], masks)


@pytest.mark.parametrize("scale", [0.3, 0.9])
def test_elastic_distortion_is_as_far_and_as_smooth_as_that_of_keras(scale, real_keras):
    ramp = np.broadcast_to(np.arange(64, dtype="float32")[:, None, None], (8, 64, 64, 1))
    found = []
    for module in (layers, real_keras.layers):
        layer = module.RandomElasticTransform((1.0, 1.0), (scale, scale), seed=2)
        shifts = (np.asarray(layer(ramp, training=True)) - ramp)[:, 12:-12, 12:-12]
        found.append([np.sqrt(np.mean(np.square(part))) for part in (shifts, np.diff(shifts, axis=2))])
    np.testing.assert_allclose(*found, rtol=0.15)  # of other draws: 8 images differ by 5 % among each other


@pytest.mark.parametrize(
    ("error", "wrong", "fragment"),
    [
        (ArgumentError, lambda: layers.RandomFlip("diagonal"), "mode='diagonal'"),
        (ArgumentError, lambda: layers.RandomRotation(2.0), "factor=2.0"),
        (ArgumentError, lambda: layers.RandomZoom((0.1, 0.2, 0.3)), "height_factor"),
        (ArgumentError, lambda: layers.RandomRotation(0.1, fill_mode="mirror"), "'reflect'"),
        (ArgumentError, lambda: layers.RandomRotation(0.1, interpolation="cubic"), "'bilinear'"),
        (ArgumentError, lambda: layers.RandomBrightness(0.1, value_range=(1, 0)), "value_range=(1, 0)"),
        (ArgumentError, lambda: layers.RandomFlip(data_format="channels_first"), "np.moveaxis"),
        (ArgumentError, lambda: layers.Resizing(0, 3), "height=0"),
        (ArgumentError, lambda: layers.Resizing(2, 3, interpolation="area"), "'lanczos5'"),
        (
            ArgumentError,
            lambda: layers.Resizing(2, 3, crop_to_aspect_ratio=True, pad_to_aspect_ratio=True),
            "both",
        ),
        (ShapeError, lambda: layers.RandomFlip()(np.ones((4, 4))), "x[..., None]"),
        (ArgumentError, lambda: layers.RandomFlip()({"pictures": np.ones((4, 4, 3))}), "'images'"),
        (ArgumentError, lambda: layers.RandomFlip(bounding_box_format="corners"), "rel_xyxy"),
        (ArgumentError, lambda: boxed(layers.RandomFlip()), "bounding_box_format='xyxy'"),
        (ArgumentError, lambda: boxed(layers.CutMix(bounding_box_format="xyxy")), "cannot change"),
        (
            ArgumentError,
            lambda: layers.RandomFlip(bounding_box_format="xyxy")(
                {"images": np.ones((4, 4, 3)), "bounding_boxes": np.ones(4)}
            ),
            "'boxes' and 'labels'",
        ),
    ],
)
def test_wrong_uses(error, wrong, fragment):
    with pytest.raises(error) as caught:
        wrong()
    assert fragment in str(caught.value)


GROUPS = [
    ["RandomFlip", "RandomRotation", "RandomZoom", "RandomTranslation", "RandomShear",
     "RandomPerspective", "RandomCrop"],
    ["RandomBrightness", "RandomContrast", "RandomHue", "RandomSaturation", "RandomColorDegeneration",
     "RandomSharpness", "RandomPosterization"],
    ["RandomInvert", "RandomGrayscale", "Solarization", "AutoContrast", "Equalization", "RandomGaussianBlur",
     "RandomErasing", "MixUp", "CutMix"],
    ["RandomElasticTransform", "ContrastLimitedAdaptiveHistogramEqualization"],
    ["RandomColorJitter", "RandAugment"],
]  # fmt: skip


@pytest.mark.parametrize("group", GROUPS, ids=lambda group: group[0])
def test_in_the_compiled_step(group, images):
    """Native training on bytes: the loss is the same as on the reference backend."""
    losses = []
    for backend in ("cpu", "reference"):
        chain = [made(name) for name in group]
        model = lamina.Sequential(
            [
                layers.Input((7, 8, 3), dtype="uint8"),
                *chain,
                layers.Flatten(),
                layers.Dense(1, kernel_initializer="ones"),
            ]
        )
        model.compile("sgd", "mse", backend=backend)
        losses.append(
            model.fit(images, np.ones(4), batch_size=2, epochs=1, shuffle=False, verbose=0).history["loss"][0]
        )
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-3)
