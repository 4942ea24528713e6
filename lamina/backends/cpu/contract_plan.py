"""Which tiles, which packing, which tasks: all that is decided about a matrix product before emitting it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from math import ceil

from lamina.backends.cpu.target import Target
from lamina.core import dtypes

Strides = tuple[int, int, int]

# How the columns of B get into vector registers.
DIRECT = "direct"  # loaded where they lie: neighbouring columns are neighbours in memory
COPY = "copy"  # panels copied to scratch first, because the rows of B lie far apart
TRANSPOSE = (
    "transpose"  # panels written to scratch through small transpositions: neighbours along k in memory
)
GATHER = "gather"  # panels collected element by element

TASK_FLOPS = 1 << 21  # about 10 microseconds: smaller tasks are not worth handing to another thread
MOST_TASKS = 128
ROLLED_ABOVE = 12  # instructions of an epilogue from which it is worth a loop over the rows of a tile


@dataclass(frozen=True)
class ContractSpec:
    """A batch of matrix products, C[b, i, j] = sum over k of A[b, i, k] * B[b, k, j].

    m, n, k: extents of i, j and k. Strides count elements, in the order (batch, row, column) of each matrix.
    """

    m: int
    n: int
    k: int
    batch: int
    a_strides: Strides
    b_strides: Strides
    c_strides: Strides
    dtype: str = "float32"

    @staticmethod
    def contiguous(m: int, n: int, k: int, batch: int = 1, dtype: str = "float32") -> ContractSpec:
        """All three matrices row-major and dense."""
        return ContractSpec(m, n, k, batch, (m * k, k, 1), (k * n, n, 1), (m * n, n, 1), dtype)


@dataclass(frozen=True)
class Piece:
    """One accumulator's share of a panel: `lanes` columns from `offset`, of which the first `valid` exist."""

    offset: int
    lanes: int
    valid: int


@dataclass(frozen=True)
class Tiles:
    """`count` tiles of `rows` rows below each other; the first starts at row `start`, as number `first`."""

    start: int
    rows: int
    count: int
    first: int


@dataclass(frozen=True)
class Panels:
    """`count` panels of equal pieces, side by side; the first starts at column `start`, as number `first`."""

    start: int
    pieces: tuple[Piece, ...]
    count: int
    first: int

    @property
    def width(self) -> int:
        """Columns of a panel that exist."""
        return self.pieces[-1].offset + self.pieces[-1].valid


@dataclass(frozen=True)
class ContractPlan:
    """The decisions. They follow from the shape and the target alone, never from the number of threads.

    tiles: the tiles' rows. panels: the panels' columns. source: how B reaches the vector registers. A task is
    `row_block` tiles by `column_block` panels of one batch element. rolled: whether the epilogue is emitted
    once, in a loop over a tile's rows, instead of once per row.
    """

    spec: ContractSpec
    target: Target
    tiles: tuple[Tiles, ...]
    panels: tuple[Panels, ...]
    source: str
    row_block: int
    column_block: int
    rolled: bool

    @cached_property
    def sum_dtype(self) -> str:
        """The dtype of the sums, of packed panels and of what the epilogue gets."""
        return sum_dtype(self.spec.dtype)

    @cached_property
    def lanes(self) -> int:
        """Elements of a full vector of sums."""
        return self.target.lanes(self.sum_dtype)

    @cached_property
    def tile_count(self) -> int:
        return sum(tiles.count for tiles in self.tiles)

    @cached_property
    def panel_count(self) -> int:
        return sum(panels.count for panels in self.panels)

    @cached_property
    def row_blocks(self) -> int:
        return ceil(self.tile_count / self.row_block)

    @cached_property
    def column_blocks(self) -> int:
        return ceil(self.panel_count / self.column_block)

    @property
    def tasks(self) -> int:
        """Independent pieces of work, numbered by batch element, then column block, then row block."""
        return self.spec.batch * self.column_blocks * self.row_blocks

    @cached_property
    def panel_stride(self) -> int:
        """Elements between the rows of a packed panel."""
        return max(
            sum(round_up(piece.lanes, self.lanes) for piece in panels.pieces) for panels in self.panels
        )

    @property
    def packed_elements(self) -> int:
        """Elements of scratch for packed panels, a multiple of a cache line."""
        if self.source == DIRECT or not self.tasks:
            return 0
        return self.column_block * self.spec.k * self.panel_stride

    @property
    def scratch_bytes(self) -> int:
        """What each thread must bring: packed panels, and a tile when the epilogue is rolled."""
        if not self.tasks:
            return 0
        tile = self.tiles[0].rows * self.panel_stride if self.rolled else 0
        return round_up((self.packed_elements + tile) * dtypes.itemsize(self.sum_dtype), 64)

    @property
    def flops(self) -> int:
        return 2 * self.spec.batch * self.spec.m * self.spec.n * self.spec.k

    @property
    def bytes(self) -> int:
        """Of the three matrices, each counted once."""
        spec = self.spec
        elements = spec.m * spec.k + spec.k * spec.n + spec.m * spec.n
        return spec.batch * elements * dtypes.itemsize(spec.dtype)

    @property
    def reason(self) -> str:
        """The decisions in one line."""
        if not self.tasks:
            return "nothing to compute"
        rows = "+".join(f"{tiles.count}x{tiles.rows}" for tiles in self.tiles)
        pieces = "+".join(
            f"{panels.count}x({' '.join(_describe(piece) for piece in panels.pieces)})"
            for panels in self.panels
        )
        return f"rows {rows}, columns {pieces}, B {self.source}, {self.tasks} tasks"


