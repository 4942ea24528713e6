"""Folders of images as a data set: read in the background, batch by batch, while the network learns."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from lamina.core.config import config
from lamina.core.errors import ArgumentError, DataError
from lamina.training.py_dataset import PyDataset
from lamina.utils.images import img_to_array, load_img

Array = np.ndarray[Any, Any]

FORMATS = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".webp")
_CHANNELS = {"grayscale": 1, "rgb": 3, "rgba": 4}
_METHODS = {
    "nearest": "nearest",
    "bilinear": "bilinear",
    "bicubic": "bicubic",
    "area": "box",
    "lanczos3": "lanczos",
}


class ImageFolder(PyDataset):
    """Batches of images, uint8 (batch, height, width, channels), and their labels, from files.

    file_paths, labels: of all images, in one order; `class_names` names the labels. A batch is made from its
    files when it is asked for. With `shuffle` the order of the images is another one in every epoch; `seed`
    decides which. Made by `image_dataset_from_directory`.
    """

    def __init__(
        self,
        file_paths: Sequence[str],
        labels: Array | None,
        class_names: Sequence[str] | None,
        batch_size: int,
        image_size: tuple[int, int],
        color_mode: str = "rgb",
        interpolation: str = "bilinear",
        aspect: str | None = None,
        shuffle: bool = False,
        seed: int | None = None,
    ) -> None:
        super().__init__(workers=min(4, os.cpu_count() or 1))
        self.file_paths = list(file_paths)
        self.labels = labels
        self.class_names = None if class_names is None else list(class_names)
        self.batch_size = batch_size
        self.image_size = image_size
        self.color_mode = color_mode
        self.interpolation = interpolation
        self.aspect = aspect
        self._rng = np.random.default_rng(seed) if shuffle else None
        self._order = np.arange(len(self.file_paths))
        self.on_epoch_end()

    def __len__(self) -> int:
        return -(-len(self.file_paths) // self.batch_size)

    def __getitem__(self, index: int) -> Any:
        if not 0 <= index < len(self):
            raise IndexError(f"batch {index} of {len(self)}")
        rows = self._order[index * self.batch_size : (index + 1) * self.batch_size]
        images = np.stack([self.read(self.file_paths[row]) for row in rows])
        return images if self.labels is None else (images, self.labels[rows])

    def on_epoch_end(self) -> None:
        """Shuffle for the next epoch."""
        if self._rng is not None:
            self._order = self._rng.permutation(len(self.file_paths))

    def read(self, path: str) -> Array:
        """The image in one file, uint8 (height, width, channels); DataError, naming it, if it is damaged."""
        method, size = _METHODS[self.interpolation], self.image_size
        if self.aspect != "pad":
            image = load_img(path, self.color_mode, size, method, keep_aspect_ratio=self.aspect == "crop")
            return img_to_array(image, dtype="uint8")
        image = load_img(path, self.color_mode)
        scale = min(size[0] / image.height, size[1] / image.width)
        inner = (max(round(image.height * scale), 1), max(round(image.width * scale), 1))
        array = img_to_array(load_img(path, self.color_mode, inner, method), dtype="uint8")
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
    size = (image_size, image_size) if isinstance(image_size, int) else image_size
    _check(color_mode, label_mode, interpolation, size, batch_size, data_format)
    if crop_to_aspect_ratio and pad_to_aspect_ratio:
        raise ArgumentError("Images can be cropped to the aspect ratio or padded to it, not both.")
    if (validation_split is None) != (subset is None) or subset not in (
        None,
        "training",
        "validation",
        "both",
    ):
        raise ArgumentError(
            "validation_split and subset belong together.",
            expected="a share, and 'training', 'validation' or 'both'",
            got=f"validation_split={validation_split!r}, subset={subset!r}",
        )
    if validation_split is not None and not 0 < validation_split < 1:
        raise ArgumentError(f"validation_split is a share between 0 and 1, got {validation_split!r}.")
    if subset in ("training", "validation") and shuffle and seed is None:
        raise ArgumentError(
            "The two subsets would overlap: each call shuffles anew.", fix="give both calls the same seed."
        )
    size = (int(size[0]), int(size[1]))
    paths, numbers, names = _index(Path(directory), labels, class_names, follow_links)
    if skip_corrupt:
        paths, numbers = _readable(paths, numbers)
    if not paths:
        raise DataError(f"{directory} has no images.", expected=f"files that end with {', '.join(FORMATS)}")
    if verbose and config.interactive_logging:
        print(f"Found {len(paths)} files" + (f" belonging to {len(names)} classes." if names else "."))
    if shuffle:
        seed = int(np.random.randint(2**31)) if seed is None else seed
        order = np.random.default_rng(seed).permutation(len(paths))
        paths, numbers = [paths[row] for row in order], None if numbers is None else numbers[order]
    targets = _encoded(numbers, label_mode, len(names) if names else None)
    aspect = "crop" if crop_to_aspect_ratio else "pad" if pad_to_aspect_ratio else None

    def dataset(rows: slice, shuffled: bool) -> ImageFolder:
        chosen = None if targets is None else targets[rows]
        return ImageFolder(
            paths[rows], chosen, names, batch_size, size, color_mode, interpolation, aspect, shuffled, seed
        )

    if validation_split is None:
        return dataset(slice(None), shuffle)
    cut = len(paths) - int(validation_split * len(paths))
    parts = {"training": (slice(0, cut), shuffle), "validation": (slice(cut, None), False)}
    if cut in (0, len(paths)):
        raise DataError(f"{len(paths)} images are too few to keep {validation_split:.0%} for validation.")
    return (
        tuple(dataset(*part) for part in parts.values()) if subset == "both" else dataset(*parts[str(subset)])
    )


def _check(
    color_mode: Any, label_mode: Any, interpolation: Any, size: Any, batch_size: Any, data_format: Any
) -> None:
    choices: list[tuple[str, Any, Iterable[Any]]] = [
        ("color_mode", color_mode, _CHANNELS),
        ("label_mode", label_mode, ("int", "binary", "categorical", None)),
        ("interpolation", interpolation, _METHODS),
        ("data_format", data_format, (None, "channels_last")),
    ]
    for argument, value, allowed in choices:
        if value not in allowed:
            raise ArgumentError(
                f"image_dataset_from_directory cannot have {argument}={value!r}.",
                expected="one of " + ", ".join(map(repr, allowed)),
            )
    if len(size) != 2 or any(not isinstance(extent, int) or extent < 1 for extent in size):
        raise ArgumentError(f"image_size must be (height, width), got {size!r}.")
    if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
        raise ArgumentError(f"batch_size must be a whole number of at least 1, got {batch_size!r}.")


def _index(
    directory: Path, labels: Any, class_names: Sequence[str] | None, follow_links: bool
) -> tuple[list[str], Array | None, list[str] | None]:
    """The files, their numbers, and what the numbers are called."""
    if not directory.is_dir():
        raise DataError(f"{directory} is not a folder.", got=f"in {Path.cwd()}")
    if not isinstance(labels, str):
        if class_names is not None:
            raise ArgumentError("class_names are the names of subfolders: they need labels='inferred'.")
        paths = _files(directory, follow_links)
        if labels is None:
            return paths, None, None
        numbers = np.asarray(labels)
        if numbers.shape != (len(paths),) or numbers.dtype.kind not in "iu":
            raise DataError(
                "labels must be one whole number for each file.",
                expected=f"{len(paths)} whole numbers",
                got=f"{numbers.dtype} of shape {numbers.shape}",
            )
        return paths, numbers.astype("int32"), [str(number) for number in sorted(set(numbers.tolist()))]
    if labels != "inferred":
        raise ArgumentError(f"There is no labels={labels!r}.", expected="'inferred', None, or whole numbers")
    folders = sorted(entry.name for entry in directory.iterdir() if entry.is_dir() and entry.name[0] != ".")
    names = folders if class_names is None else list(class_names)
    unknown = [name for name in names if name not in folders]
    if unknown or not names:
        raise DataError(
            f"{directory} has no subfolder {unknown[0]!r}." if unknown else f"{directory} has no subfolders.",
            expected="a subfolder for each class",
            got=f"the subfolders {', '.join(folders) or 'none'}",
            fix=None if names else "pass labels=None for images without labels.",
        )
    found = [_files(directory / name, follow_links) for name in names]
    numbers = np.repeat(np.arange(len(names), dtype="int32"), [len(files) for files in found])
    return [path for files in found for path in files], numbers, names


def _files(folder: Path, follow_links: bool) -> list[str]:
    return sorted(
        os.path.join(place, file)
        for place, _, files in os.walk(folder, followlinks=follow_links)
        for file in files
        if file.lower().endswith(FORMATS)
    )


def _readable(paths: list[str], numbers: Array | None) -> tuple[list[str], Array | None]:
    """The files that are images; a warning names the others."""

    def damaged(path: str) -> bool:
        try:
            load_img(path)
        except DataError:
            return True
        return False

    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        wrong = list(pool.map(damaged, paths))
    if any(wrong):
        named = [path for path, bad in zip(paths, wrong) if bad]
        more = f", and {len(named) - 5} more" if len(named) > 5 else ""
        warnings.warn(f"Left out, as they are no images: {', '.join(named[:5])}{more}.", stacklevel=3)
    kept = [path for path, bad in zip(paths, wrong) if not bad]
    return kept, None if numbers is None else numbers[~np.array(wrong, bool)]


def _encoded(numbers: Array | None, label_mode: str | None, classes: int | None) -> Array | None:
    if numbers is None or label_mode is None or classes is None:
        return None
    if label_mode == "binary":
        if classes != 2:
            raise ArgumentError("label_mode='binary' is for two classes.", got=f"{classes} classes")
        return numbers.astype("float32")[:, None]
    if label_mode == "categorical":
        return np.eye(classes, dtype="float32")[numbers]
    return numbers
