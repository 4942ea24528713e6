"""The code of loops and branches: all threads run them together, with a barrier after each phase inside.

Where everything inside is short, one thread runs it alone and needs no barriers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lamina.backends.cpu.control import Address, Control, Late, Moving, Nested
from lamina.backends.cpu.describe import copy_nest
from lamina.backends.cpu.emit import Register, constant, index
from lamina.backends.cpu.rows import moves_rows
from lamina.backends.cpu.turns import takes_turns
from lamina.backends.cpu.views import whole
from lamina.ir import primitives as p
from lamina.ir.graph import Value
from lamina.ir.trace import new_input

if TYPE_CHECKING:
    from lamina.backends.cpu.assemble import Assembler
    from lamina.backends.cpu.calls import Call

UNKNOWN_STEPS = 16  # steps that a loop of unknown length counts as in estimates


@dataclass
class ControlCall:
    """A control node with the calls inside it; it stands in a phase like a kernel's call.

    parts: the phases of each nested graph. finals: for a while loop, the kernels that bring each result from
    where the loop left it (a name) to its memory.
    """

    control: Control
    parts: list[list[list[Call | ControlCall]]]
    finals: list[tuple[Call, Value]] = field(default_factory=list)

    @property
    def serial(self) -> bool:
        """Whether everything inside is so short that one thread does it."""
        inside = [call for phases in self.parts for phase in phases for call in phase]
        return all(call.serial for call in inside)

    def outside(self) -> list[Value]:
        """The values of the surrounding plan whose addresses are needed."""
        found: list[Value] = list(self.control.memory)
        if self.control.asked is not None:
            found.append(self.control.asked)
        for part in self.control.parts:
            for address in part.addresses:
                found += address.values()
        for call, name in self.finals:
            found += [value for value in call.kernel.buffers if value is not name]
        return list(dict.fromkeys(found))


Phases = Sequence[Sequence["Call | ControlCall"]]


def ordered(calls: Sequence[Call | ControlCall]) -> list[Call | ControlCall]:
    """Those that follow each other row by row, in their order; then those that are shared; then the others,
    long before short, so that they even out; those that one thread does in a row; loops and branches last.
    """
    kernels = [call for call in calls if not isinstance(call, ControlCall)]
    chain = [call for call in kernels if call.by_rows or takes_turns(call)]
    in_a_row = [call for call in kernels if call.in_a_row and call not in chain]
    others = sorted(
        (call for call in kernels if call not in chain and call not in in_a_row),
        key=lambda call: (call.serial, -call.nanoseconds),
    )
    return [*chain, *others, *in_a_row, *(call for call in calls if isinstance(call, ControlCall))]


def make_call(assembler: Assembler, control: Control) -> ControlCall:
    """Emit the kernels inside a control node."""
    node, assembly = control.node, assembler.assembly
    known = node.attributes["length"] if node.primitive is p.scan else UNKNOWN_STEPS
    steps = 1 if node.primitive is p.cond else known
    before, first = assembly.nanoseconds, len(assembly.reports)
    parts = [_calls(assembler, part) for part in control.parts]
    assembly.nanoseconds = before + (assembly.nanoseconds - before) * steps
    for report in assembly.reports[first:]:
        report.flops *= steps
        report.bytes *= steps
        report.why = f"{report.why}; inside {node.primitive.name}"
    finals = []
    for output, _ in control.finals:
        name = new_input("last", output.type)
        nest = copy_nest(name, whole(name), output)
        finals.append((assembler.nest_call(nest, f"copy {output.type}", "where the loop ended"), name))
    return ControlCall(control, parts, finals)


def _calls(assembler: Assembler, part: Nested) -> list[list[Call | ControlCall]]:
    outer, assembler.plan = assembler.plan, part.plan
    try:
        return [ordered([assembler.call(work) for work in phase]) for phase in part.plan.phases]
    finally:
        assembler.plan = outer


def emit(assembler: Assembler, call: ControlCall) -> None:
    """The loop or the branch, at the place where the builder is."""
    emitters = {p.scan: _emit_scan, p.while_loop: _emit_while, p.cond: _emit_cond}
    emit_node = emitters[call.control.node.primitive]
    if assembler.alone or not call.serial:
        emit_node(assembler, call)
        return
    b = assembler.b
    with b.when(b.compare("icmp eq", assembler.thread, index(0))):
        assembler.alone = True
        emit_node(assembler, call)
        assembler.alone = False


def _emit_scan(assembler: Assembler, call: ControlCall) -> None:
    b, attributes = assembler.b, call.control.node.attributes
    length, (part,), (phases,) = attributes["length"], call.control.parts, call.parts
    if not phases:
        return
    with b.loop(0, length) as loop:
        time = b.subtract(index(length - 1), loop.index) if attributes["reverse"] else loop.index
        _emit_part(assembler, call, part, phases, loop.index, time, length)


def _emit_while(assembler: Assembler, call: ControlCall) -> None:
    b, control = assembler.b, call.control
    head, body, out = b.new_label("head"), b.new_label("body"), b.new_label("out")
    before = b.label
    b.branch(head)
    b.start_block(head)
    step = Register(b.fresh(), "i64")
    phi = len(b.lines)
    _emit_part(assembler, call, control.parts[0], call.parts[0], step, step, None)
    asked = b.load("i1", _asked(assembler, control))
    b.branch_if(asked, body, out)
    b.start_block(body)
    _emit_part(assembler, call, control.parts[1], call.parts[1], step, step, None)
    if not call.parts[1] or _keeps_rows(control.parts[1], call.parts[1]):
        assembler.barrier()  # the condition may look at all rows
    following, latch = b.add(step, 1), b.label
    b.branch(head)
    b.lines.insert(phi, f"  {step.text} = phi i64 [ 0, %{before} ], [ {following.text}, %{latch} ]")
    b.start_block(out)
    for position, ((kernel, name), (_, place)) in enumerate(zip(call.finals, control.finals)):
        pointers = {value: assembler.pointer(value) for value in kernel.kernel.buffers if value is not name}
        pointers[name] = _register(assembler, place, step, step, None)
        assembler.invoke(kernel, pointers, position)


def _emit_cond(assembler: Assembler, call: ControlCall) -> None:
    b, control = assembler.b, call.control
    chosen = b.load("i32", _asked(assembler, control))
    last = constant(len(call.parts) - 1, "i32")
    chosen = b.select(b.compare("icmp slt", chosen, last), chosen, last)
    zero = constant(0, "i32")
    chosen = b.select(b.compare("icmp sgt", chosen, zero), chosen, zero)
    for number, (part, phases) in enumerate(zip(control.parts, call.parts)):
        with b.when(b.compare("icmp eq", chosen, constant(number, "i32"))):
            _emit_part(assembler, call, part, phases, index(0), index(0), None)


def _asked(assembler: Assembler, control: Control) -> Register:
    assert control.asked is not None
    return assembler.pointer(control.asked)


def _emit_part(
    assembler: Assembler,
    call: ControlCall,
    part: Nested,
    phases: Sequence[Sequence[Call | ControlCall]],
    step: Register,
    time: Register,
    length: int | None,
) -> None:
    """One run through a nested graph: step number `step`, at index `time` of what is sliced."""
    block = assembler.pointer(call.control.block)
    shared = [_register(assembler, address, step, time, length) for address in part.addresses]
    with _scope(assembler, part, block, shared):
        assembler.find_addresses(phases)
        for phase in phases:
            assembler.phase(phase)
            if not _keeps_rows(part, phases):
                assembler.barrier()


def _keeps_rows(part: Nested, phases: Phases) -> bool:
    """Whether all steps keep rows apart, so that a thread may go through the loop with its rows alone."""
    return (
        len(phases) == 1
        and part.plan.rows.count > 0
        and not part.plan.rows.mixing
        and not any(moves_rows(value) for group in part.plan.fusion.groups for value in group.values)
        and all(
            not isinstance(call, ControlCall) and call.by_rows and call.kernel.row_tasks for call in phases[0]
        )
    )


@contextmanager
def _scope(assembler: Assembler, part: Nested, block: Register, shared: list[Register]) -> Iterator[None]:
    outer = assembler.plan, assembler.arena, assembler.shared, assembler.pointers
    assembler.plan, assembler.arena, assembler.shared, assembler.pointers = part.plan, block, shared, {}
    try:
        yield
    finally:
        assembler.plan, assembler.arena, assembler.shared, assembler.pointers = outer


def _register(
    assembler: Assembler, address: Address, step: Register, time: Register, length: int | None
) -> Register:
    """The address at this step."""
    b = assembler.b
    if isinstance(address, Late):
        stack = _register(assembler, address.stack, step, time, length)
        single = _register(assembler, address.single, step, time, length)
        return b.select(b.compare("icmp eq", time, index(address.at)), single, stack)
    if isinstance(address, Moving):
        distance = b.add(b.multiply(time, address.step), address.offset)
        return b.pointer(assembler.pointer(address.root), distance, "i8")
    pair = assembler.pointer(address.pair)
    number = b.add(step, 1) if address.written else step
    buffer = b.pointer(pair, b.multiply(b.op("and", number, index(1)), address.bytes), "i8")
    if not address.written:
        is_first = b.compare("icmp eq", step, index(0))
        return b.select(is_first, assembler.pointer(address.first), buffer)
    if address.last is None or length is None:
        return buffer
    return b.select(b.compare("icmp eq", number, index(length)), assembler.pointer(address.last), buffer)
