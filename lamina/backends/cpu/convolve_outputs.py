"""The outputs of a convolution - and, with the kernel turned round, the gradient of its inputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, prod

from lamina.backends.cpu.contract_plan import FEW_TASKS, Panels, round_up, split_rows, sum_dtype
from lamina.backends.cpu.contract_sums import Epilogue, Step, Stored, TileSums
from lamina.backends.cpu.contract_walk import counted, divide, tasks
from lamina.backends.cpu.convolve_boxes import (
    BoxPlan,
    ConvolveSpec,
    RowAxis,
    StepAxis,
    best_tile,
    collapsed,
    few_tasks,
)
from lamina.backends.cpu.convolve_pack import Packer
from lamina.backends.cpu.convolve_walk import Side, Walk, distances, places_of, row_of
from lamina.backends.cpu.emit import ELEMENT, Builder, Register, index
from lamina.backends.cpu.target import Target
from lamina.core import dtypes
from lamina.core.shapes import Shape, row_major_strides


@dataclass(frozen=True)
class OutputPlan(BoxPlan):
    """y from x and w: rows are pixels, columns are outputs, taps and channels are summed over.

    band: extents of the part of the padded image that a tile of batch elements and the block of the first
    spatial axis touch, with the elements of scratch it takes; None where x is read where it lies. Panels of
    w are packed in scratch.
    """

    band: Shape | None

    @property
    def result_strides(self) -> tuple[int, int, int]:
        """Elements of y per batch element (there are none of these), row and column."""
        return 0, self.spec.outputs * self.spec.groups, 1

    @property
    def skips_lines(self) -> bool:
        """Whether taps on lines outside the image are left out: the first step goes over these lines."""
        spec = self.spec
        outside = spec.low[0] > 0 or spec.reach[0] - spec.low[0] > spec.image[0]
        return self.band is not None and outside and self.steps[0].extent == spec.kernel[0]

    @property
    def tasks(self) -> int:
        """Numbered by column block, then block of batch elements, then band."""
        return self.column_blocks * prod(axis.blocks for axis in self.axes)

    @property
    def packed_elements(self) -> int:
        """Elements of scratch for the panels of one column block."""
        return self.column_block * self.spec.groups * self.depth * self.panel_stride

    @property
    def band_elements(self) -> int:
        """Elements of scratch for a band, in whole cache lines."""
        if self.band is None:
            return 0
        return round_up(prod(self.band), 64)

    @property
    def scratch_bytes(self) -> int:
        tile = self.tile_rows * self.panel_stride
        elements = self.packed_elements + self.band_elements + tile
        return round_up(elements * dtypes.itemsize(self.sum_dtype), 64)

    @property
    def reason(self) -> str:
        padded = ", padded in scratch" if self.band else ""
        return f"{self.describe_boxes()}, {self.tasks} tasks{padded}"


def plan_outputs(spec: ConvolveSpec, target: Target) -> OutputPlan:
    """Decide how to compute y."""
    extents = (spec.batch, *spec.output)
    taps = (*spec.kernel, spec.channels)
    sides, panels = best_tile(
        spec, target, extents, spec.outputs, (prod(spec.kernel[:-1]), spec.kernel[-1] * spec.channels)
    )
    size = dtypes.itemsize(sum_dtype(spec.dtype))
    panel_stride = max(len(run.pieces) for run in panels) * target.lanes(sum_dtype(spec.dtype))
    panel_count = sum(run.count for run in panels)
    panel_bytes = spec.groups * prod(taps) * panel_stride * size
    column_block = max(1, min(panel_count, target.caches.l2 // 2 // max(panel_bytes, 1)))
    column_block = ceil(panel_count / ceil(panel_count / column_block))
    runs = [split_rows(extent, side) for extent, side in zip(extents, sides)]
    counts = [sum(run.count for run in axis) for axis in runs]
    blocks = list(counts)
    wanted = few_tasks(spec.flops)
    if counts[0] < wanted <= FEW_TASKS and not spec.is_padded and not spec.spread:
        column_block = ceil(column_block / ceil(wanted / counts[0]))
    wanted = ceil(wanted / ceil(panel_count / column_block))
    most = max(1, counts[0] // wanted)
    blocks[0] = max(count for count in range(1, most + 1) if counts[0] % count == 0)
    bands = ceil(wanted / ceil(counts[0] / blocks[0]))
    channels = spec.channels * spec.groups
    rest = prod(spec.reach[1:]) * channels
    in_scratch = spec.is_padded or bool(spec.spread)
    if spec.spread:
        bands = 1
    elif spec.is_padded:  # a band has to fit in the second cache, too
        whole = sides[0] * spec.reach[0] * rest * size
        bands = max(bands, ceil(whole / (target.caches.l2 // 2)))
    blocks[1] = max(1, ceil(counts[1] / bands))
    band, strides = None, spec.x_strides
    if in_scratch:
        longest = min(blocks[1] * max(run.rows for run in runs[1]), spec.output[0])
        first = (longest - 1) * spec.strides[0] + (spec.kernel[0] - 1) * spec.dilation[0] + 1
        band = (sides[0], first, *spec.reach[1:], channels)
        strides = row_major_strides(band)[:-1]
    steps = (1, *spec.strides)
    c_rows = rows_of(spec)
    axes = tuple(
        RowAxis(
            extent, strides[position] * steps[position], c_rows[position], runs[position], blocks[position]
        )
        for position, extent in enumerate(extents)
    )
    dense = [panel_stride * stride for stride in row_major_strides(taps)]
    summed = [
        StepAxis(extent, every * stride, b)
        for extent, every, stride, b in zip(spec.kernel, spec.dilation, strides[1:], dense)
    ]
    summed.append(StepAxis(spec.channels, 1, panel_stride))
    return OutputPlan(spec, target, axes, collapsed(summed), panels, column_block, band)


def rows_of(spec: ConvolveSpec) -> tuple[int, ...]:
    """Rows of y per step along (n, *output)."""
    width = spec.outputs * spec.groups
    assert all(stride % width == 0 for stride in spec.y_strides), "pixels of y lie in rows of all outputs"
    return tuple(stride // width for stride in spec.y_strides)


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
        self.rolled = self.sums.is_long(places_of(plan), plan.depth)
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
            for panels, number, column in self.walk.panels(plan, columns):
                here = builder.pointer(w, builder.multiply(column, spec.w_strides[-1]), self.element)
                there = self._panel(group, number)
                extents = (*spec.kernel, spec.channels)
                self.packer.panel(panels, extents, spec.w_strides, here, there, plan.panel_stride)

    def _panel(self, group: Register, number: Register) -> Register:
        """Where a packed panel lies."""
        builder, plan = self.builder, self.plan
        slot = builder.add(number, builder.multiply(group, plan.column_block))
        return builder.pointer(
            self.scratch, builder.multiply(slot, plan.depth * plan.panel_stride), self.total
        )

    def _task(self, task: Register) -> None:
        builder, plan, spec = self.builder, self.plan, self.spec
        batch_axis, first_axis, *_ = plan.axes
        rest, band = divide(builder, task, first_axis.blocks)
        columns, block = divide(builder, rest, batch_axis.blocks)
        blocks = [band, *[index(0)] * (len(plan.axes) - 2)]
        for (element,) in self.walk.tiles([batch_axis], [block]):
            a = builder.pointer(self.x, builder.multiply(element.start, spec.x_strides[0]), self.element)
            first = index(0)
            if plan.band is not None:
                self._band(a, element, band)
                a, first = self.band, self.walk.first(first_axis, band)
            with counted(builder, index(0), index(spec.groups)) as group:
                channel = builder.multiply(group, spec.channels)
                here = builder.pointer(a, channel, ELEMENT[self.sums.a.dtype])
                for panels, number, column in self.walk.panels(plan, columns):
                    column = builder.add(column, builder.multiply(group, spec.outputs))
                    b = self._panel(group, number)
                    for sides in self.walk.tiles(plan.axes[1:], blocks):
                        if plan.band is not None and not spec.spread:
                            self._fetch_ahead((element, *sides), number)
                        self._tile((element, *sides), first, panels, column, here, b)

    def _band(self, x: Register, element: Side, band: Register) -> None:
        """Put the padded image of a tile of batch elements into scratch, the lines of this band."""
        builder, plan, spec = self.builder, self.plan, self.spec
        assert plan.band is not None
        extents = (element.run.rows, *plan.band[1:-1])
        if spec.spread:
            offset = builder.multiply(element.start, spec.x_strides[0])
            which = builder.pointer(builder.arguments[3], offset, "i8")
            sizes, channels = spec.spread, plan.band[-1]
            self.packer.spread(x, which, spec.image, sizes, extents, channels, spec.low, self.band)
            return
        first = builder.multiply(self.walk.first(plan.axes[1], band), spec.strides[0])
        starts = [builder.subtract(first, spec.low[0]), *(index(-low) for low in spec.low[1:])]
        image = (element.run.rows, *spec.image)
        self.packer.image(x, extents, plan.band[-1], image, spec.x_strides, starts, self.band)

    def _tile(
        self,
        sides: Sequence[Side],
        first: Register,
        panels: Panels,
        column: Register,
        a: Register,
        b: Register,
    ) -> None:
        """The sums of one tile, handed to the epilogue. `a`: pixel `first` of the first spatial axis."""
        builder, axes = self.builder, self.plan.axes
        places = [builder.subtract(sides[1].start, first), *(side.start for side in sides[2:])]
        for place, axis in zip(places, axes[1:]):
            a = builder.pointer(a, builder.multiply(place, axis.a), ELEMENT[self.sums.a.dtype])
        steps = [Step(step.extent, step.a, step.b) for step in self.plan.steps]
        if self.plan.skips_lines and sides[1].run.rows == 1:
            a, b, steps[0] = self._lines_inside(sides[1].start, a, b, steps[0])
        rows = distances(sides, [axis.c for axis in axes])
        corner = index(0), row_of(builder, sides, axes), column
        self.sums.fetch(rows, panels, corner)
        sums = self.sums.accumulate(distances(sides, [axis.a for axis in axes]), panels, a, b, steps)
        if not self.rolled:
            self.sums.finish(sums, rows, panels, corner)
            return
        self.sums.store(sums, len(rows), panels, self.rest)
        self.sums.finish_from(self.rest, rows, panels, corner)

    def _lines_inside(
        self, line: Register, a: Register, b: Register, step: Step
    ) -> tuple[Register, Register, Step]:
        """The taps of the first spatial axis that lie inside the image, seen from a line of pixels."""
        builder, spec = self.builder, self.spec
        every = spec.dilation[0]
        top = builder.subtract(index(spec.low[0]), builder.multiply(line, spec.strides[0]))

        def taps_above(row: Register) -> Register:
            distance = builder.intrinsic("smax", "i64", builder.add(row, every - 1), index(0))
            count, _ = divide(builder, distance, every)
            return builder.intrinsic("smin", "i64", count, index(spec.kernel[0]))

        first, last = taps_above(top), taps_above(builder.add(top, spec.image[0]))
        a = builder.pointer(a, builder.multiply(first, step.a), ELEMENT[self.sums.a.dtype])
        b = builder.pointer(b, builder.multiply(first, step.b), ELEMENT[self.sums.b.dtype])
        return a, b, Step(builder.subtract(last, first), step.a, step.b)

    def _fetch_ahead(self, sides: Sequence[Side], panel: Register) -> None:
        """Ask for what lies one band further in x than the pixels of a tile; panels share the cache lines.

        The copies to scratch then find their lines near, and nobody waits for memory.
        """
        builder, plan, spec = self.builder, self.plan, self.spec
        first_axis = plan.axes[1]
        ahead = spec.x_strides[0] * sides[0].run.rows
        if first_axis.blocks > 1:
            ahead = first_axis.longest * spec.strides[0] * spec.x_strides[1]
        steps = [step * stride for step, stride in zip((1, *spec.strides), spec.x_strides)]
        place = index(ahead)
        for side, step in zip(sides, steps):
            place = builder.add(place, builder.multiply(side.start, step))
        line = 64 // dtypes.itemsize(spec.dtype)
        place = builder.add(place, builder.multiply(panel, line))
        x = builder.pointer(self.x, place, self.element)
        *outer, last = sides
        length = last.run.rows * steps[-1]
        shares = max(run.count for run in plan.panels) if plan.column_blocks > 1 else plan.panel_count
        for start in distances(outer, steps[:-1]):
            for at in range(0, length, line * shares):
                builder.prefetch(builder.pointer(x, start + at, self.element), near=False)
