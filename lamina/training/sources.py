"""Which adapter the data of `fit`, `evaluate` and `predict` get: one place that knows the forms of data."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from lamina.training.arrays import Leaf
from lamina.training.data import (
    DEFAULT_BATCH_SIZE,
    ArrayAdapter,
    DataAdapter,
    DataSet,
    Permutation,
)
from lamina.training.py_dataset import Indexed, PyDatasetAdapter, is_indexed
from lamina.training.rows_on_demand import RowsAdapter, RowsOnDemand
from lamina.training.stream import IterableAdapter, Reader


def is_source(x: Any) -> bool:
    """Whether `x` yields batches, and is not data itself."""
    if x is None or isinstance(x, (list, tuple, Mapping, str, bytes)):
        return False
    if is_indexed(x):
        return True
    if hasattr(x, "__array__") or hasattr(x, "to_numpy") or hasattr(x, "tocoo"):
        return False
    return isinstance(x, Iterable)


def adapter_of_source(
    source: Any,
    reader: Reader,
    steps: int | None = None,
    repeat: bool = True,
    epochs: int = 1,
    permutation: Permutation = None,
    first_pass: int = 0,
) -> DataAdapter:
    """The adapter of something that yields batches. Arguments as for IterableAdapter and Indexed."""
    if is_indexed(source):
        indexed = Indexed(source, permutation, first_pass)
        return PyDatasetAdapter(indexed, reader, steps, repeat, epochs)
    return IterableAdapter(source, reader, steps, repeat, epochs)


def batches_of(source: Any) -> Any:
    """A source as an iterable of batches, in order."""
    return Indexed(source) if is_indexed(source) else source


def adapter_of_rows(
    data: DataSet,
    batch_size: int | None,
    steps: int | None = None,
    permutation: Permutation = None,
    repeat: bool = True,
    epochs: int = 1,
    first_pass: int = 0,
) -> DataAdapter:
    """The adapter of arrays. Arguments as for ArrayAdapter."""
    if all(isinstance(array, np.ndarray) for array in data.arrays):
        return ArrayAdapter(data, batch_size, steps, permutation, repeat, first_pass, epochs)
    size = min(batch_size or (-(-data.rows // steps) if steps else DEFAULT_BATCH_SIZE), data.rows)
    batches = RowsOnDemand(data, int(size), permutation, first_pass)
    return RowsAdapter(batches, steps, repeat, epochs)


# --- validation_split ------------------------------------------------------------------------------

_MOST_CLASSES = 1000
_EXPECTED = 8  # rows of a class in the part; fewer may be missing by chance


def warn_of_sorted_labels(y: Any, training: DataSet, held_out: DataSet) -> None:
    """A warning when the rows held out by `validation_split` are plainly of other classes than the rest."""
    if not isinstance(y, Leaf):
        return
    classes = _class_numbers(y.array)
    if classes is None:
        return
    head, tail = classes[: training.rows], classes[training.rows :]
    count = int(classes.max()) + 1
    total, last = np.bincount(classes, minlength=count), np.bincount(tail, minlength=count)
    share = len(tail) / len(classes)
    expected_in_tail, expected_in_head = total * share, total * (1 - share)
    absent = np.nonzero((last == 0) & (expected_in_tail >= _EXPECTED))[0]
    only_there = np.nonzero((last == total) & (expected_in_head >= _EXPECTED))[0]
    if not len(absent) and not len(only_there):
        return
    which = f"only they have class {only_there[0]}" if len(only_there) else f"they have no class {absent[0]}"
    warnings.warn(
        f"validation_split holds out the last {len(tail)} rows, which are not like the {len(head)} before: "
        f"{which}. The data look sorted: shuffle them first, e.g. by utils.split_dataset(..., shuffle=True).",
        stacklevel=4,
    )


def _class_numbers(y: np.ndarray[Any, Any]) -> np.ndarray[Any, Any] | None:
    """The class of each row, of class numbers or one-hot rows; None for other targets."""
    if y.ndim == 2 and y.shape[1] > 1:
        one_hot = ((y == 0) | (y == 1)).all() and (y.sum(axis=1) == 1).all()
        return y.argmax(axis=1) if one_hot else None
    flat = y.reshape(-1) if y.size == len(y) else None
    if flat is None or flat.min() < 0 or flat.max() >= _MOST_CLASSES or (flat != np.floor(flat)).any():
        return None
    return flat.astype(np.int64)
