"""Intersection over union: how well predicted areas of each class cover the true ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from lamina import ops
from lamina.core.config import config
from lamina.core.errors import ArgumentError, ShapeError
from lamina.ir import primitives as p
from lamina.losses.base import get_mask, squeeze_or_expand_to_same_rank
from lamina.metrics.base import Metric
from lamina.metrics.reduction import weights_for


class _ConfusionMatrix(Metric):
    """Counts of (true class, predicted class), (num_classes, num_classes)."""

    _direction = "up"

    def __init__(
        self,
        num_classes: int,
        name: str | None = None,
        dtype: Any = None,
        ignore_class: int | None = None,
        sparse_y_true: bool = True,
        sparse_y_pred: bool = True,
        axis: int = -1,
    ) -> None:
        super().__init__(name=name, dtype=dtype)
        self.num_classes = num_classes
        self.ignore_class = ignore_class
        self.sparse_y_true = sparse_y_true
        self.sparse_y_pred = sparse_y_pred
        self.axis = axis
        self.total_cm = self.add_total("total_confusion_matrix", (num_classes, num_classes))

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        mask = get_mask(y_pred)
        y_true, y_pred = ops.convert_to_tensor(y_true), ops.convert_to_tensor(y_pred)
        if not self.sparse_y_true:
            y_true = ops.argmax(y_true, axis=self.axis)
        if not self.sparse_y_pred:
            y_pred = ops.argmax(y_pred, axis=self.axis)
        y_true, y_pred = squeeze_or_expand_to_same_rank(y_true, y_pred)
        if tuple(y_true.shape) != tuple(y_pred.shape):
            raise ShapeError(
                f"{type(self).__name__}: targets and predictions have different shapes.",
                expected=f"targets of shape {tuple(y_pred.shape)}",
                got=f"targets of shape {tuple(y_true.shape)}",
                fix="say with sparse_y_true and sparse_y_pred which of the two are class numbers.",
            )
        self._count(ops.cast(y_true, "int32"), ops.cast(y_pred, "int32"), sample_weight, mask)

    def _count(self, y_true: Any, y_pred: Any, sample_weight: Any, mask: Any) -> None:
        classes = self.num_classes
        weights = weights_for(y_true, sample_weight, mask)
        known = ops.logical_and(_within(y_true, classes), _within(y_pred, classes))
        if self.ignore_class is not None:
            known = ops.logical_and(known, ops.not_equal(y_true, self.ignore_class))
        # scatter_add drops what has a place outside.
        place = ops.where(known, y_true * classes + y_pred, ops.full_like(y_true, -1))
        counts = p.scatter_add(
            ops.zeros((classes * classes,), "float32"),
            ops.reshape(place, (-1,)),
            ops.reshape(ops.broadcast_to(weights, y_true.shape), (-1,)),
            axis=0,
        )
        self.total_cm.assign_add(ops.reshape(counts, (classes, classes)))


def _within(labels: Any, classes: int) -> Any:
    return ops.logical_and(ops.greater_equal(labels, 0), ops.less(labels, classes))


class IoU(_ConfusionMatrix):
    """TP / (TP + FP + FN), averaged over the target classes that occur.

    num_classes: of targets and predictions. target_class_ids: the classes to average over.
    ignore_class: targets of this class do not count; neither do class numbers out of range.
    sparse_y_true, sparse_y_pred: whether these are class numbers, or scores along `axis`.
    Weights are not rounded to whole numbers, as Keras' default dtype would have it.
    """

    def __init__(
        self,
        num_classes: int,
        target_class_ids: Sequence[int],
        name: str | None = None,
        dtype: Any = None,
        ignore_class: int | None = None,
        sparse_y_true: bool = True,
        sparse_y_pred: bool = True,
        axis: int = -1,
    ) -> None:
        super().__init__(num_classes, name, dtype, ignore_class, sparse_y_true, sparse_y_pred, axis)
        wrong = [number for number in target_class_ids if not 0 <= number < num_classes]
        if wrong:
            raise ArgumentError(f"target_class_ids must be from 0 to {num_classes - 1}.", got=str(wrong))
        self.target_class_ids = list(target_class_ids)

    def result(self) -> Any:
        counts = self.total_cm.value
        chosen = np.zeros((self.num_classes, len(self.target_class_ids)))
        chosen[self.target_class_ids, range(len(self.target_class_ids))] = 1
        hits = ops.sum(counts * np.eye(self.num_classes), axis=0)
        union = ops.matmul(ops.sum(counts, axis=0) + ops.sum(counts, axis=1) - hits, chosen)
        hits = ops.matmul(hits, chosen)
        occurs = ops.greater(union, 1e-9)
        shares = ops.where(occurs, hits / (union + config.epsilon), ops.zeros_like(hits))
        number = ops.sum(ops.cast(occurs, "float64"))
        return self._as_result(ops.sum(shares) / (number + config.epsilon))

    def get_config(self) -> dict[str, Any]:
        own = {
            "num_classes": self.num_classes,
            "target_class_ids": self.target_class_ids,
            "ignore_class": self.ignore_class,
            "sparse_y_true": self.sparse_y_true,
            "sparse_y_pred": self.sparse_y_pred,
            "axis": self.axis,
        }
        return {**super().get_config(), **own}


class BinaryIoU(IoU):
    """IoU of 0-or-1 targets and predictions that are 1 from `threshold` on."""

    def __init__(
        self,
        target_class_ids: Sequence[int] = (0, 1),
        threshold: float = 0.5,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(2, target_class_ids, name, dtype)
        self.threshold = threshold

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        is_one = ops.greater_equal(ops.convert_to_tensor(y_pred, "float32"), self.threshold)
        super().update_state(y_true, ops.cast(is_one, "int32"), sample_weight)

    def get_config(self) -> dict[str, Any]:
        own = {"target_class_ids": self.target_class_ids, "threshold": self.threshold}
        return {**Metric.get_config(self), **own}


class MeanIoU(IoU):
    """IoU averaged over all classes that occur."""

    def __init__(
        self,
        num_classes: int,
        name: str | None = None,
        dtype: Any = None,
        ignore_class: int | None = None,
        sparse_y_true: bool = True,
        sparse_y_pred: bool = True,
        axis: int = -1,
    ) -> None:
        super().__init__(
            num_classes, range(num_classes), name, dtype, ignore_class, sparse_y_true, sparse_y_pred, axis
        )

    def get_config(self) -> dict[str, Any]:
        return _without(super().get_config(), "target_class_ids")


class OneHotIoU(IoU):
    """IoU of one-hot targets, and of scores (or class numbers, with sparse_y_pred) as predictions."""

    def __init__(
        self,
        num_classes: int,
        target_class_ids: Sequence[int],
        name: str | None = None,
        dtype: Any = None,
        ignore_class: int | None = None,
        sparse_y_pred: bool = False,
        axis: int = -1,
    ) -> None:
        super().__init__(num_classes, target_class_ids, name, dtype, ignore_class, False, sparse_y_pred, axis)

    def get_config(self) -> dict[str, Any]:
        return _without(super().get_config(), "sparse_y_true")


class OneHotMeanIoU(MeanIoU):
    """MeanIoU of one-hot targets, and of scores (or class numbers, with sparse_y_pred) as predictions."""

    def __init__(
        self,
        num_classes: int,
        name: str | None = None,
        dtype: Any = None,
        ignore_class: int | None = None,
        sparse_y_pred: bool = False,
        axis: int = -1,
    ) -> None:
        super().__init__(num_classes, name, dtype, ignore_class, False, sparse_y_pred, axis)

    def get_config(self) -> dict[str, Any]:
        return _without(super().get_config(), "sparse_y_true")


def _without(config: dict[str, Any], entry: str) -> dict[str, Any]:
    return {key: value for key, value in config.items() if key != entry}
