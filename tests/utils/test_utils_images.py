"""Images in files and folders: read as Keras reads them, trained on as bytes, damaged ones named."""

from __future__ import annotations

import io

import numpy as np
import pytest

import lamina
from lamina import layers, utils
from lamina.core.errors import ArgumentError, DataError, ShapeError
from lamina.utils import image_dataset_from_directory


@pytest.fixture
def folder(tmp_path, rng):
    """Two classes: dark and bright pictures, of several sizes and formats."""
    for name, low in (("bright", 150), ("dark", 0)):
        (tmp_path / name).mkdir()
        for number in range(10):
            size = (9, 12) if number % 2 else (14, 8)
            picture = rng.integers(low, low + 100, (*size, 3)).astype("uint8")
            path = tmp_path / name / f"{number}.{'png' if number % 3 else 'bmp'}"
            utils.save_img(path, picture, scale=False)
    (tmp_path / "dark" / "notes.txt").write_text("no image")
    (tmp_path / ".hidden").mkdir()
    return tmp_path


@pytest.mark.parametrize("mode", ["rgb", "grayscale", "rgba"])
def test_files_as_keras_reads_them(mode, folder, real_keras):
    path = str(folder / "dark" / "1.png")
    for options in (
        {},
        {"target_size": (6, 7)},
        {"target_size": (5, 10), "interpolation": "bilinear", "keep_aspect_ratio": True},
    ):
        mine = utils.img_to_array(utils.load_img(path, color_mode=mode, **options))
        theirs = real_keras.utils.img_to_array(real_keras.utils.load_img(path, color_mode=mode, **options))
        assert mine.dtype == theirs.dtype
        np.testing.assert_array_equal(mine, theirs)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_arrays_to_images_and_back(channels, real_keras, rng, tmp_path):
    array = rng.normal(size=(5, 6, channels)).astype("float32")
    mine, theirs = utils.array_to_img(array), real_keras.utils.array_to_img(array)
    assert mine.mode == theirs.mode
    np.testing.assert_array_equal(np.asarray(mine), np.asarray(theirs))
    picture = rng.integers(0, 256, (5, 6, channels)).astype("uint8")
    utils.save_img(tmp_path / "x.png", picture, scale=False)
    mode = {1: "grayscale", 3: "rgb", 4: "rgba"}[channels]
    back = utils.img_to_array(utils.load_img(tmp_path / "x.png", mode), dtype="uint8")
    np.testing.assert_array_equal(back, picture)
    opened = utils.load_img(io.BytesIO((tmp_path / "x.png").read_bytes()), mode)
    np.testing.assert_array_equal(utils.img_to_array(opened, dtype="uint8"), picture)


def test_transparent_images_become_jpegs(tmp_path):
    with pytest.warns(UserWarning, match="no transparency"):
        utils.save_img(tmp_path / "x.jpg", np.ones((4, 4, 4)))
    assert utils.load_img(tmp_path / "x.jpg").mode == "RGB"


def test_smart_resize_as_keras(real_keras, rng):
    from keras.preprocessing.image import smart_resize

    from lamina.preprocessing.image import smart_resize as mine

    for shape in ((9, 14, 3), (2, 14, 9, 1)):
        x = rng.normal(size=shape).astype("float32")
        np.testing.assert_allclose(mine(x, (6, 6)), np.asarray(smart_resize(x, (6, 6))), rtol=1e-4, atol=1e-5)


def test_a_folder_as_a_data_set(folder, capsys):
    data = image_dataset_from_directory(folder, image_size=(8, 8), batch_size=6, shuffle=False)
    assert capsys.readouterr().out == "Found 20 files belonging to 2 classes.\n"
    assert data.class_names == ["bright", "dark"]
    assert len(data) == 4
    images, labels = data[0]
    assert images.shape == (6, 8, 8, 3)
    assert images.dtype == np.uint8
    assert labels.tolist() == [0] * 6
    assert data[3][0].shape == (2, 8, 8, 3)
    assert [path.endswith(f"{name}") for path, name in zip(data.file_paths, ("0.bmp", "1.png"))] == [
        True,
        True,
    ]
    assert np.concatenate([batch[1] for batch in (data[i] for i in range(4))]).tolist() == [0] * 10 + [1] * 10


def test_shuffling_and_splits(folder):
    options = {"image_size": 8, "batch_size": 4, "seed": 7, "verbose": False}
    train, test = image_dataset_from_directory(folder, validation_split=0.25, subset="both", **options)
    assert (len(train.file_paths), len(test.file_paths)) == (15, 5)
    assert not set(train.file_paths) & set(test.file_paths)
    alone = image_dataset_from_directory(folder, validation_split=0.25, subset="validation", **options)
    assert alone.file_paths == test.file_paths
    np.testing.assert_array_equal(alone[0][0], test[0][0])
    first = train[0][0]
    train.on_epoch_end()
    assert not np.array_equal(train[0][0], first)


