"""Which boxes, which bands, which tasks: all that is decided about a convolution before emitting it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from math import ceil, prod

from lamina.backends.cpu.contract_plan import (
    MOST_TASKS,
    TASK_FLOPS,
    Panels,
    Tiles,
    cycles_of_step,
    round_up,
    split_columns,
    split_rows,
    sum_dtype,
    tile_shapes,
)
from lamina.backends.cpu.target import Target
from lamina.core import dtypes
from lamina.core.shapes import Shape, row_major_strides

TILE_CYCLES = 25.0  # of starting a tile, and for each of its sums what the epilogue takes at least
SUM_CYCLES = 2.0
LOOP_CYCLES = 6.0  # of coming to the end of an inner loop


@dataclass(frozen=True)
class ConvolveSpec:
    """The geometry of a convolution, and where its three tensors lie.

        y[n, *i, g, o] = sum over taps t, channels c of
            x[n, *(i * strides + t * dilation - low), g, c] * w[*t, g, c, o]

    x is 0 outside its `image`. Strides count elements: x_strides along (n, *image), y_strides along
    (n, *output), w_strides along (*kernel, c, o); channels of x and y are neighbours, groups follow each
    other there, and in w they are `w_group` apart. channels and outputs count those of one group.
    """

    batch: int
    image: Shape
    channels: int
    kernel: Shape
    outputs: int
    groups: int
    strides: Shape
    low: tuple[int, ...]
    dilation: Shape
    output: Shape
    x_strides: tuple[int, ...]
    w_strides: tuple[int, ...]
    w_group: int
    y_strides: tuple[int, ...]
    dtype: str = "float32"

    @staticmethod
    def contiguous(
        batch: int, image: Shape, channels: int, kernel: Shape, outputs: int, strides: Shape = (),
        padding: Sequence[tuple[int, int]] = (), dilation: Shape = (), groups: int = 1, dtype: str = "float32",
    ) -> ConvolveSpec:  # fmt: skip
        """All three tensors dense; channels and outputs count those of all groups."""
        ones = (1,) * len(image)
        strides, dilation = strides or ones, dilation or ones
        padding = padding or [(0, 0)] * len(image)
        output = tuple(
            (extent + sum(zeros) - (taps - 1) * every - 1) // step + 1
            for extent, zeros, taps, every, step in zip(image, padding, kernel, dilation, strides)
        )
        return ConvolveSpec(
            batch, image, channels // groups, kernel, outputs // groups, groups, strides,
            tuple(low for low, _ in padding), dilation, output,
            row_major_strides((batch, *image, channels))[:-1],
            row_major_strides((*kernel, channels // groups, outputs)), outputs // groups,
            row_major_strides((batch, *output, outputs))[:-1], dtype,
        )  # fmt: skip

    @property
    def reach(self) -> Shape:
        """Extents of the part of the padded image that the taps touch."""
        return tuple(
            (extent - 1) * step + (taps - 1) * every + 1
            for extent, step, taps, every in zip(self.output, self.strides, self.kernel, self.dilation)
        )

    @property
    def is_padded(self) -> bool:
        """Whether taps fall outside the image."""
        return any(
            low != 0 or reach - low > extent for low, reach, extent in zip(self.low, self.reach, self.image)
        )

    @property
    def flops(self) -> int:
        pixels = self.batch * prod(self.output)
        return 2 * pixels * prod(self.kernel) * self.channels * self.outputs * self.groups

    @property
    def bytes(self) -> int:
        """Of the three tensors, each counted once."""
        x = self.batch * prod(self.image) * self.channels * self.groups
        y = self.batch * prod(self.output) * self.outputs * self.groups
        w = prod(self.kernel) * self.channels * self.outputs * self.groups
        return (x + y + w) * dtypes.itemsize(self.dtype)


@dataclass(frozen=True)
class RowAxis:
    """One axis of the rows of C: elements of A and rows of C per step; how it is cut into sides of tiles.

    A task takes `block` tiles along the axis.
    """

    extent: int
    a: int
    c: int
    runs: tuple[Tiles, ...]
    block: int

    @property
    def count(self) -> int:
        return sum(run.count for run in self.runs)

    @property
    def blocks(self) -> int:
        return ceil(self.count / self.block)

    @property
    def longest(self) -> int:
        """The most that a block covers."""
        return min(self.block * max(run.rows for run in self.runs), self.extent)


@dataclass(frozen=True)
class StepAxis:
    """One axis that is summed over: its extent, elements of A and B per step."""

    extent: int
    a: int
    b: int


@dataclass(frozen=True)
class BoxPlan:
    """Sums for a box of rows by panels of columns, in tiles that are boxes themselves."""

    spec: ConvolveSpec
    target: Target
    axes: tuple[RowAxis, ...]
    steps: tuple[StepAxis, ...]
    panels: tuple[Panels, ...]
    column_block: int

    @cached_property
    def sum_dtype(self) -> str:
        return sum_dtype(self.spec.dtype)

    @cached_property
    def lanes(self) -> int:
        return self.target.lanes(self.sum_dtype)

    @property
    def flops(self) -> int:
        return self.spec.flops

    @property
    def bytes(self) -> int:
        return self.spec.bytes

    @property
    def depth(self) -> int:
        """Products of a sum."""
        return prod(step.extent for step in self.steps)

    @cached_property
    def panel_count(self) -> int:
        return sum(panels.count for panels in self.panels)

    @cached_property
    def column_blocks(self) -> int:
        return ceil(self.panel_count / self.column_block)

    @cached_property
    def panel_stride(self) -> int:
        """Elements of a panel's rows, in whole vectors."""
        return max(
            sum(round_up(piece.lanes, self.lanes) for piece in panels.pieces) for panels in self.panels
        )

    @cached_property
    def tile_rows(self) -> int:
        """Rows of the largest tile."""
        return prod(max(run.rows for run in axis.runs) for axis in self.axes)

    def boxes(self) -> Iterator[tuple[Tiles, ...]]:
        """The different tiles, as one run for every axis."""
        return product(*(axis.runs for axis in self.axes))

    def describe_boxes(self) -> str:
        sides = ("x".join(str(run.rows) for run in box) for box in self.boxes())
        widths = "+".join(f"{panels.count}x{len(panels.pieces)}" for panels in self.panels)
        return f"tiles {', '.join(sides)} by {widths} vectors"


