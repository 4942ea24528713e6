"""ONNX nodes under construction, and graphs traced with two sizes of batch, which show what depends on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

from lamina.core import dtypes
from lamina.core.errors import ArgumentError
from lamina.ir.graph import Graph, Node, Value

TRIAL_BATCHES = (11, 13)
INT64 = np.int64


class UnmappableError(ArgumentError):
    """Something in a program has no meaning in ONNX."""

    primitive: str | None = None


@dataclass(frozen=True)
class Pair:
    """One node of a program, as it is for each of the two sizes of batch."""

    node: Node
    other: Node

    def __getitem__(self, name: str) -> Any:
        """An attribute, which must not depend on the batch."""
        value = self.node.attributes[name]
        if value != self.other.attributes[name]:
            raise UnmappableError(
                f"The {name} of the primitive '{self.node.primitive.name}' depends on the size of the batch.",
                fix="export with an input_signature that has a fixed batch.",
            )
        return value

    def both(self, name: str) -> tuple[Any, Any]:
        return self.node.attributes[name], self.other.attributes[name]

    def extents(self, position: int | None = None) -> tuple[Sequence[int], Sequence[int]]:
        """The shape of the first output, or of an operand."""
        if position is None:
            return self.node.types[0].shape, self.other.types[0].shape
        return self.node.inputs[position].shape, self.other.inputs[position].shape

    def bodies(self, name: str) -> list[tuple[Graph, Graph]]:
        first, second = self.both(name)
        return list(zip(first, second)) if isinstance(first, tuple) else [(first, second)]


class Writer:
    """Collects the nodes of one ONNX graph. Rules call it with the operator's name and names of tensors.

    batch: the name of a tensor int64[1] with the size of the batch, None when that is known. Nested graphs
    share names and constants with the graph around them.
    """

    def __init__(self, onnx: ModuleType, batch: str | None, outer: Writer | None = None) -> None:
        self.onnx = onnx
        self.batch = batch
        self.nodes: list[Any] = []
        self.initializers: dict[str, Any] = {} if outer is None else outer.initializers
        self._constants: dict[Any, str] = {} if outer is None else outer._constants
        self._count: list[int] = [0] if outer is None else outer._count

    def nested(self) -> Writer:
        return Writer(self.onnx, self.batch, self)

    def name(self, kind: str) -> str:
        """A new name of a tensor."""
        self._count[0] += 1
        return f"{kind}_{self._count[0]}"

    def __call__(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """Add a node with one output; its name."""
        return self.several(operator, inputs, 1, attributes)[0]

    def several(
        self, operator: str, inputs: Sequence[str], outputs: int, attributes: Mapping[str, Any]
    ) -> list[str]:
        names = [self.name(operator) for _ in range(outputs)]
        self.nodes.append(self.onnx.helper.make_node(operator, list(inputs), names, **attributes))
        return names

    def constant(self, value: Any, dtype: Any = INT64) -> str:
        """The name of a constant; equal ones are stored once."""
        array = np.asarray(value, dtype)
        key = (array.dtype.name, array.shape, array.tobytes())
        if key not in self._constants:
            name = self._constants[key] = self.name("constant")
            self.initializers[name] = self.tensor(array, name)
        return self._constants[key]

    def tensor(self, array: Any, name: str) -> Any:
        kind = self.kind(dtypes.of_numpy(array.dtype))
        return self.onnx.helper.make_tensor(name, kind, array.shape, array.tobytes(), raw=True)

    def kind(self, dtype: str) -> int:
        """ONNX's number of a dtype."""
        return int(getattr(self.onnx.TensorProto, _KINDS[dtype]))

    def cast(self, name: str, dtype: str) -> str:
        return self("Cast", name, to=self.kind(dtype))

    def integers(self, first: Sequence[int], second: Sequence[int]) -> str:
        """The name of int64[n]: numbers that are the same for both trials, or linear in the batch."""
        if list(first) == list(second):
            return self.constant(list(first))
        parts = [
            self.constant([one]) if one == other else self._of_batch(one, other)
            for one, other in zip(first, second)
        ]
        return parts[0] if len(parts) == 1 else self("Concat", *parts, axis=0)

    def _of_batch(self, one: int, other: int) -> str:
        factor, rest = divmod(other - one, TRIAL_BATCHES[1] - TRIAL_BATCHES[0])
        if rest or self.batch is None:
            raise UnmappableError("An extent depends on the size of the batch in a way that is not linear.")
        result = self.batch if factor == 1 else self("Mul", self.batch, self.constant([factor]))
        offset = one - factor * TRIAL_BATCHES[0]
        return self("Add", result, self.constant([offset])) if offset else result

    def full(self, like: Pair, number: Any) -> str:
        """One number everywhere, in the shape of the result."""
        scalar = self.constant(number, dtypes.to_numpy(like.node.types[0].dtype))
        return self("Expand", scalar, self.integers(*like.extents()))


_KINDS = {
    "bool": "BOOL",
    "int8": "INT8",
    "int16": "INT16",
    "int32": "INT32",
    "int64": "INT64",
    "uint8": "UINT8",
    "uint16": "UINT16",
    "uint32": "UINT32",
    "uint64": "UINT64",
    "bfloat16": "BFLOAT16",
    "float16": "FLOAT16",
    "float32": "FLOAT",
    "float64": "DOUBLE",
}


def write_graph(writer: Writer, first: Graph, second: Graph, names: dict[Value, str]) -> list[str]:
    """Add the nodes of a graph; the names of its outputs. names: those of its inputs."""
    from lamina.export.nodes import RULES

    nodes, others = first.nodes(), second.nodes()
    if [node.primitive for node in nodes] != [node.primitive for node in others]:
        raise UnmappableError(
            "The program does other things for other sizes of batch.",
            fix="export with an input_signature that has a fixed batch.",
        )
    for node, other in zip(nodes, others):
        if node.outputs[0] in names:
            continue
        try:
            operands = [_written(names, value) for value in node.inputs]
            found = RULES[node.primitive](writer, Pair(node, other), *operands)
        except UnmappableError as error:
            error.primitive = error.primitive or node.primitive.name
            raise
        names.update(zip(node.outputs, [found] if isinstance(found, str) else found))
    return [_written(names, value) for value in first.outputs]


def _written(names: Mapping[Value, str], value: Value) -> str:
    """The name of an operand; of primitives with several results ONNX may have the first only."""
    if value not in names:
        raise UnmappableError(
            f"ONNX does not have result {value.index} of the primitive '{value.primitive.name}'."
        )
    return names[value]
