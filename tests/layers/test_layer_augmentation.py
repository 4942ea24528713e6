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
    np.testing.assert_allclose(by_trace, first, rtol=1e-4, atol=1e-3)
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
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=2e-3)


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
        (
            ArgumentError,
            lambda: layers.RandomFlip()({"images": np.ones((4, 4, 3)), "bounding_boxes": np.ones(4)}),
            "bounding boxes",
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
