"""Node: one call of a layer or op in the layer graph, from KerasTensors to KerasTensors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from lamina.core import tree
from lamina.core.errors import ArgumentError
from lamina.ir.symbolic import KerasTensor


class History(NamedTuple):
    """Where a KerasTensor comes from: output `tensor_index` of the operation's call number `node_index`."""

    operation: Any
    node_index: int
    tensor_index: int


class Node:
    """A call that was recorded: the operation, its arguments, and the KerasTensors that came out.

    The node is appended to the operation's `_inbound_nodes` and becomes the origin of its outputs.
    A node without tensors among its arguments is the call of an InputLayer.
    """

    __slots__ = ("__weakref__", "arguments", "keywords", "operation", "outputs")

    def __init__(
        self, operation: Any, arguments: tuple[Any, ...], keywords: Mapping[str, Any], outputs: Any
    ) -> None:
        self.operation = operation
        self.arguments = arguments
        self.keywords = dict(keywords)
        self.outputs: list[KerasTensor] = tree.flatten(outputs)
        for position, output in enumerate(self.outputs):
            if not isinstance(output, KerasTensor):
                raise ArgumentError(
                    f"'{operation.name}' ({type(operation).__name__}) must return tensors.",
                    got=f"{output!r} of type {type(output).__name__}, as result {position}",
                )
            output.history = History(operation, len(operation._inbound_nodes), position)
        operation._inbound_nodes.append(self)

    @property
    def input_tensors(self) -> list[KerasTensor]:
        """The KerasTensors among the arguments, in order."""
        leaves = tree.leaves((self.arguments, self.keywords))
        return [leaf for leaf in leaves if isinstance(leaf, KerasTensor)]

    @property
    def output_tensors(self) -> list[KerasTensor]:
        return self.outputs

    @property
    def is_input(self) -> bool:
        return not self.input_tensors

    @property
    def parent_nodes(self) -> list[Node]:
        """The nodes whose outputs this one takes."""
        return [node for tensor in self.input_tensors if (node := origin(tensor)) is not None]

    def fill(self, values: Mapping[int, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The arguments with each KerasTensor replaced by `values[id(tensor)]`."""

        def replace(leaf: Any) -> Any:
            return values[id(leaf)] if isinstance(leaf, KerasTensor) else leaf

        return tree.map_structure(replace, (self.arguments, self.keywords))

    def __repr__(self) -> str:
        return f"<Node of '{self.operation.name}'>"


def origin(tensor: KerasTensor) -> Node | None:
    """The node that produced `tensor`, None for a bare KerasTensor."""
    if tensor.history is None:
        return None
    operation, node_index, _ = tensor.history
    node: Node = operation._inbound_nodes[node_index]
    return node
