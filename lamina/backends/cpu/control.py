"""Loops and branches: the graphs inside are planned like programs of their own, over the outer one's memory.

A nested graph has no addresses. Its inputs and results stand for places of the surrounding plan: a const is a
view of an outer value; a slice is one that moves on with every step; a carried value alternates between two
buffers, so that a step never overwrites what it still reads, starts at the initial value's own memory, and
ends in the memory of the result. So nothing is copied between steps, and code does not depend on the length.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from lamina.backends.base import Program
from lamina.backends.cpu.decompose import decompose
from lamina.backends.cpu.fuse import SOURCES, SPECIAL, Group, fuse
from lamina.backends.cpu.joins import join_parts
from lamina.backends.cpu.plan import Copy, Place, Plan, allocate, arrange, is_whole
from lamina.backends.cpu.rows import find_rows
from lamina.backends.cpu.views import Resolver, View
from lamina.core import dtypes
from lamina.core.shapes import row_major_strides
from lamina.ir import primitives as p
from lamina.ir.graph import Graph, Node, TensorType, Value
from lamina.ir.primitives import CONTROLS
from lamina.ir.trace import new_input


@dataclass(frozen=True)
class Moving:
    """An address in the memory of an outer value: `offset` bytes from its start, `step` more per index."""

    root: Value
    offset: int = 0
    step: int = 0

    def values(self) -> list[Value]:
        return [self.root]


@dataclass(frozen=True)
class Carried:
    """Where a carried value is read (or written) at a step.

    first: where it lies before the first step. last: where the last step writes it, None if that is like any
    other step. pair: memory of two buffers of `bytes` that steps alternate between.
    """

    first: Value
    last: Value | None
    pair: Value
    bytes: int
    written: bool

    def values(self) -> list[Value]:
        return [self.first, self.pair, *([] if self.last is None else [self.last])]


@dataclass(frozen=True)
class Late:
    """A slice of a stack that lacks one index, `at`; what belongs there lies elsewhere."""

    stack: Moving
    single: Moving
    at: int

    def values(self) -> list[Value]:
        return [self.stack.root, self.single.root]


Address = Moving | Carried | Late


@dataclass
class Nested:
    """One nested graph: its plan, and the addresses of what it shares with the surroundings."""

    plan: Plan
    addresses: list[Address] = field(default_factory=list)


@dataclass
class Control:
    """A control node of a plan: its nested graphs, and the memory that they work in.

    memory: everything it needs besides its results, with `block`, where the nested graphs put their values.
    asked: where a while loop's condition is written, or where the number of a branch is read. finals: the
    results of a while loop, and where the carried value lies in the end.
    """

    node: Node
    parts: list[Nested]
    memory: list[Value]
    block: Value
    asked: Value | None = None
    finals: list[tuple[Value, Carried]] = field(default_factory=list)


class _Shares:
    """Collects what a nested graph shares with the surroundings."""

    def __init__(self, outer: Resolver) -> None:
        self.outer = outer
        self.resolve = Resolver()
        self.addresses: list[Address] = []
        self.values: list[Value] = []
        self._aliases: dict[Value, Value] = {}

    def share(self, kind: TensorType, address: Address) -> Value:
        """A name inside the nested graph for memory outside."""
        alias = new_input("shared", kind)
        self.addresses.append(address)
        self.values.append(alias)
        return alias

    def const(self, inner: Value, operand: Value) -> None:
        view = self.outer(operand)
        alias = self._aliases.get(view.root)
        if alias is None:
            alias = self._aliases[view.root] = self.share(view.root.type, Moving(view.root))
        self.resolve.preset(inner, View(alias, view.offset, view.strides))

    def slice(self, inner: Value, operand: Value) -> None:
        view, item = self.outer(operand), dtypes.itemsize(operand.dtype)
        step, rest = view.strides[0], view.strides[1:]
        in_order = all(
            extent == 1 or stride == expected
            for extent, stride, expected in zip(inner.shape, rest, row_major_strides(inner.shape))
        )
        kind = inner.type if in_order else view.root.type
        alias = self.share(kind, Moving(view.root, view.offset * item, step * item))
        self.resolve.preset(inner, View(alias, 0, row_major_strides(inner.shape) if in_order else rest))

    def late(self, inner: Value, operand: Value, single: Value, at: int) -> None:
        """A slice whose stack begins at index 1 (if `at` is 0), or ends early; all in order."""
        view, one, item = self.outer(operand), self.outer(single), dtypes.itemsize(operand.dtype)
        first, step = view.offset * item, view.strides[0] * item
        stack = Moving(view.root, first if at else first - step, step)
        alias = self.share(inner.type, Late(stack, Moving(one.root, one.offset * item), at))
        self.resolve.preset(inner, View(alias, 0, row_major_strides(inner.shape)))

    def carried(self, inner: Value, address: Carried) -> None:
        alias = self.share(inner.type, address)
        self.resolve.preset(inner, View(alias, 0, row_major_strides(inner.shape)))


def plan_control(plan: Plan, group: Group) -> Control:
    """Plan what is inside the control node of a group."""
    assert group.head is not None
    plans = {p.scan: _plan_scan, p.while_loop: _plan_while, p.cond: _plan_cond}
    return plans[group.head.primitive](plan, group.head)


def _control(
    node: Node,
    parts: list[Nested],
    memory: list[Value],
    asked: Value | None = None,
    finals: Sequence[tuple[Value, Carried]] = (),
) -> Control:
    block = _memory(max(part.plan.arena_bytes for part in parts))
    return Control(node, parts, [*memory, block], block, asked, list(finals))


def is_control(work: object) -> bool:
    return isinstance(work, Group) and work.head is not None and work.head.primitive.has(CONTROLS)


def _memory(size: int) -> Value:
    return new_input("memory", TensorType((size,), "uint8"))


def _bytes(value: Value) -> int:
    return value.size * dtypes.itemsize(value.dtype)


def _pair(control_memory: list[Value], value: Value) -> tuple[Value, int]:
    size = -(-max(1, _bytes(value)) // 64) * 64
    pair = _memory(2 * size)
    control_memory.append(pair)
    return pair, size


def _root(plan: Plan, operand: Value) -> Value:
    return plan.fusion.resolve(operand).root


def _plan_scan(plan: Plan, node: Node) -> Control:
    attributes = node.attributes
    body: Graph = attributes["body"]
    consts, carries = attributes["consts"], attributes["carries"]
    shares = _Shares(plan.fusion.resolve)
    memory: list[Value] = []
    results: list[tuple[Value, Value]] = []
    for inner, operand in zip(body.inputs[:consts], node.inputs):
        shares.const(inner, operand)
    for number in range(carries):
        inner, operand = body.inputs[consts + number], node.inputs[consts + number]
        final, made = node.outputs[number], body.outputs[number]
        pair, size = _pair(memory, inner)
        last = final if final in plan.targets else None
        first = _root(plan, operand)
        shares.carried(inner, Carried(first, last, pair, size, written=False))
        results.append((made, shares.share(made.type, Carried(first, last, pair, size, written=True))))
    late = {position: (single, at) for position, single, at in attributes.get("late", ())}
    for position in range(consts + carries, len(body.inputs)):
        inner, operand = body.inputs[position], node.inputs[position]
        if position in late:
            single, at = late[position]
            shares.late(inner, operand, node.inputs[single], at)
        else:
            shares.slice(inner, operand)
    for made, stack in zip(body.outputs[carries:], node.outputs[carries:]):
        if stack in plan.targets:
            results.append((made, shares.share(made.type, Moving(stack, 0, _bytes(made)))))
    return _control(node, [_nested(plan, shares, results)], memory)


def _plan_while(plan: Plan, node: Node) -> Control:
    attributes = node.attributes
    condition, body, consts = attributes["condition"], attributes["body"], attributes["consts"]
    memory: list[Value] = []
    asked = _memory(1)
    memory.append(asked)
    places = []
    for operand in node.inputs[consts:]:
        pair, size = _pair(memory, operand)
        places.append(Carried(_root(plan, operand), None, pair, size, written=False))
    parts = []
    for graph in (condition, body):
        shares = _Shares(plan.fusion.resolve)
        for inner, operand in zip(graph.inputs[:consts], node.inputs):
            shares.const(inner, operand)
        for inner, place in zip(graph.inputs[consts:], places):
            shares.carried(inner, place)
        if graph is condition:
            results = [(graph.outputs[0], shares.share(graph.outputs[0].type, Moving(asked)))]
        else:
            results = [
                (
                    made,
                    shares.share(made.type, replace(place, written=True)),
                )
                for made, place in zip(graph.outputs, places)
            ]
        parts.append(_nested(plan, shares, results))
    finals = [(output, place) for output, place in zip(node.outputs, places) if output in plan.targets]
    return _control(node, parts, memory, asked, finals)


def _plan_cond(plan: Plan, node: Node) -> Control:
    parts = []
    for branch in node.attributes["branches"]:
        shares = _Shares(plan.fusion.resolve)
        for inner, operand in zip(branch.inputs, node.inputs[1:]):
            shares.const(inner, operand)
        results = [
            (made, shares.share(made.type, Moving(output)))
            for made, output in zip(branch.outputs, node.outputs)
            if output in plan.targets
        ]
        parts.append(_nested(plan, shares, results))
    return _control(node, parts, [], _root(plan, node.inputs[0]))


def _computed(value: Value, resolve: Resolver) -> Value:
    """The value as one that a kernel computes, beside others at the same points, not copied at the end."""
    view = resolve(value)
    in_place = view.root.primitive not in SOURCES and is_whole(view, value)
    return value if in_place else p.stop_gradient(value)


def _nested(outer: Plan, shares: _Shares, results: list[tuple[Value, Value]]) -> Nested:
    """The plan of a nested graph that writes each result into the memory beside it."""
    made = [_computed(value, shares.resolve) for value in decompose([v for v, _ in results], shares.resolve)]
    fusion = fuse(made, (), shares.resolve)
    join_parts(fusion)
    carried = tuple(
        alias
        for alias, address in zip(shares.values, shares.addresses)
        if isinstance(address, Carried) and not address.written
    )
    program = Program("nested", (), carried, ())
    inner = Plan(program, fusion, constants=outer.constants, rows=find_rows(program, fusion, is_loop=True))
    for number, alias in enumerate(shares.values):
        inner.places[alias] = Place("shared", number)
    for value in fusion.stored():
        inner.targets[value] = [value]
    copies = []
    for value, (_, memory) in zip(made, results):
        view = fusion.resolve(value)
        root = view.root
        home = fusion.home.get(root)
        if home is None or root.primitive in SOURCES or not is_whole(view, value):
            copies.append(Copy(value, view, memory))
        elif root not in inner.places:
            inner.places[root] = inner.places[memory]
        elif home.kind == SPECIAL:
            copies.append(Copy(value, view, memory))
        else:
            inner.targets[root].append(memory)
    arrange(inner, {}, copies, [])
    allocate(inner)
    return Nested(inner, shares.addresses)
