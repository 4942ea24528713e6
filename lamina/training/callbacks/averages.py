"""SwapEMAWeights: evaluate, predict and save with the averages of the weights."""

from __future__ import annotations

from typing import Any

import numpy as np

from lamina.core.interrupts import deferred_interrupts
from lamina.training.callbacks.base import Callback


class SwapEMAWeights(Callback):
    """Puts the averages that the optimizer keeps (`use_ema=True`) in the place of the weights for a while.

    They are there during evaluation, validation and prediction. swap_on_epoch: also from the end of each
    epoch to the start of the next one, so that callbacks behind this one, such as ModelCheckpoint, see them.
    StateError when the optimizer keeps no averages.

    >>> model.compile(lamina.optimizers.SGD(0.1, use_ema=True), "mse")
    >>> model.fit(x, y, callbacks=[SwapEMAWeights(swap_on_epoch=True), ModelCheckpoint("best.keras")])
    """

    def __init__(self, swap_on_epoch: bool = False) -> None:
        super().__init__()
        self.swap_on_epoch = swap_on_epoch
        self._weights: list[np.ndarray[Any, Any]] | None = None  # the weights while the averages are in place

    def _put_averages(self) -> None:
        if self._weights is not None:
            return
        pairs = self.model.optimizer.averaged()
        with deferred_interrupts():
            self._weights = [variable.array.copy() for variable, _ in pairs]
            for variable, average in pairs:
                variable.assign(average)

    def _put_weights(self) -> None:
        if self._weights is None:
            return
        with deferred_interrupts():
            for (variable, _), weight in zip(self.model.optimizer.averaged(), self._weights):
                variable.assign(weight)
            self._weights = None

    def on_train_begin(self, logs: Any = None) -> None:
        self.model.optimizer.averaged()  # the error comes before any step

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._put_weights()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if self.swap_on_epoch:
            self._put_averages()

    def on_train_end(self, logs: Any = None) -> None:
        self._weights = None  # the averages are the weights now: Optimizer.finalize_variable_values

    def on_test_begin(self, logs: Any = None) -> None:
        self._put_averages()

    def on_test_end(self, logs: Any = None) -> None:
        self._put_weights()

    def on_predict_begin(self, logs: Any = None) -> None:
        self._put_averages()

    def on_predict_end(self, logs: Any = None) -> None:
        self._put_weights()

    def on_exit(self) -> None:
        self._put_weights()
