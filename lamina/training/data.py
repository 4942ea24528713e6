"""Data adapters: where the batches of `fit`, `evaluate` and `predict` come from.

An adapter is asked for work: arrays, and an index matrix with one row per batch. This page has the contract
and the adapter of arrays; `stream` has that of everything that yields batches.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from lamina.core import dtypes, tree
from lamina.core.errors import DataError
from lamina.ids import IdCheck
from lamina.ir.graph import TensorType
from lamina.training.arrays import Leaf

Index = np.ndarray[Any, np.dtype[np.int64]]
Arrays = list[np.ndarray[Any, Any]]
# (number of the pass, rows, batch size) -> the order of the rows; None for the order they have.
Permutation = Callable[[int, int, int], Index] | None

DEFAULT_BATCH_SIZE = 32
# With fewer rows in all epochs, their orders cost less than a thread that makes them.
_ROWS_WORTH_A_THREAD = 20_000
_ROWS_AHEAD = 50_000


def unpack_x_y_sample_weight(data: Any) -> tuple[Any, Any, Any]:
    """`(x,)`, `(x, y)` or `(x, y, sample_weight)` as three things, None for what is absent.

    Anything but a tuple or list is all `x`. DataError for a tuple of more than three.
    """
    if not isinstance(data, (tuple, list)):
        return data, None, None
    if not 1 <= len(data) <= 3:
        raise DataError(
            f"A batch is a tuple of {len(data)} things.",
            expected="x, (x,), (x, y) or (x, y, sample_weight)",
            fix="several inputs go into one list or dict: ([x1, x2], y).",
        )
    x, y, sample_weight = (*data, None, None)[:3]
    return x, y, sample_weight


def pack_x_y_sample_weight(x: Any, y: Any = None, sample_weight: Any = None) -> Any:
    """The opposite of `unpack_x_y_sample_weight`."""
    if y is None:
        return (x,) if isinstance(x, (tuple, list)) else x
    return (x, y) if sample_weight is None else (x, y, sample_weight)


class BatchType:
    """What a program for one batch is compiled for: how (x, y, sample_weight) nest, and each array's type."""

    def __init__(self, structure: Any, types: tuple[TensorType, ...]) -> None:
        self.structure = structure
        self.types = types
        self.key = (_token(structure), types)

    def pack(self, tensors: Any) -> tuple[Any, Any, Any]:
        """The (x, y, sample_weight) made of these tensors, one per type."""
        filled = tree.map_structure(lambda place: None if place is None else tensors[place], self.structure)
        return filled[0], filled[1], filled[2]


def _token(structure: Any) -> Any:
    if isinstance(structure, Mapping):
        return (dict, tuple((key, _token(structure[key])) for key in structure))
    if isinstance(structure, (list, tuple)):
        return (type(structure), tuple(map(_token, structure)))
    return structure


class DataSet:
    """Arrays that belong together: (x, y, sample_weight) with the same number of rows in each leaf.

    Raises DataError when there is nothing, or when the numbers of rows differ.
    """

    def __init__(self, x: Any, y: Any = None, sample_weight: Any = None) -> None:
        self.data = (x, y, sample_weight)
        self.leaves: list[Leaf] = [leaf for leaf in tree.leaves(self.data) if leaf is not None]
        self.arrays: Arrays = [leaf.array for leaf in self.leaves]
        lengths = {len(leaf.array) for leaf in self.leaves}
        if not self.leaves:
            raise DataError("There is no data: x is None.")
        if not len(self.leaves[0].array):
            raise DataError(f"There is no data: {self.leaves[0].name} has no rows.")
        if len(lengths) > 1:
            raise DataError(
                "The arrays have different numbers of rows.",
                expected="one row per sample in each of them",
                got=", ".join(f"{leaf.name}: {len(leaf.array)}" for leaf in self.leaves[:8]),
            )
        self.rows = lengths.pop()
        self._types: dict[int, BatchType] = {}

    @cached_property
    def structure(self) -> Any:
        places = iter(range(len(self.leaves)))
        return tree.map_structure(lambda leaf: None if leaf is None else next(places), self.data)

    def batch_type(self, rows: int) -> BatchType:
        """The type of a batch of that many rows."""
        if rows not in self._types:
            types = tuple(
                TensorType((rows, *array.shape[1:]), dtypes.of_numpy(array.dtype)) for array in self.arrays
            )
            self._types[rows] = BatchType(self.structure, types)
        return self._types[rows]

    def check_ids(self, id_checks: Sequence[IdCheck]) -> None:
        """DataError when an id in these rows is outside its table."""
        for ids in id_checks:
            ids.check(self.arrays, [leaf.name for leaf in self.leaves])

    def slice(self, start: int, stop: int) -> DataSet:
        """These rows, as views."""
        cut = tree.map_structure(lambda leaf: None if leaf is None else leaf.slice(start, stop), self.data)
        return DataSet(*cut)

    def loaded(self) -> DataSet:
        """The same with every array in memory."""
        if all(isinstance(array, np.ndarray) for array in self.arrays):
            return self
        return DataSet(*tree.map_structure(lambda leaf: None if leaf is None else leaf.loaded(), self.data))

    def take(self, index: Index) -> DataSet:
        """Copies of these rows."""
        return DataSet(
            *tree.map_structure(lambda leaf: None if leaf is None else leaf.take(index), self.data)
        )

    def split(self, fraction: float) -> tuple[DataSet, DataSet]:
        """The first rows, and the last `fraction` of them, as Keras' `validation_split` does."""
        at = int(np.floor(self.rows * (1.0 - fraction)))
        if at in (0, self.rows):
            raise DataError(
                f"validation_split={fraction} of {self.rows} rows leaves one part empty.",
                fix="give more data, another fraction, or validation_data.",
            )
        return self.slice(0, at), self.slice(at, self.rows)


