"""Stochastic gradient descent, with momentum and Nesterov's variant."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Unpack

from lamina import ops
from lamina.core.errors import ArgumentError
from lamina.optimizers.base import REGISTRY, Optimizer, Options
from lamina.variables import Variable


class SGD(Optimizer):
    """Gradient descent.

    Without momentum:   w := w - learning_rate * g
    With momentum:      m := momentum * m - learning_rate * g;   w := w + m
    With nesterov also: w := w + momentum * m - learning_rate * g

    momentum: between 0 and 1. The other arguments: see Optimizer.
    Source: Sutskever et al., "On the importance of initialization and momentum in deep learning" (2013).
    """

    def __init__(
        self,
        learning_rate: Any = 0.01,
        momentum: float = 0.0,
        nesterov: bool = False,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(learning_rate, **options)
        if not 0 <= momentum <= 1:
            raise ArgumentError(f"The momentum of SGD must lie between 0 and 1, got {momentum}.")
        self.momentum = momentum
        self.nesterov = nesterov

    def build(self, variables: Iterable[Variable]) -> None:
        if self.built:
            return
        variables = list(variables)
        super().build(variables)
        self.momentums = self.add_optimizer_variables(variables, "momentum") if self.momentum else []

    def update_step(self, gradient: Any, variable: Variable, learning_rate: Any) -> None:
        step = ops.cast(gradient, variable.dtype) * ops.cast(learning_rate, variable.dtype)
        if not self.momentum:
            variable.assign(variable - step)
            return
        slot = self.momentums[self._get_variable_index(variable)]
        m = slot.assign(slot * self.momentum - step)
        variable.assign(variable + (m * self.momentum - step if self.nesterov else m))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "momentum": self.momentum, "nesterov": self.nesterov}


REGISTRY.register(SGD)
