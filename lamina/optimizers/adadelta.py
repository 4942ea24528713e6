"""Adadelta: steps as large as the steps before, in units of the gradient."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Unpack

from lamina import ops
from lamina.optimizers.base import REGISTRY, Optimizer, Options
from lamina.variables import Variable


class Adadelta(Optimizer):
    """Adadelta.

        a := rho * a + (1 - rho) * g**2
        step = g * sqrt(d + epsilon) / sqrt(a + epsilon)
        d := rho * d + (1 - rho) * step**2
        w := w - learning_rate * step

    rho: how slowly the averages move. The other arguments: see Optimizer; the paper has learning_rate 1.
    Source: Zeiler, "ADADELTA: An Adaptive Learning Rate Method" (2012).
    """

    def __init__(
        self,
        learning_rate: Any = 0.001,
        rho: float = 0.95,
        epsilon: float = 1e-7,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(learning_rate, **options)
        self.rho = rho
        self.epsilon = epsilon

    def build(self, variables: Iterable[Variable]) -> None:
        if self.built:
            return
        variables = list(variables)
        super().build(variables)
        self._gradients, self._steps = self.add_optimizer_variables(
            variables, ["accumulated_grad", "accumulated_delta_var"]
        )

    def update_step(self, gradient: Any, variable: Variable, learning_rate: Any) -> None:
        index = self._get_variable_index(variable)
        g = ops.cast(gradient, variable.dtype)
        gradients, steps = self._gradients[index], self._steps[index]
        a = gradients.assign(gradients * self.rho + ops.square(g) * (1 - self.rho))
        step = g * ops.sqrt(steps + self.epsilon) / ops.sqrt(a + self.epsilon)
        steps.assign(steps * self.rho + ops.square(step) * (1 - self.rho))
        variable.assign(variable - step * ops.cast(learning_rate, variable.dtype))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "rho": self.rho, "epsilon": self.epsilon}


REGISTRY.register(Adadelta)
