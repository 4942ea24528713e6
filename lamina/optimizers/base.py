"""What an optimizer is: state beside the weights, and one rule that turns a gradient into an update."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from lamina import ops
from lamina.core import dtypes
from lamina.core.errors import ArgumentError, StateError
from lamina.core.naming import auto_name, name_scope
from lamina.core.serialization import Registry, deserialize_object, serialize_object
from lamina.ir.trace import Tensor
from lamina.optimizers.gradients import clip_by_global_norm, clip_by_norm, matched
from lamina.optimizers.options import CommonOptions, Options, check_options
from lamina.optimizers.rates import checked_rate
from lamina.optimizers.schedules import LearningRateSchedule
from lamina.optimizers.state import OptimizerState
from lamina.variables import Variable, substituted

REGISTRY = Registry("optimizer")


class Optimizer(OptimizerState):
    """Base class of optimizers. A subclass makes its slots in `build` and writes its rule in `update_step`.

    learning_rate: a number, a LearningRateSchedule, or a callable without arguments.
    weight_decay: before each update, weights shrink by `weight_decay * learning_rate` of themselves.
    clipnorm: the largest norm of the gradient of one variable. global_clipnorm: the largest norm of all
      gradients together. clipvalue: the largest absolute value of an element. At most one of the three.
    use_ema: keep averages of the weights, `ema_momentum * average + (1 - ema_momentum) * weight`; they take
      their place every `ema_overwrite_frequency` updates, or (None) only in `finalize_variable_values`.
    loss_scale_factor: what the loss was multiplied by; gradients are divided by it.
    gradient_accumulation_steps: update at every n-th call only, with the mean gradient of n calls.
    name: of the optimizer, the first part of its variables' paths.

    The same code runs eagerly and inside a trace.

    >>> class GradientDescent(Optimizer):
    ...     def update_step(self, gradient, variable, learning_rate):
    ...         variable.assign(variable - learning_rate * gradient)
    """

    # Whether `apply` itself leaves out a step whose gradients are not finite.
    skips_nonfinite_gradients = False

    def __init__(
        self,
        learning_rate: Any,
        weight_decay: float | None = None,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        use_ema: bool = False,
        ema_momentum: float = 0.99,
        ema_overwrite_frequency: int | None = None,
        loss_scale_factor: float | None = None,
        gradient_accumulation_steps: int | None = None,
        name: str | None = None,
        **unknown: Any,
    ) -> None:
        self._start_tracking()
        kind = type(self).__name__
        check_options(
            kind,
            clipping=(clipnorm, clipvalue, global_clipnorm),
            ema_momentum=ema_momentum if use_ema else 0.0,
            ema_overwrite_frequency=ema_overwrite_frequency if use_ema else None,
            gradient_accumulation_steps=gradient_accumulation_steps,
            unknown=unknown,
        )
        self.name = auto_name(kind) if name is None else name
        self.weight_decay = weight_decay
        self.clipnorm = clipnorm
        self.clipvalue = clipvalue
        self.global_clipnorm = global_clipnorm
        self.use_ema = use_ema
        self.ema_momentum = ema_momentum
        self.ema_overwrite_frequency = ema_overwrite_frequency
        self.loss_scale_factor = loss_scale_factor
        self.gradient_accumulation_steps = gradient_accumulation_steps
        self.built = False
        self._trainable_variables: list[Variable] = []
        self._positions: dict[Variable, int] = {}
        self._averages: list[Any] = []
        self._shared: dict[Any, Any] | None = None
        self._accumulated_gradients: list[Variable] = []
        self._undecayed_variables: set[Variable] = set()
        self._undecayed_names: str | None = None
        with name_scope(self.name, caller=self):
            self._iterations = Variable(0, dtype="int", trainable=False, name="iteration")
            self._learning_rate = self._checked_learning_rate(learning_rate)
            if not callable(self._learning_rate):
                self._learning_rate = Variable(
                    self._learning_rate, dtype="float", trainable=False, name="learning_rate"
                )

    # --- state -------------------------------------------------------------------------------------

    @property
    def iterations(self) -> Any:
        """The number of updates made so far."""
        if self.gradient_accumulation_steps:
            return ops.floor_divide(self._iterations, self.gradient_accumulation_steps)
        return self._iterations

    @property
    def learning_rate(self) -> Any:
        """The learning rate of the next update: the Variable that holds it, or what the schedule says."""
        if isinstance(self._learning_rate, LearningRateSchedule):
            return self._learning_rate(self._iterations)
        return self._learning_rate() if callable(self._learning_rate) else self._learning_rate

    @learning_rate.setter
    def learning_rate(self, learning_rate: Any) -> None:
        learning_rate = self._checked_learning_rate(learning_rate)
        if callable(learning_rate):
            self._variables = [
                variable for variable in self._variables if variable is not self._learning_rate
            ]
            self._learning_rate = learning_rate
        elif isinstance(self._learning_rate, Variable):
            self._learning_rate.assign(learning_rate)
        else:
            raise StateError(
                f"The learning rate of {self.name} follows a schedule; it cannot be set to a number.",
                fix="make the optimizer with a number as learning_rate, or set another schedule.",
            )

    def _checked_learning_rate(self, learning_rate: Any) -> Any:
        """A schedule or callable as it is; a number only if it can be a learning rate."""
        if isinstance(learning_rate, Mapping):
            learning_rate = deserialize_object(learning_rate)
        if callable(learning_rate) or isinstance(learning_rate, Tensor):
            return learning_rate
        if isinstance(learning_rate, (bool, str)) or not hasattr(learning_rate, "__float__"):
            raise ArgumentError(
                f"The learning rate of {type(self).__name__} must be a number, a schedule or a callable.",
                got=repr(learning_rate),
            )
        number = float(learning_rate)
        if not 0 <= number < math.inf:
            raise ArgumentError(
                f"The learning rate of {type(self).__name__} cannot be {number:g}.",
                expected="a number that is not negative, such as 0.001",
            )
        return number

    def build(self, variables: Iterable[Variable]) -> None:
        """Make the slots for these variables. Subclasses call `super().build(variables)` first."""
        variables = list(variables)
        self._trainable_variables = variables
        self._positions = {variable: position for position, variable in enumerate(variables)}
        if self.use_ema:
            self._averages = self.add_optimizer_variables(variables, "average")
        if self.gradient_accumulation_steps:
            self._accumulated_gradients = [
                self.add_variable_from_reference(variable, "gradient_accumulator") for variable in variables
            ]
        self.built = True

    def _get_variable_index(self, variable: Variable) -> int:
        """The position of a weight among those the optimizer was built with."""
        return self._positions[variable]

    # --- updating ----------------------------------------------------------------------------------

    def assign(self, variable: Variable, value: Any) -> None:
        """`variable.assign(value)`, as rules written for Keras spell it."""
        variable.assign(value)

    def assign_add(self, variable: Variable, value: Any) -> None:
        variable.assign_add(value)

    def assign_sub(self, variable: Variable, value: Any) -> None:
        variable.assign_sub(value)

    def update_step(self, gradient: Any, variable: Variable, learning_rate: Any) -> None:
        """Update one variable, and its slots, with its gradient."""
        raise NotImplementedError(
            f"{type(self).__name__} must define update_step(self, gradient, variable, learning_rate)."
        )

    def apply_gradients(self, grads_and_vars: Iterable[tuple[Any, Variable]]) -> Variable:
        """Update each variable with its gradient; returns the count of calls."""
        pairs = list(grads_and_vars)
        self.apply([gradient for gradient, _ in pairs], [variable for _, variable in pairs])
        return self._iterations

    def apply(self, grads: Iterable[Any], trainable_variables: Iterable[Variable] | None = None) -> None:
        """Update the variables (all that the optimizer was built with, if None) with their gradients.

        Builds the optimizer at the first call. A gradient of None leaves its variable alone, with a warning.
        Raises StateError for variables it was not built with, ShapeError for gradients that do not fit.
        """
        gradients = list(grads)
        if not gradients:
            return
        variables = self._variables_to_update(gradients, trainable_variables)
        gradients, variables = matched(gradients, variables)
        gradients, variables = self._without_overwritten(gradients, variables)
        if gradients:
            if self.loss_scale_factor is not None:
                gradients = [gradient / self.loss_scale_factor for gradient in gradients]
            if self.gradient_accumulation_steps:
                self._accumulate_and_update(gradients, variables)
            else:
                self._update(gradients, variables)
            if self.use_ema:
                self._update_averages()
            for variable in variables:
                if variable.constraint is not None:
                    variable.assign(variable.constraint(variable))
        self._iterations.assign_add(1)

    def stateless_apply(
        self, optimizer_variables: Sequence[Any], grads: Iterable[Any], trainable_variables: Sequence[Any]
    ) -> tuple[list[Any], list[Any]]:
        """`apply` as a pure function: from old values to (new weights, new values of `variables`)."""
        if not self.built:
            raise StateError(
                f"{self.name} is not built yet.", fix="call optimizer.build(trainable_variables) first."
            )
        states = [*self._trainable_variables, *self.variables]
        with substituted(states, [*trainable_variables, *optimizer_variables]):
            self.apply(grads)
            values = [state.value for state in states]
        count = len(self._trainable_variables)
        return values[:count], values[count:]

    def scale_loss(self, loss: Any) -> Any:
        """The loss to differentiate: times `loss_scale_factor`."""
        return loss if self.loss_scale_factor is None else loss * self.loss_scale_factor

    def finalize_variable_values(self, var_list: Iterable[Variable]) -> None:
        """The end of training: with `use_ema`, the averages become the weights."""
        if self.use_ema:
            for variable in var_list:
                average = self._averages[self._get_variable_index(variable)]
                if average is not None:
                    variable.assign(average)

    def averaged(self) -> list[tuple[Variable, Variable]]:
        """Each weight with its average; StateError without `use_ema`."""
        if not self.use_ema or not self.built:
            raise StateError(
                f"{self.name} keeps no averages of the weights.",
                fix=f"{type(self).__name__}(..., use_ema=True), and compile again.",
            )
        pairs = zip(self._trainable_variables, self._averages)
        return [(variable, average) for variable, average in pairs if average is not None]

    def _variables_to_update(
        self, gradients: list[Any], trainable_variables: Iterable[Variable] | None
    ) -> list[Variable]:
        if trainable_variables is None and not self.built:
            raise StateError(
                f"{self.name} is not built yet, so it must be told which variables the gradients belong to.",
                fix="call optimizer.apply(gradients, variables), or optimizer.build(variables) first.",
            )
        variables = self._trainable_variables if trainable_variables is None else list(trainable_variables)
        if not self.built:
            with name_scope(self.name, caller=self):
                self.build(variables)
            self.built = True
        if len(gradients) != len(variables):
            raise ArgumentError(f"{len(gradients)} gradients do not fit {len(variables)} variables.")
        for variable in variables:
            if variable not in self._positions:
                raise StateError(
                    f"{self.name} does not know the variable '{variable.path}'.",
                    expected="the variables that the optimizer was built with",
                    fix="make a new optimizer for a new set of variables.",
                )
        return variables

    def _without_overwritten(
        self, gradients: list[Any], variables: list[Variable]
    ) -> tuple[list[Any], list[Variable]]:
        """The pairs left after variables with `overwrite_with_gradient` have taken theirs as their value."""
        if not any(variable.overwrite_with_gradient for variable in variables):
            return gradients, variables
        kept = []
        for gradient, variable in zip(gradients, variables):
            if not variable.overwrite_with_gradient:
                kept.append((gradient, variable))
            elif self.gradient_accumulation_steps:
                accumulated = self._accumulated_gradients[self._get_variable_index(variable)]
                largest = ops.maximum(gradient, accumulated)
                variable.assign(ops.where(self._is_update_step(), largest, variable))
                accumulated.assign(ops.where(self._is_update_step(), ops.zeros_like(largest), largest))
            else:
                variable.assign(gradient)
        return [gradient for gradient, _ in kept], [variable for _, variable in kept]

    def _update(self, gradients: list[Any], variables: list[Variable]) -> None:
        gradients = self._clip_gradients(gradients)
        learning_rate = self._usable_learning_rate()
        self._apply_weight_decay(variables, learning_rate)
        self._shared = {}
        try:
            for gradient, variable in zip(gradients, variables):
                self.update_step(gradient, variable, learning_rate)
        finally:
            self._shared = None

    def _usable_learning_rate(self) -> Any:
        """The learning rate of this update; what a schedule gives is looked at, at every step."""
        rate = self.learning_rate
        if isinstance(self._learning_rate, Variable):
            return rate
        return checked_rate(self._learning_rate, rate)

    def shared(self, key: Any, compute: Callable[[], Any]) -> Any:
        """What all variables of one update have in common, computed at the first of them."""
        if self._shared is None:
            return compute()
        if key not in self._shared:
            self._shared[key] = compute()
        return self._shared[key]

    def update_number(self, dtype: str) -> Any:
        """The number of this update, counted from 1, as a float: of `dtype`, and at least float32.

        In bfloat16, 1 - 0.999**t would be zero.
        """
        return ops.cast(self.iterations + 1, dtypes.result_type(dtype, "float32"))

    def update_rule(self) -> tuple[Any, ...]:
        """What may be replaced after `compile`, and makes a step of training another one."""
        return self, self._learning_rate

    def _accumulate_and_update(self, gradients: list[Any], variables: list[Variable]) -> None:
        """Every n-th call updates with the mean gradient; the others only add to the sums.

        Both ways are computed, and the state of one of them is selected, so that the step is one program.
        """
        sums = [self._accumulated_gradients[self._get_variable_index(variable)] for variable in variables]
        totals = [gradient + total for gradient, total in zip(gradients, sums)]
        apart = (self._iterations, self._learning_rate, *self._accumulated_gradients, *self._averages)
        kept = {id(state) for state in apart}
        states = [*variables, *(state for state in self._variables if id(state) not in kept)]
        before = [state.value for state in states]
        self._update([total / self.gradient_accumulation_steps for total in totals], variables)
        now = self._is_update_step()
        for state, old in zip(states, before):
            state.assign(ops.where(now, state, old))
        for accumulated, total in zip(sums, totals):
            accumulated.assign(ops.where(now, ops.zeros_like(total), total))

    def _is_update_step(self) -> Any:
        return ops.equal(ops.mod(self._iterations + 1, self.gradient_accumulation_steps), 0)

    def _clip_gradients(self, gradients: list[Any]) -> list[Any]:
        if self.clipnorm:
            return [clip_by_norm(gradient, self.clipnorm) for gradient in gradients]
        if self.global_clipnorm:
            return clip_by_global_norm(gradients, self.global_clipnorm)
        if self.clipvalue:
            return [ops.clip(gradient, -self.clipvalue, self.clipvalue) for gradient in gradients]
        return gradients

    # --- weight decay and averages -----------------------------------------------------------------

    def exclude_from_weight_decay(
        self, var_list: Iterable[Variable] | None = None, var_names: Iterable[str] | None = None
    ) -> None:
        """Leave out these variables, and those whose names match one of `var_names` (regular expressions)."""
        self._undecayed_variables = set(var_list or ())
        self._undecayed_names = "|".join(sorted(set(var_names or ()))) or None

    def _use_weight_decay(self, variable: Variable) -> bool:
        if variable in self._undecayed_variables:
            return False
        return self._undecayed_names is None or re.search(self._undecayed_names, variable.name) is None

    def _decay_of(self, variable: Variable) -> float | None:
        """The weight decay of one variable."""
        return self.weight_decay if self._use_weight_decay(variable) else None

    def _apply_weight_decay(self, variables: list[Variable], learning_rate: Any) -> None:
        for variable in variables:
            decay = self._decay_of(variable)
            if decay is not None:
                rate = ops.cast(learning_rate, variable.dtype)
                variable.assign(variable - variable * decay * rate)

    def _update_averages(self) -> None:
        started = ops.not_equal(self.iterations, 0)
        for variable, average in zip(self._trainable_variables, self._averages):
            if average is not None:
                momentum = ops.cast(started, variable.dtype) * self.ema_momentum
                average.assign(momentum * average + (1 - momentum) * variable)
        if self.ema_overwrite_frequency:
            now = ops.equal(ops.mod(self.iterations + 1, self.ema_overwrite_frequency), 0)
            for variable, average in zip(self._trainable_variables, self._averages):
                if average is not None:
                    variable.assign(ops.where(now, average, variable))

    # --- configuration ------------------------------------------------------------------------------------

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments, as JSON can hold them."""
        fixed = isinstance(self._learning_rate, Variable)
        return {
            "name": self.name,
            "learning_rate": float(self._learning_rate.array)
            if fixed
            else serialize_object(self._learning_rate),
            "weight_decay": self.weight_decay,
            "clipnorm": self.clipnorm,
            "global_clipnorm": self.global_clipnorm,
            "clipvalue": self.clipvalue,
            "use_ema": self.use_ema,
            "ema_momentum": self.ema_momentum,
            "ema_overwrite_frequency": self.ema_overwrite_frequency,
            "loss_scale_factor": self.loss_scale_factor,
            "gradient_accumulation_steps": self.gradient_accumulation_steps,
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any], custom_objects: Mapping[str, Any] | None = None) -> Any:
        config = dict(config)
        if isinstance(config.get("learning_rate"), Mapping):
            config["learning_rate"] = deserialize_object(config["learning_rate"], custom_objects)
        return cls(**config)

    def __repr__(self) -> str:
        rate = self._learning_rate
        shown = f"{float(rate.array):g}" if isinstance(rate, Variable) else repr(rate)
        return f"<{type(self).__name__} name={self.name}, learning_rate={shown}>"


__all__ = ["REGISTRY", "CommonOptions", "Optimizer", "Options"]
