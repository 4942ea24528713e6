"""Lamb: Adam whose step is as long as the weights themselves, for very large batches."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Unpack

from lamina import ops
from lamina.optimizers.base import REGISTRY, Optimizer, Options
from lamina.variables import Variable


class Lamb(Optimizer):
    """Lamb.

        m := m + (1 - beta_1) * (g - m)
        v := v + (1 - beta_2) * (g**2 - v)
        r = m / (1 - beta_1**t) / (sqrt(v / (1 - beta_2**t)) + epsilon)
        w := w - learning_rate * |w| / |r| * r

    with the norms of the whole variable; where one of them is zero, their ratio counts as 1. t = 1, 2, ... is
    the number of the update. The other arguments: see Optimizer.
    Source: You et al., "Large Batch Optimization for Deep Learning" (2019).
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

    def update_step(self, gradient: Any, variable: Variable, learning_rate: Any) -> None:
        index = self._get_variable_index(variable)
        g = ops.cast(gradient, variable.dtype)
        momentum, velocity = self._momentums[index], self._velocities[index]
        m = momentum.assign(momentum + (g - momentum) * (1 - self.beta_1))
        v = velocity.assign(velocity + (ops.square(g) - velocity) * (1 - self.beta_2))
        of_momentum, of_root = self.shared(variable.dtype, lambda: self._corrections(variable.dtype))
        r = m * of_momentum / (ops.sqrt(v) * of_root + self.epsilon)
        length, step_length = _norm(variable), _norm(r)
        either_zero = ops.logical_or(ops.equal(length, 0), ops.equal(step_length, 0))
        ratio = ops.where(either_zero, 1.0, length / ops.where(either_zero, 1.0, step_length))
        rate = ops.cast(learning_rate, variable.dtype) * ops.cast(ratio, variable.dtype)
        variable.assign(variable - r * rate)

    def _corrections(self, dtype: str) -> tuple[Any, Any]:
        """What m and sqrt(v) are multiplied with, to make up for their start at zero."""
        t = self.update_number(dtype)
        of_momentum, of_root = 1 / (1 - self.beta_1**t), 1 / ops.sqrt(1 - self.beta_2**t)
        return ops.cast(of_momentum, dtype), ops.cast(of_root, dtype)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "beta_1": self.beta_1,
            "beta_2": self.beta_2,
            "epsilon": self.epsilon,
        }


def _norm(x: Any) -> Any:
    return ops.sqrt(ops.sum(ops.square(x)))


REGISTRY.register(Lamb)
