"""Counting positives and negatives, right and wrong, at many thresholds at once.

A prediction is positive at a threshold when it is larger. With evenly spaced thresholds, one product tells
how many of them a prediction exceeds; so a batch goes into a histogram, and sums over its upper part give the
counts of all thresholds. Otherwise each prediction is compared with each threshold.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from lamina import ops
from lamina.core.config import config
from lamina.core.errors import ArgumentError, ShapeError
from lamina.ir import primitives as p
from lamina.losses.base import get_mask, squeeze_or_expand_to_same_rank
from lamina.metrics.reduction import weights_for


class Counts(NamedTuple):
    """Weighted counts, one per threshold: (thresholds,), or (thresholds, labels) with several labels."""

    true_positives: Any
    false_positives: Any
    true_negatives: Any
    false_negatives: Any


class Thresholds:
    """Where predictions count as positive: numbers in [0, 1]."""

    def __init__(self, values: Sequence[float]) -> None:
        self.values = [float(value) for value in values]
        count = len(self.values)
        even = np.arange(count) / max(count - 1, 1)
        self.evenly_spaced = count >= 3 and bool(np.allclose(self.values, even, atol=config.epsilon))
        # The first one may be a little below 0, so that a prediction of 0 exceeds it.
        self.first_below_zero = self.values[0] < 0.0

    def __len__(self) -> int:
        return len(self.values)


def checked_thresholds(thresholds: Any, default: float) -> Thresholds:
    """One threshold, several, or the default for None; ArgumentError outside [0, 1]."""
    if thresholds is None:
        return Thresholds([default])
    listed = list(thresholds) if isinstance(thresholds, (list, tuple, np.ndarray)) else [thresholds]
    wrong = [value for value in listed if value is None or not 0 <= value <= 1]
    if wrong or not listed:
        raise ArgumentError("Thresholds must be numbers from 0 to 1.", got=str(wrong or "none at all"))
    return Thresholds(listed)


def count_confusions(
    y_true: Any,
    y_pred: Any,
    thresholds: Thresholds,
    sample_weight: Any = None,
    top_k: int | None = None,
    class_id: int | None = None,
    label_weights: Any = None,
    multi_label: bool = False,
) -> Counts:
    """The counts of one batch.

    y_true, y_pred: one shape (up to a trailing axis of 1); a target is positive unless it is 0.
    sample_weight: lines up with the leading axes. A mask on y_pred leaves entries out.
    top_k: only the k largest along the last axis can be positive. class_id: only this column counts.
    label_weights: one weight per column. multi_label: keep the columns apart.
    """
    mask = get_mask(y_pred)
    y_true, y_pred = ops.convert_to_tensor(y_true), ops.convert_to_tensor(y_pred, "float32")
    y_pred, y_true = squeeze_or_expand_to_same_rank(y_pred, y_true)
    _check_shapes(tuple(y_true.shape), tuple(y_pred.shape), multi_label)
    weights = weights_for(y_pred, sample_weight, mask)
    if label_weights is not None:
        weights = weights * ops.convert_to_tensor(label_weights, "float32")
    if top_k is not None:
        y_pred = _only_top_k(y_pred, top_k)
    if class_id is not None:
        y_true, y_pred = _column(y_true, class_id), _column(y_pred, class_id)
        weights = weights if weights.shape[-1] == 1 else _column(weights, class_id)
    weights = ops.broadcast_to(weights, y_pred.shape)
    labels = y_pred.shape[-1] if multi_label else 1
    positive = ops.reshape(ops.cast(y_true, "bool"), (-1, labels))
    y_pred, weights = ops.reshape(y_pred, (-1, labels)), ops.reshape(weights, (-1, labels))
    count = _count_by_histogram if thresholds.evenly_spaced else _count_by_comparison
    counts = count(positive, y_pred, weights, thresholds)
    return counts if multi_label else Counts(*(ops.reshape(part, (len(thresholds),)) for part in counts))


def _check_shapes(target: tuple[int, ...], output: tuple[int, ...], multi_label: bool) -> None:
    if target != output:
        raise ShapeError(
            "Targets and predictions have different shapes.",
            expected=f"targets of shape {output}, like the predictions",
            got=f"targets of shape {target}",
            fix="turn class numbers into one-hot targets: np.eye(classes)[y].",
        )
    if multi_label and len(output) != 2:
        raise ShapeError("multi_label=True needs predictions (batch, labels).", got=f"shape {output}")


def _only_top_k(y_pred: Any, k: int) -> Any:
    """Predictions below the k largest along the last axis as minus infinity, below every threshold."""
    _, best = ops.top_k(y_pred, k)
    classes = ops.arange(y_pred.shape[-1], dtype="int32")
    is_best = ops.any(ops.equal(ops.expand_dims(ops.cast(best, "int32"), -1), classes), axis=-2)
    return ops.where(is_best, y_pred, ops.full_like(y_pred, -math.inf))


def _column(x: Any, class_id: int) -> Any:
    if len(x.shape) < 2 or not -x.shape[-1] <= class_id < x.shape[-1]:
        raise ShapeError(
            f"class_id={class_id} names no column of the predictions.",
            expected="predictions (batch, classes) with more classes than class_id",
            got=f"shape {tuple(x.shape)}",
        )
    return ops.expand_dims(x[..., class_id], -1)


def _count_by_histogram(positive: Any, y_pred: Any, weights: Any, thresholds: Thresholds) -> Counts:
    bins, labels = len(thresholds), y_pred.shape[1]
    # How many thresholds each prediction exceeds: 0 to bins - 1, since none exceeds the last.
    exceeded = ops.cast(ops.ceil(ops.clip(y_pred, 0.0, 1.0) * float(bins - 1)), "int32")
    if thresholds.first_below_zero:
        exceeded = ops.maximum(exceeded, 1)
    place = ops.where(positive, exceeded, exceeded + bins)
    if labels > 1:
        place = place * labels + ops.arange(labels, dtype="int32")
    histogram = p.scatter_add(
        ops.zeros((2 * bins * labels,), "float32"),
        ops.reshape(place, (-1,)),
        ops.reshape(weights, (-1,)),
        axis=0,
    )
    # Entry j: the weight of all predictions that exceed j thresholds or more; j = 0 is everything.
    upper = p.cumulative_sum(ops.reshape(histogram, (2, bins, labels)), axis=1, reverse=True)
    total = upper[:, :1]
    above = ops.concatenate([upper[:, 1:], ops.zeros_like(total)], axis=1)
    below = total - above
    return Counts(above[0], above[1], below[1], below[0])


def _count_by_comparison(positive: Any, y_pred: Any, weights: Any, thresholds: Thresholds) -> Counts:
    limits = ops.convert_to_tensor(np.asarray(thresholds.values, np.float32).reshape(1, -1, 1))
    is_above = ops.greater(ops.expand_dims(y_pred, 1), limits)
    zero = ops.zeros_like(weights)
    of_positives, of_negatives = ops.where(positive, weights, zero), ops.where(positive, zero, weights)
    above, below = [], []
    for part in (of_positives, of_negatives):
        part = ops.expand_dims(part, 1)
        above.append(ops.sum(ops.where(is_above, part, ops.zeros_like(part)), axis=0))
        below.append(ops.sum(ops.where(is_above, ops.zeros_like(part), part), axis=0))
    return Counts(above[0], above[1], below[1], below[0])
