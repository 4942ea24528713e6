"""What all drawings begin with: a batch of images, channels last, as numbers from 0 to 255."""

from __future__ import annotations

from typing import Any

import numpy as np

from lamina.config import set_image_data_format
from lamina.core.errors import ShapeError, StateError


def checked_images(images: Any, data_format: str | None) -> np.ndarray[Any, Any]:
    """The images as an array (number, height, width, channels). ShapeError for another rank."""
    if data_format is not None:
        set_image_data_format(data_format)
    array = np.asarray(images)
    if array.ndim != 4:
        raise ShapeError(
            "images must be a batch.", expected="(number, height, width, channels)", got=f"{array.shape}"
        )
    return array


def as_bytes(images: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """uint8 from 0 to 255; floats that go up to 1 are taken as fractions."""
    if images.dtype.kind == "f" and images.size and images.max() <= 1.0:
        images = images * 255.0
    return np.clip(images, 0, 255).astype(np.uint8)


def missing(package: str) -> StateError:
    return StateError(f"This needs the package {package}.", fix='pip install "lamina[plot]"')
