"""Gradients of pooling, seen through by what reads them.

A maximum over windows sends its gradient back to one pixel of each (`scatter_window`), so what comes out is
mostly zeros, and larger than what went in. Nobody needs it in memory:

- relu before the pooling lets a gradient pass where the relu's result is positive: where the maximum is;
- what is sent back adds up to what was sent;
- the convolution before the pooling spreads gradients in scratch, image by image, as its kernels read them.
"""

from __future__ import annotations

from collections.abc import Sequence

from lamina.backends.cpu.convolve_nodes import (
    conv_spread_filter_grad,
    conv_spread_input_grad,
    has_kernel,
)
from lamina.backends.cpu.fuse import scalar_constant
from lamina.ir import primitives as p
from lamina.ir.bind import full
from lamina.ir.graph import Node, Value, make, rebuild, topological

__all__ = ["see_through_pooling"]


def see_through_pooling(results: Sequence[Value]) -> tuple[Value, ...]:
    """The same results, with as few gradients of pooling in memory as can be."""
    results = rebuild(results, _sooner)
    wanted = set(results)
    users: dict[Value, list[Node]] = {}
    for node in topological(results):
        for value in node.inputs:
            users.setdefault(value, []).append(node)

    def rule(node: Node, inputs: tuple[Value, ...]) -> Sequence[Value] | None:
        position = _read_pixels(node)
        if position is None:
            return None
        value = node.inputs[position]
        if value in wanted or any(_read_pixels(user) is None for user in users[value]):
            return None
        return _spread(node, inputs, position, value.node)

    return rebuild(results, rule)


def _sooner(node: Node, inputs: tuple[Value, ...]) -> Sequence[Value] | None:
    """Masks and sums of a gradient taken before it is sent back."""
    if node.primitive is p.select:
        return _masked(*inputs)
    if node.primitive is p.reduce_sum and inputs[0].primitive is p.scatter_window:
        axes = node.attributes["axes"]
        if set(range(1, inputs[0].ndim - 1)) <= set(axes):
            return [p.reduce_sum(inputs[0].node.inputs[0], axes=axes)]
    return None


def _masked(condition: Value, gradient: Value, otherwise: Value) -> Sequence[Value] | None:
    """select(x > c, scatter_window(g, index), 0) -> scatter_window(select(max_window(x) > c, g, 0), index)"""
    if gradient.primitive is not p.scatter_window or condition.primitive is not p.greater:
        return None
    sent, index = gradient.node.inputs
    x, bound = condition.node.inputs
    if index.primitive is not p.max_window or index.node.inputs != (x,):
        return None
    numbers = [scalar_constant(value) for value in (bound, otherwise)]
    if numbers[0] is None or numbers[1] is None or not _is_zero(numbers[1]):
        return None
    maxima = index.node.outputs[0]
    number = numbers[0].constant
    assert number is not None
    passes = p.greater(maxima, full(maxima.shape, number.reshape(()).item(), maxima.dtype))
    kept = p.select(passes, sent, full(sent.shape, 0, sent.dtype))
    return make(p.scatter_window, (kept, index), gradient.node.attributes, gradient.node.types).outputs


def _is_zero(number: Value) -> bool:
    return number.constant is not None and not number.constant.any()


def _read_pixels(node: Node) -> int | None:
    """Which operand of a convolution's gradient is that of a pooling, for its kernel to spread; or None."""
    if node.primitive not in (p.conv_input_grad, p.conv_filter_grad) or not has_kernel(node):
        return None
    position = 0 if node.primitive is p.conv_input_grad else 1
    value = node.inputs[position]
    if value.primitive is not p.scatter_window or value.dtype not in ("float32", "float64"):
        return None
    attributes = value.node.attributes
    sizes = attributes["sizes"]
    side_by_side = (
        attributes["strides"] == sizes
        and not any(map(any, attributes["padding"]))
        and set(attributes["dilation"]) <= {1}
        and value.node.inputs[1].dtype == "uint8"
    )
    if not side_by_side:
        return None
    if node.primitive is p.conv_filter_grad:
        return position
    # Every pixel has to lie in what the kernel pads.
    inside = all(
        low <= (taps - 1) * every and high <= (taps - 1) * every
        for taps, every, (low, high) in zip(
            node.inputs[1].shape, node.attributes["dilation"], node.attributes["padding"]
        )
    )
    return position if inside and set(node.attributes["strides"]) <= {1} else None


def _spread(node: Node, inputs: tuple[Value, ...], position: int, spread: Node) -> Sequence[Value]:
    """The same gradient from what the pooling was sent."""
    operands = list(inputs)
    operands[position], index = inputs[position].node.inputs
    attributes = {
        **node.attributes,
        "spread": spread.attributes["sizes"],
        "places": spread.attributes["shape"],
    }
    primitive = conv_spread_input_grad if position == 0 else conv_spread_filter_grad
    return make(primitive, (*operands, index), attributes, node.types).outputs
