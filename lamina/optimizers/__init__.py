"""Optimizers: how gradients change weights. `optimizers.get("adam")`, `Adam(learning_rate=1e-3)`."""

from __future__ import annotations

from typing import Any

from lamina.core.errors import ArgumentError
from lamina.optimizers import schedules
from lamina.optimizers.adam import Adam
from lamina.optimizers.adamw import AdamW
from lamina.optimizers.base import REGISTRY, Optimizer
from lamina.optimizers.rmsprop import RMSprop
from lamina.optimizers.sgd import SGD

serialize = REGISTRY.serialize
deserialize = REGISTRY.deserialize


def get(identifier: Any) -> Any:
    """The optimizer meant by a name (in any case), a config, a class or an object.

    Raises ArgumentError for an unknown name, with the nearest one that exists, and for anything else.
    """
    found = REGISTRY.get(identifier)
    if found is None or isinstance(found, Optimizer):
        return found
    raise ArgumentError(
        f"{identifier!r} is not an optimizer.", expected='a name such as "adam", or an Optimizer object'
    )


__all__ = [
    "SGD",
    "Adam",
    "AdamW",
    "Optimizer",
    "RMSprop",
    "deserialize",
    "get",
    "schedules",
    "serialize",
]
