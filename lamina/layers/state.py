"""The state of a layer: what it tracks, its weights in Keras' order, and their values."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from lamina import constraints, initializers, regularizers
from lamina.core import dtypes
from lamina.core.errors import ArgumentError, ShapeError, StateError
from lamina.core.naming import name_scope
from lamina.layers.input_spec import describe_layer
from lamina.layers.tracking import Tracker
from lamina.variables import Variable


class LayerState:
    """The half of Layer that holds variables, sublayers and metrics. Orders are those of Keras:
    own trainable variables, own non-trainable ones, then sublayer by sublayer.
    """

    name: str
    built: bool
    variable_dtype: str
    _trainable: bool

    # --- tracking ----------------------------------------------------------------------------------

    @property
    def _tracker(self) -> Tracker:
        # Made at the first assignment, which may come before super().__init__().
        tracker = self.__dict__.get("_parts")
        if tracker is None:
            tracker = self.__dict__["_parts"] = Tracker()
        return tracker

    @property
    def _layers(self) -> list[Any]:
        return self._tracker.layers

    @property
    def _metrics(self) -> list[Any]:
        return self._tracker.metrics

    @property
    def _trainable_variables(self) -> list[Any]:
        return self._tracker.trainable_variables

    @property
    def _non_trainable_variables(self) -> list[Any]:
        return self._tracker.non_trainable_variables

    @property
    def _seed_generators(self) -> list[Any]:
        return self._tracker.seed_generators

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _PLAIN_ATTRIBUTES or isinstance(value, _UNTRACKED_TYPES):
            object.__setattr__(self, name, value)
            return
        object.__setattr__(self, name, self._tracker.track(value))

    def __delattr__(self, name: str) -> None:
        value = self.__dict__.get(name)
        object.__delattr__(self, name)
        if isinstance(value, Variable):
            self._tracker.untrack(value)

    def _lock_state(self) -> None:
        """From here on no variables or sublayers can be added."""
        self._tracker.locked = True

    def _flatten_layers(self, include_self: bool = True, recursive: bool = True) -> Iterator[Any]:
        """This layer and those inside it, depth first, each once."""
        seen: set[int] = set()
        pending: list[Any] = [self] if include_self else list(reversed(self._layers))
        while pending:
            layer = pending.pop()
            if id(layer) in seen:
                continue
            seen.add(id(layer))
            yield layer
            if recursive or layer is self:
                pending.extend(reversed(layer._layers))

    # --- making weights ----------------------------------------------------------------------------

    def add_weight(
        self,
        shape: Any = None,
        initializer: Any = None,
        dtype: Any = None,
        trainable: bool = True,
        autocast: bool = True,
        regularizer: Any = None,
        constraint: Any = None,
        aggregation: str | None = "none",
        overwrite_with_gradient: bool = False,
        name: str | None = None,
    ) -> Variable:
        """A new variable that belongs to this layer.

        shape: () by default. initializer: an object or name; by default "glorot_uniform" for floats and
        "zeros" for the rest. dtype: the layer's own by default. regularizer, constraint: objects or names.
        Raises ArgumentError or ShapeError for arguments that do not make a variable.

        >>> self.kernel = self.add_weight(shape=(input_shape[-1], self.units), name="kernel")
        """
        self._check_initialized()
        if isinstance(shape, str):
            raise ArgumentError(
                f"add_weight() got the string {shape!r} as its shape.",
                fix=f"add_weight(shape=..., name={shape!r})",
            )
        dtype = self.variable_dtype if dtype is None else dtypes.standardize(dtype)
        if initializer is None:
            initializer = "glorot_uniform" if dtypes.is_float(dtype) else "zeros"
        shape = () if shape is None else shape
        if not isinstance(shape, int) and any(extent is None for extent in shape):
            raise ShapeError(
                f"{describe_layer(self)} cannot make its weight '{name}': an extent is not known.",
                expected="whole numbers only",
                got=str(tuple(shape)),
                fix="give the Input that axis as a number instead of None.",
            )
        with self._name_scope():
            variable = Variable(
                initializers.get(initializer),
                shape=shape,
                dtype=dtype,
                trainable=trainable,
                autocast=autocast,
                aggregation=aggregation,
                name=name,
            )
        variable.regularizer = regularizers.get(regularizer)
        variable.constraint = constraints.get(constraint)
        variable.overwrite_with_gradient = overwrite_with_gradient
        self._track_variable(variable)
        return variable

    add_variable = add_weight

    def _track_variable(self, variable: Variable) -> None:
        self._tracker.track(variable)
        if not self.trainable:
            variable.trainable = False

    # --- lists of state ----------------------------------------------------------------------------

    @property
    def trainable(self) -> bool:
        """Whether training changes this layer. Setting it sets it for all sublayers, too."""
        return self._trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        self._trainable = bool(value)
        for variable in self._trainable_variables:
            variable.trainable = self._trainable
        for layer in self._layers:
            layer.trainable = self._trainable

    @property
    def weights(self) -> list[Variable]:
        """All weights, trainable or not; without random seeds and metrics."""
        return _distinct(self._own_weights(), *(layer.weights for layer in self._layers))

    @property
    def trainable_weights(self) -> list[Variable]:
        return [variable for variable in self.weights if variable.trainable] if self.trainable else []

    @property
    def non_trainable_weights(self) -> list[Variable]:
        return [variable for variable in self.weights if not (self.trainable and variable.trainable)]

    @property
    def variables(self) -> list[Variable]:
        """All state: the weights and the states of random generators, without metrics."""
        seeds = [generator.state for generator in self._seed_generators]
        return _distinct(self._own_weights(), seeds, *(layer.variables for layer in self._layers))

    @property
    def trainable_variables(self) -> list[Variable]:
        return [variable for variable in self.variables if variable.trainable] if self.trainable else []

    @property
    def non_trainable_variables(self) -> list[Variable]:
        return [variable for variable in self.variables if not (self.trainable and variable.trainable)]

    @property
    def metrics(self) -> list[Any]:
        """The metrics of this layer and its sublayers."""
        return [*self._metrics, *(metric for layer in self._layers for metric in layer.metrics)]

    @property
    def metrics_variables(self) -> list[Variable]:
        return [variable for metric in self.metrics for variable in metric.variables]

    def _own_weights(self) -> list[Variable]:
        return [*self._trainable_variables, *self._non_trainable_variables]

    # --- values ------------------------------------------------------------------------------------

    def get_weights(self) -> list[np.ndarray[Any, Any]]:
        """Copies of the values of `weights`, in order."""
        return [variable.numpy() for variable in self.weights]

    def set_weights(self, weights: Sequence[Any]) -> None:
        """Give `weights` new values, one array each. ShapeError, and no change, if they do not fit."""
        variables = self.weights
        arrays = [np.asarray(array) for array in weights]
        if len(arrays) != len(variables):
            raise ShapeError(
                f"set_weights() of {describe_layer(self)} got the wrong number of arrays.",
                expected=f"{len(variables)}" + (f" ({_names(variables)})" if variables else ""),
                got=str(len(arrays)),
                fix=None
                if self.built
                else "the layer is not built: call it on data first, then set its weights.",
            )
        for variable, array in zip(variables, arrays):
            if tuple(array.shape) != variable.shape:
                raise ShapeError(
                    f"set_weights() of {describe_layer(self)} got a wrong shape for '{variable.path}'.",
                    expected=f"shapes {', '.join(str(each.shape) for each in variables)}",
                    got=f"shapes {', '.join(str(each.shape) for each in arrays)}",
                )
        for variable, array in zip(variables, arrays):
            variable.assign(array)

    def count_params(self) -> int:
        """The number of elements of all weights."""
        if not self.built:
            raise StateError(
                f"{describe_layer(self)} has no weights to count yet: it is not built.",
                fix="call it on data, or call build(input_shape).",
            )
        return sum(variable.size for variable in self.weights)

    def save_own_variables(self, store: Any) -> None:
        """Put the values of the layer's own variables, without sublayers, into `store`, as "0", "1", ..."""
        for position, variable in enumerate(self._own_weights()):
            store[str(position)] = variable.numpy()

    def load_own_variables(self, store: Any) -> None:
        """The inverse of `save_own_variables`. ShapeError when the store does not fit."""
        own = self._own_weights()
        if len(store) != len(own):
            raise ShapeError(
                f"{describe_layer(self)} cannot load its variables.",
                expected=f"{len(own)}" + (f" ({_names(own)})" if own else ""),
                got=f"{len(store)}",
                fix=None
                if self.built
                else "the layer is not built; build() must create everything, also in sublayers.",
            )
        for position, variable in enumerate(own):
            variable.assign(store[str(position)])

    def _check_initialized(self) -> None:
        raise NotImplementedError

    def _name_scope(self) -> name_scope:
        raise NotImplementedError


# Attributes that are set often and are never state.
_PLAIN_ATTRIBUTES = frozenset(
    {"built", "_called", "_build_shapes", "_path", "_parent_path", "_inbound_nodes"}
)
_UNTRACKED_TYPES = (bool, int, float, str, type(None))


def _distinct(*groups: Iterable[Variable]) -> list[Variable]:
    return list({id(variable): variable for group in groups for variable in group}.values())


def _names(variables: Iterable[Variable]) -> str:
    return ", ".join(variable.path for variable in variables)
