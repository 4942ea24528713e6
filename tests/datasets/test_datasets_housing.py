"""Tables of houses: divided as Keras divides them, only from the published files."""

from __future__ import annotations

import hashlib
from importlib import import_module

import numpy as np
import pytest

from lamina.core.errors import ArgumentError, DataError
from lamina.datasets import boston_housing, california_housing
from lamina.datasets.download import Source

NAMES = ["boston_housing", "california_housing"]


@pytest.fixture
def published(tmp_path, monkeypatch, rng):
    """The folder of two files with other numbers, for which the loaders are told the digests."""
    for module, columns in ((boston_housing, 13), (california_housing, 8)):
        path = tmp_path / module._SOURCE.name
        np.savez(path, x=rng.normal(size=(700, columns)), y=np.arange(700.0))
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        monkeypatch.setattr(module, "_SOURCE", Source(path.name, "http://nowhere", digest))
    return tmp_path


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("boston_housing", {}),
        ("boston_housing", {"test_split": 0.33, "seed": 5}),
        ("california_housing", {}),
        ("california_housing", {"version": "small", "test_split": 0, "seed": 5}),
    ],
)
def test_the_rows_are_those_of_keras(published, monkeypatch, real_keras, name, arguments):
    ours = import_module(f"lamina.datasets.{name}")
    theirs = import_module(f"keras.src.datasets.{name}")
    monkeypatch.setattr(theirs, "get_file", lambda path, **_: str(published / path))
    expected = theirs.load_data(**arguments)
    by_folder = ours.load_data(folder=published, **arguments)
    by_path = ours.load_data(path=str(published / f"{name}.npz"), **arguments)
    for found in (by_folder, by_path):
        for one, other in zip(found, expected):
            np.testing.assert_array_equal(one[0], other[0])
            np.testing.assert_array_equal(one[1], other[1])


@pytest.mark.parametrize("name", NAMES)
def test_the_files_are_those_of_keras(name, real_keras):
    import inspect

    ours = import_module(f"lamina.datasets.{name}")._SOURCE
    theirs = inspect.getsource(import_module(f"keras.src.datasets.{name}"))
    assert ours.digest in theirs
    assert ours.url.endswith(f"tf-keras-datasets/{ours.name}")
    assert ours.name in theirs


@pytest.mark.parametrize("name", NAMES)
def test_wrong_uses(published, name):
    load_data = import_module(f"lamina.datasets.{name}").load_data
    for share in (1, -0.1):
        with pytest.raises(ArgumentError, match="test_split="):
            load_data(test_split=share, folder=published)
    (published / f"{name}.npz").write_bytes(b"something else")
    with pytest.raises(DataError, match="not the file that was published"):
        load_data(folder=published)
    with pytest.raises(ArgumentError, match="'medium'"):
        california_housing.load_data("medium")


def test_columns_have_names(published):
    (x, _), _ = california_housing.load_data(folder=published)
    assert x.shape[1] == len(california_housing.COLUMNS)
