"""CIFAR-10: 60,000 colour pictures of 32x32 pixels in ten classes."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from lamina.datasets import cifar
from lamina.datasets.download import Source, obtain

Array = np.ndarray[Any, Any]

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")

_SOURCE = Source(
    "cifar-10-python.tar.gz",
    "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
    "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce",
)


def load_data(
    *, folder: str | os.PathLike[str] | None = None
) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    """((x_train, y_train), (x_test, y_test)): images uint8 [rows, 32, 32, 3], labels uint8 [rows, 1], 0 to 9.

    50,000 images to learn from and 10,000 to test with, from `folder` (cifar-10-python.tar.gz), or the
    cache, or downloaded (170 MB). `CLASSES` names the labels. Raises DataError when the file cannot be had,
    or is not the published one.

    >>> (x_train, y_train), (x_test, y_test) = load_data()
    >>> x_train.shape, y_test.shape
    ((50000, 32, 32, 3), (10000, 1))

    Source: A. Krizhevsky, "Learning Multiple Layers of Features from Tiny Images" (2009).
    """
    archive = obtain(_SOURCE, folder)
    batches = [f"cifar-10-batches-py/data_batch_{number}" for number in range(1, 6)]
    train = cifar.read(archive, batches, "labels")
    return train, cifar.read(archive, ["cifar-10-batches-py/test_batch"], "labels")
