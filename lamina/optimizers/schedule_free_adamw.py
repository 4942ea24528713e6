"""Schedule-free AdamW: averaging takes the place of a schedule."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Unpack

from lamina import ops
from lamina.optimizers.base import REGISTRY, Optimizer, Options
from lamina.variables import Variable


class ScheduleFreeAdamW(Optimizer):
    """Schedule-free Adam; with `weight_decay`, AdamW.

        v := v + (1 - beta_2) * (g**2 - v)
        x = (w - (1 - beta_1) * z) / beta_1                 the average so far
        z := z - rate * g / (sqrt(v / (1 - beta_2**t)) + epsilon)
        x := (1 - 1 / t) * x + z / t
        w := (1 - beta_1) * z + beta_1 * x

    with t = 1, 2, ... the number of the update, and a rate that rises to `learning_rate` over `warmup_steps`.
    The other arguments: see Optimizer. Source: Defazio et al., "The Road Less Scheduled" (2024).
    """

    def __init__(
        self,
        learning_rate: Any = 0.0025,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        warmup_steps: int = 0,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(learning_rate, **options)
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.warmup_steps = warmup_steps

    def build(self, variables: Iterable[Variable]) -> None:
        if self.built:
            return
        variables = list(variables)
        super().build(variables)
        self._momentums, self._velocities = self.add_optimizer_variables(variables, ["momentum", "velocity"])
        for momentum, variable in zip(self._momentums, variables):
            if momentum is not None:
                momentum.array[...] = variable.array

    def update_step(self, gradient: Any, variable: Variable, learning_rate: Any) -> None:
        index = self._get_variable_index(variable)
        g = ops.cast(gradient, variable.dtype)
        z, velocity = self._momentums[index], self._velocities[index]
        rate, of_root, weight = self.shared(
            variable.dtype, lambda: self._factors(learning_rate, variable.dtype)
        )
        v = velocity.assign(velocity + (ops.square(g) - velocity) * (1 - self.beta_2))
        x = (variable - z * (1 - self.beta_1)) * (1 / self.beta_1)
        moved = z.assign(z - g * rate / (ops.sqrt(v) * of_root + self.epsilon))
        averaged = x * (1 - weight) + moved * weight
        variable.assign(moved * (1 - self.beta_1) + averaged * self.beta_1)

    def _factors(self, learning_rate: Any, dtype: str) -> tuple[Any, Any, Any]:
        """The rate, what sqrt(v) is multiplied with, and the weight 1 / t of this update."""
        t = self.update_number(dtype)
        rate = ops.cast(learning_rate, t.dtype)
        if self.warmup_steps > 0:
            rate = rate * ops.minimum(t / self.warmup_steps, 1.0)
        factors = (rate, 1 / ops.sqrt(1 - self.beta_2**t), 1 / t)
        return tuple(ops.cast(factor, dtype) for factor in factors)  # type: ignore[return-value]

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "beta_1": self.beta_1,
            "beta_2": self.beta_2,
            "epsilon": self.epsilon,
            "warmup_steps": self.warmup_steps,
        }


REGISTRY.register(ScheduleFreeAdamW)
