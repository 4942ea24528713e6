"""The inner loops: a tile of sums in registers, and the panels of B written to scratch beforehand."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from lamina.backends.cpu import math
from lamina.backends.cpu.contract_place import Place, Tile
from lamina.backends.cpu.contract_plan import DEAL, DIRECT, TRANSPOSE, Panels, Piece, TilePlan, round_up
from lamina.backends.cpu.contract_shuffle import dealt, transpose_lines
from lamina.backends.cpu.contract_walk import counted, divide, runs_in_block, start_of, tasks
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
LONG = 700  # lines of LLVM text: about 10 ms of compile time


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


class TileKernel:
    """Emits a product in tiles: the loop over tasks, over the tiles and panels of a task, and over k."""

    def __init__(self, builder: Builder, plan: TilePlan, epilogue: Epilogue) -> None:
        self.builder = builder
        self.plan = plan
        self.epilogue = epilogue
        self.element = ELEMENT[plan.spec.dtype]  # in A, B and C
        self.total = ELEMENT[plan.sum_dtype]  # in registers and scratch
        self.a, self.b = builder.arguments[:2]
        self.scratch, self.begin, self.end = builder.arguments[-3:]
        self.rolled = self._is_long()

    def emit(self) -> None:
        """The loop over tasks."""
        builder, plan = self.builder, self.plan
        if plan.source == DIRECT or plan.tasks == 1:
            with tasks(builder, self.begin, self.end, plan.tasks) as task:
                batch, columns, rows = self._decode(task)
                if plan.source != DIRECT:
                    self._panels(batch, columns)
                self._tiles(batch, columns, rows)
            return
        # Consecutive tasks often share their panels: pack only when batch or column block change.
        with builder.loop(self.begin, self.end, 1, [index(-1)]) as loop:
            batch, columns, rows = self._decode(loop.index)
            number = builder.add(builder.multiply(batch, plan.column_blocks), columns)
            fresh = builder.compare("icmp ne", number, loop.carried[0])
            with builder.when(fresh):
                self._panels(batch, columns)
            self._tiles(batch, columns, rows)
            loop.next = [number]

    def _decode(self, task: Register) -> tuple[Register, Register, Register]:
        """(batch element, column block, row block) of a task."""
        rest, rows = divide(self.builder, task, self.plan.row_blocks)
        batch, columns = divide(self.builder, rest, self.plan.column_blocks)
        return (batch if self.plan.spec.batch > 1 else index(0)), columns, rows

    def _panels(self, batch: Register, column_block: Register) -> None:
        """Write the column block's panels to scratch."""
        builder, plan, strides = self.builder, self.plan, self.plan.spec.b_strides
        source = builder.pointer(self.b, builder.multiply(batch, strides[0]), self.element)
        for panels, left, right in runs_in_block(
            builder, plan.panels, column_block, plan.column_block, plan.column_blocks
        ):
            with counted(builder, left, right) as number:
                column = start_of(builder, number, panels)
                here = builder.pointer(source, builder.multiply(column, strides[2]), self.element)
                self._pack(panels, here, self._packed(number, column_block))

    def _tiles(self, batch: Register, column_block: Register, row_block: Register) -> None:
        """All tiles of one task, those that share rows of A one after the other."""
        builder, plan, spec = self.builder, self.plan, self.plan.spec
        a_batch = builder.pointer(self.a, builder.multiply(batch, spec.a_strides[0]), self.element)
        b_batch = builder.pointer(self.b, builder.multiply(batch, spec.b_strides[0]), self.element)
        for tiles, top, bottom in runs_in_block(
            builder, plan.tiles, row_block, plan.row_block, plan.row_blocks
        ):
            with counted(builder, top, bottom) as tile:
                row = start_of(builder, tile, tiles)
                a = builder.pointer(a_batch, builder.multiply(row, spec.a_strides[1]), self.element)
                for panels, left, right in runs_in_block(
                    builder, plan.panels, column_block, plan.column_block, plan.column_blocks
                ):
                    with counted(builder, left, right) as panel:
                        column = start_of(builder, panel, panels)
                        if plan.source == DIRECT:
                            b, step = builder.pointer(b_batch, column, self.element), spec.b_strides[1]
                        else:
                            b, step = self._packed(panel, column_block), plan.panel_stride
                        sums = self._accumulate(tiles.rows, panels, a, b, step)
                        self._finish(panels, sums, (batch, row, column))

    def _packed(self, panel: Register, column_block: Register) -> Register:
        """The packed panel of that number."""
        builder, plan = self.builder, self.plan
        local = builder.subtract(panel, builder.multiply(column_block, plan.column_block))
        offset = builder.multiply(local, plan.spec.k * plan.panel_stride)
        return builder.pointer(self.scratch, offset, self.total)

    # -- sums ----------------------------------------------------------------------------------

    def _accumulate(
        self, rows: int, panel: Panels, a: Register, b: Register, step: int
    ) -> list[list[Register]]:
        """The sums of one tile, by row and piece. `a` and `b` point to the tile's elements at k = 0.

        step: elements from one row of B (or of the packed panel) to the next.
        """
        builder, spec, pieces = self.builder, self.plan.spec, panel.pieces
        zeros = [constant(0, self.total, piece.lanes) for _ in range(rows) for piece in pieces]
        if spec.k == 0:
            return _by_row(zeros, len(pieces))
        with builder.loop(0, spec.k, 1, [*zeros, a, b]) as loop:
            *sums, a_here, b_here = loop.carried

            def add(row: int, value: Register, number: int, column: Register) -> None:
                at = row * len(pieces) + number
                spread = builder.splat(value, column.lanes)
                sums[at] = multiply_add(builder, self.plan.target, spread, column, sums[at])

            # The shorter side stays in registers, the longer one streams through.
            if len(pieces) <= rows:
                columns = [self._column(b_here, pieces, number) for number in range(len(pieces))]
                for row in range(rows):
                    value = self._row(a_here, row)
                    for number, column in enumerate(columns):
                        add(row, value, number, column)
            else:
                values = [self._row(a_here, row) for row in range(rows)]
                for number in range(len(pieces)):
                    column = self._column(b_here, pieces, number)
                    for row, value in enumerate(values):
                        add(row, value, number, column)
            b_element = self.element if self.plan.source == DIRECT else self.total
            loop.next = [
                *sums,
                builder.pointer(a_here, spec.a_strides[2], self.element),
                builder.pointer(b_here, step, b_element),
            ]
        return _by_row(loop.results[:-2], len(pieces))

    def _row(self, here: Register, row: int) -> Register:
        address = self.builder.pointer(here, row * self.plan.spec.a_strides[1], self.element)
        return load_operand(self.builder, self.plan.target, self.plan.spec.dtype, 1, address)

    def _column(self, here: Register, pieces: Sequence[Piece], number: int) -> Register:
        builder, plan, piece = self.builder, self.plan, pieces[number]
        if plan.source != DIRECT:
            address = builder.pointer(here, self._packed_offset(pieces, number), self.total)
            return builder.load(vector(self.total, piece.lanes), address, align=self._alignment(piece))
        address = builder.pointer(here, piece.offset, self.element)
        return load_operand(builder, plan.target, plan.spec.dtype, piece.lanes, address, piece_mask(piece))

    def _packed_offset(self, pieces: Sequence[Piece], number: int) -> int:
        """Where a piece starts in a row of a packed panel; each takes whole vectors, so loads are aligned."""
        return sum(round_up(piece.lanes, self.plan.lanes) for piece in pieces[:number])

    def _alignment(self, piece: Piece) -> int:
        return piece.lanes * dtypes.itemsize(self.plan.sum_dtype)

    # -- epilogue ------------------------------------------------------------------------------

    def _finish(
        self,
        panel: Panels,
        sums: list[list[Register]],
        corner: tuple[Register, Register, Register],
    ) -> None:
        """Hand every sum to the epilogue. corner: batch element, row, column."""
        builder = self.builder
        if not self.rolled:
            tile = Tile(*corner, builder.label)
            for row, line in enumerate(sums):
                for value, piece in zip(line, panel.pieces):
                    self.epilogue(builder, value, self._place(tile, piece, row, piece.offset))
            return
        rest = builder.pointer(self.scratch, self.plan.packed_elements, self.total)
        for row, line in enumerate(sums):
            for number, (piece, value) in enumerate(zip(panel.pieces, line)):
                slot = row * self.plan.panel_stride + self._packed_offset(panel.pieces, number)
                builder.store(value, builder.pointer(rest, slot, self.total), align=self._alignment(piece))
        with builder.loop(0, len(sums), 1, [rest]) as loop:
            self._finish_row(
                panel, loop.carried[0], (corner[0], builder.add(corner[1], loop.index), corner[2])
            )
            loop.next = [builder.pointer(loop.carried[0], self.plan.panel_stride, self.total)]

    def _finish_row(self, panel: Panels, here: Register, corner: tuple[Register, Register, Register]) -> None:
        """Hand one row of sums, which rests in scratch, to the epilogue: whole vectors in a loop."""
        builder, lanes = self.builder, self.plan.lanes
        batch, row, column = corner
        whole = [piece for piece in panel.pieces if piece.valid == lanes]
        if whole:
            with counted(builder, index(0), index(len(whole))) as which:
                offset = builder.multiply(which, lanes)
                tile = Tile(batch, row, builder.add(column, offset), builder.label)
                address = builder.pointer(here, offset, self.total)
                value = builder.load(vector(self.total, lanes), address, align=self._alignment(whole[0]))
                self.epilogue(builder, value, self._place(tile, whole[0], 0, 0))
        for number in range(len(whole), len(panel.pieces)):
            piece = panel.pieces[number]
            address = builder.pointer(here, self._packed_offset(panel.pieces, number), self.total)
            value = builder.load(vector(self.total, piece.lanes), address, align=self._alignment(piece))
            tile = Tile(batch, row, column, builder.label)
            self.epilogue(builder, value, self._place(tile, piece, 0, piece.offset))

    def _place(self, tile: Tile, piece: Piece, row: int, column: int) -> Place:
        return Place(self.builder, tile, row, column, piece.lanes, piece.valid)

    def _is_long(self) -> bool:
        """Whether the epilogue, written out for every place of every tile, would be too much code."""
        plan = self.plan
        places = sum(run.rows for run in plan.tiles) * sum(len(run.pieces) for run in plan.panels)
        draft = Builder(Module(), "draft", self.builder.parameters)
        corner = Tile(index(0), index(0), index(0), draft.label)
        sums = Register("%sums", vector(self.total, plan.lanes))
        self.epilogue(draft, sums, Place(draft, corner, 0, 0, plan.lanes, plan.lanes))
        # A tile that is quickly summed feels the way through scratch.
        return len(draft.lines) * places > (LONG if plan.spec.k >= 128 else 2 * LONG)

    # -- packing -------------------------------------------------------------------------------

    def _pack(self, panel: Panels, b: Register, packed: Register) -> None:
        """Write one panel of B to scratch. `b` points to its first element; unused lanes become zeros."""
        builder, pieces = self.builder, panel.pieces
        whole = [piece for piece in pieces if piece.valid == self.plan.lanes]
        if whole:
            with counted(builder, index(0), index(len(whole))) as which:
                column = builder.multiply(which, self.plan.lanes)
                here = builder.pointer(b, builder.multiply(column, self.plan.spec.b_strides[2]), self.element)
                self._pack_piece(whole[0], here, builder.pointer(packed, column, self.total))
        for number in range(len(whole), len(pieces)):
            here = builder.pointer(b, pieces[number].offset * self.plan.spec.b_strides[2], self.element)
            there = builder.pointer(packed, self._packed_offset(pieces, number), self.total)
            self._pack_piece(pieces[number], here, there)

    def _pack_piece(self, piece: Piece, here: Register, there: Register) -> None:
        builder, plan, spec = self.builder, self.plan, self.plan.spec
        group = 16 // dtypes.itemsize(spec.dtype)
        if plan.source == DEAL:
            self._deal(piece, here, there)
        elif plan.source == TRANSPOSE and spec.k >= group > 1:
            # The last group is moved back to end with k; what it writes twice is the same.
            with builder.loop(0, spec.k, group) as loop:
                step = builder.intrinsic("smin", "i64", loop.index, index(spec.k - group))
                source = builder.pointer(here, step, self.element)
                target = builder.pointer(there, builder.multiply(step, plan.panel_stride), self.total)
                transpose_lines(
                    builder,
                    (source, spec.b_strides[2], piece.valid),
                    (target, plan.panel_stride, piece.lanes),
                    self.element,
                    group,
                )
        elif spec.k:
            with builder.loop(0, spec.k, 1, [here, there]) as loop:
                builder.store(
                    self._collect(piece, loop.carried[0]), loop.carried[1], align=self._alignment(piece)
                )
                loop.next = [
                    builder.pointer(loop.carried[0], spec.b_strides[1], self.element),
                    builder.pointer(loop.carried[1], plan.panel_stride, self.total),
                ]

    def _deal(self, piece: Piece, here: Register, there: Register) -> None:
        """A piece whose columns lie end to end and are 2 or 4 long: dealt out in registers."""
        builder, plan, count = self.builder, self.plan, self.plan.spec.k
        loaded = []
        for position in range(count):
            valid = min(max(piece.valid * count - position * piece.lanes, 0), piece.lanes)
            address = builder.pointer(here, position * piece.lanes, self.element)
            mask = valid_mask(piece.lanes, valid)
            loaded.append(builder.load(vector(self.element, piece.lanes), address, mask))
        for step, value in enumerate(dealt(builder, loaded)):
            address = builder.pointer(there, step * plan.panel_stride, self.total)
            builder.store(value, address, align=self._alignment(piece))

    def _collect(self, piece: Piece, here: Register) -> Register:
        """One row of a piece, from columns that may lie anywhere."""
        builder, plan, stride = self.builder, self.plan, self.plan.spec.b_strides[2]
        if stride == 1 or piece.lanes == 1:
            return load_operand(builder, plan.target, plan.spec.dtype, piece.lanes, here, piece_mask(piece))
        value = constant(0, self.total, piece.lanes)
        for lane in range(piece.valid):
            address = builder.pointer(here, lane * stride, self.element)
            value = builder.insert(
                value, load_operand(builder, plan.target, plan.spec.dtype, 1, address), lane
            )
        return value


def _by_row(sums: Sequence[Register], width: int) -> list[list[Register]]:
    return [list(sums[start : start + width]) for start in range(0, len(sums), width)]
