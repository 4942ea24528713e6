"""Nadam: Adam with Nesterov's momentum."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Unpack

from lamina import ops
from lamina.optimizers.base import REGISTRY, Optimizer, Options
from lamina.variables import Variable


class Nadam(Optimizer):
    """Nadam.

        m := m + (1 - beta_1) * (g - m)
        v := v + (1 - beta_2) * (g**2 - v)
        u(t) = beta_1 * (1 - 0.96**t / 2);   p := p * u(t)
        n = u(t + 1) * m / (1 - p * u(t + 1)) + (1 - u(t)) * g / (1 - p)
        w := w - learning_rate * n / (sqrt(v / (1 - beta_2**t)) + epsilon)

    with t = 1, 2, ... the number of the update. The other arguments: see Optimizer.
    Source: Dozat, "Incorporating Nesterov Momentum into Adam" (2015).
    """

    def __init__(
        self,
        learning_rate: Any = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(learning_rate, **options)
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon

    def build(self, variables: Iterable[Variable]) -> None:
        if self.built:
            return
        variables = list(variables)
        super().build(variables)
        self._momentums, self._velocities = self.add_optimizer_variables(variables, ["momentum", "velocity"])
        self._product = self.add_variable((), "ones", name="momentum_product")

    def update_step(self, gradient: Any, variable: Variable, learning_rate: Any) -> None:
        index = self._get_variable_index(variable)
        g = ops.cast(gradient, variable.dtype)
        momentum, velocity = self._momentums[index], self._velocities[index]
        m = momentum.assign(momentum + (g - momentum) * (1 - self.beta_1))
        v = velocity.assign(velocity + (ops.square(g) - velocity) * (1 - self.beta_2))
        product = self.shared("product", self._next_product)
        of_momentum, of_gradient, of_root = self.shared(
            variable.dtype, lambda: self._factors(learning_rate, product, variable.dtype)
        )
        step = m * of_momentum + g * of_gradient
        variable.assign(variable - step / (ops.sqrt(v) * of_root + self.epsilon))

    def _momentum_at(self, t: Any) -> Any:
        return self.beta_1 * (1.0 - 0.5 * 0.96**t)

    def _next_product(self) -> Any:
        return self._product.assign(self._product * self._momentum_at(self.update_number("float32")))

    def _factors(self, learning_rate: Any, product: Any, dtype: str) -> tuple[Any, Any, Any]:
        """What m, g and sqrt(v) are multiplied with in this update; with the learning rate."""
        t = self.update_number(dtype)
        rate, product = ops.cast(learning_rate, t.dtype), ops.cast(product, t.dtype)
        now, then = self._momentum_at(t), self._momentum_at(t + 1)
        factors = (
            rate * then / (1 - product * then),
            rate * (1 - now) / (1 - product),
            1 / ops.sqrt(1 - self.beta_2**t),
        )
        return tuple(ops.cast(factor, dtype) for factor in factors)  # type: ignore[return-value]

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "beta_1": self.beta_1,
            "beta_2": self.beta_2,
            "epsilon": self.epsilon,
        }


REGISTRY.register(Nadam)
