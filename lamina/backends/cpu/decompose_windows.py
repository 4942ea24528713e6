"""Convolutions tap by tap, as slices, pads and products: those that have no kernel of their own.

A tap is one element of the window. From all places of the window it sees a strided slice of the padded
operand; backward, what is sent to it is padded back to where it came from.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import reduce

import numpy as np

from lamina.backends.cpu.convolve_depthwise import is_depthwise
from lamina.backends.cpu.convolve_nodes import as_product, has_kernel, interleaved
from lamina.backends.cpu.depthwise import as_weighing
from lamina.core.windows import Padding
from lamina.ir import primitives as p
from lamina.ir.bind import constant_value
from lamina.ir.graph import Node, TensorType, Value, make
from lamina.ir.primitives import Primitive

Ints = tuple[int, ...]
HALVES = ("float16", "bfloat16")


def decompose_window(node: Node, inputs: tuple[Value, ...]) -> tuple[Value, ...] | None:
    """The results of a primitive with windows, from what has kernels; None for what has one itself."""
    if node.primitive not in DECOMPOSED:
        return None
    if is_depthwise(node):
        return None
    apart = _one_filter_each(node, inputs)
    if apart is not None:
        return (apart,)
    single = as_product(node, inputs) or as_weighing(node, inputs)
    if single is not None:
        return (single,)
    if has_kernel(node):
        strided = node.primitive is p.conv_input_grad and max(node.attributes["strides"]) > 1
        return (interleaved(node, *inputs),) if strided else None
    attributes = dict(node.attributes)
    if "shape" not in attributes:
        attributes["places"] = node.types[0].shape[1:-1]
    result = DECOMPOSED[node.primitive](*inputs, **attributes)
    return result if isinstance(result, tuple) else (result,)


def _one_filter_each(node: Node, inputs: tuple[Value, ...]) -> Value | None:
    """Several filters for each channel as one filter for each of several copies of it; None for others."""
    if node.primitive not in DECOMPOSED:
        return None
    first, second = inputs
    groups, back = node.attributes["groups"], node.primitive is p.conv_input_grad
    is_filter = node.primitive is p.conv_filter_grad
    kernel = node.types[0].shape if is_filter else second.shape
    if groups == 1 or kernel[-2] != 1 or kernel[-1] == groups:
        return None
    filters = kernel[-1] // groups
    attributes = {**node.attributes, "groups": kernel[-1]}
    if not back:
        first = _repeated(first, filters)
        each = make(node.primitive, (first, second), attributes, node.types).outputs[0]
        return each if is_depthwise(each.node) else None
    whole = TensorType((*node.types[0].shape[:-1], kernel[-1]), first.dtype)
    each = make(node.primitive, (first, second), attributes, (whole,)).outputs[0]
    if not is_depthwise(each.node):
        return None
    apart = p.reshape(each, shape=(*whole.shape[:-1], groups, filters))
    result: Value = p.reduce_sum(apart, axes=(apart.ndim - 1,))
    return result


# --- taps ------------------------------------------------------------------------------------------


def _taps(sizes: Ints) -> Iterator[Ints]:
    return iter(np.ndindex(*sizes))


def _padded(x: Value, padding: Padding, fill: float | bool = 0) -> Value:
    low, high = (tuple(pair[side] for pair in padding) for side in range(2))
    if not any((*low, *high)):
        return x
    number = constant_value(fill, x.dtype)
    result: Value = p.pad(x, number, low=(0, *low, 0), high=(0, *high, 0), interior=(0,) * x.ndim)
    return result


def _seen(x: Value, tap: Ints, places: Ints, strides: Ints, dilation: Ints) -> Value:
    """What a tap sees of padded x from all places."""
    start = tuple(position * step for position, step in zip(tap, dilation))
    limit = tuple(first + (count - 1) * stride + 1 for first, count, stride in zip(start, places, strides))
    result: Value = p.slice(
        x, start=(0, *start, 0), limit=(x.shape[0], *limit, x.shape[-1]), stride=(1, *strides, 1)
    )
    return result


def _sent_back(y: Value, tap: Ints, shape: Ints, strides: Ints, padding: Padding, dilation: Ints) -> Value:
    """y at the elements of padded x that a tap saw, zero elsewhere."""
    low = tuple(position * step for position, step in zip(tap, dilation))
    widened = (before + extent + after for extent, (before, after) in zip(shape, padding))
    high = tuple(
        extent - first - (count - 1) * stride - 1
        for extent, first, count, stride in zip(widened, low, y.shape[1:-1], strides)
    )
    interior = (0, *(stride - 1 for stride in strides), 0)
    result: Value = p.pad(
        y, constant_value(0, y.dtype), low=(0, *low, 0), high=(0, *high, 0), interior=interior
    )
    return result


def _unpadded(x: Value, shape: Ints, padding: Padding) -> Value:
    low = tuple(before for before, _ in padding)
    limit = tuple(before + extent for before, extent in zip(low, shape))
    result: Value = p.slice(
        x, start=(0, *low, 0), limit=(x.shape[0], *limit, x.shape[-1]), stride=(1,) * x.ndim
    )
    return result


def _total(terms: Iterator[Value]) -> Value:
    return reduce(p.add, terms)


# --- convolutions ----------------------------------------------------------------------------------


def _in_float32(function: Callable[..., Value]) -> Callable[..., Value]:
    """Half precision is summed in float32 and rounded once."""

    def widened(x: Value, y: Value, **how: object) -> Value:
        if x.dtype not in HALVES:
            return function(x, y, **how)
        result = function(p.cast(x, dtype="float32"), p.cast(y, dtype="float32"), **how)
        rounded: Value = p.cast(result, dtype=x.dtype)
        return rounded

    return widened


def _grouped(x: Value, groups: int) -> Value:
    """The last axis as two: group, channel of the group."""
    result: Value = p.reshape(x, shape=(*x.shape[:-1], groups, x.shape[-1] // groups))
    return result


def _ungrouped(x: Value) -> Value:
    """[group, ..., channel of the group] as [..., channel]."""
    order = (*range(1, x.ndim - 1), 0, x.ndim - 1)
    last = x.shape[0] * x.shape[-1]
    result: Value = p.reshape(p.transpose(x, permutation=order), shape=(*x.shape[1:-1], last))
    return result


def _tap_of(kernel: Value, tap: Ints) -> Value:
    """The kernel's matrix [channels of a group, filters] at one tap."""
    limit = (*(position + 1 for position in tap), *kernel.shape[-2:])
    taken = p.slice(kernel, start=(*tap, 0, 0), limit=limit, stride=(1,) * kernel.ndim)
    result: Value = p.reshape(taken, shape=kernel.shape[-2:])
    return result


