"""What the loop tells the callbacks."""

from __future__ import annotations

from typing import Any

from lamina.training.callbacks import CallbackList
from lamina.training.data import Work
from lamina.training.loop import Hooks


class _CallbackHooks(Hooks):
    def __init__(self, model: Any, callbacks: CallbackList, kind: str) -> None:
        self._model = model
        self._callbacks = callbacks
        self._batches = callbacks.wants_batches(kind)
        self.every = model.steps_per_execution if self._batches else None
        self.listening = self._batches or callbacks.wants_progress()


class FitHooks(_CallbackHooks):
    """For training. ended: a step was not finite, and a callback wants training to end quietly."""

    def __init__(self, model: Any, callbacks: CallbackList) -> None:
        super().__init__(model, callbacks, "train")
        self.epoch = 0
        self.ended = False

    def begin(self, step: int) -> None:
        if self._batches:
            self._callbacks.on_train_batch_begin(step)

    def end(self, step: int, logs: dict[str, Any]) -> None:
        if self._batches:
            self._callbacks.on_train_batch_end(step, logs)
        self._callbacks.on_progress(step + 1, logs)

    def stopped(self) -> bool:
        return bool(self._model.stop_training)

    def nonfinite(self, work: Work, row: int, step: int) -> None:
        from lamina.training.nonfinite import explain

        error = explain(self._model, work, row, self.epoch, step)
        if not self._callbacks.on_nonfinite(error):
            raise error
        self._model.stop_training = True
        self.ended = True


class TestHooks(_CallbackHooks):
    """For evaluation; without progress inside `fit`, whose own steps are what moves."""

    __test__ = False  # no test class

    def __init__(self, model: Any, callbacks: CallbackList, progress: bool = True) -> None:
        super().__init__(model, callbacks, "test")
        self._progress = progress

    def begin(self, step: int) -> None:
        if self._batches:
            self._callbacks.on_test_batch_begin(step)

    def end(self, step: int, logs: dict[str, Any]) -> None:
        if self._batches:
            self._callbacks.on_test_batch_end(step, logs)
        if self._progress:
            self._callbacks.on_progress(step + 1, logs)
