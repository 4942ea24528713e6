"""Margin losses: a prediction is right when it lies on the right side by at least 1."""

from __future__ import annotations

from typing import Any

from lamina import ops
from lamina.losses.base import BuiltInLoss, matching_pair

MEAN = "sum_over_batch_size"


def hinge(y_true: Any, y_pred: Any) -> Any:
    """mean(max(1 - y_true y_pred, 0)); targets are -1 and 1, or 0 and 1, which become -1 and 1

    >>> hinge([[1.0, -1.0]], [[0.4, -2.0]])
    Array([0.3], dtype=float32)
    """
    y_true, y_pred = matching_pair("hinge", y_true, y_pred)
    return ops.mean(margin_shortfall(y_true, y_pred), axis=-1)


def squared_hinge(y_true: Any, y_pred: Any) -> Any:
    """mean(max(1 - y_true y_pred, 0)^2); targets as in `hinge`"""
    y_true, y_pred = matching_pair("squared_hinge", y_true, y_pred)
    return ops.mean(ops.square(margin_shortfall(y_true, y_pred)), axis=-1)


def margin_shortfall(y_true: Any, y_pred: Any) -> Any:
    """By how much each prediction misses the margin of 1 on the side of its target."""
    is_binary = ops.all(ops.logical_or(ops.equal(y_true, 0), ops.equal(y_true, 1)))
    signs = ops.where(is_binary, 2.0 * y_true - 1.0, y_true)
    return ops.maximum(1.0 - signs * y_pred, 0.0)


def categorical_hinge(y_true: Any, y_pred: Any) -> Any:
    """max(1 + best wrong score - right score, 0), for one-hot targets along the last axis"""
    y_true, y_pred = matching_pair("categorical_hinge", y_true, y_pred)
    right = ops.sum(y_true * y_pred, axis=-1)
    wrong = ops.max((1.0 - y_true) * y_pred, axis=-1)
    return ops.maximum(wrong - right + 1.0, 0.0)


class Hinge(BuiltInLoss):
    """mean(max(1 - y_true y_pred, 0)), for targets -1 and 1 (or 0 and 1)."""

    def __init__(self, reduction: str | None = MEAN, name: str | None = "hinge", dtype: Any = None) -> None:
        super().__init__(hinge, reduction, name, dtype)


class SquaredHinge(BuiltInLoss):
    """mean(max(1 - y_true y_pred, 0)^2), for targets -1 and 1 (or 0 and 1)."""

    def __init__(
        self, reduction: str | None = MEAN, name: str | None = "squared_hinge", dtype: Any = None
    ) -> None:
        super().__init__(squared_hinge, reduction, name, dtype)


class CategoricalHinge(BuiltInLoss):
    """max(1 + best wrong score - right score, 0), for one-hot targets."""

    def __init__(
        self, reduction: str | None = MEAN, name: str | None = "categorical_hinge", dtype: Any = None
    ) -> None:
        super().__init__(categorical_hinge, reduction, name, dtype)
