"""The digits in the package are those of the UCI repository, split without overlap."""

from __future__ import annotations

import hashlib
from importlib.resources import files

import numpy as np
import pytest

from lamina.core.errors import ArgumentError
from lamina.datasets import digits


def rows(images, labels):
    return sorted(image.tobytes() + bytes([label]) for image, label in zip(images, labels))


def test_all_images_are_there_once():
    (x, y), (x_test, y_test) = digits.load_data()
    assert (x.shape, x_test.shape) == ((1438, 8, 8), (359, 8, 8))
    assert x.dtype == y.dtype == np.uint8
    assert (x.min(), x.max()) == (0, 16)
    assert sorted(set(y)) == list(range(10))
    everything = rows(np.concatenate([x, x_test]), np.concatenate([y, y_test]))
    # The digest of the same rows as scikit-learn ships them.
    digest = hashlib.sha256(b"".join(everything)).hexdigest()
    assert digest == "f67d6a29d0e1f70e7f0cd9dcf25816b694881f4b8f27f5cc1db59551f0499fb8"


def test_the_seed_decides_the_split():
    first, again, other = (digits.load_data(seed=seed)[1][1] for seed in (3, 3, 4))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


@pytest.mark.parametrize("fraction", [0, 1, -0.1, 2.0])
def test_the_test_fraction_is_a_share(fraction):
    with pytest.raises(ArgumentError, match="test_fraction"):
        digits.load_data(test_fraction=fraction)


def test_test_fraction():
    (x, _), (x_test, _) = digits.load_data(test_fraction=0.5)
    assert (len(x), len(x_test)) == (899, 898)


def test_licence_and_source_lie_beside_the_data():
    text = (files("lamina.datasets") / "data" / "README.md").read_text(encoding="utf-8")
    assert "CC BY 4.0" in text
    assert "10.24432/C50P49" in text
