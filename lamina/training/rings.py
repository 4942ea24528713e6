"""Room in which batches wait for their steps: one after another, so that many steps run in one call."""

from __future__ import annotations

import numpy as np

from lamina.training.alike import Alike, Slot
from lamina.training.data import Arrays, BatchType, DataSet, Work

RING_BYTES = 8 << 20  # some milliseconds of copying; much more would only use up caches and memory
_RING_BATCHES = 512


class Ring:
    """Room for batches of one type, filled and taken in turns.

    `made` counts the batches that were put in, `taken` those that were handed out, `free` those that are not
    in use any more.
    """

    def __init__(self, batch: DataSet) -> None:
        self.batch_type: BatchType = batch.batch_type(batch.rows)
        self.rows = batch.rows
        self.bytes = sum(array.nbytes for array in batch.arrays)
        self.room = max(2, min(_RING_BATCHES, RING_BYTES // max(self.bytes, 1)))
        rows = self.room * self.rows
        self.arrays: Arrays = [np.empty((rows, *array.shape[1:]), array.dtype) for array in batch.arrays]
        self._order = np.arange(rows, dtype=np.int64).reshape(self.room, self.rows)
        self._names = tuple(leaf.name for leaf in batch.leaves)
        self._slots: dict[int, Slot] = {}
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
        start = self.made % self.room * self.rows
        return [array[start : start + self.rows] for array in self.arrays]

    def next_slot(self, alike: Alike) -> Slot:
        """The same for batches that look alike; made once for each place."""
        place = self.made % self.room
        slot = self._slots.get(place)
        if slot is None:
            slot = self._slots[place] = alike.slot(self.next_arrays())
        return slot

    def take(self, steps: int) -> Work:
        count = min(steps, self.ready)
        start = self.taken % self.room
        self.taken += count
        return Work(self.batch_type, self.arrays, self._order[start : start + count], self._names)
