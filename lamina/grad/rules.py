"""Primitive -> vector-Jacobian product: how the cotangent of the result becomes that of each operand.

A row is `row(primitive, rule of operand 0, rule of operand 1, ...)`. A rule `(g, y, *operands, **attributes)`
takes the cotangent g of the result, the result y and the operands, and returns the cotangent of its operand;
None in place of a rule means that nothing flows to that operand. Rules work on graph values and are
compositions of primitives, so their results can be differentiated again.

Every primitive is either in RULES or in NOT_DIFFERENTIABLE (`tests/test_tables.py`). Section order as in the
table of primitives.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import pi, prod, sqrt

from lamina.core import dtypes
from lamina.core.shapes import remove, row_major_strides
from lamina.grad.sums import is_mean, total
from lamina.ir import primitives as p
from lamina.ir.bind import constant_value, full, iota_value
from lamina.ir.constants import is_constant, splat
from lamina.ir.graph import Value
from lamina.ir.primitives import Primitive

Rule = Callable[..., Value]

RULES: dict[Primitive, tuple[Rule | None, ...]] = {}


def row(primitive: Primitive, *rules: Rule | None) -> None:
    RULES[primitive] = rules


def like(x: Value, number: float) -> Value:
    """`number` everywhere, in the shape and dtype of x."""
    return full(x.shape, number, x.dtype)


def scale(x: Value, factor: float) -> Value:
    return p.multiply(x, like(x, factor))


def square(x: Value) -> Value:
    return p.multiply(x, x)


def one_minus_square(x: Value) -> Value:
    """(1 - x)(1 + x), which unlike 1 - x^2 keeps its digits near x = 1."""
    return p.multiply(p.subtract(like(x, 1), x), p.add(like(x, 1), x))


def keep(condition: Value, g: Value) -> Value:
    """g where the condition holds, else 0."""
    return p.select(condition, g, like(g, 0))


# --- unary -----------------------------------------------------------------------------------------
row(p.negative, lambda g, y, x: p.negative(g))
row(p.absolute, lambda g, y, x: p.multiply(g, p.sign(x)))
row(p.exp, lambda g, y, x: p.multiply(g, y))
row(p.expm1, lambda g, y, x: p.multiply(g, p.add(y, like(y, 1))))
row(p.log, lambda g, y, x: p.divide(g, x))
row(p.log1p, lambda g, y, x: p.divide(g, p.add(x, like(x, 1))))
row(p.sqrt, lambda g, y, x: p.divide(scale(g, 0.5), y))
row(p.rsqrt, lambda g, y, x: p.multiply(g, p.multiply(scale(y, -0.5), square(y))))
row(p.sin, lambda g, y, x: p.multiply(g, p.cos(x)))
row(p.cos, lambda g, y, x: p.negative(p.multiply(g, p.sin(x))))
row(p.tan, lambda g, y, x: p.multiply(g, p.add(square(y), like(y, 1))))
row(p.arcsin, lambda g, y, x: p.multiply(g, p.rsqrt(one_minus_square(x))))
row(p.arccos, lambda g, y, x: p.negative(p.multiply(g, p.rsqrt(one_minus_square(x)))))
row(p.arctan, lambda g, y, x: p.divide(g, p.add(square(x), like(x, 1))))
row(p.sinh, lambda g, y, x: p.multiply(g, p.cosh(x)))
row(p.cosh, lambda g, y, x: p.multiply(g, p.sinh(x)))
row(p.tanh, lambda g, y, x: p.multiply(g, p.subtract(like(y, 1), square(y))))
row(p.arcsinh, lambda g, y, x: p.multiply(g, p.rsqrt(p.add(square(x), like(x, 1)))))
row(p.arccosh, lambda g, y, x: p.multiply(g, p.rsqrt(p.negative(one_minus_square(x)))))
row(p.arctanh, lambda g, y, x: p.divide(g, one_minus_square(x)))
row(p.sigmoid, lambda g, y, x: p.multiply(g, p.multiply(y, p.subtract(like(y, 1), y))))
row(p.erf, lambda g, y, x: p.multiply(g, scale(p.exp(p.negative(square(x))), 2 / sqrt(pi))))
row(p.cast, lambda g, y, x, *, dtype: p.cast(g, dtype=x.dtype))


# --- binary ----------------------------------------------------------------------------------------
def power_base(g: Value, y: Value, x: Value, exponent: Value) -> Value:
    """n x^(n-1), which is 0 for n = 0 whatever x is."""
    n = splat(exponent)
    if n is not None:
        return like(g, 0) if n == 0 else p.multiply(g, scale(constant_power(x, n - 1), n))
    is_zero = p.equal(exponent, like(exponent, 0))
    lowered = p.select(is_zero, like(exponent, 1), p.subtract(exponent, like(exponent, 1)))
    return p.multiply(g, p.multiply(exponent, p.power(x, lowered)))


def constant_power(x: Value, n: float) -> Value:
    if n == 0:
        return like(x, 1)
    return x if n == 1 else p.power(x, like(x, n))


def power_exponent(g: Value, y: Value, x: Value, exponent: Value) -> Value:
    """log(x) x^n, which is 0 at x = 0."""
    nonzero_base = p.select(p.equal(x, like(x, 0)), like(x, 1), x)
    return p.multiply(g, p.multiply(p.log(nonzero_base), y))


def wins(beats: Primitive, of_first: bool) -> Rule:
    """Rule of maximum and minimum: all to the winner, half each at a tie.

    At a tie with a constant nothing flows: relu(x) = maximum(x, 0) has derivative 0 at 0. There the result
    is compared instead of the operand, so that nobody needs to remember the operand.
    """

    def rule(g: Value, y: Value, first: Value, second: Value) -> Value:
        ours, theirs = (first, second) if of_first else (second, first)
        if is_constant(theirs):
            return keep(beats(y, theirs), g)
        return p.select(beats(ours, theirs), g, keep(p.equal(ours, theirs), scale(g, 0.5)))

    return rule


row(p.add, lambda g, z, x, y: g, lambda g, z, x, y: g)
row(p.subtract, lambda g, z, x, y: g, lambda g, z, x, y: p.negative(g))
row(p.multiply, lambda g, z, x, y: p.multiply(g, y), lambda g, z, x, y: p.multiply(g, x))
row(p.divide, lambda g, z, x, y: p.divide(g, y), lambda g, z, x, y: p.negative(p.multiply(p.divide(g, y), z)))
row(p.remainder, lambda g, z, x, y: g, lambda g, z, x, y: p.negative(p.multiply(g, p.floor_divide(x, y))))
row(p.power, power_base, power_exponent)
row(p.maximum, wins(p.greater, of_first=True), wins(p.greater, of_first=False))
row(p.minimum, wins(p.less, of_first=True), wins(p.less, of_first=False))
row(
    p.arctan2,
    lambda g, z, y, x: p.multiply(g, p.divide(x, p.add(square(x), square(y)))),
    lambda g, z, y, x: p.negative(p.multiply(g, p.divide(y, p.add(square(x), square(y))))),
)

# --- compare and select ----------------------------------------------------------------------------
row(
    p.select,
    None,
    lambda g, z, condition, x, y: keep(condition, g),
    lambda g, z, condition, x, y: p.select(condition, like(g, 0), g),
)


# --- reduce ----------------------------------------------------------------------------------------
def spread(y: Value, x: Value, axes: tuple[int, ...]) -> Value:
    """A result of reducing x, repeated along the reduced axes."""
    kept = tuple(axis for axis in range(x.ndim) if axis not in axes)
    return p.broadcast(y, shape=x.shape, axes=kept)


def share_among_extremes(g: Value, y: Value, x: Value, *, axes: tuple[int, ...]) -> Value:
    """Rule of reduce_max and reduce_min: equal shares to the elements that are the extreme."""
    extreme = p.equal(x, spread(y, x, axes))
    count = p.reduce_sum(p.cast(extreme, dtype=x.dtype), axes=axes)
    return keep(extreme, spread(p.divide(g, count), x, axes))


def product_of_others(g: Value, y: Value, x: Value, *, axes: tuple[int, ...]) -> Value:
    """Rule of reduce_prod: never divides by x, so that zeros are right, also when differentiated again."""
    kept = tuple(axis for axis in range(x.ndim) if axis not in axes)
    order = kept + axes
    lines = p.reshape(
        p.transpose(x, permutation=order),
        shape=(prod(remove(x.shape, axes)), prod(x.shape[axis] for axis in axes)),
    )
    if lines.size == 0:
        return like(x, 0)
    per_line = tree_of_products(p.reshape(g, shape=(lines.shape[0], 1)), lines)
    moved = p.reshape(per_line, shape=tuple(x.shape[axis] for axis in order))
    return p.transpose(moved, permutation=inverse(order))


def tree_of_products(g: Value, x: Value) -> Value:
    """The cotangent of the lines of x: fold the line in half, differentiate that, unfold."""
    if x.shape[1] == 1:
        return g
    half = x.shape[1] // 2
    left, right = columns(x, 0, half), columns(x, half, 2 * half)
    halves = p.multiply(left, right)
    folded = p.concatenate(halves, columns(x, 2 * half, x.shape[1]), axis=1) if x.shape[1] % 2 else halves
    g_folded = tree_of_products(g, folded)
    g_halves = columns(g_folded, 0, half)
    parts = [p.multiply(g_halves, right), p.multiply(g_halves, left)]
    return p.concatenate(*parts, *([columns(g_folded, half, half + 1)] if x.shape[1] % 2 else []), axis=1)


def columns(x: Value, start: int, limit: int) -> Value:
    return p.slice(x, start=(0, start), limit=(x.shape[0], limit), stride=(1, 1))


row(p.reduce_sum, lambda g, y, x, *, axes: spread(g, x, axes))
row(p.reduce_prod, product_of_others)
row(p.reduce_max, share_among_extremes)
row(p.reduce_min, share_among_extremes)
row(p.cumulative_sum, lambda g, y, x, *, axis, reverse: p.cumulative_sum(g, axis=axis, reverse=not reverse))


# --- move ------------------------------------------------------------------------------------------
def inverse(permutation: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(permutation.index(axis) for axis in range(len(permutation)))


def sum_over_copies(g: Value, y: Value, x: Value, *, shape: tuple[int, ...], axes: tuple[int, ...]) -> Value:
    """Rule of broadcast."""
    copied = [axis for axis, extent in zip(axes, x.shape) if extent != shape[axis]]
    summed = tuple(axis for axis in range(len(shape)) if axis not in axes or axis in copied)
    if not summed:
        return g
    result = total(g, summed) if is_mean(x) else p.reduce_sum(g, axes=summed)
    return p.reshape(result, shape=x.shape) if copied else result


def unslice(
    g: Value, y: Value, x: Value, *, start: tuple[int, ...], limit: tuple[int, ...], stride: tuple[int, ...]
) -> Value:
    """Rule of slice: zeros around and between."""
    interior = tuple(step - 1 for step in stride)
    covered = ((count - 1) * step + 1 if count else 0 for count, step in zip(g.shape, stride))
    high = tuple(extent - low - width for extent, low, width in zip(x.shape, start, covered))
    return p.pad(g, constant_value(0, g.dtype), low=start, high=high, interior=interior)


def side_by_side(parts: Sequence[Value]) -> Value | None:
    """The sum of cotangents of slices that together are the whole; None if they are not."""
    shape, axis = parts[0].shape, None
    placed: dict[int, Value] = {}
    for part in parts:
        if (
            part.primitive is not p.pad
            or splat(part.node.inputs[1]) != 0
            or any(part.node.attributes["interior"])
        ):
            return None
        inner = part.node.inputs[0]
        cut = [number for number, extent in enumerate(shape) if inner.shape[number] != extent]
        if len(cut) != 1 or axis not in (None, cut[0]):
            return None
        axis = cut[0]
        placed[part.node.attributes["low"][axis]] = inner
    end = 0
    for low in sorted(placed):
        if low != end or axis is None:
            return None
        end += placed[low].shape[axis]
    if axis is None or end != shape[axis] or len(placed) != len(parts):
        return None
    whole: Value = p.concatenate(*(placed[low] for low in sorted(placed)), axis=axis)
    return whole


def unpad(
    g: Value,
    y: Value,
    x: Value,
    value: Value,
    *,
    low: tuple[int, ...],
    high: tuple[int, ...],
    interior: tuple[int, ...],
) -> Value:
    """Rule of pad, for the padded operand."""
    stride = tuple(between + 1 for between in interior)
    covered = ((extent - 1) * step + 1 if extent else 0 for extent, step in zip(x.shape, stride))
    limit = tuple(before + width for before, width in zip(low, covered))
    return p.slice(g, start=low, limit=limit, stride=stride)


def sum_of_padding(g: Value, y: Value, x: Value, value: Value, **widths: tuple[int, ...]) -> Value:
    """Rule of pad, for the number that fills."""
    is_padding = p.pad(full(x.shape, False, "bool"), constant_value(True, "bool"), **widths)
    return p.reduce_sum(keep(is_padding, g), axes=tuple(range(g.ndim)))


def part(position: int) -> Rule:
    """Rule of concatenate, for the operand at `position`."""

    def rule(g: Value, y: Value, *operands: Value, axis: int) -> Value:
        before = sum(operand.shape[axis] for operand in operands[:position])
        start = tuple(before if a == axis else 0 for a in range(g.ndim))
        limit = tuple(low + extent for low, extent in zip(start, operands[position].shape))
        return p.slice(g, start=start, limit=limit, stride=(1,) * g.ndim)

    return rule


row(p.reshape, lambda g, y, x, *, shape: p.reshape(g, shape=x.shape))
row(p.transpose, lambda g, y, x, *, permutation: p.transpose(g, permutation=inverse(permutation)))
row(p.broadcast, sum_over_copies)
row(p.slice, unslice)
row(p.pad, unpad, sum_of_padding)
row(p.concatenate)  # as many operands as there are: `rule_of` makes their rules with `part`
row(p.reverse, lambda g, y, x, *, axes: p.reverse(g, axes=axes))


# --- contract --------------------------------------------------------------------------------------
Axes = tuple[tuple[int, ...], tuple[int, ...]]


def dot_operand(position: int) -> Rule:
    """Rule of dot: contract g with the other operand over the other's free axes.

    Of the two operand orders, the one whose result already has the operand's layout is taken, if any.
    """

    def rule(g: Value, z: Value, x: Value, y: Value, *, contract: Axes, batch: Axes) -> Value:
        ours, theirs = (x, y) if position == 0 else (y, x)
        our_contract, their_contract = contract[position], contract[1 - position]
        our_batch, their_batch = batch[position], batch[1 - position]
        our_free = free_axes(ours, our_contract, our_batch)
        their_free = free_axes(theirs, their_contract, their_batch)
        # In g: the batch axes, the free axes of x, the free axes of y.
        batch_in_g = tuple(range(len(our_batch)))
        x_free = len(our_free) if position == 0 else len(their_free)
        theirs_start = len(our_batch) + (x_free if position == 0 else 0)
        theirs_in_g = tuple(range(theirs_start, theirs_start + len(their_free)))
        # In the result, the contracted axes come in the order in which the other operand has them.
        contracted = tuple(ours_axis for _, ours_axis in sorted(zip(their_contract, our_contract)))
        g_first = our_batch + our_free + contracted
        g_last = our_batch + contracted + our_free
        if g_last == tuple(range(ours.ndim)) != g_first:
            return p.dot(theirs, g, contract=(their_free, theirs_in_g), batch=(their_batch, batch_in_g))
        result = p.dot(g, theirs, contract=(theirs_in_g, their_free), batch=(batch_in_g, their_batch))
        permutation = inverse(g_first)
        is_identity = permutation == tuple(range(ours.ndim))
        return result if is_identity else p.transpose(result, permutation=permutation)

    return rule


def free_axes(x: Value, contract: tuple[int, ...], batch: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(axis for axis in range(x.ndim) if axis not in contract and axis not in batch)


row(p.dot, dot_operand(0), dot_operand(1))
row(
    p.conv,
    lambda g, y, x, kernel, **how: p.conv_input_grad(g, kernel, shape=x.shape[1:-1], **how),
    lambda g, y, x, kernel, **how: p.conv_filter_grad(x, g, shape=kernel.shape[:-2], **how),
)
row(
    p.conv_input_grad,
    lambda g, x, y, kernel, *, shape, **how: p.conv(g, kernel, **how),
    lambda g, x, y, kernel, *, shape, **how: p.conv_filter_grad(g, y, shape=kernel.shape[:-2], **how),
)
row(
    p.conv_filter_grad,
    lambda g, kernel, x, y, *, shape, **how: p.conv_input_grad(y, g, shape=x.shape[1:-1], **how),
    lambda g, kernel, x, y, *, shape, **how: p.conv(x, g, **how),
)
# Their rules see the whole node: `lamina.grad.attention`.
row(p.attention)
row(p.attention_grad)

# --- window ----------------------------------------------------------------------------------------
row(
    p.max_window,
    lambda g, y, x, **how: p.scatter_window(g, y.node.outputs[1], shape=x.shape[1:-1], **how),
)
row(
    p.gather_window,
    lambda g, y, x, index, **how: p.scatter_window(g, index, shape=x.shape[1:-1], **how),
    None,
)
row(p.scatter_window, lambda g, x, y, index, *, shape, **how: p.gather_window(g, index, **how), None)
row(p.sum_window, lambda g, y, x, **how: p.spread_window(g, shape=x.shape[1:-1], **how))
row(p.spread_window, lambda g, x, y, *, shape, **how: p.sum_window(g, **how))


# --- gather and scatter ----------------------------------------------------------------------------
def clamp(indices: Value, extent: int) -> Value:
    """Indices as gather reads them."""
    low, high = dtypes.limits(indices.dtype)
    clamped = p.maximum(indices, like(indices, 0)) if low < 0 else indices
    return p.minimum(clamped, like(indices, extent - 1)) if high > extent - 1 else clamped


def scatter_into_zeros(g: Value, y: Value, x: Value, indices: Value, *, axis: int) -> Value:
    """Rule of gather."""
    if g.size == 0:
        return like(x, 0)
    return p.scatter_add(like(x, 0), clamp(indices, x.shape[axis]), g, axis=axis)


def gather_inside(g: Value, y: Value, x: Value, indices: Value, updates: Value, *, axis: int) -> Value:
    """Rule of scatter_add, for the updates: those that fell outside were dropped."""
    if updates.size == 0 or x.size == 0:
        return like(updates, 0)
    is_inside = p.equal(indices, clamp(indices, x.shape[axis]))
    axes = tuple(range(axis, axis + indices.ndim))
    return keep(p.broadcast(is_inside, shape=updates.shape, axes=axes), p.gather(g, indices, axis=axis))


row(p.gather, scatter_into_zeros, None)
row(p.scatter_add, lambda g, y, x, indices, updates, *, axis: g, None, gather_inside)


# --- sort ------------------------------------------------------------------------------------------
def unsort(g: Value, y: Value, x: Value, *, axis: int, descending: bool) -> Value:
    """Rule of sort: each sorted element's cotangent goes back to the place it came from."""
    dtype = "int32" if x.size <= dtypes.limits("int32")[1] else "int64"
    places = p.cast(y.node.outputs[1], dtype=dtype)
    target = p.multiply(places, full(x.shape, row_major_strides(x.shape)[axis], dtype))
    for other, stride in enumerate(row_major_strides(x.shape)):
        if other != axis and x.shape[other] > 1:
            steps = p.multiply(iota_value(x.shape, other, dtype), full(x.shape, stride, dtype))
            target = p.add(target, steps)
    flat_target, flat_g = p.reshape(target, shape=(x.size,)), p.reshape(g, shape=(x.size,))
    return p.reshape(p.scatter_add(like(flat_g, 0), flat_target, flat_g, axis=0), shape=x.shape)


