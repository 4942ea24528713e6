"""Layer graphs as configs in Keras' form, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lamina.core.errors import ArgumentError
from lamina.core.serialization import custom_object_scope, deserialize_object, serialize_object
from lamina.ir.symbolic import KerasTensor
from lamina.layers.node import Node
from lamina.layers.op_layer import OpLayer, from_keras
from lamina.models.graph import LayerGraph

_TENSOR = "__keras_tensor__"
_TUPLE = "__tuple__"


class _MissingTensorError(Exception):
    """A call refers to one that has not been made yet."""


# --- to a config -----------------------------------------------------------------------------------


def to_config(graph: LayerGraph) -> dict[str, Any]:
    """{"layers": ..., "input_layers": ..., "output_layers": ...}: each layer with its calls in this graph."""
    inside = set(graph.nodes)
    # A layer may have been called elsewhere, too; the config counts only the calls in this graph.
    numbers = {
        node: position
        for operation in graph.operations
        for position, node in enumerate(node for node in operation._inbound_nodes if node in inside)
    }

    def place(tensor: KerasTensor) -> list[Any]:
        operation, node_index, tensor_index = tensor.history  # type: ignore[misc]
        return [operation.name, numbers[operation._inbound_nodes[node_index]], tensor_index]

    def outer_place(tensor: KerasTensor) -> list[Any]:
        name, number, index = place(tensor)
        # Keras counts a call of their own for functional models, but only here.
        return [name, number + _starts_at(tensor.history[0]), index]  # type: ignore[index]

    layers = []
    for operation in graph.operations:
        calls = [node for node in operation._inbound_nodes if node in inside and not node.is_input]
        layers.append(
            {
                **serialize_object(operation),
                "name": operation.name,
                "inbound_nodes": [
                    {
                        "args": [_encode(value, place) for value in node.arguments],
                        "kwargs": _encode(node.keywords, place),
                    }
                    for node in calls
                ],
            }
        )
    return {
        "layers": layers,
        "input_layers": _map_leaves(outer_place, graph.inputs),
        "output_layers": _map_leaves(outer_place, graph.outputs),
    }


def _starts_at(operation: Any) -> int:
    from lamina.models.functional import Functional

    return 1 if isinstance(operation, Functional) else 0


def _encode(value: Any, place: Any) -> Any:
    if isinstance(value, KerasTensor):
        history = {"shape": list(value.shape), "dtype": value.dtype, "keras_history": place(value)}
        return {"class_name": _TENSOR, "config": history}
    if isinstance(value, tuple):
        return {"class_name": _TUPLE, "config": {"value": [_encode(entry, place) for entry in value]}}
    if isinstance(value, list):
        return [_encode(entry, place) for entry in value]
    if isinstance(value, Mapping):
        return {key: _encode(entry, place) for key, entry in value.items()}
    return serialize_object(value)


def _map_leaves(function: Any, structure: Any) -> Any:
    if isinstance(structure, Mapping):
        return {key: _map_leaves(function, entry) for key, entry in structure.items()}
    if isinstance(structure, (list, tuple)):
        return [_map_leaves(function, entry) for entry in structure]
    return function(structure)


# --- from a config ---------------------------------------------------------------------------------


def from_config(cls: type, config: Mapping[str, Any], custom_objects: Any = None) -> Any:
    """A model of class `cls` from what `to_config` made, `name` and `trainable` included.

    Layers are made first, then calls, as soon as what they take exists. ArgumentError when some never can be.
    """
    with custom_object_scope(custom_objects):
        operations = {entry["name"]: _operation(entry) for entry in config["layers"]}
        pending = [
            (operations[entry["name"]], calls)
            for entry in config["layers"]
            if (calls := list(entry["inbound_nodes"]))
        ]
        while pending:
            before = sum(len(calls) for _, calls in pending)
            for operation, calls in pending:
                _make_calls(operation, calls, operations)
            pending = [(operation, calls) for operation, calls in pending if calls]
            if sum(len(calls) for _, calls in pending) == before:
                raise ArgumentError(
                    "The config does not describe a model: some calls take tensors that never come to be.",
                    got=f"the layers {', '.join(operation.name for operation, _ in pending)}",
                )

    def tensor(entry: list[Any]) -> KerasTensor:
        name, number, index = entry
        return _tensor_at(operations, name, number - _starts_at(operations[name]), index)

    rest = {
        key: value for key, value in config.items() if key not in ("layers", "input_layers", "output_layers")
    }
    return cls(
        inputs=_map_places(tensor, config["input_layers"]),
        outputs=_map_places(tensor, config["output_layers"]),
        **rest,
    )


def _operation(entry: Mapping[str, Any]) -> Any:
    if str(entry.get("module", "")).startswith("keras.src.ops"):
        return from_keras(entry["class_name"], entry["config"])
    # Calls build the layers; a build_config would only do it twice.
    return deserialize_object({key: value for key, value in entry.items() if key != "build_config"})


def _make_calls(operation: Any, calls: list[Any], operations: dict[str, Any]) -> None:
    """Make the calls at the front of the list whose tensors exist, and take them off."""
    while calls:
        try:
            args = [_decode(value, operations) for value in calls[0]["args"]]
            kwargs = {key: _decode(value, operations) for key, value in calls[0]["kwargs"].items()}
        except _MissingTensorError:
            return
        if isinstance(operation, OpLayer) and operation.operation == "getitem" and isinstance(args[1], list):
            args[1] = tuple(args[1])  # Keras writes tuples as lists
        operation(*args, **kwargs)
        del calls[0]


def _decode(value: Any, operations: dict[str, Any]) -> Any:
    if isinstance(value, Mapping) and value.get("class_name") == _TENSOR:
        return _tensor_at(operations, *value["config"]["keras_history"])
    if isinstance(value, Mapping) and value.get("class_name") == _TUPLE:
        return tuple(_decode(entry, operations) for entry in value["config"]["value"])
    if isinstance(value, list):
        return [_decode(entry, operations) for entry in value]
    if isinstance(value, Mapping) and "class_name" not in value:
        return {key: _decode(entry, operations) for key, entry in value.items()}
    return deserialize_object(value)


def _tensor_at(operations: dict[str, Any], name: str, number: int, index: int) -> KerasTensor:
    if name not in operations:
        raise ArgumentError(f"The config of a model refers to the layer '{name}', which it does not have.")
    nodes: list[Node] = operations[name]._inbound_nodes
    if number >= len(nodes):
        raise _MissingTensorError
    return nodes[number].outputs[index]


def _map_places(function: Any, structure: Any) -> Any:
    if isinstance(structure, list) and len(structure) == 3 and isinstance(structure[0], str):
        return function(structure)
    if isinstance(structure, Mapping):
        return {key: _map_places(function, entry) for key, entry in structure.items()}
    return [_map_places(function, entry) for entry in structure]
