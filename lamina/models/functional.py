"""Functional: a model given by its inputs and outputs."""

from __future__ import annotations

import inspect
from typing import Any

from lamina.core import tree
from lamina.layers.host import Prepared
from lamina.layers.input_layer import Input
from lamina.layers.input_spec import InputSpec
from lamina.layers.layer import Layer
from lamina.layers.masks import with_mask
from lamina.layers.node import Node, origin
from lamina.models import graph_config
from lamina.models import inputs as model_inputs
from lamina.models.function import Function
from lamina.models.graph import LayerGraph, connect
from lamina.models.host import HostStage, stage_of
from lamina.models.model import Model
from lamina.models.registry import REGISTRY


@REGISTRY.register
class Functional(Function, Model):
    """What `Model(inputs, outputs)` makes. Layers may be shared, models nested, inputs and outputs nested in
    dicts and lists. Inputs may also be tensors inside another model: that gives a part of it, weights shared.

    An explicit `layer(x, training=...)` in the graph wins over how the model is called.
    Raises ArgumentError when the outputs do not follow from the inputs.
    """

    _convert_input_args = False
    _allow_non_tensor_positional_args = True
    _needs_build = False

    def __init__(self, inputs: Any, outputs: Any, name: str | None = None, **kwargs: Any) -> None:
        trainable = kwargs.pop("trainable", None)
        Model._begin(self, name=name, **kwargs)
        inputs, outputs = _from_inside(connect(inputs, outputs, self.name))
        self._graph = connect(inputs, outputs, self.name)
        for layer in self.layers:
            self._tracker.track(layer)
        self.output_names = [tensor.history[0].name for tensor in self.outputs if tensor.history]
        self._path = self.name
        if trainable is not None and not trainable:
            self.trainable = False  # True changes nothing: layers that are frozen stay so

    __call__ = Layer.__call__

    def build(self, input_shape: Any = None) -> None:
        """Nothing: the layers were built while the graph was made."""

    def get_build_config(self) -> None:
        return None

    def _lock_state(self) -> None:
        """Layers can still be attached to a functional model."""

    @property
    def layers(self) -> list[Layer]:
        """The layers of the graph, the farthest from the outputs first; without recorded ops."""
        return [operation for operation in self._graph.operations if isinstance(operation, Layer)]

    @property
    def input_shape(self) -> Any:
        return _unwrapped([tensor.shape for tensor in self.inputs])

    @property
    def output_shape(self) -> Any:
        return _unwrapped([tensor.shape for tensor in self.outputs])

    @property  # type: ignore[misc]
    def input_spec(self) -> Any:
        """One InputSpec per input."""
        return [
            InputSpec(shape=(None, *tensor.shape[1:]), allow_last_axis_squeeze=True, name=tensor.name)
            for tensor in self.inputs
        ]

    def _check_inputs(self, inputs: Any) -> None:
        """`call` matches the inputs with the graph."""

    @property
    def _host_stage(self) -> HostStage | None:
        """What of the model runs on the host; found anew for each graph."""
        known = self.__dict__.get("_stage")
        if known is None or known[0] is not self._graph:
            known = self.__dict__["_stage"] = (self._graph, stage_of(self._graph))
        stage: HostStage | None = known[1]
        return stage

    def call(self, inputs: Any, training: Any = None, mask: Any = None) -> Any:
        if isinstance(inputs, Prepared):
            stage = self._host_stage
            assert stage is not None
            return _unwrapped(stage.run(inputs, lambda operation, args, kwargs: operation(*args, **kwargs)))
        values = model_inputs.standardize(self, self._graph.inputs, inputs)
        if mask is not None:
            values = [with_mask(value, given) for value, given in zip(values, tree.leaves(mask))]
        outputs = self._graph.run(values, lambda operation, args, kwargs: operation(*args, **kwargs))
        return _unwrapped(outputs)

    def compute_output_spec(self, inputs: Any, training: Any = None, mask: Any = None) -> Any:
        return _unwrapped(
            super().compute_output_spec(model_inputs.standardize(self, self._graph.inputs, inputs))
        )

    def compute_output_shape(self, input_shape: Any) -> Any:
        return super().compute_output_shape(input_shape)

    def _masked(self, inputs: Any, outputs: Any, previous_mask: Any) -> Any:
        """The layers inside have seen to the masks."""
        return outputs

    def get_config(self) -> dict[str, Any]:
        """The graph in Keras' form; a subclass with another constructor describes itself."""
        if not takes_graph(type(self)):
            return dict(Model.get_config(self))
        return {"name": self.name, "trainable": self.trainable, **graph_config.to_config(self._graph)}


def takes_graph(cls: Any) -> bool:
    """Whether instances of this class of models are made from inputs and outputs."""
    if cls is Functional or cls is Model:
        return True
    specification = inspect.getfullargspec(cls.__init__)
    if specification.args[1:] == inspect.getfullargspec(Functional.__init__).args[1:]:
        return True
    return specification.varargs is not None and specification.varkw is not None


def _unwrapped(structure: Any) -> Any:
    """The one entry of a list or tuple of one."""
    return structure[0] if isinstance(structure, (list, tuple)) and len(structure) == 1 else structure


def _from_inside(graph: LayerGraph) -> tuple[Any, Any]:
    """The inputs and outputs of a graph whose inputs may be tensors in the middle of another one.

    Such a part gets inputs of its own, and its layers are recorded anew on them.
    """
    if all(_is_input(tensor) for tensor in graph.flat_inputs):
        return graph.inputs, graph.outputs

    def own_input(tensor: Any) -> Any:
        if _is_input(tensor):
            return tensor
        return Input(batch_shape=tensor.shape, dtype=tensor.dtype, name=f"{_source(tensor)}_input")

    inputs = tree.map_structure(own_input, graph.inputs)
    given = tree.flatten(inputs)
    outputs = graph.run(given, _record)
    return inputs, outputs


def _record(operation: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Note a call without making it: the outputs are as at the first call with these shapes."""
    outputs = operation.compute_output_spec(*args, **kwargs)
    Node(operation, args, kwargs, outputs)
    return outputs


def _is_input(tensor: Any) -> bool:
    node = origin(tensor)
    return node is not None and node.is_input


def _source(tensor: Any) -> str:
    return str(tensor.history[0].name if tensor.history else tensor.name)
