"""Running means of the margin losses."""

from __future__ import annotations

from typing import Any

from lamina import losses
from lamina.metrics.reduction import BuiltInMean


class Hinge(BuiltInMean):
    """mean(max(1 - y_true y_pred, 0)), for targets -1 and 1 (or 0 and 1)."""

    _direction = "down"

    def __init__(self, name: str | None = "hinge", dtype: Any = None) -> None:
        super().__init__(losses.hinge, name, dtype)


class SquaredHinge(BuiltInMean):
    """mean(max(1 - y_true y_pred, 0)^2), for targets -1 and 1 (or 0 and 1)."""

    _direction = "down"

    def __init__(self, name: str | None = "squared_hinge", dtype: Any = None) -> None:
        super().__init__(losses.squared_hinge, name, dtype)


class CategoricalHinge(BuiltInMean):
    """max(1 + best wrong score - right score, 0), for one-hot targets."""

    _direction = "down"

    def __init__(self, name: str | None = "categorical_hinge", dtype: Any = None) -> None:
        super().__init__(losses.categorical_hinge, name, dtype)
