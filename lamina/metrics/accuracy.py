"""How often predictions are right. The functions give 1.0 or 0.0 per sample, or per element."""

from __future__ import annotations

import math
from typing import Any

from lamina import ops
from lamina.core import dtypes
from lamina.core.errors import ShapeError
from lamina.core.shapes import remove
from lamina.losses.base import squeeze_or_expand_to_same_rank
from lamina.metrics.reduction import BuiltInMean


def accuracy(y_true: Any, y_pred: Any) -> Any:
    """Where predictions equal the targets, element by element."""
    y_true, y_pred = _pair("accuracy", y_true, y_pred)
    return _as_floats(ops.equal(y_true, y_pred))


def binary_accuracy(y_true: Any, y_pred: Any, threshold: float = 0.5) -> Any:
    """Where y_pred > threshold says the same as the target, 0 or 1, element by element."""
    y_true, y_pred = _pair("binary_accuracy", y_true, y_pred)
    says_one = ops.cast(ops.greater(y_pred, threshold), ops.dtype(y_true))
    return _as_floats(ops.equal(y_true, says_one))


def categorical_accuracy(y_true: Any, y_pred: Any) -> Any:
    """Where the largest prediction is at the largest target; classes along the last axis of both."""
    y_true, y_pred = _pair("categorical_accuracy", y_true, y_pred)
    return _as_floats(ops.equal(ops.argmax(y_true, axis=-1), ops.argmax(y_pred, axis=-1)))


def sparse_categorical_accuracy(y_true: Any, y_pred: Any) -> Any:
    """Where the largest prediction is at the target's class number; classes along the last axis."""
    labels, y_pred = _labels("sparse_categorical_accuracy", y_true, y_pred)
    return _as_floats(ops.equal(labels, ops.argmax(y_pred, axis=-1)))


def top_k_categorical_accuracy(y_true: Any, y_pred: Any, k: int = 5) -> Any:
    """Where the class of the largest target is among the k largest predictions."""
    y_true, y_pred = _pair("top_k_categorical_accuracy", y_true, y_pred)
    return _as_floats(in_top_k(ops.argmax(y_true, axis=-1), y_pred, k))


def sparse_top_k_categorical_accuracy(
    y_true: Any, y_pred: Any, k: int = 5, from_sorted_ids: bool = False
) -> Any:
    """Where the target's class number is among the k largest predictions.

    from_sorted_ids: predictions are class numbers, best first, instead of scores.
    """
    labels, y_pred = _labels("sparse_top_k_categorical_accuracy", y_true, y_pred)
    if from_sorted_ids:
        return _as_floats(ops.any(ops.equal(ops.expand_dims(labels, -1), y_pred[..., :k]), axis=-1))
    return _as_floats(in_top_k(labels, y_pred, k))


def in_top_k(labels: Any, scores: Any, k: int) -> Any:
    """Whether fewer than k scores are larger than the label's. False for NaN and for labels out of range."""
    labels = ops.cast(labels, "int32")
    is_label = ops.equal(ops.expand_dims(labels, -1), ops.arange(scores.shape[-1], dtype="int32"))
    lowest = ops.full_like(scores, -math.inf)
    score = ops.max(ops.where(is_label, scores, lowest), axis=-1, keepdims=True)
    score = ops.where(ops.equal(score, score), score, ops.full_like(score, -math.inf))
    larger = ops.sum(ops.cast(ops.greater(scores, score), "int32"), axis=-1)
    return ops.less(larger, k)


def _as_floats(matches: Any) -> Any:
    return ops.cast(matches, dtypes.standardize(None))


def _pair(name: str, y_true: Any, y_pred: Any) -> tuple[Any, Any]:
    """Targets and predictions of one shape; ShapeError instead of broadcasting."""
    y_true, y_pred = ops.convert_to_tensor(y_true), ops.convert_to_tensor(y_pred)
    given = tuple(y_true.shape)
    y_true, y_pred = squeeze_or_expand_to_same_rank(y_true, y_pred)
    if tuple(y_true.shape) != tuple(y_pred.shape):
        raise ShapeError(
            f"{name}: targets and predictions have different shapes.",
            expected=f"targets of shape {tuple(y_pred.shape)}, like the predictions",
            got=f"targets of shape {given}",
            fix="use the sparse metric for targets that are class numbers.",
        )
    return y_true, y_pred


def _labels(name: str, y_true: Any, y_pred: Any) -> tuple[Any, Any]:
    """Class numbers of the shape of the predictions without the last axis."""
    labels, y_pred = ops.convert_to_tensor(y_true), ops.convert_to_tensor(y_pred)
    given, wanted = tuple(labels.shape), remove(y_pred.shape, [len(y_pred.shape) - 1])
    if len(given) == len(y_pred.shape) and given[-1] == 1:
        labels = ops.squeeze(labels, -1)
    if tuple(labels.shape) != wanted:
        raise ShapeError(
            f"{name}: targets and predictions do not fit.",
            expected=f"class numbers of shape {wanted} for predictions of shape {tuple(y_pred.shape)}",
            got=f"targets of shape {given}",
            fix="use the metric without 'sparse' for one-hot targets."
            if given == tuple(y_pred.shape)
            else None,
        )
    return labels, y_pred


class Accuracy(BuiltInMean):
    """How often predictions equal targets."""

    _direction = "up"

    def __init__(self, name: str | None = "accuracy", dtype: Any = None) -> None:
        super().__init__(accuracy, name, dtype)


class BinaryAccuracy(BuiltInMean):
    """How often a prediction is on its 0-or-1 target's side of `threshold` (0 for logits)."""

    _direction = "up"

    def __init__(
        self, name: str | None = "binary_accuracy", dtype: Any = None, threshold: float = 0.5
    ) -> None:
        super().__init__(binary_accuracy, name, dtype, threshold=threshold)


class CategoricalAccuracy(BuiltInMean):
    """How often the largest prediction is the class of a one-hot target."""

    _direction = "up"

    def __init__(self, name: str | None = "categorical_accuracy", dtype: Any = None) -> None:
        super().__init__(categorical_accuracy, name, dtype)


class SparseCategoricalAccuracy(BuiltInMean):
    """How often the largest prediction is the class whose number is the target."""

    _direction = "up"

    def __init__(self, name: str | None = "sparse_categorical_accuracy", dtype: Any = None) -> None:
        super().__init__(sparse_categorical_accuracy, name, dtype)


class TopKCategoricalAccuracy(BuiltInMean):
    """How often the class of a one-hot target is among the k largest predictions."""

    _direction = "up"

    def __init__(
        self, k: int = 5, name: str | None = "top_k_categorical_accuracy", dtype: Any = None
    ) -> None:
        super().__init__(top_k_categorical_accuracy, name, dtype, k=k)


class SparseTopKCategoricalAccuracy(BuiltInMean):
    """How often the class whose number is the target is among the k largest predictions.

    from_sorted_ids: predictions are class numbers, best first, instead of scores.
    """

    _direction = "up"

    def __init__(
        self,
        k: int = 5,
        name: str | None = "sparse_top_k_categorical_accuracy",
        dtype: Any = None,
        from_sorted_ids: bool = False,
    ) -> None:
        super().__init__(sparse_top_k_categorical_accuracy, name, dtype, k=k, from_sorted_ids=from_sorted_ids)