def _conv(
    x: Value, kernel: Value, *, strides: Ints, padding: Padding, dilation: Ints, groups: int, places: Ints
) -> Value:
    padded, last = _padded(x, padding), x.ndim

    def product(tap: Ints) -> Value:
        if groups == x.shape[-1]:
            seen = _repeated(_seen(padded, tap, places, strides, dilation), kernel.shape[-1] // groups)
            return _scaled(seen, _tap_of(kernel, tap))
        seen = _grouped(_seen(padded, tap, places, strides, dilation), groups)
        weights = _grouped(_tap_of(kernel, tap), groups)
        dot: Value = p.dot(seen, weights, contract=((last,), (0,)), batch=((last - 1,), (1,)))
        return _ungrouped(dot)

    return _total(map(product, _taps(kernel.shape[:-2])))


def _conv_input_grad(
    y: Value, kernel: Value, *, shape: Ints, strides: Ints, padding: Padding, dilation: Ints, groups: int
) -> Value:
    grouped, last = _grouped(y, groups), y.ndim

    def sent(tap: Ints) -> Value:
        weights = _grouped(_tap_of(kernel, tap), groups)
        dot = p.dot(grouped, weights, contract=((last,), (2,)), batch=((last - 1,), (1,)))
        return _sent_back(_ungrouped(dot), tap, shape, strides, padding, dilation)

    return _unpadded(_total(map(sent, _taps(kernel.shape[:-2]))), shape, padding)


def _repeated(x: Value, times: int) -> Value:
    """Every channel so many times, one after the other."""
    if times == 1:
        return x
    last = x.ndim - 1
    spread = p.broadcast(x, shape=(*x.shape, times), axes=tuple(range(x.ndim)))
    result: Value = p.reshape(spread, shape=(*x.shape[:last], x.shape[last] * times))
    return result


def _scaled(x: Value, weights: Value) -> Value:
    """Channels times the weights of a kernel that keeps channels apart."""
    row = p.reshape(weights, shape=x.shape[-1:])
    result: Value = p.multiply(x, p.broadcast(row, shape=x.shape, axes=(x.ndim - 1,)))
    return result


def _conv_filter_grad(
    x: Value, y: Value, *, shape: Ints, strides: Ints, padding: Padding, dilation: Ints, groups: int
) -> Value:
    padded, grouped, last = _padded(x, padding), _grouped(y, groups), x.ndim
    summed = tuple(range(x.ndim - 1))

    def product(tap: Ints) -> Value:
        if groups == x.shape[-1]:
            seen = _repeated(_seen(padded, tap, y.shape[1:-1], strides, dilation), y.shape[-1] // groups)
            return p.reshape(p.reduce_sum(p.multiply(seen, y), axes=summed), shape=(1, 1, y.shape[-1]))
        seen = _grouped(_seen(padded, tap, y.shape[1:-1], strides, dilation), groups)
        dot = p.dot(seen, grouped, contract=(summed, summed), batch=((last - 1,), (last - 1,)))
        result: Value = p.reshape(_ungrouped(dot), shape=(1, x.shape[-1] // groups, y.shape[-1]))
        return result

    taps = [product(tap) for tap in _taps(shape)]
    whole: Value = p.reshape(p.concatenate(*taps, axis=0), shape=(*shape, *taps[0].shape[1:]))
    return whole


DECOMPOSED: dict[Primitive, Callable[..., Value | tuple[Value, ...]]] = {
    p.conv: _in_float32(_conv),
    p.conv_input_grad: _in_float32(_conv_input_grad),
    p.conv_filter_grad: _in_float32(_conv_filter_grad),
}
