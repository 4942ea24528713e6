"""A tile of sums in registers: the loops that add up products, and what follows them.

A tile is a few rows of A by a panel of columns of B. Its rows lie at known distances from the first, in A and
in C, so they may be any box of a larger index space: the pixels of two neighbouring lines, or the taps of a
filter. What is summed over is a nest of steps, each of which moves a pointer into A and one into B.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lamina.backends.cpu import math
from lamina.backends.cpu.contract_place import Place, Strides, Tile
from lamina.backends.cpu.contract_plan import Panels, Piece, round_up, sum_dtype
from lamina.backends.cpu.contract_walk import counted
from lamina.backends.cpu.emit import (
    ELEMENT,
    Builder,
    Module,
    Register,
    constant,
    index,
    is_floating,
    lane_constants,
    vector,
)
from lamina.backends.cpu.target import Target
from lamina.core import dtypes

Epilogue = Callable[[Builder, Register, Place], None]
MULTIPLY_ADDS_IN_FLIGHT = 8
LONG = 700  # lines of LLVM text: about 10 ms of compile time


@dataclass(frozen=True)
class Step:
    """`count` steps of what is summed over; each moves on by so many elements of A and of B."""

    count: Register | int
    a: int
    b: int


@dataclass(frozen=True)
class Stored:
    """How elements lie in memory: their dtype, and whether whole vectors are aligned and rounded up.

    That is so for panels that were packed in scratch; their pieces take whole vectors.
    """

    dtype: str
    packed: bool = False


def valid_mask(lanes: int, valid: int) -> Register | None:
    """The constant mask of the first `valid` lanes; None when all of them exist."""
    return None if valid == lanes else lane_constants([lane < valid for lane in range(lanes)], "i1")


def piece_mask(piece: Piece) -> Register | None:
    return valid_mask(piece.lanes, piece.valid)


def multiply_add(builder: Builder, target: Target, x: Register, y: Register, total: Register) -> Register:
    """x * y + total, fused where the target does that in one instruction. Of booleans: (x and y) or total."""
    if x.element == "i1":
        return builder.op("or", total, builder.op("and", x, y))
    if not is_floating(x.type):
        return builder.op("add", total, builder.op("mul", x, y))
    if target.fma:
        return builder.intrinsic("fma", x.type, x, y, total)
    return builder.op("fadd", total, builder.op("fmul", x, y))


def load_operand(
    builder: Builder, target: Target, dtype: str, lanes: int, address: Register, mask: Register | None = None
) -> Register:
    """Elements of A or B as they are multiplied: half precision is widened to float32."""
    value = builder.load(vector(ELEMENT[dtype], lanes), address, mask)
    return math.widen(builder, value, dtype, target) if dtype in ("float16", "bfloat16") else value


def strands_of(sums: int, products: int) -> int:
    """In how many strands a tile of so many vectors of sums should be added up: 1, 2, 4 or 8.

    A processor begins two multiply-adds in each cycle, and has the result after four.
    """
    strands = 1
    while strands * sums <= MULTIPLY_ADDS_IN_FLIGHT // 2 and products >= 16 * strands:
        strands *= 2
    return strands


class TileSums:
    """Emits the sums of tiles, and hands them to the epilogue.

    rest: scratch where the sums of one tile may rest when the epilogue is long. stride: elements from one row
    of a packed panel, or of resting sums, to the next.
    """

    def __init__(
        self, builder: Builder, target: Target, a: Stored, b: Stored, stride: int, epilogue: Epilogue
    ) -> None:
        self.builder = builder
        self.target = target
        self.a = a
        self.b = b
        self.stride = stride
        self.epilogue = epilogue
        self.dtype = sum_dtype(b.dtype)
        self.total = ELEMENT[self.dtype]
        self.lanes = target.lanes(self.dtype)

    # -- sums ----------------------------------------------------------------------------------

    def zeros(self, rows: int, panel: Panels) -> list[Register]:
        """The sums of nothing, row by row."""
        return [constant(0, self.total, piece.lanes) for _ in range(rows) for piece in panel.pieces]

    def accumulate(
        self,
        rows: Sequence[int],
        panel: Panels,
        a: Register,
        b: Register,
        steps: Sequence[Step],
        sums: Sequence[Register] = (),
    ) -> list[Register]:
        """The sums of one tile, row by row, added to `sums` if there are any.

        rows: elements of A from the first row to each. `a` and `b` point to the elements of the first step.
        steps: from the outermost to the innermost.
        """
        found = list(sums) or self.zeros(len(rows), panel)
        if any(step.count == 0 for step in steps):
            return found
        return self._steps(rows, panel, steps, [*found, a, b])

    def in_strands(
        self, rows: Sequence[int], panel: Panels, a: Register, b: Register, step: Step
    ) -> list[Register]:
        """The sums of a tile so small that each product would wait for the one before it.

        Several strands of every sum, each of which takes each `strands`-th product, are added at the end.
        """
        builder, count = self.builder, step.count
        assert isinstance(count, int)
        strands = strands_of(len(rows) * len(panel.pieces), count)
        zeros = self.zeros(len(rows), panel)
        width = len(zeros)

        def products(number: int, here: Register, there: Register, sums: list[Register]) -> list[Register]:
            """`sums` of all strands with the next products of the first `number` of them."""
            for strand in range(number):
                x = builder.pointer(here, strand * step.a, ELEMENT[self.a.dtype])
                y = builder.pointer(there, strand * step.b, ELEMENT[self.b.dtype])
                own = slice(strand * width, (strand + 1) * width)
                sums[own] = self._products(rows, panel, x, y, sums[own])
            return sums

        with builder.loop(0, count // strands, 1, [*zeros * strands, a, b]) as loop:
            *sums, here, there = loop.carried
            loop.next = [
                *products(strands, here, there, sums),
                builder.pointer(here, strands * step.a, ELEMENT[self.a.dtype]),
                builder.pointer(there, strands * step.b, ELEMENT[self.b.dtype]),
            ]
        *sums, here, there = loop.results
        sums = products(count % strands, here, there, sums)
        while len(sums) > width:
            half = len(sums) // 2
            sums = [self._sum(x, y) for x, y in zip(sums[:half], sums[half:])]
        return sums

    def _sum(self, x: Register, y: Register) -> Register:
        kind = "or" if x.element == "i1" else "fadd" if is_floating(x.type) else "add"
        return self.builder.op(kind, x, y)

    def _steps(
        self, rows: Sequence[int], panel: Panels, steps: Sequence[Step], carried: list[Register]
    ) -> list[Register]:
        builder = self.builder
        if not steps:
            *sums, a, b = carried
            return self._products(rows, panel, a, b, sums)
        step, *inner = steps
        if step.count == 1:
            return self._steps(rows, panel, inner, carried)
        with builder.loop(0, step.count, 1, carried) as loop:
            *_, a, b = loop.carried
            sums = self._steps(rows, panel, inner, loop.carried)
            following = [
                builder.pointer(a, step.a, ELEMENT[self.a.dtype]),
                builder.pointer(b, step.b, ELEMENT[self.b.dtype]),
            ]
            loop.next = [*sums, *following]
        return loop.results[:-2]

    def _products(
        self, rows: Sequence[int], panel: Panels, a: Register, b: Register, sums: Sequence[Register]
    ) -> list[Register]:
        """One step: the shorter side stays in registers, the longer one streams through."""
        builder, pieces, result = self.builder, panel.pieces, list(sums)

        def row(distance: int) -> Register:
            address = builder.pointer(a, distance, ELEMENT[self.a.dtype])
            return load_operand(builder, self.target, self.a.dtype, 1, address)

        def add(number: int, value: Register, position: int, column: Register) -> None:
            at = number * len(pieces) + position
            spread = builder.splat(value, column.lanes)
            result[at] = multiply_add(builder, self.target, spread, column, result[at])

        if len(pieces) <= len(rows):
            columns = [self._column(b, pieces, position) for position in range(len(pieces))]
            for number, distance in enumerate(rows):
                value = row(distance)
                for position, column in enumerate(columns):
                    add(number, value, position, column)
        else:
            values = [row(distance) for distance in rows]
            for position in range(len(pieces)):
                column = self._column(b, pieces, position)
                for number, value in enumerate(values):
                    add(number, value, position, column)
        return result

    def _column(self, here: Register, pieces: Sequence[Piece], number: int) -> Register:
        builder, piece = self.builder, pieces[number]
        if self.b.packed:
            address = builder.pointer(here, self.packed_offset(pieces, number), self.total)
            return builder.load(vector(self.total, piece.lanes), address, align=self.alignment(piece))
        address = builder.pointer(here, piece.offset, ELEMENT[self.b.dtype])
        return load_operand(builder, self.target, self.b.dtype, piece.lanes, address, piece_mask(piece))

    def packed_offset(self, pieces: Sequence[Piece], number: int) -> int:
        """Where a piece starts in a row of a packed panel; each takes whole vectors, so loads are aligned."""
        return sum(round_up(piece.lanes, self.lanes) for piece in pieces[:number])

    def alignment(self, piece: Piece) -> int:
        return piece.lanes * dtypes.itemsize(self.dtype)

    # -- sums at rest --------------------------------------------------------------------------

    def load(self, rows: int, panel: Panels, here: Register) -> list[Register]:
        """Sums that `store` left, row by row."""
        return [
            self.builder.load(vector(self.total, piece.lanes), address, align=self.alignment(piece))
            for address, piece in self._resting(rows, panel, here)
        ]

    def store(self, sums: Sequence[Register], rows: int, panel: Panels, here: Register) -> None:
        """Put sums into scratch, `rows * stride` elements."""
        for value, (address, piece) in zip(sums, self._resting(rows, panel, here)):
            self.builder.store(value, address, align=self.alignment(piece))

    def _resting(self, rows: int, panel: Panels, here: Register) -> list[tuple[Register, Piece]]:
        return [
            (
                self.builder.pointer(
                    here, row * self.stride + self.packed_offset(panel.pieces, number), self.total
                ),
                piece,
            )
            for row in range(rows)
            for number, piece in enumerate(panel.pieces)
        ]

    # -- epilogue ------------------------------------------------------------------------------

    def finish(self, sums: Sequence[Register], rows: Sequence[int], panel: Panels, corner: Corner) -> None:
        """Hand every sum to the epilogue. rows: rows of C from the first row of the tile to each."""
        tile = Tile(*corner, self.builder.label)
        for number, value in enumerate(sums):
            row, position = divmod(number, len(panel.pieces))
            piece = panel.pieces[position]
            place = Place(self.builder, tile, rows[row], piece.offset, piece.lanes, piece.valid)
            self.epilogue(self.builder, value, place)

    def fetch(self, rows: Sequence[int], panel: Panels, corner: Corner, stores: bool = False) -> None:
        """Ask for what the epilogue will load at the places of a tile, while its sums are being made.

        stores: and for the cache lines that it will write.
        """
        draft = Builder(Module(), "draft", self.builder.parameters)
        tile = Tile(*corner, self.builder.label)
        for row in rows:
            for piece in panel.pieces:
                kind = _FetchedAll if stores else _Fetched
                place = kind(self.builder, tile, row, piece.offset, piece.lanes, piece.valid)
                sums = Register("%sums", vector(self.total, piece.lanes))
                self.epilogue(draft, sums, place)

    def finish_from(self, here: Register, rows: Sequence[int], panel: Panels, corner: Corner) -> None:
        """The same for sums that rest in scratch: one row after the other."""
        builder = self.builder
        with builder.loop(0, len(rows), 1, [here]) as loop:
            row = builder.add(corner[1], self._distance(rows, loop.index))
            self._finish_row(panel, loop.carried[0], (corner[0], row, corner[2]))
            loop.next = [builder.pointer(loop.carried[0], self.stride, self.total)]

    def _distance(self, rows: Sequence[int], number: Register) -> Register:
        """rows[number]."""
        step = rows[1] if len(rows) > 1 else 0
        if list(rows) == [number * step for number in range(len(rows))]:
            return self.builder.multiply(number, step)
        name = f"rows_{'_'.join(map(str, rows))}"
        self.builder.module.constant_array(name, "i64", rows)
        return self.builder.load("i64", self.builder.pointer(Register(f"@{name}", "ptr"), number, "i64"))

    def _finish_row(self, panel: Panels, here: Register, corner: Corner) -> None:
        """Hand one row of sums, which rests in scratch, to the epilogue: whole vectors in a loop."""
        builder, lanes = self.builder, self.lanes
        batch, row, column = corner
        whole = [piece for piece in panel.pieces if piece.valid == lanes]
        if whole:
            with counted(builder, index(0), index(len(whole))) as which:
                offset = builder.multiply(which, lanes)
                tile = Tile(batch, row, builder.add(column, offset), builder.label)
                address = builder.pointer(here, offset, self.total)
                value = builder.load(vector(self.total, lanes), address, align=self.alignment(whole[0]))
                self.epilogue(builder, value, Place(builder, tile, 0, 0, lanes, lanes))
        for number in range(len(whole), len(panel.pieces)):
            piece = panel.pieces[number]
            address = builder.pointer(here, self.packed_offset(panel.pieces, number), self.total)
            value = builder.load(vector(self.total, piece.lanes), address, align=self.alignment(piece))
            tile = Tile(batch, row, column, builder.label)
            self.epilogue(builder, value, Place(builder, tile, 0, piece.offset, piece.lanes, piece.valid))

    def is_long(self, places: int, depth: int) -> bool:
        """Whether the epilogue, written out for so many places, would be too much code.

        depth: products of a sum; a tile that is quickly summed feels the way through scratch.
        """
        draft = Builder(Module(), "draft", self.builder.parameters)
        corner = Tile(index(0), index(0), index(0), draft.label)
        sums = Register("%sums", vector(self.total, self.lanes))
        self.epilogue(draft, sums, Place(draft, corner, 0, 0, self.lanes, self.lanes))
        return len(draft.lines) * places > (LONG if depth >= 128 else 2 * LONG)


class _Fetched(Place):
    """A place whose loads ask for cache lines only, and whose stores do nothing."""

    def load(self, builder: Builder, base: Register, strides: Strides, element: str) -> Register:
        """Nothing, but the operand's elements here are on their way, if they differ from row to row."""
        key = (base.text, strides, self.row_offset, self.column_offset)
        if strides[1] and base in self.builder.arguments and key not in self.tile.addresses:
            address = self.pointer(self.builder, base, strides, element)
            self.tile.addresses[key] = address
            self.builder.prefetch(address, near=True)
        return constant(0, element, self.lanes)

    def store(self, builder: Builder, value: Register, base: Register, strides: Strides) -> None:
        """Nothing."""


class _FetchedAll(_Fetched):
    """The same for stores."""

    def store(self, builder: Builder, value: Register, base: Register, strides: Strides) -> None:
        """Nothing, but the place is on its way."""
        self.load(builder, base, strides, value.element)


Corner = tuple[Register, Register, Register]  # batch element, row, column
