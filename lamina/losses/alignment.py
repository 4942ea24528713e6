"""CTC: the loss of sequences of labels that are not aligned with the outputs."""

from __future__ import annotations

from typing import Any

from lamina import ops
from lamina.core.errors import ShapeError
from lamina.losses.base import LabelLoss


def ctc(y_true: Any, y_pred: Any) -> Any:
    """-log of the probability of the labels under every alignment: labels (batch, length), 0 for padding and
    silence, and logits (batch, time, classes)
    """
    if len(y_true.shape) != 2 or len(y_pred.shape) != 3:
        raise ShapeError(
            "ctc: the shapes of targets and predictions do not fit.",
            expected="labels (batch, length) and logits (batch, time, classes)",
            got=f"{tuple(y_true.shape)} and {tuple(y_pred.shape)}",
        )
    labels = ops.cast(y_true, "int32")
    batch, time = y_pred.shape[:2]
    label_length = ops.sum(ops.cast(ops.not_equal(labels, 0), "int32"), axis=-1)
    return ops.ctc_loss(labels, y_pred, label_length, ops.full((batch,), time, "int32"), mask_index=0)


class CTC(LabelLoss):
    """Connectionist temporal classification, for speech and handwriting: which labels, but not when.

    Targets are labels (batch, length), whole numbers from 1 on, 0 for padding; predictions are logits (batch,
    time, classes), without a softmax, in which class 0 stands for no label.
    Source: A. Graves et al., "Connectionist Temporal Classification" (2006).

    >>> CTC()(np.array([[1, 2, 0]]), np.zeros((1, 5, 4), "float32"))
    """

    def __init__(
        self, reduction: str | None = "sum_over_batch_size", name: str | None = "ctc", dtype: Any = None
    ) -> None:
        super().__init__(ctc, reduction, name, dtype)

    def get_config(self) -> dict[str, Any]:
        return {"name": self.name, "reduction": self.reduction}
