"""MultiOptimizer: different optimizers for different variables of one model."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from typing import Any

from lamina.core.errors import ArgumentError
from lamina.core.serialization import deserialize_object, serialize_object
from lamina.optimizers.base import REGISTRY, Optimizer
from lamina.optimizers.loss_scale_optimizer import LossScaleOptimizer
from lamina.variables import Variable


class OptimizerMap(MutableMapping[str, Optimizer]):
    """Paths of variables, or regular expressions that match whole paths, to optimizers.

    default_optimizer: of all variables that nothing else is said of. optimizer_map: a dict to begin with.
    Raises ArgumentError where two expressions match one path.

    >>> chosen = OptimizerMap(SGD(0.1), {"encoder/.*": Adam(1e-4)})
    >>> chosen["encoder/dense/kernel"].name
    'adam'
    """

    def __init__(
        self, default_optimizer: Optimizer, optimizer_map: Mapping[str, Optimizer] | None = None
    ) -> None:
        if not isinstance(default_optimizer, Optimizer):
            raise ArgumentError(
                "The default optimizer of an OptimizerMap must be an Optimizer object.",
                got=repr(default_optimizer),
            )
        if optimizer_map is not None and not isinstance(optimizer_map, Mapping):
            raise ArgumentError("optimizer_map must be a dict.", got=repr(optimizer_map))
        self._default_optimizer = default_optimizer
        self._optimizer_map: dict[str, Optimizer] = {}
        for key, optimizer in (optimizer_map or {}).items():
            self[key] = optimizer

    @property
    def default_optimizer(self) -> Optimizer:
        return self._default_optimizer

    def __getitem__(self, key: str) -> Optimizer:
        if key in self._optimizer_map:
            return self._optimizer_map[key]
        matching = [pattern for pattern in self._optimizer_map if re.fullmatch(pattern, key)]
        if len(matching) > 1:
            raise ArgumentError(
                f"Several entries of the OptimizerMap match '{key}': {', '.join(matching)}.",
                fix="make the expressions exclude each other, or add the whole path itself.",
            )
        return self._optimizer_map[matching[0]] if matching else self._default_optimizer

    def __setitem__(self, key: str, optimizer: Optimizer) -> None:
        if not isinstance(key, str):
            raise ArgumentError(f"The keys of an OptimizerMap are strings, got {key!r}.")
        if key in self._optimizer_map:
            raise ArgumentError(f"The OptimizerMap has an entry '{key}' already.", fix="delete it first.")
        _check_inner(optimizer, key)
        self._optimizer_map[key] = optimizer

    def __delitem__(self, key: str) -> None:
        del self._optimizer_map[key]

    def __len__(self) -> int:
        return len(self._optimizer_map)

    def __iter__(self) -> Iterator[str]:
        return iter(self._optimizer_map)

    def __call__(self, variable: Variable) -> Optimizer:
        """The optimizer of a variable."""
        return self[variable.path]

    def get_config(self) -> dict[str, Any]:
        return {
            "default_optimizer": serialize_object(self._default_optimizer),
            "optimizer_map": serialize_object(self._optimizer_map),
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any], custom_objects: Mapping[str, Any] | None = None) -> Any:
        return cls(
            deserialize_object(config["default_optimizer"], custom_objects),
            deserialize_object(config["optimizer_map"], custom_objects),
        )


class MultiOptimizer(Optimizer):
    """Hands each variable to its own optimizer; all of them update in one step.

    optimizer_map: an OptimizerMap, or a function from a variable to an Optimizer. loss_scale_factor: of all.
    name: of the optimizer. There is no `learning_rate` here: each of `optimizers` has its own.

    >>> by_rank = {1: SGD(0.1), 2: Adam(1e-3)}
    >>> model.compile(MultiOptimizer(lambda variable: by_rank[variable.ndim]), "mse")
    """

    def __init__(
        self,
        optimizer_map: OptimizerMap | Callable[[Variable], Optimizer],
        loss_scale_factor: float | None = None,
        name: str | None = None,
    ) -> None:
        if not callable(optimizer_map):
            raise ArgumentError(
                "optimizer_map must be an OptimizerMap, or a function from a variable to an optimizer.",
                got=repr(optimizer_map),
            )
        super().__init__(0.0, loss_scale_factor=loss_scale_factor, name=name)
        self._optimizer_map = optimizer_map
        self._inner: list[Optimizer] = []
        if isinstance(optimizer_map, OptimizerMap):
            for optimizer in (*optimizer_map.values(), optimizer_map.default_optimizer):
                self._include(optimizer)

    def _include(self, optimizer: Optimizer) -> None:
        if not any(known is optimizer for known in self._inner):
            optimizer.loss_scale_factor = self.loss_scale_factor
            self._inner.append(optimizer)

    def build(self, variables: Iterable[Variable]) -> None:
        if self.built:
            return
        variables = list(variables)
        self._owners: dict[Variable, Optimizer] = {}
        for variable in variables:
            owner = self._optimizer_map(variable)
            _check_inner(owner, variable.path)
            self._include(owner)
            self._owners[variable] = owner
        for optimizer in self._inner:
            owned = self._owned(optimizer, variables)
            if owned:
                optimizer.build(owned)
        super().build(variables)

    def _owned(self, optimizer: Optimizer, variables: Iterable[Variable]) -> list[Variable]:
        return [variable for variable in variables if self._owners[variable] is optimizer]

    @property
    def optimizers(self) -> list[Optimizer]:
        """The optimizers of the variables."""
        return list(self._inner)

    @property
    def variables(self) -> list[Variable]:
        return [
            *self._variables,
            *(variable for optimizer in self._inner for variable in optimizer.variables),
        ]

    @property
    def iterations(self) -> Any:
        return self._iterations

    @property
    def learning_rate(self) -> Any:
        raise AttributeError("A MultiOptimizer has no learning rate of its own: see those of its optimizers.")

    @learning_rate.setter
    def learning_rate(self, learning_rate: Any) -> None:
        raise AttributeError("A MultiOptimizer has no learning rate of its own: set those of its optimizers.")

    def apply(self, grads: Iterable[Any], trainable_variables: Iterable[Variable] | None = None) -> None:
        gradients = list(grads)
        if not gradients:
            return
        if not self.built and trainable_variables is not None:
            trainable_variables = list(trainable_variables)
            self.build(trainable_variables)
        variables = self._variables_to_update(gradients, trainable_variables)
        for optimizer in self._inner:
            owned = [
                (gradient, variable)
                for gradient, variable in zip(gradients, variables)
                if self._owners[variable] is optimizer
            ]
            if owned:
                optimizer.apply([gradient for gradient, _ in owned], [variable for _, variable in owned])
        self._iterations.assign_add(1)

    def finalize_variable_values(self, var_list: Iterable[Variable]) -> None:
        variables = list(var_list)
        for optimizer in self._inner:
            owned = self._owned(optimizer, variables)
            if owned:
                optimizer.finalize_variable_values(owned)

    def update_rule(self) -> tuple[Any, ...]:
        return (self, *(part for optimizer in self._inner for part in optimizer.update_rule()))

    def averaged(self) -> list[tuple[Variable, Variable]]:
        averaging = [optimizer for optimizer in self._inner if optimizer.use_ema and optimizer.built]
        if not averaging:
            return super().averaged()
        return [pair for optimizer in averaging for pair in optimizer.averaged()]

    def get_config(self) -> dict[str, Any]:
        return {
            "optimizer_map": serialize_object(self._optimizer_map),
            "loss_scale_factor": self.loss_scale_factor,
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any], custom_objects: Mapping[str, Any] | None = None) -> Any:
        config = dict(config)
        config["optimizer_map"] = deserialize_object(config["optimizer_map"], custom_objects)
        return cls(**config)

    def __repr__(self) -> str:
        return f"<MultiOptimizer of {', '.join(map(repr, self._inner))}>"


def _check_inner(optimizer: Any, key: str) -> None:
    if not isinstance(optimizer, Optimizer):
        raise ArgumentError(f"The optimizer for '{key}' is no Optimizer object.", got=repr(optimizer))
    if isinstance(optimizer, (LossScaleOptimizer, MultiOptimizer)):
        raise ArgumentError(
            f"The optimizer for '{key}' cannot be a {type(optimizer).__name__}.",
            fix="wrap the MultiOptimizer itself."
            if isinstance(optimizer, LossScaleOptimizer)
            else "put its entries into this one.",
        )


REGISTRY.register(OptimizerMap)
REGISTRY.register(MultiOptimizer)