@pytest.mark.parametrize(
    ("mode", "shape", "dtype"),
    [("int", (4,), "int32"), ("binary", (4, 1), "float32"), ("categorical", (4, 2), "float32")],
)
def test_label_modes(mode, shape, dtype, folder):
    _, labels = image_dataset_from_directory(
        folder, label_mode=mode, image_size=8, batch_size=4, verbose=False
    )[0]
    assert labels.shape == shape
    assert labels.dtype == dtype


def test_without_labels_and_with_ones_own(folder):
    plain = image_dataset_from_directory(folder, labels=None, image_size=8, batch_size=20, verbose=False)
    assert plain[0].shape == (20, 8, 8, 3)
    own = image_dataset_from_directory(
        folder, labels=list(range(20)), image_size=8, batch_size=20, shuffle=False, verbose=False
    )
    assert own[0][1].tolist() == list(range(20))
    few = image_dataset_from_directory(folder, class_names=["dark"], image_size=8, verbose=False)
    assert len(few.file_paths) == 10


def test_undistorted(folder):
    options = {"image_size": (8, 8), "batch_size": 20, "shuffle": False, "verbose": False}
    padded = image_dataset_from_directory(folder, pad_to_aspect_ratio=True, **options)[0][0]
    assert (padded[0, :, 0] == 0).all()
    assert padded[0, :, 4].all()
    cropped = image_dataset_from_directory(folder, crop_to_aspect_ratio=True, **options)[0][0]
    assert (cropped[:10] >= 140).all()


def test_training_from_files(folder):
    lamina.utils.set_random_seed(1)
    train = image_dataset_from_directory(folder, image_size=8, batch_size=5, seed=1, verbose=False)
    model = lamina.Sequential(
        [layers.Input((8, 8, 3)), layers.Rescaling(1 / 255), layers.Conv2D(4, 3, activation="tanh"),
         layers.GlobalAveragePooling2D(), layers.Dense(2, "softmax")]
    )  # fmt: skip
    model.compile(lamina.optimizers.Adam(0.03), "sparse_categorical_crossentropy", metrics=["accuracy"])
    history = model.fit(train, epochs=15, verbose=0).history
    assert history["accuracy"][-1] == 1.0
    still = image_dataset_from_directory(folder, image_size=8, batch_size=5, shuffle=False, verbose=False)
    assert (model.predict(still, verbose=0).argmax(axis=1) == still.labels).all()


def test_damaged_files_are_named_and_left_out_only_when_asked(folder):
    path = folder / "dark" / "4.png"
    path.write_bytes(path.read_bytes()[:60])
    options = {"image_size": 8, "batch_size": 20, "verbose": False}
    with pytest.raises(DataError, match=r"4\.png cannot be read as an image"):
        image_dataset_from_directory(folder, **options)[0]
    with pytest.warns(UserWarning, match=r"Left out.*4\.png"):
        data = image_dataset_from_directory(folder, skip_corrupt=True, **options)
    assert len(data.file_paths) == 19
    assert data[0][0].shape == (19, 8, 8, 3)
    (folder / "dark" / "4.png").write_text("text")
    with pytest.raises(DataError, match=r"4\.png"):
        utils.load_img(path)


WRONG = {
    "no folder": (DataError, lambda at: image_dataset_from_directory(at / "none"), "not a folder"),
    "no subfolders": (DataError, lambda at: image_dataset_from_directory(at / "dark"), "labels=None"),
    "unknown class": (DataError, lambda at: image_dataset_from_directory(at, class_names=["grey"]), "'grey'"),
    "too few labels": (
        DataError,
        lambda at: image_dataset_from_directory(at, labels=[1]),
        "20 whole numbers",
    ),
    "unknown mode": (ArgumentError, lambda at: image_dataset_from_directory(at, color_mode="hsv"), "'rgb'"),
    "half a split": (
        ArgumentError,
        lambda at: image_dataset_from_directory(at, validation_split=0.2),
        "subset",
    ),
    "no seed": (
        ArgumentError,
        lambda at: image_dataset_from_directory(at, validation_split=0.2, subset="training"),
        "same seed",
    ),
    "channels first": (
        ArgumentError,
        lambda at: image_dataset_from_directory(at, data_format="channels_first"),
        "channels_last",
    ),
    "no size": (ArgumentError, lambda at: image_dataset_from_directory(at, image_size=(8, 0)), "image_size"),
    "vector": (ShapeError, lambda at: utils.array_to_img(np.ones(3)), "(3,)"),
    "two channels": (ShapeError, lambda at: utils.array_to_img(np.ones((3, 3, 2))), "1, 3 or 4"),
    "interpolation": (ArgumentError, lambda at: utils.load_img(at, interpolation="cubic"), "'bicubic'"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_uses(name, folder):
    error, wrong, fragment = WRONG[name]
    with pytest.raises(error) as caught:
        wrong(folder)
    assert fragment in str(caught.value)


def test_without_pillow(folder, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(ImportError, match=r"pip install 'lamina\[images\]'"):
        utils.load_img(folder / "dark" / "1.png")
