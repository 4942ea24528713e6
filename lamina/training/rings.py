"""Room in which batches wait for their steps: one after another, so that many steps run in one call."""

from __future__ import annotations

import numpy as np

from lamina.training.alike import Alike, Stretch
from lamina.training.data import Arrays, BatchType, DataSet, Work

RING_BYTES = 8 << 20  # some milliseconds of copying; much more would only use up caches and memory
_RING_BATCHES = 512
_BYTES_AT_ONCE = 2 << 20  # so that what was copied is not far away when it is looked at


class Ring:
    """Room for batches of one type, filled and taken in turns.

    `made` counts the batches that were put in, `taken` those that were handed out, `free` those that are not
    in use any more. at_once: how many are best looked at together.
    """

    def __init__(self, batch: DataSet) -> None:
        self.batch_type: BatchType = batch.batch_type(batch.rows)
        self.rows = batch.rows
        self.bytes = sum(array.nbytes for array in batch.arrays)
        self.room = max(2, min(_RING_BATCHES, RING_BYTES // max(self.bytes, 1)))
        self.at_once = max(1, _BYTES_AT_ONCE // max(self.bytes, 1))
        rows = self.room * self.rows
        self.arrays: Arrays = [np.empty((rows, *array.shape[1:]), array.dtype) for array in batch.arrays]
        self._order = np.arange(rows, dtype=np.int64).reshape(self.room, self.rows)
        self._names = tuple(leaf.name for leaf in batch.leaves)
        self._given: Arrays | None = None
        self._places: list[Arrays] = []
        self._stretches: dict[tuple[int, int], Stretch] = {}
        self.empty()

    def empty(self) -> None:
        """Forget all batches."""
        self.made = self.taken = self.free = 0

    @property
    def full(self) -> bool:
        return self.made - self.free == self.room

    @property
    def ready(self) -> int:
        """How many can be taken at once."""
        return min(self.made - self.taken, self._before_end)

    @property
    def closed(self) -> bool:
        """Whether no more can be taken at once than there are now."""
        return self.made - self.taken >= self._before_end

    @property
    def _before_end(self) -> int:
        return self.room - self.taken % self.room

    def next_arrays(self) -> Arrays:
        """The room of the next batch."""
        return self._cut(self.arrays, self.made % self.room, 1)

    def places(self, alike: Alike) -> list[Arrays]:
        """Where batches that look alike are copied to, one after another, before they are accepted."""
        if self._given is None:
            self._given = alike.room(self.arrays)
            self._places = [self._cut(self._given, place, 1) for place in range(self.room)]
        return self._places

    def next_stretch(self, alike: Alike, count: int) -> Stretch:
        """The next so many of these places, which have to lie before the end."""
        assert self._given is not None
        start = self.made % self.room
        found = self._stretches.get((start, count))
        if found is None:
            given, arrays = self._cut(self._given, start, count), self._cut(self.arrays, start, count)
            found = self._stretches[start, count] = alike.stretch(given, arrays)
        return found

    def _cut(self, arrays: Arrays, place: int, count: int) -> Arrays:
        return [array[place * self.rows : (place + count) * self.rows] for array in arrays]

    def take(self, steps: int) -> Work:
        count = min(steps, self.ready)
        start = self.taken % self.room
        self.taken += count
        return Work(self.batch_type, self.arrays, self._order[start : start + count], self._names)
