"""Kernels of a phase that take turns: each does a few images, and the next one finds them in a near cache.

A convolution writes what the statistics of a batch normalisation, or a pooling, read next; a gradient is
masked, summed up and read by two more products. Image after image of a batch goes through all of them, as
long as each kernel needs of an image only what the others made of the same image (`rows`). A turn is claimed
by one thread. Which images make a turn comes from the shapes alone, and every task writes to places of its
own, so the bits are the same whoever does them. What is made and read within a turn lies in scratch.

Kernels whose tasks cannot be cut between images have a round of their own, with barriers around it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import lcm
from typing import TYPE_CHECKING, TypeGuard

from lamina.backends.cpu.contract import ContractPlan
from lamina.backends.cpu.contract_plan import round_up
from lamina.backends.cpu.contract_walk import counted
from lamina.backends.cpu.convolve import (
    ConvolvePlan,
    DepthwiseFilterPlan,
    DepthwiseOutputPlan,
    FilterPlan,
    OutputPlan,
    WinogradFilterPlan,
    WinogradPlan,
)
from lamina.backends.cpu.emit import Register, index
from lamina.backends.cpu.plan import Plan, Work, reads_of, writes_of
from lamina.backends.cpu.target import Target
from lamina.core import dtypes
from lamina.ir.graph import Value

if TYPE_CHECKING:
    from lamina.backends.cpu.assemble import Assembler
    from lamina.backends.cpu.assemble_control import ControlCall
    from lamina.backends.cpu.calls import Call

Readers = dict[Value, list[Work]]

FEWEST_TURNS = 8  # so that threads end at about the same time
GOOD_TURNS = 16  # ... and what there should be
LINE = 64  # bytes at which a value in scratch starts


@dataclass(frozen=True)
class Share:
    """How tasks are cut between images: each `images` of them are `tasks` tasks, one after the other."""

    images: int
    tasks: int


def share_of(plan: ContractPlan | ConvolvePlan) -> Share | None:
    """How the tasks of a product or convolution are cut between images; None where they are not."""
    if isinstance(plan, OutputPlan):
        batch, first, *_ = plan.axes
        if plan.column_blocks > 1 or len(batch.runs) > 1:
            return None
        return Share(batch.runs[0].rows * batch.block, first.blocks)
    if isinstance(plan, WinogradPlan):
        return Share(plan.images, plan.task_lines) if plan.column_blocks == 1 else None
    if isinstance(plan, DepthwiseOutputPlan):
        return Share(1, plan.bands)
    if isinstance(plan, FilterPlan | WinogradFilterPlan | DepthwiseFilterPlan):
        return Share(plan.spec.batch // plan.parts, plan.tasks // plan.parts)
    if isinstance(plan, ContractPlan) and plan.by_rows:
        return Share(1, 1)
    return None


@dataclass
class Round:
    """Calls between two barriers: those that take turns with `images` each, and others.

    passing: values that are made and read within a turn, and where in scratch they lie.
    """

    chain: list[Call] = field(default_factory=list)
    others: list[Call] = field(default_factory=list)
    images: int = 1
    passing: dict[Value, int] = field(default_factory=dict)
    passing_bytes: int = 0


def takes_turns(call: Call | ControlCall) -> TypeGuard[Call]:
    """Whether a call keeps images apart, and belongs to a round."""
    return getattr(call, "group", None) is not None


def rounds_of(
    calls: Sequence[Call | ControlCall], plan: Plan, target: Target, readers: Readers
) -> list[Round]:
    """The calls of a phase that keep images apart, in as few rounds as their cuts allow."""
    rows, found = plan.rows, []
    left = [call for call in calls if takes_turns(call)]
    while left:
        current = Round()
        rest: list[Call] = []

        def waits_for(call: Call, others: Sequence[Call]) -> bool:
            return any((other.group, call.group) in rows.edges for other in others)

        for call in left:
            if waits_for(call, rest) or waits_for(call, current.others):
                rest.append(call)
            elif _fits(current, call, rows.count):
                current.chain.append(call)
                current.images = lcm(current.images, call.share.images if call.share else 1)
            elif waits_for(call, current.chain):
                rest.append(call)
            else:
                current.others.append(call)
        current.images = _images_of_turn(current, rows.count, target)
        _pass_on(current, plan, readers)
        found.append(current)
        left = rest
    return found


def _fits(current: Round, call: Call, count: int) -> bool:
    """Whether a call can be cut where those that take turns already are."""
    if call.share is None or call.share.images * call.kernel.tasks != count * call.share.tasks:
        return False
    images = lcm(current.images, call.share.images)
    return count % images == 0 and count // images >= FEWEST_TURNS


def _images_of_turn(current: Round, count: int, target: Target) -> int:
    """As many images as stay in the second cache, of which there are still enough turns."""
    moved = sum(call.report.bytes for call in current.chain) / count
    best = current.images
    for images in range(best, count // GOOD_TURNS + 1, best):
        if count % images == 0 and images * moved <= target.caches.l2:
            best = images
    return best


def readers_of(plan: Plan) -> Readers:
    """Who reads each value."""
    found: Readers = {}
    for phase in (*plan.phases, *plan.commits):
        for work in phase:
            for root in reads_of(plan, work):
                found.setdefault(root, []).append(work)
    return found


def _pass_on(current: Round, plan: Plan, readers: Readers) -> None:
    """Find the values that nobody needs after a turn.

    The next turn puts its own in the same places, which never leave the second cache.
    """
    members = [call.group for call in current.chain]
    if len(members) < 2:
        return
    for group in members:
        assert group is not None
        for value, memory in writes_of(plan, group):
            length = dtypes.itemsize(value.dtype) * value.size // plan.rows.count
            stays = plan.places[memory].kind == "arena" and value.shape[0] == plan.rows.count
            if stays and all(reader in members for reader in readers[memory]):
                current.passing[memory] = current.passing_bytes
                current.passing_bytes += round_up(current.images * length, LINE)


def emit(assembler: Assembler, found: Sequence[Round]) -> None:
    """The calls of a phase that keep images apart, with barriers between rounds."""
    for number, current in enumerate(found):
        if number:
            assembler.barrier()
        if len(current.chain) == 1:
            assembler.invoke(current.chain[0], assembler.pointers, 0)
        elif current.chain:
            _emit_turns(assembler, current)
        for position, call in enumerate(current.others):
            assembler.invoke(call, assembler.pointers, position)
        for call in (*current.chain, *current.others):
            assembler.fetches.after(id(call), assembler.ahead)


def _stretches(current: Round, count: int, target: Target) -> list[tuple[list[Call], int]]:
    """The calls of a turn, as runs of those that go through it with as many images at a time.

    The gradient of a kernel takes the images of a part at once; others before and after it take fewer.
    """
    found: list[tuple[list[Call], int]] = []
    for call in current.chain:
        assert call.share is not None
        whole = call.share.images == current.images
        if found and not whole and found[-1][1] < current.images:
            calls, images = found.pop()
            found.append(([*calls, call], lcm(images, call.share.images)))
        else:
            found.append(([call], call.share.images))
    return [(calls, _near(calls, images, current.images, count, target)) for calls, images in found]


def _near(calls: Sequence[Call], images: int, most: int, count: int, target: Target) -> int:
    """As many images, at most so many, as stay in the second cache while calls go through them."""
    moved = sum(call.report.bytes for call in calls) / count
    fitting = range(images, most + 1, images)
    return max((n for n in fitting if most % n == 0 and n * moved <= target.caches.l2), default=images)


def _emit_turns(assembler: Assembler, current: Round) -> None:
    """The loop over turns of images."""
    b, count = assembler.b, assembler.plan.rows.count // current.images

    def turns(begin: Register, end: Register) -> None:
        with b.loop(begin, end) as loop:
            pointers = dict(assembler.pointers)
            for value, offset in current.passing.items():  # such that this turn's images are in scratch
                length = dtypes.itemsize(value.dtype) * value.size // count
                before = b.subtract(index(offset), b.multiply(loop.index, length))
                pointers[value] = b.pointer(assembler.passing, before, "i8")
            for calls, images in _stretches(current, assembler.plan.rows.count, assembler.target):
                times = current.images // images
                first = b.multiply(loop.index, times)
                with counted(b, index(0), index(times)) as part:
                    number = b.add(first, part)
                    for call in calls:
                        assert call.share is not None
                        tasks = images // call.share.images * call.share.tasks
                        start = b.multiply(number, tasks)
                        assembler.runner(call, pointers)(start, b.add(start, tasks))

    if assembler.alone or assembler.step is None:
        turns(index(0), index(count))
        return
    assembler.claims.emit(assembler.step, count, 1, turns)
