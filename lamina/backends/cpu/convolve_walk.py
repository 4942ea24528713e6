"""From the blocks of a task to the boxes and panels it owns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from math import prod

from lamina.backends.cpu.contract_plan import Panels, Tiles
from lamina.backends.cpu.contract_walk import counted, runs_in_block, start_of
from lamina.backends.cpu.convolve_boxes import BoxPlan, RowAxis
from lamina.backends.cpu.emit import Builder, Register, index


@dataclass(frozen=True)
class Side:
    """Where a tile lies along one axis: the run it belongs to, its number, its first index."""

    run: Tiles
    number: Register
    start: Register


class Walk:
    """Emits the loops over the tiles that lie in a block of each axis."""

    def __init__(self, builder: Builder) -> None:
        self.builder = builder

    def tiles(self, axes: Sequence[RowAxis], blocks: Sequence[Register]) -> Iterator[tuple[Side, ...]]:
        """Each kind of tile, inside its loops."""
        if not axes:
            yield ()
            return
        axis, *inner = axes
        for run, lower, upper in runs_in_block(self.builder, axis.runs, blocks[0], axis.block, axis.blocks):
            with counted(self.builder, lower, upper) as number:
                side = Side(run, number, start_of(self.builder, number, run))
                for sides in self.tiles(inner, blocks[1:]):
                    yield (side, *sides)

    def panels(self, plan: BoxPlan, block: Register) -> Iterator[tuple[Panels, Register, Register]]:
        """Each kind of panel of a column block, inside its loop; its number in the block; its column."""
        builder = self.builder
        for panels, left, right in runs_in_block(
            builder, plan.panels, block, plan.column_block, plan.column_blocks
        ):
            with counted(builder, left, right) as number:
                local = builder.subtract(number, builder.multiply(block, plan.column_block))
                yield panels, local, start_of(builder, number, panels)

    def first(self, axis: RowAxis, block: Register) -> Register:
        """Where a block starts along an axis."""
        builder = self.builder
        number = builder.multiply(block, axis.block)
        start = start_of(builder, number, axis.runs[0])
        for run in axis.runs[1:]:
            later = builder.compare("icmp sge", number, index(run.first))
            start = builder.select(later, start_of(builder, number, run), start)
        return start


def distances(sides: Sequence[Side], steps: Sequence[int]) -> list[int]:
    """From the first row of a tile to each; `steps` apart along the axes."""
    places = product(*(range(side.run.rows) for side in sides))
    return [sum(at * step for at, step in zip(place, steps)) for place in places]


def row_of(builder: Builder, sides: Sequence[Side], axes: Sequence[RowAxis]) -> Register:
    """The first row of a tile in C."""
    row = index(0)
    for side, axis in zip(sides, axes):
        row = builder.add(row, builder.multiply(side.start, axis.c))
    return row


def places_of(plan: BoxPlan) -> int:
    """Vectors of sums of all the different tiles."""
    rows = sum(prod(run.rows for run in box) for box in plan.boxes())
    return rows * sum(len(panels.pieces) for panels in plan.panels)
