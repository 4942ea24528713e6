"""ReduceLROnPlateau: smaller steps when nothing gets better any more."""

from __future__ import annotations

from typing import Any

import numpy as np

from lamina.core.errors import ArgumentError
from lamina.training.callbacks.stopping import MonitorCallback


class ReduceLROnPlateau(MonitorCallback):
    """Multiplies the learning rate by `factor` when a number of the logs has stopped getting better.

    monitor: which one. factor: below 1. patience: how many epochs without improvement to wait. verbose: 1 to
    say when it acts. mode: "min", "max" or "auto". min_delta: changes smaller than this are no improvement.
    cooldown: epochs after a reduction in which nothing is counted. min_lr: no smaller than this.

    The logs get the learning rate of the epoch; of a MultiOptimizer, those of all its optimizers, which are
    reduced together. Raises ArgumentError for arguments that make no sense; StateError (at the first
    reduction) for an optimizer whose learning rate follows a schedule.

    >>> ReduceLROnPlateau(monitor="val_loss", factor=0.2, patience=5, min_lr=1e-4)
    """

    resumed = (*MonitorCallback.resumed, "wait", "cooldown_counter")

    def __init__(
        self,
        monitor: str = "val_loss",
        factor: float = 0.1,
        patience: int = 10,
        verbose: int = 0,
        mode: str = "auto",
        min_delta: float = 1e-4,
        cooldown: int = 0,
        min_lr: float = 0.0,
        **kwargs: Any,
    ) -> None:
        if kwargs:
            raise ArgumentError(f"ReduceLROnPlateau has no argument {next(iter(kwargs))!r}.")
        if not 0 <= factor < 1:
            raise ArgumentError(f"The factor of ReduceLROnPlateau must be below 1, got {factor}.")
        super().__init__(monitor, mode, min_delta=min_delta)
        self.factor = factor
        self.patience = patience
        self.verbose = verbose
        self.cooldown = cooldown
        self.min_lr = min_lr
        self.cooldown_counter = 0
        self.wait = 0

    def on_train_begin(self, logs: Any = None) -> None:
        self.best = None
        self.cooldown_counter = 0
        self.wait = 0

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        logs = {} if logs is None else logs
        logs.update(learning_rates(self.model.optimizer))
        value = self.get_monitor_value(logs)
        if value is None:
            return
        if self.in_cooldown():
            self.cooldown_counter -= 1
            self.wait = 0
        if self.is_improvement(value, self.best):
            self.best = value
            self.wait = 0
        elif not self.in_cooldown():
            self.wait += 1
            if self.wait >= self.patience and self._reduce(epoch):
                self.cooldown_counter = self.cooldown
                self.wait = 0

    def _reduce(self, epoch: int) -> bool:
        """Whether there was anything left to reduce."""
        reduced = False
        several = getattr(self.model.optimizer, "optimizers", None)
        for optimizer in several or [self.model.optimizer]:
            rate = float(np.asarray(optimizer.learning_rate))
            if rate <= np.float32(self.min_lr):
                continue
            reduced = True
            optimizer.learning_rate = lower = max(rate * self.factor, self.min_lr)
            if self.verbose:
                which = f" {optimizer.name}" if several else ""
                print(f"\nEpoch {epoch + 1}: ReduceLROnPlateau reducing{which} learning rate to {lower}.")
        return reduced

    def in_cooldown(self) -> bool:
        """Whether epochs do not count, after a reduction."""
        return self.cooldown_counter > 0


def learning_rates(optimizer: Any) -> dict[str, float]:
    """The learning rate, or one for each of several optimizers, as logs have it."""
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    if not hasattr(inner, "optimizers"):
        return {"learning_rate": float(np.asarray(inner.learning_rate))}
    return {f"learning_rate_{each.name}": float(np.asarray(each.learning_rate)) for each in inner.optimizers}
