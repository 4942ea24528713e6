"""Cache lines that a thread is going to write are asked for before it writes them.

All threads read the weights; then each updates a part of them. A line that others have read must be taken
from their caches first, and a processor makes its writes visible one after the other: the update of a small
layer would take twice as long. So its lines are asked for while the gradients are still being computed, as
soon as nobody reads the old weights any more.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from lamina.backends.cpu.assemble_control import ControlCall, Phases
from lamina.backends.cpu.emit import index
from lamina.backends.cpu.plan import Plan, reads_of
from lamina.backends.cpu.target import Target
from lamina.core.dtypes import itemsize
from lamina.ir.graph import Value

if TYPE_CHECKING:
    from lamina.backends.cpu.assemble import Assembler
    from lamina.backends.cpu.calls import Call

LINE = 64


class Lines(NamedTuple):
    """The memory of a state that a kernel of the commit writes."""

    call: Call
    state: Value


def to_ask_for(plan: Plan, commits: Phases, target: Target) -> Mapping[int, Sequence[Lines]]:
    """What should be asked for at the beginning of which phase; nothing where caches could not hold it."""
    last_read: dict[Value, int] = {}
    for position, phase in enumerate(plan.phases):
        for work in phase:
            last_read.update((root, position) for root in reads_of(plan, work))
    states = {plan.places[state]: state for state in plan.program.states}
    found: dict[int, list[Lines]] = {}
    total = 0
    for call in (call for phase in commits for call in phase):
        if isinstance(call, ControlCall) or call.serial:
            continue
        for buffer in call.kernel.buffers:
            state = states.get(plan.places[buffer]) if buffer in plan.places else None
            if state is None or last_read.get(state, len(plan.phases)) + 1 >= len(plan.phases):
                continue
            total += state.size * itemsize(state.dtype)
            found.setdefault(last_read[state] + 1, []).append(Lines(call, buffer))
    return found if total <= target.caches.l2 // 4 else {}


def ask(assembler: Assembler, asked: Iterable[Lines]) -> None:
    """Emit the requests for this thread's share of the lines, where there are other threads."""
    b = assembler.b
    asked = tuple(asked)
    if not asked:
        return
    b.module.declare("llvm.prefetch.p0", "void", ["ptr", "i32", "i32", "i32"])
    with b.when(b.compare("icmp sgt", assembler.threads, index(1))):
        for call, state in asked:
            begin, end = assembler.share(call)
            of_task = state.size * itemsize(state.dtype) // call.kernel.tasks
            with b.loop(b.multiply(begin, of_task), b.multiply(end, of_task), LINE) as loop:
                line = b.pointer(assembler.pointer(state), loop.index, "i8")
                b.emit(f"call void @llvm.prefetch.p0(ptr {line.text}, i32 1, i32 3, i32 1)")


__all__ = ["Lines", "ask", "to_ask_for"]
