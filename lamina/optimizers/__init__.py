"""Optimizers: how gradients change weights. `optimizers.get("adam")`, `Adam(learning_rate=1e-3)`."""

from __future__ import annotations

from typing import Any

from lamina.core.errors import ArgumentError
from lamina.optimizers import schedules
from lamina.optimizers.adadelta import Adadelta
from lamina.optimizers.adafactor import Adafactor
from lamina.optimizers.adagrad import Adagrad
from lamina.optimizers.adam import Adam
from lamina.optimizers.adamax import Adamax
from lamina.optimizers.adamw import AdamW
from lamina.optimizers.base import REGISTRY, Optimizer
from lamina.optimizers.ftrl import Ftrl
from lamina.optimizers.lamb import Lamb
from lamina.optimizers.lion import Lion
from lamina.optimizers.loss_scale_optimizer import LossScaleOptimizer
from lamina.optimizers.multi_optimizer import MultiOptimizer, OptimizerMap
from lamina.optimizers.muon import Muon
from lamina.optimizers.nadam import Nadam
from lamina.optimizers.rmsprop import RMSprop
from lamina.optimizers.schedule_free_adamw import ScheduleFreeAdamW
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
    "Adadelta",
    "Adafactor",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "Ftrl",
    "Lamb",
    "Lion",
    "LossScaleOptimizer",
    "MultiOptimizer",
    "Muon",
    "Nadam",
    "Optimizer",
    "OptimizerMap",
    "RMSprop",
    "SGD",
    "ScheduleFreeAdamW",
    "deserialize",
    "get",
    "schedules",
    "serialize",
]
