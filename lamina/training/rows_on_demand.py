"""Batches of rows of data that are not all in memory: files, and arrays filled out as they are read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from lamina.core import tree
from lamina.training.alike import Alike
from lamina.training.data import Arrays, DataSet, Index, Permutation
from lamina.training.lazy import LazyArray
from lamina.training.stream import IterableAdapter, Reader, Reordered


class RowsOnDemand(Reordered):
    """The rows of a DataSet batch by batch, each a list of arrays as they come: not converted yet."""

    def __init__(
        self, data: DataSet, batch_size: int, permutation: Permutation = None, first_pass: int = 0
    ) -> None:
        super().__init__(permutation, first_pass)
        self.data = data
        self._batch_size = batch_size

    def __len__(self) -> int:
        return -(-self.data.rows // self._batch_size)

    def __iter__(self) -> Iterator[Arrays]:
        order = None
        if self._permutation is not None:
            order = self._permutation(self._pass, self.data.rows, self._batch_size)
        self._pass += 1
        return self._batches(order)

    def _batches(self, order: Index | None) -> Iterator[Arrays]:
        for start in range(0, self.data.rows, self._batch_size):
            stop = min(start + self._batch_size, self.data.rows)
            rows = slice(start, stop) if order is None else order[start:stop]
            yield [
                array.as_stored(rows) if isinstance(array, LazyArray) else array[rows]
                for array in self.data.arrays
            ]


class RowsAdapter(IterableAdapter):
    """The batches of RowsOnDemand. Arguments as for IterableAdapter."""

    def __init__(
        self, rows: RowsOnDemand, steps: int | None = None, repeat: bool = True, epochs: int = 1
    ) -> None:
        self._data = rows.data
        super().__init__(rows, _RowsReader(rows.data), steps, repeat, epochs)

    def targets(self) -> Any:
        return self._data.data[1]


class _RowsReader(Reader):
    """What is in memory was checked as a whole; the rest is looked at by the steps that meet it."""

    def __init__(self, data: DataSet) -> None:
        self._data = data

    def read(self, given: Arrays) -> DataSet:
        leaves = iter(
            leaf.with_array(_converted(array, leaf.array.dtype))
            for leaf, array in zip(self._data.leaves, given)
        )
        parts = tree.map_structure(lambda leaf: None if leaf is None else next(leaves), self._data.data)
        return DataSet(*parts)

    def alike(self, given: Arrays, batch: DataSet) -> Alike | None:
        if not Alike.possible(given, batch):
            return None
        return Alike(given, batch, [False] * len(given), lambda targets: ())


def _converted(array: np.ndarray[Any, Any], dtype: np.dtype[Any]) -> np.ndarray[Any, Any]:
    with np.errstate(over="ignore", invalid="ignore"):
        return np.ascontiguousarray(array, dtype)
