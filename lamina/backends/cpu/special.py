"""Kernels with a loop of their own: scatter_add, cumulative_sum, sort, last_place, put_rows; attention has a
room of its own.

The tensor is seen as (before, along, after) around the axis the primitive works on. Operands lie contiguous
in memory, or are one number everywhere. Tasks own disjoint parts of the result: a slice of `before` and a
few columns of `after`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import prod

from lamina.backends.cpu import attention, convolve_winograd_taps, host_kernel, math, points
from lamina.backends.cpu.attention_plan import ATTENTION, AttentionPlan
from lamina.backends.cpu.convolve_winograd import winograd_taps
from lamina.backends.cpu.emit import (
    ELEMENT,
    Builder,
    Module,
    Register,
    constant,
    index,
    lane_constants,
    vector,
)
from lamina.backends.cpu.fuse import scalar_constant
from lamina.backends.cpu.lower import Kernel
from lamina.backends.cpu.tables import last_place
from lamina.backends.cpu.target import Target
from lamina.backends.cpu.touched import put_rows
from lamina.backends.cpu.views import Resolver
from lamina.core import dtypes
from lamina.ir import primitives as p
from lamina.ir.graph import Node, Value

SPECIAL = (
    frozenset({p.scatter_add, p.cumulative_sum, p.sort, p.host, last_place, put_rows, winograd_taps})
    | ATTENTION
)


def flops(node: Node, target: Target) -> int:
    """Operations, roughly."""
    if node.primitive in ATTENTION:
        return AttentionPlan(node, target).flops
    return sum(value.size for value in moved_elements(node) if value not in node.outputs)


def scratch_bytes(node: Node, target: Target) -> int:
    """Private memory a thread needs: sorting keeps two copies of a line with its positions."""
    if node.primitive in ATTENTION:
        return AttentionPlan(node, target).scratch_bytes
    if node.primitive is winograd_taps:
        return convolve_winograd_taps.scratch_bytes(target)
    if node.primitive is not p.sort:
        return 0
    operand = node.inputs[0]
    along = operand.shape[node.attributes["axis"]]
    return 2 * along * (dtypes.itemsize(operand.dtype) + 4) + 64


def moved_elements(node: Node) -> tuple[Value, ...]:
    """What is read and written: of a table into which rows are put, only these."""
    if node.primitive is put_rows:
        return (*node.inputs[1:], node.inputs[-1])
    return (*node.inputs, *node.outputs)


def lower(
    module: Module,
    name: str,
    node: Node,
    resolve: Resolver,
    targets: Mapping[Value, Sequence[Value]],
    target: Target,
) -> Kernel:
    """Emit the kernel of a special node."""
    if node.primitive is p.host:
        return host_kernel.lower(module, name, node, resolve, targets)
    if node.primitive in ATTENTION:
        return attention.lower(module, name, node, resolve, targets, target)
    if node.primitive is winograd_taps:
        return convolve_winograd_taps.lower(module, name, node, resolve, targets, target)
    emitters: dict[p.Primitive, Callable[[_Special], int]] = {
        p.scatter_add: _scatter_add,
        p.cumulative_sum: _cumulative_sum,
        p.sort: _sort,
        last_place: _last_place,
        put_rows: _put_rows,
    }
    roots: dict[Value, None] = {}
    for operand in node.inputs:
        if scalar_constant(operand) is None:
            roots[resolve(operand).root] = None
    for output in node.outputs:
        roots.update(dict.fromkeys(targets.get(output, ())))
    parameters = [("ptr", f"b{position}") for position in range(len(roots))]
    scratch = node.primitive is p.sort
    tail = [("ptr", "flag"), *([("ptr", "scratch")] if scratch else []), ("i64", "begin"), ("i64", "end")]
    builder = Builder(module, name, [*parameters, *tail])
    special = _Special(builder, node, resolve, dict(zip(roots, builder.arguments)), targets, target)
    tasks = emitters[node.primitive](special)
    builder.finish()
    return Kernel(name, tuple(roots), tasks, scratch=scratch)


class _Special:
    """What the emitters share: shapes around the axis, pointers, columns."""

    def __init__(
        self, builder: Builder, node: Node, resolve: Resolver, pointers: dict[Value, Register],
        targets: Mapping[Value, Sequence[Value]], target: Target,
    ) -> None:  # fmt: skip
        self.b = builder
        self.node = node
        self.resolve = resolve
        self.pointers = pointers
        self.targets = targets
        self.target = target
        shape, axis = node.inputs[0].shape, node.attributes.get("axis", 0)
        self.before, self.along, self.after = prod(shape[:axis]), shape[axis], prod(shape[axis + 1 :])
        self.begin, self.end = builder.arguments[-2:]
        self.dtype = node.inputs[0].dtype
        self.element = ELEMENT[self.dtype]

    def written(self, output: int) -> list[Register]:
        """Where an output goes; nowhere if nobody wants it."""
        return [self.pointers[memory] for memory in self.targets.get(self.node.outputs[output], ())]

    def load(
        self, operand: Value, offset: Register | int, lanes: int = 1, mask: Register | None = None
    ) -> Register:
        """Elements of an operand as they are computed with."""
        number = scalar_constant(operand)
        if number is not None and number.constant is not None:
            value = number.constant.reshape(()).item()
            return constant(value, ELEMENT[points.computed(operand.dtype)], lanes)
        element = ELEMENT[operand.dtype]
        pointer = self.b.pointer(self.pointers[self.resolve(operand).root], offset, element)
        return points.widened(
            self.b, self.b.load(vector(element, lanes), pointer, mask), operand.dtype, self.target
        )

    def store(
        self, register: Register, base: Register, offset: Register | int, mask: Register | None = None
    ) -> None:
        register = points.narrowed(self.b, register, self.dtype, self.target)
        self.b.store(register, self.b.pointer(base, offset, self.element), mask)

    def add(self, x: Register, y: Register) -> Register:
        dtype = points.computed(self.dtype)
        total = math.emit(self.b, p.add, [dtype, dtype], dtype, [x, y], self.target)
        return points.rounded(self.b, total, self.dtype, self.target)

    def columns(self, body: Callable[[Register, Register, int, Register | None], None]) -> int:
        """`body(before, column, lanes, mask)` for every task's columns; the number of tasks."""
        lanes = max(1, self.target.vector_bytes // max(4, dtypes.itemsize(self.dtype)))
        while lanes > 1 and lanes // 2 >= self.after:
            lanes //= 2
        full, rest = divmod(self.after, lanes)
        blocks = full + bool(rest)
        if self.before * blocks == 0:
            return 0
        with self.b.loop(self.begin, self.end) as task:
            before = self.b.op("udiv", task.index, index(blocks))
            block = self.b.op("urem", task.index, index(blocks))
            column = self.b.multiply(block, lanes)
            if full:
                with self.b.when(self.b.compare("icmp slt", block, index(full))):
                    body(before, column, lanes, None)
            if rest:
                # The fewest lanes: LLVM 22 stores two elements of half precision where a mask has only one.
                fewest = 1 << (rest - 1).bit_length()
                mask = (
                    lane_constants([lane < rest for lane in range(fewest)], "i1") if rest < fewest else None
                )
                with self.b.when(self.b.compare("icmp eq", block, index(full))):
                    body(before, column, fewest, mask)
        return self.before * blocks


def _scatter_add(special: _Special) -> int:
    b, node = special.b, special.node
    tensor, indices, updates = node.inputs
    along, after, count = special.along, special.after, indices.size
    (result,) = special.written(0)

    def body(before: Register, column: Register, lanes: int, mask: Register | None) -> None:
        start = b.add(b.multiply(before, along * after), column)
        with b.loop(0, along) as row:
            offset = b.add(start, b.multiply(row.index, after))
            special.store(special.load(tensor, offset, lanes, mask), result, offset, mask)
        source = b.add(b.multiply(before, count * after), column)
        with b.loop(0, count) as entry:
            where = special.load(indices, entry.index)
            unsigned = dtypes.is_unsigned(indices.dtype)
            wide = (
                where if where.element == "i64" else b.convert("zext" if unsigned else "sext", where, "i64")
            )
            # As unsigned numbers, negative indices lie beyond every extent.
            with b.when(b.compare("icmp ult", wide, index(along))):
                offset = b.add(start, b.multiply(wide, after))
                old = b.load(vector(special.element, lanes), b.pointer(result, offset, special.element), mask)
                added = special.load(updates, b.add(source, b.multiply(entry.index, after)), lanes, mask)
                total = special.add(points.widened(b, old, special.dtype, special.target), added)
                special.store(total, result, offset, mask)

    return special.columns(body)


def _last_place(special: _Special) -> int:
    """One task: the map has few elements beside the table that it is for."""
    b, node = special.b, special.node
    (indices,), (result,) = node.inputs, special.written(0)
    rows, count = node.attributes["count"], indices.size
    lanes = max(1, special.target.vector_bytes // 4)
    whole = rows - rows % lanes
    for start, stop, width in ((0, whole, lanes), (whole, rows, 1)):
        with b.loop(start, stop, width) as row:
            b.store(constant(count, "i32", width), b.pointer(result, row.index, "i32"))
    with b.loop(0, count) as entry:
        where = special.load(indices, entry.index)
        if where.element != "i64":
            where = b.convert("zext" if dtypes.is_unsigned(indices.dtype) else "sext", where, "i64")
        with b.when(b.compare("icmp ult", where, index(rows))):
            place = b.convert("trunc", entry.index, "i32")
            b.store(place, b.pointer(result, where, "i32"))
    return 1


def _put_rows(special: _Special) -> int:
    """Where the table itself is the result, its other rows are left alone; else they are copied."""
    b = special.b
    table, ids, places, rows = special.node.inputs
    along, after, count = special.along, special.after, ids.size
    (result,) = special.written(0)
    in_place = special.resolve(table).root in special.targets[special.node.outputs[0]]

    def body(before: Register, column: Register, lanes: int, mask: Register | None) -> None:
        if not in_place:
            with b.loop(0, along) as row:
                offset = b.add(column, b.multiply(row.index, after))
                special.store(special.load(table, offset, lanes, mask), result, offset, mask)
        with b.loop(0, count) as entry:
            place = b.convert("sext", special.load(places, entry.index), "i64")
            with b.when(b.compare("icmp eq", place, entry.index)):
                where = special.load(ids, entry.index)
                if where.element != "i64":
                    where = b.convert("zext" if dtypes.is_unsigned(ids.dtype) else "sext", where, "i64")
                row_there = special.load(rows, b.add(column, b.multiply(entry.index, after)), lanes, mask)
                special.store(row_there, result, b.add(column, b.multiply(where, after)), mask)

    return special.columns(body)


def _cumulative_sum(special: _Special) -> int:
    b, node = special.b, special.node
    along, after = special.along, special.after
    (result,) = special.written(0)
    reverse = node.attributes["reverse"]

    def body(before: Register, column: Register, lanes: int, mask: Register | None) -> None:
        start = b.add(b.multiply(before, along * after), column)
        zero = constant(0, ELEMENT[points.computed(special.dtype)], lanes)
        with b.loop(0, along, 1, [zero]) as step:
            row = b.subtract(index(along - 1), step.index) if reverse else step.index
            offset = b.add(start, b.multiply(row, after))
            # Half precision is summed in float32 and rounded when it is stored.
            element = special.load(node.inputs[0], offset, lanes, mask)
            dtype = points.computed(special.dtype)
            total = math.emit(b, p.add, [dtype, dtype], dtype, [step.carried[0], element], special.target)
            special.store(total, result, offset, mask)
            step.next = [total]

    return special.columns(body)


def _sort(special: _Special) -> int:
    """Merge sort from runs of one upwards, in scratch memory; one line of the tensor at a time."""
    b, node = special.b, special.node
    operand, along, after = node.inputs[0], special.along, special.after
    lines = special.before * after
    if along == 0 or lines == 0:
        return 0
    values, positions = special.written(0), special.written(1)
    scratch = b.arguments[-3]
    bytes_ = dtypes.itemsize(special.dtype)
    memory = "i8" if special.element == "i1" else points.carrier(special.element)
    keys = [b.pointer(scratch, side * along * bytes_, "i8") for side in range(2)]
    orders = [
        b.pointer(scratch, 2 * -(-along * bytes_ // 4) * 4 + side * along * 4, "i8") for side in range(2)
    ]

    with b.loop(special.begin, special.end) as line:
        before = b.op("udiv", line.index, index(after))
        start = b.add(b.multiply(before, along * after), b.op("urem", line.index, index(after)))
        root = special.pointers[special.resolve(operand).root] if scalar_constant(operand) is None else None
        with b.loop(0, along) as entry:
            offset = b.add(start, b.multiply(entry.index, after))
            if root is not None:
                key = b.load(memory, b.pointer(root, offset, memory))
            else:
                key = _as_stored(special, special.load(operand, 0))
            b.store(key, b.pointer(keys[0], entry.index, memory))
            b.store(b.convert("trunc", entry.index, "i32"), b.pointer(orders[0], entry.index, "i32"))
        side, width = 0, 1
        while width < along:
            _merge_runs(special, keys, orders, side, width, memory)
            side, width = 1 - side, 2 * width
        with b.loop(0, along) as entry:
            offset = b.add(start, b.multiply(entry.index, after))
            for target in values:
                b.store(
                    b.load(memory, b.pointer(keys[side], entry.index, memory)),
                    b.pointer(target, offset, memory),
                )
            for target in positions:
                b.store(
                    b.load("i32", b.pointer(orders[side], entry.index, "i32")),
                    b.pointer(target, offset, "i32"),
                )
    return lines


def _as_stored(special: _Special, register: Register) -> Register:
    """A register as it lies in memory."""
    narrow = points.narrowed(special.b, register, special.dtype, special.target)
    carried = points.carrier(special.element)
    return narrow if carried == special.element else special.b.bitcast(narrow, carried)


def _merge_runs(
    special: _Special, keys: list[Register], orders: list[Register], side: int, width: int, memory: str
) -> None:
    """One pass: neighbouring runs of `width` become runs twice as long, from one side of the scratch to
    the other.
    """
    b, along = special.b, special.along

    def smaller(x: Register, y: Register) -> Register:
        return b.select(b.compare("icmp slt", x, y), x, y)

    with b.loop(0, along, 2 * width) as run:
        middle = smaller(b.add(run.index, width), index(along))
        stop = smaller(b.add(run.index, 2 * width), index(along))
        with b.loop(run.index, stop, 1, [run.index, middle]) as place:
            left, right = place.carried
            last = index(along - 1)
            left_key = b.load(memory, b.pointer(keys[side], smaller(left, last), memory))
            right_key = b.load(memory, b.pointer(keys[side], smaller(right, last), memory))
            left_over = b.compare("icmp sge", left, middle)
            right_over = b.compare("icmp sge", right, stop)
            first = b.op(
                "and", _before(special, right_key, left_key), b.op("xor", right_over, constant(1, "i1"))
            )
            take_right = b.op("or", left_over, first)
            source = b.select(take_right, right, left)
            order = b.load("i32", b.pointer(orders[side], source, "i32"))
            b.store(b.select(take_right, right_key, left_key), b.pointer(keys[1 - side], place.index, memory))
            b.store(order, b.pointer(orders[1 - side], place.index, "i32"))
            step = b.instruction(f"zext i1 {take_right.text} to i64", "i64")
            place.next = [b.add(left, b.subtract(index(1), step)), b.add(right, step)]


def _before(special: _Special, x: Register, y: Register) -> Register:
    """Whether `x` has to come before `y`: strictly, with NaN after everything."""
    b, dtype = special.b, special.dtype
    descending = special.node.attributes["descending"]
    if not dtypes.is_float(dtype):
        kind = "u" if dtypes.is_unsigned(dtype) or dtype == "bool" else "s"
        return b.compare(f"icmp {kind}{'gt' if descending else 'lt'}", x, y)
    x, y = (points.widened(b, b.bitcast(key, special.element), dtype, special.target) for key in (x, y))
    ordered = b.compare("fcmp ogt" if descending else "fcmp olt", x, y)
    number, missing = b.compare("fcmp ord", x, x), b.compare("fcmp uno", y, y)
    return b.op("or", ordered, b.op("and", number, missing))
