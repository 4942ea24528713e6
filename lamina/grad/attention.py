"""Derivatives of attention: its own primitive for the first, compositions for those of higher order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from lamina.core.dtypes import is_float
from lamina.ir import primitives as p
from lamina.ir.attention import composed, composed_gradient
from lamina.ir.bind import full
from lamina.ir.bodies import substitute
from lamina.ir.graph import Node, Value
from lamina.ir.primitives import Primitive
from lamina.ir.trace import new_input

Cotangents = list[Value | None]
PullBack = Callable[[Sequence[Value], Sequence[Value], Sequence[Value]], list[Value]]


def rules(pull_back: PullBack) -> dict[Primitive, Callable[[Node, Cotangents, Sequence[bool]], Cotangents]]:
    """The rules, given the backward walk that they use for the compositions."""

    def of_attention(node: Node, cotangents: Cotangents, wanted: Sequence[bool]) -> Cotangents:
        if cotangents[1] is None and cotangents[2] is None:
            assert cotangents[0] is not None
            found = p.attention_grad(
                *node.inputs[:3], *node.outputs, cotangents[0], *node.inputs[3:], **node.attributes
            )
            return [*found, *[None] * len(node.inputs[3:])]
        return _through(composed, node, cotangents)

    def of_gradient(node: Node, cotangents: Cotangents, wanted: Sequence[bool]) -> Cotangents:
        return _through(composed_gradient, node, cotangents)

    def _through(compose: Callable[..., Any], node: Node, cotangents: Cotangents) -> Cotangents:
        """The derivatives of a composition. Operands may depend on each other, so the walk back sees fresh
        inputs in their place.
        """
        fresh = [new_input("operand", operand.type) for operand in node.inputs]
        outputs = compose(*fresh, **node.attributes)
        seeds = [
            full(output.shape, 0, output.dtype) if given is None else given
            for output, given in zip(outputs, cotangents)
        ]
        floats = [operand for operand in fresh if is_float(operand.dtype)]
        found = iter(substitute(pull_back(outputs, seeds, floats), dict(zip(fresh, node.inputs))))
        return [next(found) if is_float(operand.dtype) else None for operand in node.inputs]

    return {p.attention: of_attention, p.attention_grad: of_gradient}
