"""Folders of texts and of sounds: found, split and read; models that begin with them learn."""

from __future__ import annotations

import wave

import numpy as np
import pytest

import lamina
from lamina import layers, preprocessing
from lamina.core.errors import ArgumentError, DataError
from lamina.utils import audio_dataset_from_directory, text_dataset_from_directory
from lamina.utils.sound_folders import read_wave, resampled

QUIET = {"verbose": False}


@pytest.fixture
def texts(tmp_path):
    for name, word in (("bad", "dull"), ("good", "bright")):
        (tmp_path / name).mkdir()
        for number in range(8):
            (tmp_path / name / f"{number}.txt").write_text(f"a {word} täle {number}", encoding="utf-8")
    (tmp_path / "bad" / "cover.png").write_bytes(b"no text")
    return tmp_path


def write(path, samples, rate=8000, width=2):
    """samples: floats (length, channels) from -1 to 1."""
    levels = np.round(np.asarray(samples) * 2 ** (8 * width - 1)).astype("int64")
    levels = np.clip(levels, -(2 ** (8 * width - 1)), 2 ** (8 * width - 1) - 1)
    if width == 1:
        data = (levels + 128).astype("uint8").tobytes()
    else:
        data = levels.astype("<i8").view("uint8").reshape(-1, 8)[:, :width].tobytes()
    with wave.open(str(path), "wb") as file:
        file.setnchannels(levels.shape[1])
        file.setsampwidth(width)
        file.setframerate(rate)
        file.writeframes(data)


def tone(pitch, length=200, rate=8000):
    return 0.5 * np.sin(2 * np.pi * pitch * np.arange(length) / rate)[:, None]


@pytest.fixture
def sounds(tmp_path):
    for name, pitch in (("high", 1000), ("low", 250)):
        (tmp_path / name).mkdir()
        for number in range(6):
            write(tmp_path / name / f"{number}.wav", tone(pitch + 20 * number, 180 + 10 * number))
    return tmp_path


def test_texts_in_order(texts, capsys):
    data = text_dataset_from_directory(texts, batch_size=10, shuffle=False)
    assert capsys.readouterr().out == "Found 16 files belonging to 2 classes.\n"
    assert data.class_names == ["bad", "good"]
    strings, labels = data[0]
    assert strings.tolist()[:2] == ["a dull täle 0", "a dull täle 1"]
    assert labels.tolist() == [0] * 8 + [1] * 2
    assert [len(batch) for batch, _ in data] == [10, 6]
    short = text_dataset_from_directory(texts, labels=None, max_length=6, shuffle=False, **QUIET)
    assert short[0].tolist() == ["a dull"] * 8 + ["a brig"] * 8


def test_a_model_that_begins_with_texts(texts):
    lamina.utils.set_random_seed(2)
    options = {"batch_size": 4, "seed": 3, "label_mode": "binary", **QUIET}
    train, test = preprocessing.text_dataset_from_directory(
        texts, validation_split=0.25, subset="both", **options
    )
    vectorize = layers.TextVectorization(output_mode="multi_hot")
    vectorize.adapt(train)
    assert set(vectorize.get_vocabulary()) > {"dull", "bright", "täle"}
    model = lamina.Sequential([lamina.Input((1,), dtype="string"), vectorize, layers.Dense(1, "sigmoid")])
    model.compile(lamina.optimizers.Adam(0.2), "binary_crossentropy", metrics=["accuracy"])
    history = model.fit(train, validation_data=test, epochs=8, verbose=0).history
    assert history["val_accuracy"][-1] == 1.0
    assert model.predict(test, verbose=0).shape == (4, 1)


@pytest.mark.parametrize("width", [1, 2, 3, 4])
def test_samples_of_all_widths(width, tmp_path, rng):
    sound = rng.uniform(-1, 1, (50, 2))
    write(tmp_path / "x.wav", sound, rate=11025, width=width)
    found, rate = read_wave(tmp_path / "x.wav")
    assert (found.shape, found.dtype, rate) == ((50, 2), "float32", 11025)
    np.testing.assert_allclose(found, sound, atol=2.0 ** (1 - 8 * width) + 1e-7)


