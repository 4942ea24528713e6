"""`predict` over many rows or many batches."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from lamina.core import tree
from lamina.core.errors import DataError
from lamina.training.callbacks import CallbackList
from lamina.training.data import DEFAULT_BATCH_SIZE, DataSet, unpack_x_y_sample_weight
from lamina.training.predict import ROWS_AT_ONCE
from lamina.training.stream import length_of


def predict(
    model: Any, data: Any, given: Any, batch_size: int | None, verbose: Any, steps: int | None, callbacks: Any
) -> Any:
    """The outputs for `data` (a DataSet, or an iterable of batches), batch by batch, joined.

    given: what the user passed for x.
    """
    batches, total = _batches(model, data, batch_size, steps, callbacks)
    if not isinstance(callbacks, CallbackList):
        callbacks = CallbackList(
            callbacks, add_progbar=verbose != 0, model=model, verbose=verbose, epochs=1, steps=total
        )
    hooks = callbacks.wants_batches("predict")
    results: list[Any] = []
    callbacks.on_predict_begin()
    try:
        for number, batch in enumerate(batches):
            if hooks:
                callbacks.on_predict_batch_begin(number)
            whole = batch_size is None and isinstance(data, DataSet) and batch.rows == data.rows
            results.append(model._predictor.batch(batch, "predict" if whole else None, given))
            if hooks:
                callbacks.on_predict_batch_end(number, {"outputs": results[-1]})
            callbacks.on_progress(number + 1)
        callbacks.on_predict_end()
    finally:
        callbacks.on_exit()
    if not results:
        raise DataError("The data yields no batch at all.")
    if len(results) == 1:
        return results[0]
    flat = [np.concatenate(parts) for parts in zip(*map(tree.flatten, results))]
    return tree.pack_like(results[0], flat)


def _batches(
    model: Any, data: Any, batch_size: int | None, steps: int | None, callbacks: Any
) -> tuple[Iterator[DataSet], int | None]:
    """The batches, and how many there are if that is known."""
    if not isinstance(data, DataSet):
        total = steps if steps is not None else length_of(data)
        return _from_source(model, data, steps), total
    if batch_size is None:
        small = steps is not None or callbacks is not None or not model._predictor.is_row_by_row(data)
        batch_size = DEFAULT_BATCH_SIZE if small else ROWS_AT_ONCE
    starts = range(0, data.rows, batch_size)[:steps]
    stops = (min(start + batch_size, data.rows) for start in starts)
    return (data.slice(start, stop).loaded() for start, stop in zip(starts, stops)), len(starts)


def _from_source(model: Any, source: Any, steps: int | None) -> Iterator[DataSet]:
    for number, batch in enumerate(source):
        if number == steps:
            return
        data = model._data_set(unpack_x_y_sample_weight(batch)[0], finite=False)
        model._ensure_built(data)
        yield data
