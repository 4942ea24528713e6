"""Primitive -> ONNX: one table, in the order of the table of primitives.

A rule gets the writer, the node for both trial sizes of batch, and the names of its operands; it adds ONNX
nodes and gives the name of the result, or of each. What has no meaning there raises UnmappableError. The
operators are those of opset 18: https://onnx.ai/onnx/operators.
"""

from __future__ import annotations

from collections.abc import Callable
from string import ascii_lowercase
from typing import Any

from lamina.core import dtypes
from lamina.core.dtypes import is_float
from lamina.export.control import cond, scan, while_loop
from lamina.export.windows import conv, conv_input_grad, max_window, sum_window
from lamina.export.writer import Pair, UnmappableError, Writer, write_graph
from lamina.ir import primitives as p
from lamina.ir.attention import composed
from lamina.ir.bodies import body_inputs
from lamina.ir.graph import Graph, Node
from lamina.ir.primitives import Primitive

Rule = Callable[..., Any]


def operator(name: str) -> Rule:
    """One operator that means the same."""
    return lambda w, at, *inputs: w(name, *inputs)


def negated(name: str) -> Rule:
    return lambda w, at, *inputs: w("Not", w(name, *inputs))


def of_bits(name: str, boolean: str, bits: str) -> Rule:
    """Logical on booleans, bit by bit on integers; and `name` on floats."""

    def rule(w: Writer, at: Pair, *inputs: str) -> str:
        dtype = at.node.inputs[0].dtype
        return w(boolean if dtype == "bool" else name if is_float(dtype) else bits, *inputs)

    return rule


def one(w: Writer, at: Pair) -> str:
    return w.constant(1, dtypes.to_numpy(at.node.types[0].dtype))


def floor_divide(w: Writer, at: Pair, x: str, y: str) -> str:
    if is_float(at.node.types[0].dtype):
        return w("Floor", w("Div", x, y))
    return w("Div", w("Sub", x, w("Mod", x, y)), y)


def remainder(w: Writer, at: Pair, x: str, y: str) -> str:
    if is_float(at.node.types[0].dtype):
        return w("Sub", x, w("Mul", floor_divide(w, at, x, y), y))
    return w("Mod", x, y)


def shift(direction: str) -> Rule:
    def rule(w: Writer, at: Pair, x: str, y: str) -> str:
        if not at.node.types[0].dtype.startswith("u"):
            raise UnmappableError("ONNX shifts unsigned integers only.", got=at.node.types[0].dtype)
        return w("BitShift", x, y, direction=direction)

    return rule


def arctan2(w: Writer, at: Pair, y: str, x: str) -> str:
    """2 atan(y / (sqrt(x^2 + y^2) + x)) on the right, and mirrored on the left; 0 at the origin."""
    zero = w.constant(0, dtypes.to_numpy(at.node.types[0].dtype))
    pi = w.constant(3.141592653589793, dtypes.to_numpy(at.node.types[0].dtype))
    is_left, is_below = w("Less", x, zero), w("Less", y, zero)
    is_nothing = w("And", w("Equal", x, zero), w("Equal", y, zero))
    size = w("Sqrt", w("Add", w("Mul", x, x), w("Mul", y, y)))
    below = w("Add", size, w("Abs", x))
    half = w("Atan", w("Div", y, w("Where", is_nothing, one(w, at), below)))
    angle = w("Add", half, half)
    turned = w("Sub", w("Where", is_below, w("Neg", pi), pi), angle)
    return w("Where", is_left, turned, angle)


def reduction(name: str) -> Rule:
    def rule(w: Writer, at: Pair, x: str) -> str:
        axes = at["axes"]
        if not axes:
            return w("Identity", x)
        is_bool = at.node.types[0].dtype == "bool"
        found = w(name, w.cast(x, "int32") if is_bool else x, w.constant(list(axes)), keepdims=0)
        return w.cast(found, "bool") if is_bool else found

    return rule


def extremum_place(name: str) -> Rule:
    return lambda w, at, x: w.cast(w(name, x, axis=at["axis"], keepdims=0), "int32")


