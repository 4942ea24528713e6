"""CIFAR-100: 60,000 colour pictures of 32x32 pixels in a hundred classes, or twenty coarse ones."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from lamina.core.errors import ArgumentError
from lamina.datasets import cifar
from lamina.datasets.download import Source, obtain

Array = np.ndarray[Any, Any]

_SOURCE = Source(
    "cifar-100-python.tar.gz",
    "https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz",
    "85cd44d02ba6437773c5bbd22e183051d648de2e7d6b014e1ef29b855ba677a7",
)


def load_data(
    label_mode: str = "fine", *, folder: str | os.PathLike[str] | None = None
) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    """((x_train, y_train), (x_test, y_test)): images uint8 [rows, 32, 32, 3], labels uint8 [rows, 1].

    label_mode: "fine" for 100 classes, "coarse" for 20. 50,000 images to learn from and 10,000 to test with,
    from `folder` (cifar-100-python.tar.gz), or the cache, or downloaded (169 MB). Raises ArgumentError for
    another label_mode, DataError when the file cannot be had, or is not the published one.

    >>> (x_train, y_train), (x_test, y_test) = load_data("coarse")
    >>> x_train.shape, int(y_test.max())
    ((50000, 32, 32, 3), 19)

    Source: A. Krizhevsky, "Learning Multiple Layers of Features from Tiny Images" (2009).
    """
    if label_mode not in ("fine", "coarse"):
        raise ArgumentError(
            f"cifar100.load_data cannot have label_mode={label_mode!r}.", expected="'fine' or 'coarse'"
        )
    archive = obtain(_SOURCE, folder)
    train = cifar.read(archive, ["cifar-100-python/train"], f"{label_mode}_labels")
    return train, cifar.read(archive, ["cifar-100-python/test"], f"{label_mode}_labels")
