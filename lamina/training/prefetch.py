"""Batches made ahead by a thread, laid one after another into blocks, so that many steps run in one call."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator

import numpy as np

from lamina.training.data import Arrays, BatchType, DataSet, Work

_BLOCK_BYTES = 8 << 20  # some milliseconds of copying; much more would only use up caches and memory
_BLOCK_BATCHES = 256
_BLOCKS_AHEAD = 2
_PATIENCE = 0.5  # seconds to wait for a source to come back


class _Block:
    """Room for batches of one type. `filled` of them are there, the first `taken` are in use."""

    def __init__(self, batch: DataSet) -> None:
        self.batch_type: BatchType = batch.batch_type(batch.rows)
        self.rows = batch.rows
        size = sum(array.nbytes for array in batch.arrays)
        self.room = max(1, min(_BLOCK_BATCHES, _BLOCK_BYTES // max(size, 1)))
        self.arrays: Arrays = [
            np.empty((self.room * self.rows, *array.shape[1:]), array.dtype) for array in batch.arrays
        ]
        self._names = tuple(leaf.name for leaf in batch.leaves)
        self.filled = self.taken = 0

    @property
    def full(self) -> bool:
        return self.filled == self.room

    @property
    def done(self) -> bool:
        """Whether all that is there has been taken."""
        return self.taken == self.filled

    def fits(self, batch: DataSet) -> bool:
        return not self.full and batch.batch_type(batch.rows).key == self.batch_type.key

    def add(self, batch: DataSet) -> None:
        start = self.filled * self.rows
        for target, array in zip(self.arrays, batch.arrays):
            target[start : start + self.rows] = array
        self.filled += 1

    def take(self, steps: int) -> Work:
        count = min(steps, self.filled - self.taken)
        start = self.taken * self.rows
        self.taken += count
        order = np.arange(start, start + count * self.rows, dtype=np.int64).reshape(count, self.rows)
        return Work(self.batch_type, self.arrays, order, self._names)


class Prefetcher:
    """Runs through `batches` in a thread of its own, a few megabytes ahead of whoever takes them.

    What the source raises is raised by `take`, after the batches before it.
    """

    def __init__(self, batches: Iterator[DataSet]) -> None:
        self._batches = batches
        self._changed = threading.Condition()
        self._blocks: deque[_Block] = deque()
        self._spare: list[_Block] = []
        self._finished = self._closed = False
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="lamina-batches", daemon=True)
        self._thread.start()

    def take(self, steps: int) -> Work | None:
        """Up to `steps` batches of one type that are ready, waiting for the first; None at the end.

        Their arrays stay as they are until the next call.
        """
        with self._changed:
            while not self._ready() and not self._finished:
                self._changed.wait()
            if not self._ready():
                if self._error is not None:
                    raise self._error
                return None
            work = self._blocks[0].take(steps)
            self._changed.notify_all()
            return work

    def close(self) -> None:
        """No more batches are wanted; the thread ends at once, or when the source next gives one."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join(_PATIENCE)

    def _ready(self) -> bool:
        """Whether there is a batch to take. Blocks that are done with are given back to be filled anew."""
        while self._blocks and self._blocks[0].done and (self._blocks[0].full or len(self._blocks) > 1):
            block = self._blocks.popleft()
            block.filled = block.taken = 0
            self._spare = [block]
            self._changed.notify_all()
        return bool(self._blocks) and not self._blocks[0].done

    def _run(self) -> None:
        try:
            for batch in self._batches:
                if not self._put(batch):
                    return
        except BaseException as error:  # also KeyboardInterrupt and SystemExit of the user's code
            self._error = error
        finally:
            with self._changed:
                self._finished = True
                self._changed.notify_all()

    def _put(self, batch: DataSet) -> bool:
        """Lay a batch into a block, waiting for room; False when nobody wants it any more."""
        with self._changed:
            while not self._closed:
                if self._blocks and self._blocks[-1].fits(batch):
                    break
                if len(self._blocks) < _BLOCKS_AHEAD:
                    self._blocks.append(self._empty_block(batch))
                    break
                self._changed.wait()
            if self._closed:
                return False
            self._blocks[-1].add(batch)
            self._changed.notify_all()
            return True

    def _empty_block(self, batch: DataSet) -> _Block:
        if self._spare and self._spare[0].fits(batch):
            return self._spare.pop()
        return _Block(batch)
