"""One call of `fit`, as far as it can be left and gone on with later."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lamina.training.callbacks.base import CallbackList
    from lamina.training.data import Arrays, BatchType


@dataclass(frozen=True)
class Position:
    """A place in training: so many steps of this epoch are done."""

    epoch: int
    step: int


@dataclass
class Run:
    """What the numbers of a training depend on, beside the model and the data.

    order_seed: of the order of the rows. callbacks: those of this run. first_batch: the type of the batches,
    and the arrays of one. resumed_at: where an earlier run was
    left, if this one goes on from there; a callback may set both in `on_train_begin`.
    """

    order_seed: int
    callbacks: CallbackList
    first_batch: tuple[BatchType, Arrays]
    resumed_at: Position | None = field(default=None)
