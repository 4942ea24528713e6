"""Padding, windows over series, and the loaders of texts."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

import lamina
from lamina import layers
from lamina.core.errors import ArgumentError, DataError
from lamina.datasets import imdb, reuters
from lamina.datasets.download import Source
from lamina.utils import pad_sequences, timeseries_dataset_from_array

LISTS = [[1], [2, 3], [4, 5, 6], []]


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"padding": "post"},
        {"maxlen": 2},
        {"maxlen": 2, "truncating": "post"},
        {"maxlen": 4, "padding": "post", "value": -1, "dtype": "float32"},
    ],
)
def test_pad_sequences(arguments, real_keras):
    expected = real_keras.utils.pad_sequences(LISTS, **arguments)
    found = pad_sequences(LISTS, **arguments)
    np.testing.assert_array_equal(found, expected)
    assert found.dtype == expected.dtype


def test_pad_sequences_of_vectors(real_keras):
    vectors = [np.ones((2, 3)), np.full((1, 3), 2.0)]
    np.testing.assert_array_equal(
        pad_sequences(vectors, dtype="float32"), real_keras.utils.pad_sequences(vectors, dtype="float32")
    )


def test_windows_over_a_series():
    series = np.arange(20)
    windows = timeseries_dataset_from_array(
        series, series[4:], sequence_length=3, sequence_stride=2, sampling_rate=2, batch_size=4
    )
    batches = list(windows)
    assert len(windows) == len(batches) == 2
    assert batches[0][0].tolist() == [[0, 2, 4], [2, 4, 6], [4, 6, 8], [6, 8, 10]]
    assert batches[0][1].tolist() == [4, 6, 8, 10]
    assert sum(len(x) for x, _ in batches) == 8
    alone = timeseries_dataset_from_array(series, None, 3, batch_size=None, start_index=5, end_index=10)
    assert [window.tolist() for window in alone] == [[5, 6, 7], [6, 7, 8], [7, 8, 9]]


def test_windows_train_a_model():
    lamina.utils.set_random_seed(0)
    series = np.sin(np.arange(300) / 5).astype("float32")[:, None]
    windows = timeseries_dataset_from_array(series, series[10:, 0], 10, batch_size=32, shuffle=True, seed=1)
    model = lamina.Sequential([lamina.Input((10, 1)), layers.GRU(8), layers.Dense(1)])
    model.compile(lamina.optimizers.Adam(0.02), "mse")
    assert model.fit(windows, epochs=15, verbose=0).history["loss"][-1] < 0.02


def published(tmp_path, monkeypatch, module, name, **arrays):
    """A file with these arrays in the place of the published one."""
    path = tmp_path / name
    np.savez(path, **arrays)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    monkeypatch.setattr(module, "_TEXTS", Source(name, "https://example.org", digest))
    return tmp_path


def texts(rng, count):
    found = np.empty(count, dtype=object)
    found[:] = [rng.integers(1, 50, rng.integers(3, 9)).tolist() for _ in range(count)]
    return found


@pytest.mark.parametrize(
    "arguments", [{}, {"num_words": 20, "skip_top": 5}, {"maxlen": 7, "start_char": None, "oov_char": None}]
)
def test_texts_are_numbered_as_keras_numbers_them(tmp_path, monkeypatch, rng, real_keras, arguments):
    arrays = {
        "x_train": texts(rng, 30),
        "y_train": np.arange(30),
        "x_test": texts(rng, 9),
        "y_test": np.arange(9),
    }
    folder = published(tmp_path, monkeypatch, imdb, "imdb.npz", **arrays)
    wires = {"x": texts(rng, 40), "y": np.arange(40)}
    published(tmp_path, monkeypatch, reuters, "reuters.npz", **wires)
    import keras.src.datasets.imdb as their_imdb
    import keras.src.datasets.reuters as their_reuters

    for ours, theirs, name in ((imdb, their_imdb, "imdb.npz"), (reuters, their_reuters, "reuters.npz")):
        monkeypatch.setattr(
            theirs, "get_file", lambda path=None, fname=None, **_: str(tmp_path / (fname or path))
        )
        expected, found = (
            theirs.load_data(name, **arguments),
            ours.load_data(name, folder=folder, **arguments),
        )
        for one, other in zip(found, expected):
            assert [list(text) for text in one[0]] == [list(text) for text in other[0]]
            np.testing.assert_array_equal(one[1], other[1])


def test_names_and_words(tmp_path, monkeypatch, real_keras):
    assert reuters.get_label_names() == real_keras.datasets.reuters.get_label_names()
    path = tmp_path / "imdb_word_index.json"
    path.write_text('{"the": 1}', encoding="utf-8")
    digest = hashlib.md5(path.read_bytes()).hexdigest()
    monkeypatch.setattr(imdb, "_INDEX", Source(path.name, "https://example.org", digest))
    assert imdb.get_word_index(folder=tmp_path) == {"the": 1}
    path.write_text('{"a": 1}', encoding="utf-8")
    with pytest.raises(DataError, match="not the file that was published"):
        imdb.get_word_index(folder=tmp_path)


@pytest.mark.parametrize(
    ("action", "error", "part"),
    [
        (lambda: pad_sequences([1, 2]), DataError, "list of sequences"),
        (lambda: pad_sequences(LISTS, padding="left"), ArgumentError, "'left'"),
        (lambda: pad_sequences([["a"]], value="x"), ArgumentError, "dtype=object"),
        (lambda: pad_sequences([[[1, 2]], [[1]]]), DataError, "sequence 1"),
        (lambda: timeseries_dataset_from_array(np.arange(5), None, 6), ArgumentError, "not a single window"),
        (lambda: timeseries_dataset_from_array(np.arange(5), None, 0), ArgumentError, "sequence_length=0"),
        (
            lambda: timeseries_dataset_from_array(np.arange(5), None, 2, end_index=9),
            ArgumentError,
            "end_index",
        ),
    ],
)
def test_wrong_uses(action, error, part):
    with pytest.raises(error) as caught:
        action()
    assert part in str(caught.value)
