"""ModelCheckpoint: the model, or its weights, saved along the way."""

from __future__ import annotations

import os
import warnings
from typing import Any

import numpy as np

from lamina.core.errors import ArgumentError, nearest
from lamina.training.callbacks.stopping import MonitorCallback


class ModelCheckpoint(MonitorCallback):
    """Saves the model after each epoch, or every so many batches.

    filepath: where to; `{epoch}`, `{batch}` and names of the logs are filled in, as in
      "runs/{epoch:02d}-{val_loss:.3f}.keras". It ends in ".keras", or ".weights.h5" for weights alone.
      Missing folders are made.
    monitor, mode: the number of the logs to watch with `save_best_only`, and which way is better.
    verbose: 1 says what is saved. save_best_only: only what is better than all before.
    save_weights_only: `model.save_weights` instead of `model.save`. save_freq: "epoch", or so many batches.
    initial_value_threshold: what the first save has to beat.

    >>> model.fit(x, y, epochs=10, validation_split=0.2,
    ...           callbacks=[ModelCheckpoint("best.keras", save_best_only=True)])
    """

    resumed = (*MonitorCallback.resumed, "_batches_since")

    def __init__(
        self,
        filepath: Any,
        monitor: str = "val_loss",
        verbose: int = 0,
        save_best_only: bool = False,
        save_weights_only: bool = False,
        mode: str = "auto",
        save_freq: Any = "epoch",
        initial_value_threshold: float | None = None,
    ) -> None:
        super().__init__(monitor, mode, initial_value_threshold)
        self.filepath = os.fspath(filepath)
        self.verbose = verbose
        self.save_best_only = save_best_only
        self.save_weights_only = save_weights_only
        self.save_freq = checked_frequency(save_freq)
        endings = (".weights.h5",) if save_weights_only else (".keras", ".h5")
        if not self.filepath.endswith(endings):
            raise ArgumentError(
                f"The filepath of ModelCheckpoint must end in {endings[0]}.",
                got=self.filepath,
                fix="save_weights_only=True, for weights alone."
                if self.filepath.endswith(".weights.h5")
                else None,
            )
        self._epoch = 0
        self._batches_since = 0
        self._last_batch = -1

    def wants_batches(self, kind: str) -> bool:
        return kind == "train" and self.save_freq != "epoch"

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._epoch = epoch
        self._last_batch = -1

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if self.save_freq == "epoch":
            return
        self._batches_since += batch - self._last_batch
        self._last_batch = batch
        if self._batches_since >= self.save_freq:
            self._batches_since = 0
            self._save(self._epoch, batch, logs or {})

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if self.save_freq == "epoch":
            self._save(epoch, None, logs or {})

    def _save(self, epoch: int, batch: int | None, logs: dict[str, Any]) -> None:
        path = self._path(epoch, batch, logs)
        if not self._is_worth_it(epoch, logs, path):
            return
        if os.path.isdir(path):
            raise ArgumentError(f"ModelCheckpoint cannot save to {path}: it is a folder.")
        folder = os.path.dirname(path)
        if folder:
            os.makedirs(folder, exist_ok=True)
        save = self.model.save_weights if self.save_weights_only else self.model.save
        save(path, overwrite=True)

    def _path(self, epoch: int, batch: int | None, logs: dict[str, Any]) -> str:
        known = dict(logs, epoch=epoch + 1)
        if batch is not None:
            known.setdefault("batch", batch + 1)
        try:
            return self.filepath.format(**known)
        except KeyError as error:
            name = str(error.args[0])
            near = nearest(name, known)
            raise ArgumentError(
                f"The filepath of ModelCheckpoint, {self.filepath}, names {name!r}, which is not known here.",
                expected=f"some of {', '.join(known)}",
                fix=f"did you mean {near!r}?" if near else None,
            ) from error

    def _is_worth_it(self, epoch: int, logs: dict[str, Any], path: str) -> bool:
        better = ""
        if self.save_best_only:
            value = self.get_monitor_value(logs)
            if value is None:
                return True
            if np.ndim(value) > 0:
                warnings.warn(f"ModelCheckpoint: '{self.monitor}' is no single number.", stacklevel=2)
                return True
            before = "None" if self.best is None else f"{self.best:.5f}"
            if not self.is_improvement(value, self.best):
                self._say(f"Epoch {epoch + 1}: {self.monitor} did not improve from {before}")
                return False
            self.best = value
            better = f"{self.monitor} improved from {before} to {value:.5f}, "
        self._say(f"Epoch {epoch + 1}: {better}saving model to {path}")
        return True

    def _say(self, text: str) -> None:
        if self.verbose:
            print(f"\n{text}")


def checked_frequency(save_freq: Any) -> Any:
    """`save_freq`, or an ArgumentError unless it is "epoch" or a positive whole number."""
    if save_freq == "epoch" or (
        isinstance(save_freq, int) and not isinstance(save_freq, bool) and save_freq > 0
    ):
        return save_freq
    raise ArgumentError("save_freq must be 'epoch' or a number of batches.", got=f"save_freq={save_freq!r}")
