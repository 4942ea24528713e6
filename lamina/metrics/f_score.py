"""F-scores: the weighted harmonic mean of precision and recall."""

from __future__ import annotations

from typing import Any

from lamina import ops
from lamina.core.config import config
from lamina.core.errors import ArgumentError, ShapeError, StateError
from lamina.losses.base import get_mask
from lamina.metrics.base import Metric
from lamina.metrics.reduction import weights_for

AVERAGES = (None, "micro", "macro", "weighted")


class FBetaScore(Metric):
    """(1 + beta^2) precision recall / (beta^2 precision + recall), per class or averaged over classes.

    Targets are one-hot or several-hot (batch, classes), predictions of the same shape.
    average: None for one score per class; "micro" counts all classes together; "macro" is the mean over
    classes; "weighted" the mean weighted by how often a class occurs.
    beta: how much recall counts more than precision. threshold: predictions above it are positive; None takes
    the largest of each sample.
    """

    _direction = "up"

    def __init__(
        self,
        average: str | None = None,
        beta: float = 1.0,
        threshold: float | None = None,
        name: str | None = "fbeta_score",
        dtype: Any = None,
    ) -> None:
        super().__init__(name=name, dtype=dtype)
        if average not in AVERAGES:
            raise ArgumentError(
                f"Unknown average {average!r}.", expected="None, 'micro', 'macro' or 'weighted'"
            )
        if not isinstance(beta, (int, float)) or isinstance(beta, bool) or not beta > 0:
            raise ArgumentError(f"beta must be a number larger than 0, got {beta!r}.")
        if threshold is not None and not 0 < threshold <= 1:
            raise ArgumentError(f"threshold must be in (0, 1], or None for the largest; got {threshold!r}.")
        self.average = average
        self.beta = float(beta)
        self.threshold = threshold
        self._built = False

    def _build(self, classes: int) -> None:
        shape = () if self.average == "micro" else (classes,)
        self.true_positives = self.add_total("true_positives", shape)
        self.false_positives = self.add_total("false_positives", shape)
        self.false_negatives = self.add_total("false_negatives", shape)
        self.intermediate_weights = self.add_total("intermediate_weights", shape)
        self._built = True

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        mask = get_mask(y_pred)
        y_true, y_pred = ops.convert_to_tensor(y_true, "float32"), ops.convert_to_tensor(y_pred, "float32")
        if len(y_pred.shape) != 2 or tuple(y_true.shape) != tuple(y_pred.shape):
            raise ShapeError(
                f"{type(self).__name__} needs targets and predictions (batch, classes).",
                got=f"targets {tuple(y_true.shape)}, predictions {tuple(y_pred.shape)}",
                fix="turn class numbers into one-hot targets: np.eye(classes)[y].",
            )
        if not self._built:
            self._build(y_pred.shape[-1])
        if self.threshold is None:
            largest = ops.max(y_pred, axis=-1, keepdims=True)
            # All-zero predictions are no prediction, not one of every class.
            chosen = ops.logical_and(ops.greater_equal(y_pred, largest), ops.absolute(y_pred) > 1e-9)
        else:
            chosen = ops.greater(y_pred, self.threshold)
        chosen = ops.cast(chosen, "float32")
        weights = weights_for(y_true, sample_weight, mask)
        axis = None if self.average == "micro" else 0
        self.true_positives.assign_add(ops.sum(weights * chosen * y_true, axis=axis))
        self.false_positives.assign_add(ops.sum(weights * chosen * (1.0 - y_true), axis=axis))
        self.false_negatives.assign_add(ops.sum(weights * (1.0 - chosen) * y_true, axis=axis))
        self.intermediate_weights.assign_add(ops.sum(weights * y_true, axis=axis))

    def result(self) -> Any:
        if not self._built:
            raise StateError(f"{self.name}: no batch has been taken in yet.", fix="call update_state first.")
        epsilon = config.epsilon
        precision = self.true_positives / (self.true_positives + self.false_positives + epsilon)
        recall = self.true_positives / (self.true_positives + self.false_negatives + epsilon)
        squared = self.beta**2
        score = (1.0 + squared) * precision * recall / (squared * precision + recall + epsilon)
        if self.average == "weighted":
            share = self.intermediate_weights / (ops.sum(self.intermediate_weights) + epsilon)
            score = ops.sum(score * share)
        elif self.average is not None:
            score = ops.mean(score)
        return self._as_result(score)

    def get_config(self) -> dict[str, Any]:
        own = {"average": self.average, "beta": self.beta, "threshold": self.threshold}
        return {**super().get_config(), **own}


class F1Score(FBetaScore):
    """2 precision recall / (precision + recall). Arguments as for FBetaScore, which it is with beta = 1."""

    def __init__(
        self,
        average: str | None = None,
        threshold: float | None = None,
        name: str | None = "f1_score",
        dtype: Any = None,
    ) -> None:
        super().__init__(average, 1.0, threshold, name, dtype)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        del config["beta"]
        return config
