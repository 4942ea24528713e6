"""Laws of loops and branches as nodes; what happens between the inside of a loop and its surroundings is in
`loops`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lamina.ir import primitives as p
from lamina.ir.bind import apply, full
from lamina.ir.bodies import substitute
from lamina.ir.constants import splat
from lamina.ir.graph import Graph, Node, Value
from lamina.passes.rewrite import Law, LawBook

CONTROL = LawBook()
law = CONTROL.law


def inside(simplify: Callable[[tuple[Value, ...]], tuple[Value, ...]]) -> Law:
    """The law that simplifies nested graphs."""

    def simplified(attribute: Any) -> Any:
        if isinstance(attribute, Graph):
            return Graph(attribute.inputs, simplify(attribute.outputs))
        return tuple(map(simplified, attribute)) if isinstance(attribute, tuple) else attribute

    def node_law(node: Node) -> tuple[Value, ...] | None:
        attributes = {name: simplified(value) for name, value in node.attributes.items()}
        return None if attributes == node.attributes else apply(node.primitive, list(node.inputs), attributes)

    return node_law


def scan_without_steps(
    *operands: Value, body: Graph, length: int, consts: int, carries: int, reverse: bool
) -> tuple[Value, ...] | None:
    """A loop of no steps -> what it starts with, and nothing stacked"""
    if length:
        return None
    stacks = [full((0, *value.shape), 0, value.dtype) for value in body.outputs[carries:]]
    return (*operands[consts : consts + carries], *stacks)


def known_branch(index: Value, *operands: Value, branches: tuple[Graph, ...]) -> tuple[Value, ...] | None:
    """cond with a known number, or with one branch -> what is inside that branch"""
    number = 0 if len(branches) == 1 else splat(index)
    if number is None:
        return None
    branch = branches[min(max(int(number), 0), len(branches) - 1)]
    return substitute(branch.outputs, dict(zip(branch.inputs, operands)))


def without_gradient(*operands: Value, backward: Graph, results: int, arguments: int) -> tuple[Value, ...]:
    """custom_gradient -> its results: gradients have been taken by now"""
    return operands[:results]


law(p.scan, scan_without_steps)
law(p.cond, known_branch)
law(p.custom_gradient, without_gradient)
