"""From the number of a task to the tiles and panels it owns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

from lamina.backends.cpu.contract_plan import Panels, Tiles
from lamina.backends.cpu.emit import Builder, Register, index

Run = TypeVar("Run", bound=Tiles | Panels)


def divide(builder: Builder, number: Register, count: int) -> tuple[Register, Register]:
    """(quotient, remainder) of a division by a known count."""
    if count == 1:
        return number, index(0)
    return builder.op("udiv", number, index(count)), builder.op("urem", number, index(count))


@contextmanager
def counted(builder: Builder, lower: Register, upper: Register) -> Iterator[Register]:
    """A loop over numbers, or just its body where there is exactly one: every loop costs compile time."""
    if lower.is_constant and upper.is_constant and int(upper.text) == int(lower.text) + 1:
        yield lower
        return
    with builder.loop(lower, upper) as loop:
        yield loop.index


@contextmanager
def tasks(builder: Builder, begin: Register, end: Register, count: int) -> Iterator[Register]:
    """The loop over the tasks that a call is to do, where there are `count` in all."""
    if count == 1:
        with builder.when(builder.compare("icmp slt", begin, end)):
            yield index(0)
        return
    with builder.loop(begin, end) as loop:
        yield loop.index


def runs_in_block(
    builder: Builder, runs: Sequence[Run], block: Register, per_block: int, blocks: int
) -> Iterator[tuple[Run, Register, Register]]:
    """Each run, with the bounds of the numbers of its tiles (or panels) that lie in the block."""
    for run in runs:
        lower, upper = index(run.first), index(run.first + run.count)
        if blocks > 1:
            first = builder.multiply(block, per_block)
            lower = builder.intrinsic("smax", "i64", first, lower)
            upper = builder.intrinsic("smin", "i64", builder.add(first, per_block), upper)
        yield run, lower, upper


def start_of(builder: Builder, number: Register, run: Tiles | Panels) -> Register:
    """The first row (or column) of tile (or panel) `number`, which lies in that run."""
    size = run.rows if isinstance(run, Tiles) else run.width
    return builder.add(builder.multiply(number, size), run.start - run.first * size)
