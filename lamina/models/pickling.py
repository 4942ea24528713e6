"""Layer graphs for pickle and deepcopy: flat lists instead of objects that refer to each other.

A layer by itself is pickled without the graph it sits in (`Operation.__getstate__`), so depth is no matter.
"""

from __future__ import annotations

from typing import Any

from lamina.core import tree
from lamina.ir.symbolic import KerasTensor
from lamina.layers.node import Node
from lamina.models.graph import LayerGraph, connect


class _Reference:
    """Stands for a KerasTensor inside the arguments of a call."""

    __slots__ = ("number",)

    def __init__(self, number: int) -> None:
        self.number = number


def pack(graph: LayerGraph) -> dict[str, Any]:
    """The graph as plain data, with its operations."""
    numbers: dict[int, int] = {}
    tensors: list[tuple[Any, str, str]] = []

    def reference(leaf: Any) -> Any:
        return _Reference(numbers[id(leaf)]) if isinstance(leaf, KerasTensor) else leaf

    calls = []
    for node in graph.nodes:
        for output in node.outputs:
            numbers[id(output)] = len(tensors)
            tensors.append((output.shape, output.dtype, output.name))
        arguments, keywords = tree.map_structure(reference, (node.arguments, node.keywords))
        results = [numbers[id(output)] for output in node.outputs]
        calls.append((graph.operations.index(node.operation), arguments, keywords, results))
    return {
        "operations": list(graph.operations),
        "tensors": tensors,
        "calls": calls,
        "inputs": tree.map_structure(reference, graph.inputs),
        "outputs": tree.map_structure(reference, graph.outputs),
    }


def unpack(packed: dict[str, Any]) -> LayerGraph:
    """The inverse of `pack`; nothing is called or computed."""
    tensors = [KerasTensor(shape, dtype, name=name) for shape, dtype, name in packed["tensors"]]

    def tensor(leaf: Any) -> Any:
        return tensors[leaf.number] if isinstance(leaf, _Reference) else leaf

    for position, arguments, keywords, results in packed["calls"]:
        arguments, keywords = tree.map_structure(tensor, (arguments, keywords))
        Node(packed["operations"][position], arguments, keywords, [tensors[number] for number in results])
    inputs, outputs = tree.map_structure(tensor, (packed["inputs"], packed["outputs"]))
    return connect(inputs, outputs, "")
