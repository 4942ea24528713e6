"""Folders of texts as a data set: strings, batch by batch, for TextVectorization."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lamina.core.errors import DataError
from lamina.utils.folders import FileBatches, Files, Request, positive

Array = np.ndarray[Any, Any]


class TextFolder(FileBatches):
    """Batches of texts, an array of str (batch,), and their labels, from files in UTF-8.

    Made by `text_dataset_from_directory`.
    """

    def __init__(self, files: Files, batch_size: int, max_length: int | None) -> None:
        super().__init__(files, batch_size)
        self.max_length = max_length

    def read(self, path: str) -> str:
        """The text in one file, at most `max_length` characters of it."""
        try:
            return Path(path).read_text(encoding="utf-8")[: self.max_length]
        except UnicodeDecodeError as error:
            raise DataError(f"{path} is no text in UTF-8.", got=str(error)) from None

    def collate(self, contents: list[str]) -> Array:
        texts = np.empty(len(contents), dtype=object)
        texts[:] = contents
        return texts


def text_dataset_from_directory(
    directory: str | os.PathLike[str],
    labels: str | Sequence[int] | None = "inferred",
    label_mode: str | None = "int",
    class_names: Sequence[str] | None = None,
    batch_size: int = 32,
    max_length: int | None = None,
    shuffle: bool = True,
    seed: int | None = None,
    validation_split: float | None = None,
    subset: str | None = None,
    follow_links: bool = False,
    format: str = "tf",
    verbose: bool = True,
) -> Any:
    """The .txt files below a folder, whose subfolders are the classes, as a data set for `fit` and `adapt`.

    max_length: the number of characters after which a text is cut off. format: "tf" or "grain", which makes
    no difference: the data set is a PyDataset. The other arguments, and errors, are those of
    `image_dataset_from_directory`.

    Returns a TextFolder, with `class_names` and `file_paths`; each batch is an array of strings (batch,),
    and the labels. A file that is no text is a DataError, naming it, when it is read.

    >>> train, test = text_dataset_from_directory("reviews", validation_split=0.2, subset="both", seed=1)
    >>> vectorize.adapt(train)
    >>> model.fit(train, validation_data=test, epochs=5)
    """
    request = Request(
        "text_dataset_from_directory",
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
    request.choose("format", format, ("tf", "grain"))
    if max_length is not None:
        positive("max_length", max_length)
    return request.datasets("texts", (".txt",), lambda files: TextFolder(files, batch_size, max_length))
