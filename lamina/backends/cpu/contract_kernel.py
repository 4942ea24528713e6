"""A product in tiles: the loops over tasks, tiles and panels, and the panels of B copied to scratch."""

from __future__ import annotations

from lamina.backends.cpu.contract_plan import DEAL, DIRECT, TRANSPOSE, Panels, Piece, TilePlan
from lamina.backends.cpu.contract_shuffle import dealt, transpose_lines
from lamina.backends.cpu.contract_sums import (
    Corner,
    Epilogue,
    Step,
    Stored,
    TileSums,
    load_operand,
    piece_mask,
    strands_of,
    valid_mask,
)
from lamina.backends.cpu.contract_walk import counted, divide, runs_in_block, start_of, tasks
from lamina.backends.cpu.emit import ELEMENT, Builder, Register, constant, index, vector
from lamina.core import dtypes

FETCH_DEPTH = 64  # products of a sum, from which on there is time to fetch what the epilogue loads


class TileKernel:
    """Emits a product in tiles: the loop over tasks, over the tiles and panels of a task, and over k."""

    def __init__(self, builder: Builder, plan: TilePlan, epilogue: Epilogue) -> None:
        self.builder = builder
        self.plan = plan
        self.element = ELEMENT[plan.spec.dtype]  # in A, B and C
        self.total = ELEMENT[plan.sum_dtype]  # in registers and scratch
        self.a, self.b = builder.arguments[:2]
        self.scratch, self.begin, self.end = builder.arguments[-3:]
        a, b = Stored(plan.spec.dtype), Stored(plan.spec.dtype)
        if plan.source != DIRECT:
            b = Stored(plan.sum_dtype, packed=True)
        self.sums = TileSums(builder, plan.target, a, b, plan.panel_stride, epilogue)
        places = sum(run.rows for run in plan.tiles) * sum(len(run.pieces) for run in plan.panels)
        self.rolled = self.sums.is_long(places, plan.spec.k)

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
                        self._tile(tiles.rows, panels, a, b, step, (batch, row, column))

    def _tile(self, rows: int, panel: Panels, a: Register, b: Register, step: int, corner: Corner) -> None:
        """The sums of one tile, handed to the epilogue. step: elements from one row of B to the next."""
        builder, spec = self.builder, self.plan.spec
        distances = [row * spec.a_strides[1] for row in range(rows)]
        if self.plan.by_rows and spec.k >= FETCH_DEPTH:
            self.sums.fetch(range(rows), panel, corner)
        next_product = Step(spec.k, spec.a_strides[2], step)
        # Of many rows all get the same bits, whatever tile they are in.
        if spec.m == 1 and strands_of(len(panel.pieces), spec.k) > 1:
            sums = self.sums.in_strands(distances, panel, a, b, next_product)
        else:
            sums = self.sums.accumulate(distances, panel, a, b, [next_product])
        if not self.rolled:
            self.sums.finish(sums, range(rows), panel, corner)
            return
        rest = builder.pointer(self.scratch, self.plan.packed_elements, self.total)
        self.sums.store(sums, rows, panel, rest)
        self.sums.finish_from(rest, range(rows), panel, corner)

    def _packed(self, panel: Register, column_block: Register) -> Register:
        """The packed panel of that number."""
        builder, plan = self.builder, self.plan
        local = builder.subtract(panel, builder.multiply(column_block, plan.column_block))
        offset = builder.multiply(local, plan.spec.k * plan.panel_stride)
        return builder.pointer(self.scratch, offset, self.total)

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
            there = builder.pointer(packed, self.sums.packed_offset(pieces, number), self.total)
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
                    self._collect(piece, loop.carried[0]), loop.carried[1], align=self.sums.alignment(piece)
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
            builder.store(value, address, align=self.sums.alignment(piece))

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
