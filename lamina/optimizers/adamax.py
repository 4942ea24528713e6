"""Adamax: Adam with the largest gradient in the place of the root mean square."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Unpack

from lamina import ops
from lamina.optimizers.base import REGISTRY, Optimizer, Options
from lamina.variables import Variable


class Adamax(Optimizer):
    """Adamax.

        m := m + (1 - beta_1) * (g - m)
        u := max(beta_2 * u, |g|)
        w := w - learning_rate / (1 - beta_1**t) * m / (u + epsilon)

    with t = 1, 2, ... the number of the update. The other arguments: see Optimizer.
    Source: Kingma and Ba, "Adam" (2014), section 7.1.
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
        self._momentums, self._norms = self.add_optimizer_variables(variables, ["momentum", "norm"])

    def update_step(self, gradient: Any, variable: Variable, learning_rate: Any) -> None:
        index = self._get_variable_index(variable)
        g = ops.cast(gradient, variable.dtype)
        momentum, norm = self._momentums[index], self._norms[index]
        m = momentum.assign(momentum + (g - momentum) * (1 - self.beta_1))
        u = norm.assign(ops.maximum(norm * self.beta_2, ops.abs(g)))
        rate = self.shared(variable.dtype, lambda: self._corrected_rate(learning_rate, variable.dtype))
        variable.assign(variable - m * rate / (u + self.epsilon))

    def _corrected_rate(self, learning_rate: Any, dtype: str) -> Any:
        """The learning rate times what makes up for m having started at zero."""
        t = self.update_number(dtype)
        return ops.cast(ops.cast(learning_rate, t.dtype) / (1 - self.beta_1**t), dtype)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "beta_1": self.beta_1,
            "beta_2": self.beta_2,
            "epsilon": self.epsilon,
        }


REGISTRY.register(Adamax)
