"""A digest of what a graph computes, whatever its inputs are called: the key of cached programs."""

from __future__ import annotations

import hashlib
import marshal

from lamina.ir import primitives as p
from lamina.ir.graph import Graph, Literal, Node, Value
from lamina.ir.primitives import CONTROLS

# Attributes and types become plain tuples; in this version of the format equal tuples have equal bytes.
_MARSHAL_VERSION = 2


def structure_key(graph: Graph) -> str:
    """Equal for two graphs that differ only in the names and identities of their inputs."""
    numbers: dict[Value, int] = {value: position for position, value in enumerate(graph.inputs)}
    parts: list[object] = [(value.dtype, value.shape) for value in graph.inputs]
    for node in graph.nodes():
        if node.primitive is p.input:
            continue
        operands = tuple([numbers[value] for value in node.inputs])
        parts.append((node.primitive.name, operands, _attributes(node)))
        for value in node.outputs:
            numbers[value] = len(numbers)
    parts.append(tuple([numbers[value] for value in graph.outputs]))
    return hashlib.blake2b(marshal.dumps(parts, _MARSHAL_VERSION), digest_size=20).hexdigest()


def _attributes(node: Node) -> object:
    if node.primitive is p.constant:
        literal: Literal = node.attributes["value"]
        return (node.types[0].dtype, literal.array.shape, literal.array.tobytes())
    if node.primitive.has(CONTROLS):
        return tuple([(name, _nested(attribute)) for name, attribute in node.items])
    return node.items


def _nested(attribute: object) -> object:
    """An attribute with the digests of graphs in place of the graphs."""
    if isinstance(attribute, Graph):
        return structure_key(attribute)
    return tuple(map(_nested, attribute)) if isinstance(attribute, tuple) else attribute
