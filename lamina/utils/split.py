"""split_dataset: two parts of one data set, shuffled and stratified if asked for."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from lamina.core import tree
from lamina.core.errors import ArgumentError, DataError
from lamina.random import checked_seed, make_default_seed
from lamina.training.py_dataset import PyDataset, is_indexed

Size = int | float | None


def split_dataset(
    dataset: Any,
    left_size: Size = None,
    right_size: Size = None,
    shuffle: bool = False,
    seed: int | None = None,
    preferred_backend: str | None = None,
    stratify: Any = None,
) -> tuple[Any, Any]:
    """Two parts of `dataset`, with the structure that it has.

    dataset: an array, a table, or a tuple, list or dict of them with the same number of rows; or a PyDataset,
    which is split by batches. left_size, right_size: fractions between 0 and 1, or numbers of rows; one of
    them may be left out. shuffle: draw the rows at random, as decided by `seed`; otherwise the first rows are
    the left part. stratify: labels, one per row, whose shares are then the same in both parts as far as whole
    rows allow; needs shuffle. preferred_backend: accepted for Keras.

    Raises ArgumentError for sizes that cannot be, DataError for data without rows or with different numbers.

    >>> (x_train, y_train), (x_test, y_test) = split_dataset((x, y), right_size=0.2, shuffle=True, stratify=y)
    """
    rows = _rows_of(dataset)
    left, right = _sizes(rows, left_size, right_size)
    if stratify is not None and not shuffle:
        raise ArgumentError("stratify draws rows at random.", fix="shuffle=True")
    random = np.random.Generator(
        np.random.Philox(make_default_seed() if seed is None else checked_seed(seed))
    )
    if stratify is not None:
        chosen = _stratified(np.asarray(stratify), rows, left, right, random)
    else:
        order = random.permutation(rows) if shuffle else np.arange(rows)
        # The ends, so that the parts are the head and the tail when sizes leave some rows out.
        chosen = order[:left], order[rows - right :]
    first, second = (_taken(dataset, index) for index in chosen)
    return first, second


class _SomeBatches(PyDataset):
    """Some batches of another PyDataset."""

    def __init__(self, dataset: Any, numbers: Any) -> None:
        super().__init__(dataset.workers, dataset.use_multiprocessing, dataset.max_queue_size)
        self._dataset = dataset
        self._numbers = numbers

    def __len__(self) -> int:
        return len(self._numbers)

    def __getitem__(self, index: int) -> Any:
        return self._dataset[int(self._numbers[index])]


def _rows_of(dataset: Any) -> int:
    if is_indexed(dataset):
        return int(dataset.num_batches or 0)
    arrays = [leaf for leaf in tree.leaves(dataset) if leaf is not None]
    if not all(hasattr(array, "shape") and len(array.shape) for array in arrays):
        raise DataError(
            f"Cannot split a {type(dataset).__name__}.",
            expected="arrays or tables, a tuple, list or dict of them, or a PyDataset",
        )
    lengths = sorted({int(array.shape[0]) for array in arrays})
    if len(lengths) > 1:
        raise DataError("The arrays have different numbers of rows.", got=", ".join(map(str, lengths)))
    if not lengths or not lengths[0]:
        raise DataError("There is no data to split.")
    return lengths[0]


def _sizes(rows: int, left: Size, right: Size) -> tuple[int, int]:
    if left is None and right is None:
        raise ArgumentError("split_dataset() needs left_size or right_size.", fix="right_size=0.2")
    counts = [_count(name, size, rows) for name, size in (("left_size", left), ("right_size", right))]
    first = rows - counts[1] if counts[0] is None and counts[1] is not None else counts[0]
    second = rows - counts[0] if counts[1] is None and counts[0] is not None else counts[1]
    assert first is not None
    assert second is not None
    if first < 1 or second < 1 or first + second > rows:
        raise ArgumentError(
            f"{rows} rows cannot be split like that.",
            expected="two parts with at least one row each, together no more than there are",
            got=f"left_size={left}, right_size={right}: {first} and {second} rows",
        )
    return first, second


def _count(name: str, size: Size, rows: int) -> int | None:
    if size is None:
        return None
    if isinstance(size, bool) or not isinstance(size, (int, float, np.integer, np.floating)):
        raise ArgumentError(f"{name} must be a fraction or a number of rows, got {size!r}.")
    if isinstance(size, (int, np.integer)):
        return int(size)
    if not 0 < size < 1:
        raise ArgumentError(f"{name} as a fraction must lie between 0 and 1, got {size}.")
    return round(float(size) * rows)


def _stratified(
    labels: np.ndarray[Any, Any], rows: int, left: int, right: int, random: np.random.Generator
) -> tuple[Any, Any]:
    if labels.ndim == 2 and labels.shape[1] > 1:
        labels = labels.argmax(axis=1)
    if labels.size != rows:
        raise DataError(f"stratify has {labels.size} labels for {rows} rows.")
    classes, numbers = np.unique(labels.reshape(-1), return_inverse=True)
    groups = [random.permutation(np.nonzero(numbers == number)[0]) for number in range(len(classes))]
    sizes = [len(group) for group in groups]
    from_left = _shares(sizes, left)
    from_right = _shares([size - taken for size, taken in zip(sizes, from_left)], right)
    parts = [[], []]  # type: list[list[np.ndarray[Any, Any]]]
    for group, first, second in zip(groups, from_left, from_right):
        parts[0].append(group[:first])
        parts[1].append(group[first : first + second])
    return random.permutation(np.concatenate(parts[0])), random.permutation(np.concatenate(parts[1]))


def _shares(sizes: Sequence[int], total: int) -> list[int]:
    """`total` divided in proportion to `sizes`, in whole numbers: the largest remainders are rounded up."""
    exact = [size * total / max(sum(sizes), 1) for size in sizes]
    shares = [math.floor(share) for share in exact]
    by_remainder = sorted(range(len(sizes)), key=lambda place: (shares[place] - exact[place], place))
    for place in by_remainder[: total - sum(shares)]:
        shares[place] += 1
    return shares


def _taken(dataset: Any, index: Any) -> Any:
    if is_indexed(dataset):
        return _SomeBatches(dataset, index)
    return tree.map_structure(lambda array: _rows(array, index), dataset)


def _rows(array: Any, index: Any) -> Any:
    if array is None:
        return None
    return array.iloc[index] if hasattr(array, "iloc") else array[index]
