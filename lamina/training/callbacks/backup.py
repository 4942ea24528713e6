"""BackupAndRestore: a training that was cut off goes on as if nothing had happened."""

from __future__ import annotations

import os
import shutil
from typing import Any

from lamina.core.errors import ArgumentError, DataError
from lamina.training import snapshot
from lamina.training.callbacks.base import Callback
from lamina.training.callbacks.checkpoint import checked_frequency
from lamina.training.run import Position, Run


class BackupAndRestore(Callback):
    """Keeps a backup of the training on disk; the same script, run again, goes on from there.

    backup_dir: a folder of its own for this training. save_freq: "epoch", or a number of batches.
    double_checkpoint: keep the backup before the last one, too, for when that cannot be read.
    delete_checkpoint: remove the folder when training has come to its end.

    A backup has everything that the numbers depend on: weights, optimizer, metrics, random generators, the
    order of the data, and the counters of callbacks such as EarlyStopping. The resumed training computes bit
    for bit what an uninterrupted one would have, also from the middle of an epoch. Data that is no array is
    run through again up to that place. Wherever it stands in `callbacks`, it acts after the others.

    DataError when the folder has the backup of another model, or one that cannot be read.

    >>> model.fit(x, y, epochs=100, callbacks=[BackupAndRestore("/tmp/backup", save_freq=1000)])
    """

    acts_last = True
    resumed = ("_batches_since",)

    def __init__(
        self,
        backup_dir: Any,
        save_freq: Any = "epoch",
        double_checkpoint: bool = False,
        delete_checkpoint: bool = True,
    ) -> None:
        super().__init__()
        if not backup_dir:
            raise ArgumentError("BackupAndRestore needs a backup_dir.")
        self.backup_dir = os.fspath(backup_dir)
        self.save_freq = checked_frequency(save_freq)
        self.double_checkpoint = double_checkpoint
        self.delete_checkpoint = delete_checkpoint
        self._latest = os.path.join(self.backup_dir, "latest.backup")
        self._previous = os.path.join(self.backup_dir, "previous.backup")
        self._epoch = 0
        self._batches_since = 0
        self._last_batch = -1

    def wants_batches(self, kind: str) -> bool:
        return kind == "train" and self.save_freq != "epoch"

    def set_run(self, run: Run) -> None:
        self._run = run

    def on_train_begin(self, logs: Any = None) -> None:
        for path in (self._latest, self._previous):
            if not os.path.exists(path):
                continue
            try:
                saved = snapshot.read(path)
            except DataError:
                if path == self._latest and os.path.exists(self._previous):
                    continue
                raise
            snapshot.restore(self.model, self._run, saved, path)
            return

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._epoch = epoch
        resumed = self._run.resumed_at
        self._last_batch = resumed.step - 1 if resumed is not None and resumed.epoch == epoch else -1

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if self.save_freq == "epoch":
            return
        self._batches_since += batch - self._last_batch
        self._last_batch = batch
        # The last batch of an epoch is followed by its validation, and its backup by the next epoch.
        if self._batches_since >= self.save_freq and batch + 1 != self.params.get("steps"):
            self._save(self._epoch, batch + 1)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if self.save_freq == "epoch" or self._batches_since >= self.save_freq:
            self._save(epoch + 1, 0)

    def _save(self, epoch: int, step: int) -> None:
        self._batches_since = 0
        os.makedirs(self.backup_dir, exist_ok=True)
        if self.double_checkpoint and os.path.exists(self._latest):
            os.replace(self._latest, self._previous)
        snapshot.write(self._latest, snapshot.take(self.model, self._run, Position(epoch, step)))

    def on_train_end(self, logs: Any = None) -> None:
        if self.delete_checkpoint:
            shutil.rmtree(self.backup_dir, ignore_errors=True)
