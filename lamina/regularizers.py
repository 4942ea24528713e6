"""Penalties on weights or outputs, added to the loss: `regularizers.get("l2")`, `L1L2(l1=1e-4, l2=1e-4)`."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import Any

from lamina import ops
from lamina.core.errors import ArgumentError, ShapeError, unknown_name
from lamina.core.serialization import Registry

REGISTRY = Registry("regularizer")


class Regularizer:
    """Base class of regularizers. A subclass writes `__call__(x)`, the penalty of x, and `get_config`."""

    def __call__(self, x: Any) -> Any:
        """The penalty: a tensor without axes."""
        return 0.0

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments, as JSON can hold them."""
        raise NotImplementedError(f"{type(self).__name__} must define get_config(self) to be saved.")

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Any:
        return cls(**config)


class L1L2(Regularizer):
    """l1 * sum(|x|) + l2 * sum(x**2)"""

    def __init__(self, l1: float | None = 0.0, l2: float | None = 0.0) -> None:
        self.l1 = _checked_factor("l1", 0.0 if l1 is None else l1)
        self.l2 = _checked_factor("l2", 0.0 if l2 is None else l2)

    def __call__(self, x: Any) -> Any:
        x = ops.convert_to_tensor(x)
        penalty = ops.convert_to_tensor(0.0, x.dtype)
        if self.l1:
            penalty = penalty + self.l1 * ops.sum(ops.absolute(x))
        if self.l2:
            penalty = penalty + self.l2 * ops.sum(ops.square(x))
        return penalty

    def get_config(self) -> dict[str, Any]:
        return {"l1": self.l1, "l2": self.l2}


class L1(Regularizer):
    """l1 * sum(|x|)"""

    def __init__(self, l1: float | None = 0.01) -> None:
        self.l1 = _checked_factor("l1", 0.01 if l1 is None else l1)

    def __call__(self, x: Any) -> Any:
        return self.l1 * ops.sum(ops.absolute(x))

    def get_config(self) -> dict[str, Any]:
        return {"l1": self.l1}


class L2(Regularizer):
    """l2 * sum(x**2)"""

    def __init__(self, l2: float | None = 0.01) -> None:
        self.l2 = _checked_factor("l2", 0.01 if l2 is None else l2)

    def __call__(self, x: Any) -> Any:
        return self.l2 * ops.sum(ops.square(x))

    def get_config(self) -> dict[str, Any]:
        return {"l2": self.l2}


class OrthogonalRegularizer(Regularizer):
    """factor * mean of |cosine| over all pairs of rows (or columns) of a matrix.

    Raises ShapeError, when called, for anything but a matrix.
    """

    def __init__(self, factor: float = 0.01, mode: str = "rows") -> None:
        if mode not in ("rows", "columns"):
            raise unknown_name("mode", mode, ("rows", "columns"))
        self.factor = _checked_factor("factor", factor)
        self.mode = mode

    def __call__(self, x: Any) -> Any:
        x = ops.convert_to_tensor(x)
        if len(x.shape) != 2:
            raise ShapeError(f"OrthogonalRegularizer works on matrices, got shape {tuple(x.shape)}.")
        rows = ops.normalize(x if self.mode == "rows" else ops.transpose(x), axis=1)
        count = rows.shape[0]
        cosines = ops.matmul(rows, ops.transpose(rows)) * (1.0 - ops.eye(count, dtype=x.dtype))
        pairs = count * (count - 1.0) / 2.0
        return self.factor * 0.5 * ops.sum(ops.absolute(cosines)) / pairs

    def get_config(self) -> dict[str, Any]:
        return {"factor": self.factor, "mode": self.mode}


def _checked_factor(argument: str, value: Any) -> float:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not number or not isfinite(value) or value < 0:
        raise ArgumentError(
            f"The factor {argument} of a penalty must be a finite number of at least 0, got {value!r}."
        )
    return float(value)


REGISTRY.register(Regularizer, "regularizer")
REGISTRY.register(L1, "l1")
REGISTRY.register(L2, "l2")
REGISTRY.register(L1L2, "l1_l2", "l1l2")
REGISTRY.register(OrthogonalRegularizer, "orthogonal_regularizer")

get = REGISTRY.get
serialize = REGISTRY.serialize
deserialize = REGISTRY.deserialize
l1, l2, l1_l2, orthogonal_regularizer = L1, L2, L1L2, OrthogonalRegularizer
