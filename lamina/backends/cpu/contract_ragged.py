"""Products whose rows of C fill vectors badly: ten columns in vectors of sixteen, say.

Vectors lie in another direction instead, so that every lane works: along i where the columns of A are
contiguous (`ROWS`), or along k where its rows are (`INNER`: B's columns lie along k, too, or are put so in
scratch first). The results are turned into rows of C at the end.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from math import ceil

from lamina.backends.cpu.contract_place import Place, Tile
from lamina.backends.cpu.contract_plan import (
    TASK_BYTES,
    TASK_FLOPS,
    ContractPlan,
    ContractSpec,
    Panels,
    Piece,
    Tiles,
    pieces_of,
    round_up,
    split_columns,
    split_rows,
    split_units,
    sum_dtype,
)
from lamina.backends.cpu.contract_shuffle import filled, folded, part, transpose_lines, woven
from lamina.backends.cpu.contract_sums import Epilogue, load_operand, multiply_add, valid_mask
from lamina.backends.cpu.contract_walk import counted, divide, runs_in_block, start_of, tasks
from lamina.backends.cpu.emit import ELEMENT, Builder, Register, constant, index, vector
from lamina.backends.cpu.target import Target
from lamina.core import dtypes

INNER, ROWS = "k", "rows"


@dataclass(frozen=True)
class RaggedPlan(ContractPlan):
    """A product with vectors along `along`, in runs of rows: tiles for INNER, panels of vectors for ROWS.

    columns: the pieces of a row of C. packed: whether B is put into scratch with its columns along k. A task
    is `block` tiles or panels of one batch element. by_rows: see `ContractPlan`.
    """

    along: str
    runs: tuple[Tiles | Panels, ...]
    columns: tuple[Piece, ...]
    packed: bool
    block: int
    by_rows: bool = False

    @cached_property
    def blocks(self) -> int:
        return ceil(sum(run.count for run in self.runs) / self.block)

    @property
    def tasks(self) -> int:
        return self.spec.batch * self.blocks

    @property
    def column_stride(self) -> int:
        """Elements from one packed column of B to the next."""
        return round_up(self.spec.k, self.lanes)

    @property
    def scratch_bytes(self) -> int:
        elements = self.spec.n * self.column_stride if self.packed else 0
        return round_up(elements * dtypes.itemsize(self.spec.dtype), 64)

    @property
    def reason(self) -> str:
        pieces = " ".join(str(piece.valid) for piece in self.columns)
        packed = ", B along k in scratch" if self.packed else ""
        return f"columns {pieces} fill vectors badly: vectors along {self.along}{packed}, {self.tasks} tasks"


def plan_ragged(spec: ContractSpec, target: Target, unit: int = 0) -> RaggedPlan | None:
    """The plan for a product with badly filled rows; None where ordinary tiles are as good."""
    size, room = dtypes.itemsize(spec.dtype), target.registers - 3
    if sum_dtype(spec.dtype) != spec.dtype or size < 4 or 0 in (spec.m, spec.k) or not 2 < spec.n <= room:
        return None
    lanes = target.lanes(spec.dtype)
    columns = tuple(_trimmed(piece) for piece in pieces_of(spec.n, lanes, target.has_masks))
    pace = 0.5 if target.fma else 1.0  # cycles of a multiply-add
    ordinary = pace * spec.k * len(columns)  # cycles of a row
    turning = 3.0 * len(columns)
    _, a_row, a_step = spec.a_strides
    _, b_step, b_column = spec.b_strides
    if a_row == 1 and spec.m >= lanes and pace * spec.k * spec.n / lanes + turning < 0.95 * ordinary:
        vectors = max(1, (room + 2) // (spec.n + 1) if spec.n < 12 else 1)
        return _plan(spec, target, ROWS, split_columns(spec.m, vectors, target, spec.dtype), columns, False)
    grouped = b_column == 1 and spec.n * size >= 16
    packing = 0.0 if b_step == 1 else (0.2 if grouped else 1.5) * spec.k * spec.n / spec.m
    inner = pace * ceil(spec.k / lanes) * spec.n + 8.0 * turning + packing
    if a_step == 1 and inner < 0.95 * ordinary:
        rows = max(1, (room + 1) // (spec.n + 1))
        if unit and spec.batch == 1:
            rows = next(height for height in range(rows, 0, -1) if unit % height == 0)
            runs = split_units(spec.m, rows, unit)
            return RaggedPlan(spec, target, INNER, runs, columns, b_step != 1, unit // rows, by_rows=True)
        return _plan(spec, target, INNER, split_rows(spec.m, rows), columns, b_step != 1)
    return None


def _trimmed(piece: Piece) -> Piece:
    """A piece in the shortest vector that holds what exists of it."""
    return replace(piece, lanes=1 << (piece.valid - 1).bit_length())


def _plan(
    spec: ContractSpec,
    target: Target,
    along: str,
    runs: tuple[Tiles | Panels, ...],
    columns: tuple[Piece, ...],
    packed: bool,
) -> RaggedPlan:
    flops, read = 2 * spec.m * spec.n * spec.k, spec.m * spec.k * dtypes.itemsize(spec.dtype)
    wanted = max(1, flops // TASK_FLOPS, read // TASK_BYTES)
    block = ceil(sum(run.count for run in runs) / wanted)
    return RaggedPlan(spec, target, along, runs, columns, packed, block)


class RaggedKernel:
    """Emits a product with badly filled rows."""

    def __init__(self, builder: Builder, plan: RaggedPlan, epilogue: Epilogue) -> None:
        self.builder = builder
        self.plan = plan
        self.epilogue = epilogue
        self.element = ELEMENT[plan.spec.dtype]
        self.a, self.b = builder.arguments[:2]
        self.scratch, self.begin, self.end = builder.arguments[-3:]

    def emit(self) -> None:
        builder, plan = self.builder, self.plan
        if not plan.packed or plan.tasks == 1:
            with tasks(builder, self.begin, self.end, plan.tasks) as task:
                batch, block = divide(builder, task, plan.blocks)
                if plan.packed:
                    self._pack(batch)
                self._block(batch, block)
            return
        with builder.loop(self.begin, self.end, 1, [index(-1)]) as loop:
            batch, block = divide(builder, loop.index, plan.blocks)
            with builder.when(builder.compare("icmp ne", batch, loop.carried[0])):
                self._pack(batch)
            self._block(batch, block)
            loop.next = [batch]

    def _block(self, batch: Register, block: Register) -> None:
        builder, plan, strides = self.builder, self.plan, self.plan.spec.a_strides
        a = builder.pointer(self.a, builder.multiply(batch, strides[0]), self.element)
        for run, lower, upper in runs_in_block(builder, plan.runs, block, plan.block, plan.blocks):
            with counted(builder, lower, upper) as number:
                row = start_of(builder, number, run)
                here = builder.pointer(a, builder.multiply(row, strides[1]), self.element)
                if isinstance(run, Tiles):
                    self._inner(run.rows, here, batch, row)
                else:
                    self._rows(run.pieces, here, batch, row)

    def _b(self, batch: Register) -> Register:
        offset = self.builder.multiply(batch, self.plan.spec.b_strides[0])
        return self.builder.pointer(self.b, offset, self.element)

    def _finish(self, value: Register, tile: Tile, row: int, piece: Piece) -> None:
        place = Place(self.builder, tile, row, piece.offset, piece.lanes, piece.valid)
        self.epilogue(self.builder, value, place)

    def _vector(self, piece: Piece, address: Register) -> Register:
        """The elements of a piece, zeros where it is cut short."""
        mask = valid_mask(piece.lanes, piece.valid)
        return self.builder.load(vector(self.element, piece.lanes), address, mask)

    # -- vectors along k -----------------------------------------------------------------------

    def _pack(self, batch: Register) -> None:
        """Put the columns of B into scratch, along k, with zeros up to a whole vector."""
        builder, plan, spec = self.builder, self.plan, self.plan.spec
        whole = spec.k // plan.lanes
        if whole:
            with counted(builder, index(0), index(whole)) as number:
                self._pack_steps(self._b(batch), builder.multiply(number, plan.lanes), plan.lanes)
        if spec.k % plan.lanes:
            self._pack_steps(self._b(batch), index(whole * plan.lanes), spec.k % plan.lanes)

    def _pack_steps(self, b: Register, start: Register, valid: int) -> None:
        """Up to a vector's worth of steps of k: a group of columns at a time, the last one moved back."""
        builder, plan, spec = self.builder, self.plan, self.plan.spec
        _, step, neighbour = spec.b_strides
        group = 16 // dtypes.itemsize(spec.dtype)
        together = neighbour == 1 and spec.n >= group
        lines = builder.pointer(b, builder.multiply(start, step), self.element)
        with builder.loop(0, spec.n, group if together else 1) as loop:
            column = (
                builder.intrinsic("smin", "i64", loop.index, index(spec.n - group))
                if together
                else loop.index
            )
            here = builder.pointer(lines, builder.multiply(column, neighbour), self.element)
            target = builder.add(builder.multiply(column, plan.column_stride), start)
            there = builder.pointer(self.scratch, target, self.element)
            if together:
                places = (here, step, valid), (there, plan.column_stride, plan.lanes)
                transpose_lines(builder, *places, self.element, group)
            else:
                value = constant(0, self.element, plan.lanes)
                for lane in range(valid):
                    one = builder.load(self.element, builder.pointer(here, lane * step, self.element))
                    value = builder.insert(value, one, lane)
                builder.store(value, there, align=plan.lanes * dtypes.itemsize(spec.dtype))

    def _inner(self, rows: int, a: Register, batch: Register, row: Register) -> None:
        """A tile of rows: every sum is a vector along k until the end."""
        builder, plan, spec = self.builder, self.plan, self.plan.spec
        b = self.scratch if plan.packed else self._b(batch)
        zeros = [constant(0, self.element, plan.lanes)] * (rows * spec.n)
        steps = pieces_of(spec.k, plan.lanes, plan.target.has_masks)
        whole = spec.k // plan.lanes
        sums = zeros
        if whole:
            with builder.loop(0, whole, 1, [*zeros, a, b]) as loop:
                *sums, a_here, b_here = loop.carried
                sums = self._inner_step(steps[0], sums, a_here, b_here)
                following = [builder.pointer(at, plan.lanes, self.element) for at in (a_here, b_here)]
                loop.next = [*sums, *following]
            *sums, a, b = loop.results
        for step in steps[whole:]:
            offset = step.offset - whole * plan.lanes
            here = [builder.pointer(at, offset, self.element) for at in (a, b)]
            sums = self._inner_step(step, sums, here[0], here[1])
        tile = Tile(batch, row, index(0), builder.label)
        for number in range(rows):
            for piece in plan.columns:
                first = number * spec.n + piece.offset
                values = sums[first : first + piece.valid]
                values += [constant(0, self.element, plan.lanes)] * (piece.lanes - piece.valid)
                self._finish(folded(builder, values), tile, number, piece)

    def _inner_step(self, step: Piece, sums: list[Register], a: Register, b: Register) -> list[Register]:
        builder, plan, spec, result = self.builder, self.plan, self.plan.spec, list(sums)
        stride = plan.column_stride if plan.packed else spec.b_strides[2]
        lines = [
            builder.pointer(a, row * spec.a_strides[1], self.element) for row in range(len(sums) // spec.n)
        ]
        values = [filled(builder, self._vector(step, line), plan.lanes) for line in lines]
        for column in range(spec.n):
            address = builder.pointer(b, column * stride, self.element)
            other = filled(builder, self._vector(step, address), plan.lanes)
            for row, value in enumerate(values):
                at = row * spec.n + column
                result[at] = multiply_add(builder, plan.target, value, other, result[at])
        return result

    # -- vectors along the rows ----------------------------------------------------------------

    def _rows(self, pieces: tuple[Piece, ...], a: Register, batch: Register, row: Register) -> None:
        """A panel of rows: the columns of A are vectors, the elements of B are broadcast."""
        builder, plan, spec = self.builder, self.plan, self.plan.spec
        zeros = [constant(0, self.element, piece.lanes) for piece in pieces for _ in range(spec.n)]
        with builder.loop(0, spec.k, 1, [*zeros, a, self._b(batch)]) as loop:
            *sums, a_here, b_here = loop.carried
            vectors = [
                self._vector(piece, builder.pointer(a_here, piece.offset, self.element)) for piece in pieces
            ]
            for column in range(spec.n):
                address = builder.pointer(b_here, column * spec.b_strides[2], self.element)
                value = load_operand(builder, plan.target, spec.dtype, 1, address)
                for number, rows in enumerate(vectors):
                    at = number * spec.n + column
                    sums[at] = multiply_add(
                        builder, plan.target, rows, builder.splat(value, rows.lanes), sums[at]
                    )
            loop.next = [
                *sums,
                builder.pointer(a_here, spec.a_strides[2], self.element),
                builder.pointer(b_here, spec.b_strides[1], self.element),
            ]
        tile = Tile(batch, row, index(0), builder.label)
        for number, piece in enumerate(pieces):
            lines = loop.results[number * spec.n : (number + 1) * spec.n]
            for columns in plan.columns:
                self._finish_rows(
                    lines[columns.offset : columns.offset + columns.valid], piece, columns, tile
                )

    def _finish_rows(self, lines: list[Register], piece: Piece, columns: Piece, tile: Tile) -> None:
        """Turn vectors along the rows into pieces of rows."""
        builder = self.builder
        lines = lines + [constant(0, self.element, piece.lanes)] * (columns.lanes - columns.valid)
        flat = woven(builder, lines, self.plan.lanes)
        for number in range(piece.valid):
            source, start = divmod(number * columns.lanes, flat[0].lanes)
            value = part(builder, flat[source], start, columns.lanes)
            self._finish(value, tile, piece.offset + number, columns)
