"""Calls of kernels: what a plan becomes before it becomes a step loop."""

from __future__ import annotations

from dataclasses import dataclass

from lamina.backends.base import KernelReport
from lamina.backends.cpu.fuse import Group
from lamina.backends.cpu.lower import Kernel
from lamina.backends.cpu.turns import Share

# A kernel shorter than this runs on one thread: its neighbours keep the others busy.
SERIAL_NANOSECONDS = 300.0


@dataclass(eq=False)
class Call:
    """A kernel with the memory it works on.

    by_rows: whether it follows others of its phase row by row, without a barrier between them. in_a_row:
    whether one thread does it among others that follow each other. group: where it takes turns with others,
    image by image, the group that it computes; share: how its tasks are cut then.
    """

    kernel: Kernel
    report: KernelReport
    nanoseconds: float
    by_rows: bool = False
    in_a_row: bool = False
    group: Group | None = None
    share: Share | None = None

    @property
    def serial(self) -> bool:
        """Whether one thread does it all."""
        return self.in_a_row or self.kernel.tasks == 1 or self.nanoseconds < SERIAL_NANOSECONDS

    @property
    def rows_apart(self) -> bool:
        """Whether each thread does the tasks of its own rows."""
        return self.by_rows and self.kernel.row_tasks > 0


def described(group: Group) -> str:
    """What a group computes, in one line."""
    last = next(reversed(group.values))
    names = [value.primitive.name for value in group.values]
    shown = ", ".join(dict.fromkeys(names))
    return f"{shown} -> {last.type}"


def reason_of(group: Group) -> str:
    """Why its values are in one kernel."""
    if len(group.values) == 1:
        return "nothing next to it works on the same points"
    if group.inner:
        kept = group.kept_shape or "all"
        return f"one pass over {kept} rows: reductions and what follows them share their loads"
    return f"pointwise work on the same {group.domain} points stays in registers"


__all__ = ["SERIAL_NANOSECONDS", "Call", "described", "reason_of"]
