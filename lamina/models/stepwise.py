"""One position at a time: from the graph of a whole sequence to that of one step with memories.

A causal model gives at each position what follows from the tokens up to there. If every node of its graph
keeps positions apart, or looks back only - attention that is causal, a loop that goes forward in time - then
the graph can be run position by position: each value has one position at a time, attention remembers keys and
values, and a loop remembers what it carries. What does not follow from the tokens (weights, vectors of
places, masks) is computed once, and read where the time is.

So a model needs no code of its own for this, and one that looks ahead is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

from lamina.core.errors import ArgumentError
from lamina.core.shapes import Shape
from lamina.ir import primitives as p
from lamina.ir.attention import composed
from lamina.ir.bind import apply, full, iota_value
from lamina.ir.bodies import substitute
from lamina.ir.graph import Node, TensorType, Value, topological
from lamina.ir.primitives import ELEMENTWISE, Primitive
from lamina.ir.trace import new_input


@dataclass(frozen=True)
class Memory:
    """A value that steps hand on: before the first one, where a step reads it, what it hands on.

    whole: what it is after all positions of the sequence, where the sequence's graph has that; each step
    fills in the place of its position, and reads no later ones.
    """

    start: Value
    before: Value
    after: Value
    whole: Value | None = None


@dataclass
class Steps:
    """The graph of one step.

    token, time: where it reads the tokens at its position, and which position that is. output: what the model
    gives there. bounded: whether it knows as many positions only as the sequence had.
    """

    token: Value
    time: Value
    output: Value
    memories: list[Memory] = field(default_factory=list)
    bounded: bool = False

    @property
    def can_begin_later(self) -> bool:
        """Whether the memories of a first part of the tokens may be computed for all of it at once."""
        return bool(self.memories) and all(memory.whole is not None for memory in self.memories)


def make_steps(tokens: Value, output: Value) -> Steps:
    """One step of the graph from `tokens` (batch, length) to `output` (batch, length, ...).

    ArgumentError when a position needs to know later ones, or nobody knows whether it does.
    """
    walk = _Walk(tokens)
    for node in topological([output]):
        walk.visit(node)
    here, axis = walk.at_position(output)
    if axis != 1 or output.shape[:2] != tokens.shape:
        raise _refusal(f"its output {output.type} does not have a row for each position")
    return Steps(walk.token, walk.time, here, walk.memories, walk.bounded)


def _refusal(why: str) -> ArgumentError:
    return ArgumentError(
        f"This model cannot go on one position at a time: {why}.",
        expected="what it gives at a position follows from the tokens up to there",
        fix="attention with use_causal_mask=True, recurrent layers with return_sequences=True, no mask of "
        "positions with attention, and else layers that work on each position by itself.",
    )


class _Walk:
    """Goes through the graph of the sequence and builds that of a step."""

    def __init__(self, tokens: Value) -> None:
        self.length = tokens.shape[1]
        self.token = new_input("token", TensorType((tokens.shape[0], 1), tokens.dtype))
        self.time = new_input("time", TensorType((), "int32"))
        self.memories: list[Memory] = []
        self.bounded = False
        # What depends on the tokens: its part at the position, and along which axis positions lie; None
        # where it is known at the end of the sequence only.
        self._known: dict[Value, tuple[Value, int] | None] = {tokens: (self.token, 1)}

    # --- what is known ------------------------------------------------------------------------------

    def visit(self, node: Node) -> None:
        if node.outputs[0] in self._known or not any(operand in self._known for operand in node.inputs):
            return
        if node.primitive.has(ELEMENTWISE):
            _elementwise(self, node)
            return
        rule = RULES.get(node.primitive)
        if rule is None:
            raise self.refuse(node)
        rule(self, node)

    def refuse(self, node: Node, why: str = "mixes positions") -> ArgumentError:
        return _refusal(f"{node.primitive.name} {node.types[0]} {why}")

    def varies(self, value: Value) -> bool:
        return value in self._known

    def at_position(self, value: Value) -> tuple[Value, int]:
        """The part of a value that depends on the tokens, and the axis of positions."""
        found = self._known.get(value)
        if found is None:
            raise _refusal(f"{value.primitive.name} {value.type} is known at the end of the sequence only")
        return found

    def know(self, value: Value, here: Value, axis: int) -> None:
        self._known[value] = here, axis

    def know_at_the_end(self, value: Value) -> None:
        self._known[value] = None

    def apply(self, node: Node, operands: Sequence[Value], axis: int, **attributes: Any) -> None:
        """The node's only result, or all of them, by the same primitive on parts."""
        made = apply(node.primitive, list(operands), {**node.attributes, **attributes})
        for output, here in zip(node.outputs, made):
            self.know(output, here, axis)

    def axis_of(self, node: Node) -> int:
        """The axis of positions of all operands that have one."""
        axes = {self.at_position(operand)[1] for operand in node.inputs if self.varies(operand)}
        if len(axes) > 1:
            raise self.refuse(node)
        return axes.pop()

    def part(self, value: Value, axis: int) -> Value:
        """The part of any value at the position, which lies along `axis`."""
        if self.varies(value):
            return self.at_position(value)[0]
        if value.primitive is p.broadcast:
            return self._part_of_repeated(value, axis)
        if value.shape[axis] == 1:
            return value
        self.bounded = True
        places: Value = p.reshape(self.time, shape=(1,))
        part: Value = p.gather(value, places, axis=axis)
        return part

    def _part_of_repeated(self, value: Value, axis: int) -> Value:
        inner, axes = value.node.inputs[0], value.node.attributes["axes"]
        if axis in axes:
            inner = self.part(inner, axes.index(axis))
        part: Value = p.broadcast(inner, shape=_with_one(value.shape, axis), axes=axes)
        return part

    # --- memory -------------------------------------------------------------------------------------

    def remember(self, start: Value, after: Callable[[Value], Value], whole: Value | None = None) -> Value:
        """A memory that begins as `start`; what it is after this step. whole: as in `Memory`."""
        before = new_input("memory", start.type)
        now = after(before)
        self.memories.append(Memory(start, before, now, whole))
        return now

    def collect(self, value: Value) -> Value:
        """All positions of a value up to this one, in its own shape; the later ones are zeros."""
        here, axis = self.at_position(value)
        self.bounded = True
        zeros = full(value.shape, 0, value.dtype)
        return self.remember(zeros, lambda before: self._put(before, here, axis), value)

    def _put(self, before: Value, here: Value, axis: int) -> Value:
        is_here = p.equal(iota_value(before.shape, axis, "int32"), self._times(before.shape))
        repeated = p.broadcast(here, shape=before.shape, axes=tuple(range(before.ndim)))
        after: Value = p.select(is_here, repeated, before)
        return after

    def _times(self, shape: Shape) -> Value:
        times: Value = p.broadcast(self.time, shape=shape, axes=())
        return times

    def past(self, shape: Shape, axis: int) -> Value:
        """Which places along an axis are not later than this position."""
        past: Value = p.less_equal(iota_value(shape, axis, "int32"), self._times(shape))
        return past


