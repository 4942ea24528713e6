"""From loop nests to LLVM text: which axis becomes the vector, how tasks are cut, loops, loads, stores.

A kernel is `void name(ptr buffer..., ptr flag, i64 begin, i64 end)` and does the tasks begin .. end-1. Tasks
come from the shape alone and own what they write, so any partition of them among threads gives the same
bits.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import prod

from lamina.backends.cpu import cost, points
from lamina.backends.cpu.emit import Builder, Module, Register, constant, index
from lamina.backends.cpu.fuse import FULL, KEPT
from lamina.backends.cpu.nest import Load, Nest, Number, Place, Statement
from lamina.backends.cpu.points import Point
from lamina.backends.cpu.target import Target
from lamina.core import dtypes
from lamina.ir.graph import Value

UNROLL = (
    16  # inner steps up to this many may be written out, so that values stay in registers between stages ...
)
UNROLLED_LINES = 400  # ... unless that makes more instructions than this: compile time is part of the product
SHORT_ROW = 24  # a reduced last axis up to this extent is walked serially, with the rows in the vector
CHUNK = 32  # steps summed up in one register before they are added to the total: keeps rounding errors apart
GRAIN = 64  # elements of a flat kernel that make a task: whole cache lines, and equal shares of small tensors


@dataclass(frozen=True)
class Kernel:
    """An emitted function: its name, the memory it is called with, how many tasks it has.

    offsets: for a product, where its two matrices start in their memory, in elements of `dtype`; such a
    kernel takes (left, right, unused, other buffers, flag, scratch, begin, end). count: the elements of a
    flat kernel that serves every size; it takes (buffers, flag, count, begin, end). row_tasks: the tasks of
    each unit of rows, where tasks go by rows; 0 where they do not. sharing: how many tasks that follow each
    other share a preparation: the packed panels of a product.
    """

    name: str
    buffers: tuple[Value, ...]
    tasks: int
    count: int | None = None
    offsets: tuple[int, int] | None = None
    dtype: str = ""
    scratch: bool = False
    row_tasks: int = 0
    sharing: int = 1


@dataclass(frozen=True)
class Layout:
    """How a nest is run: the axis in the vector, its lanes, and the serial axes."""

    vector: int | None
    lanes: int
    outer: tuple[int, ...]
    serial: tuple[int, ...]
    vector_inner: bool
    block: int = 1  # vectors per task where the vector axis itself is cut into tasks

    @property
    def flat(self) -> bool:
        """Whether tasks are blocks of the vector axis."""
        return not self.outer and self.vector is not None and not self.vector_inner


def choose_layout(nest: Nest, target: Target) -> Layout:
    """Pick the vector axis and the number of lanes."""
    axes = nest.axes
    rank = len(axes)
    kept = [axis for axis in range(rank) if not axes[axis].inner]
    inner = [axis for axis in range(rank) if axes[axis].inner]
    width = native_lanes(nest, target)
    if rank == 0:
        return Layout(None, 1, (), (), False)
    vector = rank - 1
    if vector in nest.slid:
        return Layout(None, 1, tuple(kept), tuple(inner), False)
    if nest.slid:
        pass  # the channels: neighbours in memory, and all at the same place of the window
    elif (
        axes[vector].inner
        and axes[vector].extent <= SHORT_ROW
        and kept
        and axes[kept[-1]].extent >= min(4, width)
    ):
        vector = kept[-1]
    elif axes[vector].extent < width // 2:
        fuller = [axis for axis in (kept or inner) if axes[axis].extent >= width]
        vector = fuller[-1] if fuller else vector
    lanes = width
    live = len(nest.statements)
    widest = 4 if live <= 3 else 2 if live <= 6 else 1
    while widest > 1 and lanes * widest > axes[vector].extent:
        widest //= 2
    lanes *= widest
    while lanes > 1 and lanes // 2 >= axes[vector].extent:
        lanes //= 2
    outer = tuple(axis for axis in kept if axis != vector)
    serial = tuple(axis for axis in inner if axis != vector)
    return Layout(vector, lanes, outer, serial, axes[vector].inner, max(1, GRAIN // lanes))


def native_lanes(nest: Nest, target: Target) -> int:
    """Lanes of one vector register for the widest float the nest computes with."""
    sizes = [4]
    for statement in nest.statements:
        for value in (statement.value, *statement.value.node.inputs):
            if dtypes.is_float(value.dtype):
                sizes.append(dtypes.itemsize(value.dtype))
    return max(1, target.vector_bytes // max(sizes))


def task_count(nest: Nest, layout: Layout) -> int:
    if layout.flat:
        assert layout.vector is not None
        vectors = -(-nest.axes[layout.vector].extent // layout.lanes)
        return -(-vectors // _block(nest, layout))
    return prod(nest.axes[axis].extent for axis in layout.outer)


def _block(nest: Nest, layout: Layout) -> int:
    """Vectors that make a task of a flat layout: one, where each of them means a walk along inner axes."""
    walks = nest.stages and any(axis.inner for axis in nest.axes)
    return 1 if walks else layout.block


def lower(module: Module, name: str, nest: Nest, target: Target, unit: int = 0) -> Kernel:
    """Emit the kernel of a nest.

    unit: if not 0, tasks should go by units of that many rows, which are the first axis; `row_tasks` says
    whether they do.
    """
    if not unit and _serves_every_size(nest):
        return _lower_flat(module, name, nest, target)
    layout = choose_layout(nest, target)
    row_tasks = 0
    if unit and layout.flat and layout.vector == 0:
        layout = replace(layout, lanes=min(layout.lanes, unit), block=1)
        row_tasks = unit // layout.lanes if unit % layout.lanes == 0 else 0
    elif unit and layout.outer[:1] == (0,):
        row_tasks = unit * prod(nest.axes[axis].extent for axis in layout.outer[1:])
    roots = tuple(nest.roots())
    parameters = [("ptr", f"b{position}") for position in range(len(roots))]
    builder = Builder(module, name, [*parameters, ("ptr", "flag"), ("i64", "begin"), ("i64", "end")])
    _Lowering(builder, nest, layout, dict(zip(roots, builder.arguments)), target).run()
    builder.finish()
    return Kernel(name, roots, task_count(nest, layout), row_tasks=row_tasks)


def _serves_every_size(nest: Nest) -> bool:
    """Whether the nest is one contiguous axis of plain loads, for which no code depends on the extent."""
    return (
        len(nest.axes) == 1
        and not nest.axes[0].inner
        and all(isinstance(leaf, (Load, Number)) for leaf in nest.leaves())
        and all(place.strides[0] in (0, 1) for place in nest.places())
    )


def _lower_flat(module: Module, name: str, nest: Nest, target: Target) -> Kernel:
    """A kernel that takes its number of elements as an argument, so that all tensors can share it."""
    lanes = native_lanes(nest, target)
    roots = tuple(nest.roots())
    parameters = [("ptr", f"b{position}") for position in range(len(roots))]
    numbers = [("i64", "count"), ("i64", "begin"), ("i64", "end")]
    b = Builder(module, name, [*parameters, ("ptr", "flag"), *numbers])
    flag, count, begin, end = b.arguments[-4:]
    layout = Layout(0, lanes, (), (), False)
    lowering = _Lowering(b, nest, layout, dict(zip(roots, b.arguments)), target, (flag, begin, end))
    block = index(-(-GRAIN // lanes) * lanes)
    first = b.multiply(begin, block)
    last = lowering.minimum(b.multiply(end, block), count)
    if target.has_masks:
        with b.loop(first, last, lanes) as loop:
            lowering.flat_body(loop.index, lanes, b.tail_mask(b.subtract(last, loop.index), lanes))
    else:
        whole = b.subtract(last, b.op("and", b.subtract(last, first), index(lanes - 1)))
        with b.loop(first, whole, lanes) as loop:
            lowering.flat_body(loop.index, lanes, None)
        with b.loop(whole, last, 1) as loop:
            lowering.flat_body(loop.index, 1, None)
    b.finish()
    extent = nest.axes[0].extent
    return Kernel(name, roots, -(-extent // (-(-GRAIN // lanes) * lanes)), extent)


Offsets = dict[Place, Register]


class _Lowering:
    def __init__(
        self,
        builder: Builder,
        nest: Nest,
        layout: Layout,
        pointers: dict[Value, Register],
        target: Target,
        ends: tuple[Register, Register, Register] | None = None,
    ) -> None:
        self.b = builder
        self.nest = nest
        self.layout = layout
        self.pointers = pointers
        self.target = target
        self.flag, self.begin, self.end = ends or builder.arguments[-3:]
        self.keys = points.load_keys(builder, nest.leaves(), pointers)
        self.places = tuple(dict.fromkeys(nest.places()))
        self.stores: dict[Value, list[tuple[Value, Place, bool]]] = {}
        for store in nest.stores:
            self.stores.setdefault(store.value, []).append((store.root, store.place, store.guarded))

    # -- tasks ---------------------------------------------------------------------------------

    def run(self) -> None:
        layout, axes = self.layout, self.nest.axes
        start: Offsets = {place: index(place.offset) for place in self.places}
        indices = {axis: index(0) for axis in range(len(axes))}
        if layout.flat:
            self._flat(start, indices)
            return
        extents = [axes[axis].extent for axis in layout.outer]
        with self.b.loop(self.begin, self.end) as task:
            offsets, rest, here = start, task.index, dict(indices)
            for position, axis in enumerate(layout.outer):
                below = prod(extents[position + 1 :])
                if below == 1:
                    place = rest
                else:
                    place = self.b.op("udiv", rest, index(below))
                    rest = self.b.op("urem", rest, index(below))
                offsets = self.advance(offsets, axis, place)
                here[axis] = place
            self._columns(offsets, here)

    def _flat(self, start: Offsets, indices: dict[int, Register]) -> None:
        """Tasks are blocks of the vector axis; the last vector may be partial."""
        layout, axes = self.layout, self.nest.axes
        assert layout.vector is not None
        extent, lanes = axes[layout.vector].extent, layout.lanes
        full, rest = divmod(extent, lanes)
        block = _block(self.nest, layout)
        vectors = full + bool(rest)
        first = self.b.multiply(self.begin, block)
        last = self.minimum(self.b.multiply(self.end, block), index(vectors)) if block > 1 else self.end
        if full:
            stop = self.minimum(last, index(full)) if rest else last
            with self.b.loop(first, stop) as loop:
                at = self.b.multiply(loop.index, lanes)
                self._body(
                    self.advance(start, layout.vector, at), {**indices, layout.vector: at}, lanes, lanes
                )
        if rest:
            reaches = self.b.compare("icmp eq", last, index(vectors))
            begins = self.b.compare("icmp slt", first, last)
            with self.b.when(self.b.op("and", reaches, begins)):
                at = index(full * lanes)
                self._body(
                    self.advance(start, layout.vector, at), {**indices, layout.vector: at}, *self._tail(rest)
                )

    def _columns(self, offsets: Offsets, indices: dict[int, Register]) -> None:
        """Walk a kept vector axis inside a task; with the vector axis reduced, or none at all, there is
        one point.
        """
        layout = self.layout
        if layout.vector is None or layout.vector_inner:
            self._body(offsets, indices, 1, 1)
            return
        extent, lanes = self.nest.axes[layout.vector].extent, layout.lanes
        full, rest = divmod(extent, lanes)
        if full == 1:
            self._body(offsets, indices, lanes, lanes)
        elif full:
            with self.b.loop(0, full * lanes, lanes) as loop:
                here = {**indices, layout.vector: loop.index}
                self._body(self.advance(offsets, layout.vector, loop.index), here, lanes, lanes)
        if rest:
            at = index(full * lanes)
            self._body(
                self.advance(offsets, layout.vector, at), {**indices, layout.vector: at}, *self._tail(rest)
            )

    def _tail(self, rest: int) -> tuple[int, int]:
        """(lanes, active lanes) for the last, partial vector: the fewest lanes that hold it."""
        lanes = self.layout.lanes
        while lanes // 2 >= rest:
            lanes //= 2
        return lanes, rest

    def flat_body(self, at: Register, lanes: int, mask: Register | None) -> None:
        """One vector of a flat kernel, or one element."""
        start: Offsets = {place: index(place.offset) for place in self.places}
        point = Point(
            self.b,
            self.advance(start, 0, at),
            {0: at},
            lanes,
            lanes,
            0 if lanes > 1 else None,
            self,
            mask=mask,
        )
        for statement in self.nest.statements:
            if statement.value in self.stores:
                point.compute(statement)
                self.store(point, statement.value)

    def minimum(self, x: Register, y: Register) -> Register:
        return self.b.select(self.b.compare("icmp slt", x, y), x, y)

    def advance(self, offsets: Offsets, axis: int, by: Register) -> Offsets:
        """The offsets after moving along an axis."""
        if by.text == "0":
            return offsets
        return {
            place: self.b.add(offset, self.b.multiply(by, place.strides[axis]))
            if place.strides[axis]
            else offset
            for place, offset in offsets.items()
        }

    # -- one point of the kept axes ------------------------------------------------------------

    def _body(self, offsets: Offsets, indices: dict[int, Register], lanes: int, active: int) -> None:
        """Everything at one kept point (`lanes` of them, if the vector axis is kept)."""
        kept = Point(
            self.b, offsets, indices, lanes, active, None if lanes == 1 else self.layout.vector, self
        )
        self._kept(kept, 0)
        memories: dict[tuple[int, ...], dict[Value, Register]] = {}
        for stage in range(self.nest.stages):
            reductions = [s for s in self.nest.statements if s.reduces and s.stage == stage + 1]
            full = [
                s
                for s in self.nest.statements
                if s.level == FULL and s.stage == stage and s.value in self.stores
            ]
            if reductions or full:
                totals = self._stage(kept, stage, reductions, full, memories)
                for statement, total in zip(reductions, totals):
                    result = total
                    if self.layout.vector_inner:
                        result = points.horizontal(self.b, statement, total, self.target)
                    kept.known[statement.value] = points.rounded(
                        self.b, result, statement.value.dtype, self.target
                    )
            self._kept(kept, stage + 1)

    def _kept(self, kept: Point, stage: int) -> None:
        """Kept values known from `stage` on, and their stores."""
        for statement in self.nest.statements:
            if statement.level == KEPT and statement.stage == stage:
                kept.compute(statement)
                self.store(kept, statement.value)

    def _stage(
        self,
        kept: Point,
        stage: int,
        reductions: list[Statement],
        full: list[Statement],
        memories: dict[tuple[int, ...], dict[Value, Register]],
    ) -> list[Register]:
        """Run through the inner axes once; the totals of the reductions."""
        layout, axes = self.layout, self.nest.axes
        width = layout.lanes if layout.vector_inner else kept.lanes
        totals = [points.identity(statement, width) for statement in reductions]

        def step(
            offsets: Offsets,
            indices: dict[int, Register],
            lanes: int,
            active: int,
            totals: list[Register],
            memory: dict[Value, Register] | None = None,
        ) -> list[Register]:
            vector = layout.vector if layout.vector_inner or kept.lanes > 1 else None
            point = Point(self.b, offsets, indices, lanes, active, vector, self, kept)
            if memory is not None:
                point.known = memory
            for statement in full:
                point.compute(statement)
                self.store(point, statement.value)
            return [
                points.accumulate(point, statement, total, layout.vector_inner)
                for statement, total in zip(reductions, totals)
            ]

        steps = prod(axes[axis].extent for axis in layout.serial)
        if layout.vector_inner:
            assert layout.vector is not None
            steps *= -(-axes[layout.vector].extent // layout.lanes)
        written_out = steps * cost.lines(self.nest, width, layout.vector)
        if steps <= 1 or (steps <= UNROLL and written_out <= UNROLLED_LINES):
            return self._unrolled(
                kept, list(layout.serial), (), step, totals, memories, kept.offsets, kept.indices
            )
        return self._looped(kept, list(layout.serial), step, totals, kept.offsets, kept.indices, reductions)

    def _unrolled(
        self,
        kept: Point,
        serial: list[int],
        at: tuple[int, ...],
        step: Callable[..., list[Register]],
        totals: list[Register],
        memories: dict[tuple[int, ...], dict[Value, Register]],
        offsets: Offsets,
        indices: dict[int, Register],
    ) -> list[Register]:
        """All inner steps written out; each keeps its values for the later stages."""
        if serial:
            axis, *rest = serial
            for i in range(self.nest.axes[axis].extent):
                here = {**indices, axis: index(i)}
                moved = self.advance(offsets, axis, index(i))
                totals = self._unrolled(kept, rest, (*at, i), step, totals, memories, moved, here)
            return totals
        if not self.layout.vector_inner:
            return step(offsets, indices, kept.lanes, kept.active, totals, memories.setdefault(at, {}))
        vector = self.layout.vector
        assert vector is not None
        extent, lanes = self.nest.axes[vector].extent, self.layout.lanes
        for first in range(0, extent, lanes):
            here = {**indices, vector: index(first)}
            moved = self.advance(offsets, vector, index(first))
            memory = memories.setdefault((*at, first), {})
            totals = step(moved, here, lanes, min(lanes, extent - first), totals, memory)
        return totals

    def _looped(
        self,
        kept: Point,
        serial: list[int],
        step: Callable[..., list[Register]],
        totals: list[Register],
        offsets: Offsets,
        indices: dict[int, Register],
        reductions: list[Statement],
    ) -> list[Register]:
        """The inner steps as loops, the vector axis innermost."""
        if serial:
            axis, *rest = serial

            def one(at: Register, sums: list[Register]) -> list[Register]:
                moved = self.advance(offsets, axis, at)
                return self._looped(kept, rest, step, sums, moved, {**indices, axis: at}, reductions)

            innermost = not rest and not self.layout.vector_inner
            return self._counted(
                0, self.nest.axes[axis].extent, 1, one, totals, reductions if innermost else []
            )
        if not self.layout.vector_inner:
            return step(offsets, indices, kept.lanes, kept.active, totals)
        vector, lanes = self.layout.vector, self.layout.lanes
        assert vector is not None
        extent = self.nest.axes[vector].extent
        full = extent // lanes * lanes

        def one_vector(at: Register, sums: list[Register]) -> list[Register]:
            return step(self.advance(offsets, vector, at), {**indices, vector: at}, lanes, lanes, sums)

        totals = self._counted(0, full, lanes, one_vector, totals, reductions) if full else totals
        if full < extent:
            moved = self.advance(offsets, vector, index(full))
            totals = step(moved, {**indices, vector: index(full)}, lanes, extent - full, totals)
        return totals

    def _counted(
        self,
        start: int,
        stop: int,
        stride: int,
        body: Callable[[Register, list[Register]], list[Register]],
        totals: list[Register],
        reductions: list[Statement],
    ) -> list[Register]:
        """A loop that carries the totals. Long float sums are cut into chunks with a sum of their own."""
        sums = [position for position, statement in enumerate(reductions) if points.loses_digits(statement)]
        if not sums or (stop - start) // stride < 2 * CHUNK:
            with self.b.loop(start, stop, stride, totals) as loop:
                loop.next = body(loop.index, loop.carried)
            return loop.results
        with self.b.loop(start, stop, stride * CHUNK, totals) as outer:
            last = self.minimum(self.b.add(outer.index, stride * CHUNK), index(stop))
            fresh = list(outer.carried)
            for position in sums:
                fresh[position] = constant(0, fresh[position].element, fresh[position].lanes)
            with self.b.loop(outer.index, last, stride, fresh) as loop:
                loop.next = body(loop.index, loop.carried)
            results = list(loop.results)
            for position in sums:
                results[position] = self.b.op("fadd", outer.carried[position], results[position])
            outer.next = results
        return outer.results

    # -- memory --------------------------------------------------------------------------------

    def store(self, point: Point, value: Value) -> None:
        """Write a value wherever it is wanted."""
        for root, place, guarded in self.stores.get(value, ()):
            register = point.known[value]
            if guarded:
                points.guard(point, register, self.flag)
            points.store(point, register, self.pointers[root], place, value.dtype)
