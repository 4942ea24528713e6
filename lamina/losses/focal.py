"""Focal crossentropies: a factor (1 - p)^gamma takes weight from samples that are already right.

Source: Lin et al., "Focal Loss for Dense Object Detection", 2017.
"""

from __future__ import annotations

from typing import Any

from lamina import ops
from lamina.core.config import config
from lamina.losses.base import BuiltInLoss, matching_pair
from lamina.losses.crossentropy import (
    class_pair,
    elementwise_crossentropy,
    smooth_binary,
    smooth_categorical,
)
from lamina.losses.logits import softmax_logits

MEAN = "sum_over_batch_size"


def binary_focal_crossentropy(
    y_true: Any,
    y_pred: Any,
    apply_class_balancing: bool = False,
    alpha: float = 0.25,
    gamma: float = 2.0,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
    axis: int = -1,
) -> Any:
    """mean of (1 - p_t)^gamma times the binary crossentropy, over `axis`; p_t is the target's probability

    y_true, y_pred: one shape. apply_class_balancing: weigh ones by alpha, zeros by 1 - alpha.
    """
    y_true, y_pred = matching_pair("binary_focal_crossentropy", y_true, y_pred)
    y_true = smooth_binary(y_true, label_smoothing)
    p = ops.sigmoid(y_pred) if from_logits else y_pred
    right = y_true * p + (1.0 - y_true) * (1.0 - p)
    losses = focus(right, gamma) * elementwise_crossentropy(y_true, y_pred, from_logits)
    if apply_class_balancing:
        losses = (y_true * alpha + (1.0 - y_true) * (1.0 - alpha)) * losses
    return ops.mean(losses, axis=axis)


def categorical_focal_crossentropy(
    y_true: Any,
    y_pred: Any,
    alpha: float = 0.25,
    gamma: float = 2.0,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
    axis: int = -1,
) -> Any:
    """-sum(alpha (1 - p)^gamma t log(p)) over the classes, which lie along `axis`

    y_true, y_pred: one shape. alpha: a number, or one weight per class (when the classes are last).
    """
    y_true, y_pred = class_pair("categorical_focal_crossentropy", y_true, y_pred, axis)
    y_true = smooth_categorical(y_true, label_smoothing, axis)
    logits = y_pred if from_logits else softmax_logits(y_pred, axis)
    if logits is not None:
        log_p = ops.log_softmax(logits, axis=axis)
    else:
        p = y_pred / ops.sum(y_pred, axis=axis, keepdims=True)
        log_p = ops.log(ops.clip(p, config.epsilon, 1.0 - config.epsilon))
    return -ops.sum(alpha * focus(ops.exp(log_p), gamma) * y_true * log_p, axis=axis)


def focus(right: Any, gamma: float) -> Any:
    """(1 - right)^gamma. The base is at least epsilon: below 1, the derivative at 0 would be infinite."""
    return ops.power(ops.maximum(1.0 - right, config.epsilon), gamma)


class BinaryFocalCrossentropy(BuiltInLoss):
    """Binary crossentropy that looks at what is still wrong: (1 - p_t)^gamma (-log p_t).

    apply_class_balancing, alpha: weigh ones by alpha and zeros by 1 - alpha. gamma: 0 is plain crossentropy.
    from_logits, label_smoothing, axis: as in BinaryCrossentropy.
    """

    def __init__(
        self,
        apply_class_balancing: bool = False,
        alpha: float = 0.25,
        gamma: float = 2.0,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
        reduction: str | None = MEAN,
        name: str | None = "binary_focal_crossentropy",
        dtype: Any = None,
    ) -> None:
        super().__init__(
            binary_focal_crossentropy,
            reduction,
            name,
            dtype,
            apply_class_balancing=apply_class_balancing,
            alpha=alpha,
            gamma=gamma,
            from_logits=from_logits,
            label_smoothing=label_smoothing,
            axis=axis,
        )


class CategoricalFocalCrossentropy(BuiltInLoss):
    """Crossentropy of one-hot targets that looks at what is still wrong: -alpha (1 - p)^gamma t log(p).

    alpha: a number, or one weight per class. gamma: 0 is plain crossentropy, times alpha.
    from_logits, label_smoothing, axis: as in CategoricalCrossentropy.
    """

    def __init__(
        self,
        alpha: float = 0.25,
        gamma: float = 2.0,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
        reduction: str | None = MEAN,
        name: str | None = "categorical_focal_crossentropy",
        dtype: Any = None,
    ) -> None:
        super().__init__(
            categorical_focal_crossentropy,
            reduction,
            name,
            dtype,
            alpha=alpha,
            gamma=gamma,
            from_logits=from_logits,
            label_smoothing=label_smoothing,
            axis=axis,
        )
