"""Learning rates that a schedule or a callable gives: looked at in every update."""

from __future__ import annotations

from typing import Any

import numpy as np

from lamina import ops
from lamina.core.errors import ArgumentError
from lamina.function import guard
from lamina.ir.trace import Tensor

# Cosines that end at zero may end a little below it.
_ROUNDING = 1e-6


def checked_rate(source: Any, rate: Any) -> Any:
    """The rate that `source` gave, if it is one number that is not negative.

    Raises ArgumentError; inside a trace, where the number is not known yet, the step is guarded by it.
    """
    name = getattr(source, "__name__", type(source).__name__)
    if rate is None or isinstance(rate, str) or len(getattr(rate, "shape", ())):
        got = (
            "nothing"
            if rate is None
            else f"shape {tuple(rate.shape)}"
            if hasattr(rate, "shape")
            else repr(rate)
        )
        raise ArgumentError(f"The learning rate schedule {name} must give one number.", got=got)
    if isinstance(rate, Tensor):
        guard(ops.where(rate >= -_ROUNDING, rate, float("nan")))
        return rate
    number = float(np.asarray(rate))
    if not is_usable(number):
        raise ArgumentError(
            f"The learning rate that {name} gives is {number:g}.",
            expected="a number that is not negative",
        )
    return rate


def is_usable(rate: float) -> bool:
    """Whether updates can be made with this learning rate."""
    return -_ROUNDING <= rate < float("inf")
