"""How far predictions and targets vary together."""

from __future__ import annotations

from typing import Any

from lamina import ops
from lamina.core.config import config
from lamina.losses.base import matching_pair
from lamina.metrics.reduction import BuiltInMean


def pearson_correlation(y_true: Any, y_pred: Any, axis: int = -1) -> Any:
    """covariance / (deviation of y_true * deviation of y_pred) along `axis`; NaN when one does not vary"""
    y_true, y_pred = matching_pair("pearson_correlation", y_true, y_pred)
    true_part, pred_part = _deviations(y_true, axis), _deviations(y_pred, axis)
    scale = ops.mean(ops.square(true_part), axis=axis) * ops.mean(ops.square(pred_part), axis=axis)
    return ops.mean(true_part * pred_part, axis=axis) * ops.rsqrt(scale)


def concordance_correlation(y_true: Any, y_pred: Any, axis: int = -1) -> Any:
    """2 covariance / (both variances + squared difference of the means) along `axis`: 1 only if all are equal

    Source: Lin, "A Concordance Correlation Coefficient to Evaluate Reproducibility", 1989.
    """
    y_true, y_pred = matching_pair("concordance_correlation", y_true, y_pred)
    true_part, pred_part = _deviations(y_true, axis), _deviations(y_pred, axis)
    offset = ops.mean(y_true, axis=axis) - ops.mean(y_pred, axis=axis)
    variances = ops.mean(ops.square(true_part) + ops.square(pred_part), axis=axis)
    covariance = ops.mean(true_part * pred_part, axis=axis)
    return 2.0 * covariance / (variances + ops.square(offset) + config.epsilon)


def _deviations(x: Any, axis: int) -> Any:
    return x - ops.mean(x, axis=axis, keepdims=True)


class PearsonCorrelation(BuiltInMean):
    """The mean Pearson correlation of target and prediction along `axis`."""

    _direction = "up"

    def __init__(self, name: str | None = "pearson_correlation", dtype: Any = None, axis: int = -1) -> None:
        super().__init__(pearson_correlation, name, dtype, axis=axis)


class ConcordanceCorrelation(BuiltInMean):
    """The mean concordance correlation of target and prediction along `axis`."""

    _direction = "up"

    def __init__(
        self, name: str | None = "concordance_correlation", dtype: Any = None, axis: int = -1
    ) -> None:
        super().__init__(concordance_correlation, name, dtype, axis=axis)
