"""Convolutions in the graph: which have kernels of their own, and how others become those that do."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from math import gcd, prod
from typing import Any

from lamina.backends.cpu import convolve_winograd
from lamina.backends.cpu.convolve_boxes import ConvolveSpec
from lamina.backends.cpu.convolve_depthwise import depthwise_parts, is_depthwise
from lamina.backends.cpu.convolve_filter import filter_parts
from lamina.backends.cpu.fuse import scalar_constant
from lamina.backends.cpu.views import Resolver, View
from lamina.core.shapes import Shape
from lamina.ir import primitives as p
from lamina.ir.bind import constant_value, full
from lamina.ir.graph import Node, TensorType, Value, make
from lamina.ir.primitives import CONTRACTS, VARIADIC, Primitive


def _spread(y: TensorType, places: Shape) -> TensorType:
    return TensorType((y.shape[0], *places, y.shape[-1]), y.dtype)


def _spread_input_grad(
    y: TensorType, kernel: TensorType, index: TensorType, *, spread: Shape, places: Shape, **how: Any
) -> TensorType:
    return p.conv_input_grad.infer((_spread(y, places), kernel), how)[0]


def _spread_filter_grad(
    x: TensorType, y: TensorType, index: TensorType, *, spread: Shape, places: Shape, **how: Any
) -> TensorType:
    return p.conv_filter_grad.infer((x, _spread(y, places)), how)[0]


def _filter_parts(x: TensorType, y: TensorType, *index: TensorType, parts: int, **how: Any) -> TensorType:
    spread = how.pop("spread", ())
    places = how.pop("places", y.shape[1:-1])
    whole = _spread_filter_grad(x, y, *index[:1] or (y,), spread=spread, places=places, **how)
    return TensorType((parts, *whole.shape), whole.dtype)


# Gradients of convolutions as kernels compute them. spread: y is scatter_window of y and an index, with
# windows of these sizes side by side, and `places` its spatial extents. parts: the gradient of the kernel
# over so many equal shares of the batch, one after the other along a new first axis.
conv_spread_input_grad = Primitive("conv_spread_input_grad", 3, _spread_input_grad, frozenset({CONTRACTS}))
conv_spread_filter_grad = Primitive("conv_spread_filter_grad", 3, _spread_filter_grad, frozenset({CONTRACTS}))
conv_filter_parts = Primitive("conv_filter_parts", VARIADIC, _filter_parts, frozenset({CONTRACTS}))

INPUT_GRADIENTS = frozenset({p.conv_input_grad, conv_spread_input_grad})
FILTER_GRADIENTS = frozenset({p.conv_filter_grad, conv_spread_filter_grad, conv_filter_parts})
CONVOLUTIONS = frozenset({p.conv}) | INPUT_GRADIENTS | FILTER_GRADIENTS


def has_kernel(node: Node) -> bool:
    """Whether a convolution is computed by kernels of its own, perhaps after `interleaved` or `prepared`."""
    if node.primitive not in CONVOLUTIONS:
        return False
    if any(0 in entry.shape for entry in (*(value.type for value in node.inputs), *node.types)):
        return False
    groups = node.attributes["groups"]
    channels, outputs = _channels(node)
    return groups == 1 or min(channels, outputs) // groups >= 4


WIDE = (
    64  # channels, and outputs, from which images at least as large as the kernel are better not one matrix
)


def as_product(node: Node, inputs: tuple[Value, ...]) -> Value | None:
    """A convolution with a kernel of one tap, or its gradient for x, as a matrix product; None for others.

    Large images of many channels are left to the kernels of convolutions, which ask for the next one ahead.
    """
    attributes = node.attributes
    if node.primitive not in (p.conv, p.conv_input_grad) or attributes["groups"] != 1:
        return None
    x, kernel = inputs
    if prod(kernel.shape[:-2]) != 1 or max(attributes["strides"]) > 1 or any(map(any, attributes["padding"])):
        return None
    narrower = min(kernel.shape[-2:])
    if narrower >= WIDE and prod(x.shape[1:-1]) >= narrower:
        return None
    weights = p.reshape(kernel, shape=kernel.shape[-2:])
    side = 0 if node.primitive is p.conv else 1
    result: Value = p.dot(x, weights, contract=((x.ndim - 1,), (side,)), batch=((), ()))
    return result


def _channels(node: Node) -> tuple[int, int]:
    """Channels and outputs of all groups."""
    first, second = (value.shape for value in node.inputs[:2])
    if node.primitive in INPUT_GRADIENTS:
        return second[-2] * node.attributes["groups"], first[-1]
    return first[-1], second[-1]


def prepared(node: Node, inputs: tuple[Value, ...], resolve: Resolver) -> Sequence[Value]:
    """The results of a convolution that has a kernel, from operands that lie in memory as it reads them."""
    attributes = node.attributes
    first, second, *index = inputs
    index = [_whole(value, resolve) for value in index]
    depthwise = is_depthwise(node)
    if depthwise:
        first, second = _whole(first, resolve), _whole(second, resolve)
    if node.primitive not in FILTER_GRADIENTS:
        first = _whole(first, resolve) if index else _pixels(first, resolve)
        spec = specify(node, resolve)[0]
        if not depthwise and convolve_winograd.pays(spec):
            operands = (first, _whole(second, resolve), *index)
            turned = node.primitive in INPUT_GRADIENTS
            return [convolve_winograd.as_winograd(node, spec, operands, turned)]
        return make(node.primitive, (first, _stored(second, resolve), *index), attributes, node.types).outputs
    second = _whole(second, resolve) if index else _pixels(second, resolve)
    operands = _pixels(first, resolve), second, *index
    spec = specify(node, resolve)[0]
    parts = depthwise_parts(spec) if depthwise else filter_parts(spec)
    if parts == 1:
        return make(node.primitive, operands, attributes, node.types).outputs
    shares = (TensorType((parts, *node.types[0].shape), node.types[0].dtype),)
    partial = make(conv_filter_parts, operands, {**attributes, "parts": parts}, shares).outputs[0]
    return [p.reduce_sum(partial, axes=(0,))]


def _stored(operand: Value, resolve: Resolver) -> Value:
    """The operand, or a copy of it where it has no address."""
    in_memory = scalar_constant(operand) is None and resolve(operand).root.primitive is not p.iota
    copied: Value = p.stop_gradient(operand)
    return operand if in_memory else copied


def _pixels(operand: Value, resolve: Resolver) -> Value:
    """The operand, or a copy of it where the channels of a pixel are not neighbours in memory."""
    dense = resolve(operand).strides[-1] == 1 or operand.shape[-1] == 1
    copied: Value = p.stop_gradient(operand)
    return _stored(operand, resolve) if dense else copied


def _whole(operand: Value, resolve: Resolver) -> Value:
    """The operand, or a copy of it where its elements do not lie one after the other."""
    view = resolve(operand)
    dense = view.offset == 0 and [
        stride for extent, stride in zip(operand.shape, view.strides) if extent != 1
    ] == [stride for extent, stride in zip(operand.shape, (*_rows(operand.shape), 1)) if extent != 1]
    copied: Value = p.stop_gradient(operand)
    return _stored(operand, resolve) if dense else copied


def specify(node: Node, resolve: Resolver) -> tuple[ConvolveSpec, View, View, int]:
    """What the kernel is to compute; its operands as views; where in the second one it starts.

    The gradient of x is specified as a convolution of y, but for depthwise ones.
    """
    if node.primitive is convolve_winograd.conv_winograd:
        x, taps = (resolve(value) for value in node.inputs[:2])
        return convolve_winograd.specify(node, x.strides[:-1]), x, taps, taps.offset
    attributes = node.attributes
    groups, strides, dilation = attributes["groups"], attributes["strides"], attributes["dilation"]
    low = tuple(before for before, _ in attributes["padding"])
    first, second = node.inputs[:2]
    left, right = resolve(first), resolve(second)
    channels, outputs = (count // groups for count in _channels(node))
    spread = attributes.get("spread", ())
    if node.primitive is p.conv:
        spec = ConvolveSpec(
            first.shape[0], first.shape[1:-1], channels, second.shape[:-2], outputs, groups, strides, low,
            dilation, node.types[0].shape[1:-1], left.strides[:-1], right.strides,
            outputs * right.strides[-1], _rows(node.types[0].shape), first.dtype,
        )  # fmt: skip
        return spec, left, right, right.offset
    if node.primitive in INPUT_GRADIENTS:
        spec = ConvolveSpec(
            first.shape[0], attributes["shape"], channels, second.shape[:-2], outputs, groups, strides, low,
            dilation, attributes.get("places", first.shape[1:-1]), _rows(node.types[0].shape), right.strides,
            outputs * right.strides[-1], left.strides[:-1], first.dtype, spread,
        )  # fmt: skip
        if is_depthwise(node):
            return spec, left, right, right.offset
        turned, start = spec.turned
        return turned, left, right, right.offset + start
    kernel = (*attributes["shape"], channels, outputs * groups)
    spec = ConvolveSpec(
        first.shape[0], first.shape[1:-1], channels, attributes["shape"], outputs, groups, strides, low,
        dilation, attributes.get("places", second.shape[1:-1]), left.strides[:-1], _rows((*kernel, 1)),
        outputs, right.strides[:-1], first.dtype, spread,
    )  # fmt: skip
    return spec, left, right, right.offset


def _rows(shape: Shape) -> tuple[int, ...]:
    """Strides of all axes but the last of a dense tensor."""
    return tuple(prod(shape[axis + 1 :]) for axis in range(len(shape) - 1))


# --- strides, backward -----------------------------------------------------------------------------


def interleaved(node: Node, y: Value, kernel: Value) -> Value:
    """The gradient of x for strides above 1: elements that are `stride` apart see the same taps.

    Each such set of elements is a convolution with strides of 1 and some of the taps; they are put together
    axis by axis. Where only one of the sets sees any taps, as with a kernel of one tap, zeros are put
    between its elements instead.
    """
    shape, strides = node.attributes["shape"], node.attributes["strides"]
    every = list(product(*(range(stride) for stride in strides)))
    seeing = [first for first in every if all(_taps(node, kernel, axis, at) for axis, at in enumerate(first))]
    if len(seeing) == 1 and all(at < extent for at, extent in zip(seeing[0], shape)):
        return _among_zeros(node, y, kernel, seeing[0])
    counts = tuple(-(-extent // stride) for extent, stride in zip(shape, strides))
    sets = {first: _every(node, y, kernel, first, counts) for first in every}
    for axis in reversed(range(len(strides))):
        joined: dict[tuple[int, ...], list[Value]] = {}
        for first, value in sets.items():
            joined.setdefault(first[:axis], []).append(value)
        sets = {first: _woven(values, axis + 1) for first, values in joined.items()}
    whole = sets[()]
    result: Value = p.slice(
        whole,
        start=(0,) * whole.ndim,
        limit=(whole.shape[0], *shape, whole.shape[-1]),
        stride=(1,) * whole.ndim,
    )
    return result


def _among_zeros(node: Node, y: Value, kernel: Value, first: Shape) -> Value:
    """The gradient of x where only elements first, first + stride, ... see taps of the kernel."""
    shape, strides = node.attributes["shape"], node.attributes["strides"]
    counts = tuple(-(-(extent - at) // stride) for extent, stride, at in zip(shape, strides, first))
    after = tuple(
        extent - at - (count - 1) * stride - 1
        for extent, stride, at, count in zip(shape, strides, first, counts)
    )
    result: Value = p.pad(
        _every(node, y, kernel, first, counts),
        constant_value(0, y.dtype),
        low=(0, *first, 0),
        high=(0, *after, 0),
        interior=(0, *(stride - 1 for stride in strides), 0),
    )
    return result


def _taps(node: Node, kernel: Value, axis: int, at: int) -> list[int]:
    """The taps along an axis of the kernel that elements at, at + stride, ... of x see."""
    stride, every = node.attributes["strides"][axis], node.attributes["dilation"][axis]
    low = node.attributes["padding"][axis][0]
    return [tap for tap in range(kernel.shape[axis]) if (at + low - tap * every) % stride == 0]


def _every(node: Node, y: Value, kernel: Value, first: tuple[int, ...], counts: Shape) -> Value:
    """Elements first, first + stride, ... of the gradient of x, `counts` of them along each axis."""
    attributes = node.attributes
    starts, steps, limits, dilation, padding = [], [], [], [], []
    for axis, at in enumerate(first):
        stride, every = attributes["strides"][axis], attributes["dilation"][axis]
        low, seen = attributes["padding"][axis][0], _taps(node, kernel, axis, at)
        if not seen:
            shape = (y.shape[0], *counts, kernel.shape[-2] * attributes["groups"])
            return full(shape, 0, y.dtype)
        step = stride // gcd(stride, every)
        before = (at + low - seen[0] * every) // stride
        starts.append(seen[0])
        steps.append(step)
        limits.append(seen[-1] + 1)
        dilation.append(every * step // stride)
        reach = (len(seen) - 1) * dilation[-1]
        padding.append((before, y.shape[1 + axis] - counts[axis] - before + reach))
    taken = p.slice(kernel, start=(*starts, 0, 0), limit=(*limits, *kernel.shape[-2:]), stride=(*steps, 1, 1))
    how = {
        "shape": counts, "strides": (1,) * len(counts), "padding": tuple(padding),
        "dilation": tuple(dilation), "groups": attributes["groups"],
    }  # fmt: skip
    result = TensorType((y.shape[0], *counts, taken.shape[-2] * attributes["groups"]), y.dtype)
    return make(p.conv_input_grad, (y, taken), how, (result,)).outputs[0]


def _woven(values: Sequence[Value], axis: int) -> Value:
    """Elements of several tensors in turn along an axis."""
    shape = values[0].shape
    apart = (*shape[: axis + 1], 1, *shape[axis + 1 :])
    together = p.concatenate(*(p.reshape(value, shape=apart) for value in values), axis=axis + 1)
    count = shape[axis] * len(values)
    result: Value = p.reshape(together, shape=(*shape[:axis], count, *shape[axis + 1 :]))
    return result
