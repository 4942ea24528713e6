"""Ftrl: follow the regularized leader, for sparse linear models."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Unpack

from lamina import ops
from lamina.core.errors import ArgumentError
from lamina.initializers import Constant
from lamina.optimizers.base import REGISTRY, Optimizer, Options
from lamina.variables import Variable


class Ftrl(Optimizer):
    """Ftrl-proximal.

        p(a) = a**(-learning_rate_power) / learning_rate
        z := z + g + 2 * l2_shrinkage * w - (p(a + g**2) - p(a)) * w
        a := a + g**2
        w := (clip(z, -l1, l1) - z) / (p(a) + 2 * l2 + beta / learning_rate)

    l1, l2, l2_shrinkage stand for the arguments `..._regularization_strength`: l1 makes weights exactly zero,
    l2 and l2_shrinkage make them small. initial_accumulator_value: of a. beta: of the per-weight learning
    rates. The other arguments: see Optimizer.
    Source: McMahan et al., "Ad Click Prediction: a View from the Trenches" (2013).
    """

    def __init__(
        self,
        learning_rate: Any = 0.001,
        learning_rate_power: float = -0.5,
        initial_accumulator_value: float = 0.1,
        l1_regularization_strength: float = 0.0,
        l2_regularization_strength: float = 0.0,
        l2_shrinkage_regularization_strength: float = 0.0,
        beta: float = 0.0,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(learning_rate, **options)
        not_negative = {
            "initial_accumulator_value": initial_accumulator_value,
            "l1_regularization_strength": l1_regularization_strength,
            "l2_regularization_strength": l2_regularization_strength,
            "l2_shrinkage_regularization_strength": l2_shrinkage_regularization_strength,
        }
        for name, value in not_negative.items():
            if value < 0:
                raise ArgumentError(f"{name} of Ftrl must not be negative, got {value}.")
        if learning_rate_power > 0:
            raise ArgumentError(
                f"learning_rate_power of Ftrl must not be above zero, got {learning_rate_power}."
            )
        self.learning_rate_power = learning_rate_power
        self.initial_accumulator_value = initial_accumulator_value
        self.l1_regularization_strength = l1_regularization_strength
        self.l2_regularization_strength = l2_regularization_strength
        self.l2_shrinkage_regularization_strength = l2_shrinkage_regularization_strength
        self.beta = beta

    def build(self, variables: Iterable[Variable]) -> None:
        if self.built:
            return
        variables = list(variables)
        super().build(variables)
        self._accumulators, self._linears = self.add_optimizer_variables(
            variables, ["accumulator", "linear"], [Constant(self.initial_accumulator_value), "zeros"]
        )

    def update_step(self, gradient: Any, variable: Variable, learning_rate: Any) -> None:
        index = self._get_variable_index(variable)
        g, rate = ops.cast(gradient, variable.dtype), ops.cast(learning_rate, variable.dtype)
        accumulator, linear = self._accumulators[index], self._linears[index]
        before = self._power(accumulator)
        after = self._power(accumulator.assign(accumulator + ops.square(g)))
        shrinkage = 2 * self.l2_shrinkage_regularization_strength
        pull = g + variable * shrinkage if shrinkage else g
        z = linear.assign(linear + pull - (after - before) * (1 / rate) * variable)
        l1, l2 = self.l1_regularization_strength, self.l2_regularization_strength
        curvature = after * (1 / rate) + (2 * l2 + self.beta / rate)
        variable.assign((ops.clip(z, -l1, l1) - z) / curvature)

    def _power(self, accumulator: Any) -> Any:
        if self.learning_rate_power == -0.5:
            return ops.sqrt(accumulator)
        return ops.power(accumulator, -self.learning_rate_power)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "learning_rate_power": self.learning_rate_power,
            "initial_accumulator_value": self.initial_accumulator_value,
            "l1_regularization_strength": self.l1_regularization_strength,
            "l2_regularization_strength": self.l2_regularization_strength,
            "l2_shrinkage_regularization_strength": self.l2_shrinkage_regularization_strength,
            "beta": self.beta,
        }


REGISTRY.register(Ftrl)
