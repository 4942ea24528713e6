"""Derivatives of loops and branches.

A rule gets the node, the cotangent of each output (None where there is none) and which operands want one; it
returns the cotangents of the operands. The gradient of a scan is a scan in the opposite direction, which
reads what the forward scan kept for it; so it can be differentiated again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from lamina.core.dtypes import is_float, itemsize
from lamina.core.errors import GradientError
from lamina.ir import primitives as p
from lamina.ir.bind import apply, full
from lamina.ir.bodies import captured, is_light, make_body, substitute
from lamina.ir.graph import Graph, Node, Value, topological
from lamina.ir.primitives import Primitive
from lamina.ir.trace import new_input

Cotangents = list[Value | None]
NodeRule = Callable[[Node, Cotangents, Sequence[bool]], Cotangents]
# (outputs, their cotangents, inputs) -> cotangents of the inputs: the backward walk, of which this is part.
PullBack = Callable[[Sequence[Value], Sequence[Value], Sequence[Value]], list[Value]]
Reached = Callable[[Sequence[Value], Sequence[Node]], set[Value]]

# Work that is rather done again in the backward loop than remembered, when what it needs is there anyway.
CHEAP = frozenset(
    {p.negative, p.absolute, p.add, p.subtract, p.multiply, p.maximum, p.minimum, p.cast, p.invert,
     p.equal, p.not_equal, p.less, p.less_equal, p.greater, p.greater_equal, p.select,
     p.bitwise_and, p.bitwise_or, p.bitwise_xor, p.stop_gradient,
     p.reshape, p.transpose, p.broadcast, p.slice, p.reverse}
)  # fmt: skip


def rules(pull_back: PullBack, reached_from: Reached) -> dict[Primitive, NodeRule]:
    """The rules, given the backward walk that they use for the graphs inside the node."""

    def of_scan(node: Node, cotangents: Cotangents, wanted: Sequence[bool]) -> Cotangents:
        return _Scan(node, pull_back, reached_from).gradients(cotangents, wanted)

    def of_cond(node: Node, cotangents: Cotangents, wanted: Sequence[bool]) -> Cotangents:
        return _of_cond(node, pull_back, cotangents, wanted)

    return {p.scan: of_scan, p.while_loop: _of_while, p.cond: of_cond, p.custom_gradient: _of_custom}


def _of_while(node: Node, cotangents: Cotangents, wanted: Sequence[bool]) -> Cotangents:
    raise GradientError(
        "A while loop has no gradient: nobody knows how many steps would have to be remembered.",
        fix="use ops.scan or ops.fori_loop with a known number of steps, or ops.stop_gradient on its result.",
    )


def _of_cond(node: Node, pull_back: PullBack, cotangents: Cotangents, wanted: Sequence[bool]) -> Cotangents:
    """The same branch again, backwards; what it needs of the forward pass is computed again."""
    index, *operands = node.inputs
    given = [(number, g) for number, g in enumerate(cotangents) if g is not None]
    positions = [number for number in range(len(operands)) if wanted[number + 1]]
    branches = []
    for branch in node.attributes["branches"]:
        seeds = [new_input("seed", g.type) for _, g in given]
        outputs = [branch.outputs[number] for number, _ in given]
        found = pull_back(outputs, seeds, [branch.inputs[number] for number in positions])
        branches.append(make_body([*branch.inputs, *seeds], found))
    results = apply(p.cond, [index, *operands, *(g for _, g in given)], {"branches": tuple(branches)})
    contributions: Cotangents = [None] * len(node.inputs)
    for number, result in zip(positions, results):
        contributions[number + 1] = result
    return contributions


def _of_custom(node: Node, cotangents: Cotangents, wanted: Sequence[bool]) -> Cotangents:
    """What the graph of the node says, in the place of what would flow through the results."""
    results, arguments = node.attributes["results"], node.attributes["arguments"]
    arrived = [full(v.shape, 0, v.dtype) if g is None else g for v, g in zip(node.outputs, cotangents)]
    backward: Graph = node.attributes["backward"]
    read = node.inputs[results + arguments :]
    sent: Cotangents = list(substitute(backward.outputs, dict(zip(backward.inputs, [*read, *arrived]))))
    return [*[None] * results, *sent, *[None] * len(read)]


class _Scan:
    """The gradient of one scan node."""

    def __init__(self, node: Node, pull_back: PullBack, reached_from: Reached) -> None:
        self.node = node
        self.pull_back = pull_back
        self.reached_from = reached_from
        self.body: Graph = node.attributes["body"]
        self.consts: int = node.attributes["consts"]
        self.carries: int = node.attributes["carries"]
        self.length: int = node.attributes["length"]

    def gradients(self, cotangents: Cotangents, wanted: Sequence[bool]) -> Cotangents:
        inputs, outputs = self.body.inputs, self.body.outputs
        active = self._active(wanted)
        seeds = {
            number: new_input("seed", output.type)
            for number, output in enumerate(outputs)
            if (number < self.carries and active[self.consts + number])
            or (number >= self.carries and cotangents[number] is not None)
        }
        positions = [number for number in range(len(inputs)) if active[number]]
        found = dict(
            zip(
                positions,
                self.pull_back(
                    [outputs[number] for number in seeds],
                    list(seeds.values()),
                    [inputs[number] for number in positions],
                ),
            )
        )
        return self._backward(cotangents, seeds, found)

    def _active(self, wanted: Sequence[bool]) -> list[bool]:
        """Which inputs of the body a derivative flows to, at one step or another."""
        inputs, outputs = self.body.inputs, self.body.outputs
        order = topological(outputs)
        active = [flag and is_float(value.dtype) for flag, value in zip(wanted, inputs)]
        while True:
            reached = self.reached_from([v for v, flag in zip(inputs, active) if flag], order)
            grown = list(active)
            for number in range(self.carries):
                if outputs[number] in reached:
                    grown[self.consts + number] = True
            if grown == active:
                return active
            active = grown

    def _backward(
        self, cotangents: Cotangents, seeds: dict[int, Value], found: dict[int, Value]
    ) -> Cotangents:
        operands = self.node.inputs
        first_slice = self.consts + self.carries
        carried = [number for number in seeds if number < self.carries]
        read = [number for number in seeds if number >= self.carries]
        summed = [number for number in found if number < self.consts]
        sliced = [number for number in found if number >= first_slice]
        sums = [new_input("sum", operands[number].type) for number in summed]
        outputs = [
            *(found[self.consts + number] for number in carried),
            *(p.add(total, found[number]) for total, number in zip(sums, summed)),
            *(found[number] for number in sliced),
        ]
        kept = self._kept([*seeds.values(), *sums], outputs)
        fixed, stacked, stacks = self._remembered(kept)
        body = make_body(
            [
                *fixed,
                *(seeds[number] for number in carried),
                *sums,
                *stacked,
                *(seeds[number] for number in read),
            ],
            outputs,
        )
        start = [
            cotangents[number] or full(operands[self.consts + number].shape, 0, seeds[number].dtype)
            for number in carried
        ]
        zeros = [full(total.shape, 0, total.dtype) for total in sums]
        given = [cotangents[number] for number in read]
        attributes = {
            "body": body,
            "length": self.length,
            "consts": len(fixed),
            "carries": len(start) + len(zeros),
            "reverse": not self.node.attributes["reverse"],
        }
        outside = dict(zip(self.body.inputs[: self.consts], operands))
        values = [*substitute(list(fixed), outside), *start, *zeros, *stacks, *(g for g in given if g)]
        results = apply(p.scan, values, attributes)
        contributions: Cotangents = [None] * len(operands)
        targets = [*(self.consts + number for number in carried), *summed, *sliced]
        for number, result in zip(targets, results):
            contributions[number] = result
        return contributions

    def _kept(self, own: Sequence[Value], outputs: Sequence[Value]) -> list[Value]:
        """What the backward step needs of the forward one; cheap work is done again instead."""
        free = self._free()
        kept = dict.fromkeys(captured(own, outputs))
        waiting = sorted(kept, key=lambda value: -value.node.serial)
        while waiting:
            value = waiting.pop(0)
            if value in free or value.primitive not in CHEAP or value not in kept:
                continue
            needs = [entry for entry in value.node.inputs if not is_light(entry)]
            missing = [entry for entry in dict.fromkeys(needs) if entry not in kept]
            cost = sum(_bytes(entry) for entry in missing if entry not in free)
            if cost <= _bytes(value):
                del kept[value]
                kept.update(dict.fromkeys(missing))
                waiting += missing
        return list(kept)

    def _free(self) -> set[Value]:
        """Values that need no memory of their own: slices, consts and what is made of them."""
        own = self.body.inputs
        varying = set(own[self.consts :])
        free = set(own[: self.consts]) | set(own[self.consts + self.carries :])
        for node in topological(self.body.outputs):
            if node.primitive is p.input:
                continue
            if varying.isdisjoint(node.inputs):
                free.update(node.outputs)
            else:
                varying.update(node.outputs)
        return free

    def _remembered(self, kept: Sequence[Value]) -> tuple[list[Value], list[Value], list[Value]]:
        """(values that never change, values of a step, these stacked by the forward scan)."""
        own = self.body.inputs
        first_slice = self.consts + self.carries
        free = self._free()
        slices = {value: number for number, value in enumerate(own) if number >= first_slice}
        fixed = [value for value in kept if value in free and value not in slices]
        stacked = [value for value in kept if value not in free or value in slices]
        new = [value for value in stacked if value not in slices]
        stacks: dict[Value, Value] = {
            value: self.node.inputs[slices[value]] for value in stacked if value in slices
        }
        if new:
            attributes = dict(self.node.attributes)
            attributes["body"] = Graph(own, (*self.body.outputs, *new))
            results = apply(p.scan, list(self.node.inputs), attributes)
            stacks.update(zip(new, results[len(self.body.outputs) :]))
        return fixed, stacked, [stacks[value] for value in stacked]


def _bytes(value: Value) -> int:
    return value.size * itemsize(value.dtype)
