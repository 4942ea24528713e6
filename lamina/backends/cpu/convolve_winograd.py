"""Convolutions with 3 x 3 taps by Winograd's transforms: 16 products for 2 x 2 pixels instead of 36.

A convolution, or the gradient of its inputs, is then two kernels. One transforms the taps, once for everybody
who reads them (`convolve_winograd_taps`). The other goes through the images in blocks of tiles, each of which
gives 2 x 2 pixels: it transforms their inputs, makes 16 matrix products - tiles by channels with channels by
outputs, one for each of the 4 x 4 factors - and transforms these back (`convolve_winograd_kernel`).

Sums of inputs are multiplied, so results differ in the last digits from sums of products of inputs, and
where pixels see an infinity they may become NaN.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from math import ceil, prod
from typing import Any

from lamina.backends.cpu.contract_plan import (
    TASK_FLOPS,
    Panels,
    Piece,
    Tiles,
    cycles_of_step,
    pieces_of,
    round_up,
    split_columns,
    split_rows,
    tile_shapes,
)
from lamina.backends.cpu.convolve_boxes import SUM_CYCLES, TILE_CYCLES, ConvolveSpec, wanted_tasks
from lamina.backends.cpu.target import Target
from lamina.backends.cpu.winograd import INPUTS, OUTPUTS, TAPS
from lamina.core.shapes import Shape
from lamina.ir.graph import Node, TensorType, Value, make
from lamina.ir.primitives import CONTRACTS, VARIADIC, Primitive

FACTORS = INPUTS * INPUTS
WIDEST = 16  # lanes of the widest vectors, of which the transformed taps take whole ones
NARROWEST = 8  # channels, and outputs, from which the transforms pay
INPUT_COST, OUTPUT_COST, TAP_COST = 40, 40, 128  # multiply-adds that the transforms of an element cost
GAIN = 1.2  # by which the direct sums have to be more work
MOST_AFTER = 4  # zeros after an image: each tile that sees them is code of its own
BLOCK = 16  # tiles of a block at least
GAIN = 1.1  # by which the direct sums have to be more work


def _taps(w: TensorType, *, turned: bool) -> TensorType:
    channels, outputs = _sides(w.shape, turned)
    return TensorType((taps_size(channels, outputs),), w.dtype)


def taps_size(channels: int, outputs: int) -> int:
    """Elements of transformed taps, in whole vectors of outputs for any width of vectors."""
    return FACTORS * channels * round_up(outputs, WIDEST)


def _outputs(
    x: TensorType, taps: TensorType, *index: TensorType, outputs: int, output: Shape, **how: Any
) -> TensorType:
    return TensorType((x.shape[0], *output, outputs), x.dtype)


# The factors of all taps, in the order that conv_winograd reads. turned: for the gradient of the inputs.
winograd_taps = Primitive("winograd_taps", 1, _taps)
# A convolution from transformed taps. outputs, output: channels and spatial extents of the result; low: by
# how much the taps of the first pixels lie before the image; spread, places: as of conv_spread_input_grad.
conv_winograd = Primitive("conv_winograd", VARIADIC, _outputs, frozenset({CONTRACTS}))


def _sides(shape: Shape, turned: bool) -> tuple[int, int]:
    """(channels, outputs) of taps; those of a turned convolution are exchanged."""
    return (shape[-1], shape[-2]) if turned else (shape[-2], shape[-1])


def pays(spec: ConvolveSpec) -> bool:
    """Whether a convolution, or a `turned` one, has this form, and takes less time in it.

    The answer follows from the shape alone, so that a network's results do not depend on the processor.
    """
    if spec.dtype != "float32" or spec.kernel != (TAPS, TAPS) or spec.groups != 1:
        return False
    if {*spec.strides, *spec.dilation} != {1} or min(spec.channels, spec.outputs) < NARROWEST:
        return False
    if spec.flops < TASK_FLOPS:
        return False
    last = [reach - low - extent for reach, low, extent in zip(spec.reach, spec.low, spec.image)]
    if max(spec.low) >= TAPS or max(last) > MOST_AFTER or min(spec.image) < OUTPUTS:
        return False
    tiles = spec.batch * prod(ceil(extent / OUTPUTS) for extent in spec.output)
    products = spec.channels * spec.outputs
    factors = FACTORS * products + INPUT_COST * spec.channels + OUTPUT_COST * spec.outputs
    direct = spec.batch * prod(spec.output) * TAPS * TAPS * products
    return direct > GAIN * (tiles * factors + TAP_COST * products)


def as_winograd(node: Node, spec: ConvolveSpec, operands: tuple[Value, ...], turned: bool) -> Value:
    """The result of a convolution or of the gradient of its inputs, from x - or y - and the kernel, dense."""
    first, kernel, *index = operands
    how: dict[str, Any] = {"turned": turned}
    taps = make(winograd_taps, (kernel,), how, (winograd_taps.infer((kernel.type,), how)[0],)).outputs[0]
    how = {"outputs": spec.outputs, "output": spec.output, "low": spec.low}
    if spec.spread:
        how |= {"spread": spec.spread, "places": spec.image}
    return make(conv_winograd, (first, taps, *index), how, node.types).outputs[0]


def specify(node: Node, x_strides: tuple[int, ...]) -> ConvolveSpec:
    """The convolution that a conv_winograd is; its taps have no strides."""
    attributes, shape = node.attributes, node.inputs[0].shape
    places = attributes.get("places", shape[1:-1])
    outputs = attributes["outputs"]
    spec = ConvolveSpec.contiguous(shape[0], places, shape[-1], (TAPS, TAPS), outputs)
    output = attributes["output"]
    width, height = output[1] * outputs, output[0] * output[1] * outputs
    return replace(
        spec, low=attributes["low"], output=output, x_strides=x_strides, w_strides=(),
        y_strides=(height, width, outputs), spread=attributes.get("spread", ()),
    )  # fmt: skip


@dataclass(frozen=True)
class WinogradPlan:
    """How the images are cut into blocks of tiles, and a block's products into tiles of registers.

    images, lines: of a block; several images are whole ones. rows, panels: of the products of a block, which
    has a row for each of its tiles; panels have whole vectors. column_block: panels of a task.
    """

    spec: ConvolveSpec
    target: Target
    images: int
    lines: int
    rows: tuple[Tiles, ...]
    panels: tuple[Panels, ...]
    column_block: int

    sum_dtype = "float32"

    @property
    def flops(self) -> int:
        """Of the direct sums, to compare with."""
        return self.spec.flops

    @property
    def bytes(self) -> int:
        return self.spec.bytes

    @property
    def result_strides(self) -> tuple[int, int, int]:
        """Elements of y per batch element (there are none of these), row and column."""
        return 0, self.spec.outputs, 1

    @cached_property
    def lanes(self) -> int:
        return self.target.lanes(self.sum_dtype)

    @property
    def grid(self) -> Shape:
        """Tiles of an image, along both axes."""
        return tuple(ceil(extent / OUTPUTS) for extent in self.spec.output)

    @property
    def tiles(self) -> int:
        """Of a block."""
        return self.images * self.lines * self.grid[1]

    @property
    def image_blocks(self) -> int:
        return ceil(self.spec.batch / self.images)

    @property
    def line_blocks(self) -> int:
        return ceil(self.grid[0] / self.lines)

    @property
    def column_blocks(self) -> int:
        return ceil(sum(run.count for run in self.panels) / self.column_block)

    @property
    def task_lines(self) -> int:
        """Blocks of lines that are tasks of their own; spread gradients are spread by whole images."""
        return 1 if self.spec.spread else self.line_blocks

    @property
    def tasks(self) -> int:
        """Numbered by column block, then block of images, then block of lines."""
        return self.column_blocks * self.image_blocks * self.task_lines

    @cached_property
    def channel_pieces(self) -> list[Piece]:
        """The channels of a pixel in vectors."""
        return pieces_of(self.spec.channels, self.lanes, self.target.has_masks)

    @property
    def input_stride(self) -> int:
        """Elements of scratch from the inputs of one tile to those of the next, for one factor."""
        return round_up(self.spec.channels, self.lanes)

    @property
    def product_stride(self) -> int:
        """The same for sums of products."""
        return self.lanes * max(len(run.pieces) for run in self.panels)

    def factor_stride(self, stride: int) -> int:
        """Elements from the tiles of one factor to those of the next: an odd number of cache lines."""
        return 16 * (ceil(self.tiles * stride / 16) | 1)

    @property
    def parts(self) -> dict[str, int]:
        """Elements of scratch: zeros, inputs, products, resting results, spread images."""
        spread = self.images * prod(self.spec.image) * self.spec.channels if self.spec.spread else 0
        return {
            "zeros": 16,
            "inputs": FACTORS * self.factor_stride(self.input_stride),
            "products": FACTORS * self.factor_stride(self.product_stride),
            "resting": OUTPUTS * OUTPUTS * 16,
            "spread": round_up(spread, 16),
        }

    @property
    def scratch_bytes(self) -> int:
        return 4 * sum(self.parts.values())

    @property
    def reason(self) -> str:
        heights = ", ".join(str(run.rows) for run in self.rows)
        widths = "+".join(f"{panels.count}x{len(panels.pieces)}" for panels in self.panels)
        return (
            f"winograd: {FACTORS} products for 2x2 pixels instead of 36; blocks of {self.tiles} tiles, "
            f"products of {heights} by {widths} vectors, {self.tasks} tasks"
        )


def plan_winograd(spec: ConvolveSpec, target: Target) -> WinogradPlan:
    """Decide how to compute y from transformed taps."""
    images, lines = _block(spec, target)
    tiles = images * lines * ceil(spec.output[1] / OUTPUTS)
    most = ceil(spec.outputs / target.lanes("float32"))
    candidates = [
        WinogradPlan(
            spec, target, images, lines, split_rows(tiles, rows), _panels(spec.outputs, vectors, target), 1
        )
        for rows, vectors in tile_shapes(target)
        if vectors <= most and rows <= tiles
    ]
    plan = min(candidates, key=_cost)
    panels = sum(run.count for run in plan.panels)
    wanted = ceil(wanted_tasks(spec.flops) / 4)
    column_blocks = min(ceil(wanted / (plan.image_blocks * plan.task_lines)), panels)
    return replace(plan, column_block=ceil(panels / column_blocks))


def _block(spec: ConvolveSpec, target: Target) -> tuple[int, int]:
    """(images, lines) of a block: few tiles, so that what is between the transforms stays in the first cache.

    Where the taps do not stay in the second cache, twice as many tiles make something of each of them.
    """
    lines, width = (ceil(extent / OUTPUTS) for extent in spec.output)
    taps = 4 * FACTORS * spec.channels * spec.outputs
    wanted = BLOCK if taps <= target.caches.l2 // 2 else 2 * BLOCK
    if lines * width >= wanted:
        return 1, ceil(lines / ceil(lines / max(1, wanted // width)))
    images = min(ceil(wanted / (lines * width)), spec.batch)
    equal = max(count for count in range(1, images + 1) if spec.batch % count == 0)
    if spec.spread or 2 * equal >= images:  # images are spread together
        return equal, lines
    return ceil(spec.batch / ceil(spec.batch / images)), lines


def _panels(outputs: int, vectors: int, target: Target) -> tuple[Panels, ...]:
    """Panels of whole vectors; one whose last vector is not full of outputs is a run of its own."""
    lanes = target.lanes("float32")
    *runs, last = split_columns(round_up(outputs, lanes), vectors, target, "float32")
    if outputs % lanes and last.count > 1:
        count = last.count - 1
        start = last.start + count * len(last.pieces) * lanes
        runs.append(replace(last, count=count))
        last = replace(last, count=1, start=start, first=last.first + count)
    return (*runs, last)


def _cost(plan: WinogradPlan) -> float:
    """Estimated cycles of the products of a block."""
    cycles, bodies = 0.0, len(plan.rows) * len(plan.panels)
    for rows in plan.rows:
        for run in plan.panels:
            width = len(run.pieces)
            step = cycles_of_step(rows.rows, width, plan.target, 0.0)
            tile = plan.spec.channels * step + SUM_CYCLES * rows.rows * width + TILE_CYCLES
            cycles += FACTORS * rows.count * run.count * tile
    return cycles * (1 + 0.02 * (bodies - 1))