def reshape(w: Writer, at: Pair, x: str) -> str:
    return w("Reshape", x, w.integers(*at.both("shape")), allowzero=1)


def broadcast(w: Writer, at: Pair, x: str) -> str:
    axes, rank = at["axes"], len(at.node.types[0].shape)
    new = [axis for axis in range(rank) if axis not in axes]
    x = w("Unsqueeze", x, w.constant(new)) if new else x
    return w("Expand", x, w.integers(*at.both("shape")))


def slice_(w: Writer, at: Pair, x: str) -> str:
    axes = list(range(len(at["stride"])))
    if not axes:
        return w("Identity", x)
    bounds = [w.integers(*at.both(name)) for name in ("start", "limit")]
    return w("Slice", x, *bounds, w.constant(axes), w.constant(list(at["stride"])))


def pad(w: Writer, at: Pair, x: str, value: str) -> str:
    low, high, interior = at["low"], at["high"], at["interior"]
    for axis, between in enumerate(interior):
        if between:
            x = spaced(w, at, x, value, axis, between)
    if not any((*low, *high)):
        return x
    return w("Pad", x, w.constant([*low, *high]), value)


def spaced(w: Writer, at: Pair, x: str, value: str, axis: int, between: int) -> str:
    """Numbers between the elements along an axis: behind each element on an axis of its own."""
    rank, place = len(at.node.types[0].shape), axis + 1
    wide = w("Unsqueeze", x, w.constant([place]))
    widths = [0] * (2 * rank + 2)
    widths[rank + 1 + place] = between
    wide = w("Pad", wide, w.constant(widths), value)
    shape = w("Shape", x)
    extent = w("Gather", shape, w.constant([axis]), axis=0)
    widened = w("Mul", extent, w.constant([between + 1]))
    parts = [
        w("Gather", shape, w.constant([each]), axis=0) if each != axis else widened for each in range(rank)
    ]
    joined = w("Reshape", wide, w("Concat", *parts, axis=0) if rank > 1 else parts[0], allowzero=1)
    end = w("Max", w("Sub", widened, w.constant([between])), w.constant([0]))
    return w("Slice", joined, w.constant([0]), end, w.constant([axis]))


def reverse(w: Writer, at: Pair, x: str) -> str:
    axes = list(at["axes"])
    if not axes:
        return w("Identity", x)
    count = len(axes)
    start, end = w.constant([-1] * count), w.constant([-(2**62)] * count)
    return w("Slice", x, start, end, w.constant(axes), w.constant([-1] * count))


def constant(w: Writer, at: Pair) -> str:
    array = at["value"].array
    return w.constant(array, array.dtype)


def iota(w: Writer, at: Pair) -> str:
    first, second = at.extents()
    axis, rank = at["axis"], len(first)
    extent = w("Squeeze", w.integers(first[axis : axis + 1], second[axis : axis + 1]))
    line = w.cast(w("Range", w.constant(0), extent, w.constant(1)), at["dtype"])
    others = [other for other in range(rank) if other != axis]
    line = w("Unsqueeze", line, w.constant(others)) if others else line
    return w("Expand", line, w.integers(first, second))


def dot(w: Writer, at: Pair, x: str, y: str) -> str:
    """MatMul where the axes lie as it wants them, Einsum otherwise."""
    contract, batch = at["contract"], at["batch"]
    ranks = [len(operand.shape) for operand in at.node.inputs]
    stack = tuple(range(len(batch[0])))
    is_plain = batch == (stack, stack) and contract == ((ranks[0] - 1,), (len(stack),))
    if is_plain and ranks[1] == len(stack) + 2 and (ranks[0] == len(stack) + 2 or not stack):
        return w("MatMul", x, y)
    letters = iter(ascii_lowercase)
    named: list[list[str]] = [[""] * rank for rank in ranks]
    for pairs in (zip(*batch), zip(*contract)):
        for ours, theirs in pairs:
            named[0][ours] = named[1][theirs] = next(letters)
    result = [named[0][axis] for axis in batch[0]]
    for side in (0, 1):
        for axis in range(ranks[side]):
            if not named[side][axis]:
                named[side][axis] = next(letters)
                result.append(named[side][axis])
    return w("Einsum", x, y, equation=f"{''.join(named[0])},{''.join(named[1])}->{''.join(result)}")


