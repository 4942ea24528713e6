"""Metrics between real numbers."""

from __future__ import annotations

from typing import Any

from lamina import losses, ops
from lamina.core.errors import ArgumentError, ShapeError, StateError
from lamina.losses.base import get_mask, matching_pair
from lamina.metrics.base import Metric
from lamina.metrics.reduction import BuiltInMean, Mean, weights_for


def cosine_similarity(y_true: Any, y_pred: Any, axis: int = -1) -> Any:
    """The cosine of the angle between target and prediction along `axis`: 1 for the same direction."""
    return -losses.cosine_similarity(y_true, y_pred, axis)


class MeanSquaredError(BuiltInMean):
    """mean((y_true - y_pred)^2)"""

    _direction = "down"

    def __init__(self, name: str | None = "mean_squared_error", dtype: Any = None) -> None:
        super().__init__(losses.mean_squared_error, name, dtype)


class MeanAbsoluteError(BuiltInMean):
    """mean(|y_true - y_pred|)"""

    _direction = "down"

    def __init__(self, name: str | None = "mean_absolute_error", dtype: Any = None) -> None:
        super().__init__(losses.mean_absolute_error, name, dtype)


class MeanAbsolutePercentageError(BuiltInMean):
    """100 mean(|y_true - y_pred| / |y_true|)"""

    _direction = "down"

    def __init__(self, name: str | None = "mean_absolute_percentage_error", dtype: Any = None) -> None:
        super().__init__(losses.mean_absolute_percentage_error, name, dtype)


class MeanSquaredLogarithmicError(BuiltInMean):
    """mean((log(1 + y_true) - log(1 + y_pred))^2)"""

    _direction = "down"

    def __init__(self, name: str | None = "mean_squared_logarithmic_error", dtype: Any = None) -> None:
        super().__init__(losses.mean_squared_logarithmic_error, name, dtype)


class RootMeanSquaredError(Mean):
    """sqrt(mean((y_true - y_pred)^2)) over everything taken in."""

    _direction = "down"

    def __init__(self, name: str | None = "root_mean_squared_error", dtype: Any = None) -> None:
        super().__init__(name, dtype)

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:  # type: ignore[override]
        mask = get_mask(y_pred)
        y_true, y_pred = matching_pair("root_mean_squared_error", y_true, y_pred)
        self._add(ops.square(y_pred - y_true), sample_weight, mask)

    def result(self) -> Any:
        return ops.sqrt(super().result())


class CosineSimilarity(BuiltInMean):
    """The mean cosine of the angle between target and prediction along `axis`."""

    _direction = "up"

    def __init__(self, name: str | None = "cosine_similarity", dtype: Any = None, axis: int = -1) -> None:
        super().__init__(cosine_similarity, name, dtype, axis=axis)


class LogCoshError(BuiltInMean):
    """mean(log(cosh(y_pred - y_true)))"""

    _direction = "down"

    def __init__(self, name: str | None = "logcosh", dtype: Any = None) -> None:
        super().__init__(losses.log_cosh, name, dtype)


class R2Score(Metric):
    """The share of the targets' variance that predictions explain: 1 - residual / total sum of squares.

    Targets and predictions are (batch, outputs).
    class_aggregation: None for one score per output; "uniform_average" for their mean;
    "variance_weighted_average" for their mean weighted by the variance of each output.
    num_regressors: the number of independent variables, for the adjusted score; 0 for the plain one, which
    is also the result while there are no more samples than that.
    """

    _direction = "up"

    def __init__(
        self,
        class_aggregation: str | None = "uniform_average",
        num_regressors: int = 0,
        name: str | None = "r2_score",
        dtype: Any = None,
    ) -> None:
        super().__init__(name=name, dtype=dtype)
        if class_aggregation not in (None, "uniform_average", "variance_weighted_average"):
            raise ArgumentError(
                f"Unknown class_aggregation {class_aggregation!r}.",
                expected="None, 'uniform_average' or 'variance_weighted_average'",
            )
        if num_regressors < 0:
            raise ArgumentError(f"num_regressors must not be negative, got {num_regressors}.")
        self.class_aggregation = class_aggregation
        self.num_regressors = num_regressors
        self.num_samples = self.add_total("num_samples")
        self._built = False

    def _build(self, outputs: int) -> None:
        self.squared_sum = self.add_total("squared_sum", (outputs,))
        self.sum = self.add_total("sum", (outputs,))
        self.total_mse = self.add_total("residual", (outputs,))
        self.count = self.add_total("count", (outputs,))
        self._built = True

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        mask = get_mask(y_pred)
        y_true, y_pred = matching_pair("r2_score", y_true, y_pred)
        if len(y_pred.shape) != 2:
            raise ShapeError(
                "R2Score needs predictions (batch, outputs).", got=f"shape {tuple(y_pred.shape)}"
            )
        if not self._built:
            self._build(y_pred.shape[-1])
        # float64 before squaring: the score is a difference of large sums.
        y_true, y_pred = ops.cast(y_true, "float64"), ops.cast(y_pred, "float64")
        weights = ops.broadcast_to(weights_for(y_true, sample_weight, mask, "float64"), y_true.shape)
        self.sum.assign_add(ops.sum(y_true * weights, axis=0))
        self.squared_sum.assign_add(ops.sum(ops.square(y_true) * weights, axis=0))
        self.total_mse.assign_add(ops.sum(ops.square(y_true - y_pred) * weights, axis=0))
        self.count.assign_add(ops.sum(weights, axis=0))
        self.num_samples.assign_add(ops.size(y_true))

    def result(self) -> Any:
        if not self._built:
            raise StateError(f"{self.name}: no batch has been taken in yet.", fix="call update_state first.")
        total = self.squared_sum - self.sum * (self.sum / self.count)
        scores = 1.0 - self.total_mse / total
        scores = ops.where(ops.isinf(scores), ops.zeros_like(scores), scores)
        if self.class_aggregation == "uniform_average":
            scores = ops.mean(scores)
        elif self.class_aggregation == "variance_weighted_average":
            scores = ops.sum(total * scores) / ops.sum(total)
        if self.num_regressors:
            freedom = self.num_samples - self.num_regressors - 1.0
            enough = freedom > 0.0
            adjusted = 1.0 - (1.0 - scores) * (self.num_samples - 1.0) / ops.where(enough, freedom, 1.0)
            scores = ops.where(enough, adjusted, scores)
        return self._as_result(scores)

    def get_config(self) -> dict[str, Any]:
        own = {"class_aggregation": self.class_aggregation, "num_regressors": self.num_regressors}
        return {**super().get_config(), **own}
