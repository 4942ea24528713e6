"""What a learning-rate schedule is: a function of the number of the step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lamina import ops
from lamina.core.config import config
from lamina.core.errors import ArgumentError
from lamina.core.serialization import Registry

REGISTRY = Registry("learning rate schedule")


class LearningRateSchedule:
    """Base class of schedules. A subclass writes `__call__(step)` with `lamina.ops`, and `get_config`.

    The step counts the calls of the optimizer from 0; inside a trace it is a tensor.

    >>> class Harmonic(LearningRateSchedule):
    ...     def __init__(self, initial_learning_rate):
    ...         self.initial_learning_rate = initial_learning_rate
    ...     def __call__(self, step):
    ...         return self.initial_learning_rate / (ops.cast(step, "float32") + 1)
    ...     def get_config(self):
    ...         return {"initial_learning_rate": self.initial_learning_rate}
    """

    def __call__(self, step: Any) -> Any:
        """The learning rate of this step, a tensor without axes."""
        raise NotImplementedError(f"{type(self).__name__} must define __call__(self, step).")

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments, as JSON can hold them."""
        raise NotImplementedError(f"{type(self).__name__} must define get_config(self) to be saved.")

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Any:
        return cls(**config)

    def __repr__(self) -> str:
        options = ", ".join(f"{name}={value!r}" for name, value in self.get_config().items())
        return f"{type(self).__name__}({options})"


def positive(schedule: LearningRateSchedule, argument: str, value: Any) -> Any:
    """`value`, or an ArgumentError naming the argument unless it is above zero."""
    if not value > 0:
        raise ArgumentError(f"{argument} of {type(schedule).__name__} must be positive, got {value}.")
    return value


def as_float(step: Any) -> Any:
    """The step as a tensor of the default float dtype."""
    return ops.cast(step, config.floatx)
