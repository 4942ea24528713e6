"""Losses between real numbers. Functions take (batch, ..., n) and give one value per (batch, ...)."""

from __future__ import annotations

import math
from typing import Any

from lamina import ops
from lamina.core.config import config
from lamina.losses.base import BuiltInLoss, matching_pair

MEAN = "sum_over_batch_size"


def mean_squared_error(y_true: Any, y_pred: Any) -> Any:
    """mean((y_true - y_pred)^2)

    >>> mean_squared_error([[0.0, 1.0]], [[2.0, 1.0]])
    Array([2.], dtype=float32)
    """
    y_true, y_pred = matching_pair("mean_squared_error", y_true, y_pred)
    return ops.mean(ops.square(y_pred - y_true), axis=-1)


def mean_absolute_error(y_true: Any, y_pred: Any) -> Any:
    """mean(|y_true - y_pred|)"""
    y_true, y_pred = matching_pair("mean_absolute_error", y_true, y_pred)
    return ops.mean(ops.absolute(y_pred - y_true), axis=-1)


def mean_absolute_percentage_error(y_true: Any, y_pred: Any) -> Any:
    """100 mean(|y_true - y_pred| / |y_true|), with |y_true| at least epsilon"""
    y_true, y_pred = matching_pair("mean_absolute_percentage_error", y_true, y_pred)
    scale = ops.maximum(ops.absolute(y_true), config.epsilon)
    return 100.0 * ops.mean(ops.absolute((y_true - y_pred) / scale), axis=-1)


def mean_squared_logarithmic_error(y_true: Any, y_pred: Any) -> Any:
    """mean((log(1 + y_true) - log(1 + y_pred))^2), with both at least epsilon"""
    y_true, y_pred = matching_pair("mean_squared_logarithmic_error", y_true, y_pred)
    log_pred = ops.log(ops.maximum(y_pred, config.epsilon) + 1.0)
    log_true = ops.log(ops.maximum(y_true, config.epsilon) + 1.0)
    return ops.mean(ops.square(log_pred - log_true), axis=-1)


def cosine_similarity(y_true: Any, y_pred: Any, axis: int = -1) -> Any:
    """-sum(l2_norm(y_true) l2_norm(y_pred)): -1 for the same direction, 0 when a vector is zero"""
    y_true, y_pred = matching_pair("cosine_similarity", y_true, y_pred)
    return -ops.sum(unit_vectors(y_true, axis) * unit_vectors(y_pred, axis), axis=axis)


def unit_vectors(x: Any, axis: int) -> Any:
    """x / |x| along `axis`; zero vectors stay zero, and their derivative is finite."""
    square_sum = ops.sum(ops.square(x), axis=axis, keepdims=True)
    return x * ops.rsqrt(ops.maximum(square_sum, config.epsilon**2))


def huber(y_true: Any, y_pred: Any, delta: float = 1.0) -> Any:
    """mean of e^2 / 2 where |e| <= delta, and delta |e| - delta^2 / 2 beyond; e = y_pred - y_true"""
    y_true, y_pred = matching_pair("huber", y_true, y_pred)
    error = y_pred - y_true
    distance = ops.absolute(error)
    near, far = 0.5 * ops.square(error), delta * distance - 0.5 * delta**2
    return ops.mean(ops.where(distance <= delta, near, far), axis=-1)


def log_cosh(y_true: Any, y_pred: Any) -> Any:
    """mean(log(cosh(y_pred - y_true))): like e^2 / 2 for small errors, |e| - log 2 for large ones"""
    y_true, y_pred = matching_pair("log_cosh", y_true, y_pred)
    error = y_pred - y_true
    return ops.mean(error + ops.softplus(-2.0 * error) - math.log(2.0), axis=-1)


class MeanSquaredError(BuiltInLoss):
    """mean((y_true - y_pred)^2) over the last axis. Targets and predictions have one shape."""

    def __init__(
        self, reduction: str | None = MEAN, name: str | None = "mean_squared_error", dtype: Any = None
    ) -> None:
        super().__init__(mean_squared_error, reduction, name, dtype)


class MeanAbsoluteError(BuiltInLoss):
    """mean(|y_true - y_pred|) over the last axis: less moved by outliers than the squared error."""

    def __init__(
        self, reduction: str | None = MEAN, name: str | None = "mean_absolute_error", dtype: Any = None
    ) -> None:
        super().__init__(mean_absolute_error, reduction, name, dtype)


class MeanAbsolutePercentageError(BuiltInLoss):
    """100 mean(|y_true - y_pred| / |y_true|) over the last axis, in per cent of the target."""

    def __init__(
        self,
        reduction: str | None = MEAN,
        name: str | None = "mean_absolute_percentage_error",
        dtype: Any = None,
    ) -> None:
        super().__init__(mean_absolute_percentage_error, reduction, name, dtype)


class MeanSquaredLogarithmicError(BuiltInLoss):
    """mean((log(1 + y_true) - log(1 + y_pred))^2): ratios count, not differences. Values are not negative."""

    def __init__(
        self,
        reduction: str | None = MEAN,
        name: str | None = "mean_squared_logarithmic_error",
        dtype: Any = None,
    ) -> None:
        super().__init__(mean_squared_logarithmic_error, reduction, name, dtype)


class CosineSimilarity(BuiltInLoss):
    """Minus the cosine of the angle between target and prediction along `axis`: -1 is best."""

    def __init__(
        self,
        axis: int = -1,
        reduction: str | None = MEAN,
        name: str | None = "cosine_similarity",
        dtype: Any = None,
    ) -> None:
        super().__init__(cosine_similarity, reduction, name, dtype, axis=axis)


class Huber(BuiltInLoss):
    """Squared error up to `delta`, absolute error beyond: smooth, and robust against outliers."""

    def __init__(
        self,
        delta: float = 1.0,
        reduction: str | None = MEAN,
        name: str | None = "huber_loss",
        dtype: Any = None,
    ) -> None:
        super().__init__(huber, reduction, name, dtype, delta=delta)


class LogCosh(BuiltInLoss):
    """mean(log(cosh(y_pred - y_true))): a Huber loss that is smooth everywhere."""

    def __init__(
        self, reduction: str | None = MEAN, name: str | None = "log_cosh", dtype: Any = None
    ) -> None:
        super().__init__(log_cosh, reduction, name, dtype)
