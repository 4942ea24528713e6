"""The layer graph between inputs and outputs: its nodes in order, its operations as Keras orders them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lamina.core import tree
from lamina.core.errors import ArgumentError
from lamina.ir.symbolic import KerasTensor
from lamina.layers.node import Node, origin

Apply = Callable[[Any, tuple[Any, ...], dict[str, Any]], Any]


@dataclass(frozen=True)
class LayerGraph:
    """inputs, outputs: as given, nested or not. nodes: the calls to run, inputs before users.

    operations: layers and recorded ops by depth, farthest from the outputs first; nodes_by_depth likewise.
    """

    inputs: Any
    outputs: Any
    nodes: tuple[Node, ...]
    operations: tuple[Any, ...]
    nodes_by_depth: Mapping[int, list[Node]]

    @property
    def flat_inputs(self) -> list[KerasTensor]:
        return tree.flatten(self.inputs)

    @property
    def flat_outputs(self) -> list[KerasTensor]:
        return tree.flatten(self.outputs)

    def run(self, values: Sequence[Any], apply: Apply) -> Any:
        """Put `values` in the place of the inputs and `apply(operation, args, kwargs)` node by node.

        Returns a structure like `outputs`.
        """
        known = {id(tensor): value for tensor, value in zip(self.flat_inputs, values)}
        self.apply(self.nodes, known, apply)
        return tree.map_structure(lambda tensor: known[id(tensor)], self.outputs)

    @staticmethod
    def apply(nodes: Iterable[Node], known: dict[int, Any], apply: Apply) -> None:
        """Run some nodes in order. known: values by id of their tensor; the results are put in."""
        for node in nodes:
            if node.is_input:
                continue
            args, kwargs = node.fill(known)
            results = apply(node.operation, args, kwargs)
            for tensor, value in zip(node.outputs, tree.flatten(results)):
                known.setdefault(id(tensor), value)


def connect(inputs: Any, outputs: Any, name: str) -> LayerGraph:
    """The graph from `inputs` to `outputs`. ArgumentError when they are no KerasTensors, or not connected."""
    flat_inputs, flat_outputs = tree.flatten(inputs), tree.flatten(outputs)
    _check_tensors(flat_inputs, "inputs", name)
    _check_tensors(flat_outputs, "outputs", name)
    reached, indices = _walk(flat_inputs, flat_outputs, name)
    depths, operation_depths = _depths(reached)
    for tensor in flat_inputs:
        # An input that nothing uses still belongs to the model: losses and metrics may want it.
        node = origin(tensor)
        if node is not None and node.is_input and node.operation not in operation_depths:
            depths[node], operation_depths[node.operation], indices[node.operation] = 0, 0, -1
    by_depth: dict[int, list[Node]] = defaultdict(list)
    for node in sorted(depths, key=lambda node: -depths[node]):
        by_depth[depths[node]].append(node)
    operations = sorted(
        operation_depths, key=lambda operation: (-operation_depths[operation], indices[operation])
    )
    _check_names(operations, name)
    return LayerGraph(
        inputs, outputs, tuple(n for nodes in by_depth.values() for n in nodes), tuple(operations), by_depth
    )


def _check_tensors(tensors: Sequence[Any], what: str, name: str) -> None:
    if not tensors:
        raise ArgumentError(f"Model '{name}' needs at least one tensor as {what}.")
    for tensor in tensors:
        if not isinstance(tensor, KerasTensor):
            raise ArgumentError(
                f"The {what} of model '{name}' must be KerasTensors.",
                got=f"{tensor!r:.60} of type {type(tensor).__name__}",
                fix="x = lamina.Input(shape=...); model = lamina.Model(x, layer(x)).",
            )


def _walk(
    inputs: Sequence[KerasTensor], outputs: Sequence[KerasTensor], name: str
) -> tuple[list[Node], dict[Any, int]]:
    """The nodes that the outputs need, inputs before users; and the order in which operations were met."""
    given = {id(tensor) for tensor in inputs}
    reached: dict[Node, None] = {}
    indices: dict[Any, int] = {}

    def enter(tensor: KerasTensor, user: str) -> tuple[Node, Iterator[KerasTensor]] | None:
        node = origin(tensor)
        if node in reached or (id(tensor) in given and (node is None or not node.is_input)):
            return None
        if node is None or (node.is_input and id(tensor) not in given):
            raise ArgumentError(
                f"Model '{name}' is disconnected: {user} needs a tensor that its inputs do not lead to.",
                expected=f"inputs among {', '.join(tensor.name for tensor in inputs)}",
                got=f"{tensor!r}",
                fix="add the missing Input to inputs=.",
            )
        indices.setdefault(node.operation, len(indices))
        return node, iter(node.input_tensors)

    for output in outputs:
        first = enter(output, "an output")
        path = [first] if first is not None else []
        while path:
            node, rest = path[-1]
            for tensor in rest:
                entered = enter(tensor, f"'{node.operation.name}'")
                if entered is not None:
                    path.append(entered)
                    break
            else:
                reached[node] = None
                path.pop()
    return list(reached), indices


def _depths(nodes: Sequence[Node]) -> tuple[dict[Node, int], dict[Any, int]]:
    """How far each node, and each operation at its farthest call, is from the outputs."""
    inside = set(nodes)
    depths: dict[Node, int] = {}
    operation_depths: dict[Any, int] = {}
    for node in reversed(nodes):
        # All calls of a shared layer lie at the depth of its farthest one so far.
        depth = max(depths.get(node, 0), operation_depths.get(node.operation, 0))
        depths[node] = operation_depths[node.operation] = depth
        for parent in node.parent_nodes:
            if parent in inside:
                depths[parent] = max(depth + 1, depths.get(parent, 0))
    return depths, operation_depths


def _check_names(operations: Sequence[Any], name: str) -> None:
    names = [operation.name for operation in operations]
    for operation in operations:
        if names.count(operation.name) > 1:
            raise ArgumentError(
                f"Model '{name}' has two layers named '{operation.name}'.",
                fix="give each layer a name of its own.",
            )
