"""Overlap losses between masks: 1 minus how much two areas coincide."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lamina import ops
from lamina.core.config import config
from lamina.losses.base import BuiltInLoss, matching_pair

MEAN = "sum_over_batch_size"
Axes = int | Sequence[int] | None


def dice(y_true: Any, y_pred: Any, axis: Axes = None) -> Any:
    """1 - 2 |intersection| / (|y_true| + |y_pred|), with sums over `axis` (all axes by default)"""
    y_true, y_pred = matching_pair("dice", y_true, y_pred)
    intersection = ops.sum(y_true * y_pred, axis=axis)
    total = ops.sum(y_true, axis=axis) + ops.sum(y_pred, axis=axis)
    return 1.0 - 2.0 * intersection / (total + config.epsilon)


def tversky(y_true: Any, y_pred: Any, alpha: float = 0.5, beta: float = 0.5, axis: Axes = None) -> Any:
    """1 - |intersection| / (|intersection| + alpha |missed| + beta |too much|), with sums over `axis`

    missed: y_true without y_pred. too much: y_pred without y_true.
    Source: Salehi et al., "Tversky loss function for image segmentation", 2017.
    """
    y_true, y_pred = matching_pair("tversky", y_true, y_pred)
    intersection = ops.sum(y_true * y_pred, axis=axis)
    missed = ops.sum((1.0 - y_pred) * y_true, axis=axis)
    too_much = ops.sum(y_pred * (1.0 - y_true), axis=axis)
    return 1.0 - intersection / (intersection + alpha * missed + beta * too_much + config.epsilon)


class Dice(BuiltInLoss):
    """1 - 2 |intersection| / (|y_true| + |y_pred|). axis: summed over; None sums the whole batch."""

    def __init__(
        self,
        reduction: str | None = MEAN,
        name: str | None = "dice",
        axis: Axes = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(dice, reduction, name, dtype, axis=axis)


class Tversky(BuiltInLoss):
    """Dice with a price of its own for what was missed (alpha) and for what was too much (beta)."""

    def __init__(
        self,
        alpha: float = 0.5,
        beta: float = 0.5,
        reduction: str | None = MEAN,
        name: str | None = "tversky",
        axis: Axes = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(tversky, reduction, name, dtype, alpha=alpha, beta=beta, axis=axis)
