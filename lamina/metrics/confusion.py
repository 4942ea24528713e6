"""Metrics made of counts: true and false, positives and negatives, and their ratios."""

from __future__ import annotations

from typing import Any

import numpy as np

from lamina import ops
from lamina.core.errors import ArgumentError
from lamina.metrics.base import Metric
from lamina.metrics.counting import Counts, Thresholds, checked_thresholds, count_confusions


class _Count(Metric):
    """One of the four counts. thresholds: a number or several in [0, 1], or None for 0.5."""

    _counted = ""

    def __init__(self, thresholds: Any = None, name: str | None = None, dtype: Any = None) -> None:
        super().__init__(name=name, dtype=dtype)
        self.init_thresholds = thresholds
        self._thresholds = checked_thresholds(thresholds, 0.5)
        self.thresholds = self._thresholds.values
        self.accumulator = self.add_total("accumulator", (len(self.thresholds),))

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        counts = count_confusions(y_true, y_pred, self._thresholds, sample_weight)
        self.accumulator.assign_add(getattr(counts, self._counted))

    def result(self) -> Any:
        return _one_or_all(self._as_result(self.accumulator))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "thresholds": _plain(self.init_thresholds)}


class TruePositives(_Count):
    """How many positive targets were predicted positive."""

    _counted = "true_positives"
    _direction = "up"


class FalsePositives(_Count):
    """How many negative targets were predicted positive."""

    _counted = "false_positives"
    _direction = "down"


class TrueNegatives(_Count):
    """How many negative targets were predicted negative."""

    _counted = "true_negatives"
    _direction = "up"


class FalseNegatives(_Count):
    """How many positive targets were predicted negative."""

    _counted = "false_negatives"
    _direction = "down"


