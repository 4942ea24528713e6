"""Whatever yields batches as a source of them: generators, PyDatasets, loaders of other libraries."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterable, Iterator
from typing import Any

from lamina.core.errors import DataError
from lamina.training.alike import Alike
from lamina.training.data import BatchType, DataAdapter, DataSet, Permutation, Work
from lamina.training.prefetch import Prefetcher


class Reader:
    """What the things that a source yields are, and how they become batches."""

    def read(self, given: Any) -> DataSet:
        """What was yielded as a batch, analysed and checked; raises when it is none."""
        raise NotImplementedError

    def alike(self, given: Any, batch: DataSet) -> Alike | None:
        """A quick way for what looks like `given`, which became `batch`; None when there is none."""
        return None


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

    steps: batches per epoch, None for all there are; with `repeat` the next epoch goes on where this one
    ends, otherwise it starts anew if the source can. epochs: how many there will be at most, so that an
    iterator is not asked for more than is needed.

    Batches are made by a thread where that pays. Each must have the structure and dtypes of the first:
    DataError.
    """

    def __init__(
        self,
        source: Iterable[Any],
        reader: Reader,
        steps: int | None = None,
        repeat: bool = True,
        epochs: int = 1,
    ) -> None:
        self.steps = length_of(source) if steps is None else steps
        self._limit = steps
        self._source = source
        self._reader = reader
        self._iterator: Iterator[Any] = iter(source)
        self._once = self._iterator is source
        self._goes_on = steps is not None and (repeat or self._once)
        self._number = 0  # of batches that this pass has yielded
        self._length = 0  # how many the pass before has yielded
        self._like: DataSet | None = None
        self._first_given: Any = None
        self._alike: Alike | None = None
        self._first: DataSet | None = None
        self._first = self._read_first()
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
            self._first = self._read_first()
        found = self._first or self._like
        if found is None:
            raise _exhausted()
        return found

    def reorder(self, permutation: Permutation) -> None:
        if isinstance(self._source, Reordered):
            self._source.reorder(permutation)
            self._start_anew()

    def begin_epoch(self) -> None:
        self._seen = 0
        if not self._goes_on:
            if not self._fresh:
                if self._once:
                    raise _exhausted()
                self._stop()
                self._start_anew()
            self._start(itertools.islice(self._one_pass(), self._limit))
        elif self._fresh:
            self._start(itertools.islice(self._passes(), self._wanted))
        self._fresh = False

    def _start_anew(self) -> None:
        self._iterator, self._first = iter(self._source), None
        self._number, self._length = 0, self._number

    def _start(self, given: Iterator[Any]) -> None:
        """Let the other thread go through this."""
        if self._first_given is not None and self._like is not None:
            self._alike, self._first_given = self._reader.alike(self._first_given, self._like), None
        if self._ahead is None:
            self._ahead = Prefetcher(self._read, self._alike)
        self._ahead.start(given)

    def _stop(self) -> bool:
        """Nothing more of this pass is wanted. Whether the source is at rest."""
        idle = self._ahead is None or self._ahead.stop()
        if not idle:
            self._ahead = None  # its thread waits for the source
        return idle

    def take(self, steps: int, least: int = 1) -> Work | None:
        assert self._ahead is not None
        if self._limit is not None:
            steps = min(steps, self._limit - self._seen)
            if not steps:
                return None
        work = self._ahead.take(steps, least)
        if work is not None:
            self._seen += len(work.order)
        elif self._limit is not None:
            if not self._seen and self._goes_on:
                raise _exhausted()
            warnings.warn(
                f"The data ended after {self._seen} batches of an epoch of {self._limit}.", stacklevel=2
            )
        return work

    def close(self) -> bool:
        return self._ahead is None or self._ahead.close()

    # --- in the other thread -----------------------------------------------------------------------

    def _passes(self) -> Iterator[Any]:
        """Pass after pass, as far as the source can be started anew."""
        while True:
            yielded = 0
            for given in self._one_pass():
                yielded += 1
                yield given
            if self._once or not yielded:
                return
            self._start_anew()

    def _one_pass(self) -> Iterator[Any]:
        """What the source yields; the first may have become a batch already."""
        first, self._first = self._first, None
        if first is not None:
            yield first
        while True:
            try:
                given = next(self._iterator)
            except StopIteration:
                return
            except Exception as error:
                self._add_note(error, self._number)
                raise
            self._number += 1
            yield given

    def _read_first(self) -> DataSet | None:
        for given in self._one_pass():
            self._first_given = given
            return self._read(given)
        return None

    def _read(self, given: Any, later: int = 0) -> DataSet:
        """What was yielded as a batch; an error says which it was. later: how many were yielded after it."""
        if isinstance(given, DataSet):
            return given
        try:
            batch = self._reader.read(given)
            self._check_alike(batch)
        except Exception as error:
            number = self._number - 1 - later
            self._add_note(error, number if number >= 0 else number % max(1, self._length))
            raise
        return batch

    def _add_note(self, error: Exception, number: int) -> None:
        error.add_note(f"  in batch {number}, counted from 0, of {_kind(self._source)}")

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


def _shown(batch: DataSet) -> str:
    """A batch in words: "x: float32 (32, 4), y: int32 (32,)"."""
    return ", ".join(f"{leaf.name}: {leaf.array.dtype} {leaf.array.shape}" for leaf in batch.leaves[:6])


def _kind(source: Any) -> str:
    name = getattr(source, "source_name", type(source).__name__)
    return "the generator" if name == "generator" else f"the {name}"


def _exhausted() -> DataError:
    return DataError(
        "The generator is exhausted: a generator can be run through only once.",
        fix="give steps_per_epoch, or an object whose __iter__ starts anew.",
    )
