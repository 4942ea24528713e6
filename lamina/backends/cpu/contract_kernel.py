"""The inner loops: a tile of sums in registers, and the panels of B written to scratch beforehand."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from lamina.backends.cpu.contract_place import Place, Tile
from lamina.backends.cpu.contract_plan import DIRECT, TRANSPOSE, ContractPlan, Panels, Piece, round_up
from lamina.backends.cpu.emit import ELEMENT, Builder, Register, constant, is_floating, lane_constants, vector
from lamina.core import dtypes

Epilogue = Callable[[Builder, Register, Place], None]


def piece_mask(piece: Piece) -> Register | None:
    """The constant mask of a piece that is cut short, else None."""
    if piece.valid == piece.lanes:
        return None
    return lane_constants([lane < piece.valid for lane in range(piece.lanes)], "i1")


def multiply_add(builder: Builder, plan: ContractPlan, x: Register, y: Register, sum: Register) -> Register:
    """x * y + sum, fused where the target does that in one instruction."""
    if not is_floating(x.type):
        return builder.op("add", sum, builder.op("mul", x, y))
    if plan.target.fma:
        return builder.intrinsic("fma", x.type, x, y, sum)
    return builder.op("fadd", sum, builder.op("fmul", x, y))


def accumulate(
    builder: Builder, plan: ContractPlan, rows: int, panel: Panels, a: Register, b: Register, b_step: int
) -> list[list[Register]]:
    """The sums of one tile, by row and piece. `a` and `b` point to the tile's first elements at k = 0."""
    spec, element = plan.spec, ELEMENT[plan.spec.dtype]
    pieces = panel.pieces
    packed = plan.source != DIRECT
    zeros = [constant(0, element, piece.lanes) for _ in range(rows) for piece in pieces]
    if spec.k == 0:
        return _by_row(zeros, len(pieces))
    with builder.loop(0, spec.k, 1, [*zeros, a, b]) as loop:
        *sums, a_here, b_here = loop.carried

        def row_operand(row: int) -> Register:
            return builder.load(element, builder.pointer(a_here, row * spec.a_strides[1], element))

        def column_operand(number: int) -> Register:
            piece = pieces[number]
            address = builder.pointer(
                b_here, packed_offset(plan, pieces, number) if packed else piece.offset, element
            )
            kind = vector(element, piece.lanes)
            if packed:
                return builder.load(kind, address, align=_alignment(plan, piece))
            return builder.load(kind, address, piece_mask(piece))

        # The shorter side stays in registers, the longer one streams through.
        if len(pieces) <= rows:
            columns = [column_operand(number) for number in range(len(pieces))]
            for row in range(rows):
                value = row_operand(row)
                for number, column in enumerate(columns):
                    at = row * len(pieces) + number
                    sums[at] = multiply_add(
                        builder, plan, builder.splat(value, column.lanes), column, sums[at]
                    )
        else:
            values = [row_operand(row) for row in range(rows)]
            for number in range(len(pieces)):
                column = column_operand(number)
                for row, value in enumerate(values):
                    at = row * len(pieces) + number
                    sums[at] = multiply_add(
                        builder, plan, builder.splat(value, column.lanes), column, sums[at]
                    )
        loop.next = [
            *sums,
            builder.pointer(a_here, spec.a_strides[2], element),
            builder.pointer(b_here, b_step, element),
        ]
    return _by_row(loop.results[:-2], len(pieces))


def _by_row(sums: Sequence[Register], width: int) -> list[list[Register]]:
    return [list(sums[start : start + width]) for start in range(0, len(sums), width)]


def packed_offset(plan: ContractPlan, pieces: Sequence[Piece], number: int) -> int:
    """Where a piece starts in a row of a packed panel; each takes whole vectors, so loads are aligned."""
    return sum(round_up(piece.lanes, plan.lanes) for piece in pieces[:number])


def _alignment(plan: ContractPlan, piece: Piece) -> int:
    return piece.lanes * dtypes.itemsize(plan.spec.dtype)


# --- epilogue --------------------------------------------------------------------------------------


def finish_tile(
    builder: Builder,
    plan: ContractPlan,
    panel: Panels,
    sums: list[list[Register]],
    corner: tuple[Register, Register, Register],
    rest: Register,
    epilogue: Epilogue,
) -> None:
    """Hand every sum to the epilogue. corner: batch element, row and column. rest: scratch for one tile."""
    batch, row, column = corner
    if not plan.rolled or len(sums) == 1:
        tile = Tile(batch, row, column, builder.label)
        for row_offset, line in enumerate(sums):
            _finish_row(builder, panel, line, tile, row_offset, epilogue)
        return
    element = ELEMENT[plan.spec.dtype]
    for row_offset, line in enumerate(sums):
        for number, value in enumerate(line):
            offset = row_offset * plan.panel_stride + packed_offset(plan, panel.pieces, number)
            builder.store(
                value, builder.pointer(rest, offset, element), align=_alignment(plan, panel.pieces[number])
            )
    with builder.loop(0, len(sums), 1, [rest]) as loop:
        here = loop.carried[0]
        line = []
        for number, piece in enumerate(panel.pieces):
            address = builder.pointer(here, packed_offset(plan, panel.pieces, number), element)
            line.append(builder.load(vector(element, piece.lanes), address, align=_alignment(plan, piece)))
        tile = Tile(batch, builder.add(row, loop.index), column, builder.label)
        _finish_row(builder, panel, line, tile, 0, epilogue)
        loop.next = [builder.pointer(here, plan.panel_stride, element)]