class _Share(Metric):
    """true positives / (true positives + another count).

    thresholds: a number or several in [0, 1]; None for 0.5, or for none at all with `top_k`.
    top_k: only the k largest predictions along the last axis can be positive. class_id: only this column.
    """

    _direction = "up"
    _other = ""

    def __init__(
        self,
        thresholds: Any = None,
        top_k: int | None = None,
        class_id: int | None = None,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(name=name, dtype=dtype)
        self.init_thresholds = thresholds
        self.top_k = top_k
        self.class_id = class_id
        self._thresholds = checked_thresholds(thresholds, 0.5 if top_k is None else -1e10)
        self.thresholds = self._thresholds.values
        shape = (len(self.thresholds),)
        self.true_positives = self.add_total("true_positives", shape)
        setattr(self, self._other, self.add_total(self._other, shape))

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        counts = count_confusions(
            y_true, y_pred, self._thresholds, sample_weight, top_k=self.top_k, class_id=self.class_id
        )
        self.true_positives.assign_add(counts.true_positives)
        getattr(self, self._other).assign_add(getattr(counts, self._other))

    def result(self) -> Any:
        share = ops.divide_no_nan(self.true_positives, self.true_positives + getattr(self, self._other))
        return _one_or_all(self._as_result(share))

    def get_config(self) -> dict[str, Any]:
        own = {"thresholds": _plain(self.init_thresholds), "top_k": self.top_k, "class_id": self.class_id}
        return {**super().get_config(), **own}


class Precision(_Share):
    """Of what was predicted positive, the share that is: TP / (TP + FP).

    thresholds: a number or several in [0, 1]; None for 0.5, or for none at all with `top_k`.
    top_k: only the k largest predictions along the last axis can be positive. class_id: only this column.
    """

    _other = "false_positives"


class Recall(_Share):
    """Of what is positive, the share that was predicted so: TP / (TP + FN). Arguments as for Precision."""

    _other = "false_negatives"


class FourCounts(Metric):
    """The four counts at many thresholds: what curves and operating points are made of."""

    _direction = "up"
    true_positives: Any
    false_positives: Any
    true_negatives: Any
    false_negatives: Any

    def _add_counts(self, shape: tuple[int, ...]) -> None:
        for name in Counts._fields:
            setattr(self, name, self.add_total(name, shape))

    def _take_in(self, counts: Counts) -> None:
        for name, count in zip(Counts._fields, counts):
            getattr(self, name).assign_add(count)

    def _rate(self, wanted: Any, other: Any) -> Any:
        return ops.divide_no_nan(wanted, wanted + other)


class _OperatingPoint(FourCounts):
    """The best of one rate, among the thresholds where another rate reaches a given value."""

    _constraint = ""  # the constructor's argument, and the rate it constrains

    def __init__(
        self,
        value: float,
        num_thresholds: int = 200,
        class_id: int | None = None,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(name=name, dtype=dtype)
        if not 0 <= value <= 1:
            raise ArgumentError(f"{self._constraint} must be from 0 to 1, got {value}.")
        if num_thresholds <= 0:
            raise ArgumentError(f"num_thresholds must be a positive whole number, got {num_thresholds}.")
        self.value = value
        setattr(self, self._constraint, value)
        self.num_thresholds = num_thresholds
        self.class_id = class_id
        even = np.arange(num_thresholds) / max(num_thresholds - 1, 1)
        self._thresholds = Thresholds(even.tolist() if num_thresholds > 1 else [0.5])
        self.thresholds = self._thresholds.values
        self._add_counts((num_thresholds,))

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        self._take_in(
            count_confusions(y_true, y_pred, self._thresholds, sample_weight, class_id=self.class_id)
        )

    def _rates(self) -> tuple[Any, Any]:
        """(the constrained rate, the rate wanted), one entry per threshold."""
        raise NotImplementedError

    def result(self) -> Any:
        constrained, wanted = self._rates()
        reached = ops.greater_equal(constrained, self.value)
        return self._as_result(ops.max(ops.where(reached, wanted, ops.zeros_like(wanted))))

    @property
    def sensitivities(self) -> Any:
        return self._rate(self.true_positives, self.false_negatives)

    @property
    def specificities(self) -> Any:
        return self._rate(self.true_negatives, self.false_positives)

    @property
    def precisions(self) -> Any:
        return self._rate(self.true_positives, self.false_positives)

    def get_config(self) -> dict[str, Any]:
        own = {"num_thresholds": self.num_thresholds, "class_id": self.class_id, self._constraint: self.value}
        return {**super().get_config(), **own}


class SensitivityAtSpecificity(_OperatingPoint):
    """The best sensitivity TP / (TP + FN) at any threshold with at least this specificity TN / (TN + FP)."""

    _constraint = "specificity"

    def __init__(
        self,
        specificity: float,
        num_thresholds: int = 200,
        class_id: int | None = None,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(specificity, num_thresholds, class_id, name, dtype)

    def _rates(self) -> tuple[Any, Any]:
        return self.specificities, self.sensitivities


class SpecificityAtSensitivity(_OperatingPoint):
    """The best specificity TN / (TN + FP) at any threshold with at least this sensitivity TP / (TP + FN)."""

    _constraint = "sensitivity"

    def __init__(
        self,
        sensitivity: float,
        num_thresholds: int = 200,
        class_id: int | None = None,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(sensitivity, num_thresholds, class_id, name, dtype)

    def _rates(self) -> tuple[Any, Any]:
        return self.sensitivities, self.specificities


class PrecisionAtRecall(_OperatingPoint):
    """The best precision TP / (TP + FP) at any threshold with at least this recall TP / (TP + FN)."""

    _constraint = "recall"

    def __init__(
        self,
        recall: float,
        num_thresholds: int = 200,
        class_id: int | None = None,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(recall, num_thresholds, class_id, name, dtype)

    def _rates(self) -> tuple[Any, Any]:
        return self.sensitivities, self.precisions


class RecallAtPrecision(_OperatingPoint):
    """The best recall TP / (TP + FN) at any threshold with at least this precision TP / (TP + FP)."""

    _constraint = "precision"

    def __init__(
        self,
        precision: float,
        num_thresholds: int = 200,
        class_id: int | None = None,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(precision, num_thresholds, class_id, name, dtype)

    def _rates(self) -> tuple[Any, Any]:
        return self.precisions, self.sensitivities


def _one_or_all(values: Any) -> Any:
    return values[0] if values.shape[0] == 1 else values


def _plain(thresholds: Any) -> Any:
    """Thresholds as a config can hold them."""
    return (
        [float(value) for value in thresholds] if isinstance(thresholds, (np.ndarray, tuple)) else thresholds
    )
