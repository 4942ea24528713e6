"""Folders of images as a data set: read in the background, batch by batch, while the network learns."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from lamina.core.errors import ArgumentError, DataError
from lamina.utils.folders import FileBatches, Files, Request
from lamina.utils.images import img_to_array, load_img

Array = np.ndarray[Any, Any]

FORMATS = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".webp")
_COLOR_MODES = ("grayscale", "rgb", "rgba")
_METHODS = {
    "nearest": "nearest",
    "bilinear": "bilinear",
    "bicubic": "bicubic",
    "area": "box",
    "lanczos3": "lanczos",
}


@dataclass(frozen=True)
class Form:
    """What images are made to be: their size (height, width), their colours, and how they are resized.

    aspect: "crop" or "pad" instead of distorting.
    """

    size: tuple[int, int]
    color_mode: str
    interpolation: str
    aspect: str | None


class ImageFolder(FileBatches):
    """Batches of images, uint8 (batch, height, width, channels), and their labels, from files.

    A batch is made from its files when it is asked for. Made by `image_dataset_from_directory`.
    """

    def __init__(self, files: Files, batch_size: int, form: Form) -> None:
        super().__init__(files, batch_size)
        self.form = form

    def read(self, path: str) -> Array:
        """The image in one file, uint8 (height, width, channels); DataError, naming it, if it is damaged."""
        form = self.form
        method, size = _METHODS[form.interpolation], form.size
        if form.aspect != "pad":
            image = load_img(path, form.color_mode, size, method, keep_aspect_ratio=form.aspect == "crop")
            return img_to_array(image, dtype="uint8")
        image = load_img(path, form.color_mode)
        scale = min(size[0] / image.height, size[1] / image.width)
        inner = (max(round(image.height * scale), 1), max(round(image.width * scale), 1))
        array = img_to_array(load_img(path, form.color_mode, inner, method), dtype="uint8")
        top, left = (size[0] - inner[0]) // 2, (size[1] - inner[1]) // 2
        padded = np.zeros((*size, array.shape[-1]), np.uint8)
        padded[top : top + inner[0], left : left + inner[1]] = array
        return padded


def image_dataset_from_directory(
    directory: str | os.PathLike[str],
    labels: str | Sequence[int] | None = "inferred",
    label_mode: str | None = "int",
    class_names: Sequence[str] | None = None,
    color_mode: str = "rgb",
    batch_size: int = 32,
    image_size: int | tuple[int, int] = (256, 256),
    shuffle: bool = True,
    seed: int | None = None,
    validation_split: float | None = None,
    subset: str | None = None,
    interpolation: str = "bilinear",
    follow_links: bool = False,
    crop_to_aspect_ratio: bool = False,
    pad_to_aspect_ratio: bool = False,
    data_format: str | None = None,
    verbose: bool = True,
    skip_corrupt: bool = False,
) -> Any:
    """The images below a folder, whose subfolders are the classes, as a data set for `fit`.

    labels: "inferred" from the subfolders, None for none, or one whole number for each file, in the order of
    their paths. label_mode: "int", "binary" (float, (batch, 1)), "categorical" (one-hot) or None.
    class_names: the subfolders in the order of their labels; sorted by default. color_mode: "rgb",
    "grayscale" or "rgba". image_size: (height, width). shuffle, seed: the order, another one in each epoch.
    validation_split: a share of the files, of which `subset`, "training", "validation" or "both" (a pair of
    data sets), is wanted; then give a seed. interpolation: "bilinear", "nearest", "bicubic", "area" or
    "lanczos3". crop_to_aspect_ratio, pad_to_aspect_ratio: cut, or add borders, instead of distorting.
    skip_corrupt: look at every file first, and leave out, with a warning, those that are no images.

    Returns an ImageFolder, with `class_names` and `file_paths`; its images are bytes, from 0 to 255.
    Raises ArgumentError for arguments that make no sense, DataError when there are no images. A damaged file
    is a DataError, naming it, when it is read.

    >>> train, test = image_dataset_from_directory("pets", validation_split=0.2, subset="both", seed=1)
    >>> model.fit(train, validation_data=test, epochs=5)
    """
    request = Request(
        "image_dataset_from_directory",
        directory,
        labels,
        label_mode,
        class_names,
        batch_size,
        shuffle,
        seed,
        validation_split,
        subset,
        follow_links,
        verbose,
    )
    request.choose("color_mode", color_mode, _COLOR_MODES)
    request.choose("interpolation", interpolation, _METHODS)
    request.choose("data_format", data_format, (None, "channels_last"))
    size = (image_size, image_size) if isinstance(image_size, int) else image_size
    if len(size) != 2 or any(not isinstance(extent, int) or extent < 1 for extent in size):
        raise ArgumentError(f"image_size must be (height, width), got {size!r}.")
    if crop_to_aspect_ratio and pad_to_aspect_ratio:
        raise ArgumentError("Images can be cropped to the aspect ratio or padded to it, not both.")
    aspect = "crop" if crop_to_aspect_ratio else "pad" if pad_to_aspect_ratio else None
    form = Form((size[0], size[1]), color_mode, interpolation, aspect)

    def make(files: Files) -> ImageFolder:
        return ImageFolder(files, batch_size, form)

    return request.datasets("images", FORMATS, make, _readable if skip_corrupt else None)


def _readable(paths: list[str]) -> list[bool]:
    """Which of the files are images; a warning names the others."""

    def whole(path: str) -> bool:
        try:
            load_img(path)
        except DataError:
            return False
        return True

    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        good = list(pool.map(whole, paths))
    if not all(good):
        named = [path for path, fine in zip(paths, good) if not fine]
        more = f", and {len(named) - 5} more" if len(named) > 5 else ""
        warnings.warn(f"Left out, as they are no images: {', '.join(named[:5])}{more}.", stacklevel=4)
    return good
