"""Nested graphs: the bodies of loops and the branches of conditions, as attributes of a node.

A body is closed and canonical: its inputs are the input nodes that `body_inputs` gives, the same for all
bodies. So equal bodies are one object, as equal nodes are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from lamina.ir import primitives as p
from lamina.ir.bind import apply
from lamina.ir.graph import Graph, Node, TensorType, Value, rebuild, topological
from lamina.ir.primitives import CONTROLS, CREATES


def body_inputs(types: Sequence[TensorType]) -> tuple[Value, ...]:
    """The inputs of every body that takes these types."""
    return tuple(
        apply(p.input, [], {"type": kind, "name": f"b{position}", "serial": -1 - position})[0]
        for position, kind in enumerate(types)
    )


def make_body(inputs: Sequence[Value], outputs: Sequence[Value]) -> Graph:
    """The canonical body that computes `outputs` from `inputs`, which may be any values of a graph."""
    canonical = body_inputs([value.type for value in inputs])
    return Graph(canonical, substitute(outputs, dict(zip(inputs, canonical))))


def substitute(outputs: Sequence[Value], replacement: dict[Value, Value]) -> tuple[Value, ...]:
    """`outputs` with some values replaced."""
    return rebuild(outputs, lambda node, inputs: None, replacement)


def bodies(node: Node) -> list[Graph]:
    """The graphs among the attributes of a node."""
    if not node.primitive.has(CONTROLS):
        return []
    found: list[Graph] = []
    for attribute in node.attributes.values():
        if isinstance(attribute, Graph):
            found.append(attribute)
        elif isinstance(attribute, tuple):
            found += [entry for entry in attribute if isinstance(entry, Graph)]
    return found


def is_light(value: Value) -> bool:
    """Whether a body rather makes the value itself than takes it from outside: one number, or counting."""
    while value.primitive in (p.broadcast, p.reshape):
        value = value.node.inputs[0]
    return value.primitive is p.iota or (value.primitive is p.constant and value.size == 1)


def captured(
    inputs: Sequence[Value], outputs: Sequence[Value], is_outside: Callable[[Node], bool] | None = None
) -> list[Value]:
    """What `outputs` read besides `inputs`, each as late as possible.

    A node is inside when it depends on an input, or as `is_outside` decides; what it reads that is not
    inside is captured, except for single numbers. What repeats a value is inside and the value is captured,
    which is smaller, and so is its derivative.
    """
    own = set(inputs)
    inside: set[Node] = set()
    found: dict[Value, None] = {}

    def take(value: Value) -> None:
        while value.primitive is p.broadcast and value not in own and value.node not in inside:
            value = value.node.inputs[0]
        if value not in own and value.node not in inside and not is_light(value):
            found[value] = None

    for node in topological(outputs):
        depends = any(value in own or value.node in inside for value in node.inputs)
        local = is_outside is not None and not node.primitive.has(CREATES) and not is_outside(node)
        if depends or local:
            inside.add(node)
    for node in topological(outputs):
        if node in inside:
            for value in node.inputs:
                take(value)
    for value in outputs:
        take(value)
    return list(found)
