"""Products with long sums: k is cut into blocks, so that what is read again stays in the first cache.

The gradient of a recurrent layer's weights is the example: 128 x 512 results, each a sum over 2560 rows. A
task takes a panel of columns. For one block of k after the other it copies that part of the panel to
scratch, and adds its products to the sums of all tiles below each other, which rest in scratch in between.
Meanwhile the next part, whose rows lie far apart, is on its way to the second cache.
Terms are added in the same order as without blocks, so the results have the same bits.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import ceil

from lamina.backends.cpu.contract_kernel import TileKernel
from lamina.backends.cpu.contract_plan import (
    COPY,
    DIRECT,
    ContractSpec,
    Panels,
    TilePlan,
    Tiles,
    best_shape,
    round_up,
    source_of,
    split_columns,
    split_rows,
    sum_dtype,
)
from lamina.backends.cpu.contract_sums import Corner, Step, load_operand, piece_mask
from lamina.backends.cpu.contract_walk import counted, runs_in_block, start_of, tasks
from lamina.backends.cpu.emit import Register, constant, index
from lamina.backends.cpu.target import Target
from lamina.core import dtypes

DEPTH = 256  # steps of k in a block: their part of a panel of two vectors is 32 KB at most
LEAST_DEPTH = 4 * DEPTH
LEAST_TILES = 4  # below each other: each part of a panel is copied once and read by so many
TASKS = 8  # wanted; more would copy the same panels more often


@dataclass(frozen=True)
class DeepPlan(TilePlan):
    """A product in tiles whose sums are made block by block, `depth` steps of k in each.

    A task is `row_block` tiles of one panel.
    """

    depth: int = DEPTH

    @property
    def packed_elements(self) -> int:
        """Elements of scratch for a block of a panel, a multiple of a cache line."""
        return self.depth * self.panel_stride

    @property
    def task_rows(self) -> int:
        """Rows of a task, or more."""
        return self.row_block * self.tiles[0].rows

    @property
    def scratch_bytes(self) -> int:
        elements = self.packed_elements + self.task_rows * self.panel_stride
        return round_up(elements * dtypes.itemsize(self.sum_dtype), 64)

    @property
    def reason(self) -> str:
        return f"{super().reason}, {ceil(self.spec.k / self.depth)} blocks of k"


def plan_deep(spec: ContractSpec, target: Target) -> DeepPlan | None:
    """The plan for a product with long sums; None where a panel of B does not take much of the caches."""
    if sum_dtype(spec.dtype) != spec.dtype or 0 in (spec.m, spec.n):
        return None
    rows, vectors = best_shape(replace(spec, k=min(spec.k, DEPTH)), target)
    tiles, panels = split_rows(spec.m, rows), split_columns(spec.n, vectors, target, spec.dtype)
    tile_count, panel_count = sum(run.count for run in tiles), sum(run.count for run in panels)
    width = vectors * target.vector_bytes
    caches = target.caches
    is_deep = spec.k >= LEAST_DEPTH and spec.k * width > caches.l1 and spec.m * width <= caches.l2 // 4
    if not is_deep or tile_count < LEAST_TILES or source_of(spec, target, tile_count) != DIRECT:
        return None
    row_blocks = max(1, min(TASKS // (panel_count * spec.batch), tile_count // LEAST_TILES))
    depth = ceil(spec.k / ceil(spec.k / DEPTH))
    return DeepPlan(spec, target, tiles, panels, COPY, ceil(tile_count / row_blocks), 1, depth=depth)


@dataclass(frozen=True)
class Block:
    """`count` steps of k from `start`."""

    start: Register
    count: Register


class DeepKernel(TileKernel):
    """Emits a product with blocks of k."""

    plan: DeepPlan

    def emit(self) -> None:
        builder, plan = self.builder, self.plan
        with tasks(builder, self.begin, self.end, plan.tasks) as task:
            batch, columns, rows = self._decode(task)
            for panels, left, right in runs_in_block(builder, plan.panels, columns, 1, plan.column_blocks):
                with counted(builder, left, right) as number:
                    self._panel(panels, (batch, rows, start_of(builder, number, panels)))

    def _panel(self, panel: Panels, task: Corner) -> None:
        """A task: all blocks of k, and then what follows the sums."""
        builder, plan = self.builder, self.plan
        self._clear()
        with builder.loop(0, plan.spec.k, plan.depth) as loop:
            count: Register = index(plan.depth)
            if plan.spec.k % plan.depth:
                left = builder.subtract(index(plan.spec.k), loop.index)
                count = builder.intrinsic("smin", "i64", count, left)
            self._block(panel, task, Block(loop.index, count))
        batch, rows, column = task
        for tiles, row, here in self._tiles_of(rows):
            self.sums.finish_from(here, range(tiles.rows), panel, (batch, row, column))

    def _clear(self) -> None:
        builder, plan = self.builder, self.plan
        sums = builder.pointer(self.scratch, plan.packed_elements, self.total)
        with builder.loop(0, plan.task_rows * plan.panel_stride, plan.lanes) as loop:
            zero = constant(0, self.total, plan.lanes)
            builder.store(
                zero,
                builder.pointer(sums, loop.index, self.total),
                align=plan.lanes * dtypes.itemsize(plan.sum_dtype),
            )

    def _block(self, panel: Panels, task: Corner, block: Block) -> None:
        """Add the products of a block of k to the sums of all tiles of a task."""
        builder, plan, spec = self.builder, self.plan, self.plan.spec
        batch, rows, _ = task
        self._copy(panel, task, block)
        offset = builder.multiply(batch, spec.a_strides[0])
        offset = builder.add(offset, builder.multiply(block.start, spec.a_strides[2]))
        a = builder.pointer(self.a, offset, self.element)
        steps = [Step(block.count, spec.a_strides[2], plan.panel_stride)]
        for tiles, row, here in self._tiles_of(rows):
            self._fetch(panel, task, block, row)
            top = builder.pointer(a, builder.multiply(row, spec.a_strides[1]), self.element)
            distances = [number * spec.a_strides[1] for number in range(tiles.rows)]
            sums = self.sums.load(tiles.rows, panel, here)
            sums = self.sums.accumulate(distances, panel, top, self.scratch, steps, sums)
            self.sums.store(sums, tiles.rows, panel, here)

    def _fetch(self, panel: Panels, task: Corner, block: Block, row: Register) -> None:
        """Ask for a part of the panel's next block, for each tile another one; what follows does not wait."""
        builder, plan, strides = self.builder, self.plan, self.plan.spec.b_strides
        batch, rows, column = task
        lines = ceil(plan.depth / plan.task_rows)
        done = builder.subtract(row, builder.multiply(rows, plan.task_rows))
        number = builder.add(builder.multiply(done, lines), builder.add(block.start, plan.depth))
        offset = builder.add(builder.multiply(batch, strides[0]), column)
        offset = builder.add(offset, builder.multiply(number, strides[1]))
        b = builder.pointer(self.b, offset, self.element)
        with builder.loop(0, lines * plan.tiles[0].rows, 1, [b]) as loop:
            (here,) = loop.carried
            for piece in panel.pieces:
                builder.prefetch(builder.pointer(here, piece.offset, self.element), near=False)
            loop.next = [builder.pointer(here, strides[1], self.element)]

    def _copy(self, panel: Panels, task: Corner, block: Block) -> None:
        """Copy the block's part of a panel to scratch."""
        builder, plan, strides = self.builder, self.plan, self.plan.spec.b_strides
        batch, _, column = task
        offset = builder.add(builder.multiply(batch, strides[0]), column)
        offset = builder.add(offset, builder.multiply(block.start, strides[1]))
        b = builder.pointer(self.b, offset, self.element)
        with builder.loop(0, block.count, 1, [b, self.scratch]) as loop:
            here, there = loop.carried
            for number, piece in enumerate(panel.pieces):
                source = builder.pointer(here, piece.offset, self.element)
                value = load_operand(
                    builder, plan.target, plan.spec.dtype, piece.lanes, source, piece_mask(piece)
                )
                place = builder.pointer(there, self.sums.packed_offset(panel.pieces, number), self.total)
                builder.store(value, place, align=self.sums.alignment(piece))
            loop.next = [
                builder.pointer(here, strides[1], self.element),
                builder.pointer(there, plan.panel_stride, self.total),
            ]

    def _tiles_of(self, block: Register) -> Iterator[tuple[Tiles, Register, Register]]:
        """Each run of tiles of a row block, in a loop over them: its first row, and where its sums rest."""
        builder, plan = self.builder, self.plan
        first = builder.multiply(block, plan.row_block)
        for tiles, top, bottom in runs_in_block(builder, plan.tiles, block, plan.row_block, plan.row_blocks):
            with counted(builder, top, bottom) as tile:
                rows = builder.multiply(builder.subtract(tile, first), plan.tiles[0].rows)
                offset = builder.add(builder.multiply(rows, plan.panel_stride), plan.packed_elements)
                here = builder.pointer(self.scratch, offset, self.total)
                yield tiles, start_of(builder, tile, tiles), here
