"""Reuters: 11,228 newswires as word numbers, about 46 topics."""

from __future__ import annotations

import numpy as np

from lamina.datasets import words
from lamina.datasets.download import Source
from lamina.datasets.words import Array, Folder

_FOLDER = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/"
_TEXTS = Source(
    "reuters.npz", f"{_FOLDER}reuters.npz", "d6586e694ee56d7a4e65172e12b3e987c03096cb01eab99753921ef915959916"
)
# Published with its MD5 only.
_INDEX = Source(
    "reuters_word_index.json", f"{_FOLDER}reuters_word_index.json", "4d44cc38712099c9e383dc6e5f11a921"
)
_TOPICS = """
    cocoa grain veg-oil earn acq wheat copper housing money-supply coffee sugar trade reserves ship cotton
    carcass crude nat-gas cpi money-fx interest gnp meal-feed alum oilseed gold tin strategic-metal livestock
    retail ipi iron-steel rubber heat jobs lei bop zinc orange pet-chem dlr gas silver wpi hog lead
"""


def load_data(
    path: str = "reuters.npz",
    num_words: int | None = None,
    skip_top: int = 0,
    maxlen: int | None = None,
    test_split: float = 0.2,
    seed: int = 113,
    start_char: int | None = 1,
    oov_char: int | None = 2,
    index_from: int = 3,
    *,
    folder: Folder = None,
) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    """((x_train, y_train), (x_test, y_test)): newswires as lists of word numbers, and their topics.

    test_split: the share of texts to test with. The other arguments are those of imdb. Raises DataError when
    the file cannot be had (2 MB), or is not the published one.

    >>> (x_train, y_train), (x_test, y_test) = load_data(num_words=10000)
    """
    arrays = words.read(_TEXTS, path, folder)
    texts, labels = words.shuffled(arrays["x"], arrays["y"], np.random.RandomState(seed))
    texts, labels = words.not_longer(words.with_start(texts, start_char, index_from), labels, maxlen)
    texts = words.limited(texts, num_words, skip_top, oov_char)
    cut = int(len(texts) * (1 - test_split))
    return (words.ragged(texts[:cut]), np.asarray(labels[:cut])), (
        words.ragged(texts[cut:]),
        np.asarray(labels[cut:]),
    )


def get_word_index(path: str = "reuters_word_index.json", *, folder: Folder = None) -> dict[str, int]:
    """{word: its rank by frequency}; in the texts `index_from` is added."""
    return words.read_index(_INDEX, path, folder)


def get_label_names() -> tuple[str, ...]:
    """The names of the 46 topics."""
    return tuple(_TOPICS.split())
