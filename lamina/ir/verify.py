"""The type checker of graphs: tests run it after every pass."""

from __future__ import annotations

from lamina.core.errors import LaminaError
from lamina.ir import primitives as p
from lamina.ir.bodies import bodies, body_inputs
from lamina.ir.graph import Graph, Node
from lamina.ir.text import line, number


class IllegalGraphError(LaminaError, ValueError):
    """A graph that breaks the rules of the primitive table: a bug in whatever made it."""


def verify(graph: Graph) -> None:
    """Raise IllegalGraphError, with the offending line, unless the graph is legal.

    Inputs are distinct `input` nodes, no other inputs are used, and every node has the types that the
    primitive's rule gives for its operands. Nested graphs are legal, and have the inputs of all bodies.
    """
    if len(set(graph.inputs)) != len(graph.inputs) or any(v.primitive is not p.input for v in graph.inputs):
        raise IllegalGraphError(f"The inputs of a graph are distinct input nodes, got {graph.inputs}.")
    for node in graph.nodes():
        fault = _fault(node, graph)
        if fault:
            raise IllegalGraphError("Illegal node in a graph.", expected=fault, got=line(node, number(graph)))
        for body in bodies(node):
            if body.inputs != body_inputs([value.type for value in body.inputs]):
                raise IllegalGraphError(f"The inputs of a nested graph are those of all bodies: {node}.")
            verify(body)


def _fault(node: Node, graph: Graph) -> str | None:
    """What the node should be, or None when it is legal."""
    if node.primitive is p.input:
        return None if node.outputs[0] in graph.inputs else "an input that the graph lists"
    try:
        types = node.primitive.infer(tuple(value.type for value in node.inputs), node.attributes)
    except (LaminaError, TypeError) as error:
        return str(error).splitlines()[0]
    return None if types == node.types else ", ".join(map(str, types))
