"""The plan of a program: which kernels run in which phase, what is written where, and when state changes.

A step runs in phases with a barrier after each: first everything that outputs and guards need, then - if no
guard was raised - the commit: kernels that update state in place, and last the copies of updates that could
not be made in place. Within a phase kernels are independent, or follow each other row by row (`rows`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import isfinite
from typing import TYPE_CHECKING

from lamina.backends.base import Program
from lamina.backends.cpu.brief import find_brief, in_a_row
from lamina.backends.cpu.fuse import (
    FULL,
    KEPT,
    NEST,
    SOURCES,
    Fusion,
    Group,
    fuse,
    occupied,
    seen_through_moves,
    squeeze,
)
from lamina.backends.cpu.joins import join_parts
from lamina.backends.cpu.rows import Rows, find_rows
from lamina.backends.cpu.special import SPECIAL
from lamina.backends.cpu.tables import added_rows
from lamina.backends.cpu.touched import put_rows
from lamina.backends.cpu.views import View
from lamina.core import dtypes
from lamina.core.shapes import size
from lamina.ir import primitives as p
from lamina.ir.constants import splat
from lamina.ir.graph import TensorType, Value
from lamina.ir.primitives import CONTROLS, REDUCES
from lamina.ir.trace import new_input

if TYPE_CHECKING:
    from lamina.backends.cpu.control import Control

ALIGNMENT = 64
LARGE_UPDATE = 1 << 16  # elements of state from which a copy takes longer than a barrier


@dataclass(frozen=True)
class Place:
    """Where a value lives: ("state", position), ("input", position), ("output", position), ("constant",
    position), ("arena", byte offset) or, in a nested graph, ("shared", position) with the surroundings."""

    kind: str
    at: int


@dataclass
class Copy:
    """What has no kernel of its own but must be copied: an output that is a view, an update that has to
    wait.
    """

    source: Value
    view: View
    target: Value


Work = Group | Copy


@dataclass
class Plan:
    """Phases of work, and the memory of everything."""

    program: Program
    fusion: Fusion
    phases: list[list[Work]] = field(default_factory=list)
    commits: list[list[Work]] = field(default_factory=list)
    targets: dict[Value, list[Value]] = field(default_factory=dict)
    places: dict[Value, Place] = field(default_factory=dict)
    constants: list[Value] = field(default_factory=list)
    guards: set[Value] = field(default_factory=set)
    rows: Rows = field(default_factory=Rows)
    in_a_row: set[Group] = field(default_factory=set)
    controls: dict[Group, Control] = field(default_factory=dict)
    arena_bytes: int = 0


def make_plan(program: Program) -> Plan:
    """Fuse the program and lay it out in time and memory."""
    updates = [value for _, value in program.updates]
    guards = [part for guard in program.guards for part in _looked_at(guard)]
    fusion = fuse([*program.outputs, *updates], guards)
    join_parts(fusion)
    plan = Plan(program, fusion)
    plan.guards = {fusion.resolve(guard).root for guard in guards if dtypes.is_float(guard.dtype)}
    stored = fusion.stored()
    for value in stored:
        plan.targets[value] = [value]
    outputs = _place_outputs(plan, stored)
    commit_levels, copies = _place_updates(plan, stored)
    plan.rows = find_rows(program, fusion)
    arrange(plan, commit_levels, outputs, copies)
    allocate(plan)
    return plan


def _looked_at(guard: Value) -> list[Value]:
    """What must be finite for the guard to be so: values whose kernels look at the numbers that they store.

    What has a loop of its own does not look at them. Of rows added to a table it is the rows that are looked
    at; anything else is copied.
    """
    root = seen_through_moves(guard)
    primitive = root.primitive
    rows_of_table = added_rows(root)
    if rows_of_table is not None:
        return _looked_at(rows_of_table)
    if primitive is p.scatter_add:
        table, _, rows = root.node.inputs
        return [part for operand in (table, rows) for part in _looked_at(operand)]
    number = splat(guard)
    if number is not None and isfinite(number):
        return []
    if primitive in SOURCES or primitive in SPECIAL or primitive.has(CONTROLS):
        return [p.stop_gradient(guard)]
    return [guard]


def _plan_controls(plan: Plan) -> None:
    """Plan what is inside loops and branches; it has to be known what of them is wanted."""
    from lamina.backends.cpu.control import is_control, plan_control

    for group in plan.fusion.groups:
        if is_control(group):
            plan.controls[group] = plan_control(plan, group)


def is_whole(view: View, value: Value) -> bool:
    """Whether `value` is its root, element by element in the same order."""
    if squeeze(value.shape) != squeeze(view.root.shape):
        return view.offset == 0 and _same_order(view, value)
    return occupied(view, value.shape) == tuple(range(len(squeeze(value.shape))))


def _same_order(view: View, value: Value) -> bool:
    """A reshape of the whole root: other axes, same order."""
    expected = 1
    for extent, stride in reversed(list(zip(value.shape, view.strides))):
        if extent != 1 and stride != expected:
            return False
        expected *= extent
    return expected == view.root.size


def _slot(name: str, value: Value) -> Value:
    """A fresh name for memory that is no value of the graph."""
    return new_input(name, TensorType(value.shape, value.dtype))


def _place_outputs(plan: Plan, stored: Iterable[Value]) -> list[Copy]:
    """Outputs computed by a kernel are written where they are wanted; the rest is copied."""
    copies = []
    taken: set[Value] = set()
    for position, value in enumerate(plan.program.outputs):
        view = plan.fusion.resolve(value)
        root = view.root
        if root.primitive not in SOURCES and root not in taken and is_whole(view, value):
            taken.add(root)
            plan.places[root] = Place("output", position)
            continue
        slot = _slot("output", value)
        plan.places[slot] = Place("output", position)
        copies.append(Copy(value, view, slot))
    return copies


def _place_updates(plan: Plan, stored: Iterable[Value]) -> tuple[dict[Group, int], list[Copy]]:
    """Find the kernels that may write state in place, each with its phase of the commit; the other updates
    are copied at the very end.
    """
    fusion, program = plan.fusion, plan.program
    wanted: dict[Value, list[int]] = {}
    for position, value in program.updates:
        wanted.setdefault(fusion.resolve(value).root, []).append(position)
    read_by: dict[Value, set[Group]] = {}
    for group in fusion.groups:
        for root in fusion.reads(group):
            read_by.setdefault(root, set()).add(group)
    levels = _commit_levels(plan, wanted, read_by)
    copies = []
    for position, value in program.updates:
        view, state = fusion.resolve(value), program.states[position]
        root = view.root
        home = fusion.home.get(root)
        in_place = (
            home is not None
            and home in levels
            and len(wanted[root]) == 1
            and is_whole(view, value)
            and all(
                reader is home or levels.get(reader, -1) < levels[home] for reader in read_by.get(state, ())
            )
            and _reads_in_step(fusion, home, root, state)
        )
        if in_place:
            plan.targets[root] = [state]
            plan.places[root] = Place("state", position)  # where later kernels of the commit read it
            continue
        if root.primitive is p.input and root is not state:
            # State taken from an input or from other state: keep a copy before anything changes.
            slot = _slot("kept", value)
            copies.append(Copy(value, view, slot))
            copies.append(Copy(slot, fusion.resolve(slot), state))
            continue
        copies.append(Copy(value, view, state))
    return levels, copies


def _commit_levels(
    plan: Plan, wanted: Mapping[Value, list[int]], read_by: Mapping[Value, set[Group]]
) -> dict[Group, int]:
    """The kernels of the commit, each with its phase there.

    They write updates, and what only other kernels of the commit read: a norm of the new state, and what it
    scales. Small updates that others read stay with the step: copying them costs less than one more barrier.
    """
    fusion = plan.fusion
    output_roots = {fusion.resolve(output).root for output in plan.program.outputs}

    def written(group: Group) -> list[Value]:
        return [value for value in group.values if value in plan.targets and fusion.home[value] is group]

    def may_wait(group: Group) -> bool:
        mine = written(group)
        puts_rows = group.head is not None and group.head.primitive is put_rows
        return (
            (group.kind == NEST or puts_rows)
            and bool(mine)
            and not group.joins
            and not any(value in output_roots for value in mine)
            and not any(value in plan.guards for value in group.values)
        )

    members: dict[Group, None] = {}
    for group in fusion.groups:  # producers before their readers
        updates = [value for value in written(group) if value in wanted]
        unread = len(updates) == len(written(group)) and not any(read_by.get(value) for value in updates)
        large = bool(updates) and size(group.domain) >= LARGE_UPDATE
        if may_wait(group) and (unread or large):
            members[group] = None
    grows = True
    while grows:
        following = [
            group
            for group in fusion.groups
            if group not in members and may_wait(group) and not members.keys().isdisjoint(group.after)
        ]
        members.update(dict.fromkeys(following))
        grows = bool(following)
    shrinks = True
    while shrinks:
        leaving = [
            group
            for group in members
            if any(reader not in members for value in written(group) for reader in read_by.get(value, ()))
        ]
        for group in leaving:
            del members[group]
        shrinks = bool(leaving)
    levels: dict[Group, int] = {}

    def level(group: Group) -> int:
        if group not in levels:
            levels[group] = max(
                (level(earlier) + 1 for earlier in group.after if earlier in members), default=0
            )
        return levels[group]

    for group in members:
        level(group)
    return levels


def _reads_in_step(fusion: Fusion, group: Group, root: Value, state: Value) -> bool:
    """Whether `group` reads the old state only at the element that it then writes."""
    for value in group.values:
        for operand, view in fusion.operand_views(value):
            if view.root is not state:
                continue
            aligned = occupied(view, operand.shape) == tuple(range(len(squeeze(operand.shape))))
            same = squeeze(operand.shape) == squeeze(root.shape) and group.values[value] == group.values[root]
            if not (aligned and same and (group.values[root] != FULL or _walks_once(fusion, group))):
                return False
    return True


def _walks_once(fusion: Fusion, group: Group) -> bool:
    """Whether every point of the group's domain is visited once: nothing there needs a reduction's total."""
    totals: set[Value] = set()
    for value, level in group.values.items():
        known = any(
            view.root in totals and fusion.is_local(group, value, operand)
            for operand, view in fusion.operand_views(value)
        )
        reduces = level == KEPT and value.primitive.has(REDUCES)
        if known and (level == FULL or reduces):
            return False
        if known or reduces:
            totals.add(value)
    return True


def arrange(plan: Plan, commit_levels: Mapping[Group, int], outputs: list[Copy], copies: list[Copy]) -> None:
    """Put every kernel into the earliest phase that its operands allow, after those it follows there."""
    fusion, edges = plan.fusion, plan.rows.edges
    brief = find_brief(fusion, plan.rows.groups)
    level: dict[Group, int] = {}
    order: dict[Group, int] = {}

    def waits(earlier: Group, later: Group) -> bool:
        return (earlier, later) not in edges and not (earlier in brief and later in brief)

    def depth(group: Group) -> int:
        stack = [group]
        while stack:
            current = stack[-1]
            missing = [earlier for earlier in current.after if earlier not in level]
            if missing:
                stack.extend(missing)
                continue
            stack.pop()
            level[current] = max(
                (level[earlier] + waits(earlier, current) for earlier in current.after), default=0
            )
            order.setdefault(current, len(order))
        return level[group]

    step = [group for group in fusion.groups if group not in commit_levels]
    for group in step:
        depth(group)
    for group in step:
        if group.made_again:
            following = [reader for reader in step if group in reader.after]
            level[group] = min(level[reader] - ((group, reader) not in edges) for reader in following)
    ordinary: list[tuple[int, Work]] = [(level[group], group) for group in step]
    ordinary.sort(key=lambda entry: order[entry[1]])  # type: ignore[index]
    plan.in_a_row = in_a_row(
        brief, {group: level[group] for group in fusion.groups if group not in commit_levels}
    )
    early = [*outputs, *(copy for copy in copies if plan.program.states.count(copy.target) == 0)]
    for copy in early:
        home = fusion.home.get(copy.view.root)
        ordinary.append((0 if home is None else depth(home) + 1, copy))
    for position, work in ordinary:
        while len(plan.phases) <= position:
            plan.phases.append([])
        plan.phases[position].append(work)
    late = [copy for copy in copies if copy not in early]
    phases: list[list[Work]] = [[] for _ in range(max(commit_levels.values(), default=-1) + 1)]
    for group, level_there in commit_levels.items():
        phases[level_there].append(group)
    waiting = [copy for copy in late if not _goes_along(plan, copy, phases[-1])] if phases else late
    if phases:
        phases[-1] += [copy for copy in late if copy not in waiting]
    phases.append([*waiting])
    plan.commits = [phase for phase in phases if phase]


def _goes_along(plan: Plan, copy: Copy, phase: Iterable[Work]) -> bool:
    """Whether the copy needs no barrier before it: nobody in the phase reads what it writes, or writes what
    it reads.
    """
    read = {root for work in phase for root in reads_of(plan, work)}
    written = {value for work in phase for value, _ in writes_of(plan, work)}
    return copy.target not in read and copy.view.root not in written


def reads_of(plan: Plan, work: Work) -> Iterable[Value]:
    return [work.view.root] if isinstance(work, Copy) else plan.fusion.reads(work)


def writes_of(plan: Plan, work: Work) -> list[tuple[Value, Value]]:
    """(value, memory) pairs that the work stores."""
    if isinstance(work, Copy):
        return [(work.source, work.target)]
    home = plan.fusion.home  # copies of a value in other kernels are not stored
    stored = [
        (value, target)
        for value in (*work.values, *work.joins)
        if home[value] is work
        for target in plan.targets.get(value, ())
    ]
    if work in plan.controls:
        stored += [(memory, memory) for memory in plan.controls[work].memory]
    return stored


def allocate(plan: Plan) -> None:
    """Give every value an address; those whose lives don't overlap share the arena."""
    _plan_controls(plan)
    program = plan.program
    for position, value in enumerate(program.states):
        plan.places[value] = Place("state", position)
    for position, value in enumerate(program.inputs):
        plan.places.setdefault(value, Place("input", position))
    phases = [*plan.phases, *plan.commits]
    born: dict[Value, int] = {}
    dies: dict[Value, int] = {}
    for time, phase in enumerate(phases):
        for work in phase:
            for _, memory in writes_of(plan, work):
                born.setdefault(memory, time)
                dies[memory] = max(dies.get(memory, 0), time)
            for root in reads_of(plan, work):
                dies[root] = max(dies.get(root, 0), time)
                if root.primitive is p.constant and root not in plan.places:
                    plan.places[root] = Place("constant", len(plan.constants))
                    plan.constants.append(root)
    wanted = [value for value in born if value not in plan.places]
    wanted.sort(key=lambda value: -value.size * dtypes.itemsize(value.dtype))
    laid: list[tuple[int, int, int, int]] = []  # offset, end, born, dies
    for value in wanted:
        size = max(1, value.size * dtypes.itemsize(value.dtype))
        size = -(-size // ALIGNMENT) * ALIGNMENT
        offset = 0
        for start, end, first, final in sorted(laid):
            alive_together = not (dies[value] < first or final < born[value])
            if alive_together and offset < end and start < offset + size:
                offset = end
        laid.append((offset, offset + size, born[value], dies[value]))
        plan.places[value] = Place("arena", offset)
        plan.arena_bytes = max(plan.arena_bytes, offset + size)


__all__ = ["Copy", "Plan", "Work", "allocate", "arrange", "is_whole", "make_plan", "reads_of", "writes_of"]
