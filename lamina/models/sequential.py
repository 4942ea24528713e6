"""Sequential: a stack of layers, each fed with what the one before it gives."""

from __future__ import annotations

from typing import Any

import numpy as np

from lamina.core import tree
from lamina.core.errors import ArgumentError, ShapeError
from lamina.core.naming import current_path
from lamina.core.serialization import custom_object_scope, deserialize_object, serialize_object
from lamina.ir.symbolic import KerasTensor
from lamina.layers import shapes
from lamina.layers.call_arguments import CallArguments, convert
from lamina.layers.input_layer import InputLayer
from lamina.layers.layer import Layer
from lamina.models.functional import Functional
from lamina.models.model import Model
from lamina.models.registry import REGISTRY


@REGISTRY.register
class Sequential(Model):
    """A stack of layers with one input and one output each.

    With an Input as first entry the model is built as layers are added; without one, at the first call or by
    `build(input_shape)`. Raises ArgumentError for entries that are no layers, or share a name.

    >>> model = Sequential([layers.Input((784,)), layers.Dense(64, activation="relu"), layers.Dense(10)])
    >>> model(np.zeros((2, 784))).shape
    (2, 10)
    """

    _functional: Functional | None
    _stages: list[Any]
    _convert_input_args = False
    _allow_non_tensor_positional_args = True

    def __init__(self, layers: Any = None, trainable: bool = True, name: str | None = None) -> None:
        super().__init__(trainable=trainable, name=name)
        self._set_graph([])
        if layers is not None:
            for layer in layers if isinstance(layers, (list, tuple)) else [layers]:
                self.add(layer, rebuild=False)
            self._connect()

    # --- the stack ---------------------------------------------------------------------------------

    def add(self, layer: Any, rebuild: bool = True) -> None:
        """Put a layer (or an Input) on top. With rebuild=False the weights are made later."""
        self._forget_programs()
        layer = self._as_layer(layer)
        stack = self._layers
        if not stack and (shape := getattr(layer, "_input_shape_arg", None)) is not None:
            stack.append(InputLayer(shape=shape))
        for other in stack:
            if other.name == layer.name and other is not layer:
                raise ArgumentError(
                    f"Model '{self.name}' already has a layer named '{layer.name}'.",
                    fix="give each a name of its own.",
                )
        if isinstance(layer, InputLayer) and stack:
            raise ArgumentError(
                f"Model '{self.name}' takes an Input only as its first entry.",
                got=f"an Input behind '{stack[-1].name}'",
            )
        stack.append(layer)
        self.built = False
        if rebuild:
            self._connect()

    def pop(self, rebuild: bool = True) -> Layer:
        """Take the last layer away, and return it."""
        if not self.layers:
            raise ArgumentError(f"Model '{self.name}' has no layer to take away.")
        self._forget_programs()
        layer: Layer = self._layers.pop()
        self._set_graph(self._stages[: len(self._layers)])
        self.built = False
        if rebuild:
            self._connect()
        return layer

    def _as_layer(self, entry: Any) -> Layer:
        if isinstance(entry, KerasTensor) and entry.history and isinstance(entry.history[0], InputLayer):
            return entry.history[0]
        if isinstance(entry, Layer):
            return entry
        shown = f"{entry!r:.60}"
        raise ArgumentError(
            f"Model '{self.name}' is a stack of layers.",
            got=f"{shown} of type {type(entry).__name__}",
            fix=f"add an object: {entry.__name__}(...)." if isinstance(entry, type) else None,
        )

    @property
    def layers(self) -> list[Layer]:
        """The layers in order, without the Input."""
        stack = list(self._layers)
        return stack[1:] if stack and isinstance(stack[0], InputLayer) else stack

    # --- building ----------------------------------------------------------------------------------

    def build(self, input_shape: Any = None) -> None:
        """Make the weights, for inputs of this shape (with the batch, None where it is not known)."""
        if not self.layers:
            raise ArgumentError(f"Model '{self.name}' has no layers to build.", fix="model.add(layer)")
        if not shapes.is_shape(input_shape):
            return  # nested inputs: the layers are built when they are called
        shape = tuple(input_shape)
        first = self._layers[0]
        if not isinstance(first, InputLayer):
            self._layers.insert(0, InputLayer(batch_shape=shape, dtype=first.input_dtype))
        elif first.batch_shape[1:] != shape[1:]:
            raise ShapeError(
                f"Model '{self.name}' was made for another input shape.",
                expected=str(first.batch_shape),
                got=str(shape),
            )
        self._connect()

    def _build_for(self, arguments: CallArguments) -> None:
        inputs = convert(arguments.first, self.input_dtype, autocast=False, positional=True)
        if not tree.is_branch(inputs):
            self.build((None, *inputs.shape[1:]))

    def _connect(self) -> None:
        """Apply the layers that have not been applied yet, if the input's shape is known."""
        stack = self._layers
        if not stack or (len(stack) == 1 and isinstance(stack[0], InputLayer)):
            return
        if not isinstance(stack[0], InputLayer):
            shape = getattr(stack[0], "input_shape", None) if isinstance(stack[0], Model) else None
            if shape is None or not shapes.is_shape(shape):
                return
            stack.insert(0, InputLayer(batch_shape=shape, dtype=stack[0].inputs[0].dtype))
        stages = list(self._stages) or [stack[0].output]
        with self._name_scope():
            self._path = current_path()
            for layer in stack[len(stages) :]:
                stages.append(layer(stages[-1]))
        self._set_graph(stages, Functional(stages[0], stages[-1], name=self.name))
        self._build_shapes = {"input_shape": stack[0].batch_shape}
        self.built = True

    def _set_graph(self, stages: list[Any], functional: Functional | None = None) -> None:
        """Neither is a part of the model that holds weights, so they are kept from being tracked.

        stages: the KerasTensors before, between and behind the layers, as far as they have been applied.
        """
        self.__dict__.update(_stages=stages, _functional=functional)

    def _lock_state(self) -> None:
        """Layers can still be added."""

    def _prepare_on_host(self, x: Any) -> Any:
        first = self.layers[0] if self.layers else None
        if self._functional is None and x is not None and getattr(first, "_runs_on_host", False):
            self.build((None, *np.shape(x)[1:]))
        return super()._prepare_on_host(x)

    @property
    def _host_stage(self) -> Any:
        return None if self._functional is None else self._functional._host_stage

    # --- calling -----------------------------------------------------------------------------------

    def _check_inputs(self, inputs: Any) -> None:
        """`call` matches the inputs with the graph."""

    def call(self, inputs: Any, training: Any = None, mask: Any = None) -> Any:
        if self._functional is not None:
            return self._functional.call(inputs, training=training, mask=mask)
        for layer in self.layers:
            inputs = layer(inputs)
        return inputs

    def _masked(self, inputs: Any, outputs: Any, previous_mask: Any) -> Any:
        """The layers inside have seen to the masks."""
        return outputs

    def compute_output_spec(self, inputs: Any, training: Any = None, mask: Any = None) -> Any:
        if self._functional is not None:
            return self._functional.compute_output_spec(inputs)
        for layer in self.layers:
            inputs = layer.compute_output_spec(inputs)
        return inputs

    def compute_output_shape(self, input_shape: Any) -> Any:
        if self._functional is not None:
            return self._functional.compute_output_shape(input_shape)
        for layer in self.layers:
            input_shape = layer.compute_output_shape(input_shape)
        return input_shape

    # --- what the graph knows ----------------------------------------------------------------------

    def _from_graph(self, attribute: str) -> Any:
        if self._functional is None:
            raise AttributeError(
                f"Model '{self.name}' has no {attribute} yet: the shape of its input is not known. "
                "Make Input(shape=...) its first entry, or call it on data."
            )
        return getattr(self._functional, attribute)

    @property
    def input_shape(self) -> Any:
        return self._from_graph("input_shape")

    @property
    def output_shape(self) -> Any:
        return self._from_graph("output_shape")

    @property
    def inputs(self) -> list[KerasTensor]:
        return self._from_graph("inputs")

    @property
    def outputs(self) -> list[KerasTensor]:
        return self._from_graph("outputs")

    @property
    def input(self) -> Any:
        return self._from_graph("input")

    @property
    def output(self) -> Any:
        return self._from_graph("output")

    @property
    def output_names(self) -> list[str]:
        return self._from_graph("output_names")

    @property
    def input_dtype(self) -> str:
        stack = self._layers
        return stack[0].dtype if stack and isinstance(stack[0], InputLayer) else self.compute_dtype

    # --- configs and copies ------------------------------------------------------------------------

    def get_config(self) -> dict[str, Any]:
        config = {**Model.get_config(self), "name": self.name}
        config["layers"] = [serialize_object(layer) for layer in self._layers]
        if self._functional is not None:
            config["build_input_shape"] = self._layers[0].batch_shape
        return config

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Any:
        if "layers" not in config:
            raise ArgumentError(
                "This is not the config of a Sequential model.",
                expected="the keys name, layers",
                got=str(list(config)),
            )
        shape = config.get("build_input_shape")
        model = cls(name=config.get("name"))
        with custom_object_scope(custom_objects):
            for entry in config["layers"]:
                if shape is not None:
                    # Adding builds the layers; their own build_config would only do it twice.
                    entry = {key: value for key, value in entry.items() if key != "build_config"}
                model.add(deserialize_object(entry), rebuild=False)
        model._connect()
        if shape is not None and not model.built:
            model.build(tuple(shape))
        model._trainable = config.get("trainable", True)  # the layers have their own flags
        return model

    def __getstate__(self) -> dict[str, Any]:
        # Without stages, a layer that is added makes the graph anew.
        return {**super().__getstate__(), "_stages": []}
