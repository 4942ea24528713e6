"""What users' generators, data sets and loaders yield, read for a model."""

from __future__ import annotations

from typing import Any

from lamina.training.alike import Alike, Check
from lamina.training.data import DataSet, unpack_x_y_sample_weight
from lamina.training.stream import Reader


class UserBatches(Reader):
    """Batches x, (x, y) or (x, y, sample_weight) for this model. class_weight: as for `fit`."""

    def __init__(self, model: Any, class_weight: Any = None) -> None:
        self._model = model
        self._class_weight = class_weight

    def read(self, given: Any) -> DataSet:
        data: DataSet = self._model._data_set(*unpack_x_y_sample_weight(given), self._class_weight)
        self._model._check_targets(data.data[1])
        return data

    def alike(self, given: Any, batch: DataSet) -> Alike | None:
        model = self._model
        if self._class_weight is not None or model._host_stage is not None:
            return None
        if not Alike.possible(given, batch):
            return None
        finite = [model._refuses_nonfinite(leaf.name) for leaf in batch.leaves]
        return Alike(given, batch, finite, self._checks_of_targets)

    def _checks_of_targets(self, targets: Any) -> list[Check]:
        loss = self._model._compile_loss
        return [] if loss is None else loss.checks_of(targets)