def gather(w: Writer, at: Pair, x: str, indices: str) -> str:
    """Indices are brought into range, as the primitive does."""
    return w("Gather", x, clamped(w, at, indices), axis=at["axis"])


def clamped(w: Writer, at: Pair, indices: str) -> str:
    (first, second), axis = at.extents(0), at["axis"]
    last = w("Sub", w("Squeeze", w.integers(first[axis : axis + 1], second[axis : axis + 1])), w.constant(1))
    return w("Max", w("Min", w.cast(indices, "int64"), last), w.constant(0))


def scatter_add(w: Writer, at: Pair, x: str, indices: str, updates: str) -> str:
    """Along the first axis; what falls outside goes to one more row, which is dropped."""
    (first, second), axis = at.extents(0), at["axis"]
    rank, places = len(first), len(at.node.inputs[1].shape)
    extent = w.integers(first[axis : axis + 1], second[axis : axis + 1])
    places_64 = w.cast(indices, "int64")
    is_outside = w("Or", w("Less", places_64, w.constant(0)), w("GreaterOrEqual", places_64, extent))
    places_64 = w("Where", is_outside, extent, places_64)
    front = [axis, *(other for other in range(rank) if other != axis)]
    back = [front.index(other) for other in range(rank)]
    moved = w("Transpose", x, perm=front)
    zero = w.constant(0, dtypes.to_numpy(at.node.types[0].dtype))
    moved = w("Pad", moved, w.constant([*[0] * rank, 1, *[0] * (rank - 1)]), zero)
    spread = list(range(axis, axis + places))
    others = [other for other in range(rank - 1 + places) if other not in spread]
    updates = w("Transpose", updates, perm=[*spread, *others])
    deep = w("Unsqueeze", places_64, w.constant([places]))
    added = w("ScatterND", moved, deep, updates, reduction="add")
    kept = w("Slice", added, w.constant([0]), extent, w.constant([0]))
    return w("Transpose", kept, perm=back)


def sort(w: Writer, at: Pair, x: str) -> list[str]:
    (first, second), axis = at.extents(0), at["axis"]
    extent = w.integers(first[axis : axis + 1], second[axis : axis + 1])
    values, places = w.several("TopK", [x, extent], 2, {"axis": axis, "largest": int(at["descending"])})
    return [values, w.cast(places, "int32")]


def attention(w: Writer, at: Pair, *operands: str) -> list[str]:
    """Its composition of products and a softmax."""
    first, second = (_composed(node) for node in (at.node, at.other))
    return write_graph(w, first, second, dict(zip(first.inputs, operands)))


def _composed(node: Node) -> Graph:
    inputs = body_inputs([value.type for value in node.inputs])
    return Graph(inputs, composed(*inputs, **node.attributes))


def no_meaning(why: str) -> Rule:
    def rule(w: Writer, at: Pair, *inputs: str) -> str:
        raise UnmappableError(f"The primitive '{at.node.primitive.name}' has no meaning in ONNX: {why}.")

    return rule


