"""Callbacks that end training."""

from __future__ import annotations

import warnings
from typing import Any

from lamina.core.errors import ArgumentError, NonFiniteError, nearest
from lamina.core.interrupts import deferred_interrupts
from lamina.training.callbacks.base import Callback


class MonitorCallback(Callback):
    """Base of callbacks that watch whether one number of the logs gets better.

    monitor: its name. mode: "min", "max", or "auto", which asks the metric which way is better. baseline: the
    value to beat at first. min_delta: changes smaller than this are no improvement.
    """

    resumed: tuple[str, ...] = ("best",)

    def __init__(
        self,
        monitor: str = "val_loss",
        mode: str = "auto",
        baseline: float | None = None,
        min_delta: float = 0,
    ) -> None:
        super().__init__()
        if mode not in ("auto", "min", "max"):
            raise ArgumentError(f"mode must be 'auto', 'min' or 'max', got {mode!r}.")
        self.monitor = monitor
        self.mode = mode
        self.best = baseline
        self.min_delta = abs(min_delta)
        self._larger_is_better: bool | None = None
        self._warned = False

    def get_monitor_value(self, logs: Any) -> Any:
        """The watched number; None, after a warning, when the logs lack it."""
        value = (logs or {}).get(self.monitor)
        if value is None and not self._warned:
            self._warned = True
            near = nearest(self.monitor, logs or ())
            warnings.warn(
                f"{type(self).__name__} watches '{self.monitor}', which this epoch does not have. "
                f"It has {', '.join(logs or ['nothing'])}." + (f" Did you mean '{near}'?" if near else ""),
                stacklevel=2,
            )
        return value

    def is_improvement(self, value: float, reference: float | None) -> bool:
        """Whether `value` beats `reference` by more than `min_delta`; anything beats None."""
        if self._larger_is_better is None:
            self._larger_is_better = self._direction() == "up"
        if reference is None:
            return True
        if self._larger_is_better:
            return value - self.min_delta > reference
        return value + self.min_delta < reference

    def _direction(self) -> str:
        if self.mode != "auto":
            return "up" if self.mode == "max" else "down"
        name = self.monitor.removeprefix("val_")
        if name == "loss" or name.endswith("_loss"):
            return "down"
        direction: str | None = self.model._metric_direction(name)
        if direction is None:
            raise ArgumentError(
                f"{type(self).__name__} cannot tell whether '{self.monitor}' is to be large or small.",
                fix="pass mode='max' or mode='min'.",
            )
        return direction


class EarlyStopping(MonitorCallback):
    """Ends training when a number of the logs has stopped getting better.

    monitor: which one. min_delta: changes smaller than this are no improvement. patience: how many epochs
    without improvement to wait. verbose: 1 says when it acts. mode: "min", "max" or "auto". baseline: the
    number has to become better than this. restore_best_weights: go back to the weights of the best epoch at
    the end. start_from_epoch: do not watch before this epoch.

    >>> model.fit(x, y, validation_split=0.2, epochs=100,
    ...           callbacks=[EarlyStopping(patience=5, restore_best_weights=True)])
    """

    resumed = ("best", "wait", "stopped_epoch", "best_epoch", "best_weights")

    def __init__(
        self,
        monitor: str = "val_loss",
        min_delta: float = 0,
        patience: int = 0,
        verbose: int = 0,
        mode: str = "auto",
        baseline: float | None = None,
        restore_best_weights: bool = False,
        start_from_epoch: int = 0,
    ) -> None:
        super().__init__(monitor, mode, min_delta=min_delta)
        self.patience = patience
        self.verbose = verbose
        self.baseline = baseline
        self.restore_best_weights = restore_best_weights
        self.start_from_epoch = start_from_epoch
        self._begin()

    def _begin(self) -> None:
        self.wait = 0
        self.stopped_epoch = 0
        self.best: float | None = None
        self.best_epoch = 0
        self.best_weights: list[Any] | None = None

    def on_train_begin(self, logs: Any = None) -> None:
        self._begin()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        value = self.get_monitor_value(logs)
        if value is None or epoch < self.start_from_epoch:
            return
        self.wait += 1
        if self.is_improvement(value, self.best):
            self.best, self.best_epoch = value, epoch
            if self.restore_best_weights:
                self.best_weights = self.model.get_weights()
            if self.baseline is None or self.is_improvement(value, self.baseline):
                self.wait = 0
            return
        if self.wait >= self.patience and epoch > 0:
            self.stopped_epoch = epoch
            self.model.stop_training = True

    def on_train_end(self, logs: Any = None) -> None:
        if self.stopped_epoch and self.verbose:
            print(f"Epoch {self.stopped_epoch + 1}: early stopping")
        if self.best_weights is not None:
            if self.verbose:
                print(f"Restoring model weights from the end of the best epoch: {self.best_epoch + 1}.")
            with deferred_interrupts():
                self.model.set_weights(self.best_weights)


class TerminateOnNaN(Callback):
    """Ends training quietly when a loss or gradient is NaN or infinite, where otherwise an error is raised.

    The step that gave it is not applied in either case. raise_error: raise it all the same.
    """

    def __init__(self, raise_error: bool = False) -> None:
        super().__init__()
        self.raise_error = raise_error

    def on_nonfinite(self, error: NonFiniteError) -> bool:
        if not self.raise_error:
            print(f"Training ends: {error}")
        return not self.raise_error