class Work(NamedTuple):
    """Steps to run: step s takes the rows `order[s]` of each array.

    fresh: the names of the arrays, when they hold the rows of these steps only, which nobody has looked at
    before; None for data that was checked as a whole.
    """

    batch_type: BatchType
    arrays: Arrays
    order: Index
    fresh: tuple[str, ...] | None = None


class DataAdapter:
    """The contract of a source of batches: `steps` an epoch (None if unknown), `begin_epoch`, then `take`."""

    steps: int | None

    def batch_types(self) -> list[BatchType]:
        """The types of batch that are known to come, so that their programs can be prepared; at least one."""
        raise NotImplementedError

    def sample(self) -> DataSet:
        """At least one row of data, for building the model and looking at the targets."""
        raise NotImplementedError

    def targets(self) -> Any:
        """What is known of the targets before the first step, as Leaf objects."""
        return self.sample().data[1]

    def first_batch(self) -> tuple[BatchType, Arrays]:
        """A batch, and its type."""
        batch_type = self.batch_types()[0]
        return batch_type, [array[: batch_type.types[0].shape[0]] for array in self.sample().arrays]

    def begin_epoch(self) -> None:
        """The next epoch starts."""
        raise NotImplementedError

    def take(self, steps: int, least: int = 1) -> Work | None:
        """Up to `steps` batches of one type; None when the epoch is over.

        least: how many are worth a call into native code, for sources whose batches come one by one.
        """
        raise NotImplementedError

    def end_epoch(self) -> None:
        """The epoch is over."""

    def check_passes(self, epochs: int) -> None:
        """DataError when the data cannot be gone through that many times."""

    def reorder(self, permutation: Permutation) -> None:
        """Take another order of the rows, where the order is this adapter's own; before the first epoch."""

    def skip(self, steps: int) -> None:
        """Leave out so many batches of this epoch, or all that are left of it."""
        while steps > 0 and (work := self.take(steps)) is not None:
            steps -= len(work.order)

    def close(self) -> bool:
        """No more epochs come. Whether nothing is under way any more."""
        return True