def _with_one(shape: Shape, axis: int) -> Shape:
    return (*shape[:axis], 1, *shape[axis + 1 :])


# --- rules: what a step does for a node -------------------------------------------------------------

Rule = Callable[[_Walk, Node], None]
RULES: dict[Primitive, Rule] = {}


def _rule(*primitives: Primitive) -> Callable[[Rule], Rule]:
    def register(rule: Rule) -> Rule:
        RULES.update(dict.fromkeys(primitives, rule))
        return rule

    return register


def _elementwise(walk: _Walk, node: Node) -> None:
    axis = walk.axis_of(node)
    walk.apply(node, [walk.part(operand, axis) for operand in node.inputs], axis)


@_rule(p.reduce_sum, p.reduce_prod, p.reduce_max, p.reduce_min)
def _reduce(walk: _Walk, node: Node) -> None:
    here, axis = walk.at_position(node.inputs[0])
    axes = node.attributes["axes"]
    if axis in axes:
        raise walk.refuse(node, "runs over all positions")
    walk.apply(node, [here], axis - sum(each < axis for each in axes))


@_rule(p.argmax, p.argmin)
def _arg(walk: _Walk, node: Node) -> None:
    here, axis = walk.at_position(node.inputs[0])
    along = node.attributes["axis"]
    if along == axis:
        raise walk.refuse(node, "runs over all positions")
    walk.apply(node, [here], axis - (along < axis))


