"""RMSprop: gradients divided by the root of their mean square."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Unpack

from lamina import ops
from lamina.optimizers.base import REGISTRY, Optimizer, Options
from lamina.variables import Variable


class RMSprop(Optimizer):
    """RMSprop.

        v := rho * v + (1 - rho) * g**2
        a := rho * a + (1 - rho) * g                     if centered, else a = 0
        step = learning_rate * g / sqrt(v - a**2 + epsilon)
        m := momentum * m + step;   w := w - m           (w := w - step without momentum)

    rho: how slowly the averages move. centered: divide by the variance instead of the mean square.
    The other arguments: see Optimizer. Source: Hinton's lectures on neural networks (2012), lecture 6e.
    """

    def __init__(
        self,
        learning_rate: Any = 0.001,
        rho: float = 0.9,
        momentum: float = 0.0,
        epsilon: float = 1e-7,
        centered: bool = False,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(learning_rate, **options)
        self.rho = rho
        self.momentum = momentum
        self.epsilon = epsilon
        self.centered = centered

    def build(self, variables: Iterable[Variable]) -> None:
        if self.built:
            return
        variables = list(variables)
        super().build(variables)
        self._velocities = self.add_optimizer_variables(variables, "velocity")
        self._momentums = self.add_optimizer_variables(variables, "momentum") if self.momentum > 0 else []
        self._average_gradients = (
            self.add_optimizer_variables(variables, "average_gradient") if self.centered else []
        )

    def update_step(self, gradient: Any, variable: Variable, learning_rate: Any) -> None:
        index = self._get_variable_index(variable)
        g = ops.cast(gradient, variable.dtype)
        velocity = self._velocities[index]
        v = velocity.assign(self.rho * velocity + (1 - self.rho) * ops.square(g))
        if self.centered:
            average = self._average_gradients[index]
            a = average.assign(self.rho * average + (1 - self.rho) * g)
            v = v - ops.square(a)
        step = ops.cast(learning_rate, variable.dtype) * g / ops.sqrt(v + self.epsilon)
        if self.momentum > 0:
            momentum = self._momentums[index]
            step = momentum.assign(self.momentum * momentum + step)
        variable.assign(variable - step)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "rho": self.rho,
            "momentum": self.momentum,
            "epsilon": self.epsilon,
            "centered": self.centered,
        }


REGISTRY.register(RMSprop)
