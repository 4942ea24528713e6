"""Whether a program treats its rows one by one: row i of each output follows from row i of the inputs alone.

Then a batch may be filled up with rows that nobody looks at, and cut differently, without changing any
result; so `predict` needs few compiled sizes. The proof compares the programs of two batch sizes node by
node: they must be the same but for that size, and each node must keep the rows apart.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lamina.backends.base import Program
from lamina.ir import primitives as p
from lamina.ir.graph import Node, Value, topological

# Where the rows of a value lie: an axis, or None when it does not depend on the rows at all.
Axis = int | None
Axes = dict[Value, Axis]


class RowsMixed(Exception):  # noqa: N818 - the answer "no", not an error
    """A node mixes rows, or nothing is known about it."""


def independent(first: Program, second: Program) -> bool:
    """Whether both are the same function of rows, for batches of two different sizes, both above 1."""
    if first.updates or second.updates or len(first.outputs) != len(second.outputs):
        return False
    nodes, others = topological(first.outputs), topological(second.outputs)
    if len(nodes) != len(others):
        return False
    axes: Axes = {}
    partner: dict[Value, Value] = {}
    inputs = dict.fromkeys(first.inputs, 0)
    states = dict(zip(first.states, second.states))
    given = dict(zip(first.inputs, second.inputs))
    try:
        for node, other in zip(nodes, others):
            axis = _axis(node, other, axes, inputs, {**states, **given}, partner)
            for value, twin in zip(node.outputs, other.outputs):
                axes[value], partner[value] = axis, twin
                _same_but_rows(value, twin, axis)
    except RowsMixed:
        return False
    return all(
        axes[value] == 0 and partner[value] is twin for value, twin in zip(first.outputs, second.outputs)
    )


def _axis(
    node: Node,
    other: Node,
    axes: Axes,
    inputs: dict[Value, int],
    twins: dict[Value, Value],
    partner: dict[Value, Value],
) -> Axis:
    """Where the rows of the node's results lie; RowsMixed when they do not stay apart."""
    if node.primitive is not other.primitive:
        raise RowsMixed
    if node.primitive is p.input:
        value = node.outputs[0]
        if twins.get(value) is not other.outputs[0]:
            raise RowsMixed
        return inputs.get(value)
    if any(partner[value] is not twin for value, twin in zip(node.inputs, other.inputs)):
        raise RowsMixed
    operands = [axes[value] for value in node.inputs]
    if (
        all(axis is None for axis in operands)
        and node.attributes == other.attributes
        and node.types == other.types
    ):
        return None
    if node.primitive.has(p.ELEMENTWISE):
        return _common(node, operands)
    rule = _RULES.get(node.primitive)
    if rule is None:
        raise RowsMixed
    return rule(node, operands, node.attributes, other.attributes)


def _same_but_rows(value: Value, twin: Value, axis: Axis) -> None:
    """The types of the two may differ in the number of rows only."""
    ours, theirs = list(value.shape), list(twin.shape)
    if axis is not None:
        ours[axis : axis + 1] = theirs[axis : axis + 1] = []
    if ours != theirs or value.dtype != twin.dtype:
        raise RowsMixed


def _common(node: Node, operands: list[Axis]) -> Axis:
    """The axis on which all operands agree; one without rows cannot have the shape of one with."""
    found = {axis for axis in operands if axis is not None}
    if len(found) != 1 or None in operands:
        raise RowsMixed
    return found.pop()


def _need(axis: Axis) -> int:
    if axis is None:
        raise RowsMixed
    return axis


def _shifted(axis: int, removed: Any) -> int:
    if axis in removed:
        raise RowsMixed
    return axis - sum(other < axis for other in removed)


# --- rules: (node, axes of operands, its attributes, those of the other size) -> axis of the result

Rule = Callable[[Node, list[Axis], Any, Any], Axis]
_RULES: dict[p.Primitive, Rule] = {}


def _rule(*primitives: p.Primitive) -> Callable[[Rule], Rule]:
    def register(rule: Rule) -> Rule:
        _RULES.update(dict.fromkeys(primitives, rule))
        return rule

    return register


@_rule(p.reduce_sum, p.reduce_prod, p.reduce_max, p.reduce_min)
def _reduce(node: Node, operands: list[Axis], ours: Any, theirs: Any) -> Axis:
    _equal(ours, theirs)
    return _shifted(_need(operands[0]), ours["axes"])


@_rule(p.argmax, p.argmin)
def _arg(node: Node, operands: list[Axis], ours: Any, theirs: Any) -> Axis:
    _equal(ours, theirs)
    return _shifted(_need(operands[0]), (ours["axis"],))


@_rule(p.cumulative_sum, p.sort)
def _along(node: Node, operands: list[Axis], ours: Any, theirs: Any) -> Axis:
    _equal(ours, theirs)
    if ours["axis"] == operands[0]:
        raise RowsMixed
    return operands[0]


