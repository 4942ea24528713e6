"""The geometry of convolutions, and the boxes of rows in which their sums are made."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product
from math import ceil, prod

from lamina.backends.cpu.contract_plan import (
    FEW_TASKS,
    MOST_TASKS,
    SMALL_TASK_FLOPS,
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

    spread: not () if the gradient that is read - as x of a `turned` convolution, as y by the gradient of w -
    is that of a pooling with windows of these sizes, side by side. In memory are then, dense, the gradients
    of the maxima, and for each the position of its maximum in the window.
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
    spread: Shape = ()

    @staticmethod
    def contiguous(
        batch: int, image: Shape, channels: int, kernel: Shape, outputs: int, strides: Shape = (),
        padding: Sequence[tuple[int, int]] = (), dilation: Shape = (), groups: int = 1,
        dtype: str = "float32"
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
    def turned(self) -> tuple[ConvolveSpec, int]:
        """The gradient of x as a convolution of y, for strides of 1; and where its kernel starts in w.

        The kernel is the same one read backwards, with channels and outputs exchanged.
        """
        assert set(self.strides) <= {1}
        spec = replace(
            self, image=self.output, channels=self.outputs, outputs=self.channels, output=self.image,
            low=tuple(
                (taps - 1) * every - low for taps, every, low in zip(self.kernel, self.dilation, self.low)
            ),
            x_strides=self.y_strides, y_strides=self.x_strides, w_group=self.outputs * self.w_strides[-1],
            w_strides=(*(-stride for stride in self.w_strides[:-2]), self.w_strides[-1], self.w_strides[-2]),
        )  # fmt: skip
        return spec, sum((taps - 1) * stride for taps, stride in zip(self.kernel, self.w_strides))

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


def few_tasks(flops: int) -> int:
    """A few smaller ones, so that even one image is shared by threads that are running already."""
    return max(wanted_tasks(flops), min(flops // SMALL_TASK_FLOPS, FEW_TASKS))
