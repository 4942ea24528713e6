"""Gradients of pooling, seen through by what reads them.

A maximum over windows sends its gradient back to one pixel of each (`scatter_window`), so what comes out is
mostly zeros, and larger than what went in. Nobody needs it in memory:

- relu before the pooling lets a gradient pass where the relu's result is positive: where the maximum is;
- what is sent back adds up to what was sent;
- the convolution before the pooling spreads gradients in scratch, image by image, as its kernels read them;
- pixels at the end that no window reaches are not computed, and have no gradient.
"""

from __future__ import annotations

from collections.abc import Sequence

from lamina.backends.cpu.convolve_nodes import (
    conv_spread_filter_grad,
    conv_spread_input_grad,
    has_kernel,
)
from lamina.backends.cpu.fuse import scalar_constant
from lamina.core.shapes import Shape
from lamina.ir import primitives as p
from lamina.ir.bind import full
from lamina.ir.graph import Node, TensorType, Value, make, rebuild, topological
from lamina.ir.primitives import ELEMENTWISE

__all__ = ["see_through_pooling"]


def see_through_pooling(results: Sequence[Value]) -> tuple[Value, ...]:
    """The same results, with as few gradients of pooling in memory as can be."""
    results = rebuild(results, _sooner)
    results = rebuild(results, _Crop(_users(results)).rule)
    wanted, users = set(results), _users(results)

    def rule(node: Node, inputs: tuple[Value, ...]) -> Sequence[Value] | None:
        position = _read_pixels(node)
        if position is None:
            return None
        value = node.inputs[position]
        if value in wanted or any(_read_pixels(user) is None for user in users[value]):
            return None
        return _spread(node, inputs, position, value.node)

    return rebuild(results, rule)


def _users(results: Sequence[Value]) -> dict[Value, list[Node]]:
    found: dict[Value, list[Node]] = {}
    for node in topological(results):
        for value in node.inputs:
            found.setdefault(value, []).append(node)
    return found


class _Crop:
    """Leaves out the pixels at the end that no window of a pooling reaches, back to the convolution."""

    def __init__(self, users: dict[Value, list[Node]]) -> None:
        self.users = users

    def rule(self, node: Node, inputs: tuple[Value, ...]) -> Sequence[Value] | None:
        if node.primitive is not p.max_window or not _is_side_by_side(node):
            return None
        reached = _reached(inputs[0].shape[1:-1], node.attributes["sizes"])
        if reached == inputs[0].shape[1:-1] or not self._comes_from_convolution(node.inputs[0]):
            return None
        cropped = self._cropped(node.inputs[0], inputs[0], reached)
        return make(p.max_window, (cropped,), node.attributes, node.types).outputs

    def _comes_from_convolution(self, value: Value) -> bool:
        """Whether a convolution and pointwise work, of which nobody else sees anything, give the value."""
        if len(self.users.get(value, ())) != 1:
            return False
        if value.primitive is p.conv:
            return has_kernel(value.node)
        return value.primitive.has(ELEMENTWISE) and any(map(self._comes_from_convolution, value.node.inputs))

    def _cropped(self, value: Value, new: Value, extents: Shape) -> Value:
        """The first pixels of a value; `new` is what it has become."""
        shape = (new.shape[0], *extents, new.shape[-1])
        attributes, types = new.node.attributes, (TensorType(shape, new.dtype),)
        if self._comes_from_convolution(value) and new.primitive is value.primitive:
            if new.primitive is p.conv:
                padding = tuple(
                    (low, high - (old - extent) * stride)
                    for (low, high), old, extent, stride in zip(
                        attributes["padding"], new.shape[1:-1], extents, attributes["strides"]
                    )
                )
                attributes = {**attributes, "padding": padding}
                return make(p.conv, new.node.inputs, attributes, types).outputs[0]
            pairs = zip(value.node.inputs, new.node.inputs)
            operands = [self._cropped(old, operand, extents) for old, operand in pairs]
            return make(new.primitive, operands, attributes, types).outputs[0]
        if new.primitive is p.broadcast and set(attributes["axes"]) <= {0, new.ndim - 1}:
            return make(p.broadcast, new.node.inputs, {**attributes, "shape": shape}, types).outputs[0]
        result: Value = p.slice(new, start=(0,) * new.ndim, limit=shape, stride=(1,) * new.ndim)
        return result


def _is_side_by_side(node: Node) -> bool:
    """Whether windows of a pooling lie side by side, without zeros around the image."""
    attributes = node.attributes
    return (
        attributes["strides"] == attributes["sizes"]
        and not any(map(any, attributes["padding"]))
        and set(attributes["dilation"]) <= {1}
    )


def _reached(extents: Shape, sizes: Shape) -> Shape:
    """The pixels that windows side by side reach."""
    return tuple(extent // size * size for extent, size in zip(extents, sizes))


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
    if not _is_side_by_side(value.node) or value.node.inputs[1].dtype != "uint8":
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
    sizes, shape = spread.attributes["sizes"], spread.attributes["shape"]
    reached = _reached(shape, sizes)
    padding = tuple(
        (low, high - (extent - end) * stride)
        for (low, high), extent, end, stride in zip(
            node.attributes["padding"], shape, reached, node.attributes["strides"]
        )
    )
    attributes = {**node.attributes, "padding": padding, "spread": sizes, "places": reached}
    primitive = conv_spread_input_grad if position == 0 else conv_spread_filter_grad
    return make(primitive, (*operands, index), attributes, node.types).outputs
