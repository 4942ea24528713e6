"""Adagrad: each weight's rate falls with the sum of its squared gradients."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Unpack

from lamina import ops
from lamina.initializers import Constant
from lamina.optimizers.base import REGISTRY, Optimizer, Options
from lamina.variables import Variable


class Adagrad(Optimizer):
    """Adagrad.

        a := a + g**2
        w := w - learning_rate * g / sqrt(a + epsilon)

    initial_accumulator_value: of a. The other arguments: see Optimizer.
    Source: Duchi, Hazan and Singer, "Adaptive Subgradient Methods" (2011).
    """

    def __init__(
        self,
        learning_rate: Any = 0.001,
        initial_accumulator_value: float = 0.1,
        epsilon: float = 1e-7,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(learning_rate, **options)
        self.initial_accumulator_value = initial_accumulator_value
        self.epsilon = epsilon

    def build(self, variables: Iterable[Variable]) -> None:
        if self.built:
            return
        variables = list(variables)
        super().build(variables)
        start = Constant(self.initial_accumulator_value)
        self._accumulators = self.add_optimizer_variables(variables, "accumulator", start)

    def update_step(self, gradient: Any, variable: Variable, learning_rate: Any) -> None:
        g = ops.cast(gradient, variable.dtype)
        accumulator = self._accumulators[self._get_variable_index(variable)]
        a = accumulator.assign(accumulator + ops.square(g))
        step = g * ops.cast(learning_rate, variable.dtype) / ops.sqrt(a + self.epsilon)
        variable.assign(variable - step)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "initial_accumulator_value": self.initial_accumulator_value,
            "epsilon": self.epsilon,
        }


REGISTRY.register(Adagrad)
