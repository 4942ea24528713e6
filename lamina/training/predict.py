"""Prediction: the same program for many sizes of batch, from many threads, with little Python around it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from lamina.core import dtypes, tree
from lamina.core.config import config
from lamina.core.errors import LaminaError
from lamina.core.interrupts import deferred_interrupts
from lamina.ids import IdCheck
from lamina.training import rows
from lamina.training.data import Arrays, BatchType, DataSet
from lamina.training.programs import Programs

Array = np.ndarray[Any, Any]

# Rows predicted at once when nobody asks for a batch size.
ROWS_AT_ONCE = 512
_TRIAL_ROWS = (11, 13)
# Signatures to keep a fast way for; rows are padded, so that few programs stand behind many of them.
_KEPT = 1024


def padded_rows(count: int) -> int:
    """The size, of 1, 2, 4, 8, 16, 32, 48, 64, 96, ..., that a batch of `count` rows is filled up to."""
    power = 1 << max(count - 1, 0).bit_length()
    return 3 * power // 4 if power >= 64 and count <= 3 * power // 4 else power


class Predictor:
    """Predicts with one model. Its answers never see a half-made training step."""

    def __init__(self, programs: Programs) -> None:
        self._programs = programs
        self._ready: dict[Any, Callable[[Array], Any]] = {}
        self._row_by_row: dict[Any, bool] = {}
        self._made_for: tuple[Any, ...] = ()

    def __reduce__(self) -> tuple[type[Predictor], tuple[Programs]]:
        return Predictor, (self._programs,)

    def forget(self) -> None:
        """The model has changed."""
        self._ready, self._row_by_row = {}, {}

    def fast(self, method: str, x: Array) -> Callable[[Array], Any] | None:
        """What `method` ("predict" or "batch") has found to do with arrays like this one; None at first."""
        if self._made_for != (config.backend, config.num_threads):
            self.forget()
            self._made_for = (config.backend, config.num_threads)
        return self._ready.get((method, x.shape, x.dtype))

    def batch(self, data: DataSet, method: str | None = None, given: Any = None) -> Any:
        """The outputs for all rows of `data` in one go.

        method, given: remember for `fast` that `method` does this with such arrays, of which `data` was made.
        """
        run, structure = self._runner(data)
        if (
            method is not None
            and isinstance(given, np.ndarray)
            and len(data.arrays) == 1
            and structure is None
        ):
            self._remember(method, given, data.arrays[0].dtype, run)
        outputs = run(data.arrays)
        return tree.pack_like(structure, outputs)

    def _remember(self, method: str, given: Array, dtype: Any, run: Callable[[Arrays], list[Array]]) -> None:
        if given.dtype != dtype and given.dtype.kind != "f":
            return  # whole numbers have to be looked at before they are made shorter
        if len(self._ready) >= _KEPT:
            self._ready.clear()
        needed = None if given.dtype == dtype else dtype
        self._ready[method, given.shape, given.dtype] = _single(run, needed)

    def is_row_by_row(self, data: DataSet) -> bool:
        """Whether rows are predicted independently of each other, so that batches may be cut at will."""
        if self._programs.model.run_eagerly:
            return False
        key = (data.batch_type(1).key, config.floatx)
        if key not in self._row_by_row:
            self._row_by_row[key] = self._finds_rows_independent(data)
        return self._row_by_row[key]

    def _finds_rows_independent(self, data: DataSet) -> bool:
        try:
            first, second = (self._programs.trace("predict", data.batch_type(size)) for size in _TRIAL_ROWS)
        except LaminaError:  # a model of one batch size only, such as a stateful one
            return False
        same_states = [id(s) for s in first.states] == [id(s) for s in second.states]
        return same_states and rows.independent(first.program, second.program)

    def _runner(self, data: DataSet) -> tuple[Callable[[Arrays], list[Array]], Any]:
        """A function of the arrays of such a batch, and the structure of what it returns."""
        count = data.rows
        size = padded_rows(count)
        if size != count and not self.is_row_by_row(data):
            size = count
        batch_type = data.batch_type(size)
        program = self._programs.get("predict", batch_type)
        run = self._locked(program)
        if size != count:
            run = _padded(run, batch_type, count)
        if program.id_checks:
            run = _with_ids_checked(run, program.id_checks, [leaf.name for leaf in data.leaves])
        return run, program.structure

    def _locked(self, program: Any) -> Callable[[Arrays], list[Array]]:
        """Runs the program between two training steps, beside other readers if it changes no state."""
        lock, run = self._programs.lock, program.run

        def reading(arrays: Arrays) -> list[Array]:
            try:
                lock.acquire_read()
                outputs: list[Array] = run(arrays)
            finally:  # releasing is harmless before acquiring, and twice
                try:
                    lock.release_read()
                except BaseException:  # Ctrl-C in the middle of it
                    lock.release_read()
                    raise
            return outputs

        def writing(arrays: Arrays) -> list[Array]:
            with deferred_interrupts(), lock.writing():
                outputs: list[Array] = run(arrays)
            return outputs

        return writing if program.writes else reading


def _padded(
    run: Callable[[Arrays], list[Array]], batch_type: BatchType, count: int
) -> Callable[[Arrays], list[Array]]:
    """Fill the batch up with zeros, and cut the outputs down."""
    shapes = [(kind.shape, dtypes.to_numpy(kind.dtype)) for kind in batch_type.types]

    def padded(arrays: Arrays) -> list[Array]:
        filled = []
        for (shape, dtype), array in zip(shapes, arrays):
            larger = np.empty(shape, dtype)
            larger[:count] = array
            larger[count:] = 0
            filled.append(larger)
        return [output[:count] for output in run(filled)]

    return padded


def _with_ids_checked(
    run: Callable[[Arrays], list[Array]], id_checks: Sequence[IdCheck], names: list[str]
) -> Callable[[Arrays], list[Array]]:
    def checked(arrays: Arrays) -> list[Array]:
        for ids in id_checks:
            ids.check(arrays, names)
        return run(arrays)

    return checked


def _single(run: Callable[[Arrays], list[Array]], dtype: Any) -> Callable[[Array], Any]:
    """One array in, one array out."""

    def predict(x: Array) -> Array:
        if dtype is not None or not x.flags.c_contiguous:
            x = np.ascontiguousarray(x, dtype)
        return run([x])[0]

    return predict
