"""Lion: the sign of a momentum."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Unpack

from lamina import ops
from lamina.core.errors import ArgumentError
from lamina.optimizers.base import REGISTRY, Optimizer, Options
from lamina.variables import Variable


class Lion(Optimizer):
    """Lion.

        w := w - learning_rate * sign(beta_1 * m + (1 - beta_1) * g)
        m := beta_2 * m + (1 - beta_2) * g

    beta_1: above 0, at most 1. The other arguments: see Optimizer. Every weight moves by the rate, so
    it wants a rate 3 to 10 times smaller, and a weight decay that much larger, than Adam.
    Source: Chen et al., "Symbolic Discovery of Optimization Algorithms" (2023).
    """

    def __init__(
        self,
        learning_rate: Any = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.99,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(learning_rate, **options)
        if not 0 < beta_1 <= 1:
            raise ArgumentError(f"beta_1 of Lion must be above 0 and at most 1, got {beta_1}.")
        self.beta_1 = beta_1
        self.beta_2 = beta_2

    def build(self, variables: Iterable[Variable]) -> None:
        if self.built:
            return
        variables = list(variables)
        super().build(variables)
        self._momentums = self.add_optimizer_variables(variables, "momentum")

    def update_step(self, gradient: Any, variable: Variable, learning_rate: Any) -> None:
        g = ops.cast(gradient, variable.dtype)
        m = self._momentums[self._get_variable_index(variable)]
        direction = ops.sign(m * self.beta_1 + g * (1 - self.beta_1))
        variable.assign(variable - direction * ops.cast(learning_rate, variable.dtype))
        m.assign(m * self.beta_2 + g * (1 - self.beta_2))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "beta_1": self.beta_1, "beta_2": self.beta_2}


REGISTRY.register(Lion)
