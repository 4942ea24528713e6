"""Images coloured by the class of each pixel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lamina.core.errors import DTypeError, ShapeError
from lamina.visualization.images import checked_images


def draw_segmentation_masks(
    images: Any,
    segmentation_masks: Any,
    num_classes: int | None = None,
    color_mapping: Mapping[int, Sequence[int]] | None = None,
    alpha: float = 0.8,
    blend: bool = True,
    ignore_index: int = -1,
    data_format: str | None = None,
) -> np.ndarray[Any, Any]:
    """The images with each pixel in the colour of its class.

    images: (number, height, width, 3), from 0 to 255. segmentation_masks: whole numbers, (number, height,
    width, 1). num_classes: by default the largest number among them. color_mapping: class to (red, green,
    blue); by default colours that differ. alpha: how much of the colour; with `blend=False` all of it.
    ignore_index: the class that is left as it is. Raises ShapeError or DTypeError for what does not fit.

    >>> draw_segmentation_masks(photos, model.predict(photos).argmax(-1)[..., None])
    """
    pictures = checked_images(images, data_format).astype(np.float32)
    masks = np.asarray(segmentation_masks)
    if masks.dtype.kind not in "iu":
        raise DTypeError(f"segmentation_masks must be whole numbers, got {masks.dtype.name}.")
    if masks.shape != (*pictures.shape[:3], 1):
        raise ShapeError(
            "segmentation_masks do not fit the images.",
            expected=str((*pictures.shape[:3], 1)),
            got=str(masks.shape),
        )
    classes = masks[..., 0]
    count = int(classes.max(initial=0)) if num_classes is None else num_classes
    colored = pictures.copy()
    for number in range(count):
        colored[classes == number] = _color(number) if color_mapping is None else color_mapping[number]
    if not blend:
        return colored
    blended = pictures * (1 - alpha) + colored * alpha
    kept: np.ndarray[Any, Any] = np.where((classes != ignore_index)[..., None], blended, pictures)
    return kept.astype(np.uint8)


def _color(number: int) -> list[int]:
    return [number * step % 255 for step in (2**25 - 1, 2**15 - 1, 2**21 - 1)]