@_rule(p.sort)
def _sort(walk: _Walk, node: Node) -> None:
    here, axis = walk.at_position(node.inputs[0])
    if node.attributes["axis"] == axis:
        raise walk.refuse(node, "runs over all positions")
    walk.apply(node, [here], axis)


@_rule(p.cumulative_sum)
def _cumulative_sum(walk: _Walk, node: Node) -> None:
    here, axis = walk.at_position(node.inputs[0])
    if node.attributes["axis"] != axis:
        walk.apply(node, [here], axis)
        return
    if node.attributes["reverse"]:
        raise walk.refuse(node, "looks ahead")
    zeros = full(here.shape, 0, here.dtype)
    walk.know(node.outputs[0], walk.remember(zeros, lambda before: p.add(before, here)), axis)


@_rule(p.reshape)
def _reshape(walk: _Walk, node: Node) -> None:
    here, axis = walk.at_position(node.inputs[0])
    shape, before = node.attributes["shape"], prod(node.inputs[0].shape[:axis])
    places = [
        place for place in range(len(shape)) if shape[place] == walk.length and prod(shape[:place]) == before
    ]
    if not places:
        raise walk.refuse(node)
    walk.apply(node, [here], places[-1], shape=_with_one(shape, places[-1]))


@_rule(p.transpose)
def _transpose(walk: _Walk, node: Node) -> None:
    here, axis = walk.at_position(node.inputs[0])
    walk.apply(node, [here], node.attributes["permutation"].index(axis))


@_rule(p.broadcast)
def _broadcast(walk: _Walk, node: Node) -> None:
    here, axis = walk.at_position(node.inputs[0])
    place = node.attributes["axes"][axis]
    walk.apply(node, [here], place, shape=_with_one(node.attributes["shape"], place))


@_rule(p.slice)
def _slice(walk: _Walk, node: Node) -> None:
    here, axis = walk.at_position(node.inputs[0])
    start, limit, stride = (list(node.attributes[name]) for name in ("start", "limit", "stride"))
    if (start[axis], limit[axis], stride[axis]) != (0, walk.length, 1):
        raise walk.refuse(node, "takes some positions only")
    limit[axis] = 1
    walk.apply(node, [here], axis, limit=tuple(limit))


@_rule(p.pad)
def _pad(walk: _Walk, node: Node) -> None:
    if not walk.varies(node.inputs[0]) or walk.varies(node.inputs[1]):
        raise walk.refuse(node)
    here, axis = walk.at_position(node.inputs[0])
    if any(node.attributes[name][axis] for name in ("low", "high", "interior")):
        raise walk.refuse(node, "moves positions")
    walk.apply(node, [here, node.inputs[1]], axis)


@_rule(p.concatenate)
def _concatenate(walk: _Walk, node: Node) -> None:
    axis = walk.axis_of(node)
    if node.attributes["axis"] == axis:
        raise walk.refuse(node, "moves positions")
    walk.apply(node, [walk.part(operand, axis) for operand in node.inputs], axis)


@_rule(p.reverse)
def _reverse(walk: _Walk, node: Node) -> None:
    here, axis = walk.at_position(node.inputs[0])
    if axis in node.attributes["axes"]:
        raise walk.refuse(node, "turns positions around")
    walk.apply(node, [here], axis)


@_rule(p.dot)
def _dot(walk: _Walk, node: Node) -> None:
    x, y = node.inputs
    contract, batch = node.attributes["contract"], node.attributes["batch"]
    shared = len(batch[0])
    sides = [walk.at_position(operand) if walk.varies(operand) else None for operand in (x, y)]
    for side, found in enumerate(sides):
        if found is not None and found[1] in contract[side]:
            raise walk.refuse(node, "sums over all positions")
    both = [found[1] for found in sides if found is not None]
    common = [
        number
        for number, pair in enumerate(zip(*batch))
        if any(found is not None and found[1] == place for found, place in zip(sides, pair))
    ]
    if common:
        axes = [one[common[0]] for one in batch]
        if any(found is not None and found[1] != axis for found, axis in zip(sides, axes)):
            raise walk.refuse(node)
        walk.apply(node, [walk.part(operand, axis) for operand, axis in zip((x, y), axes)], common[0])
        return
    if len(both) > 1:
        raise walk.refuse(node, "multiplies all positions with all")
    side = 0 if sides[0] is not None else 1
    operand, used = (x, y)[side], contract[side] + batch[side]
    free = [axis for axis in range(operand.ndim) if axis not in used]
    place = shared + free.index(both[0])
    if side == 1:
        place += x.ndim - len(contract[0]) - shared
    walk.apply(node, [walk.part(each, both[0]) if walk.varies(each) else each for each in (x, y)], place)


