"""From a plan to one LLVM module: the kernels, shared where they are equal, and the step loop that calls
them.

The program's entry is `void run(ptr context, i64 thread, i64 threads)`; `context` is described in
`context.py`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from lamina.backends.base import KernelReport
from lamina.backends.cpu import assemble_control, barrier, batches, contract, cost, lines, special, turns
from lamina.backends.cpu.assemble_control import ControlCall, Phases, ordered
from lamina.backends.cpu.attention_plan import ATTENTION
from lamina.backends.cpu.calls import SERIAL_NANOSECONDS, Call, described, reason_of
from lamina.backends.cpu.claims import Claims, piece
from lamina.backends.cpu.context import Slot
from lamina.backends.cpu.describe import Describer, copy_nest
from lamina.backends.cpu.emit import ELEMENT, Builder, Module, Register, constant, index
from lamina.backends.cpu.fuse import CONTRACT, SPECIAL, Group
from lamina.backends.cpu.lower import Kernel, lower
from lamina.backends.cpu.nest import Nest
from lamina.backends.cpu.plan import Copy, Plan, Work, writes_of
from lamina.backends.cpu.product import lower_product
from lamina.backends.cpu.target import Target
from lamina.backends.cpu.turns import Share, share_of
from lamina.core.dtypes import itemsize
from lamina.core.shapes import size
from lamina.ir.graph import TensorType, Value
from lamina.ir.trace import new_input


@dataclass
class Assembly:
    """The text of the module, and what the runtime has to know to call it."""

    module: Module
    reports: list[KernelReport] = field(default_factory=list)
    scratch_bytes: int = 0
    nanoseconds: float = 0.0
    claims: int = 0
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
        self.rounds: dict[int, list[turns.Round]] = {}
        self.ranges: dict[tuple[int, int, int], tuple[Register, Register]] = {}
        self.owners: dict[int, Register] = {}

    def assemble(self) -> Assembly:
        phases = [ordered([self.call(work) for work in phase]) for phase in self.plan.phases]
        commits = [ordered([self.call(work) for work in phase]) for phase in self.plan.commits]
        readers = turns.readers_of(self.plan) if self.plan.rows.in_turns else {}
        self.rounds = {
            id(phase): turns.rounds_of(phase, self.plan, self.target, readers)
            for phase in (*phases, *commits)
        }
        gathers = self._gathers()
        barrier.emit(self.module, self.target)
        self._emit_run(phases, commits, gathers)
        return self.assembly

    # -- kernels -------------------------------------------------------------------------------

    def call(self, work: Work) -> Call | ControlCall:
        stored = writes_of(self.plan, work)
        if isinstance(work, Copy):
            nest = copy_nest(work.source, work.view, work.target)
            return self.nest_call(nest, f"copy {work.source.type}", "its reader wants it elsewhere")
        if work in self.plan.controls:
            return assemble_control.make_call(self, self.plan.controls[work])
        if work.kind == SPECIAL:
            return self._special_call(work)
        describer = Describer(self.plan.fusion, work)
        if work.kind == CONTRACT:
            return self._product_call(work, describer, stored)
        by_rows = work in self.plan.rows.groups
        nest = describer.nest(stored, self.plan.guards, by_rows)
        call = self.nest_call(nest, described(work), reason_of(work), by_rows)
        call = replace(call, in_a_row=work in self.plan.in_a_row)
        share = Share(1, call.kernel.row_tasks) if call.kernel.row_tasks else None
        return self._in_turns(call, work, share)

    def nest_call(self, nest: Nest, what: str, why: str, by_rows: bool = False) -> Call:
        self.assembly.kernels_text.append(nest.text())
        unit = self.plan.rows.unit if by_rows else 0
        kernel, shared = self._shared(lambda name: lower(self.module, name, nest, self.target, unit))
        flops, moved = cost.of_nest(nest)
        fused = [statement.operation.name for statement in nest.statements]
        return self._made(
            kernel, KernelReport(kernel.name, what, fused, why, flops, moved, kernel.tasks, shared), by_rows
        )

    def _product_call(self, group: Group, describer: Describer, stored: list[tuple[Value, Value]]) -> Call:
        made, scratch = [], 0

        def emit(name: str) -> Kernel:
            nonlocal scratch
            kernel, plan = lower_product(
                self.module, name, group, describer, stored, self.plan.guards, self.target, self.plan.rows
            )
            made.append(plan)
            scratch = plan.scratch_bytes
            return kernel

        kernel, shared = self._shared(emit)
        plan = made[0]
        self.assembly.scratch_bytes = max(self.assembly.scratch_bytes, scratch)
        fused = [value.primitive.name for value in group.values]
        report = KernelReport(
            kernel.name, described(group), fused, plan.reason, plan.flops, plan.bytes, kernel.tasks, shared
        )
        call = self._made(kernel, report, group in self.plan.rows.groups)
        return self._in_turns(call, group, share_of(plan))

    def _in_turns(self, call: Call, group: Group, share: Share | None) -> Call:
        """The call, ready to take turns with others if it should."""
        if self.plan.rows.in_turns and group in self.plan.rows.groups:
            call.by_rows, call.group, call.share = False, group, share
        return call

    def _special_call(self, group: Group) -> Call:
        assert group.head is not None
        node = group.head
        kernel, shared = self._shared(
            lambda name: special.lower(
                self.module, name, node, self.plan.fusion.resolve, self.plan.targets, self.target
            )
        )
        self.assembly.scratch_bytes = max(
            self.assembly.scratch_bytes, special.scratch_bytes(node, self.target)
        )
        moved = sum(value.size * itemsize(value.dtype) for value in special.moved_elements(node))
        work = special.flops(node, self.target)
        report = KernelReport(
            kernel.name, f"{node.primitive.name} {node.types[0]}", [node.primitive.name], "a loop of its own",
            work, moved, kernel.tasks, shared,
        )  # fmt: skip
        return self._made(kernel, report, is_product=node.primitive in ATTENTION)

    def _made(
        self, kernel: Kernel, report: KernelReport, by_rows: bool = False, is_product: bool = False
    ) -> Call:
        nanoseconds = cost.nanoseconds(report, self.target, is_product or kernel.offsets is not None)
        self.assembly.nanoseconds += nanoseconds
        self.assembly.reports.append(report)
        return Call(kernel, report, nanoseconds, by_rows)

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
            plain = self._gather_call(value, position, value.dtype)
            images = batches.may_be_images(value)
            calls.append((plain, self._gather_call(value, position, "uint8") if images else None))
        return calls

    def _gather_call(self, value: Value, position: int, dtype: str) -> Call:
        data = new_input("rows", TensorType(value.shape, dtype))
        self.dataset[data] = position
        if self.rows is None and value.shape:
            self.rows = new_input("index", TensorType((value.shape[0],), "int64"))
        rows = self.plan.rows
        by_rows = bool(value.shape) and rows.count == value.shape[0] and not rows.in_turns
        nest = batches.gather_nest(value, data, self.rows or data, by_rows)
        unit = rows.unit if by_rows else 0
        kernel, shared = self._shared(lambda name: lower(self.module, name, nest, self.target, unit))
        flops, moved = cost.of_nest(nest)
        report = KernelReport(kernel.name, "gather rows", shared_with=shared, flops=flops, bytes=moved)
        return Call(kernel, report, cost.nanoseconds(report, self.target, False), by_rows)

    # -- the loop ------------------------------------------------------------------------------

    def _emit_run(self, phases: Phases, commits: Phases, gathers: list[tuple[Call, Call | None]]) -> None:
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
        own = _rounded(self.assembly.scratch_bytes)
        rounds = (entry for found in self.rounds.values() for entry in found)
        self.assembly.scratch_bytes = own + max((entry.passing_bytes for entry in rounds), default=0)
        self.scratch = b.pointer(scratch, b.multiply(thread, _rounded(self.assembly.scratch_bytes)), "i8")
        self.passing = b.pointer(self.scratch, own, "i8")
        self.tables = tables
        self.pointers: dict[Value, Register] = {}
        self.shared: list[Register] = []
        self.alone = False
        self.claims = Claims(b, context, thread, threads)
        self.passed = b.instruction("alloca i64", "ptr")
        b.store(b.load("i64", b.pointer(context, Slot.PASSED, "i64")), self.passed)
        self.find_addresses([*phases, *commits])
        for plain, _ in gathers:
            for value in plain.kernel.buffers:
                if value in self.plan.places and value not in self.pointers:
                    self.pointers[value] = self._address(value)
        steps = b.load("i64", b.pointer(context, Slot.STEPS, "i64"))
        gathering = [call for pair in gathers for call in pair if call is not None]
        self._find_shares([*phases, *commits, gathering])
        self.fetches = self._plan_fetches(phases)
        self._steps(steps, phases, commits, gathers)
        with b.when(b.compare("icmp eq", thread, index(0))):
            b.store(b.load("i64", self.passed), b.pointer(context, Slot.PASSED, "i64"))
        self.assembly.claims = self.claims.kernels
        b.finish()

    def _steps(
        self, steps: Register, phases: Phases, commits: Phases,
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
        self.step: Register | None = number
        b.branch_if(b.compare("icmp slt", number, steps), body, out)
        b.start_block(body)
        gathering = b.load("i64", b.pointer(self.context, Slot.GATHERING, "i64"))
        if gathers:
            with b.when(b.compare("icmp ne", gathering, index(0))):
                self._gather_rows(number, gathers)
                if not self._gathered_by_rows(gathers):
                    self.barrier()
        following = b.add(number, 1)
        self.ahead = self._rows_of(b.select(b.compare("icmp slt", following, steps), following, number))
        asked = lines.to_ask_for(self.plan, commits, self.target)
        for position, phase in enumerate(phases):
            lines.ask(self, asked.get(position, ()))
            self.phase(phase)
            self.barrier()
        raised = b.load("i32", self.flag)
        b.branch_if(b.compare("icmp eq", raised, constant(0, "i32")), commit, out)
        b.start_block(commit)
        for position, phase in enumerate(commits):
            self.phase(phase)
            if position < len(commits) - 1 or not phases:  # one more barrier follows below
                self.barrier()
        first = b.compare("icmp eq", self.thread, index(0))
        with b.when(first):
            b.store(following, b.pointer(self.context, Slot.DONE, "i64"))
            wanted = b.instruction(
                f"load atomic i64, ptr {b.pointer(self.context, Slot.ABORT, 'i64').text} monotonic, align 8",
                "i64",
            )
            b.store(wanted, b.pointer(self.context, Slot.STOP, "i64"))
        self.barrier()
        stop = b.load("i64", b.pointer(self.context, Slot.STOP, "i64"))
        b.branch_if(b.compare("icmp eq", stop, index(0)), after, out)
        b.start_block(after)
        b.branch(head)
        b.lines.insert(phi, f"  {number.text} = phi i64 [ 0, %{before} ], [ {following.text}, %{after} ]")
        b.start_block(out)

    def _gather_rows(self, step: Register, gathers: list[tuple[Call, Call | None]]) -> None:
        b = self.b
        own = self._rows_of(step)
        for position, (plain, from_bytes) in enumerate(gathers):
            data = b.load("ptr", b.pointer(self.tables["data"], position, "ptr"))
            if from_bytes is None:
                self.invoke(plain, self._gather_pointers(plain, data, own), position)
                continue
            kinds = b.load("ptr", b.pointer(self.context, Slot.KINDS, "i64"))
            kind = b.load("i64", b.pointer(kinds, position, "i64"))
            with b.when(b.compare("icmp eq", kind, index(0))):
                self.invoke(plain, self._gather_pointers(plain, data, own), position)
            with b.when(b.compare("icmp ne", kind, index(0))):
                self.invoke(from_bytes, self._gather_pointers(from_bytes, data, own), position)

    def _rows_of(self, step: Register) -> Register:
        """Where the numbers of a step's rows are."""
        b = self.b
        rows = b.load("ptr", b.pointer(self.context, Slot.INDEX, "i64"))
        return b.pointer(rows, b.multiply(step, self.rows.shape[0] if self.rows is not None else 0), "i64")

    def _plan_fetches(self, phases: Phases) -> batches.Fetches:
        """What this thread fetches of the next batch while it works on this one; nothing without an index."""
        b = self.b
        calls = [call for phase in phases for call in phase if isinstance(call, Call)]
        longer = {id(call): call.nanoseconds for call in calls if call.nanoseconds > SERIAL_NANOSECONDS}
        fetches = batches.Fetches(b, self.module, longer)
        gathering = b.load("i64", b.pointer(self.context, Slot.GATHERING, "i64"))
        kinds = b.load("ptr", b.pointer(self.context, Slot.KINDS, "i64"))
        for position, value in enumerate(self.plan.program.inputs):
            if not batches.worth_fetching(value, self.target):
                continue
            data = b.load("ptr", b.pointer(self.tables["data"], position, "ptr"))
            kind = b.load("i64", b.pointer(kinds, position, "i64"))
            length = size(value.shape[1:])
            whole = index(length * itemsize(value.dtype))
            row = b.select(b.compare("icmp ne", kind, index(0)), index(length), whole)
            rows = self.plan.rows
            begin, end = self._range(value.shape[0], rows.unit if rows.count and not rows.in_turns else 0)
            end = b.select(b.compare("icmp ne", gathering, index(0)), end, begin)
            fetches.add(data, row, begin, end)
        return fetches

    def _gather_pointers(self, call: Call, source: Register, rows: Register) -> dict[Value, Register]:
        found = {}
        for value in call.kernel.buffers:
            found[value] = (
                source if value in self.dataset else rows if value is self.rows else self.pointer(value)
            )
        return found

    def pointer(self, value: Value) -> Register:
        return self.pointers[value] if value in self.pointers else self._address(value)

    def _gathered_by_rows(self, gathers: list[tuple[Call, Call | None]]) -> bool:
        """Whether the first phase needs of each row of the batch only what its own thread gathered."""
        first = self.plan.phases[0] if self.plan.phases else []
        inputs = set(self.plan.program.inputs)
        return all(
            call is None or (call.by_rows and call.kernel.row_tasks) for pair in gathers for call in pair
        ) and not any(
            work.view.root in inputs if isinstance(work, Copy) else work in self.plan.rows.mixing
            for work in first
        )

    def phase(self, calls: Sequence[Call | ControlCall]) -> None:
        """The kernels of a phase. One that should follow others row by row, but cannot be cut there, waits
        for them, and they for it. Loops and branches come last, so that no thread waits inside for one that
        is at a kernel of its own.
        """
        turns.emit(self, self.rounds.get(id(calls), ()))
        for position, call in enumerate(calls):
            if turns.takes_turns(call):
                continue
            if isinstance(call, ControlCall):
                step, self.step = self.step, None
                assemble_control.emit(self, call)
                self.step = step
                continue
            apart = call.by_rows and not call.kernel.row_tasks
            if apart:
                self.barrier()
            self.invoke(call, self.pointers, position)
            self.fetches.after(id(call), self.ahead)
            if apart:
                self.barrier()

    def share(self, call: Call) -> tuple[Register, Register]:
        """(first task, task after the last) of this thread."""
        return self._range(call.kernel.tasks, call.kernel.row_tasks if call.by_rows else 0)

    def _range(self, tasks: int, row_tasks: int) -> tuple[Register, Register]:
        """This thread's part of so many tasks, which go by units of rows if there are `row_tasks` in each.

        Computed once, before the loop over steps.
        """
        parts = self.plan.rows.units if row_tasks else tasks
        found = self.ranges.get((tasks, row_tasks, parts))
        if found is None:
            b = self.b
            begin = b.op("udiv", b.multiply(self.thread, parts), self.threads)
            end = b.op("udiv", b.multiply(b.add(self.thread, 1), parts), self.threads)
            if row_tasks > 1:
                begin, end = b.multiply(begin, row_tasks), b.multiply(end, row_tasks)
                end = b.select(b.compare("icmp slt", end, index(tasks)), end, index(tasks))
            found = self.ranges[tasks, row_tasks, parts] = begin, end
        return found

    def _owner(self, position: int) -> Register:
        """The thread that does a short kernel: up and down the row of threads, as the kernels get shorter."""
        if position not in self.owners:
            b = self.b
            turn, place = (
                b.op("udiv", index(position), self.threads),
                b.op("urem", index(position), self.threads),
            )
            backwards = b.subtract(b.subtract(self.threads, place), index(1))
            even = b.compare("icmp eq", b.op("and", turn, index(1)), index(0))
            self.owners[position] = b.select(even, place, backwards)
        return self.owners[position]

    def invoke(self, call: Call, pointers: dict[Value, Register], position: int) -> None:
        """This thread's share of the kernel's tasks: a short kernel is done by one thread, the tasks of a
        long one are claimed.
        """
        b, tasks = self.b, call.kernel.tasks
        if tasks == 0:
            return
        run = self.runner(call, pointers)
        if self.alone:
            run(index(0), index(tasks))
            return
        if call.serial and not call.rows_apart:
            with b.when(b.compare("icmp eq", self._owner(1 if call.in_a_row else position), self.thread)):
                run(index(0), index(tasks))
            return
        together = (
            0 if call.rows_apart or self.step is None else piece(tasks, call.nanoseconds, call.kernel.sharing)
        )
        if self.step is not None and together:
            self.claims.emit(self.step, tasks, together, run)
            return
        begin, end = self.share(call)
        with b.when(b.compare("icmp slt", begin, end)):
            run(begin, end)

    def runner(self, call: Call, pointers: dict[Value, Register]) -> Callable[[Register, Register], None]:
        """What emits the call of a kernel for the tasks from begin to end - 1."""
        b = self.b
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

        def run(begin: Register, end: Register) -> None:
            b.emit(f"call void {target}({', '.join([*listed, f'i64 {begin.text}', f'i64 {end.text}'])})")

        return run

    def find_addresses(self, phases: Phases) -> None:
        """Where everything lies that the calls of these phases work on."""
        for call in (call for phase in phases for call in phase):
            for value in call.outside() if isinstance(call, ControlCall) else call.kernel.buffers:
                if value not in self.pointers:
                    self.pointers[value] = self._address(value)

    def _find_shares(self, phases: Phases) -> None:
        """Compute each thread's parts of kernels before the loop over steps."""
        self._owner(1)
        for calls in phases:
            for position, call in enumerate(calls):
                self._owner(position)
                if isinstance(call, ControlCall):
                    for part, inside in zip(call.control.parts, call.parts):
                        outer, self.plan = self.plan, part.plan
                        self._find_shares(inside)
                        self.plan = outer
                    self._find_shares([[final for final, _ in call.finals]])
                else:
                    self.share(call)

    def _address(self, value: Value) -> Register:
        place = self.plan.places[value]
        if place.kind == "shared":
            return self.shared[place.at]
        if place.kind == "arena":
            return self.b.pointer(self.arena, place.at, "i8")
        return self.b.load("ptr", self.b.pointer(self.tables[place.kind], place.at, "ptr"))

    def barrier(self) -> None:
        if self.alone:
            return
        arguments = (self.context, self.thread, self.threads, self.passed)
        listed = ", ".join(f"{argument.type} {argument.text}" for argument in arguments)
        with self.b.when(self.b.compare("icmp sgt", self.threads, index(1))):
            self.b.emit(f"call void @barrier({listed})")


def _rounded(count: int) -> int:
    return -(-count // 128) * 128


__all__ = ["Assembler", "Assembly", "contract"]
