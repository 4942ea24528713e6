"""Fashion-MNIST: 70,000 pictures of clothes of 28x28 pixels."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from lamina.datasets import idx
from lamina.datasets.download import Source, obtain

Array = np.ndarray[Any, Any]

CLASSES = (
    "T-shirt/top", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot",
)  # fmt: skip

_ADDRESS = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/"
_FILES = {
    "train-images-idx3-ubyte.gz": "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
    "train-labels-idx1-ubyte.gz": "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
    "t10k-images-idx3-ubyte.gz": "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
    "t10k-labels-idx1-ubyte.gz": "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
}
_SHAPES = ((60000, 28, 28), (60000,), (10000, 28, 28), (10000,))

# Debian's package dataset-fashion-mnist: the same content, compressed anew.
SYSTEM_FOLDER = Path("/usr/share/datasets/fashion-mnist")


def load_data(
    *, folder: str | os.PathLike[str] | None = None
) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    """((x_train, y_train), (x_test, y_test)): images uint8 [rows, 28, 28], labels uint8 [rows], 0 to 9.

    60,000 images to learn from and 10,000 to test with, from `folder` (the four .gz files), or the cache, or
    the operating system's package dataset-fashion-mnist, or downloaded (31 MB). `CLASSES` names the labels.
    Raises DataError when a file cannot be had, or does not hold what it should.

    >>> (x_train, y_train), (x_test, y_test) = load_data()
    >>> x_train.shape, y_test.shape
    ((60000, 28, 28), (10000,))

    Source: H. Xiao, K. Rasul, R. Vollgraf, "Fashion-MNIST" (2017), MIT licence.
    """
    arrays = [idx.read(_path(name, folder), shape) for name, shape in zip(_FILES, _SHAPES)]
    return (arrays[0], arrays[1]), (arrays[2], arrays[3])


def _path(name: str, folder: str | os.PathLike[str] | None) -> Path:
    if folder is None and (SYSTEM_FOLDER / name).is_file():
        return SYSTEM_FOLDER / name
    # In a folder of their own: MNIST's files have the same names.
    source = Source(f"fashion-mnist/{name}", _ADDRESS + name, _FILES[name])
    return obtain(source if folder is None else Source(name, source.url, source.digest), folder)
