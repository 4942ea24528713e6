"""Random typed graphs over all primitives, for whatever must keep or reproduce a graph's numbers.

    @given(programs())
    def test_something(program):
        graph, arrays = program
        assert_agrees(graph, arrays, native(graph, arrays))

GROW has one row per primitive: how a graph grows by a node of it. A row gets a `Grower` and returns the
new value or values, or None when nothing in the graph fits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from hypothesis import strategies as st

from lamina.core import dtypes
from lamina.core.errors import LaminaError
from lamina.core.shapes import size
from lamina.core.windows import every_place_has_an_element, places
from lamina.interp import control
from lamina.interp.eval import evaluate, run_graph
from lamina.ir import primitives as p
from lamina.ir.bind import apply, constant_value, full, iota_value
from lamina.ir.bodies import body_inputs, captured, make_body
from lamina.ir.graph import Graph, Node, TensorType, Value, constant_type
from lamina.ir.primitives import CONTROLS, ELEMENTWISE, MOVES, Primitive
from lamina.ir.text import to_text
from lamina.ir.trace import new_input

EXTENTS = (1, 2, 3, 7, 16, 17, 33)
DTYPES = ("float32", "float64", "float16", "bfloat16", "int32", "int64", "int8", "uint8", "bool")
SPECIAL = (0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, np.nan, 1e-30)
LARGEST = 4096  # elements


class Grower:
    """A graph being drawn: its values so far, and ways to draw more."""

    def __init__(self, draw: Callable[..., Any], allowed: Sequence[str], exact: bool) -> None:
        self.draw = draw
        self.dtypes = tuple(allowed)
        self.exact = exact
        some = draw(st.lists(st.sampled_from(EXTENTS), min_size=2, max_size=3))
        self.extents = tuple(some) + ((0,) if draw(st.integers(0, 9)) == 9 else ())
        self.random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
        self.special = draw(st.booleans())
        self.pool: list[Value] = []

    def one_of(self, choices: Sequence[Any]) -> Any:
        return self.draw(st.sampled_from(list(choices)))

    def number(self, low: int, high: int) -> int:
        return int(self.draw(st.integers(low, high)))

    def shape(self) -> tuple[int, ...]:
        shape = tuple(self.one_of(self.extents) for _ in range(self.number(0, 3)))
        return shape if size(shape) <= LARGEST else shape[:1]

    def value(self, fits: Callable[[Value], bool]) -> Value | None:
        """A value of the graph that fits, most often a new one, so that operations stand on each other."""
        found = [value for value in reversed(self.pool) if fits(value)]
        if not found:
            return None
        return self.one_of(found[:3] if self.number(0, 3) else found)

    def another(self, type: TensorType) -> Value:
        """A value of this type: one of the graph, a repeated one, a cast one, or a constant."""
        way = self.number(0, 5)
        same = self.value(lambda value: value.type == type)
        if way <= 2 and same is not None:
            return same
        if way == 3:
            small = self.value(lambda v: v.dtype == type.dtype and v.ndim and v.shape == type.shape[: v.ndim])
            if small is not None and small.ndim < len(type.shape):
                return p.broadcast(small, shape=type.shape, axes=tuple(range(small.ndim)))
        if way == 4:
            other = self.value(lambda value: value.shape == type.shape)
            if other is not None and other.dtype != type.dtype:
                return p.cast(other, dtype=type.dtype)
        if way == 5:
            return constant_value(self.array(type))
        return full(type.shape, self.one_of((0, 1, 2) if type.dtype != "bool" else (False, True)), type.dtype)

    def array(self, type: TensorType) -> np.ndarray[Any, Any]:
        """Data of this type."""
        if type.dtype == "bool":
            return self.random.integers(0, 2, type.shape).astype(bool)
        if dtypes.is_integer(type.dtype):
            low = 0 if dtypes.is_unsigned(type.dtype) else -20
            return self.random.integers(low, 21, type.shape).astype(dtypes.to_numpy(type.dtype))
        numbers = np.asarray(self.random.normal(0, 2, type.shape))
        if self.special:
            place = self.random.random(type.shape) < 0.1
            numbers = np.where(place, self.random.choice(SPECIAL, type.shape), numbers)
        return numbers.astype(dtypes.to_numpy(type.dtype))

    def whole(self, x: Value) -> Value:
        """When sums must be exact in any order: x as small whole numbers."""
        if not self.exact or not dtypes.is_float(x.dtype):
            return x
        bounded = p.minimum(p.maximum(x, full(x.shape, -8, x.dtype)), full(x.shape, 8, x.dtype))
        return p.round_even(bounded)

    def axes(self, x: Value) -> tuple[int, ...]:
        return tuple(axis for axis in range(x.ndim) if self.draw(st.booleans()))

    def ranked(self, fits: Callable[[Value], bool] = lambda value: True) -> Value | None:
        """A value that has axes."""
        return self.value(lambda value: value.ndim > 0 and fits(value))


class Program(NamedTuple):
    """A graph, and data for its inputs."""

    graph: Graph
    arrays: list[np.ndarray[Any, Any]]

    def __repr__(self) -> str:
        return f"\n{to_text(self.graph)}with {self.arrays}"


Grow = Callable[[Grower], "Value | tuple[Value, ...] | None"]


def is_number(x: Value) -> bool:
    return x.dtype != "bool"


def is_float(x: Value) -> bool:
    return dtypes.is_float(x.dtype)


def is_integer(x: Value) -> bool:
    return dtypes.is_integer(x.dtype)


def accepts(primitive: Primitive, type: TensorType) -> bool:
    try:
        primitive.infer((type,) * primitive.arity, {})
    except LaminaError:
        return False
    return True


def elementwise(primitive: Primitive) -> Grow:
    def grow(grower: Grower) -> Value | None:
        x = grower.value(lambda value: accepts(primitive, value.type))
        if x is None:
            return None
        operands = [x, *(grower.another(x.type) for _ in range(primitive.arity - 1))]
        return primitive(*(reversed(operands) if grower.draw(st.booleans()) else operands))

    return grow


def grow_cast(grower: Grower) -> Value:
    return p.cast(grower.value(lambda value: True), dtype=grower.one_of(grower.dtypes))


def shift(primitive: Primitive) -> Grow:
    def grow(grower: Grower) -> Value | None:
        x = grower.value(is_integer)
        return x and primitive(x, full(x.shape, grower.number(0, 40), x.dtype))

    return grow


def grow_select(grower: Grower) -> Value:
    x = grower.value(lambda value: True)
    condition = grower.value(lambda value: value.type == TensorType(x.shape, "bool"))
    if condition is None:
        condition = p.less(x, grower.another(x.type))
    return p.select(condition, x, grower.another(x.type))


def reduction(primitive: Primitive, exact: bool = True) -> Grow:
    def grow(grower: Grower) -> Value | None:
        nonempty = primitive in (p.reduce_max, p.reduce_min)
        x = grower.ranked(lambda v: (nonempty or is_number(v)) and not (nonempty and 0 in v.shape))
        return x and primitive(x if exact else grower.whole(x), axes=grower.axes(x))

    return grow


def arg(primitive: Primitive) -> Grow:
    def grow(grower: Grower) -> Value | None:
        x = grower.ranked(lambda value: 0 not in value.shape)
        return x and primitive(x, axis=grower.number(0, x.ndim - 1))

    return grow


def grow_cumulative_sum(grower: Grower) -> Value | None:
    x = grower.ranked(is_number)
    return x and p.cumulative_sum(
        grower.whole(x), axis=grower.number(0, x.ndim - 1), reverse=grower.draw(st.booleans())
    )


def grow_reshape(grower: Grower) -> Value:
    x = grower.value(lambda value: True)
    shapes = [(x.size,), (1, *x.shape), (*x.shape, 1), tuple(extent for extent in x.shape if extent != 1)]
    if x.ndim > 1:
        shapes += [(x.shape[0] * x.shape[1], *x.shape[2:]), x.shape[::-1]]
    return p.reshape(x, shape=grower.one_of(shapes))


def grow_transpose(grower: Grower) -> Value:
    x = grower.value(lambda value: True)
    return p.transpose(x, permutation=tuple(grower.draw(st.permutations(range(x.ndim)))))


def grow_broadcast(grower: Grower) -> Value | None:
    """New axes anywhere, and axes of extent 1 repeated."""
    x = grower.value(lambda value: value.ndim < 4)
    if x is None:
        return None
    shape = [grower.one_of(grower.extents) if extent == 1 else extent for extent in x.shape]
    axes = list(range(x.ndim))
    if x.ndim < 3:
        place = grower.number(0, x.ndim)
        shape.insert(place, grower.one_of(grower.extents))
        axes = [axis + (axis >= place) for axis in axes]
    if size(shape) > LARGEST:
        return None
    return p.broadcast(x, shape=tuple(shape), axes=tuple(axes))


def grow_slice(grower: Grower) -> Value:
    x = grower.value(lambda value: True)
    start = tuple(grower.number(0, min(extent, 3)) for extent in x.shape)
    limit = tuple(max(low, extent - grower.number(0, 3)) for low, extent in zip(start, x.shape))
    return p.slice(x, start=start, limit=limit, stride=tuple(grower.number(1, 3) for _ in x.shape))


def grow_pad(grower: Grower) -> Value | None:
    x = grower.value(lambda value: 2**value.ndim * value.size <= LARGEST)
    if x is None:
        return None
    low, high, interior = (tuple(grower.number(0, 2) for _ in x.shape) for _ in range(3))
    return p.pad(x, grower.another(TensorType((), x.dtype)), low=low, high=high, interior=interior)


def grow_concatenate(grower: Grower) -> Value | None:
    x = grower.ranked(lambda value: value.size <= LARGEST // 3)
    if x is None:
        return None
    parts = [x, *(grower.another(x.type) for _ in range(grower.number(0, 2)))]
    return p.concatenate(*parts, axis=grower.number(0, x.ndim - 1))


def grow_reverse(grower: Grower) -> Value | None:
    x = grower.ranked()
    return x and p.reverse(x, axes=grower.axes(x))


def grow_constant(grower: Grower) -> Value:
    return constant_value(grower.array(TensorType(grower.shape(), grower.one_of(grower.dtypes))))


def grow_input(grower: Grower) -> Value:
    return new_input("x", TensorType(grower.shape(), grower.one_of(grower.dtypes)))


def grow_iota(grower: Grower) -> Value | None:
    shape, dtype = grower.shape(), grower.one_of(grower.dtypes)
    return iota_value(shape, grower.number(0, len(shape) - 1), dtype) if shape and dtype != "bool" else None


def grow_dot(grower: Grower) -> Value | None:
    """x against a partner with the same contracted and batch axes, in any order, and perhaps a free axis."""
    x = grower.value(lambda value: is_number(value) and value.ndim <= 3)
    if x is None:
        return None
    roles = [grower.one_of(("contract", "batch", "free")) for _ in x.shape]
    shared = [axis for axis, role in enumerate(roles) if role != "free"]
    order = grower.draw(st.permutations(shared))
    shape = [x.shape[axis] for axis in order]
    free = grower.draw(st.booleans())
    place = grower.number(0, len(shape)) if free else 0
    if free:
        shape.insert(place, grower.one_of(grower.extents))
    free_x = [x.shape[axis] for axis, role in enumerate(roles) if role == "free"]
    if size(shape) * size(free_x) > 2 * LARGEST:
        return None
    y = grower.another(TensorType(tuple(shape), x.dtype))
    place_in_y = {axis: position + (free and position >= place) for position, axis in enumerate(order)}

    def pair(role: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
        ours = tuple(axis for axis in shared if roles[axis] == role)
        return ours, tuple(int(place_in_y[axis]) for axis in ours)

    return p.dot(grower.whole(x), grower.whole(y), contract=pair("contract"), batch=pair("batch"))


def grow_attention(grower: Grower) -> tuple[Value, ...] | None:
    """A value as query against keys and values of other lengths, perhaps with a mask; small numbers."""
    query = attention_operand(grower)
    if query is None:
        return None
    batch, _, heads, depth = query.shape
    source, groups = grower.one_of(grower.extents) or 1, grower.one_of((1, heads))
    key, value = (
        bounded(grower.another(TensorType((batch, source, groups, size), query.dtype)))
        for size in (depth, grower.one_of((1, 3)))
    )
    others = [grower.another(TensorType((batch, 1, source, 1), "bool"))] if grower.draw(st.booleans()) else []
    rate = grower.one_of((0.0, 0.3))
    if rate:
        others.append(constant_value(grower.random.integers(0, 2**32, 2, dtype=np.uint32)))
    return p.attention(query, key, value, *others, causal=grower.draw(st.booleans()), scale=0.5, rate=rate)


def grow_attention_grad(grower: Grower) -> tuple[Value, ...] | None:
    forward = grow_attention(grower)
    if forward is None:
        return None
    node = forward[0].node
    cotangent = bounded(grower.another(forward[0].type))
    return p.attention_grad(*node.inputs[:3], *forward, cotangent, *node.inputs[3:], **node.attributes)


def attention_operand(grower: Grower) -> Value | None:
    """Any float value as (batch, length, heads, features)."""
    x = grower.value(lambda value: is_float(value) and 0 < value.size <= LARGEST // 8 and value.ndim < 4)
    return x and bounded(p.reshape(x, shape=(1,) * (3 - x.ndim) + x.shape + (1,)))


def bounded(x: Value) -> Value:
    """x within -2 .. 2, and 0 for what is not finite."""
    finite = p.select(p.is_finite(x), x, full(x.shape, 0, x.dtype))
    return p.minimum(p.maximum(finite, full(x.shape, -2, x.dtype)), full(x.shape, 2, x.dtype))


def window_over(grower: Grower, spatial: Sequence[int]) -> dict[str, Any] | None:
    """Sizes, strides, padding and dilation of some window that fits."""
    window = {
        "sizes": tuple(grower.number(1, 3) for _ in spatial),
        "strides": tuple(grower.number(1, 3) for _ in spatial),
        "padding": tuple((grower.number(0, 1), grower.number(0, 2)) for _ in spatial),
        "dilation": tuple(grower.number(1, 2) for _ in spatial),
    }
    try:
        places(spatial, **window)
    except LaminaError:
        return None
    return window


def image(grower: Grower) -> Value | None:
    """A value as [batch, *spatial, channels], with one or two spatial axes."""
    x = grower.value(lambda value: is_number(value) and 2 <= value.ndim <= 4 and value.size <= LARGEST // 4)
    return x and (p.reshape(x, shape=(1, *x.shape)) if x.ndim == 2 else x)


def convolution(primitive: Primitive) -> Grow:
    """conv, or one of its adjoints with the operands that a conv of this x has."""

    def grow(grower: Grower) -> Value | None:
        x = image(grower)
        window = None if x is None else window_over(grower, x.shape[1:-1])
        if x is None or window is None:
            return None
        sizes, channels, shape = window.pop("sizes"), x.shape[-1], x.shape[1:-1]
        groups = grower.one_of(
            [count for count in (1, 2, channels) if count and channels % count == 0] or [1]
        )
        kernel_type = TensorType((*sizes, channels // groups, groups * grower.number(1, 3)), x.dtype)
        if size(kernel_type.shape) > LARGEST:
            return None
        y_type = TensorType((x.shape[0], *places(shape, sizes, **window), kernel_type.shape[-1]), x.dtype)
        how = {**window, "groups": groups}
        x, kernel, y = (grower.whole(v) for v in (x, grower.another(kernel_type), grower.another(y_type)))
        if primitive is p.conv:
            return p.conv(x, kernel, **how)
        if primitive is p.conv_input_grad:
            return p.conv_input_grad(y, kernel, shape=shape, **how)
        return p.conv_filter_grad(x, y, shape=sizes, **how)

    return grow


def pooling(primitive: Primitive) -> Grow:
    """A primitive of the section window, with the operands that one over this x has."""

    def grow(grower: Grower) -> Value | tuple[Value, ...] | None:
        x = image(grower)
        window = None if x is None else window_over(grower, x.shape[1:-1])
        if x is None or window is None:
            return None
        if primitive is p.sum_window:
            return p.sum_window(grower.whole(x), **window)
        shape = x.shape[1:-1]
        if primitive is p.max_window:
            return p.max_window(x, **window) if every_place_has_an_element(shape, **window) else None
        y_type = TensorType((x.shape[0], *places(shape, **window), x.shape[-1]), x.dtype)
        index = grower.another(TensorType(y_type.shape, "uint8"))
        if primitive is p.gather_window:
            return p.gather_window(x, index, **window)
        y = grower.whole(grower.another(y_type))
        if primitive is p.scatter_window:
            return p.scatter_window(y, index, shape=shape, **window)
        return p.spread_window(y, shape=shape, **window)

    return grow


def indices_for(grower: Grower, extent: int) -> Value:
    """Whole numbers inside the extent, sometimes outside."""
    shape = (grower.one_of((1, 2, 3, 7)),) if grower.draw(st.booleans()) else ()
    array = grower.random.integers(-2, extent + 2, shape).astype(np.int32)
    return constant_value(array)


def grow_gather(grower: Grower) -> Value | None:
    x = grower.ranked(lambda value: 0 not in value.shape and value.size <= LARGEST // 7)
    if x is None:
        return None
    axis = grower.number(0, x.ndim - 1)
    return p.gather(x, indices_for(grower, x.shape[axis]), axis=axis)


def grow_scatter_add(grower: Grower) -> Value | None:
    x = grower.ranked(lambda value: is_number(value) and value.size <= LARGEST // 7)
    if x is None:
        return None
    axis = grower.number(0, x.ndim - 1)
    indices = indices_for(grower, x.shape[axis])
    updates = grower.another(TensorType(x.shape[:axis] + indices.shape + x.shape[axis + 1 :], x.dtype))
    return p.scatter_add(grower.whole(x), indices, grower.whole(updates), axis=axis)


def grow_random_bits(grower: Grower) -> Value:
    key = constant_value(grower.random.integers(0, 2**32, 2, dtype=np.uint32))
    bits = p.random_bits(key, shape=grower.shape())
    return bits if "uint32" in grower.dtypes else p.cast(bits, dtype=grower.one_of(grower.dtypes))


def grow_sort(grower: Grower) -> tuple[Value, ...] | None:
    x = grower.ranked()
    return x and p.sort(x, axis=grower.number(0, x.ndim - 1), descending=grower.draw(st.booleans()))


def grow_host(grower: Grower) -> tuple[Value, ...] | None:
    x = grower.ranked(lambda value: dtypes.is_float(value.dtype))
    if x is None:
        return None
    options = (("axes", (grower.number(0, x.ndim - 1),)), ("inverse", grower.draw(st.booleans())))
    return p.host(x, p.negative(x), function="fft", options=options)


def grow_inside(grower: Grower, kinds: Sequence[TensorType]) -> tuple[tuple[Value, ...], list[Value]]:
    """A few nodes of a nested graph with these inputs: (inputs, all its values)."""
    inputs = tuple(new_input("inside", kind) for kind in kinds)
    outer, grower.pool = grower.pool, list(inputs)
    simple = [primitive for primitive in GROW if not primitive.has(CONTROLS) and primitive is not p.input]
    for _ in range(grower.number(1, 4)):
        grown = GROW[grower.one_of(simple)](grower)
        if grown is not None:
            grower.pool += grown if isinstance(grown, tuple) else (grown,)
    values, grower.pool = grower.pool, outer
    return inputs, values


def closed(
    inputs: Sequence[Value], outputs: Sequence[Value], operands: Sequence[Value]
) -> tuple[list[Value], Graph]:
    """The nested graph, with what it takes from outside before its inputs; and all its operands."""
    outside = captured(inputs, outputs)
    return [*outside, *operands], make_body([*outside, *inputs], outputs)


def grow_scan(grower: Grower) -> tuple[Value, ...] | None:
    """One carried value and slices of another."""
    xs = grower.ranked(lambda value: value.shape[0] < 8 and value.size <= LARGEST // 8)
    start = grower.value(lambda value: value.size <= LARGEST // 8)
    if xs is None or start is None:
        return None
    kinds = [start.type, TensorType(xs.shape[1:], xs.dtype)]
    inputs, values = grow_inside(grower, kinds)
    carried = [value for value in values if value.type == start.type]
    results = [value for value in values[-2:] if value.size <= LARGEST // 8]
    outputs = [grower.whole(carried[-1]), *results]
    operands, body = closed(inputs, outputs, [start, xs])
    found = apply(
        p.scan,
        operands,
        {
            "body": body,
            "length": xs.shape[0],
            "consts": len(operands) - 2,
            "carries": 1,
            "reverse": grower.draw(st.booleans()),
        },
    )
    return tuple(found)


def grow_while_loop(grower: Grower) -> tuple[Value, ...] | None:
    """A counter that ends the loop, and one more value."""
    start = grower.value(lambda value: value.size <= LARGEST // 8)
    if start is None:
        return None
    counter = TensorType((), "int32")
    (count, x), values = grow_inside(grower, [counter, start.type])
    carried = [value for value in values if value.type == start.type and value is not count]
    outputs = [p.add(count, full((), 1, "int32")), grower.whole(carried[-1])]
    operands, body = closed([count, x], outputs, [full((), grower.number(-3, 2), "int32"), start])
    inputs = body_inputs([value.type for value in operands])
    condition = Graph(inputs, (p.less(inputs[-2], full((), 2, "int32")),))
    attributes = {"condition": condition, "body": body, "consts": len(operands) - 2}
    return tuple(apply(p.while_loop, operands, attributes))


def grow_cond(grower: Grower) -> tuple[Value, ...] | None:
    x, y = grower.value(lambda value: True), grower.value(lambda value: True)
    index = grower.value(lambda value: value.type == TensorType((), "int32"))
    if x is None or y is None:
        return None
    traced = [grow_inside(grower, [x.type, y.type]) for _ in range(grower.number(1, 3))]
    results = [next(value for value in reversed(values) if value.type == x.type) for _, values in traced]
    outside = dict.fromkeys(
        value for (inputs, _), result in zip(traced, results) for value in captured(inputs, [result])
    )
    branches = tuple(make_body([*outside, *inputs], [result]) for (inputs, _), result in zip(traced, results))
    index = index if index is not None else full((), grower.number(-1, 3), "int32")
    return tuple(apply(p.cond, [index, *outside, x, y], {"branches": branches}))


def grow_custom_gradient(grower: Grower) -> tuple[Value, ...] | None:
    x, y = grower.value(lambda value: True), grower.value(lambda value: True)
    if x is None or y is None:
        return None
    backward = Graph(body_inputs([x.type]), (full(y.shape, 0, y.dtype),))
    attributes = {"backward": backward, "results": 1, "arguments": 1}
    return tuple(apply(p.custom_gradient, [x, y], attributes))


GROW: dict[Primitive, Grow] = {
    **{primitive: elementwise(primitive) for primitive in p.TABLE.values() if primitive.has(ELEMENTWISE)},
    # where the operands need care
    p.cast: grow_cast,
    p.shift_left: shift(p.shift_left),
    p.shift_right: shift(p.shift_right),
    p.select: grow_select,
    # reduce
    p.reduce_sum: reduction(p.reduce_sum, exact=False),
    p.reduce_prod: reduction(p.reduce_prod),
    p.reduce_max: reduction(p.reduce_max),
    p.reduce_min: reduction(p.reduce_min),
    p.argmax: arg(p.argmax),
    p.argmin: arg(p.argmin),
    p.cumulative_sum: grow_cumulative_sum,
    # move
    p.reshape: grow_reshape,
    p.transpose: grow_transpose,
    p.broadcast: grow_broadcast,
    p.slice: grow_slice,
    p.pad: grow_pad,
    p.concatenate: grow_concatenate,
    p.reverse: grow_reverse,
    p.input: grow_input,
    p.constant: grow_constant,
    p.iota: grow_iota,
    # contract
    p.dot: grow_dot,
    **{primitive: convolution(primitive) for primitive in (p.conv, p.conv_input_grad, p.conv_filter_grad)},
    p.attention: grow_attention,
    p.attention_grad: grow_attention_grad,
    # window
    p.max_window: pooling(p.max_window),
    p.gather_window: pooling(p.gather_window),
    p.scatter_window: pooling(p.scatter_window),
    p.sum_window: pooling(p.sum_window),
    p.spread_window: pooling(p.spread_window),
    # gather and scatter
    p.gather: grow_gather,
    p.scatter_add: grow_scatter_add,
    # random
    p.random_bits: grow_random_bits,
    # sort
    p.sort: grow_sort,
    # host
    p.host: grow_host,
    # control
    p.scan: grow_scan,
    p.while_loop: grow_while_loop,
    p.cond: grow_cond,
    p.custom_gradient: grow_custom_gradient,
}


@st.composite
def programs(
    draw: Callable[..., Any],
    max_nodes: int = 25,
    dtypes: Sequence[str] = DTYPES,
    exact: bool = False,
    primitives: Sequence[Primitive] = tuple(GROW),
) -> Program:
    """A graph with data for its inputs.

    dtypes: those of inputs and casts; int32 and bool appear in any case. exact: sums and dots get small whole
    numbers, so that their order cannot change the result.
    """
    grower = Grower(draw, dtypes, exact)
    grower.pool += [grow_input(grower) for _ in range(grower.number(1, 3))]
    for _ in range(grower.one_of([count for count in (1, 2, 4, 8, 16) if count < max_nodes] + [max_nodes])):
        grown = GROW[grower.one_of(primitives)](grower)
        if grown is not None:
            grower.pool += grown if isinstance(grown, tuple) else (grown,)
    used = {operand for value in grower.pool for operand in value.node.inputs}
    outputs = [value for value in grower.pool if value not in used and value.primitive is not p.input]
    outputs += draw(st.lists(st.sampled_from(grower.pool[::-1]), min_size=not outputs, max_size=2))
    inputs = tuple(value for value in grower.pool if value.primitive is p.input)
    return Program(Graph(inputs, tuple(outputs)), [grower.array(value.type) for value in inputs])


# --- comparing -------------------------------------------------------------------------------------


def assert_same(expected: Sequence[Any], found: Sequence[Any]) -> None:
    """The same dtypes, shapes and numbers, to the sign of zero; NaN equals NaN."""
    assert len(expected) == len(found)
    for one, other in zip(expected, found):
        assert constant_type(one) == constant_type(other)
        if dtypes.is_float(dtypes.of_numpy(one.dtype)):
            one, other = np.asarray(one, np.float64), np.asarray(other, np.float64)
            zero = (one == 0) & (other == 0)
            np.testing.assert_array_equal(np.signbit(one) & zero, np.signbit(other) & zero)
        np.testing.assert_array_equal(one, other)


# Results of these are exact, or rounded once by everybody.
_ROUNDED_ALIKE = {primitive for primitive in p.TABLE.values() if primitive.has(MOVES)} | {
    *(p.negative, p.absolute, p.sign, p.floor, p.ceil, p.round_even, p.cast, p.stop_gradient),
    *(p.add, p.subtract, p.multiply, p.maximum, p.minimum, p.select),
    *(p.reduce_max, p.reduce_min, p.input, p.constant, p.iota, p.gather, p.sort),
    *(p.max_window, p.gather_window),
}
_SUMS = {
    *(p.reduce_sum, p.cumulative_sum, p.dot, p.conv, p.conv_input_grad, p.conv_filter_grad),
    *(p.scatter_window, p.sum_window, p.spread_window, p.scatter_add, p.host),
}
_TRIALS = 4


def assert_agrees(
    graph: Graph, arrays: Sequence[Any], found: Sequence[Any], ulps: float = 4, slack: float = 16
) -> None:
    """The results of some backend are those of the interpreter, up to rounding.

    How far rounding can go is measured: the graph is interpreted again a few times with every inexact
    result moved by up to `ulps` units in the last place (of the sum of absolute terms, for sums), and an
    output may differ by `slack` times what that changed. So a comparison or floor that rounding decides
    is not held against anybody.
    """
    expected = run_graph(graph, arrays)
    noisy = [_run_noisy(graph, arrays, ulps, seed) for seed in range(_TRIALS)]
    assert len(expected) == len(found)
    for position, (one, other) in enumerate(zip(expected, found)):
        assert constant_type(one) == constant_type(other)
        wide, got = np.asarray(one, np.float64), np.asarray(other, np.float64)
        with np.errstate(all="ignore"):
            moved = [np.abs(np.asarray(trial[position], np.float64) - wide) for trial in noisy]
            spread = np.max([np.where(np.isnan(each), np.inf, each) for each in moved], axis=0)
            stable_nan = np.all(
                [np.isnan(np.asarray(trial[position], np.float64)) for trial in noisy], axis=0
            )
            same = (got == wide) | (np.isnan(wide) & (np.isnan(got) | ~stable_nan))
            allowed = slack * spread + _ulp(one, 2)
            fine = same | (np.abs(got - wide) <= allowed) | (spread == np.inf) & ~np.isnan(wide)
        assert np.all(fine), f"output {position}: {got[~fine][:4]} instead of {wide[~fine][:4]}"


def _ulp(array: Any, count: float) -> Any:
    """`count` units in the last place of each element; 0 for integers."""
    if not dtypes.is_float(dtypes.of_numpy(array.dtype)):
        return 0.0
    digits = {"bfloat16": 8, "float16": 11, "float32": 24, "float64": 53}[dtypes.of_numpy(array.dtype)]
    return count * 2.0 ** (1 - digits) * np.abs(np.asarray(array, np.float64))


def _run_noisy(graph: Graph, arrays: Sequence[Any], ulps: float, seed: int) -> list[Any]:
    random = np.random.default_rng(seed)
    with control.running(lambda inside, given: _noisy(inside, given, ulps, random)):
        return _noisy(graph, arrays, ulps, random)


def _noisy(graph: Graph, arrays: Sequence[Any], ulps: float, random: np.random.Generator) -> list[Any]:
    known = dict(zip(graph.inputs, (np.asarray(array) for array in arrays)))
    for node in graph.nodes():
        if node.primitive is p.input:
            continue
        operands = [known[value] for value in node.inputs]
        results = [np.asarray(result) for result in evaluate(node.primitive, operands, node.attributes)]
        if (
            node.primitive not in _ROUNDED_ALIKE
            and not node.primitive.has(CONTROLS)
            and dtypes.is_float(node.types[0].dtype)
        ):
            results = [
                _nudged(node, operands, number, result, ulps, random) for number, result in enumerate(results)
            ]
        known.update(zip(node.outputs, results))
    return [known[value] for value in graph.outputs]


def _nudged(
    node: Node, operands: list[Any], number: int, result: Any, ulps: float, random: np.random.Generator
) -> Any:
    """Result `number` of the node with its rounding errors drawn anew."""
    if not dtypes.is_float(node.types[number].dtype):
        return result
    scale = result
    if node.primitive in _SUMS:
        whole = [np.abs(each) if dtypes.is_float(dtypes.of_numpy(each.dtype)) else each for each in operands]
        scale = np.asarray(evaluate(node.primitive, whole, node.attributes)[number])
    elif node.primitive in (p.attention, p.attention_grad):
        largest = np.max(np.nan_to_num(np.abs(np.asarray(result, np.float64))), initial=0.0)
        scale = np.full(result.shape, largest, result.dtype)
    with np.errstate(all="ignore"):
        step = np.where(np.isfinite(result), _ulp(scale, ulps) * random.uniform(-1, 1, result.shape), 0)
        return (np.asarray(result, np.float64) + np.nan_to_num(step)).astype(result.dtype)
