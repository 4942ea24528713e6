"""Updates of tables that leave every row alone whose gradient is zero: only the other rows are computed.

Gradient descent and Adagrad are such updates: w - rate * 0 is w. Whether an update is one follows from its
graph, with the gradient at zero. It is then made of a few rows - those that the batch named, taken from the
table, their sums of gradients, and what the update does with both - and these are put into the table where it
lies. Momentum moves rows that have no gradient, and Adam does; their updates stay sweeps.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from lamina.backends.base import Program
from lamina.backends.cpu.tables import last_place
from lamina.ir import primitives as p
from lamina.ir.constants import splat
from lamina.ir.graph import TensorType, Value, make, topological
from lamina.ir.primitives import ELEMENTWISE, Primitive

ZERO = "zero"  # everywhere; other values are known as themselves, or not at all
KEEPS_ZERO = frozenset({p.negative, p.absolute, p.sqrt, p.cast, p.stop_gradient, p.sign})


def _put_rows(table: TensorType, ids: TensorType, places: TensorType, rows: TensorType) -> TensorType:
    return table


# The table with row e of `rows` in the place of row ids[e], for every e with places[e] == e
put_rows = Primitive("put_rows", 4, _put_rows)


def only_touched_rows(program: Program) -> Program:
    """The same program; updates that leave rows without a gradient alone become `put_rows`."""
    found: dict[Value, Value] = {}
    wanted = Counter(value for _, value in program.updates)
    for position, value in program.updates:
        state = program.states[position]
        gradient = _gradient_of_rows(value, state)
        if gradient is None or wanted[value] > 1 or _at_rest(value, gradient, {}) is not state:
            continue
        rows = _Rows(gradient, program.states).of(value)
        if rows is not None:
            ids, places = gradient.node.inputs[1].node.inputs[0], gradient.node.inputs[0].node.inputs[1]
            node = make(put_rows, (state, ids, places, rows), {}, (value.type,))
            found[value] = node.outputs[0]
    if not found:
        return program
    new = [*program.outputs, *(found.get(value, value) for _, value in program.updates), *program.guards]
    read = {operand for node in topological(new) for operand in node.inputs}
    read.update(program.outputs, program.guards)
    if not read.isdisjoint(found):
        return program  # somebody reads all of the new table
    return program.with_results(new)


def _gradient_of_rows(value: Value, state: Value) -> Value | None:
    """The one gradient by rows that the pointwise work of an update is made of."""
    stack, seen = [value], {value}
    found: set[Value] = set()
    while stack:
        entry = stack.pop()
        if entry.primitive is p.gather and entry.node.inputs[1].primitive is last_place:
            found.add(entry)
        elif entry.primitive.has(ELEMENTWISE) and entry.shape == state.shape:
            fresh = [operand for operand in entry.node.inputs if operand not in seen]
            seen.update(fresh)
            stack.extend(fresh)
    return found.pop() if len(found) == 1 else None


def _at_rest(value: Value, gradient: Value, known: dict[Value, Value | str | None]) -> Value | str | None:
    """What `value` is where the gradient is zero: ZERO, a value of the graph, or None."""
    if value not in known:
        known[value] = _rest_of(value, gradient, known)
    return known[value]


def _rest_of(value: Value, gradient: Value, known: dict[Value, Value | str | None]) -> Value | str | None:
    primitive = value.primitive
    if value is gradient:
        return ZERO
    if not primitive.has(ELEMENTWISE):
        return value
    at_rest = [_at_rest(operand, gradient, known) for operand in value.node.inputs]
    if primitive in KEEPS_ZERO and at_rest[0] == ZERO:
        return ZERO
    if primitive is p.multiply and ZERO in at_rest:
        return ZERO
    if primitive is p.divide and at_rest[0] == ZERO and _stays_above_zero(value.node.inputs[1]):
        return ZERO
    if primitive is p.subtract and at_rest[1] == ZERO:
        return at_rest[0]
    if primitive is p.add and ZERO in at_rest:
        return at_rest[1] if at_rest[0] == ZERO else at_rest[0]
    return None


def _stays_above_zero(value: Value) -> bool:
    """Whether `value` is what divisors are: a mean of squares or its root, plus a small number."""
    if value.primitive is p.sqrt:
        return _stays_above_zero(value.node.inputs[0])
    number = [splat(operand) for operand in value.node.inputs] if value.primitive is p.add else []
    return any(one is not None and one > 0 for one in number)


@dataclass
class _Rows:
    """Pointwise work on a whole table, done on the rows that have a gradient."""

    gradient: Value
    states: tuple[Value, ...]
    known: dict[Value, Value | None] = field(default_factory=dict)

    def of(self, value: Value) -> Value | None:
        if value not in self.known:
            self.known[value] = self._make(value)
        return self.known[value]

    def _make(self, value: Value) -> Value | None:
        sums, places = self.gradient.node.inputs
        ids = places.node.inputs[0]
        shape = (ids.size, *self.gradient.shape[1:])
        result: Value
        if value is self.gradient:
            zeros = (0,) * len(shape)
            result = p.slice(sums, start=zeros, limit=shape, stride=(1,) * len(shape))
            return result
        if value.shape != self.gradient.shape:
            return None
        if value in self.states:
            result = p.gather(value, ids, axis=0)
            return result
        attributes = value.node.attributes
        if value.primitive is p.broadcast and 0 not in attributes["axes"]:
            result = p.broadcast(value.node.inputs[0], shape=shape, axes=attributes["axes"])
            return result
        if not value.primitive.has(ELEMENTWISE):
            return None
        operands = []
        for operand in value.node.inputs:
            rows = self.of(operand)
            if rows is None:
                return None
            operands.append(rows)
        types = (TensorType(shape, value.dtype),)
        return make(value.primitive, operands, attributes, types).outputs[0]
