"""LossScaleOptimizer: gradients too small for float16, made larger on their way."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from lamina import ops
from lamina.core import dtypes
from lamina.core.errors import ArgumentError
from lamina.core.serialization import deserialize_object, serialize_object
from lamina.function import guard
from lamina.initializers import Constant
from lamina.optimizers.base import REGISTRY, Optimizer
from lamina.variables import Variable

# What files written by older Keras hold, of arguments that never had an effect.
_WITHOUT_EFFECT: dict[str, Any] = {
    "dynamic": True,
    "weight_decay": None,
    "clipnorm": None,
    "global_clipnorm": None,
    "clipvalue": None,
    "use_ema": False,
    "ema_momentum": 0.99,
    "ema_overwrite_frequency": None,
    "loss_scale_factor": None,
    "gradient_accumulation_steps": None,
}


class LossScaleOptimizer(Optimizer):
    """Another optimizer, with a loss that is scaled up for the way back and gradients that are scaled down.

    inner_optimizer: the other one. initial_scale: of the loss. dynamic_growth_steps: after so many steps with
    finite gradients the scale is doubled. name: of the optimizer.

    A step whose gradients are not finite is skipped and halves the scale. Only when the scale is down to 1,
    so that it cannot be the cause, is such a step an error: NonFiniteError.
    Source: Micikevicius et al., "Mixed Precision Training" (2018), section 3.2.

    >>> model.compile(LossScaleOptimizer("adam"), "mse")
    """

    skips_nonfinite_gradients = True

    def __init__(
        self,
        inner_optimizer: Any,
        initial_scale: float = 2.0**15,
        dynamic_growth_steps: int = 2000,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        for argument, value in kwargs.items():
            if argument not in _WITHOUT_EFFECT:
                raise ArgumentError(f"LossScaleOptimizer has no argument {argument!r}.")
            if value != _WITHOUT_EFFECT[argument]:
                raise ArgumentError(
                    f"LossScaleOptimizer cannot have {argument}={value!r}.",
                    fix=f"give {argument} to the inner optimizer."
                    if argument != "dynamic"
                    else "give a loss_scale_factor to the inner optimizer, and leave out this one.",
                )
        super().__init__(0.0, name=name)
        inner = REGISTRY.get(inner_optimizer)
        if not isinstance(inner, Optimizer) or isinstance(inner, LossScaleOptimizer):
            raise ArgumentError(
                "LossScaleOptimizer needs an optimizer to scale the loss for.", got=repr(inner_optimizer)
            )
        if not initial_scale > 0 or dynamic_growth_steps < 1:
            raise ArgumentError(
                "initial_scale and dynamic_growth_steps of LossScaleOptimizer must be positive, "
                f"got {initial_scale} and {dynamic_growth_steps}."
            )
        self.inner_optimizer = inner
        self.initial_scale = initial_scale
        self.dynamic_growth_steps = dynamic_growth_steps
        inner.loss_scale_factor = None  # the gradients it gets are scaled down already

    def build(self, variables: Iterable[Variable]) -> None:
        if self.built:
            return
        variables = list(variables)
        self.step_counter = self.add_variable((), "zeros", "int", name="step_counter")
        self.dynamic_scale = self.add_variable(
            (), Constant(self.initial_scale), "float32", name="dynamic_scale"
        )
        self.inner_optimizer.build(variables)
        super().build(variables)

    @property
    def variables(self) -> list[Variable]:
        return [*self._variables, *self.inner_optimizer.variables]

    @property
    def learning_rate(self) -> Any:
        return self.inner_optimizer.learning_rate

    @learning_rate.setter
    def learning_rate(self, learning_rate: Any) -> None:
        self.inner_optimizer.learning_rate = learning_rate

    @property
    def iterations(self) -> Any:
        return self.inner_optimizer.iterations

    def scale_loss(self, loss: Any) -> Any:
        """The loss times the scale of now."""
        scale = self.dynamic_scale if self.built else self.initial_scale
        return ops.cast(loss, dtypes.result_type(loss.dtype, "float32")) * scale

    def apply(self, grads: Iterable[Any], trainable_variables: Iterable[Variable] | None = None) -> None:
        gradients = list(grads)
        if not gradients:
            return
        if not self.built and trainable_variables is not None:
            trainable_variables = list(trainable_variables)
            self.build(trainable_variables)
        variables = self._variables_to_update(gradients, trainable_variables)
        finite = self.check_finite(gradients)
        scale = self.dynamic_scale.value
        guard(ops.where(ops.logical_or(finite, scale > 1), 0.0, float("nan")))

        states = [*variables, *self.inner_optimizer.variables]
        before = [state.value for state in states]
        self.inner_optimizer.apply(
            [
                gradient
                if gradient is None or variable.overwrite_with_gradient
                else ops.cast(gradient, variable.dtype) / ops.cast(scale, variable.dtype)
                for gradient, variable in zip(gradients, variables)
            ],
            variables,
        )
        for state, old in zip(states, before):
            state.assign(ops.where(finite, state, old))

        full = ops.equal(self.step_counter + 1, self.dynamic_growth_steps)
        self.dynamic_scale.assign(
            ops.where(finite, ops.where(full, scale * 2.0, scale), ops.maximum(scale * 0.5, 1.0))
        )
        kept = ops.logical_and(finite, ops.logical_not(full))
        self.step_counter.assign(ops.where(kept, self.step_counter + 1, 0))

    def check_finite(self, grads: Iterable[Any]) -> Any:
        """Whether every number of these gradients is finite."""
        return ops.all(
            ops.stack([ops.all(ops.isfinite(gradient)) for gradient in grads if gradient is not None])
        )

    def finalize_variable_values(self, var_list: Iterable[Variable]) -> None:
        self.inner_optimizer.finalize_variable_values(var_list)

    def update_rule(self) -> tuple[Any, ...]:
        return (self, *self.inner_optimizer.update_rule())

    def averaged(self) -> list[tuple[Variable, Variable]]:
        return self.inner_optimizer.averaged()

    def get_config(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "inner_optimizer": serialize_object(self.inner_optimizer),
            "initial_scale": self.initial_scale,
            "dynamic_growth_steps": self.dynamic_growth_steps,
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any], custom_objects: Mapping[str, Any] | None = None) -> Any:
        config = dict(config)
        return cls(deserialize_object(config.pop("inner_optimizer"), custom_objects), **config)

    def __repr__(self) -> str:
        return f"<LossScaleOptimizer of {self.inner_optimizer!r}>"


REGISTRY.register(LossScaleOptimizer)
