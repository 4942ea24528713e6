"""clone_model: the same architecture with new weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lamina.core import tree
from lamina.core.errors import ArgumentError
from lamina.core.serialization import deserialize_object, serialize_object
from lamina.ir.symbolic import KerasTensor
from lamina.layers.input_layer import Input, InputLayer
from lamina.models.functional import Functional, takes_graph
from lamina.models.model import Model
from lamina.models.sequential import Sequential


def clone_model(
    model: Model,
    input_tensors: Any = None,
    clone_function: Callable[[Any], Any] | None = None,
    call_function: Callable[..., Any] | None = None,
    recursive: bool = False,
) -> Any:
    """A model of the same layers, made anew: weights start fresh, and the compile settings are kept.

    input_tensors: KerasTensors to build the copy on. clone_function: `function(layer)` gives the copy of a
    layer (not asked for Inputs); by default a layer of the same config. call_function: calls a copied layer,
    `function(layer, *args, **kwargs)`; for functional models only. recursive: clone inner models alike.
    Raises ArgumentError for a subclassed model with any of these; it is copied by its config.

    >>> fresh = clone_model(model)
    """
    copies: dict[int, Any] = {}
    make = clone_function or clone_operation

    def copy_of(operation: Any) -> Any:
        if id(operation) not in copies:
            if recursive and isinstance(operation, Sequential):
                copies[id(operation)] = clone_model(operation, clone_function=make, recursive=True)
            elif recursive and isinstance(operation, Functional):
                copies[id(operation)] = clone_model(
                    operation, clone_function=make, call_function=call_function, recursive=True
                )
            else:
                copies[id(operation)] = make(operation)
        return copies[id(operation)]

    plain = clone_function is None and call_function is None and input_tensors is None
    if isinstance(model, Sequential) and call_function is None:
        clone = _clone_sequential(model, copy_of, input_tensors)
    elif isinstance(model, Functional) and (takes_graph(type(model)) or not plain):
        clone = _clone_functional(model, copy_of, input_tensors, call_function)
    elif plain:
        config = {key: value for key, value in serialize_object(model).items() if key != "build_config"}
        return deserialize_object(config, custom_objects={type(model).__name__: type(model)})
    else:
        kind = "Sequential" if isinstance(model, Sequential) else "subclassed"
        raise ArgumentError(
            f"clone_model() cannot use these arguments with a {kind} model.",
            expected="a functional model for call_function; a functional or Sequential one for the others",
        )
    if getattr(model, "compiled", False):
        clone.compile_from_config(model.get_compile_config())
    return clone


def clone_operation(operation: Any) -> Any:
    """A layer or op of the same config, without weights."""
    copy = getattr(operation, "_clone", None)
    return copy() if copy is not None else type(operation).from_config(operation.get_config())


def _clone_sequential(model: Sequential, copy_of: Callable[[Any], Any], input_tensors: Any) -> Sequential:
    layers: list[Any] = [copy_of(layer) for layer in model.layers]
    first = model._layers[0] if model._layers else None
    if input_tensors is not None:
        (tensor,) = _checked(tree.flatten(input_tensors), 1, model)
        layers.insert(0, tensor if _is_entrance(tensor) else Input(tensor=tensor))
    elif isinstance(first, InputLayer):
        layers.insert(0, clone_operation(first))
    return Sequential(layers, trainable=model.trainable, name=model.name)


def _clone_functional(
    model: Functional,
    copy_of: Callable[[Any], Any],
    input_tensors: Any,
    call_function: Callable[..., Any] | None,
) -> Any:
    graph = model._graph
    if input_tensors is None:
        inputs = tree.map_structure(
            lambda tensor: Input(batch_shape=tensor.shape, dtype=tensor.dtype, name=tensor.name), graph.inputs
        )
    else:
        given = _checked(tree.flatten(input_tensors), len(graph.flat_inputs), model)
        inputs = tree.pack_like(graph.inputs, given)

    def call(operation: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        copy = copy_of(operation)
        return copy(*args, **kwargs) if call_function is None else call_function(copy, *args, **kwargs)

    outputs = graph.run(tree.flatten(inputs), call)
    cls = type(model) if takes_graph(type(model)) else Functional
    return cls(inputs, outputs, name=model.name)


def _checked(tensors: list[Any], number: int, model: Model) -> list[Any]:
    if len(tensors) != number or not all(isinstance(tensor, KerasTensor) for tensor in tensors):
        raise ArgumentError(
            f"clone_model(): input_tensors do not fit model '{model.name}'.",
            expected=f"{number} KerasTensor{'s' * (number > 1)}",
            got=", ".join(type(tensor).__name__ for tensor in tensors),
        )
    return tensors


def _is_entrance(tensor: KerasTensor) -> bool:
    return tensor.history is not None and isinstance(tensor.history[0], InputLayer)
