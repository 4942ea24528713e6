"""The barrier between phases: in each of a few rounds a thread signals one other and waits for one.

Every flag has one writer and one reader and a cache line to itself, and is never set back: two threads pass
after one line each has gone from core to core. Waiting grows patient: spin for a while (phases are short),
then give the processor away, then nap, since on a busy or oversubscribed machine waiting must cost little.
Source: the dissemination barrier, Mellor-Crummey and Scott (1991).
"""

from __future__ import annotations

from lamina.backends.cpu.context import FLAG_BYTES, ROUNDS, Slot
from lamina.backends.cpu.emit import Module
from lamina.backends.cpu.target import Target

SPINS = 1000  # pauses before yielding: some ten microseconds
# Yields before napping: about a millisecond. A nap makes its thread late at the next barrier, and who waits
# for it there must not begin to nap as well, or both nap by turns for ever.
YIELDS = 4000


def pause(module: Module, target: Target) -> str:
    """The instruction with which a waiting processor rests for a moment."""
    if target.is_x86:
        module.declare("llvm.x86.sse2.pause", "void", [])
        return "call void @llvm.x86.sse2.pause()"
    if target.is_arm64:
        module.declare("llvm.aarch64.isb", "void", ["i32"])
        return "call void @llvm.aarch64.isb(i32 15)"
    return 'fence syncscope("singlethread") seq_cst'


def emit(module: Module, target: Target) -> None:
    """Add `void barrier(ptr context, i64 thread, i64 threads, ptr passed)`.

    passed: a thread's own count of the barriers it has passed; it starts at the number in `Slot.PASSED`.
    """
    module.functions["barrier"] = f"""
define internal void @barrier(ptr %context, i64 %thread, i64 %threads, ptr %passed) #0 {{
entry:
  %place = getelementptr i64, ptr %context, i64 {int(Slot.SIGNALS)}
  %flags = load ptr, ptr %place, align 8
  %before = load i64, ptr %passed, align 8
  %now = add i64 %before, 1
  store i64 %now, ptr %passed, align 8
  %start = mul i64 %thread, {FLAG_BYTES * ROUNDS}
  br label %signal
signal:
  %distance = phi i64 [ 1, %entry ], [ %farther, %heard ]
  %offset = phi i64 [ 0, %entry ], [ %further, %heard ]
  %sum = add i64 %thread, %distance
  %over = icmp sge i64 %sum, %threads
  %wrapped = sub i64 %sum, %threads
  %partner = select i1 %over, i64 %wrapped, i64 %sum
  %skipped = mul i64 %partner, {FLAG_BYTES * ROUNDS}
  %theirs = add i64 %skipped, %offset
  %told = getelementptr i8, ptr %flags, i64 %theirs
  store atomic i64 %now, ptr %told release, align 8
  %own = add i64 %start, %offset
  %ear = getelementptr i8, ptr %flags, i64 %own
  br label %wait
wait:
  %round = phi i64 [ 0, %signal ], [ %following, %again ]
  %seen = load atomic i64, ptr %ear acquire, align 8
  %there = icmp sge i64 %seen, %now
  br i1 %there, label %heard, label %spin
spin:
  %following = add i64 %round, 1
  %eager = icmp slt i64 %round, {SPINS}
  br i1 %eager, label %pause, label %patient
pause:
  {pause(module, target)}
  br label %again
patient:
  %early = icmp slt i64 %round, {SPINS + YIELDS}
  br i1 %early, label %yield, label %nap
yield:
  %yields = getelementptr i64, ptr %context, i64 {int(Slot.YIELD)}
  %giveaway = load ptr, ptr %yields, align 8
  %ignored = call i32 %giveaway()
  br label %again
nap:
  %sleeps = getelementptr i64, ptr %context, i64 {int(Slot.SLEEP)}
  %sleep = load ptr, ptr %sleeps, align 8
  %amounts = getelementptr i64, ptr %context, i64 {int(Slot.SLEEP_ARGUMENT)}
  %amount = load i32, ptr %amounts, align 8
  %unused = call i32 %sleep(i32 %amount)
  br label %again
again:
  br label %wait
heard:
  %farther = shl i64 %distance, 1
  %further = add i64 %offset, {FLAG_BYTES}
  %more = icmp slt i64 %farther, %threads
  br i1 %more, label %signal, label %done
done:
  ret void
}}
"""
