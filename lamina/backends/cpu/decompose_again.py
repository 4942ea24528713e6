"""Activations that are made again for the backward pass, instead of being kept and fetched.

What a normalisation and a relu make of the output of a convolution is read by the next convolution, image by
image right after it was made (`turns`), and much later by that convolution's gradients. These can make it
again from the output of the first convolution, which they read for the statistics anyway: an instruction or
two for each element, where keeping it would write it to memory and fetch it from there.

The second making starts from `again` of that output, the same elements, so that its nodes are others.
Source: S. Rota Bulo, L. Porzi, P. Kontschieder, "In-Place Activated BatchNorm" (2018), has the same memory.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod

from lamina.backends.cpu.again import again
from lamina.backends.cpu.convolve_nodes import conv_filter_parts
from lamina.backends.cpu.convolve_winograd import conv_winograd
from lamina.core.dtypes import itemsize
from lamina.ir import primitives as p
from lamina.ir.graph import Node, Value, make, rebuild, topological, users
from lamina.ir.primitives import REDUCES

LARGE = 1 << 23  # bytes of what is made again: a cache shared by all processors keeps less than that anyway
LONGEST = 8  # operations for each of its elements, at most
MOST_WEIGHTS = 1 << 18  # bytes of a kernel with which convolutions can take turns
FEWEST_PARTS = 8  # of the gradient of a kernel, with which that can

_CHEAP = frozenset({p.add, p.subtract, p.multiply, p.maximum, p.minimum})


def make_again(results: Sequence[Value]) -> tuple[Value, ...]:
    """The same results; gradients read activations that were made for them."""
    readers = users(topological(results))
    kept = set(results)
    new: dict[Value, Value] = {}
    for value in [value for value in readers if value not in kept and _may_be(value, readers)]:
        steps: list[Value] = []
        source = _source(value, value, readers, steps)
        if source is not None and 0 < len(steps) <= LONGEST:
            new[value] = _repeated(value, source, set(steps), {})
    if not new:
        return tuple(results)

    def rule(node: Node, inputs: tuple[Value, ...]) -> Sequence[Value] | None:
        if node.primitive not in (conv_filter_parts, p.greater) or node.inputs[0] not in new:
            return None
        return make(node.primitive, (new[node.inputs[0]], *inputs[1:]), node.attributes, node.types).outputs

    return rebuild(results, rule)


def _may_be(value: Value, readers: Mapping[Value, Sequence[Node]]) -> bool:
    """Whether convolutions, their gradients and masks are all that reads a large value."""
    if value.primitive not in _CHEAP or value.ndim < 3 or value.size * itemsize(value.dtype) < LARGE:
        return False
    gradients = 0
    for node in readers[value]:
        if node.inputs[0] is not value or value in node.inputs[1:]:
            return False
        if node.primitive is conv_filter_parts:
            gradients += node.attributes["parts"] >= FEWEST_PARTS
        elif node.primitive in (p.conv, p.dot, conv_winograd):
            weights = node.inputs[1]
            if prod(weights.shape) * itemsize(weights.dtype) > MOST_WEIGHTS:
                return False
        elif node.primitive is not p.greater:
            return False
    return gradients > 0


def _source(
    value: Value, whole: Value, readers: Mapping[Value, Sequence[Node]], steps: list[Value]
) -> Value | None:
    """The one large value that is read for sums, too, of which `value` is made; what is done to it."""
    if any(node.primitive.has(REDUCES) for node in readers.get(value, ())):
        return value
    if value.primitive not in _CHEAP:
        return None
    found: Value | None = None
    for operand in value.node.inputs:
        if operand.primitive is p.broadcast and 8 * operand.node.inputs[0].size <= whole.size:
            continue
        source = operand if operand is found else _source(operand, whole, readers, steps)
        if source is None or found not in (None, source):
            return None
        found = source
    steps.append(value)
    return found


def _repeated(value: Value, source: Value, steps: set[Value], made: dict[Value, Value]) -> Value:
    """`value`, made again of its source."""
    if value is source:
        result: Value = make(again, (value,), {}, (value.type,)).outputs[0]
        return result
    if value not in steps:
        return value
    if value not in made:
        operands = [_repeated(operand, source, steps, made) for operand in value.node.inputs]
        made[value] = make(value.primitive, operands, value.node.attributes, value.node.types).outputs[0]
    return made[value]


__all__ = ["make_again"]
