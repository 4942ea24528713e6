"""The state of an optimizer: its variables, how they are made, saved and loaded."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from typing import Any

from lamina import initializers
from lamina.core.errors import ArgumentError, StateError
from lamina.core.naming import name_scope
from lamina.variables import Variable


class OptimizerState:
    """The part of `Optimizer` that holds variables. Variables set as attributes are state, too."""

    name: str
    _variables: list[Variable]

    def _start_tracking(self) -> None:
        vars(self)["_variables"] = []

    def __setattr__(self, name: str, value: Any) -> None:
        if "_variables" not in vars(self):
            raise StateError(
                f"{type(self).__name__}.__init__ sets '{name}' too early.",
                fix="call super().__init__(learning_rate=...) first.",
            )
        if isinstance(value, Variable):
            self._track_variable(value)
        super().__setattr__(name, value)

    @property
    def variables(self) -> list[Variable]:
        """The state: the count of iterations, the learning rate (unless a schedule gives it), the slots."""
        return list(self._variables)

    # --- making it ---------------------------------------------------------------------------------

    def add_variable(
        self,
        shape: Any,
        initializer: Any = "zeros",
        dtype: Any = None,
        aggregation: str | None = "none",
        name: str | None = None,
    ) -> Variable:
        """A new state variable of the optimizer."""
        with name_scope(self.name, caller=self):
            variable = Variable(
                initializers.get(initializer),
                shape,
                dtype,
                trainable=False,
                aggregation=aggregation,
                name=name,
            )
        self._variables.append(variable)
        return variable

    def add_variable_from_reference(
        self, reference_variable: Variable, name: str | None = None, initializer: Any = "zeros"
    ) -> Variable:
        """A slot: a state variable with the shape and dtype of a weight, named after it."""
        return self.add_variable(
            reference_variable.shape,
            initializer,
            reference_variable.dtype,
            name=f"{reference_variable.path.replace('/', '_')}_{name or 'var'}",
        )

    def add_optimizer_variables(
        self, trainable_variables: Iterable[Variable], name: str | Sequence[str], initializer: Any = "zeros"
    ) -> Any:
        """A slot for each variable; for several names, a tuple of lists of slots.

        A variable with `overwrite_with_gradient` needs none: None stands for it.
        """
        names = [name] if isinstance(name, str) else list(name)
        several = isinstance(initializer, (list, tuple))
        starts = list(initializer) if several else [initializer] * len(names)
        if len(starts) != len(names):
            raise ArgumentError(f"{len(names)} names of slots need as many initializers, got {len(starts)}.")
        slots: tuple[list[Variable | None], ...] = tuple([] for _ in names)
        for variable in trainable_variables:
            for column, slot_name, start in zip(slots, names, starts):
                wanted = not variable.overwrite_with_gradient
                column.append(
                    self.add_variable_from_reference(variable, slot_name, start) if wanted else None
                )
        return slots[0] if isinstance(name, str) else slots

    def _track_variable(self, variable: Variable) -> None:
        if not any(known is variable for known in self._variables):
            self._variables.append(variable)

    # --- saving ------------------------------------------------------------------------------------

    def set_weights(self, weights: Sequence[Any]) -> None:
        """Give `variables` these values, in order."""
        if len(weights) != len(self.variables):
            raise ArgumentError(
                f"{self.name} has {len(self.variables)} variables, got {len(weights)} values.",
                fix="build the optimizer first: optimizer.build(model.trainable_variables).",
            )
        for variable, weight in zip(self.variables, weights):
            variable.assign(weight)

    def save_own_variables(self, store: Any) -> None:
        """Put the state into `store`, a dict of arrays, under "0", "1", ..."""
        for position, variable in enumerate(self.variables):
            store[str(position)] = variable.numpy()

    def load_own_variables(self, store: Any) -> None:
        """Take the state from `store`; a different number of variables is left alone, with a warning."""
        if len(store.keys()) != len(self.variables):
            warnings.warn(
                f"The state of optimizer {self.name} was not loaded: "
                f"it has {len(self.variables)} variables, the saved one {len(store.keys())}.",
                stacklevel=2,
            )
            return
        for position, variable in enumerate(self.variables):
            variable.assign(store[str(position)])
