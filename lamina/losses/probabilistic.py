"""Losses between distributions, other than the crossentropies."""

from __future__ import annotations

from typing import Any

import ml_dtypes

from lamina import ops
from lamina.core import dtypes
from lamina.core.config import config
from lamina.core.errors import ArgumentError
from lamina.losses.base import BuiltInLoss, LabelLoss, matching_pair
from lamina.losses.crossentropy import label_probabilities

MEAN = "sum_over_batch_size"


def kl_divergence(y_true: Any, y_pred: Any) -> Any:
    """sum(t log(t / p)), with both held in [epsilon, 1]"""
    y_true, y_pred = matching_pair("kl_divergence", y_true, y_pred)
    y_true = ops.clip(y_true, config.epsilon, 1.0)
    y_pred = ops.clip(y_pred, config.epsilon, 1.0)
    return ops.sum(y_true * ops.log(y_true / y_pred), axis=-1)


def poisson(y_true: Any, y_pred: Any) -> Any:
    """mean(y_pred - y_true log(y_pred)): counts y_true, predicted rates y_pred"""
    y_true, y_pred = matching_pair("poisson", y_true, y_pred)
    return ops.mean(y_pred - y_true * ops.log(y_pred + config.epsilon), axis=-1)


def categorical_generalized_cross_entropy(y_true: Any, y_pred: Any, q: float) -> Any:
    """(1 - p[label]^q) / q, for class numbers as targets and probabilities as predictions

    Source: Zhang and Sabuncu, "Generalized Cross Entropy Loss for Training Deep Neural Networks with Noisy
    Labels", 2018.
    """
    p = label_probabilities("categorical_generalized_cross_entropy", y_true, y_pred)
    # The derivative of p^q is infinite at 0, where a softmax underflows.
    smallest = ml_dtypes.finfo(dtypes.to_numpy(p.dtype)).tiny
    return (1.0 - ops.power(ops.maximum(p, float(smallest)), q)) / q


class KLDivergence(BuiltInLoss):
    """How far predicted distributions are from the targets: sum(t log(t / p)) over the last axis."""

    def __init__(
        self, reduction: str | None = MEAN, name: str | None = "kl_divergence", dtype: Any = None
    ) -> None:
        super().__init__(kl_divergence, reduction, name, dtype)


class Poisson(BuiltInLoss):
    """Negative log-likelihood of counts under predicted rates, without the constant log(y_true!)."""

    def __init__(self, reduction: str | None = MEAN, name: str | None = "poisson", dtype: Any = None) -> None:
        super().__init__(poisson, reduction, name, dtype)


class CategoricalGeneralizedCrossEntropy(LabelLoss):
    """Between crossentropy (q near 0) and mean absolute error (q = 1): robust against wrong labels."""

    def __init__(
        self,
        q: float = 0.5,
        reduction: str | None = MEAN,
        name: str | None = "categorical_generalized_cross_entropy",
        dtype: Any = None,
    ) -> None:
        if not 0 < q < 1:
            raise ArgumentError(f"q must be between 0 and 1, got {q}.")
        super().__init__(categorical_generalized_cross_entropy, reduction, name, dtype, q=q)
