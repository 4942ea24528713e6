"""The loops of a convolution: over tasks, over the tiles of a box, and what is put into scratch beforehand."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from math import prod

from lamina.backends.cpu.contract_plan import Panels, Tiles
from lamina.backends.cpu.contract_sums import Epilogue, Step, Stored, TileSums
from lamina.backends.cpu.contract_walk import counted, divide, runs_in_block, start_of, tasks
from lamina.backends.cpu.convolve_pack import Packer
from lamina.backends.cpu.convolve_plan import BoxPlan, ConvolveSpec, OutputPlan, RowAxis
from lamina.backends.cpu.emit import ELEMENT, Builder, Register, index


class Walk:
    """Emits the loops over the tiles of some axes that lie in a block of each."""

    def __init__(self, builder: Builder) -> None:
        self.builder = builder

    def tiles(
        self, axes: Sequence[RowAxis], blocks: Sequence[Register]
    ) -> Iterator[tuple[tuple[Tiles, ...], tuple[Register, ...]]]:
        """Each kind of tile, with where it starts along every axis."""
        if not axes:
            yield (), ()
            return
        axis, *inner = axes
        for run, lower, upper in runs_in_block(self.builder, axis.runs, blocks[0], axis.block, axis.blocks):
            with counted(self.builder, lower, upper) as number:
                start = start_of(self.builder, number, run)
                for runs, starts in self.tiles(inner, blocks[1:]):
                    yield (run, *runs), (start, *starts)

    def first(self, axis: RowAxis, block: Register) -> Register:
        """Where a block starts along an axis."""
        builder = self.builder
        number = builder.multiply(block, axis.block)
        start = start_of(builder, number, axis.runs[0])
        for run in axis.runs[1:]:
            later = builder.compare("icmp sge", number, index(run.first))
            start = builder.select(later, start_of(builder, number, run), start)
        return start


def distances(runs: Sequence[Tiles], steps: Sequence[int]) -> list[int]:
    """From the first row of a tile to each: the box `runs`, so much apart along each axis."""
    places = product(*(range(run.rows) for run in runs))
    return [sum(at * step for at, step in zip(place, steps)) for place in places]


class OutputKernel:
    """Emits y from x and w."""

    def __init__(self, builder: Builder, plan: OutputPlan, epilogue: Epilogue) -> None:
        self.builder = builder
        self.plan = plan
        self.spec: ConvolveSpec = plan.spec
        self.x, self.w = builder.arguments[:2]
        self.scratch, self.begin, self.end = builder.arguments[-3:]
        self.element, self.total = ELEMENT[plan.spec.dtype], ELEMENT[plan.sum_dtype]
        a = Stored(plan.sum_dtype if plan.band else plan.spec.dtype)
        b = Stored(plan.sum_dtype, packed=True)
        self.sums = TileSums(builder, plan.target, a, b, plan.panel_stride, epilogue)
        self.rolled = self.sums.is_long(_places(plan), plan.depth)
        self.walk = Walk(builder)
        self.packer = Packer(builder, plan.target, plan.spec.dtype)
        self.band = builder.pointer(self.scratch, plan.packed_elements, self.total)
        self.rest = builder.pointer(self.band, plan.band_elements, self.total)

    def emit(self) -> None:
        """The loop over tasks; consecutive ones share their panels of w."""
        builder, plan = self.builder, self.plan
        if plan.column_blocks == 1:
            with builder.when(builder.compare("icmp slt", self.begin, self.end)):
                self._panels(index(0))
            with tasks(builder, self.begin, self.end, plan.tasks) as task:
                self._task(task)
            return
        with builder.loop(self.begin, self.end, 1, [index(-1)]) as loop:
            columns, _ = divide(builder, loop.index, plan.tasks // plan.column_blocks)
            with builder.when(builder.compare("icmp ne", columns, loop.carried[0])):
                self._panels(columns)
            self._task(loop.index)
            loop.next = [columns]

    def _panels(self, columns: Register) -> None:
        """Put the panels of w of a column block into scratch, those of each group one after the other."""
        builder, plan, spec = self.builder, self.plan, self.spec
        with counted(builder, index(0), index(spec.groups)) as group:
            w = builder.pointer(self.w, builder.multiply(group, spec.w_group), self.element)
            for panels, left, right in runs_in_block(
                builder, plan.panels, columns, plan.column_block, plan.column_blocks
            ):
                with counted(builder, left, right) as number:
                    column = start_of(builder, number, panels)
                    here = builder.pointer(w, builder.multiply(column, spec.w_strides[-1]), self.element)
                    extents = (*spec.kernel, spec.channels)
                    self.packer.panel(
                        panels,
                        extents,
                        spec.w_strides,
                        here,
                        self._panel(group, number, columns),
                        plan.panel_stride,
                    )

    def _panel(self, group: Register, number: Register, columns: Register) -> Register:
        """Where a packed panel lies."""
        builder, plan = self.builder, self.plan
        local = builder.subtract(number, builder.multiply(columns, plan.column_block))
        local = builder.add(local, builder.multiply(group, plan.column_block))
        return builder.pointer(
            self.scratch, builder.multiply(local, plan.depth * plan.panel_stride), self.total
        )

    def _task(self, task: Register) -> None:
        builder, plan = self.builder, self.plan
        batch_axis, first_axis, *other_axes = plan.axes
        rest, band = divide(builder, task, first_axis.blocks)
        columns, block = divide(builder, rest, batch_axis.blocks)
        for (run,), (element,) in self.walk.tiles([batch_axis], [block]):
            x = builder.pointer(self.x, builder.multiply(element, self.spec.x_strides[0]), self.element)
            if plan.band is not None:
                self._band(x, run, band)
            starts = self.walk.first(first_axis, band) if plan.band else index(0)
            with counted(builder, index(0), index(self.spec.groups)) as group:
                for panels, left, right in runs_in_block(
                    builder, plan.panels, columns, plan.column_block, plan.column_blocks
                ):
                    with counted(builder, left, right) as number:
                        column = start_of(builder, number, panels)
                        column = builder.add(column, builder.multiply(group, self.spec.outputs))
                        b = self._panel(group, number, columns)
                        a = self.band if plan.band else x
                        channel = builder.multiply(group, self.spec.channels)
                        a = builder.pointer(a, channel, ELEMENT[self.sums.a.dtype])
                        others = [index(0)] * len(other_axes)
                        for runs, places in self.walk.tiles([first_axis, *other_axes], [band, *others]):
                            local = (builder.subtract(places[0], starts), *places[1:])
                            self._tile((run, *runs), local, (element, *places), panels, column, a, b)

    def _band(self, x: Register, run: Tiles, band: Register) -> None:
        """Put the padded image of a tile of batch elements into scratch, the lines of this band."""
        builder, plan, spec = self.builder, self.plan, self.spec
        assert plan.band is not None
        first = builder.multiply(self.walk.first(plan.axes[1], band), spec.strides[0])
        starts = [builder.subtract(first, spec.low[0]), *(index(-low) for low in spec.low[1:])]
        self.packer.image(
            x,
            (run.rows, *plan.band[1:-1]),
            plan.band[-1],
            (run.rows, *spec.image),
            spec.x_strides,
            starts,
            self.band,
        )

    def _tile(
        self, runs: tuple[Tiles, ...], local: Sequence[Register], places: Sequence[Register],
        panels: Panels, column: Register, a: Register, b: Register,
    ) -> None:  # fmt: skip
        """The sums of one tile, handed to the epilogue. local: its place from `a`, along all axes but the first."""
        builder, plan = self.builder, self.plan
        for place, axis in zip(local, plan.axes[1:]):
            a = builder.pointer(a, builder.multiply(place, axis.a), ELEMENT[self.sums.a.dtype])
        row = index(0)
        for place, axis in zip(places, plan.axes):
            row = builder.add(row, builder.multiply(place, axis.c))
        steps = [Step(step.extent, step.a, step.b) for step in plan.steps]
        sums = self.sums.accumulate(distances(runs, [axis.a for axis in plan.axes]), panels, a, b, steps)
        rows = distances(runs, [axis.c for axis in plan.axes])
        corner = index(0), row, column
        if not self.rolled:
            self.sums.finish(sums, rows, panels, corner)
            return
        self.sums.store(sums, len(rows), panels, self.rest)
        self.sums.finish_from(self.rest, rows, panels, corner)


def _places(plan: BoxPlan) -> int:
    """Vectors of sums of all the different tiles."""
    rows = sum(prod(run.rows for run in box) for box in plan.boxes())
    return rows * sum(len(panels.pieces) for panels in plan.panels)