@_rule(p.reverse)
def _reverse(node: Node, operands: list[Axis], ours: Any, theirs: Any) -> Axis:
    _equal(ours, theirs)
    if operands[0] in ours["axes"]:
        raise RowsMixed
    return operands[0]


@_rule(p.transpose)
def _transpose(node: Node, operands: list[Axis], ours: Any, theirs: Any) -> Axis:
    _equal(ours, theirs)
    return int(ours["permutation"].index(_need(operands[0])))


@_rule(p.reshape)
def _reshape(node: Node, operands: list[Axis], ours: Any, theirs: Any) -> Axis:
    # Rows in front, and still in front: what comes after them is rearranged within each row.
    if operands[0] != 0 or ours["shape"][:1] != node.inputs[0].shape[:1]:
        raise RowsMixed
    return 0


@_rule(p.broadcast)
def _broadcast(node: Node, operands: list[Axis], ours: Any, theirs: Any) -> Axis:
    if ours["axes"] != theirs["axes"]:
        raise RowsMixed
    if operands[0] is not None:
        return int(ours["axes"][operands[0]])
    # The same for every row: the new axis whose extent is the number of rows carries them.
    differing = [axis for axis, (one, two) in enumerate(zip(ours["shape"], theirs["shape"])) if one != two]
    if len(differing) != 1 or (
        differing[0] in ours["axes"] and node.inputs[0].shape[ours["axes"].index(differing[0])] != 1
    ):
        raise RowsMixed
    return differing[0]


@_rule(p.slice)
def _slice(node: Node, operands: list[Axis], ours: Any, theirs: Any) -> Axis:
    axis = _need(operands[0])
    for name in ("start", "limit", "stride"):
        one, two = list(ours[name]), list(theirs[name])
        del one[axis], two[axis]
        if one != two:
            raise RowsMixed
    if ours["start"][axis] or ours["stride"][axis] != 1 or ours["limit"][axis] != node.inputs[0].shape[axis]:
        raise RowsMixed
    return axis


@_rule(p.pad)
def _pad(node: Node, operands: list[Axis], ours: Any, theirs: Any) -> Axis:
    _equal(ours, theirs)
    axis = _need(operands[0])
    if ours["low"][axis] or ours["high"][axis] or ours["interior"][axis] or operands[1] is not None:
        raise RowsMixed
    return axis


@_rule(p.concatenate)
def _concatenate(node: Node, operands: list[Axis], ours: Any, theirs: Any) -> Axis:
    _equal(ours, theirs)
    axis = _common(node, operands)
    if axis == ours["axis"]:
        raise RowsMixed
    return axis


@_rule(p.dot)
def _dot(node: Node, operands: list[Axis], ours: Any, theirs: Any) -> Axis:
    _equal(ours, theirs)
    x_axis, y_axis = operands
    contract, batch = ours["contract"], ours["batch"]
    if x_axis in contract[0] or y_axis in contract[1]:
        raise RowsMixed
    for one, two in zip(*batch):
        if one == x_axis and two == y_axis:
            return int(batch[0].index(one))
    if x_axis in batch[0] or y_axis in batch[1] or (x_axis is not None and y_axis is not None):
        raise RowsMixed
    x, y = node.inputs
    free_x = [axis for axis in range(x.ndim) if axis not in contract[0] + batch[0]]
    free_y = [axis for axis in range(y.ndim) if axis not in contract[1] + batch[1]]
    if x_axis is not None:
        return len(batch[0]) + free_x.index(x_axis)
    return len(batch[0]) + len(free_x) + free_y.index(_need(y_axis))


@_rule(p.conv, p.conv_input_grad)
def _conv(node: Node, operands: list[Axis], ours: Any, theirs: Any) -> Axis:
    _equal(ours, theirs)
    if operands != [0, None]:
        raise RowsMixed
    return 0


@_rule(p.attention)
def _attention(node: Node, operands: list[Axis], ours: Any, theirs: Any) -> Axis:
    _equal(ours, theirs)
    if operands[:3] != [0, 0, 0] or any(axis not in (None, 0) for axis in operands[3:]) or ours["rate"]:
        raise RowsMixed
    return 0


@_rule(p.max_window, p.gather_window, p.scatter_window, p.sum_window, p.spread_window)
def _window(node: Node, operands: list[Axis], ours: Any, theirs: Any) -> Axis:
    _equal(ours, theirs)
    if any(axis != 0 for axis in operands):
        raise RowsMixed
    return 0


@_rule(p.gather)
def _gather(node: Node, operands: list[Axis], ours: Any, theirs: Any) -> Axis:
    _equal(ours, theirs)
    x_axis, index_axis = operands
    if index_axis is None:
        axis = _need(x_axis)
        if axis == ours["axis"]:
            raise RowsMixed
        return axis if axis < ours["axis"] else axis + node.inputs[1].ndim - 1
    if x_axis is not None:
        raise RowsMixed
    return int(ours["axis"]) + index_axis


def _equal(ours: Any, theirs: Any) -> None:
    if ours != theirs:
        raise RowsMixed
