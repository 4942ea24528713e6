"""Losses between embeddings, compared pair by pair within a batch."""

from __future__ import annotations

from typing import Any

from lamina import ops
from lamina.core.errors import ShapeError
from lamina.losses.base import LabelLoss, set_mask

MEAN = "sum_over_batch_size"


def circle(
    y_true: Any,
    y_pred: Any,
    ref_labels: Any = None,
    ref_embeddings: Any = None,
    remove_diagonal: bool = True,
    gamma: float = 80,
    margin: float = 0.4,
) -> Any:
    """log(1 + sum over positives exp(...) * sum over negatives exp(...)), one value per embedding

    y_true: class numbers (batch,) or (batch, 1). y_pred: embeddings (batch, n) of length 1.
    ref_labels, ref_embeddings: what to compare with; by default the batch itself, where `remove_diagonal`
    keeps an embedding from being its own positive. gamma: scale; margin: how much positives and negatives
    should be apart. Values of 0 (no positive or no negative among the references) are masked.
    Source: Sun et al., "Circle Loss: A Unified Perspective of Pair Similarity Optimization", 2020.
    """
    y_pred = ops.convert_to_tensor(y_pred)
    labels = _flat_labels(y_true, y_pred)
    references = y_pred if ref_embeddings is None else ops.convert_to_tensor(ref_embeddings)
    reference_labels = labels if ref_labels is None else _flat_labels(ref_labels, references)
    distances = ops.maximum(1.0 - ops.matmul(y_pred, ops.transpose(references)), 0.0)
    same = ops.equal(ops.expand_dims(labels, 1), ops.expand_dims(reference_labels, 0))
    positive, negative = same, ops.logical_not(same)
    if remove_diagonal:
        rows, columns = ops.arange(labels.shape[0]), ops.arange(reference_labels.shape[0])
        positive = ops.logical_and(same, ops.not_equal(ops.expand_dims(rows, 1), ops.expand_dims(columns, 0)))
    pull = -gamma * (margin + distances) * (margin - distances)
    push = gamma * ops.maximum(1.0 + margin - distances, 0.0) * (1.0 - margin - distances)
    pull_total, has_positive = masked_logsumexp(pull, positive)
    push_total, has_negative = masked_logsumexp(push, negative)
    values = ops.softplus(pull_total + push_total)
    values = ops.where(ops.logical_and(has_positive, has_negative), values, ops.zeros_like(values))
    return set_mask(values, ops.greater(values, 0))


def masked_logsumexp(x: Any, mask: Any) -> tuple[Any, Any]:
    """(log(sum(exp(x))) over the true entries of each row, whether there are any); 0 where there are none."""
    has_any = ops.any(mask, axis=1)
    zero = ops.zeros_like(x)
    lowest = ops.min(ops.where(mask, x, zero), axis=1, keepdims=True)
    largest = ops.stop_gradient(ops.max(ops.where(mask, x, lowest), axis=1, keepdims=True))
    terms = ops.where(mask, ops.exp(ops.where(mask, x - largest, zero)), zero)
    total = ops.where(has_any, ops.sum(terms, axis=1), ops.ones_like(terms[:, 0]))
    return ops.where(has_any, ops.squeeze(largest, 1) + ops.log(total), ops.zeros_like(total)), has_any


def _flat_labels(labels: Any, embeddings: Any) -> Any:
    labels = ops.cast(labels, "int32")
    flat = ops.squeeze(labels, 1) if len(labels.shape) == 2 and labels.shape[1] == 1 else labels
    if len(embeddings.shape) != 2 or tuple(flat.shape) != (embeddings.shape[0],):
        raise ShapeError(
            "circle: labels and embeddings do not fit.",
            expected="labels (batch,) for embeddings (batch, n)",
            got=f"{tuple(labels.shape)} and {tuple(embeddings.shape)}",
        )
    return flat


class Circle(LabelLoss):
    """Pulls embeddings of one class together and pushes those of others away; see `circle`.

    gamma: scale. margin: how far apart. remove_diagonal: an embedding is not its own positive.
    """

    def __init__(
        self,
        gamma: float = 80.0,
        margin: float = 0.4,
        remove_diagonal: bool = True,
        reduction: str | None = MEAN,
        name: str | None = "circle",
        dtype: Any = None,
    ) -> None:
        super().__init__(
            circle, reduction, name, dtype, gamma=gamma, margin=margin, remove_diagonal=remove_diagonal
        )
