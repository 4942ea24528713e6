"""Whatever yields batches as a source of them: generators, PyDatasets, loaders of other libraries."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from lamina.core.errors import DataError
from lamina.training.data import BatchType, DataAdapter, DataSet, Index, Work
from lamina.training.prefetch import Prefetcher

Convert = Callable[[Any], DataSet]
Permutation = Callable[[int, int, int], Index] | None


class Reordered(Iterable[Any]):
    """An iterable whose passes have an order each, by (pass number, entries, batch size); None: as they are.

    first_pass: the number of the first pass, when others were made before.
    """

    def __init__(self, permutation: Permutation = None, first_pass: int = 0) -> None:
        self._permutation = permutation
        self._first_pass = self._pass = first_pass

    def reorder(self, permutation: Permutation) -> None:
        """Begin anew, in another order."""
        self._permutation, self._pass = permutation, self._first_pass


def length_of(source: Any) -> int | None:
    """How many batches the source yields, if it says so."""
    try:
        return len(source)
    except (TypeError, NotImplementedError, AttributeError):
        return None  # loaders of other libraries have a __len__ that may not know


class IterableAdapter(DataAdapter):
    """Anything that yields batches: a generator, a data loader, an object whose __iter__ starts anew.

    convert: turns what the source yields into a DataSet. steps: batches per epoch, None for all there are;
    with `repeat` the next epoch goes on where this one ends, otherwise it starts anew if the source can.
    epochs: how many there will be at most, so that an iterator is not asked for more than is needed.

    Batches are made ahead by a thread. Each must have the structure and dtypes of the first: DataError.
    """

    def __init__(
        self,
        source: Iterable[Any],
        convert: Convert,
        steps: int | None = None,
        repeat: bool = True,
        epochs: int = 1,
    ) -> None:
        self.steps = length_of(source) if steps is None else steps
        self._limit = steps
        self._source = source
        self._convert = convert
        self._iterator: Iterator[Any] = iter(source)
        self._once = self._iterator is source
        self._goes_on = steps is not None and (repeat or self._once)
        self._number = 0  # of the batch in this pass
        self._like: DataSet | None = None
        self._first: DataSet | None = self._next_batch()
        if self._first is None:
            raise DataError("The data yields no batch at all.")
        self._wanted = None if steps is None else steps * epochs
        self._ahead: Prefetcher | None = None
        self._fresh = True
        self._seen = 0

    def check_passes(self, epochs: int) -> None:
        if self._once and self._limit is None and epochs > 1:
            raise DataError(
                f"A generator can be gone through only once, not for {epochs} epochs.",
                fix="give steps_per_epoch, or an object whose __iter__ starts anew.",
            )

    def batch_types(self) -> list[BatchType]:
        return [self.sample().batch_type(self.sample().rows)]

    def sample(self) -> DataSet:
        if self._first is None and self._ahead is None:
            self._first = self._next_batch()
        found = self._first or self._like
        if found is None:
            raise _exhausted()
        return found

    def reorder(self, permutation: Permutation) -> None:
        if isinstance(self._source, Reordered):
            self._source.reorder(permutation)
            self._iterator, self._first, self._number = iter(self._source), None, 0

    def begin_epoch(self) -> None:
        self._seen = 0
        if self._goes_on:
            if self._ahead is None:
                self._ahead = Prefetcher(self._endless())
        else:
            self._start_pass()
        self._fresh = False

    def _start_pass(self) -> None:
        if self._ahead is not None:
            self._ahead.close()
        if not self._fresh:
            if self._once:
                raise _exhausted()
            self._iterator, self._first, self._number = iter(self._source), None, 0
        self._ahead = Prefetcher(itertools.islice(self._one_pass(), self._limit))

    def take(self, steps: int) -> Work | None:
        assert self._ahead is not None
        if self._limit is not None:
            steps = min(steps, self._limit - self._seen)
            if not steps:
                return None
        work = self._ahead.take(steps)
        if work is not None:
            self._seen += len(work.order)
        elif self._limit is not None:
            if not self._seen and self._goes_on:
                raise _exhausted()
            warnings.warn(
                f"The data ended after {self._seen} batches of an epoch of {self._limit}.", stacklevel=2
            )
        return work

    def close(self) -> None:
        if self._ahead is not None:
            self._ahead.close()

    # --- in the other thread -----------------------------------------------------------------------

    def _endless(self) -> Iterator[DataSet]:
        """Pass after pass, as far as the source can be started anew; no more batches than are wanted."""
        return itertools.islice(self._passes(), self._wanted)

    def _passes(self) -> Iterator[DataSet]:
        while True:
            yielded = 0
            for batch in self._one_pass():
                yielded += 1
                yield batch
            if self._once or not yielded:
                return
            self._iterator, self._number = iter(self._source), 0

    def _one_pass(self) -> Iterator[DataSet]:
        first, self._first = self._first, None
        if first is not None:
            yield first
        while (batch := self._next_batch()) is not None:
            yield batch

    def _next_batch(self) -> DataSet | None:
        try:
            for given in self._iterator:
                batch = self._convert(given)
                self._check_alike(batch)
                self._number += 1
                return batch
        except Exception as error:
            error.add_note(f"  in batch {self._number}, counted from 0, of {_kind(self._source)}")
            raise
        return None

    def _check_alike(self, batch: DataSet) -> None:
        if self._like is None:
            self._like = batch
            return
        structures = batch.structure, self._like.structure
        if structures[0] != structures[1]:
            raise DataError(
                "A batch has another structure than the first one.",
                expected=_shown(self._like),
                got=_shown(batch),
            )
        for leaf, first in zip(batch.leaves, self._like.leaves):
            if leaf.array.dtype != first.array.dtype or leaf.array.ndim != first.array.ndim:
                raise DataError(
                    f"{leaf.name} of a batch is of another kind than in the first one.",
                    expected=f"{first.array.dtype} with {first.array.ndim} axes",
                    got=f"{leaf.array.dtype} with {leaf.array.ndim} axes",
                    fix=f"let every batch be alike, e.g. .astype('{first.array.dtype}').",
                )


class RowsOnDemand(Reordered):
    """Batches of rows of a DataSet that is not all in memory."""

    def __init__(
        self, data: DataSet, batch_size: int, permutation: Permutation = None, first_pass: int = 0
    ) -> None:
        super().__init__(permutation, first_pass)
        self._data = data
        self._batch_size = batch_size

    def __len__(self) -> int:
        return -(-self._data.rows // self._batch_size)

    def __iter__(self) -> Iterator[DataSet]:
        order = None
        if self._permutation is not None:
            order = self._permutation(self._pass, self._data.rows, self._batch_size)
        self._pass += 1
        return self._batches(order)

    def _batches(self, order: Index | None) -> Iterator[DataSet]:
        for start in range(0, self._data.rows, self._batch_size):
            stop = min(start + self._batch_size, self._data.rows)
            if order is None:
                yield self._data.slice(start, stop).loaded()
            else:
                yield self._data.take(order[start:stop])


def _shown(batch: DataSet) -> str:
    """A batch in words: "x: float32 (32, 4), y: int32 (32,)"."""
    return ", ".join(f"{leaf.name}: {leaf.array.dtype} {leaf.array.shape}" for leaf in batch.leaves[:6])


def _kind(source: Any) -> str:
    name = type(source).__name__
    return "the generator" if name == "generator" else f"the {name}"


def _exhausted() -> DataError:
    return DataError(
        "The generator is exhausted: a generator can be run through only once.",
        fix="give steps_per_epoch, or an object whose __iter__ starts anew.",
    )
