"""The gradient of a 3 x 3 kernel by Winograd's method: which tasks, which passes, and whether it pays.

    dw = G^T (sum over tiles (B^T d B) * (A dy A^T)) G      * element by element, see `winograd`

A tile is 2 x 2 pixels of y and the 4 x 4 pixels of x that these see. For each of the 16 places in a
transformed tile, the sum over tiles is a matrix product, channels by outputs: 16 products do what 36 do
otherwise. A task owns a block of channels by a block of outputs and goes over its images in passes, whose
transformed tiles stay in the second cache; the sums rest in scratch in between.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from math import ceil, prod

from lamina.backends.cpu.contract_plan import (
    ContractSpec,
    Panels,
    Piece,
    Tiles,
    best_shape,
    cycles_of_step,
    pieces_of,
    round_up,
    split_columns,
    split_rows,
)
from lamina.backends.cpu.convolve_boxes import ConvolveSpec, tile_cost, wanted_tasks
from lamina.backends.cpu.convolve_filter import FilterPlan
from lamina.backends.cpu.target import Target
from lamina.backends.cpu.winograd import INPUTS, OUTPUTS, TAPS
from lamina.core import dtypes
from lamina.core.shapes import Shape, row_major_strides

PLACES = INPUTS * INPUTS  # of a transformed tile
FEW_TILES = 16  # of a pass: fewer are not worth fetching the sums for
WANTED_TASKS = 16
MOST_BLOCKS = 8  # along channels, and along outputs

# Estimated cycles of starting a tile of sums; for each vector of making the 16 values of a transformed tile,
# and more where these do not stay in the first cache; of reading a cache line of pixels, and of copying it;
# of turning 16 vectors of sums into 9 of results.
START_CYCLES = 10.0
TRANSFORM_CYCLES = 20.0
FAR_CYCLES = 50.0
READ_CYCLES = 4.0
COPY_CYCLES = 3.0
FINISH_CYCLES = 90.0


@dataclass(frozen=True)
class WinogradFilterPlan:
    """The gradient of w from x and y, in `parts` partial sums, each over a share of the batch.

    row_blocks, column_blocks: into how many blocks channels and outputs are divided, for tasks to own one of
    each. images, lines: a pass takes so many images, or so many lines of tiles of one image.
    """

    spec: ConvolveSpec
    target: Target
    parts: int
    row_blocks: int
    column_blocks: int
    images: int
    lines: int

    @property
    def sum_dtype(self) -> str:
        return self.spec.dtype

    @property
    def flops(self) -> int:
        """Of the direct product."""
        return self.spec.flops

    @property
    def bytes(self) -> int:
        return self.spec.bytes

    @cached_property
    def lanes(self) -> int:
        return self.target.lanes(self.sum_dtype)

    @property
    def result_strides(self) -> tuple[int, int, int]:
        """Elements of the result per part, row and column."""
        spec = self.spec
        return prod(spec.kernel) * spec.channels * spec.outputs, spec.outputs, 1

    @property
    def part_images(self) -> int:
        """Batch elements of a part."""
        return self.spec.batch // self.parts

    @property
    def tasks(self) -> int:
        """Numbered by part, then block of outputs, then block of channels."""
        return self.parts * self.column_blocks * self.row_blocks

    @cached_property
    def grid(self) -> Shape:
        """Lines of tiles of an image, and tiles of a line."""
        height, width = (ceil(extent / OUTPUTS) for extent in self.spec.output)
        return height, width

    @property
    def passes(self) -> int:
        """How many passes a part takes."""
        return self.part_images // self.images * ceil(self.grid[0] / self.lines)

    @property
    def pass_tiles(self) -> int:
        """The most tiles of a pass."""
        return self.images * self.lines * self.grid[1]

    # -- the products --------------------------------------------------------------------------

    @property
    def channels(self) -> int:
        """Of a task."""
        return self.spec.channels // self.row_blocks

    @property
    def outputs(self) -> int:
        """Of a task."""
        return self.spec.outputs // self.column_blocks

    @cached_property
    def channel_pieces(self) -> list[Piece]:
        return pieces_of(self.channels, self.lanes, self.target.has_masks)

    @cached_property
    def output_pieces(self) -> list[Piece]:
        return pieces_of(self.outputs, self.lanes, self.target.has_masks)

    @property
    def row_stride(self) -> int:
        """Elements from a transformed tile of x to the next."""
        return round_up(self.channels, self.lanes)

    @property
    def column_stride(self) -> int:
        """Elements from a transformed tile of y to the next, and from a row of sums to the next: every piece
        takes a whole vector."""
        return len(self.output_pieces) * self.lanes

    @cached_property
    def shape(self) -> tuple[int, int]:
        """Rows and vectors of the sums that are in registers together."""
        spec = ContractSpec(
            self.channels, self.outputs, self.pass_tiles, 1, (0, 1, self.row_stride),
            (0, self.column_stride, 1), (0, self.column_stride, 1), self.sum_dtype,
        )  # fmt: skip
        return best_shape(spec, self.target)

    @cached_property
    def tiles(self) -> tuple[Tiles, ...]:
        """The rows of a product: channels."""
        return split_rows(self.channels, self.shape[0])

    @cached_property
    def panels(self) -> tuple[Panels, ...]:
        """The columns of a product: outputs."""
        return split_columns(self.outputs, self.shape[1], self.target, self.sum_dtype)

    # -- scratch -------------------------------------------------------------------------------

    @property
    def band(self) -> Shape | None:
        """(images, lines, pixels, channels) of x with its zeros in scratch; None: x is read where it lies."""
        if not self.spec.is_padded and not self.is_odd:
            return None
        return (self.images, *(OUTPUTS * (count + 1) for count in (self.lines, self.grid[1])), self.channels)

    @property
    def is_odd(self) -> bool:
        """Whether tiles reach beyond y."""
        return any(extent % OUTPUTS for extent in self.spec.output)

    @property
    def gradient_band(self) -> Shape | None:
        """The same of y."""
        if not self.is_odd:
            return None
        return (self.images, OUTPUTS * self.lines, OUTPUTS * self.grid[1], self.outputs)

    @property
    def band_elements(self) -> tuple[int, int]:
        """Of x and of y, in whole cache lines."""
        x, y = (0 if band is None else round_up(prod(band), 64) for band in (self.band, self.gradient_band))
        return x, y

    @property
    def place_elements(self) -> tuple[int, int]:
        """The tiles of x, and of y, of a pass, for one place of a transformed tile."""
        return self.pass_tiles * self.row_stride, self.pass_tiles * self.column_stride

    @property
    def sum_elements(self) -> int:
        """The sums of one place of a transformed tile."""
        return self.channels * self.column_stride

    @property
    def scratch_bytes(self) -> int:
        """Bands, one row of places of transformed tiles, and all sums."""
        elements = sum(self.band_elements) + INPUTS * sum(self.place_elements) + PLACES * self.sum_elements
        return round_up(elements * dtypes.itemsize(self.sum_dtype), 64)

    @property
    def is_near(self) -> bool:
        """Whether a row of places stays in the first cache."""
        elements = INPUTS * (sum(self.place_elements) + self.sum_elements)
        return elements * dtypes.itemsize(self.sum_dtype) <= self.target.caches.l1

    @property
    def x_strides(self) -> tuple[int, ...]:
        """Of what is transformed, along (n, *image)."""
        return self.spec.x_strides if self.band is None else row_major_strides(self.band)[:-1]

    @property
    def y_strides(self) -> tuple[int, ...]:
        """The same of y; of gradients before they are spread, where that is done."""
        band = self.gradient_band
        return self.spec.y_strides if band is None else row_major_strides(band)[:-1]

    # -- description ---------------------------------------------------------------------------

    @property
    def reason(self) -> str:
        rows = ", ".join(str(run.rows) for run in self.tiles)
        widths = "+".join(f"{panels.count}x{len(panels.pieces)}" for panels in self.panels)
        padded = ", padded in scratch" if self.band else ""
        parts = f" in {self.parts} parts" if self.parts > 1 else ""
        return (
            f"winograd, tiles {rows} by {widths} vectors, {self.tasks} tasks{parts}, {self.passes} passes"
            f" of {self.pass_tiles}{padded}"
        )

    @property
    def cycles(self) -> float:
        """Estimated, of all tasks together."""
        depth = self.pass_tiles
        each = 0.0
        for run in self.tiles:
            for panels in self.panels:
                step = cycles_of_step(run.rows, len(panels.pieces), self.target, 0.0)
                each += PLACES * run.count * panels.count * (depth * step + START_CYCLES)
        rows, columns = len(self.channel_pieces), len(self.output_pieces)
        made = TRANSFORM_CYCLES if self.is_near else TRANSFORM_CYCLES + FAR_CYCLES
        read = self.channels * (READ_CYCLES + COPY_CYCLES * (self.band is not None))
        read += self.outputs * (READ_CYCLES + COPY_CYCLES * (self.gradient_band is not None))
        lines = OUTPUTS**2 * dtypes.itemsize(self.sum_dtype) / 64
        each += depth * ((rows + columns) * made + lines * read)
        return self.tasks * (self.passes * each + FINISH_CYCLES * self.channels * columns)


def is_winograd(spec: ConvolveSpec) -> bool:
    """Whether the gradient of w may be computed so."""
    return (
        spec.kernel == (TAPS, TAPS)
        and spec.groups == 1
        and spec.dtype == "float32"
        and set(spec.strides) | set(spec.dilation) == {1}
        and spec.spread in ((), (OUTPUTS, OUTPUTS))
    )


@lru_cache(maxsize=256)
def plan_winograd_filter(direct: FilterPlan) -> WinogradFilterPlan | None:
    """The plan that should take the least time, in as many parts; None where the direct one is faster."""
    spec, target = direct.spec, direct.target
    if not is_winograd(spec):
        return None
    wanted = min(wanted_tasks(spec.flops), WANTED_TASKS)
    best = min(
        (
            plan_blocks(spec, target, direct.parts, rows, columns)
            for rows in _blocks(spec.channels, target.lanes(spec.dtype))
            for columns in _blocks(spec.outputs, target.lanes(spec.dtype))
        ),
        key=lambda plan: (plan.cycles * max(1.0, wanted / plan.tasks), plan.tasks),
    )
    return best if best.cycles < direct_cycles(direct) else None


def _blocks(channels: int, lanes: int) -> Iterator[int]:
    """Into how many blocks channels may be divided: equal ones of whole vectors."""
    yield 1
    for count in range(2, MOST_BLOCKS + 1):
        if channels % (count * lanes) == 0:
            yield count


def plan_blocks(
    spec: ConvolveSpec, target: Target, parts: int, rows: int, columns: int
) -> WinogradFilterPlan:
    """The plan with so many blocks of channels and of outputs.

    A row of places should stay in the first cache, beside pixels and sums; where that is too small, sums
    should not be fetched too often.
    """
    plan = WinogradFilterPlan(spec, target, parts, rows, columns, 1, 1)
    tile_bytes = INPUTS * (plan.row_stride + plan.column_stride) * dtypes.itemsize(spec.dtype)
    near = _with_tiles(plan, max(target.caches.l1 // 4 // tile_bytes, FEW_TILES))
    return near if near.is_near else _with_tiles(plan, 2 * FEW_TILES)


def _with_tiles(plan: WinogradFilterPlan, most: int) -> WinogradFilterPlan:
    """With passes of at most so many tiles, or of a line of them."""
    height, width = plan.grid
    images = most // (height * width)
    if images >= 1:
        images = max(count for count in range(1, images + 1) if plan.part_images % count == 0)
        return replace(plan, images=images, lines=height)
    lines = max(1, most // width)
    return replace(plan, lines=ceil(height / ceil(height / lines)))


def direct_cycles(plan: FilterPlan) -> float:
    """Estimated, of the direct product."""
    spec = plan.spec
    boxes = [(prod(run.rows for run in box), prod(run.count for run in box)) for box in plan.boxes()]
    inside = [
        sum(0 <= place + tap - low < image for place in range(extent) for tap in range(taps))
        / (extent * taps)
        for extent, taps, low, image in zip(spec.output, spec.kernel, spec.low, spec.image)
    ]
    depth = plan.part_images * prod(spec.output)
    share = prod(inside) if plan.bounded else 1.0
    cycles = tile_cost(
        plan.target, plan.sum_dtype, boxes, plan.panels, round(depth * share), spec.output[-1], True
    )
    return plan.parts * cycles