@_rule(p.gather)
def _gather(walk: _Walk, node: Node) -> None:
    x, indices = node.inputs
    along = node.attributes["axis"]
    if walk.varies(indices) and not walk.varies(x):
        here, axis = walk.at_position(indices)
        walk.apply(node, [x, here], along + axis)
        return
    if walk.varies(indices) or walk.at_position(x)[1] == along:
        raise walk.refuse(node)
    here, axis = walk.at_position(x)
    walk.apply(node, [here, indices], axis if axis < along else axis + indices.ndim - 1)


@_rule(p.attention)
def _attention(walk: _Walk, node: Node) -> None:
    """A query for each position, over keys and values of the past, or over some that are always the same."""
    query, key, value, *others = node.inputs
    if node.attributes["rate"]:
        raise walk.refuse(node, "drops weights at random")
    masks = [other for other in others if other.dtype == "bool"]
    if not walk.varies(query) or walk.varies(key) != walk.varies(value) or walk.axis_of(node) != 1:
        raise walk.refuse(node)
    causal, shape = node.attributes["causal"], (1, 1, key.shape[1], 1)
    looks_back = walk.varies(key)
    if looks_back and not causal:
        raise walk.refuse(node, "looks ahead")
    allowed = [_part_of_mask(walk, node, mask) for mask in masks]
    if causal:
        past = walk.past(shape, 2)
        if allowed:
            past = p.broadcast(past, shape=allowed[0].shape, axes=(0, 1, 2, 3))
            allowed = [p.bitwise_and(allowed[0], past)]
        else:
            allowed = [past]
    keys, values = (walk.collect(each) if looks_back else each for each in (key, value))
    here = walk.at_position(query)[0]
    made = composed(here, keys, values, *allowed, causal=False, scale=node.attributes["scale"], rate=0.0)
    for output, part, axis in zip(node.outputs, made, (1, 2, 2)):
        walk.know(output, part, axis)


def _part_of_mask(walk: _Walk, node: Node, mask: Value) -> Value:
    """The mask [batch, heads, keys, queries] as this position sees it."""
    if not walk.varies(mask):
        return walk.part(mask, 3)
    if walk.at_position(mask)[1] != 2 or mask.shape[3] != 1:
        raise walk.refuse(node, "has a mask of its own for each position")
    return walk.collect(mask)


@_rule(p.scan)
def _scan(walk: _Walk, node: Node) -> None:
    """A loop over positions: one step of it, on what it carried so far."""
    attributes = node.attributes
    body, first = attributes["body"], attributes["consts"]
    last = first + attributes["carries"]
    if any(walk.varies(operand) for operand in node.inputs[:last]):
        raise walk.refuse(node)
    slices = node.inputs[last:]
    if attributes["reverse"] or any(
        walk.varies(operand) and walk.at_position(operand)[1] != 0 for operand in slices
    ):
        raise walk.refuse(node, "does not go forward in time")
    given = dict(zip(body.inputs, node.inputs[:first]))
    before = [new_input("memory", start.type) for start in node.inputs[first:last]]
    given.update(zip(body.inputs[first:last], before))
    for inner, operand in zip(body.inputs[last:], slices):
        given[inner] = p.reshape(walk.part(operand, 0), shape=inner.shape)
    made = substitute(body.outputs, given)
    for start, held, after in zip(node.inputs[first:last], before, made):
        walk.memories.append(Memory(start, held, after))
    for output in node.outputs[: last - first]:
        walk.know_at_the_end(output)
    for output, result in zip(node.outputs[last - first :], made[last - first :]):
        walk.know(output, p.reshape(result, shape=(1, *result.shape)), 0)
