"""PyDataset: data whose batches a user's class makes, one number at a time, in threads or processes."""

from __future__ import annotations

import itertools
from collections.abc import Generator, Iterable, Iterator
from typing import Any

from lamina.core.errors import DataError
from lamina.training.data import Permutation
from lamina.training.stream import IterableAdapter, Reader, Reordered


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
        from lamina.training.workers import Workers  # with process pools, which few programs need

        super().__init__(permutation, first_pass)
        self.dataset = dataset
        self.source_name = type(dataset).__name__
        self.workers = Workers(dataset)
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
        return self.workers.batches(iter(numbers))


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
        self._workers = source.workers
        super().__init__(source, reader, steps, repeat, epochs)

    def begin_epoch(self) -> None:
        self._dataset.on_epoch_begin()
        super().begin_epoch()

    def end_epoch(self) -> None:
        if not self._goes_on:
            self._stop()  # nothing of the next pass is made before on_epoch_end
        self._dataset.on_epoch_end()

    def _stop(self) -> bool:
        idle = super()._stop()
        if idle:
            self._end_pass()
        return idle

    def close(self) -> bool:
        idle = super().close()
        if idle:
            self._end_pass()
            self._workers.close()
        return idle

    def _end_pass(self) -> None:
        """Nobody makes batches of this pass any more."""
        if isinstance(self._iterator, Generator):
            self._iterator.close()