class ArrayAdapter(DataAdapter):
    """In-memory arrays, in order or shuffled.

    steps: batches per epoch instead of all of them; with `repeat` the next epoch goes on where this one ends,
    otherwise each epoch starts at the first row.
    first_pass: the number of the first pass, when others were made before. epochs: how many there will be.
    """

    def __init__(
        self,
        data: DataSet,
        batch_size: int | None = None,
        steps: int | None = None,
        permutation: Permutation = None,
        repeat: bool = True,
        first_pass: int = 0,
        epochs: int = 1,
    ) -> None:
        self.data = data
        batch_size = batch_size or (-(-data.rows // steps) if steps else DEFAULT_BATCH_SIZE)
        self.batch_size = min(int(batch_size), data.rows)  # NumPy's whole numbers are welcome, too
        batches = -(-data.rows // self.batch_size)
        self.steps = batches if steps is None else steps if repeat else min(steps, batches)
        self._repeat = repeat
        self._first_pass, self._epochs = first_pass, epochs
        self.reorder(permutation)
        self._position = data.rows
        self._left = 0

    def batch_types(self) -> list[BatchType]:
        sizes = dict.fromkeys((self.batch_size, self.data.rows % self.batch_size or self.batch_size))
        return [self.data.batch_type(size) for size in sizes]

    def sample(self) -> DataSet:
        return self.data

    def reorder(self, permutation: Permutation) -> None:
        self._order = _Order(self.data.rows, self.batch_size, permutation, self._first_pass, self._epochs)

    def begin_epoch(self) -> None:
        assert self.steps is not None
        self._left = self.steps
        if not self._repeat:
            self._position = self.data.rows

    def take(self, steps: int, least: int = 1) -> Work | None:
        if not self._left:
            return None
        if self._position >= self.data.rows:
            self._order.advance()
            self._position = 0
        whole = (self.data.rows - self._position) // self.batch_size
        count = min(steps, self._left, whole) if whole else 1
        rows = self.batch_size if whole else self.data.rows - self._position
        index = self._order.current[self._position : self._position + count * rows].reshape(count, rows)
        self._position += count * rows
        self._left -= count
        return Work(self.data.batch_type(rows), self.data.arrays, index)

    def close(self) -> bool:
        self._order.close()
        return True


class _Order:
    """The order of the rows in each pass over the data; those to come are made while one is in use."""

    def __init__(
        self, rows: int, batch_size: int, permutation: Permutation, first_pass: int, epochs: int
    ) -> None:
        self.current: Index = np.arange(rows, dtype=np.int64)
        self._permutation = permutation
        self._arguments = rows, batch_size
        self._pass = first_pass
        self._worth_a_thread = epochs > 1 and rows * epochs >= _ROWS_WORTH_A_THREAD
        self._at_once = max(1, min(epochs, _ROWS_AHEAD // rows))  # waking a thread takes as long as some rows
        self._wanted: queue.SimpleQueue[int | None] | None = None
        self._made: dict[int, Index] = {}
        self._making = threading.Lock()

    def advance(self) -> None:
        if self._permutation is None:
            return
        number = self._pass
        made = self._made.pop(number, None)
        if made is None:
            with self._making:  # if the other thread has not begun, there is no use in waiting for it
                made = self._made.pop(number, None)
                if made is None:
                    made = self._permutation(number, *self._arguments)
                self._pass += 1
        else:
            self._pass += 1
        self.current = made
        if self._worth_a_thread and self._pass not in self._made:
            if self._wanted is None:
                self._wanted = queue.SimpleQueue()
                threading.Thread(target=self._run, name="lamina-shuffle", daemon=True).start()
            self._wanted.put(self._pass)

    def _run(self) -> None:
        assert self._wanted is not None
        assert self._permutation is not None
        while (first := self._wanted.get()) is not None:
            for number in range(first, first + self._at_once):
                with self._making:
                    if number >= self._pass and number not in self._made:
                        self._made[number] = self._permutation(number, *self._arguments)

    def close(self) -> None:
        if self._wanted is not None:
            self._wanted.put(None)


def permutation_of(seed: int, shuffle: bool | str) -> Permutation:
    """Shuffling that depends on the seed and the number of the pass alone.

    shuffle: True for all rows, "batch" for the rows within each batch, False (giving None) for none.
    """
    if not shuffle:
        return None

    # Made once: a new bit generator asks the operating system for randomness that nobody needs.
    bits = np.random.Philox(key=seed)
    start = bits.state
    random = np.random.Generator(bits)

    numbers = np.arange(0, dtype=np.uint64)

    def permutation(number: int, rows: int, batch_size: int) -> Index:
        nonlocal numbers
        start["state"]["counter"][:] = 0, number, 0, 0
        bits.state = start
        if shuffle != "batch":
            # Random keys with the numbers of the rows in their last bits, sorted: twice as fast as swapping
            # rows at random, whose every branch is a surprise.
            if len(numbers) != rows:
                numbers = np.arange(rows, dtype=np.uint64)
            last = np.uint64((1 << rows.bit_length()) - 1)
            keys = bits.random_raw(rows)
            keys &= ~last
            keys |= numbers
            keys.sort()
            keys &= last
            return keys.view(np.int64)
        whole = rows - rows % batch_size
        order = np.arange(rows, dtype=np.int64)
        order[:whole] = random.permuted(order[:whole].reshape(-1, batch_size), axis=1).reshape(-1)
        order[whole:] = random.permutation(order[whole:])
        return order

    return permutation
