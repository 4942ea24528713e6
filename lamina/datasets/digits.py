"""Handwritten digits of the UCI repository: 1,797 images of 8x8 pixels, in the package itself."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

import numpy as np

from lamina.core.errors import ArgumentError

Array = np.ndarray[Any, Any]


def load_data(test_fraction: float = 0.2, seed: int = 0) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    """The digits, shuffled and split.

    test_fraction: the share of images kept for testing. seed: of the shuffle; the same seed gives the same
    split. Returns ((x_train, y_train), (x_test, y_test)): images uint8 [rows, 8, 8] with values 0 to 16,
    labels uint8 [rows].

    >>> (x_train, y_train), (x_test, y_test) = load_data()
    >>> x_train.shape, x_test.shape
    ((1438, 8, 8), (359, 8, 8))

    Source: Alpaydin and Kaynak, "Optical Recognition of Handwritten Digits", UCI (1998), CC BY 4.0.
    """
    if not 0 < test_fraction < 1:
        raise ArgumentError(
            "digits.load_data: test_fraction is a share.",
            expected="0 < test_fraction < 1",
            got=str(test_fraction),
        )
    with (files("lamina.datasets") / "data" / "digits.npz").open("rb") as file, np.load(file) as archive:
        images, labels = archive["x"], archive["y"]
    order = np.random.default_rng(seed).permutation(len(images))
    cut = len(images) - round(len(images) * test_fraction)
    train, test = order[:cut], order[cut:]
    return (images[train], labels[train]), (images[test], labels[test])
