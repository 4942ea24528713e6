"""From a plan to one LLVM module: the kernels, shared where they are equal, and the step loop that calls
them.

The program's entry is `void run(ptr context, i64 thread, i64 threads)`; `context` is described in
`context.py`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from lamina.backends.base import KernelReport
from lamina.backends.cpu import barrier, contract, cost, special
from lamina.backends.cpu.context import Slot
from lamina.backends.cpu.describe import Describer, copy_nest
from lamina.backends.cpu.emit import ELEMENT, Builder, Module, Register, constant, index
from lamina.backends.cpu.fuse import CONTRACT, SPECIAL, Group
from lamina.backends.cpu.lower import Kernel, lower
from lamina.backends.cpu.nest import Axis as NestAxis
from lamina.backends.cpu.nest import (
    Gather,
    Load,
    Nest,
    Place,
    Statement,
    Store,
    merge_axes,
)
from lamina.backends.cpu.plan import Copy, Plan, Work, writes_of
from lamina.backends.cpu.product import lower_product
from lamina.backends.cpu.target import Target
from lamina.core.dtypes import itemsize
from lamina.core.shapes import row_major_strides, size
from lamina.ir import primitives as p
from lamina.ir.graph import TensorType, Value
from lamina.ir.trace import new_input

SERIAL_NANOSECONDS = (
    1500.0  # a kernel shorter than this runs on one thread: its neighbours keep the others busy
)


@dataclass
class Call:
    """A kernel with the memory it works on."""

    kernel: Kernel
    report: KernelReport
    serial: bool


@dataclass
class Assembly:
    """The text of the module, and what the runtime has to know to call it."""

    module: Module
    reports: list[KernelReport] = field(default_factory=list)
    scratch_bytes: int = 0
    nanoseconds: float = 0.0
    kernels_text: list[str] = field(default_factory=list)


class Assembler:
    """Emits the kernels of a plan and the loop around them."""

    def __init__(self, plan: Plan, target: Target) -> None:
        self.plan = plan
        self.target = target
        self.module = Module(target.function_attributes)
        self.assembly = Assembly(self.module)
        self.pool: dict[bytes, str] = {}
        self.dataset: dict[Value, int] = {}
        self.rows: Value | None = None

    def assemble(self) -> Assembly:
        phases = [[self._call(work) for work in phase] for phase in self.plan.phases]
        commits = [[self._call(work) for work in phase] for phase in self.plan.commits]
        gathers = self._gathers()
        barrier.emit(self.module, self.target)
        self._emit_run(phases, commits, gathers)
        return self.assembly

    # -- kernels -------------------------------------------------------------------------------

    def _call(self, work: Work) -> Call:
        stored = writes_of(self.plan, work)
        if isinstance(work, Copy):
            nest = copy_nest(work.source, work.view, work.target)
            return self._nest_call(nest, f"copy {work.source.type}", "its reader wants it elsewhere")
        if work.kind == SPECIAL:
            return self._special_call(work)
        describer = Describer(self.plan.fusion, work)
        if work.kind == CONTRACT:
            return self._product_call(work, describer, stored)
        nest = describer.nest(stored, self.plan.guards)
        return self._nest_call(nest, _describe(work), _reason(work))

    def _nest_call(self, nest: Nest, what: str, why: str) -> Call:
        self.assembly.kernels_text.append(nest.text())
        kernel, shared = self._shared(lambda name: lower(self.module, name, nest, self.target))
        flops, moved = cost.of_nest(nest)
        fused = [statement.operation.name for statement in nest.statements]
        return self._made(
            kernel, KernelReport(kernel.name, what, fused, why, flops, moved, kernel.tasks, shared)
        )

    def _product_call(self, group: Group, describer: Describer, stored: list[tuple[Value, Value]]) -> Call:
        made, scratch = [], 0

        def emit(name: str) -> Kernel:
            nonlocal scratch
            kernel, plan = lower_product(
                self.module, name, group, describer, stored, self.plan.guards, self.target
            )
            made.append(plan)
            scratch = plan.scratch_bytes
            return kernel

        kernel, shared = self._shared(emit)
        plan = made[0]
        self.assembly.scratch_bytes = max(self.assembly.scratch_bytes, scratch)
        fused = [value.primitive.name for value in group.values]
        report = KernelReport(
            kernel.name, _describe(group), fused, plan.reason, plan.flops, plan.bytes, kernel.tasks, shared
        )
        return self._made(kernel, report)

    def _special_call(self, group: Group) -> Call:
        assert group.head is not None
        node = group.head
        kernel, shared = self._shared(
            lambda name: special.lower(
                self.module, name, node, self.plan.fusion.resolve, self.plan.targets, self.target
            )
        )
        self.assembly.scratch_bytes = max(self.assembly.scratch_bytes, special.scratch_bytes(node))
        moved = sum(value.size * itemsize(value.dtype) for value in (*node.inputs, *node.outputs))
        work = sum(value.size for value in node.inputs)
        report = KernelReport(
            kernel.name, f"{node.primitive.name} {node.types[0]}", [node.primitive.name], "a loop of its own",
            work, moved, kernel.tasks, shared,
        )  # fmt: skip
        return self._made(kernel, report)

    def _made(self, kernel: Kernel, report: KernelReport) -> Call:
        nanoseconds = cost.nanoseconds(report, self.target, kernel.offsets is not None)
        self.assembly.nanoseconds += nanoseconds
        self.assembly.reports.append(report)
        return Call(kernel, report, nanoseconds < SERIAL_NANOSECONDS)

    def _shared(self, emit: Callable[[str], Kernel]) -> tuple[Kernel, str | None]:
        """Emit a kernel, or find an equal one: same text but for the name."""
        name = f"k{len(self.module.functions)}"
        kernel = emit(name)
        text = self.module.functions[name].replace(f"@{name}(", "@(", 1)
        key = hashlib.blake2b(text.encode(), digest_size=16).digest()
        found = self.pool.get(key)
        if found is None:
            self.pool[key] = name
            text = self.module.functions[name]
            self.module.functions[name] = text.replace("define void", "define internal void", 1)
            return kernel, None
        del self.module.functions[name]
        return replace(kernel, name=found), found

    # -- gathering batches ---------------------------------------------------------------------

    def _gathers(self) -> list[tuple[Call, Call | None]]:
        """For each input, the kernel that gathers its rows; and one that does so from uint8, for float
        inputs.
        """
        calls: list[tuple[Call, Call | None]] = []
        for position, value in enumerate(self.plan.program.inputs):
            if not value.shape:
                calls.append((self._gather_call(value, position, value.dtype, scalar=True), None))
                continue
            plain = self._gather_call(value, position, value.dtype)
            bytes_ = self._gather_call(value, position, "uint8") if _may_be_images(value) else None
            calls.append((plain, bytes_))
        return calls

    def _gather_call(self, value: Value, position: int, dtype: str, scalar: bool = False) -> Call:
        source = new_input("rows", TensorType(value.shape, dtype))
        self.dataset[source] = position
        if scalar:
            leaf: Load | Gather = Load(source, Place(0, ()), dtype)
            axes: tuple[NestAxis, ...] = ()
            target = Place(0, ())
        else:
            if self.rows is None:
                self.rows = new_input("index", TensorType((value.shape[0],), "int64"))
            row = size(value.shape[1:])
            axes = (NestAxis(value.shape[0], False), NestAxis(row, False))
            inner = 1 if row > 1 else 0
            index_leaf = Load(self.rows, Place(0, (1, 0)), "int64")
            leaf = Gather(source, Place(0, (0, inner)), row, 1 << 62, index_leaf, dtype)
            target = Place(0, tuple(row_major_strides((value.shape[0], row))))
        node_input = new_input("element", TensorType(value.shape, dtype))
        cast = p.cast(node_input, dtype=value.dtype) if dtype != value.dtype else p.stop_gradient(node_input)
        statement = Statement(cast, cast.primitive, (leaf,), "full", 0)
        nest = Nest(axes, [statement], [Store(cast, value, target)])
        if axes and axes[1].extent == 1:
            nest = _without_axis(nest)
        kernel, shared = self._shared(lambda name: lower(self.module, name, merge_axes(nest), self.target))
        return Call(kernel, KernelReport(kernel.name, "gather rows", shared_with=shared), False)

    # -- the loop ------------------------------------------------------------------------------

    def _emit_run(
        self, phases: list[list[Call]], commits: list[list[Call]], gathers: list[tuple[Call, Call | None]]
    ) -> None:
        parameters = [("ptr", "context"), ("i64", "thread"), ("i64", "threads")]
        b = Builder(self.module, "run", parameters, plain=True)
        context, thread, threads = b.arguments
        self.b, self.context, self.thread, self.threads = b, context, thread, threads
        self.flag = b.pointer(context, Slot.FLAG, "i64")
        tables = {
            kind: b.load("ptr", b.pointer(context, slot, "i64"))
            for kind, slot in (
                ("state", Slot.STATES), ("input", Slot.INPUTS), ("output", Slot.OUTPUTS),
                ("constant", Slot.CONSTANTS), ("data", Slot.DATA),
            )
        }  # fmt: skip
        self.arena = b.load("ptr", b.pointer(context, Slot.ARENA, "i64"))
        scratch = b.load("ptr", b.pointer(context, Slot.SCRATCH, "i64"))
        self.scratch = b.pointer(scratch, b.multiply(thread, _rounded(self.assembly.scratch_bytes)), "i8")
        self.tables = tables
        self.pointers: dict[Value, Register] = {}
        called = [call for phase in (*phases, *commits) for call in phase]
        for value in dict.fromkeys(value for call in called for value in call.kernel.buffers):
            self.pointers[value] = self._address(value)
        for plain, _ in gathers:
            for value in plain.kernel.buffers:
                if value in self.plan.places and value not in self.pointers:
                    self.pointers[value] = self._address(value)
        steps = b.load("i64", b.pointer(context, Slot.STEPS, "i64"))
        self._steps(steps, phases, commits, gathers)
        b.finish()

    def _steps(
        self, steps: Register, phases: list[list[Call]], commits: list[list[Call]],
        gathers: list[tuple[Call, Call | None]],
    ) -> None:  # fmt: skip
        """One step after the other; leave when a guard was raised or someone asked to stop."""
        b = self.b
        head, body, commit, after, out = "step", "body", "commit", "after", "out"
        before = b.label
        b.branch(head)
        b.start_block(head)
        number = Register(b.fresh(), "i64")
        phi = len(b.lines)
        b.branch_if(b.compare("icmp slt", number, steps), body, out)
        b.start_block(body)
        gathering = b.load("i64", b.pointer(self.context, Slot.GATHERING, "i64"))
        if gathers:
            with b.when(b.compare("icmp ne", gathering, index(0))):
                self._gather_rows(number, gathers)
                self._barrier()
        for phase in phases:
            self._phase(phase)
            self._barrier()
        raised = b.load("i32", self.flag)
        b.branch_if(b.compare("icmp eq", raised, constant(0, "i32")), commit, out)
        b.start_block(commit)
        for phase in commits:
            self._phase(phase)
            self._barrier()
        first = b.compare("icmp eq", self.thread, index(0))
        following = b.add(number, 1)
        with b.when(first):
            b.store(following, b.pointer(self.context, Slot.DONE, "i64"))
            asked = b.instruction(
                f"load atomic i64, ptr {b.pointer(self.context, Slot.ABORT, 'i64').text} monotonic, align 8",
                "i64",
            )
            b.store(asked, b.pointer(self.context, Slot.STOP, "i64"))
        self._barrier()
        stop = b.load("i64", b.pointer(self.context, Slot.STOP, "i64"))
        b.branch_if(b.compare("icmp eq", stop, index(0)), after, out)
        b.start_block(after)
        b.branch(head)
        b.lines.insert(phi, f"  {number.text} = phi i64 [ 0, %{before} ], [ {following.text}, %{after} ]")
        b.start_block(out)

    def _gather_rows(self, step: Register, gathers: list[tuple[Call, Call | None]]) -> None:
        b = self.b
        rows = b.load("ptr", b.pointer(self.context, Slot.INDEX, "i64"))
        batch = self.rows.shape[0] if self.rows is not None else 0
        own = b.pointer(rows, b.multiply(step, batch), "i64")
        for position, (plain, from_bytes) in enumerate(gathers):
            source = b.load("ptr", b.pointer(self.tables["data"], position, "ptr"))
            if from_bytes is None:
                self._invoke(plain, self._gather_pointers(plain, source, own), position)
                continue
            kinds = b.load("ptr", b.pointer(self.context, Slot.KINDS, "i64"))
            kind = b.load("i64", b.pointer(kinds, position, "i64"))
            with b.when(b.compare("icmp eq", kind, index(0))):
                self._invoke(plain, self._gather_pointers(plain, source, own), position)
            with b.when(b.compare("icmp ne", kind, index(0))):
                self._invoke(from_bytes, self._gather_pointers(from_bytes, source, own), position)

    def _gather_pointers(self, call: Call, source: Register, rows: Register) -> dict[Value, Register]:
        found = {}
        for value in call.kernel.buffers:
            found[value] = (
                source if value in self.dataset else rows if value is self.rows else self._pointer(value)
            )
        return found

    def _pointer(self, value: Value) -> Register:
        return self.pointers[value] if value in self.pointers else self._address(value)

    def _phase(self, calls: list[Call]) -> None:
        for position, call in enumerate(calls):
            self._invoke(call, self.pointers, position)

    def _invoke(self, call: Call, pointers: dict[Value, Register], position: int) -> None:
        """This thread's share of the kernel's tasks; a short kernel is done by one thread."""
        b, tasks = self.b, call.kernel.tasks
        if tasks == 0:
            return
        arguments = [pointers[value] for value in call.kernel.buffers]
        if call.kernel.offsets is not None:
            element = ELEMENT[call.kernel.dtype]
            for side, offset in enumerate(call.kernel.offsets):
                arguments[side] = b.pointer(arguments[side], offset, element)
            arguments.insert(2, Register("null", "ptr"))
        arguments.append(self.flag)
        if call.kernel.offsets is not None or call.kernel.scratch:
            arguments.append(self.scratch)
        listed = [f"ptr {argument.text}" for argument in arguments]
        if call.kernel.count is not None:
            listed.append(f"i64 {call.kernel.count}")
        target = f"@{call.kernel.name}"
        if call.serial or tasks == 1:
            owner = b.op("urem", index(position), self.threads)
            with b.when(b.compare("icmp eq", owner, self.thread)):
                b.emit(f"call void {target}({', '.join([*listed, 'i64 0', f'i64 {tasks}'])})")
            return
        begin = b.op("udiv", b.multiply(self.thread, tasks), self.threads)
        end = b.op("udiv", b.multiply(b.add(self.thread, 1), tasks), self.threads)
        with b.when(b.compare("icmp slt", begin, end)):
            b.emit(f"call void {target}({', '.join([*listed, f'i64 {begin.text}', f'i64 {end.text}'])})")

    def _address(self, value: Value) -> Register:
        place = self.plan.places[value]
        if place.kind == "arena":
            return self.b.pointer(self.arena, place.at, "i8")
        return self.b.load("ptr", self.b.pointer(self.tables[place.kind], place.at, "ptr"))

    def _barrier(self) -> None:
        with self.b.when(self.b.compare("icmp sgt", self.threads, index(1))):
            self.b.emit(f"call void @barrier(ptr {self.context.text}, i64 {self.threads.text})")


def _without_axis(nest: Nest) -> Nest:
    """A row of one element: drop the second axis."""

    def first(place: Place) -> Place:
        return Place(place.offset, place.strides[:1])

    (statement,) = nest.statements
    (leaf,) = statement.operands
    assert isinstance(leaf, Gather)
    assert isinstance(leaf.index, Load)
    index_leaf = Load(leaf.index.root, first(leaf.index.place), leaf.index.dtype)
    leaf = Gather(leaf.root, first(leaf.place), leaf.step, leaf.extent, index_leaf, leaf.dtype)
    statement = Statement(statement.value, statement.operation, (leaf,), statement.level, statement.stage)
    (store,) = nest.stores
    return Nest(nest.axes[:1], [statement], [Store(store.value, store.root, first(store.place))])


def _may_be_images(value: Value) -> bool:
    return value.dtype == "float32" and value.ndim >= 2


def _rounded(count: int) -> int:
    return -(-count // 128) * 128


def _describe(group: Group) -> str:
    last = next(reversed(group.values))
    names = [value.primitive.name for value in group.values]
    shown = ", ".join(dict.fromkeys(names))
    return f"{shown} -> {last.type}"


def _reason(group: Group) -> str:
    if len(group.values) == 1:
        return "nothing next to it works on the same points"
    if group.inner:
        kept = group.kept_shape or "all"
        return f"one pass over {kept} rows: reductions and what follows them share their loads"
    return f"pointwise work on the same {group.domain} points stays in registers"


__all__ = ["Assembler", "Assembly", "contract"]
