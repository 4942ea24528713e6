"""Tasks of long kernels are claimed, not dealt out: who is done early takes over what others have not begun.

Cores differ - fast and slow ones in one processor, a core that another program uses as well - and half of the
tasks each would make all wait for the slowest. Each thread owns a run of pieces, so that it finds its part of
the data in its own cache from one step to the next, and claims them one by one; when its own are used up, it
helps the thread after it. Tasks write to places of their own, so the bits are the same whoever does them.
Source: work stealing, Blumofe and Leiserson (1999), here with one counter for each run in place of deques.
"""

from __future__ import annotations

from collections.abc import Callable
from math import ceil

from lamina.backends.cpu.context import COUNTER_BYTES, Slot
from lamina.backends.cpu.emit import Builder, Module, Register, index

WORTH_CLAIMING = 40_000.0  # estimated nanoseconds of a kernel from which it pays to look after others
PIECE = (
    3_000.0  # nanoseconds of a piece at least: a claim takes some ten, and one at another's counter a hundred
)
MOST_PIECES = 64


def piece(tasks: int, nanoseconds: float, sharing: int = 1) -> int:
    """How many tasks are claimed at once; 0 where a kernel's tasks are dealt out beforehand.

    sharing: tasks that follow each other and share what the first of them prepares.
    """
    if nanoseconds < WORTH_CLAIMING or tasks < 4:
        return 0
    return max(ceil(tasks * PIECE / nanoseconds), ceil(tasks / MOST_PIECES), sharing // 4)


class Claims:
    """Emits the claiming of kernels' pieces into the step loop."""

    def __init__(self, builder: Builder, context: Register, thread: Register, threads: Register) -> None:
        self.b = builder
        self.thread = thread
        self.threads = threads
        self.kernels = 0
        self.counters = builder.load("ptr", builder.pointer(context, Slot.COUNTERS, "i64"))
        self.turn = builder.instruction("alloca i64", "ptr")

    def emit(self, step: Register, tasks: int, size: int, run: Callable[[Register, Register], None]) -> None:
        """Run tasks, `size` at a time, as long as there are unclaimed ones in this step.

        run: emits the call for the tasks from begin to end - 1. Counters are never set back in a run: every
        thread fails once at each of them, so that all know where they stand after any number of steps.
        """
        b = self.b
        emit_claim(b.module)
        pieces = index(ceil(tasks / size))
        owned = b.op("udiv", b.subtract(b.add(pieces, self.threads), index(1)), self.threads)
        before = b.multiply(step, b.add(owned, self.threads))
        counters = b.pointer(self.counters, b.multiply(self.threads, self.kernels * COUNTER_BYTES), "i8")
        self.kernels += 1
        b.store(index(0), self.turn)
        head, found, out = b.new_label("claim"), b.new_label("claimed"), b.new_label("exhausted")
        b.branch(head)
        b.start_block(head)
        arguments = (counters, before, owned, self.thread, self.threads, self.turn)
        listed = ", ".join(f"{argument.type} {argument.text}" for argument in arguments)
        number = b.instruction(f"call i64 @claim({listed})", "i64")
        b.branch_if(b.compare("icmp sge", number, index(0)), found, out)
        b.start_block(found)
        begin = b.multiply(number, size)
        end = b.add(begin, size)
        end = b.select(b.compare("icmp slt", end, index(tasks)), end, index(tasks))
        with b.when(b.compare("icmp slt", begin, end)):
            run(begin, end)
        b.branch(head)
        b.start_block(out)


def emit_claim(module: Module) -> None:
    """Add `i64 claim(ptr counters, i64 before, i64 owned, i64 thread, i64 threads, ptr turn)`, once.

    It gives the number of a piece that is now the caller's, or -1 when there are no more. before: what each
    counter stood at when the step began. owned: the pieces of each thread. turn: how many threads' pieces the
    caller has found used up; it starts at 0.
    """
    module.functions.setdefault(
        "claim",
        f"""
define internal i64 @claim(ptr %counters, i64 %before, i64 %owned, i64 %thread, i64 %threads, ptr %turn) #0 {{
entry:
  %first = load i64, ptr %turn, align 8
  br label %look
look:
  %now = phi i64 [ %first, %entry ], [ %next, %used ]
  %left = icmp slt i64 %now, %threads
  br i1 %left, label %try, label %none
try:
  %sum = add i64 %thread, %now
  %over = icmp sge i64 %sum, %threads
  %wrapped = sub i64 %sum, %threads
  %owner = select i1 %over, i64 %wrapped, i64 %sum
  %distance = mul i64 %owner, {COUNTER_BYTES}
  %counter = getelementptr i8, ptr %counters, i64 %distance
  %count = atomicrmw add ptr %counter, i64 1 monotonic
  %place = sub i64 %count, %before
  %free = icmp slt i64 %place, %owned
  br i1 %free, label %taken, label %used
used:
  %next = add i64 %now, 1
  br label %look
taken:
  store i64 %now, ptr %turn, align 8
  %start = mul i64 %owner, %owned
  %number = add i64 %start, %place
  ret i64 %number
none:
  ret i64 -1
}}
""",
    )


__all__ = ["Claims", "emit_claim", "piece"]
