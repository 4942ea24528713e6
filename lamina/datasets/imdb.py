"""IMDB: 50,000 reviews of films as word numbers, half of them good, half of them bad."""

from __future__ import annotations

import numpy as np

from lamina.datasets import words
from lamina.datasets.download import Source
from lamina.datasets.words import Array, Folder

_FOLDER = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/"
_TEXTS = Source(
    "imdb.npz", f"{_FOLDER}imdb.npz", "69664113be75683a8fe16e3ed0ab59fda8886cb3cd7ada244f7d9544e4676b9f"
)
# Published with its MD5 only.
_INDEX = Source("imdb_word_index.json", f"{_FOLDER}imdb_word_index.json", "bfafd718b763782e994055a2d397834f")


def load_data(
    path: str = "imdb.npz",
    num_words: int | None = None,
    skip_top: int = 0,
    maxlen: int | None = None,
    seed: int = 113,
    start_char: int | None = 1,
    oov_char: int | None = 2,
    index_from: int = 3,
    *,
    folder: Folder = None,
) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    """((x_train, y_train), (x_test, y_test)): 25,000 reviews each, lists of word numbers, 1 for a good one.

    num_words, skip_top: only words whose number lies between; others become `oov_char`. maxlen: only shorter
    reviews. start_char: in front of each review. index_from: where the words begin. path, folder: as for
    mnist. Raises DataError when the file cannot be had (17 MB), or is not the published one.

    >>> (x_train, y_train), _ = load_data(num_words=20000)
    >>> x = lamina.utils.pad_sequences(x_train, maxlen=80)

    Source: A. Maas et al., "Learning Word Vectors for Sentiment Analysis" (2011).
    """
    arrays = words.read(_TEXTS, path, folder)
    parts = []
    generator = np.random.RandomState(seed)
    for part in ("train", "test"):
        texts, labels = words.shuffled(arrays[f"x_{part}"], arrays[f"y_{part}"], generator)
        parts.append(words.not_longer(words.with_start(texts, start_char, index_from), labels, maxlen))
    (train, y_train), (test, y_test) = parts
    texts = words.limited([*train, *test], num_words, skip_top, oov_char)
    x_train, x_test = words.ragged(texts[: len(train)]), words.ragged(texts[len(train) :])
    return (x_train, np.asarray(y_train)), (x_test, np.asarray(y_test))


def get_word_index(path: str = "imdb_word_index.json", *, folder: Folder = None) -> dict[str, int]:
    """{word: its rank by frequency}; in the reviews `index_from` is added."""
    return words.read_index(_INDEX, path, folder)
