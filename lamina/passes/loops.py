"""What need not be done step by step is done before or after the loop, for all steps at once.

For each scan, inside first:
    equal loops      loops over the same operands with the same carried values become one
    unused           results, carried values and operands that nobody needs go
    before           products of slices with what does not change: one product for all steps
    after            products that no later step needs, and sums of products: one product for all steps
    carried stacks   the values before each step are those after it, one step late: stacked once
None of these looks for a kind of layer.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import reduce

from lamina.ir import primitives as p
from lamina.ir.bind import apply
from lamina.ir.bodies import is_light, make_body, substitute
from lamina.ir.graph import Graph, Node, Value, rebuild, topological
from lamina.ir.primitives import ELEMENTWISE
from lamina.ir.trace import new_input
from lamina.passes.batching import batch_node, can_batch, repeated, shifted

VIEWS = frozenset({p.reshape, p.transpose, p.broadcast, p.slice, p.reverse})
LARGEST_STACK = 1 << 28  # elements: what is moved out of a loop may take this much memory at most


@dataclass
class Carry:
    """A value carried from step to step: its name inside, where it starts, what a step makes of it."""

    inner: Value
    start: Value
    next: Value
    is_wanted: bool = True  # whether anybody uses the last one


@dataclass
class Loop:
    """A scan taken apart: pairs of a name inside and a value outside, carried values, inner results."""

    length: int
    reverse: bool
    consts: list[tuple[Value, Value]]
    carries: list[Carry]
    slices: list[tuple[Value, Value]]
    results: dict[Value, None] = field(default_factory=dict)  # inner values that are stacked
    products: set[Value] = field(default_factory=set)  # slices that are products computed before the loop

    def inside(self) -> list[Node]:
        return topological([*(carry.next for carry in self.carries), *self.results])

    def build(self) -> tuple[dict[Value, Value], dict[Value, Value]]:
        """(the last of each carried value by its name inside, the stack of each result)."""
        inputs = [
            *(inner for inner, _ in self.consts),
            *(carry.inner for carry in self.carries),
            *(inner for inner, _ in self.slices),
        ]
        body = make_body(inputs, [*(carry.next for carry in self.carries), *self.results])
        operands = [
            *(value for _, value in self.consts),
            *(carry.start for carry in self.carries),
            *(value for _, value in self.slices),
        ]
        attributes = {
            "body": body,
            "length": self.length,
            "consts": len(self.consts),
            "carries": len(self.carries),
            "reverse": self.reverse,
        }
        if not body.outputs:
            return {}, {}
        found = apply(p.scan, operands, attributes)
        last = {carry.inner: value for carry, value in zip(self.carries, found)}
        return last, dict(zip(self.results, found[len(self.carries) :]))


def take_apart(node: Node, operands: Sequence[Value]) -> Loop:
    attributes = node.attributes
    body: Graph = attributes["body"]
    consts, carries = attributes["consts"], attributes["carries"]
    middle = consts + carries
    return Loop(
        attributes["length"],
        attributes["reverse"],
        list(zip(body.inputs[:consts], operands[:consts])),
        [
            Carry(inner, start, following)
            for inner, start, following in zip(
                body.inputs[consts:middle], operands[consts:middle], body.outputs
            )
        ],
        list(zip(body.inputs[middle:], operands[middle:])),
        dict.fromkeys(body.outputs[carries:]),
    )


def improve_loops(outputs: tuple[Value, ...]) -> tuple[Value, ...]:
    """The pass: `outputs` with every scan that they need improved."""
    nodes = topological(outputs)
    if not any(node.primitive is p.scan for node in nodes):
        return outputs
    used = {value for node in nodes for value in node.inputs} | set(outputs)
    unions = _unions(nodes)
    made: dict[object, tuple[dict[Value, Value], dict[Value, Value]]] = {}

    def rule(node: Node, operands: tuple[Value, ...]) -> Sequence[Value] | None:
        if node.primitive is not p.scan:
            return None
        carries, body = node.attributes["carries"], node.attributes["body"]
        key = _key(node)
        if key not in made:
            members = unions[key]
            loop = take_apart(node, operands)
            loop.results = dict.fromkeys(
                result
                for member in members
                for result, stack in zip(
                    member.attributes["body"].outputs[carries:], member.outputs[carries:]
                )
                if stack in used
            )
            for number, carry in enumerate(loop.carries):
                carry.is_wanted = any(member.outputs[number] in used for member in members)
            made[key] = _improve(loop)
        last, stacks = made[key]
        inner = body.inputs[node.attributes["consts"] :]
        results = [
            last.get(name, operand) for name, operand in zip(inner, operands[node.attributes["consts"] :])
        ]
        return [
            *results[:carries],
            *(stacks.get(value, old) for value, old in zip(body.outputs[carries:], node.outputs[carries:])),
        ]

    return rebuild(outputs, rule)


def _key(node: Node) -> object:
    """Equal for loops that differ only in what they stack."""
    attributes = node.attributes
    carried = attributes["body"].outputs[: attributes["carries"]]
    numbers = (attributes["length"], attributes["consts"], attributes["carries"], attributes["reverse"])
    return node.inputs, carried, attributes["body"].inputs, numbers


def _unions(nodes: Iterable[Node]) -> dict[object, list[Node]]:
    found: dict[object, list[Node]] = {}
    for node in nodes:
        if node.primitive is p.scan:
            found.setdefault(_key(node), []).append(node)
    return found


def _improve(loop: Loop) -> tuple[dict[Value, Value], dict[Value, Value]]:
    """(last carried values, stacks) of everything that was wanted of the loop."""
    last: dict[Value, Value] = {}
    _keep_unchanged(loop, last)
    _drop_unused(loop)
    renamed = _move_before(loop)
    after = After(loop)
    _drop_unused(loop)
    built_last, built = loop.build()
    last.update(built_last)
    stacks = after.finish(last, built)
    stacks.update({old: stacks[new] for old, new in renamed.items() if new in stacks})
    return last, stacks


def _keep_unchanged(loop: Loop, last: dict[Value, Value]) -> None:
    """A carried value that no step changes is one that every step reads."""
    for carry in [carry for carry in loop.carries if carry.next is carry.inner]:
        loop.carries.remove(carry)
        loop.consts.append((carry.inner, carry.start))
        last[carry.inner] = carry.start


def _drop_unused(loop: Loop) -> None:
    """Drop carried values that no result and no other carried value needs, and operands that nobody reads."""
    kept = [carry for carry in loop.carries if carry.is_wanted]
    while True:
        needed = topological([*(carry.next for carry in kept), *loop.results])
        reached = {node.outputs[0] for node in needed}
        more = [carry for carry in loop.carries if carry not in kept and carry.inner in reached]
        if not more:
            break
        kept += more
    loop.carries = [carry for carry in loop.carries if carry in kept]
    loop.consts = [pair for pair in loop.consts if pair[0] in reached]
    loop.slices = [pair for pair in loop.slices if pair[0] in reached]


# --- before the loop -------------------------------------------------------------------------------
def _move_before(loop: Loop) -> dict[Value, Value]:
    """Compute before the loop what no carried value takes part in, where it is worth it.

    That is work that is the same in each step, and products for all steps at once, with the pointwise work
    that follows such a product and nothing else. Returns the results that have another name inside now.
    """
    lift = Lift(loop)
    readers: dict[Value, int] = {}
    nodes = loop.inside()
    for node in nodes:
        for operand in dict.fromkeys(node.inputs):
            readers[operand] = readers.get(operand, 0) + 1
    moved: dict[Value, Value] = {}
    for node in nodes:
        value = node.outputs[0]
        if not node.inputs or len(node.outputs) > 1 or not lift.can(value):
            continue
        if lift.is_batched(value):
            follows = node.primitive.has(ELEMENTWISE) and any(
                operand in moved and readers[operand] == 1 and operand.size >= value.size
                for operand in node.inputs
            )
            if node.primitive is not p.dot and not follows:
                continue
        elif node.primitive in VIEWS or is_light(value):
            continue
        moved[value] = new_input("moved", value.type)
    for value, inner in moved.items():
        outer = lift(value)
        (loop.slices if lift.is_batched(value) else loop.consts).append((inner, outer))
        if lift.is_batched(value) and value.primitive is p.dot:
            loop.products.add(inner)
    results = list(loop.results)
    replaced = substitute([*(carry.next for carry in loop.carries), *results], moved)
    for carry, following in zip(loop.carries, replaced):
        carry.next = following
    renamed = dict(zip(results, replaced[len(loop.carries) :]))
    loop.results = dict.fromkeys(renamed.values())
    return renamed


class Lift:
    """Computes values of a loop's inside outside of it, for all steps at once.

    known: inner values that exist outside, with whether there is one for each step.
    """

    def __init__(self, loop: Loop) -> None:
        self.length = loop.length
        self.known = {inner: (outer, False) for inner, outer in loop.consts}
        self.known.update({inner: (outer, True) for inner, outer in loop.slices})
        self._flags: dict[Value, bool | None] = {}

    def can(self, value: Value) -> bool:
        return self._flag(value) is not None

    def is_batched(self, value: Value) -> bool:
        return bool(self._flag(value))

    def _flag(self, value: Value) -> bool | None:
        """Whether there is one value for each step; None when it cannot be computed outside."""
        for node in topological([value]):
            for output in node.outputs:
                if output not in self._flags:
                    self._flags[output] = self._flag_of(output)
        return self._flags[value]

    def _flag_of(self, value: Value) -> bool | None:
        if value in self.known:
            return self.known[value][1]
        node = value.node
        if not node.inputs:
            return None if node.primitive is p.input else False
        flags = [self._flags[operand] for operand in node.inputs]
        if None in flags or len(node.outputs) > 1:
            return None
        if not any(flags):
            return False
        if value.size * self.length > LARGEST_STACK:
            return None
        return True if can_batch(node, [bool(flag) for flag in flags]) else None

    def __call__(self, value: Value) -> Value:
        """The value outside; it must be possible."""
        for node in topological([value]):
            output = node.outputs[0]
            if output in self.known or self._flag(output) is None:
                continue
            if not node.inputs:
                self.known[output] = output, False
                continue
            operands = [self.known[operand][0] for operand in node.inputs]
            flags = [self.known[operand][1] for operand in node.inputs]
            if any(flags):
                self.known[output] = batch_node(node, operands, flags, self.length), True
            else:
                self.known[output] = apply(node.primitive, operands, node.attributes)[0], False
        return self.known[value][0]

    def stacked(self, value: Value) -> Value:
        """The value outside, one for each step."""
        outer = self(value)
        return repeated(outer, self.is_batched(value), self.length)


# --- after the loop --------------------------------------------------------------------------------
class After:
    """What is computed after the loop: requests what that needs as results of the loop, then computes it."""

    def __init__(self, loop: Loop) -> None:
        self.loop = loop
        self.wanted = list(loop.results)
        self.sums = [carry for carry in loop.carries if _is_sum(loop, carry)]
        loop.carries = [carry for carry in loop.carries if carry not in self.sums]
        self.lift = Lift(loop)
        self.needed_inside = {
            value for node in topological([carry.next for carry in loop.carries]) for value in node.outputs
        }
        self._late: dict[Value, bool] = {}
        loop.results = {}
        for value in self.wanted:
            self._request(value)
        for carry in self.sums:
            for leaf in _summed(carry):
                for operand in leaf.node.inputs:
                    self._request(operand)
        self.before = [carry for carry in loop.carries if carry.inner in loop.results]
        for carry in self.before:
            del loop.results[carry.inner]
            loop.results[carry.next] = None

    def _request(self, value: Value) -> None:
        """See to it that `value` can be computed after the loop."""
        stack = [value]
        while stack:
            current = stack.pop()
            if self.lift.can(current):
                continue
            if current not in self.needed_inside and self._is_late(current):
                stack += current.node.inputs
            else:
                self.loop.results[current] = None

    def _is_late(self, value: Value) -> bool:
        """Whether to compute `value` after the loop: it is, or is made from, a product not needed inside."""
        found = self._late.get(value)
        if found is None:
            node = value.node
            found = (
                value not in self.needed_inside
                and len(node.outputs) == 1
                and value.size * self.loop.length <= LARGEST_STACK
                and (node.primitive is p.dot or any(self._is_late(operand) for operand in node.inputs))
                and can_batch(node, [True] * len(node.inputs))
            )
            self._late[value] = found
        return found

    def finish(self, last: dict[Value, Value], stacks: dict[Value, Value]) -> dict[Value, Value]:
        """The stacks of everything that was wanted; the sums go to `last`."""
        lift = Lift(self.loop)
        lift.known.update(self.lift.known)
        lift.known.update({value: (stack, True) for value, stack in stacks.items()})
        for carry in self.before:
            lift.known[carry.inner] = _one_step_late(self.loop, carry, stacks[carry.next]), True
        for carry in self.sums:
            last[carry.inner] = p.add(carry.start, _total(lift, _other(carry)))
        return {value: lift.stacked(value) for value in self.wanted}


def _one_step_late(loop: Loop, carry: Carry, stack: Value) -> Value:
    """The carried value before each step, from those after each step."""
    first = p.reshape(carry.start, shape=(1, *carry.start.shape))
    low, high = (1, loop.length) if loop.reverse else (0, loop.length - 1)
    rest = _steps(stack, low, high)
    parts = (rest, first) if loop.reverse else (first, rest)
    result: Value = p.concatenate(*parts, axis=0)
    return result


# --- sums over steps -------------------------------------------------------------------------------
LINEAR = (p.add, p.subtract, p.negative, p.transpose, p.reshape)


def _other(carry: Carry) -> Value:
    """What a sum adds in each step."""
    first, second = carry.next.node.inputs
    return second if first is carry.inner else first


def _is_sum(loop: Loop, carry: Carry) -> bool:
    """Whether the carried value only adds up products, or sums, that do not depend on it."""
    node = carry.next.node
    if node.primitive is not p.add or node.inputs.count(carry.inner) != 1:
        return False
    readers = [each for each in loop.inside() if carry.inner in each.inputs or carry.next in each.inputs]
    is_elsewhere = {carry.inner, carry.next} & {
        *loop.results, *(other.next for other in loop.carries if other is not carry)
    }  # fmt: skip
    if readers != [node] or is_elsewhere:
        return False
    terms = _leaves_of_sum(_other(carry))
    return all(term.primitive in (p.dot, p.reduce_sum) or term in loop.products for term in terms)


def _leaves_of_sum(value: Value) -> list[Value]:
    """The terms that a sum, or a movement of one, is made of."""
    found: list[Value] = []
    stack = [value]
    while stack:
        current = stack.pop()
        if current.primitive in LINEAR:
            stack += current.node.inputs
        else:
            found.append(current)
    return found


def _summed(carry: Carry) -> list[Value]:
    return _leaves_of_sum(_other(carry))


def _total(lift: Lift, value: Value) -> Value:
    """The sum of a value over all steps."""
    node = value.node
    if node.primitive in LINEAR:
        parts = [_total(lift, operand) for operand in node.inputs]
        return apply(node.primitive, parts, node.attributes)[0]
    if node.primitive is p.input:
        return apply(p.reduce_sum, [lift.stacked(value)], {"axes": (0,)})[0]
    stacks = [lift.stacked(operand) for operand in node.inputs]
    if node.primitive is p.reduce_sum:
        return apply(p.reduce_sum, stacks, {"axes": (0, *shifted(node.attributes["axes"]))})[0]
    contract = tuple([(0, *shifted(axes)) for axes in node.attributes["contract"]])
    batch = tuple([shifted(axes) for axes in node.attributes["batch"]])
    products = [apply(p.dot, parts, {"contract": contract, "batch": batch})[0] for parts in _in_parts(stacks)]
    return reduce(p.add, products)


def _in_parts(stacks: Sequence[Value]) -> list[list[Value]]:
    """Stacks cut where the first one made of several is: there is no need to put it together.

    The values before each step are made so, of the one before the first and those after all but the last.
    """
    joined = next((stack for stack in stacks if stack.primitive is p.concatenate), None)
    if joined is None or joined.node.attributes["axis"] != 0:
        return [list(stacks)]
    found, start = [], 0
    for part in joined.node.inputs:
        end = start + part.shape[0]
        if end > start:
            found.append([part if stack is joined else _steps(stack, start, end) for stack in stacks])
        start = end
    return found


def _steps(stack: Value, low: int, high: int) -> Value:
    """Some of the steps of a stack."""
    rest = stack.shape[1:]
    result: Value = p.slice(
        stack, start=(low, *(0 for _ in rest)), limit=(high, *rest), stride=(1,) * stack.ndim
    )
    return result
