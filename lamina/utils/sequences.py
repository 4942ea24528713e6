"""Sequences as arrays: padding to one length, windows over a series."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from lamina.core.errors import ArgumentError, DataError
from lamina.training.py_dataset import PyDataset

Array = np.ndarray[Any, Any]


def pad_sequences(
    sequences: Sequence[Any],
    maxlen: int | None = None,
    dtype: Any = "int32",
    padding: str = "pre",
    truncating: str = "pre",
    value: Any = 0.0,
) -> Array:
    """Sequences of different lengths as one array (count, maxlen, ...), filled up with `value`.

    maxlen: longer sequences are cut; the longest length when left out. padding, truncating: "pre" to fill
    and cut at the start, "post" at the end. Raises DataError for what are no sequences, or entries that do
    not fit.

    >>> pad_sequences([[1], [2, 3], [4, 5, 6]])
    array([[0, 0, 1],
           [0, 2, 3],
           [4, 5, 6]], dtype=int32)
    """
    for name, side in (("padding", padding), ("truncating", truncating)):
        if side not in ("pre", "post"):
            raise ArgumentError(f"pad_sequences: {name} must be 'pre' or 'post', got {side!r}.")
    for place, sequence in enumerate(sequences):
        if not hasattr(sequence, "__len__"):
            raise DataError(
                "pad_sequences takes a list of sequences.", got=f"{sequence!r:.40} at place {place}"
            )
    longest = max((len(sequence) for sequence in sequences), default=0)
    length = longest if maxlen is None else maxlen
    entry = next((np.shape(sequence)[1:] for sequence in sequences if len(sequence)), ())
    text = np.issubdtype(np.dtype(dtype), np.str_) or dtype is object
    if isinstance(value, str) and not text:
        raise ArgumentError(f"pad_sequences: value={value!r} does not fit dtype {dtype}.", fix="dtype=object")
    padded = np.full((len(sequences), length, *entry), value, dtype=dtype)
    for place, sequence in enumerate(sequences):
        kept = np.asarray(sequence[-length:] if truncating == "pre" else sequence[:length], dtype=dtype)
        if not len(kept) or not length:
            continue
        if kept.shape[1:] != entry:
            raise DataError(
                "pad_sequences: the entries of the sequences have different shapes.",
                expected=str(entry),
                got=f"{kept.shape[1:]} in sequence {place}",
            )
        if padding == "post":
            padded[place, : len(kept)] = kept
        else:
            padded[place, -len(kept) :] = kept
    return padded


class Windows(PyDataset):
    """Batches of windows over a series, and what belongs to each; made anew for every batch.

    data, targets: arrays with time first. starts: the first place of each window. places: those of a window,
    counted from its start. batch_size: None for single windows. With a shuffle, epochs differ.
    """

    def __init__(
        self,
        data: Array,
        targets: Array | None,
        starts: Array,
        places: Array,
        batch_size: int | None,
        shuffle: np.random.Generator | None,
    ) -> None:
        super().__init__()
        self._data, self._targets, self._starts, self._places = data, targets, starts, places
        self._batch_size, self._shuffle = batch_size, shuffle
        self._order = np.arange(len(starts))
        self.on_epoch_end()

    def __len__(self) -> int:
        return -(-len(self._starts) // (self._batch_size or 1))

    def __getitem__(self, number: int) -> Any:
        if not 0 <= number < len(self):
            raise IndexError(number)
        size = self._batch_size or 1
        starts = self._starts[self._order[number * size : (number + 1) * size]]
        x = self._data[starts[:, None] + self._places]
        if self._batch_size is None:
            return x[0] if self._targets is None else (x[0], self._targets[starts[0]])
        return x if self._targets is None else (x, self._targets[starts])

    def __iter__(self) -> Iterator[Any]:
        return (self[number] for number in range(len(self)))

    def on_epoch_end(self) -> None:
        if self._shuffle is not None:
            self._shuffle.shuffle(self._order)


def timeseries_dataset_from_array(
    data: Any,
    targets: Any,
    sequence_length: int,
    sequence_stride: int = 1,
    sampling_rate: int = 1,
    batch_size: int | None = 128,
    shuffle: bool = False,
    seed: int | None = None,
    start_index: int | None = None,
    end_index: int | None = None,
    format: str = "tf",
) -> Windows:
    """Batches (windows, targets) over a series, for `fit`, `evaluate` and `predict`.

    data: (time, ...). targets: the one for the window that begins at time t at place t; None for windows
    alone. sequence_length: entries of a window, `sampling_rate` apart; windows begin `sequence_stride` apart.
    batch_size: None for single windows. start_index, end_index: the part of the series to use. format is
    accepted for Keras' sake; the result goes through once for each epoch.
    Raises ArgumentError for lengths and strides that leave no window.

    >>> windows = timeseries_dataset_from_array(np.arange(10), np.arange(10)[3:], sequence_length=3)
    """
    series, answers = np.asarray(data), None if targets is None else np.asarray(targets)
    for name, number in (
        ("sequence_length", sequence_length),
        ("sequence_stride", sequence_stride),
        ("sampling_rate", sampling_rate),
    ):
        if isinstance(number, bool) or not isinstance(number, (int, np.integer)) or number < 1:
            raise ArgumentError(
                f"timeseries_dataset_from_array cannot have {name}={number!r}.",
                expected="a whole number of at least 1",
            )
    first, last = start_index or 0, len(series) if end_index is None else end_index
    if not 0 <= first < last <= len(series):
        raise ArgumentError(
            "timeseries_dataset_from_array: start_index and end_index are no part of the series.",
            expected=f"0 <= start_index < end_index <= {len(series)}",
            got=f"{first} and {last}",
        )
    count = last - first - (sequence_length - 1) * sampling_rate
    if answers is not None:
        count = min(count, len(answers))
    if count < 1:
        raise ArgumentError(
            "timeseries_dataset_from_array: not a single window fits into the series.",
            got=f"windows over {(sequence_length - 1) * sampling_rate + 1} of {last - first} places",
        )
    starts = np.arange(0, count, sequence_stride) + first
    places = np.arange(sequence_length) * sampling_rate
    order = np.random.default_rng(seed) if shuffle else None
    return Windows(series, answers, starts, places, batch_size, order)
