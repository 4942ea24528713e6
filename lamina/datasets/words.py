"""Texts that are published as lists of word numbers: reading the files, numbering as Keras does."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from typing import Any

import numpy as np

from lamina.core.errors import DataError
from lamina.datasets.download import Source, obtain

Array = np.ndarray[Any, Any]
Folder = str | os.PathLike[str] | None


def read(source: Source, path: str, folder: Folder) -> dict[str, Array]:
    """The arrays of a published .npz. Lists of words are pickled in it, so it is read only after its digest
    was found to be that of the published file.
    """
    if os.path.isabs(path):
        folder, path = os.path.split(path)
    with np.load(obtain(replace(source, name=path), folder), allow_pickle=True) as archive:
        return {name: archive[name] for name in archive.files}


def read_index(source: Source, path: str, folder: Folder) -> dict[str, int]:
    """A published dict from words to their ranks."""
    if os.path.isabs(path):
        folder, path = os.path.split(path)
    with open(obtain(replace(source, name=path), folder), encoding="utf-8") as file:
        index: dict[str, int] = json.load(file)
    return index


def shuffled(texts: Array, labels: Array, generator: np.random.RandomState) -> tuple[list[Any], Array]:
    """Texts and labels in a new order, the one that Keras gives them with such a generator."""
    order = np.arange(len(texts))
    generator.shuffle(order)
    return [texts[place] for place in order], labels[order]


def with_start(texts: list[Any], start_char: int | None, index_from: int) -> list[list[int]]:
    """Ranks moved up by `index_from`, behind `start_char`."""
    if start_char is None:
        return [[word + (index_from or 0) for word in text] for text in texts]
    return [[start_char, *(word + index_from for word in text)] for text in texts]


def not_longer(texts: list[list[int]], labels: Array, maxlen: int | None) -> tuple[list[list[int]], Array]:
    """The texts with fewer than `maxlen` words. DataError when none is left."""
    if not maxlen:
        return texts, labels
    kept = [place for place, text in enumerate(texts) if len(text) < maxlen]
    if not kept:
        raise DataError(f"No text is shorter than maxlen={maxlen}.", fix="a larger maxlen")
    return [texts[place] for place in kept], labels[kept]


def limited(
    texts: list[list[int]], num_words: int | None, skip_top: int, oov_char: int | None
) -> list[list[int]]:
    """Words outside skip_top ... num_words - 1 as `oov_char`, or left out when that is None."""
    top = num_words or max(max(text) for text in texts)
    if oov_char is None:
        return [[word for word in text if skip_top <= word < top] for text in texts]
    return [[word if skip_top <= word < top else oov_char for word in text] for text in texts]


def ragged(texts: list[list[int]]) -> Array:
    """Lists of different lengths as an array of objects."""
    array = np.empty(len(texts), dtype=object)
    array[:] = texts
    return array