# --- tiles -----------------------------------------------------------------------------------------


def sides_of(extents: Sequence[int], rows: int) -> tuple[int, ...]:
    """The sides of a tile of at most `rows`: innermost axes whole, one in equal parts, outer ones 1."""
    sides: list[int] = []
    room = rows
    for extent in reversed(extents):
        side = ceil(extent / ceil(extent / room)) if extent else 1
        sides.append(side)
        room = room // side if side == extent else 1
    return tuple(reversed(sides))


def tile_cost(
    target: Target, dtype: str, boxes: Sequence[tuple[int, int]], panels: Sequence[Panels],
    depth: int, inner: int, far: bool,
) -> float:  # fmt: skip
    """Estimated cycles. boxes: (rows, number) of tiles. inner: steps of the innermost loop."""
    cycles, bodies = 0.0, len(boxes) * len(panels)
    for rows, count in boxes:
        for run in panels:
            width = len(run.pieces)
            lines = width * target.vector_bytes / 64 if far else 0.0
            step = cycles_of_step(rows, width, target, lines)
            sums = rows * width
            tile = depth * step + ceil(depth / inner) * LOOP_CYCLES + SUM_CYCLES * sums + TILE_CYCLES
            cycles += count * run.count * tile
    return cycles * (1 + 0.02 * (bodies - 1)) + 300 * (bodies - 1)


def best_tile(
    spec: ConvolveSpec, target: Target, extents: Sequence[int], columns: int, steps: Sequence[int]
) -> tuple[tuple[int, ...], tuple[Panels, ...]]:
    """The sides and panels that should take the least time."""
    dtype = sum_dtype(spec.dtype)
    depth, inner = prod(steps), max(1, steps[-1])
    best: tuple[float, tuple[int, ...], tuple[Panels, ...]] | None = None
    for rows, vectors in tile_shapes(target):
        sides = sides_of(extents, rows)
        runs = [split_rows(extent, side) for extent, side in zip(extents, sides)]
        boxes = [(prod(run.rows for run in box), prod(run.count for run in box)) for box in product(*runs)]
        panels = split_columns(columns, vectors, target, dtype)
        width = max(len(run.pieces) for run in panels) * target.vector_bytes
        cost = tile_cost(
            target, dtype, boxes, panels, depth, inner, depth * width > target.caches.l1 * 5 // 8
        )
        if best is None or cost < best[0]:
            best = cost, sides, panels
    assert best is not None
    return best[1], best[2]


def collapsed(steps: Sequence[StepAxis]) -> tuple[StepAxis, ...]:
    """Neighbouring axes that are walked as one, made one; axes of one step dropped."""
    result: list[StepAxis] = []
    for axis in steps:
        if axis.extent == 1 and result:
            continue
        if result and result[-1].extent == 1:
            result.pop()
        if result and result[-1].a == axis.a * axis.extent and result[-1].b == axis.b * axis.extent:
            result[-1] = StepAxis(result[-1].extent * axis.extent, axis.a, axis.b)
        else:
            result.append(axis)
    return tuple(result)


def wanted_tasks(flops: int) -> int:
    """Enough for many threads, none below about ten microseconds."""
    return max(1, min(flops // TASK_FLOPS, MOST_TASKS))


# --- outputs ---------------------------------------------------------------------------------------


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
    wanted = ceil(wanted_tasks(spec.flops) / ceil(panel_count / column_block))
    blocks[0] = max(1, counts[0] // wanted)
    bands = ceil(wanted / ceil(counts[0] / blocks[0]))
    channels = spec.channels * spec.groups
    rest = prod(spec.reach[1:]) * channels
    if spec.is_padded:  # a band has to fit in the second cache, too
        whole = sides[0] * spec.reach[0] * rest * size
        bands = max(bands, ceil(whole / (target.caches.l2 // 2)))
    blocks[1] = max(1, ceil(counts[1] / bands))
    band, strides = None, spec.x_strides
    if spec.is_padded:
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