def _describe(piece: Piece) -> str:
    return str(piece.lanes) if piece.valid == piece.lanes else f"{piece.valid}/{piece.lanes}"


def sum_dtype(dtype: str) -> str:
    """Half precision is summed in float32; everything else in its own dtype."""
    return "float32" if dtype in ("float16", "bfloat16") else dtype


def round_up(count: int, unit: int) -> int:
    return -(-count // unit) * unit


# --- tiles and panels ------------------------------------------------------------------------------


def split_rows(m: int, largest: int) -> tuple[Tiles, ...]:
    """`m` rows in the fewest tiles of at most `largest`, as equal as can be: a short last tile would wait for
    its own sums, so 128 rows are 8 x 13 + 2 x 12 rather than 9 x 14 + 2.
    """
    if m == 0:
        return ()
    count = ceil(m / largest)
    small, taller = divmod(m, count)
    tall = Tiles(0, small + 1, taller, 0)
    rest = Tiles(taller * (small + 1), small, count - taller, taller)
    return tuple(tiles for tiles in (tall, rest) if tiles.count)


def split_columns(n: int, vectors: int, target: Target, dtype: str) -> tuple[Panels, ...]:
    """`n` columns in panels of at most `vectors` pieces, as equal as can be; equal ones in one run."""
    pieces = _pieces(n, target.lanes(dtype), target.has_masks)
    if not pieces:
        return ()
    count = ceil(len(pieces) / vectors)
    small, wider = divmod(len(pieces), count)
    runs: list[Panels] = []
    position = 0
    for number in range(count):
        taken = pieces[position : position + small + (number < wider)]
        position += len(taken)
        start = taken[0].offset
        local = tuple(Piece(piece.offset - start, piece.lanes, piece.valid) for piece in taken)
        if runs and runs[-1].pieces == local:
            runs[-1] = Panels(runs[-1].start, local, runs[-1].count + 1, runs[-1].first)
        else:
            runs.append(Panels(start, local, 1, number))
    return tuple(runs)


def _pieces(n: int, lanes: int, masks: bool) -> list[Piece]:
    """Full vectors, then what is left: one masked vector, or without masks shorter and shorter vectors."""
    pieces = [Piece(offset, lanes, lanes) for offset in range(0, n - lanes + 1, lanes)]
    offset = len(pieces) * lanes
    while offset < n:
        left = n - offset
        fitting = 1 << (left.bit_length() - 1)
        if masks and fitting != left:
            pieces.append(Piece(offset, lanes, left))
            break
        pieces.append(Piece(offset, fitting, fitting))
        offset += fitting
    return pieces


def registers_needed(rows: int, vectors: int, target: Target) -> int:
    """Vector registers of an inner loop: the sums, the shorter side of operands, one of the other side."""
    return rows * vectors + min(rows, vectors) + (1 if target.fma else 2)


@lru_cache(maxsize=16)
def _shapes(target: Target) -> tuple[tuple[int, int], ...]:
    """(rows, vectors) that fit in the registers with one to spare."""
    limit = target.registers - 1
    return tuple(
        (rows, vectors)
        for vectors in range(1, limit)
        for rows in range(1, limit)
        if registers_needed(rows, vectors, target) <= limit
    )


def _cycles(rows: int, vectors: int, target: Target, far: float) -> float:
    """Estimated cycles of one step of k for a tile.

    Two multiply-adds and two loads start each cycle, a sum can be added to every fourth cycle, and `far`
    cache lines come from the second cache at one in two cycles, not quite hidden.
    """
    arithmetic = rows * vectors / 2 * (1 if target.fma else 2)
    return max(arithmetic, (rows + vectors) / 2, 4.0, 2.0 * far) + 0.1 * far


def _cost(spec: ContractSpec, target: Target, rows: int, vectors: int) -> float:
    """Estimated cycles of the whole product with tiles of at most this size."""
    tiles = split_rows(spec.m, rows)
    panels = split_columns(spec.n, vectors, target, sum_dtype(spec.dtype))
    cycles = 0.0
    for run in tiles:
        for strip in panels:
            count = len(strip.pieces)
            near = spec.k * count * target.vector_bytes <= target.caches.l1 * 5 // 8
            far = 0.0 if near else count * target.vector_bytes / 64
            step = _cycles(run.rows, count, target, far)
            cycles += run.count * strip.count * (spec.k * step + 1.5 * run.rows * count + 25)
    # Each combination of tile and panel sizes is machine code of its own, which takes milliseconds to make.
    return cycles * (1 + 0.02 * (len(tiles) * len(panels) - 1) + 0.0005 * rows * vectors)


# --- the plan --------------------------------------------------------------------------------------


def plan_contract(spec: ContractSpec, target: Target, epilogue_instructions: int = 4) -> ContractPlan:
    """Decide how to compute `spec` on `target`.

    epilogue_instructions: roughly how many instructions follow on each vector of sums; a long epilogue is
    emitted once per tile shape and looped over the tile's rows, which keeps the code small.
    """
    rows, vectors = _best_shape(spec, target)
    return shaped_plan(spec, target, rows, vectors, epilogue_instructions)


def shaped_plan(
    spec: ContractSpec,
    target: Target,
    rows: int,
    vectors: int,
    epilogue_instructions: int = 4,
    source: str = "",
) -> ContractPlan:
    """The plan with tiles of at most `rows` by `vectors`; `plan_contract` picks the two."""
    tiles = split_rows(spec.m, rows)
    panels = split_columns(spec.n, vectors, target, sum_dtype(spec.dtype))
    tile_count = sum(run.count for run in tiles)
    panel_count = sum(run.count for run in panels)
    source = source or _source(spec, target, tile_count)
    row_block, column_block = _blocks(spec, tile_count, panel_count)
    rolled = epilogue_instructions > ROLLED_ABOVE
    return ContractPlan(spec, target, tiles, panels, source, row_block, column_block, rolled)


@lru_cache(maxsize=512)
def _best_shape(spec: ContractSpec, target: Target) -> tuple[int, int]:
    if 0 in (spec.m, spec.n):
        return 1, 1
    return min(_shapes(target), key=lambda shape: (_cost(spec, target, *shape), shape[1]))


def _source(spec: ContractSpec, target: Target, tile_count: int) -> str:
    _, step, neighbour = spec.b_strides
    if neighbour == 1 or spec.n == 1:
        widened = sum_dtype(spec.dtype) != spec.dtype
        return COPY if widened and tile_count > 2 else DIRECT
    return TRANSPOSE if step == 1 and dtypes.itemsize(spec.dtype) >= 4 else GATHER


def _blocks(spec: ContractSpec, tile_count: int, panel_count: int) -> tuple[int, int]:
    """Tiles and panels of one task: tasks of about TASK_FLOPS, split by columns first, then by rows."""
    flops = 2 * spec.m * spec.n * max(spec.k, 1)
    wanted = max(1, min(flops // TASK_FLOPS, MOST_TASKS))
    column_block = max(1, ceil(panel_count / wanted))
    column_blocks = ceil(panel_count / column_block) if panel_count else 1
    row_block = max(1, ceil(tile_count * column_blocks / wanted))
    return row_block, column_block
