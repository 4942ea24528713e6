"""The gradient of a convolution's kernel."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil, prod

from lamina.backends.cpu.contract_plan import Panels, round_up, split_rows, sum_dtype
from lamina.backends.cpu.contract_sums import Corner, Epilogue, Step, Stored, TileSums
from lamina.backends.cpu.contract_walk import counted, divide, tasks
from lamina.backends.cpu.convolve_boxes import (
    BoxPlan,
    ConvolveSpec,
    RowAxis,
    StepAxis,
    best_tile,
    collapsed,
    wanted_tasks,
)
from lamina.backends.cpu.convolve_pack import Packer
from lamina.backends.cpu.convolve_walk import Side, Walk, distances, places_of, row_of
from lamina.backends.cpu.emit import ELEMENT, Builder, Register, constant, index
from lamina.backends.cpu.target import Target
from lamina.core import dtypes
from lamina.core.shapes import Shape, row_major_strides

MOST_PARTS = 16  # partial sums of a small kernel
BOUNDED_CHANNELS = 16  # from which a tile of one tap has rows enough
MOST_TASKS = 32  # each of them reads, and pads, all pixels of its part


@dataclass(frozen=True)
class FilterPlan(BoxPlan):
    """The gradient of w from x and y: rows are taps and channels, columns outputs; pixels are summed over.

    parts: how many partial sums, each over a share of the batch, are made; they are added up elsewhere.
    images, lines: pixels are taken in passes of so many images, or so many lines of one. Between passes the
    sums rest in scratch. bounded: every tile has one tap, and goes over the pixels whose tap lies in the
    image. band: extents of the part of the padded images that a pass touches; None where x is read where it
    lies. Where y is spread from pooled gradients, a pass does so in scratch.
    """

    parts: int
    images: int
    lines: int
    band: Shape | None
    bounded: bool

    @property
    def result_strides(self) -> tuple[int, int, int]:
        """Elements of the result per part, row and column."""
        spec = self.spec
        width = spec.outputs * spec.groups
        return prod(spec.kernel) * spec.channels * width, width, 1

    @property
    def tasks(self) -> int:
        """Numbered by part, then column block, then blocks of rows."""
        return self.parts * self.column_blocks * prod(axis.blocks for axis in self.axes)

    @property
    def part_images(self) -> int:
        """Batch elements of a part."""
        return self.spec.batch // self.parts

    @property
    def passes(self) -> int:
        """How many passes a part takes."""
        return ceil(self.part_images / self.images) * ceil(self.spec.output[0] / self.lines)

    @property
    def band_elements(self) -> int:
        """Elements of scratch for a band, in whole cache lines."""
        return 0 if self.band is None else round_up(prod(self.band), 64)

    @property
    def spread_elements(self) -> int:
        """Elements of scratch for the images of y that a pass spreads."""
        spec = self.spec
        count = self.images * prod(spec.output) * spec.outputs * spec.groups
        return round_up(count, 64) if spec.spread else 0

    @property
    def block_tiles(self) -> int:
        """Tiles of a task, for one group and one panel."""
        return prod(axis.block for axis in self.axes)

    @property
    def resting_elements(self) -> int:
        """Elements of scratch for the sums of a task."""
        tiles = self.block_tiles * self.column_block * self.spec.groups if self.passes > 1 else 1
        return tiles * self.tile_rows * self.panel_stride

    @property
    def scratch_bytes(self) -> int:
        elements = self.band_elements + self.spread_elements + self.resting_elements
        return round_up(elements * dtypes.itemsize(self.sum_dtype), 64)

    @property
    def reason(self) -> str:
        padded = ", padded in scratch" if self.band else ""
        passes = f", {self.passes} passes" if self.passes > 1 else ""
        parts = f" in {self.parts} parts" if self.parts > 1 else ""
        return f"{self.describe_boxes()}, {self.tasks} tasks{parts}{passes}{padded}"


def filter_parts(spec: ConvolveSpec) -> int:
    """Into how many shares of the batch the gradient of w is split.

    Each share reads its images once, and leaves a gradient of its own; so small kernels with many pixels are
    split, and large kernels are not.
    """
    wanted = min(wanted_tasks(spec.flops), MOST_PARTS)
    w = prod(spec.kernel) * spec.channels * spec.outputs * spec.groups
    pixels = spec.batch * (prod(spec.image) * spec.channels + prod(spec.output) * spec.outputs) * spec.groups
    most = min(wanted, spec.batch, max(1, pixels // (2 * w)))
    return max(count for count in range(1, most + 1) if spec.batch % count == 0)


def plan_direct_filter(spec: ConvolveSpec, target: Target, parts: int = 1) -> FilterPlan:
    """Decide how to multiply pixels by pixels, for `parts` partial sums, which divide the batch."""
    size = dtypes.itemsize(sum_dtype(spec.dtype))
    images, lines = _pass(spec, target, parts, size)
    band, x_strides = None, spec.x_strides
    bounded = spec.is_padded and spec.channels >= BOUNDED_CHANNELS
    if spec.is_padded and not bounded:
        first = (lines - 1) * spec.strides[0] + (spec.kernel[0] - 1) * spec.dilation[0] + 1
        band = (images, first, *spec.reach[1:], spec.channels * spec.groups)
        x_strides = row_major_strides(band)[:-1]
    c_rows = row_major_strides((*spec.kernel, spec.channels))
    extents = (*spec.kernel, spec.channels)
    places = [every * stride for every, stride in zip(spec.dilation, x_strides[1:])]
    joined = tuple(StepAxis(*axis) for axis in zip(extents, (*places, 1), c_rows))
    joined = joined if bounded else collapsed(joined)
    pixels = images, lines, *spec.output[1:]
    y_strides = spec.y_strides
    if spec.spread:
        y_strides = row_major_strides((*pixels, spec.outputs * spec.groups))[:-1]
    moves = [
        StepAxis(extent, step * a, b)
        for extent, step, a, b in zip(pixels, (1, *spec.strides), x_strides, y_strides)
    ]
    if bounded:
        steps = tuple(moves)
    else:
        steps = collapsed(moves) if lines == spec.output[0] else (moves[1], *collapsed(moves[2:]))
    inner = [spec.batch // parts * prod(spec.output[:-1]), spec.output[-1]]
    extents = tuple(axis.extent for axis in joined)
    sides, panels = best_tile(spec, target, extents, spec.outputs, inner)
    runs = [split_rows(extent, side) for extent, side in zip(extents, sides)]
    counts = [sum(run.count for run in axis) for axis in runs]
    panel_count = sum(run.count for run in panels)
    stride = max(len(run.pieces) for run in panels) * target.lanes(sum_dtype(spec.dtype))
    tile_bytes = prod(max(run.rows for run in axis) for axis in runs) * stride * size * spec.groups
    wanted = ceil(min(wanted_tasks(spec.flops), MOST_TASKS) / parts) if parts < MOST_PARTS else 1
    blocks, column_block = _divide(counts, panel_count, wanted, target.caches.l2 // 2 // tile_bytes)
    axes = tuple(
        RowAxis(axis.extent, axis.a, axis.b, run, block) for axis, run, block in zip(joined, runs, blocks)
    )
    return FilterPlan(spec, target, axes, steps, panels, column_block, parts, images, lines, band, bounded)


def _pass(spec: ConvolveSpec, target: Target, parts: int, size: int) -> tuple[int, int]:
    """(images, lines) of a pass: what of x and y stays in the second cache, beside the sums."""
    room = target.caches.l2 * 3 // 8
    x = spec.reach[0] * prod(spec.reach[1:]) * spec.channels * spec.groups
    y = prod(spec.output) * spec.outputs * spec.groups
    images = spec.batch // parts
    fitting = room // max(size * (x + y), 1)
    if fitting >= 1 or spec.output[0] == 1 or spec.spread:
        return max(count for count in range(1, max(fitting, 1) + 1) if images % count == 0), spec.output[0]
    lines = max(1, spec.output[0] * room // (size * (x + y)))
    return 1, ceil(spec.output[0] / ceil(spec.output[0] / lines))


def _divide(counts: Sequence[int], panels: int, wanted: int, room: int) -> tuple[list[int], int]:
    """Tiles of a task along each axis of rows, and its panels: `wanted` tasks of at most `room` tiles."""
    blocks, column_block = list(counts), panels
    for axis in range(len(blocks)):
        tasks = prod(ceil(count / block) for count, block in zip(counts, blocks))
        while blocks[axis] > 1 and (tasks < wanted or prod(blocks) * column_block > room):
            parts = ceil(counts[axis] / blocks[axis]) + 1
            blocks[axis] = min(ceil(counts[axis] / parts), blocks[axis] - 1)
            tasks = prod(ceil(count / block) for count, block in zip(counts, blocks))
    tasks = prod(ceil(count / block) for count, block in zip(counts, blocks))
    while column_block > 1 and tasks * ceil(panels / column_block) < wanted:
        column_block = ceil(column_block / 2)
    return blocks, column_block


class FilterKernel:
    """Emits the gradient of w from x and y."""

    def __init__(self, builder: Builder, plan: FilterPlan, epilogue: Epilogue) -> None:
        self.builder = builder
        self.plan = plan
        self.spec: ConvolveSpec = plan.spec
        self.x, self.y = builder.arguments[:2]
        self.scratch, self.begin, self.end = builder.arguments[-3:]
        self.element, self.total = ELEMENT[plan.spec.dtype], ELEMENT[plan.sum_dtype]
        a = Stored(plan.sum_dtype if plan.band else plan.spec.dtype)
        b = Stored(plan.sum_dtype if plan.spec.spread else plan.spec.dtype)
        self.sums = TileSums(builder, plan.target, a, b, plan.panel_stride, epilogue)
        self.rolled = self.sums.is_long(places_of(plan), plan.depth)
        self.walk = Walk(builder)
        self.packer = Packer(builder, plan.target, plan.spec.dtype)
        self.spread = builder.pointer(self.scratch, plan.band_elements, self.total)
        self.rest = builder.pointer(self.spread, plan.spread_elements, self.total)

    def emit(self) -> None:
        builder, plan, height = self.builder, self.plan, self.spec.output[0]
        with tasks(builder, self.begin, self.end, plan.tasks) as task:
            rest, blocks = task, []
            for axis in reversed(plan.axes):
                rest, block = divide(builder, rest, axis.blocks)
                blocks.append(block)
            part, columns = divide(builder, rest, plan.column_blocks)
            block_of = Blocks(part, columns, tuple(reversed(blocks)))
            first = builder.multiply(part, plan.part_images)
            if plan.passes == 1:
                self._pass(block_of, first, index(0), index(height))
            else:
                self._passes(block_of, first)

    def _passes(self, block: Blocks, first: Register) -> None:
        """All passes of a task, between which the sums rest in scratch."""
        builder, plan, height = self.builder, self.plan, self.spec.output[0]
        self._clear()
        with (
            builder.loop(0, plan.part_images, plan.images) as images,
            builder.loop(0, height, plan.lines) as lines,
        ):
            count = index(plan.lines)
            if height % plan.lines:
                left = builder.subtract(index(height), lines.index)
                count = builder.intrinsic("smin", "i64", left, count)
            self._pass(block, builder.add(first, images.index), lines.index, count)
        for tile in self._tiles(block):
            rows, corner = self._rows(tile, block.part)
            self.sums.finish_from(self._slot(tile, block), rows, tile.panels, corner)

    def _clear(self) -> None:
        """Zeros as the sums before the first pass."""
        builder, lanes = self.builder, self.plan.lanes
        zeros = constant(0, self.total, lanes)
        with builder.loop(0, self.plan.resting_elements, lanes) as loop:
            address = builder.pointer(self.rest, loop.index, self.total)
            builder.store(zeros, address, align=self.plan.target.vector_bytes)

    def _tiles(self, block: Blocks) -> Iterator[FilterTile]:
        """Each kind of tile of a task, inside its loops."""
        with counted(self.builder, index(0), index(self.spec.groups)) as group:
            for panels, number, column in self.walk.panels(self.plan, block.columns):
                column = self.builder.add(column, self.builder.multiply(group, self.spec.outputs))
                for sides in self.walk.tiles(self.plan.axes, block.rows):
                    yield FilterTile(group, panels, number, column, sides)

    def _pass(self, block: Blocks, image: Register, line: Register, lines: Register) -> None:
        """Add some images, or some lines of one, to all sums of a task; the only pass also finishes them."""
        builder, plan, spec = self.builder, self.plan, self.spec
        a = builder.pointer(self.x, builder.multiply(image, spec.x_strides[0]), self.element)
        b = builder.pointer(self.y, builder.multiply(image, spec.y_strides[0]), self.element)
        if not plan.bounded:
            b = builder.pointer(b, builder.multiply(line, spec.y_strides[1]), self.element)
        if spec.spread:
            offset = builder.multiply(image, spec.y_strides[0])
            which = builder.pointer(builder.arguments[3], offset, "i8")
            extents, channels = (plan.images, *spec.output), spec.outputs * spec.groups
            low = (0,) * len(spec.output)
            self.packer.spread(b, which, spec.output, spec.spread, extents, channels, low, self.spread)
            b = self.spread
        top = builder.multiply(line, spec.strides[0])
        if plan.band is not None:
            starts = [builder.subtract(top, spec.low[0]), *(index(-low) for low in spec.low[1:])]
            extents, whole = plan.band[:-1], (plan.images, *spec.image)
            self.packer.image(a, extents, plan.band[-1], whole, spec.x_strides, starts, self.scratch)
            a = self.scratch
        elif not plan.bounded:
            a = builder.pointer(a, builder.multiply(top, spec.x_strides[1]), self.element)
        steps = [Step(step.extent, step.a, step.b) for step in plan.steps]
        if plan.lines < spec.output[0] and not plan.bounded:
            steps[0] = Step(lines, steps[0].a, steps[0].b)
        for tile in self._tiles(block):
            here = builder.pointer(a, builder.multiply(tile.group, spec.channels), ELEMENT[self.sums.a.dtype])
            for side, axis in zip(tile.sides, plan.axes):
                here = builder.pointer(here, builder.multiply(side.start, axis.a), ELEMENT[self.sums.a.dtype])
            there = builder.pointer(b, tile.column, ELEMENT[self.sums.b.dtype])
            if plan.bounded:
                here, there, steps = self._bounded(tile, here, there, line, lines)
            self._tile(tile, block, here, there, steps)

    def _bounded(
        self, tile: FilterTile, a: Register, b: Register, line: Register, lines: Register
    ) -> tuple[Register, Register, list[Step]]:
        """The pixels of some lines whose tap, that of the tile, lies in the image: the first one, the steps.

        a: where the tap of pixel 0 would lie, but for the zeros before the image.
        """
        builder, spec = self.builder, self.spec
        images, *axes = self.plan.steps
        steps = [Step(images.extent, images.a, images.b)]
        for number, axis in enumerate(axes):
            stride, low = spec.strides[number], spec.low[number]
            before = builder.subtract(
                index(low), builder.multiply(tile.sides[number].start, spec.dilation[number])
            )
            first = self._pixels(before, stride)
            last = self._pixels(builder.add(before, spec.image[number]), stride)
            end = index(spec.output[number])
            if number == 0:
                first = builder.intrinsic("smax", "i64", first, line)
                end = builder.add(line, lines)
            last = builder.intrinsic("smin", "i64", last, end)
            a = builder.pointer(a, builder.multiply(first, axis.a), ELEMENT[self.sums.a.dtype])
            a = builder.pointer(a, -low * spec.x_strides[1 + number], ELEMENT[self.sums.a.dtype])
            b = builder.pointer(b, builder.multiply(first, axis.b), ELEMENT[self.sums.b.dtype])
            steps.append(Step(builder.subtract(last, first), axis.a, axis.b))
        return a, b, steps

    def _pixels(self, distance: Register, stride: int) -> Register:
        """The first pixel that is at least so far along an axis, from 0 on."""
        builder = self.builder
        reached = builder.intrinsic("smax", "i64", distance, index(0))
        if stride == 1:
            return reached
        return builder.op("udiv", builder.add(reached, stride - 1), index(stride))

    def _tile(self, tile: FilterTile, block: Blocks, a: Register, b: Register, steps: Sequence[Step]) -> None:
        plan, sums = self.plan, self.sums
        taps = distances(tile.sides, [axis.a for axis in plan.axes])
        if plan.passes > 1:
            slot = self._slot(tile, block)
            before = sums.load(len(taps), tile.panels, slot)
            sums.store(sums.accumulate(taps, tile.panels, a, b, steps, before), len(taps), tile.panels, slot)
            return
        found = sums.accumulate(taps, tile.panels, a, b, steps)
        rows, corner = self._rows(tile, block.part)
        if not self.rolled:
            sums.finish(found, rows, tile.panels, corner)
            return
        sums.store(found, len(rows), tile.panels, self.rest)
        sums.finish_from(self.rest, rows, tile.panels, corner)

    def _rows(self, tile: FilterTile, part: Register) -> tuple[list[int], Corner]:
        """Rows of the result from the first one of a tile, and where that is."""
        axes = self.plan.axes
        rows = distances(tile.sides, [axis.c for axis in axes])
        return rows, (part, row_of(self.builder, tile.sides, axes), tile.column)

    def _slot(self, tile: FilterTile, block: Blocks) -> Register:
        """Where the sums of a tile rest between passes."""
        builder, plan = self.builder, self.plan
        slot = builder.add(builder.multiply(tile.group, plan.column_block), tile.number)
        for side, axis, number in zip(tile.sides, plan.axes, block.rows):
            local = builder.subtract(side.number, builder.multiply(number, axis.block))
            slot = builder.add(builder.multiply(slot, axis.block), local)
        return builder.pointer(
            self.rest, builder.multiply(slot, plan.tile_rows * plan.panel_stride), self.total
        )


@dataclass(frozen=True)
class Blocks:
    """Which part, which block of columns, and which block of each axis of rows a task is."""

    part: Register
    columns: Register
    rows: tuple[Register, ...]


@dataclass(frozen=True)
class FilterTile:
    """A tile of the gradient of w: its group, its panel with the number in its block, its first column."""

    group: Register
    panels: Panels
    number: Register
    column: Register
    sides: tuple[Side, ...]