def test_sounds_of_one_length_and_of_the_longest(sounds):
    cut = audio_dataset_from_directory(
        sounds, output_sequence_length=200, batch_size=12, shuffle=False, **QUIET
    )
    batch, labels = cut[0]
    assert (batch.shape, batch.dtype) == ((12, 200, 1), "float32")
    assert labels.tolist() == [0] * 6 + [1] * 6
    np.testing.assert_allclose(batch[0, :180], tone(1000, 180), atol=1e-4)
    assert not batch[0, 180:].any()
    free = audio_dataset_from_directory(sounds, batch_size=3, shuffle=False, **QUIET)
    assert [len(batch[0]) for batch, _ in free] == [200, 230, 200, 230]


def test_resampling_keeps_the_tone(sounds):
    np.testing.assert_allclose(resampled(tone(400, 400, 8000), 800), tone(400, 800, 16000), atol=1e-5)
    np.testing.assert_allclose(resampled(tone(400, 400, 8000), 200), tone(400, 200, 4000), atol=1e-5)
    data = audio_dataset_from_directory(
        sounds, sampling_rate=4000, output_sequence_length=160, shuffle=False, **QUIET
    )
    assert data[0][0].shape == (12, 80, 1)


def test_training_from_sounds(sounds):
    lamina.utils.set_random_seed(1)
    train = audio_dataset_from_directory(sounds, output_sequence_length=160, batch_size=4, seed=1, **QUIET)
    model = lamina.Sequential(
        [layers.Input((160, 1)), layers.Conv1D(4, 9, activation="relu"), layers.GlobalMaxPooling1D(),
         layers.Dense(2, "softmax")]
    )  # fmt: skip
    model.compile(lamina.optimizers.Adam(0.03), "sparse_categorical_crossentropy", metrics=["accuracy"])
    assert model.fit(train, epochs=30, verbose=0).history["accuracy"][-1] == 1.0


def damaged(at, name, contents):
    (at / "bad" / name).write_bytes(contents)
    return at


WRONG = {
    "no text": (
        DataError,
        lambda at: text_dataset_from_directory(damaged(at, "9.txt", b"\xff\xfe"), shuffle=False, **QUIET)[0],
        "9.txt",
    ),
    "no texts": (DataError, lambda at: text_dataset_from_directory(at, class_names=["none"]), "'none'"),
    "no sounds": (DataError, lambda at: audio_dataset_from_directory(at), "has no sounds"),
    "no wave": (
        DataError,
        lambda at: audio_dataset_from_directory(damaged(at, "x.wav", b"RIFF...."), **QUIET)[0],
        "x.wav",
    ),
    "ragged": (ArgumentError, lambda at: audio_dataset_from_directory(at, ragged=True), "dense tensors"),
    "no rate": (ArgumentError, lambda at: audio_dataset_from_directory(at, sampling_rate=0), "sampling_rate"),
    "no length": (ArgumentError, lambda at: text_dataset_from_directory(at, max_length=-1), "max_length"),
    "format": (ArgumentError, lambda at: text_dataset_from_directory(at, format="csv"), "'grain'"),
    "batch": (ArgumentError, lambda at: text_dataset_from_directory(at, batch_size=0), "batch_size"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_uses(name, texts):
    error, wrong, fragment = WRONG[name]
    with pytest.raises(error) as caught:
        wrong(texts)
    assert fragment in str(caught.value)


def test_channels_that_differ(tmp_path):
    (tmp_path / "a").mkdir()
    for channels in (1, 2):
        write(tmp_path / "a" / f"{channels}.wav", np.zeros((9, channels)))
    with pytest.raises(DataError, match=r"\[1, 2\]"):
        audio_dataset_from_directory(tmp_path, **QUIET)[0]
