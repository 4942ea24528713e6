"""Counting tokens: which there are in data, how often, and in how many rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


class TokenCounts:
    """What `adapt` of a lookup has seen so far. by_row: whether to count the rows with each token, too."""

    def __init__(self, by_row: bool) -> None:
        self._by_row = by_row
        self._counts: Counter[Any] = Counter()
        self._rows_with: Counter[Any] = Counter()
        self._rows = 0

    def __bool__(self) -> bool:
        return bool(self._counts)

    def add(self, row: Sequence[Any]) -> None:
        """Count the tokens of a row."""
        self._counts.update(row)
        if self._by_row:
            self._rows_with.update(set(row))
            self._rows += 1

    def most_common(self, without: Iterable[Any], most: int | None) -> list[Any]:
        """The tokens but for some, the most frequent first; at most so many.

        Of equally frequent ones the one that sorts last comes first, as in Keras, which compares bytes.
        """
        left_out = set(without)
        order = sorted(
            (token for token in self._counts if token not in left_out),
            key=lambda token: (self._counts[token], _sort_key(token)),
            reverse=True,
        )
        return order if most is None else order[:most]

    def idf(self, tokens: Sequence[Any]) -> Array:
        """The inverse document frequency of each token: log(1 + rows / (1 + rows with the token))."""
        found = np.array([self._rows_with[token] for token in tokens], "float64")
        return np.log(1 + self._rows / (1 + found))


def _sort_key(token: Any) -> Any:
    return token.encode("utf-8") if isinstance(token, str) else token


def batches_of(data: Any, steps: int | None = None) -> Iterable[Any]:
    """`data` itself when it is an array or list, else its batches, of tuples the first entry."""
    if isinstance(data, (np.ndarray, list, tuple)) or hasattr(data, "__array__"):
        return [np.asarray(data, dtype=object) if isinstance(data, (list, tuple)) else np.asarray(data)]
    return (
        batch[0] if isinstance(batch, tuple) else batch
        for number, batch in enumerate(data)
        if steps is None or number < steps
    )
