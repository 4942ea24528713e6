"""MNIST: 70,000 handwritten digits of 28x28 pixels."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from lamina.datasets.download import Source, obtain

Array = np.ndarray[Any, Any]

_SOURCE = Source(
    "mnist.npz",
    "https://storage.googleapis.com/tensorflow/tf-keras-datasets/mnist.npz",
    "731c5ac602752760c8e48fbffcf8c3b850d9dc2a2aedcf2cc48468fc17b673d1",
)


def load_data(
    path: str = "mnist.npz", *, folder: str | os.PathLike[str] | None = None
) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    """((x_train, y_train), (x_test, y_test)): images uint8 [rows, 28, 28], labels uint8 [rows], 0 to 9.

    60,000 images to learn from and 10,000 to test with, from `folder`, or the cache, or downloaded (11 MB).
    path: the name of the file there, or its absolute path. Raises DataError when the file cannot be had, or
    is not the published one.

    >>> (x_train, y_train), (x_test, y_test) = load_data()
    >>> x_train.shape, y_test.shape
    ((60000, 28, 28), (10000,))

    Source: Y. LeCun, C. Cortes, C. Burges, "The MNIST database of handwritten digits", CC BY-SA 3.0.
    """
    if os.path.isabs(path):
        folder, path = os.path.split(path)
    with np.load(Path(obtain(replace(_SOURCE, name=path), folder)), allow_pickle=False) as archive:
        return (archive["x_train"], archive["y_train"]), (archive["x_test"], archive["y_test"])
