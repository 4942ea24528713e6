"""Adam: momentum over root mean square, both freed of their start at zero."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Unpack

from lamina import ops
from lamina.optimizers.base import REGISTRY, Optimizer, Options
from lamina.variables import Variable


class Adam(Optimizer):
    """Adam.

        m := m + (1 - beta_1) * (g - m)
        v := v + (1 - beta_2) * (g**2 - v)
        w := w - learning_rate * sqrt(1 - beta_2**t) / (1 - beta_1**t) * m / (sqrt(v) + epsilon)

    with t = 1, 2, ... the number of the update. With `amsgrad`, the largest v so far takes its place in the
    last line. epsilon: keeps the division away from zero ("epsilon hat" in the paper).
    The other arguments: see Optimizer.
    Sources: Kingma and Ba, "Adam" (2014), section 2; for amsgrad, Reddi et al., "On the Convergence of Adam
    and Beyond" (2018).
    """

    def __init__(
        self,
        learning_rate: Any = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        amsgrad: bool = False,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(learning_rate, **options)
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.amsgrad = amsgrad

    def build(self, variables: Iterable[Variable]) -> None:
        if self.built:
            return
        variables = list(variables)
        super().build(variables)
        self._momentums, self._velocities = self.add_optimizer_variables(variables, ["momentum", "velocity"])
        self._velocity_hats = self.add_optimizer_variables(variables, "velocity_hat") if self.amsgrad else []

    def update_step(self, gradient: Any, variable: Variable, learning_rate: Any) -> None:
        index = self._get_variable_index(variable)
        g = ops.cast(gradient, variable.dtype)
        momentum, velocity = self._momentums[index], self._velocities[index]
        m = momentum.assign(momentum + (g - momentum) * (1 - self.beta_1))
        v = velocity.assign(velocity + (ops.square(g) - velocity) * (1 - self.beta_2))
        if self.amsgrad:
            largest = self._velocity_hats[index]
            v = largest.assign(ops.maximum(largest, v))
        rate = self.shared(variable.dtype, lambda: self._corrected_rate(learning_rate, variable.dtype))
        variable.assign(variable - m * rate / (ops.sqrt(v) + self.epsilon))

    def _corrected_rate(self, learning_rate: Any, dtype: str) -> Any:
        """The learning rate times what makes up for m and v having started at zero."""
        t = self.update_number(dtype)
        rate = ops.cast(learning_rate, t.dtype) * ops.sqrt(1 - self.beta_2**t) / (1 - self.beta_1**t)
        return ops.cast(rate, dtype)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "beta_1": self.beta_1,
            "beta_2": self.beta_2,
            "epsilon": self.epsilon,
            "amsgrad": self.amsgrad,
        }


REGISTRY.register(Adam)
