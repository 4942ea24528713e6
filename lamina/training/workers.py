"""The threads or processes that make the batches of a PyDataset, kept from one pass to the next."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import os
import pickle
import tempfile
import time
import warnings
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from typing import Any

# Handing a number to a thread and its batch back takes some ten microseconds: batches that are made faster
# than this go several at a time.
_SECONDS_WORTH_A_TASK = 2e-4


class Workers:
    """Makes the batches of one data set, in the order asked for; `close` ends its threads and processes."""

    def __init__(self, dataset: Any) -> None:
        self._dataset = dataset
        self._count = max(1, int(getattr(dataset, "workers", 1) or 1))
        self._by_processes = bool(getattr(dataset, "use_multiprocessing", False))
        self._ahead = max(self._count, int(getattr(dataset, "max_queue_size", 10) or 10))
        self._size = 1  # batches that a thread makes at a time
        self._pool: Executor | None = None
        self._sent: _Sent | None = None

    def batches(self, numbers: Iterator[int]) -> Iterator[Any]:
        """The batches with these numbers."""
        if self._by_processes:
            return self._from_processes(numbers)
        if self._count > 1:
            return self._from_threads(numbers)
        return map(self._dataset.__getitem__, numbers)

    def close(self) -> None:
        """No more batches are wanted; those under way are waited for."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
            self._pool = None
        if self._sent is not None:
            self._sent.remove()
            self._sent = None

    # --- threads -----------------------------------------------------------------------------------

    def _from_threads(self, numbers: Iterator[int]) -> Iterator[Any]:
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self._count, "lamina-workers")
        groups = iter(lambda: list(itertools.islice(numbers, self._size)), [])
        for batches, error in _in_order(self._pool, self._make_some, groups, self._tasks):
            yield from batches
            if error is not None:
                raise error

    def _make_some(self, numbers: list[int]) -> tuple[list[Any], Exception | None]:
        """The batches with these numbers, or those before the first that fails, and its error."""
        made: list[Any] = []
        start = time.perf_counter()
        try:
            for number in numbers:
                made.append(self._dataset[number])
        except Exception as error:
            return made, error
        each = (time.perf_counter() - start) / len(numbers)
        worth = int(_SECONDS_WORTH_A_TASK / max(each, 1e-9))
        self._size = max(1, min(worth, 2 * self._size, self._ahead // self._count))
        return made, None

    def _tasks(self) -> int:
        """How many tasks may be under way."""
        return max(self._count, self._ahead // self._size)

    # --- processes ---------------------------------------------------------------------------------

    def _from_processes(self, numbers: Iterator[int]) -> Iterator[Any]:
        """The batches made by other processes; by threads, with a warning, where that cannot be."""
        import multiprocessing

        numbers, again = itertools.tee(numbers)
        yielded = 0
        try:
            if self._sent is None:
                self._sent = _Sent()
            path, version = self._sent.send(self._dataset)
            if self._pool is None:
                self._pool = ProcessPoolExecutor(self._count, multiprocessing.get_context("spawn"))
            for batch in _in_order(self._pool, partial(_make, path, version), numbers, self._tasks):
                next(again)
                yielded += 1
                yield batch
            return
        except (BrokenProcessPool, pickle.PicklingError, AttributeError, TypeError, OSError) as error:
            if yielded:
                raise
            reason = " ".join(str(error).split())[:200] or type(error).__name__
        warnings.warn(
            f"{type(self._dataset).__name__} cannot be used by other processes, so threads make its batches: "
            f"{reason} (its class must be importable, and scripts need `if __name__ == '__main__':`).",
            stacklevel=2,
        )
        self.close()
        self._by_processes = False
        yield from self._from_threads(again)


def _in_order(
    pool: Executor, make: Callable[[Any], Any], tasks: Iterator[Any], ahead: Callable[[], int]
) -> Iterator[Any]:
    """What `make` gives for the tasks, in their order, `ahead()` of them under way at a time."""
    pending: deque[Future[Any]] = deque()
    try:
        while True:
            for task in itertools.islice(tasks, max(0, ahead() - len(pending))):
                pending.append(pool.submit(make, task))
            if not pending:
                return
            yield pending.popleft().result()
    finally:
        wait([future for future in pending if not future.cancel()])


# --- what processes know of the data set -----------------------------------------------------------


class _Sent:
    """A data set in a file, for other processes: written anew whenever it has changed between two passes."""

    def __init__(self) -> None:
        handle, self._path = tempfile.mkstemp(prefix="lamina-dataset-")
        os.close(handle)
        self.remove = weakref.finalize(self, _remove, self._path)
        self._digest = b""
        self._version = 0

    def send(self, dataset: Any) -> tuple[str, int]:
        """The path, and a number that another state of the data set does not have."""
        content = pickle.dumps(dataset, pickle.HIGHEST_PROTOCOL)
        digest = hashlib.blake2b(content, digest_size=16).digest()
        if digest != self._digest:
            with open(self._path, "wb") as file:
                file.write(content)
            self._digest = digest
            self._version += 1
        return self._path, self._version


def _remove(path: str) -> None:
    with contextlib.suppress(OSError):
        os.remove(path)


_held: tuple[str, int, Any] | None = None  # in a worker process: the data set whose batches it makes


def _make(path: str, version: int, number: int) -> Any:
    global _held
    if _held is None or _held[:2] != (path, version):
        with open(path, "rb") as file:
            _held = path, version, pickle.load(file)
    return _held[2][number]
