"""The loop over batches: one for all backends, for training and for testing.

Batches are handed to the program many at a time, as rows of an index matrix, and run without coming back to
Python. How many is chosen so that a call takes about `CHUNK_SECONDS`: short enough for progress, for readers
that wait for the state, and for Ctrl-C; long enough to cost nothing.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import Any

from lamina.core.config import config
from lamina.core.errors import DataError
from lamina.core.interrupts import deferred_interrupts
from lamina.ids import IdCheck
from lamina.training.data import DataAdapter, Work
from lamina.training.programs import Programs, logs_of

CHUNK_SECONDS = 0.05
CALL_SECONDS = 2.5e-4  # ten times what a call costs


class Pace:
    """How many steps fit into a chunk, and how many are worth a call, measured."""

    def __init__(self) -> None:
        self.steps = self.least = 1

    def note(self, steps: int, seconds: float) -> None:
        each = max(seconds, 1e-9) / steps
        fitting, self.least = int(CHUNK_SECONDS / each), max(1, int(CALL_SECONDS / each))
        # The first calls are slower than those that follow, so the estimate grows step by step.
        self.steps = max(1, min(fitting, 16 * steps if steps >= self.steps else self.steps))


class Hooks:
    """What the loop tells the outside.

    every: steps between calls, or None for once per chunk. listening: whether anybody wants `end`.
    """

    every: int | None = None
    listening = True

    def begin(self, step: int) -> None:
        """The steps from `step` on come next."""

    def end(self, step: int, logs: dict[str, Any]) -> None:
        """The steps up to and including `step` are done."""

    def stopped(self) -> bool:
        """Whether to end here."""
        return False

    def nonfinite(self, work: Work, row: int, step: int) -> None:
        """Step `step` gave a loss or gradient that is not finite: `work.order[row]`. May raise."""


class Loop:
    """Runs epochs of one kind ("train" or "test") over one source of data.

    After each chunk the logs are those of its last step; metrics in them are over the epoch so far.
    """

    def __init__(self, programs: Programs, kind: str, adapter: DataAdapter, hooks: Hooks) -> None:
        self._programs = programs
        self._kind = kind
        self._adapter = adapter
        self._hooks = hooks
        self._pace = Pace()

    def epoch(self, done: int = 0) -> dict[str, Any]:
        """One pass; returns the logs of the last step. DataError when there is no batch.

        done: steps of it that were done before, by a training that this one resumes.
        """
        hooks, pace, every = self._hooks, self._pace, self._hooks.every
        self._adapter.begin_epoch()
        self._adapter.skip(done)
        limit = config.max_steps_per_epoch or sys.maxsize
        program: Any = None
        outputs: list[Any] = []
        steps = told = done  # in this epoch, and how many of them the hooks know of
        while not (steps > done and hooks.stopped()):
            if steps >= limit:
                break
            wanted = pace.steps if every is None else told + every - steps
            work = self._adapter.take(min(wanted, limit - steps), pace.least)
            if work is None:
                break
            program = self._programs.get(self._kind, work.batch_type)
            if program.id_checks and work.fresh is not None:
                _check_ids(program.id_checks, work, work.fresh)
            if steps == told:
                hooks.begin(steps)
            row = 0
            while row < len(work.order):
                start = time.perf_counter()
                result = self._chunk(program, work, row)
                pace.note(max(result.done, 1), time.perf_counter() - start)
                row += result.done
                outputs = result.outputs if result.done else outputs
                if not result.finite:
                    hooks.nonfinite(work, row, steps + row)
                    return logs_of(program.structure, outputs) if outputs else {}
            steps += row
            if every is None or steps - told >= every:
                told = steps
                if hooks.listening:
                    hooks.end(steps - 1, logs_of(program.structure, outputs))
        self._adapter.end_epoch()
        if program is None and done:
            return {}
        if program is None:
            raise DataError("The data yields no batch at all.")
        logs = logs_of(program.structure, outputs)
        if steps > told and hooks.listening:
            hooks.end(steps - 1, logs)
        return logs

    def leave_out_epoch(self) -> None:
        """Go through the data of an epoch, and do nothing."""
        self._adapter.begin_epoch()
        self._adapter.skip(sys.maxsize)
        self._adapter.end_epoch()

    def _chunk(self, program: Any, work: Work, row: int) -> Any:
        """Run steps while nobody else can see the state; Ctrl-C takes effect between two of them."""
        lock = self._programs.lock
        with deferred_interrupts(program.abort):
            lock.acquire_write()
            try:
                return program.run_steps(work.arrays, work.order[row:] if row else work.order)
            finally:
                lock.release_write()


def _check_ids(id_checks: Sequence[IdCheck], work: Work, names: Sequence[str]) -> None:
    first, last = work.order[0, 0], work.order[-1, -1]
    for ids in id_checks:
        ids.check([array[first : last + 1] for array in work.arrays], names)
