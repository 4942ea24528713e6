"""Projections applied to weights after each update: `constraints.get("non_neg")`, `MaxNorm(max_value=3)`.

An `axis` says along which axes norms are taken: 0 for the weights into each unit of a Dense kernel (in, out),
[0, 1, 2] for each filter of a Conv2D kernel (rows, columns, in, out).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lamina import ops
from lamina.core.config import config
from lamina.core.errors import ArgumentError
from lamina.core.serialization import Registry

REGISTRY = Registry("constraint")


class Constraint:
    """Base class of constraints. A subclass writes `__call__(w)`, the projected weight."""

    def __call__(self, w: Any) -> Any:
        """The weight, changed so that it satisfies the constraint."""
        return w

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments, as JSON can hold them."""
        return {}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Any:
        return cls(**config)


class NonNeg(Constraint):
    """max(w, 0)"""

    def __call__(self, w: Any) -> Any:
        return ops.maximum(w, 0)


class UnitNorm(Constraint):
    """w / (epsilon + |w|): norm 1 along `axis`."""

    def __init__(self, axis: int | Sequence[int] = 0) -> None:
        self.axis = axis

    def __call__(self, w: Any) -> Any:
        return ops.divide(w, config.epsilon + _norms(w, self.axis))

    def get_config(self) -> dict[str, Any]:
        return {"axis": self.axis}


class MaxNorm(Constraint):
    """w * min(|w|, max_value) / (epsilon + |w|): norm along `axis` of at most `max_value`."""

    def __init__(self, max_value: float = 2, axis: int | Sequence[int] = 0) -> None:
        if not max_value >= 0:
            raise ArgumentError(f"The largest norm cannot be {max_value}.", expected="a number of at least 0")
        self.max_value = max_value
        self.axis = axis

    def __call__(self, w: Any) -> Any:
        norms = _norms(w, self.axis)
        return ops.multiply(w, ops.clip(norms, 0, self.max_value) / (config.epsilon + norms))

    def get_config(self) -> dict[str, Any]:
        return {"max_value": self.max_value, "axis": self.axis}


class MinMaxNorm(Constraint):
    """w * d / (epsilon + |w|) with d = rate * clip(|w|, min_value, max_value) + (1 - rate) * |w|.

    Norms are taken along `axis`. rate: 1 enforces the bounds at each step, less moves towards them.
    """

    def __init__(
        self, min_value: float = 0.0, max_value: float = 1.0, rate: float = 1.0, axis: int | Sequence[int] = 0
    ) -> None:
        if not 0 <= min_value <= max_value:
            raise ArgumentError(
                f"Norms between {min_value} and {max_value} do not exist.",
                expected="0 <= min_value <= max_value",
            )
        self.min_value = min_value
        self.max_value = max_value
        self.rate = rate
        self.axis = axis

    def __call__(self, w: Any) -> Any:
        norms = _norms(w, self.axis)
        desired = self.rate * ops.clip(norms, self.min_value, self.max_value) + (1 - self.rate) * norms
        return ops.multiply(w, desired / (config.epsilon + norms))

    def get_config(self) -> dict[str, Any]:
        return {
            "min_value": self.min_value,
            "max_value": self.max_value,
            "rate": self.rate,
            "axis": self.axis,
        }


def _norms(w: Any, axis: int | Sequence[int]) -> Any:
    return ops.sqrt(ops.sum(ops.square(w), axis=axis, keepdims=True))


REGISTRY.register(Constraint, "constraint")
REGISTRY.register(MaxNorm, "max_norm")
REGISTRY.register(MinMaxNorm, "min_max_norm")
REGISTRY.register(NonNeg, "non_neg")
REGISTRY.register(UnitNorm, "unit_norm")

get = REGISTRY.get
serialize = REGISTRY.serialize
deserialize = REGISTRY.deserialize
max_norm, min_max_norm, non_neg, unit_norm = MaxNorm, MinMaxNorm, NonNeg, UnitNorm
