"""The part of a model that runs on the host: from its inputs, strings among them, to the numbers behind.

Layers that work on the host (`lamina.layers.host`), and whatever lies in front of them, are taken out of the
compiled program: they are run once on the data that is given to `fit`, `evaluate` or `predict`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from lamina.core import tree
from lamina.core.errors import DataError
from lamina.ir.symbolic import KerasTensor
from lamina.layers.host import STRING, Prepared, as_text
from lamina.models import inputs as model_inputs
from lamina.models.graph import Apply, LayerGraph


class HostStage:
    """How the graph of a model is divided. `nodes` run on the host; the rest begins with `tensors`."""

    def __init__(self, graph: LayerGraph) -> None:
        self._graph = graph
        wanted: set[int] = set()  # tensors that nodes on the host need
        nodes = []
        for node in reversed(graph.nodes):
            on_host = getattr(node.operation, "_runs_on_host", False)
            if not node.is_input and (on_host or any(id(output) in wanted for output in node.outputs)):
                nodes.append(node)
                wanted.update(id(tensor) for tensor in node.input_tensors)
        self.nodes = tuple(reversed(nodes))
        self.tensors = self._frontier()

    def _frontier(self) -> dict[str, KerasTensor]:
        """By name, the tensors that the host has and the compiled part wants."""
        inside = set(self.nodes)
        used = list(self._graph.flat_outputs)
        for node in self._graph.nodes:
            if node not in inside:
                used += node.input_tensors
        known = {id(tensor): tensor.name for tensor in self._graph.flat_inputs}
        for node in self.nodes:
            for place, tensor in enumerate(node.outputs):
                known[id(tensor)] = node.operation.name + (f"_{place}" if place else "")
        found: dict[str, KerasTensor] = {}
        for tensor in used:
            if id(tensor) in known and not any(tensor is other for other in found.values()):
                name = known[id(tensor)]
                while name in found:  # a layer that is called several times
                    name += "_"
                found[name] = tensor
        return found

    def prepare(self, model: Any, data: Any) -> Prepared:
        """Run the host's part on whole data. DataError when the rows of the inputs differ in number."""
        graph = self._graph
        given = model_inputs.in_order(model, graph.inputs, graph.flat_inputs, _arrays(data))
        values = [_value(model, tensor, value) for tensor, value in zip(graph.flat_inputs, given)]
        rows = {len(value) for value in values if value is not None and np.ndim(value)}
        if len(rows) > 1:
            raise DataError("The arrays of x have different numbers of rows.", got=str(sorted(rows)))
        known = {id(tensor): value for tensor, value in zip(graph.flat_inputs, values)}
        graph.apply(self.nodes, known, _call)
        return Prepared((name, known[id(tensor)]) for name, tensor in self.tensors.items())

    def run(self, prepared: Prepared, apply: Apply) -> Any:
        """The outputs of the model, from what `prepare` gave."""
        known = {id(self.tensors[name]): value for name, value in prepared.items()}
        inside = set(self.nodes)
        self._graph.apply([node for node in self._graph.nodes if node not in inside], known, apply)
        return tree.map_structure(lambda tensor: known[id(tensor)], self._graph.outputs)


def stage_of(graph: LayerGraph) -> HostStage | None:
    """The host's part of a graph; None when there is none."""
    if any(getattr(operation, "_runs_on_host", False) for operation in graph.operations):
        return HostStage(graph)
    return None


def _call(operation: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    return operation(*args, **kwargs)


def _arrays(data: Any) -> Any:
    """Columns of tables and lists of values as arrays; structures stay."""
    if isinstance(data, Mapping):
        return {key: _arrays(value) for key, value in data.items()}
    if hasattr(data, "to_numpy"):
        return np.asarray(data.to_numpy())
    if isinstance(data, (list, tuple)) and data and _is_value(data[0]):
        return np.array(data, dtype=object) if _holds_text(data) else np.array(data)
    if isinstance(data, (list, tuple)):
        return type(data)([_arrays(entry) for entry in data])
    return data


def _is_value(entry: Any) -> bool:
    while isinstance(entry, (list, tuple)) and entry:
        entry = entry[0]
    return isinstance(entry, (str, bytes, int, float, np.generic))


def _holds_text(entry: Any) -> bool:
    while isinstance(entry, (list, tuple)) and entry:
        entry = entry[0]
    return isinstance(entry, (str, bytes))


def _value(model: Any, tensor: KerasTensor, value: Any) -> Any:
    """An input as the host wants it, in the rank that the model declares; strings as str."""
    if value is None:
        return value
    array = np.asarray(value)
    if array.ndim == len(tensor.shape) - 1 and tensor.shape[-1] in (1, None):
        array = array[..., None]
    elif array.ndim == len(tensor.shape) + 1 and array.shape[-1] == 1:
        array = array[..., 0]
    if tensor.dtype != STRING:
        return array
    if array.dtype.kind not in "OUST":
        raise DataError(
            f"Model '{model.name}' takes strings for its input '{tensor.name}'.",
            got=f"an array of dtype {array.dtype}",
            fix=".astype(str) makes strings of numbers.",
        )
    return as_text(array)
