"""The barrier between phases: a counter and a generation, with a wait that grows patient.

Spin for a while (phases are short), then give the processor away, then nap: on a busy or oversubscribed
machine waiting must cost little. Source: the sense-reversing central barrier, Mellor-Crummey and Scott
(1991).
"""

from __future__ import annotations

from lamina.backends.cpu.context import Slot
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
    """Add `void barrier(ptr context, i64 threads)`."""
    module.functions["barrier"] = f"""define internal void @barrier(ptr %context, i64 %threads) #0 {{
entry:
  %arrived = getelementptr i64, ptr %context, i64 {int(Slot.ARRIVED)}
  %generation = getelementptr i64, ptr %context, i64 {int(Slot.GENERATION)}
  %mine = load atomic i64, ptr %generation monotonic, align 8
  %before = atomicrmw add ptr %arrived, i64 1 acq_rel
  %last = sub i64 %threads, 1
  %complete = icmp eq i64 %before, %last
  br i1 %complete, label %open, label %wait
open:
  store atomic i64 0, ptr %arrived monotonic, align 8
  %next = add i64 %mine, 1
  store atomic i64 %next, ptr %generation release, align 8
  ret void
wait:
  %round = phi i64 [ 0, %entry ], [ %following, %again ]
  %seen = load atomic i64, ptr %generation acquire, align 8
  %passed = icmp ne i64 %seen, %mine
  br i1 %passed, label %done, label %spin
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
done:
  ret void
}}
"""