RULES: dict[Primitive, Rule] = {
    # unary
    p.negative: operator("Neg"),
    p.absolute: operator("Abs"),
    p.sign: operator("Sign"),
    p.floor: operator("Floor"),
    p.ceil: operator("Ceil"),
    p.round_even: operator("Round"),
    p.exp: operator("Exp"),
    p.expm1: lambda w, at, x: w("Sub", w("Exp", x), one(w, at)),
    p.log: operator("Log"),
    p.log1p: lambda w, at, x: w("Log", w("Add", x, one(w, at))),
    p.sqrt: operator("Sqrt"),
    p.rsqrt: lambda w, at, x: w("Reciprocal", w("Sqrt", x)),
    p.sin: operator("Sin"),
    p.cos: operator("Cos"),
    p.tan: operator("Tan"),
    p.arcsin: operator("Asin"),
    p.arccos: operator("Acos"),
    p.arctan: operator("Atan"),
    p.sinh: operator("Sinh"),
    p.cosh: operator("Cosh"),
    p.tanh: operator("Tanh"),
    p.arcsinh: operator("Asinh"),
    p.arccosh: operator("Acosh"),
    p.arctanh: operator("Atanh"),
    p.sigmoid: operator("Sigmoid"),
    p.erf: operator("Erf"),
    p.invert: of_bits("Not", "Not", "BitwiseNot"),
    p.is_finite: lambda w, at, x: w("Not", w("Or", w("IsNaN", x), w("IsInf", x))),
    p.cast: lambda w, at, x: w.cast(x, at["dtype"]),
    p.stop_gradient: operator("Identity"),
    # binary
    p.add: operator("Add"),
    p.subtract: operator("Sub"),
    p.multiply: operator("Mul"),
    p.divide: operator("Div"),
    p.floor_divide: floor_divide,
    p.remainder: remainder,
    p.power: operator("Pow"),
    p.maximum: of_bits("Max", "Or", "Max"),
    p.minimum: of_bits("Min", "And", "Min"),
    p.arctan2: arctan2,
    p.bitwise_and: of_bits("And", "And", "BitwiseAnd"),
    p.bitwise_or: of_bits("Or", "Or", "BitwiseOr"),
    p.bitwise_xor: of_bits("Xor", "Xor", "BitwiseXor"),
    p.shift_left: shift("LEFT"),
    p.shift_right: shift("RIGHT"),
    # compare and select
    p.equal: operator("Equal"),
    p.not_equal: negated("Equal"),
    p.less: operator("Less"),
    p.less_equal: operator("LessOrEqual"),
    p.greater: operator("Greater"),
    p.greater_equal: operator("GreaterOrEqual"),
    p.select: operator("Where"),
    # reduce
    p.reduce_sum: reduction("ReduceSum"),
    p.reduce_prod: reduction("ReduceProd"),
    p.reduce_max: reduction("ReduceMax"),
    p.reduce_min: reduction("ReduceMin"),
    p.argmax: extremum_place("ArgMax"),
    p.argmin: extremum_place("ArgMin"),
    p.cumulative_sum: lambda w, at, x: w("CumSum", x, w.constant(at["axis"]), reverse=int(at["reverse"])),
    # move
    p.reshape: reshape,
    p.transpose: lambda w, at, x: w("Transpose", x, perm=list(at["permutation"])),
    p.broadcast: broadcast,
    p.slice: slice_,
    p.pad: pad,
    p.concatenate: lambda w, at, *inputs: w("Concat", *inputs, axis=at["axis"]),
    p.reverse: reverse,
    p.input: no_meaning("it is no input of the program"),
    p.constant: constant,
    p.iota: iota,
    # contract
    p.dot: dot,
    p.conv: conv,
    p.conv_input_grad: conv_input_grad,
    p.conv_filter_grad: no_meaning("it occurs in gradients"),
    # attention
    p.attention: attention,
    p.attention_grad: no_meaning("it occurs in gradients"),
    # window
    p.max_window: max_window,
    p.gather_window: no_meaning("it occurs in gradients"),
    p.scatter_window: no_meaning("it occurs in gradients"),
    p.sum_window: sum_window,
    p.spread_window: no_meaning("it occurs in gradients"),
    # gather and scatter
    p.gather: gather,
    p.scatter_add: scatter_add,
    # random
    p.random_bits: no_meaning("its random numbers are of another kind"),
    # sort
    p.sort: sort,
    # host
    p.host: no_meaning("it is computed by NumPy"),
    # control
    p.scan: scan,
    p.while_loop: while_loop,
    p.cond: cond,
    p.custom_gradient: lambda w, at, *inputs: list(inputs[: at["results"]]),
}
