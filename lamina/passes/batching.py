"""One computation for many slices at once: primitive -> the same on operands with a new first axis.

A rule gets the operands, with a flag for each that says whether it has the new axis, the extent of that axis,
and the attributes as keywords; the result has the axis. `can_batch` says what has no rule.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from lamina.ir import primitives as p
from lamina.ir.graph import Node, Value
from lamina.ir.primitives import ELEMENTWISE, REDUCES, TABLE, Primitive

Axes = tuple[int, ...]
Rule = Callable[..., Value]


def shifted(axes: Axes) -> Axes:
    return tuple([axis + 1 for axis in axes])


def repeated(x: Value, is_batched: bool, extent: int) -> Value:
    """x with the new axis, along which it is the same everywhere if it had none."""
    if is_batched:
        return x
    result: Value = p.broadcast(x, shape=(extent, *x.shape), axes=tuple(range(1, x.ndim + 1)))
    return result


def of_elementwise(primitive: Primitive) -> Rule:
    def rule(operands: Sequence[Value], batched: Sequence[bool], extent: int, **attributes: object) -> Value:
        whole = [repeated(x, flag, extent) for x, flag in zip(operands, batched)]
        result: Value = primitive(*whole, **attributes)
        return result

    return rule


def of_reduction(primitive: Primitive) -> Rule:
    def rule(operands: Sequence[Value], batched: Sequence[bool], extent: int, *, axes: Axes) -> Value:
        result: Value = primitive(operands[0], axes=shifted(axes))
        return result

    return rule


def of_one_axis(primitive: Primitive) -> Rule:
    def rule(
        operands: Sequence[Value], batched: Sequence[bool], extent: int, *, axis: int, **attributes: object
    ) -> Value:
        result: Value = primitive(operands[0], axis=axis + 1, **attributes)
        return result

    return rule


def of_reshape(operands: Sequence[Value], batched: Sequence[bool], extent: int, *, shape: Axes) -> Value:
    result: Value = p.reshape(operands[0], shape=(extent, *shape))
    return result


def of_transpose(
    operands: Sequence[Value], batched: Sequence[bool], extent: int, *, permutation: Axes
) -> Value:
    result: Value = p.transpose(operands[0], permutation=(0, *shifted(permutation)))
    return result


def of_broadcast(
    operands: Sequence[Value], batched: Sequence[bool], extent: int, *, shape: Axes, axes: Axes
) -> Value:
    result: Value = p.broadcast(operands[0], shape=(extent, *shape), axes=(0, *shifted(axes)))
    return result


def of_slice(
    operands: Sequence[Value], batched: Sequence[bool], extent: int, *, start: Axes, limit: Axes, stride: Axes
) -> Value:
    result: Value = p.slice(operands[0], start=(0, *start), limit=(extent, *limit), stride=(1, *stride))
    return result


def of_pad(
    operands: Sequence[Value], batched: Sequence[bool], extent: int, *, low: Axes, high: Axes, interior: Axes
) -> Value:
    result: Value = p.pad(*operands, low=(0, *low), high=(0, *high), interior=(0, *interior))
    return result


def of_concatenate(operands: Sequence[Value], batched: Sequence[bool], extent: int, *, axis: int) -> Value:
    whole = [repeated(x, flag, extent) for x, flag in zip(operands, batched)]
    result: Value = p.concatenate(*whole, axis=axis + 1)
    return result


def of_gather(operands: Sequence[Value], batched: Sequence[bool], extent: int, *, axis: int) -> Value:
    if batched[0]:
        result: Value = p.gather(*operands, axis=axis + 1)
        return result
    return to_front(p.gather(*operands, axis=axis), axis)


def to_front(x: Value, axis: int) -> Value:
    """x with `axis` first."""
    if axis == 0:
        return x
    order = (axis, *(other for other in range(x.ndim) if other != axis))
    result: Value = p.transpose(x, permutation=order)
    return result


def of_dot(
    operands: Sequence[Value],
    batched: Sequence[bool],
    extent: int,
    *,
    contract: tuple[Axes, Axes],
    batch: tuple[Axes, Axes],
) -> Value:
    """The new axis is a batch axis if both operands have it, else one more free axis of its operand."""
    contracted = tuple(shifted(axes) if flag else axes for axes, flag in zip(contract, batched))
    common = tuple(shifted(axes) if flag else axes for axes, flag in zip(batch, batched))
    if all(batched):
        result: Value = p.dot(*operands, contract=contracted, batch=((0, *common[0]), (0, *common[1])))
        return result
    product = p.dot(*operands, contract=contracted, batch=common)
    x = operands[0]
    free = 0 if batched[0] else x.ndim - len(contract[0]) - len(batch[0])
    return to_front(product, len(batch[0]) + free)


RULES: dict[Primitive, Rule] = {
    **{primitive: of_elementwise(primitive) for primitive in TABLE.values() if primitive.has(ELEMENTWISE)},
    **{primitive: of_reduction(primitive) for primitive in TABLE.values() if primitive.has(REDUCES)},
    p.argmax: of_one_axis(p.argmax),
    p.argmin: of_one_axis(p.argmin),
    p.cumulative_sum: of_one_axis(p.cumulative_sum),
    p.reshape: of_reshape,
    p.transpose: of_transpose,
    p.broadcast: of_broadcast,
    p.slice: of_slice,
    p.pad: of_pad,
    p.concatenate: of_concatenate,
    p.reverse: lambda operands, batched, extent, *, axes: p.reverse(operands[0], axes=shifted(axes)),
    p.dot: of_dot,
    p.gather: of_gather,
}


def can_batch(node: Node, batched: Sequence[bool]) -> bool:
    """Whether there is a rule for these operands."""
    if node.primitive is p.pad:
        return not batched[1]
    return node.primitive in RULES and not (node.primitive is p.gather and all(batched))


def batch_node(node: Node, operands: Sequence[Value], batched: Sequence[bool], extent: int) -> Value:
    """The result of `node` for all slices; at least one operand has the new axis, and `can_batch` holds."""
    return RULES[node.primitive](operands, batched, extent, **node.attributes)
