"""PyDataset: data whose batches a user's class makes, one number at a time, in threads or processes."""

from __future__ import annotations

import itertools
import pickle
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from lamina.core.errors import DataError
from lamina.training.data import Permutation
from lamina.training.stream import IterableAdapter, Reader, Reordered

if TYPE_CHECKING:
    from concurrent.futures import Executor


class PyDataset:
    """Batches by number. Subclass it; write `__getitem__(self, index)` and `__len__(self)`.

    workers: how many batches are made at a time; more than one call `__getitem__` in several threads.
    use_multiprocessing: processes instead of threads, where the object can be pickled; scripts then need
    `if __name__ == "__main__":` around what they do. max_queue_size: batches that are made ahead, at most.

    A batch is x, (x, y) or (x, y, sample_weight). `on_epoch_end` may shuffle or change the data.

    >>> class Images(lamina.utils.PyDataset):
    ...     def __len__(self):
    ...         return len(self.files) // 32
    ...
    ...     def __getitem__(self, index):
    ...         files = self.files[32 * index : 32 * (index + 1)]
    ...         return np.stack([load(file) for file in files]), self.labels[32 * index : 32 * (index + 1)]
    """

    # For subclasses that do not call super().__init__().
    workers = 1
    use_multiprocessing = False
    max_queue_size = 10

    def __init__(self, workers: int = 1, use_multiprocessing: bool = False, max_queue_size: int = 10) -> None:
        self.workers = workers
        self.use_multiprocessing = use_multiprocessing
        self.max_queue_size = max_queue_size

    def __getitem__(self, index: int) -> Any:
        """The batch with this number."""
        raise NotImplementedError(f"{type(self).__name__} must define __getitem__(self, index).")

    @property
    def num_batches(self) -> int | None:
        """How many batches there are; None for a data set without end."""
        if hasattr(self, "__len__"):
            return len(self)
        raise NotImplementedError(f"{type(self).__name__} must define __len__(self), or num_batches.")

    def on_epoch_begin(self) -> None:
        """Called before every epoch."""

    def on_epoch_end(self) -> None:
        """Called after every epoch."""


def is_indexed(data: Any) -> bool:
    """Whether `data` is a PyDataset, ours or that of Keras."""
    return hasattr(data, "__getitem__") and hasattr(data, "on_epoch_end") and hasattr(data, "num_batches")


class Indexed(Reordered):
    """A PyDataset as an iterable of batches."""

    def __init__(self, dataset: Any, permutation: Permutation = None, first_pass: int = 0) -> None:
        super().__init__(permutation, first_pass)
        self.dataset = dataset
        self.source_name = type(dataset).__name__
        if dataset.num_batches == 0:
            raise DataError(f"{type(dataset).__name__} has no batches: its length is 0.")

    def __len__(self) -> int:
        batches = self.dataset.num_batches
        if batches is None:
            raise TypeError("a data set without end")
        return int(batches)

    def __iter__(self) -> Iterator[Any]:
        batches = self.dataset.num_batches
        numbers: Iterable[int] = itertools.count() if batches is None else range(batches)
        if self._permutation is not None and batches is not None:
            numbers = self._permutation(self._pass, batches, 1).tolist()
        self._pass += 1
        return self._made(iter(numbers))

    def _made(self, numbers: Iterator[int]) -> Iterator[Any]:
        dataset = self.dataset
        workers = max(1, int(getattr(dataset, "workers", 1) or 1))
        if getattr(dataset, "use_multiprocessing", False):
            yield from _by_processes(dataset, numbers, workers)
        elif workers > 1:
            from concurrent.futures import ThreadPoolExecutor

            with ThreadPoolExecutor(workers, "lamina-workers") as pool:
                yield from _in_order(pool, dataset.__getitem__, numbers, _ahead(dataset, workers))
        else:
            yield from map(dataset.__getitem__, numbers)


class PyDatasetAdapter(IterableAdapter):
    """The batches of a PyDataset, with its hooks of epochs."""

    def __init__(
        self,
        source: Indexed,
        reader: Reader,
        steps: int | None = None,
        repeat: bool = True,
        epochs: int = 1,
    ) -> None:
        self._dataset = source.dataset
        super().__init__(source, reader, steps, repeat, epochs)

    def begin_epoch(self) -> None:
        self._dataset.on_epoch_begin()
        super().begin_epoch()

    def end_epoch(self) -> None:
        if not self._goes_on:
            self._stop()  # nothing of the next pass is made before on_epoch_end
        self._dataset.on_epoch_end()


def _ahead(dataset: Any, workers: int) -> int:
    return max(workers, int(getattr(dataset, "max_queue_size", 10) or 10))


def _in_order(
    pool: Executor, make: Callable[[int], Any], numbers: Iterator[int], ahead: int
) -> Iterator[Any]:
    """What `make` gives for the numbers, in their order, `ahead` of them under way at a time."""
    pending = deque(pool.submit(make, number) for number in itertools.islice(numbers, ahead))
    try:
        while pending:
            made = pending.popleft().result()
            pending.extend(pool.submit(make, number) for number in itertools.islice(numbers, 1))
            yield made
    finally:
        for future in pending:
            future.cancel()


def _by_processes(dataset: Any, numbers: Iterator[int], workers: int) -> Iterator[Any]:
    """The batches made by other processes; by threads, with a warning, where that cannot be."""
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
    from concurrent.futures.process import BrokenProcessPool

    ahead = _ahead(dataset, workers)
    numbers, again = itertools.tee(numbers)
    yielded = 0
    try:
        with ProcessPoolExecutor(
            workers, multiprocessing.get_context("spawn"), initializer=_keep, initargs=(dataset,)
        ) as pool:
            for batch in _in_order(pool, _make, numbers, ahead):
                next(again)
                yielded += 1
                yield batch
            return
    except (BrokenProcessPool, pickle.PicklingError, AttributeError, TypeError, OSError) as error:
        if yielded:
            raise
        reason = " ".join(str(error).split())[:200] or type(error).__name__
    warnings.warn(
        f"{type(dataset).__name__} cannot be used by other processes, so threads make its batches: {reason} "
        "(its class must be importable, and scripts need `if __name__ == '__main__':`).",
        stacklevel=2,
    )
    with ThreadPoolExecutor(workers, "lamina-workers") as threads:
        yield from _in_order(threads, dataset.__getitem__, again, ahead)


_dataset: Any = None  # in a worker process: the data set whose batches it makes


def _keep(dataset: Any) -> None:
    global _dataset
    _dataset = dataset


def _make(number: int) -> Any:
    return _dataset[number]