row(p.sort, unsort)

# --- host ------------------------------------------------------------------------------------------
# By the function's name: `lamina.grad.host`.
row(p.host)

# --- control ---------------------------------------------------------------------------------------
# Their rules see the whole node and work on the graphs inside it: `lamina.grad.control`.
row(p.scan)
row(p.while_loop)
row(p.cond)
row(p.custom_gradient)


def rule_of(primitive: Primitive, position: int) -> Rule | None:
    """The rule for one operand; KeyError when the primitive has no row."""
    return part(position) if primitive is p.concatenate else RULES[primitive][position]


# Nothing flows through these: their derivative is zero wherever it exists, or their result is not a number on
# the real line, or they have no operands.
NOT_DIFFERENTIABLE = frozenset(
    # unary
    (p.sign, p.floor, p.ceil, p.round_even, p.invert, p.is_finite, p.stop_gradient)
    # binary
    + (p.floor_divide, p.bitwise_and, p.bitwise_or, p.bitwise_xor, p.shift_left, p.shift_right)
    # compare
    + (p.equal, p.not_equal, p.less, p.less_equal, p.greater, p.greater_equal)
    # reduce
    + (p.argmax, p.argmin)
    # move
    + (p.input, p.constant, p.iota)
    # random
    + (p.random_bits,)
)
