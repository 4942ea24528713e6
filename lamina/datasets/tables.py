"""Tables of numbers published as .npz files: shuffled and divided as Keras does."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

import numpy as np

from lamina.core.errors import ArgumentError
from lamina.datasets.download import Source, obtain

Array = np.ndarray[Any, Any]
Folder = str | os.PathLike[str] | None
Parts = tuple[tuple[Array, Array], tuple[Array, Array]]


def read(source: Source, path: str, folder: Folder) -> tuple[Array, Array]:
    """x [rows, columns] and y [rows] of the file `path` in the folder, or of the absolute path."""
    if os.path.isabs(path):
        folder, path = os.path.split(path)
    with np.load(obtain(replace(source, name=path), folder), allow_pickle=False) as archive:
        return archive["x"], archive["y"]


def check_split(test_split: float) -> None:
    """ArgumentError unless it leaves rows to learn from."""
    if not 0 <= test_split < 1:
        raise ArgumentError(f"test_split={test_split} is no share of rows.", expected="0 <= test_split < 1")


def divide(x: Array, y: Array, test_split: float, seed: int) -> Parts:
    """((x_train, y_train), (x_test, y_test)) in a new order, the one that Keras gives them."""
    order = np.arange(len(x))
    np.random.RandomState(seed).shuffle(order)
    x, y = x[order], y[order]
    cut = int(len(x) * (1 - test_split))
    return (x[:cut], y[:cut]), (x[cut:], y[cut:])
