"""Reverse-mode differentiation: one backward walk over the graph, graph in, graph out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from lamina.core.dtypes import is_float
from lamina.core.errors import GradientError
from lamina.grad import attention, control
from lamina.grad.host import of_host
from lamina.grad.rules import NOT_DIFFERENTIABLE, rule_of, side_by_side
from lamina.ir import primitives as p
from lamina.ir.bind import full
from lamina.ir.graph import Node, Value, topological


def gradients(output: Value, wrt: Sequence[Value], seed: Value | None = None) -> list[Value]:
    """The derivative of `output` with respect to each value in `wrt`, as values of the graph.

    seed: the cotangent of `output`, of its type; 1 when the output is a scalar. The result for a value that
    `output` does not depend on is zeros. Results can be differentiated again.

    Raises GradientError for an output or a `wrt` that is not a float, and for an output that is not a scalar
    when no seed is given.

    >>> x = new_input("x", TensorType((), "float32"))
    >>> gradients(multiply(x, x), [x])
    [<add float32[]>]
    """
    seed = _checked_seed(output, seed)
    for value in wrt:
        if not is_float(value.dtype):
            raise GradientError(
                f"Cannot differentiate with respect to a tensor of dtype {value.dtype}.",
                expected="a float tensor",
                fix="cast it to a float dtype before it enters the computation.",
            )
    return pull_back([output], [seed], wrt)


def pull_back(outputs: Sequence[Value], seeds: Sequence[Value], wrt: Sequence[Value]) -> list[Value]:
    """The cotangents of `wrt` when `outputs` have the cotangents `seeds`; zeros where nothing arrives."""
    order = topological(outputs)
    reached = _reached_from(wrt, order)
    cotangents = Cotangents()
    for output, seed in zip(outputs, seeds):
        if output in reached:
            cotangents.add(output, seed)
    for node in reversed(order):
        _send_back(node, reached, cotangents)
    return [cotangents.of(value) or full(value.shape, 0, value.dtype) for value in wrt]


class Cotangents:
    """What has been sent back to each value so far."""

    def __init__(self) -> None:
        self._sent: dict[Value, list[Value]] = {}

    def add(self, value: Value, contribution: Value) -> None:
        self._sent.setdefault(value, []).append(contribution)

    def of(self, value: Value) -> Value | None:
        """The sum; parts that lie side by side are put together instead."""
        sent = self._sent.get(value)
        if sent is not None and len(sent) > 1:
            whole = side_by_side(sent)
            if whole is None:
                whole = sent[0]
                for contribution in sent[1:]:
                    whole = p.add(whole, contribution)
            sent[:] = [whole]
        return None if sent is None else sent[0]


def _checked_seed(output: Value, seed: Value | None) -> Value:
    if not is_float(output.dtype):
        raise GradientError(
            f"A tensor of dtype {output.dtype} has no gradient.",
            expected="a float loss",
            fix="cast the loss to a float dtype, and check that it is not a count or a comparison.",
        )
    if seed is None:
        if output.shape != ():
            raise GradientError(
                f"The gradient of a tensor of shape {output.shape} is not one number per input.",
                expected="a scalar, shape ()",
                fix="reduce it first, for instance with ops.mean(loss) or ops.sum(loss).",
            )
        return full((), 1, output.dtype)
    if seed.type != output.type:
        raise GradientError(
            "The seed of a gradient must have the type of the output.",
            expected=str(output.type),
            got=str(seed.type),
        )
    return seed


def _reached_from(wrt: Sequence[Value], order: Iterable[Node]) -> set[Value]:
    """The values on the way from `wrt` that a derivative can flow through."""
    reached = set(wrt)
    for node in order:
        if node.primitive not in NOT_DIFFERENTIABLE and not reached.isdisjoint(node.inputs):
            reached.update(output for output in node.outputs if is_float(output.dtype))
    return reached


def _send_back(node: Node, reached: set[Value], cotangents: Cotangents) -> None:
    """Add to the cotangents of the operands what the node's result sends them."""
    if node.primitive in NODE_RULES:
        arrived = [cotangents.of(result) for result in node.outputs]
        if any(entry is not None for entry in arrived):
            wanted = [operand in reached for operand in node.inputs]
            for operand, sent in zip(node.inputs, NODE_RULES[node.primitive](node, arrived, wanted)):
                if sent is not None and operand in reached:
                    cotangents.add(operand, sent)
        return
    result = node.outputs[0]
    cotangent = cotangents.of(result)
    if cotangent is None or node.primitive in NOT_DIFFERENTIABLE:
        return
    for position, operand in enumerate(node.inputs):
        if operand not in reached:
            continue
        rule = rule_of(node.primitive, position)
        if rule is None:
            continue
        cotangents.add(operand, rule(cotangent, result, *node.inputs, **node.attributes))


NODE_RULES = {**attention.rules(pull_back), p.host: of_host, **control.rules(pull_back, _reached_from)}
