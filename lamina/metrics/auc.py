"""Area under the receiver-operating or precision-recall curve."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from lamina import ops
from lamina.core.config import config
from lamina.core.errors import ArgumentError, ShapeError, unknown_name
from lamina.losses.base import get_mask, set_mask
from lamina.metrics.confusion import FourCounts
from lamina.metrics.counting import Thresholds, checked_thresholds, count_confusions

CURVES = ("ROC", "PR", "PRGAIN")
SUMMATION_METHODS = ("interpolation", "majoring", "minoring")


class AUC(FourCounts):
    """Area under a curve that is sampled at thresholds between 0 and 1.

    num_thresholds: evenly spaced, the first just below 0, the last just above 1.
    thresholds: own ones between these two, instead of evenly spaced ones.
    curve: "ROC" (true against false positive rate), "PR" (precision against recall), or "PRGAIN".
    summation_method: "interpolation" (trapezoids; for PR the interpolation of Davis and Goadrich, 2006),
    "minoring" or "majoring" (the lower or upper end of each step).
    multi_label: the mean of one area per column of (batch, num_labels), weighted by label_weights; else all
    columns are one, and label_weights weigh their predictions. from_logits: predictions need a sigmoid first.

    A batch costs one pass over its predictions, whatever the number of evenly spaced thresholds.

    >>> auc = AUC(num_thresholds=3)
    >>> auc.update_state([0, 0, 1, 1], [0.0, 0.5, 0.3, 0.9])
    >>> float(auc.result())
    0.75
    """

    def __init__(
        self,
        num_thresholds: int = 200,
        curve: str = "ROC",
        summation_method: str = "interpolation",
        name: str | None = None,
        dtype: Any = None,
        thresholds: Sequence[float] | None = None,
        multi_label: bool = False,
        num_labels: int | None = None,
        label_weights: Any = None,
        from_logits: bool = False,
    ) -> None:
        super().__init__(name=name, dtype=dtype)
        self.curve = _choice("AUC curve", curve, CURVES)
        self.summation_method = _choice("AUC summation method", summation_method, SUMMATION_METHODS)
        if num_labels and not multi_label:
            raise ArgumentError("num_labels is only for multi_label=True.", got=f"num_labels={num_labels}")
        self._init_thresholds = None if thresholds is None else sorted(map(float, thresholds))
        if self._init_thresholds is not None:
            checked_thresholds(self._init_thresholds, 0.5)
            inner = self._init_thresholds
        elif num_thresholds > 1:
            inner = (np.arange(1, num_thresholds - 1) / (num_thresholds - 1)).tolist()
        else:
            raise ArgumentError(f"num_thresholds must be at least 2, got {num_thresholds}.")
        self._thresholds = Thresholds([0.0 - config.epsilon, *inner, 1.0 + config.epsilon])
        self.num_thresholds = len(self._thresholds)
        self.multi_label = multi_label
        self.num_labels = num_labels
        self.label_weights = None if label_weights is None else np.asarray(label_weights, np.float32)
        self._from_logits = from_logits
        self._built = False
        if not multi_label:
            self._build(None)
        elif num_labels:
            self._build(num_labels)

    @property
    def thresholds(self) -> list[float]:
        return list(self._thresholds.values)

    def _build(self, num_labels: int | None) -> None:
        self._add_counts((self.num_thresholds,) if num_labels is None else (self.num_thresholds, num_labels))
        self._built = True

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        shape = ops.shape(y_pred)
        if self.multi_label and len(shape) != 2:
            raise ShapeError("AUC(multi_label=True) needs predictions (batch, labels).", got=f"shape {shape}")
        if not self._built:
            self._build(shape[1])
        if self._from_logits:
            mask = get_mask(y_pred)
            y_pred = ops.sigmoid(y_pred)
            if mask is not None:
                set_mask(y_pred, mask)
        self._take_in(
            count_confusions(
                y_true,
                y_pred,
                self._thresholds,
                sample_weight,
                label_weights=None if self.multi_label else self.label_weights,
                multi_label=self.multi_label,
            )
        )

    def result(self) -> Any:
        if self.curve == "PR" and self.summation_method == "interpolation":
            return self._total(self._interpolated_precision_recall())
        x, y = self._curve_points()
        left, right = y[:-1], y[1:]
        if self.summation_method == "interpolation":
            heights = (left + right) / 2.0
        else:
            heights = (
                ops.minimum(left, right) if self.summation_method == "minoring" else ops.maximum(left, right)
            )
        return self._total((x[:-1] - x[1:]) * heights)

    def _curve_points(self) -> tuple[Any, Any]:
        """(x, y) at each threshold, from the lowest threshold to the highest."""
        recall = self._rate(self.true_positives, self.false_negatives)
        if self.curve == "ROC":
            return self._rate(self.false_positives, self.true_negatives), recall
        if self.curve == "PR":
            return recall, self._rate(self.true_positives, self.false_positives)
        # Source: Flach and Kull, "Precision-Recall-Gain Curves", 2015.
        none_found = ops.equal(self.true_positives, 0.0)
        positives = self.true_positives + self.false_negatives
        odds = ops.divide_no_nan(positives, self.true_negatives + self.false_positives)
        recall_gain = 1.0 - odds * ops.divide_no_nan(self.false_negatives, self.true_positives)
        precision_gain = 1.0 - odds * ops.divide_no_nan(self.false_positives, self.true_positives)
        recall_gain = ops.where(none_found, ops.zeros_like(recall_gain), recall_gain)
        precision_gain = ops.where(none_found, ops.ones_like(precision_gain), precision_gain)
        return ops.maximum(recall_gain, 0.0), precision_gain

    def _interpolated_precision_recall(self) -> Any:
        """The area of each step, with true positives linear in the number of predicted positives.

        Source: Davis and Goadrich, "The Relationship Between Precision-Recall and ROC Curves", 2006.
        """
        found = self.true_positives.value
        predicted = found + self.false_positives
        found_in_step, predicted_in_step = found[:-1] - found[1:], predicted[:-1] - predicted[1:]
        slope = ops.divide_no_nan(found_in_step, ops.maximum(predicted_in_step, 0.0))
        intercept = found[1:] - slope * predicted[1:]
        both_predicted = ops.logical_and(predicted[:-1] > 0.0, predicted[1:] > 0.0)
        ratio = ops.divide_no_nan(predicted[:-1], predicted[1:])
        ratio = ops.where(both_predicted, ratio, ops.ones_like(ratio))
        positives = (found + self.false_negatives)[1:]
        return ops.divide_no_nan(slope * (found_in_step + intercept * ops.log(ratio)), positives)

    def _total(self, steps: Any) -> Any:
        areas = ops.sum(steps, axis=0)
        if not self.multi_label:
            return self._as_result(areas)
        if self.label_weights is None:
            return self._as_result(ops.mean(areas))
        weighted = ops.sum(areas * self.label_weights)
        return self._as_result(ops.divide_no_nan(weighted, ops.sum(self.label_weights)))

    def get_config(self) -> dict[str, Any]:
        label_weights = None if self.label_weights is None else self.label_weights.tolist()
        own = {
            "num_thresholds": self.num_thresholds,
            "curve": self.curve,
            "summation_method": self.summation_method,
            "multi_label": self.multi_label,
            "num_labels": self.num_labels,
            "label_weights": label_weights,
            "from_logits": self._from_logits,
        }
        if self._init_thresholds is not None:
            own["thresholds"] = list(self._init_thresholds)
        return {**super().get_config(), **own}


def _choice(kind: str, given: str, choices: tuple[str, ...]) -> str:
    for choice in choices:
        if str(given).lower() == choice.lower():
            return choice
    raise unknown_name(kind, given, choices)