def _finish_row(
    builder: Builder, panel: Panels, line: list[Register], tile: Tile, row_offset: int, epilogue: Epilogue
) -> None:
    for value, piece in zip(line, panel.pieces):
        place = Place(tile, row_offset, piece.offset, piece.lanes, piece_mask(piece), builder)
        epilogue(builder, value, place)


# --- packing ---------------------------------------------------------------------------------------


def pack_panel(builder: Builder, plan: ContractPlan, panel: Panels, b: Register, packed: Register) -> None:
    """Write one panel of B to scratch. `b` points to its first element; the unused lanes become zeros."""
    spec, element = plan.spec, ELEMENT[plan.spec.dtype]
    group = max(16 // dtypes.itemsize(spec.dtype), 1)
    grouped = spec.k // group * group if plan.source == TRANSPOSE and group > 1 else 0
    for number, piece in enumerate(panel.pieces):
        source = builder.pointer(b, piece.offset * spec.b_strides[2], element)
        target = builder.pointer(packed, packed_offset(plan, panel.pieces, number), element)
        if grouped:
            with builder.loop(0, grouped, group, [source, target]) as loop:
                _transpose(builder, plan, piece, loop.carried[0], loop.carried[1], group)
                loop.next = [
                    builder.pointer(loop.carried[0], group, element),
                    builder.pointer(loop.carried[1], group * plan.panel_stride, element),
                ]
            source, target = loop.results
        if grouped < spec.k:
            with builder.loop(grouped, spec.k, 1, [source, target]) as loop:
                here, there = loop.carried
                value = _collect(builder, plan, piece, here)
                builder.store(value, there, align=_alignment(plan, piece))
                loop.next = [
                    builder.pointer(here, spec.b_strides[1], element),
                    builder.pointer(there, plan.panel_stride, element),
                ]


def _collect(builder: Builder, plan: ContractPlan, piece: Piece, here: Register) -> Register:
    """One row of a piece, from columns that may lie anywhere."""
    element, stride = ELEMENT[plan.spec.dtype], plan.spec.b_strides[2]
    if stride == 1:
        return builder.load(vector(element, piece.lanes), here, piece_mask(piece))
    value = constant(0, element, piece.lanes)
    for lane in range(piece.valid):
        one = builder.load(element, builder.pointer(here, lane * stride, element))
        value = builder.insert(value, one, lane) if piece.lanes > 1 else one
    return value


def _transpose(
    builder: Builder, plan: ContractPlan, piece: Piece, source: Register, target: Register, group: int
) -> None:
    """`group` steps of k of one piece: columns are read 16 bytes along k, and written as rows.

    Column `group * q + r` comes into 128-bit quarter q of vector r, so what is left is one transposition of
    `group` x `group` elements inside every quarter, log2(group) shuffles for each vector.
    """
    element, stride = ELEMENT[plan.spec.dtype], plan.spec.b_strides[2]
    if piece.lanes < group:
        columns = [
            builder.load(vector(element, group), builder.pointer(source, column * stride, element))
            for column in range(piece.lanes)
        ]
        for step in range(group):
            value = constant(0, element, piece.lanes)
            for column, line in enumerate(columns):
                one = builder.extract(line, step)
                value = builder.insert(value, one, column) if piece.lanes > 1 else one
            address = builder.pointer(target, step * plan.panel_stride, element)
            builder.store(value, address, align=_alignment(plan, piece))
        return
    vectors = []
    for remainder in range(group):
        quarters = []
        for column in range(remainder, piece.lanes, group):
            if column < piece.valid:
                address = builder.pointer(source, column * stride, element)
                quarters.append(builder.load(vector(element, group), address))
            else:
                quarters.append(constant(0, element, group))
        while len(quarters) > 1:
            quarters = [
                builder.shuffle(low, high, range(2 * low.lanes))
                for low, high in zip(quarters[::2], quarters[1::2])
            ]
        vectors.append(quarters[0])
    for step, value in enumerate(_transpose_groups(builder, vectors, group)):
        builder.store(
            value, builder.pointer(target, step * plan.panel_stride, element), align=_alignment(plan, piece)
        )


def _transpose_groups(builder: Builder, vectors: list[Register], group: int) -> list[Register]:
    """Transpose every `group` x `group` block that the vectors hold side by side; `group` is 2 or 4."""
    lanes = vectors[0].lanes

    def interleave(x: Register, y: Register, unit: int, high: bool) -> Register:
        order = []
        for block in range(0, lanes, group):
            for position in range(0, group // 2, unit):
                start = block + position + (group // 2 if high else 0)
                order += [start + lane for lane in range(unit)]
                order += [lanes + start + lane for lane in range(unit)]
        return builder.shuffle(x, y, order)

    if group == 2:
        first, second = vectors
        return [interleave(first, second, 1, False), interleave(first, second, 1, True)]
    low = [interleave(vectors[0], vectors[1], 1, False), interleave(vectors[2], vectors[3], 1, False)]
    high = [interleave(vectors[0], vectors[1], 1, True), interleave(vectors[2], vectors[3], 1, True)]
    return [
        interleave(low[0], low[1], 2, False),
        interleave(low[0], low[1], 2, True),
        interleave(high[0], high[1], 2, False),
        interleave(high[0], high[1], 2, True),
    ]
