"""Which tiles, which packing, which tasks: all that is decided about a matrix product before emitting it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
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
DEAL = "deal"  # the same for 2 or 4 steps of k that lie end to end, which take fewer shuffles
GATHER = "gather"  # panels collected element by element

TASK_FLOPS = 1 << 21  # about 10 microseconds: smaller tasks are not worth handing to another thread
TASK_BYTES = 1 << 17  # the same for products that mostly read
SMALL_TASK_FLOPS = 1 << 15  # ... but a few smaller ones, for threads that are running already
FEW_TASKS = 4
PAGE = 4096
MOST_TASKS = 128
MANY_TILES = 8  # tiles of each task, from which on tasks have all columns of their rows


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
class ContractPlan(ABC):
    """The decisions. They follow from the shape and the target alone, never from the number of threads."""

    spec: ContractSpec
    target: Target

    @cached_property
    def sum_dtype(self) -> str:
        """The dtype of the sums, of packed panels and of what the epilogue gets."""
        return sum_dtype(self.spec.dtype)

    @cached_property
    def lanes(self) -> int:
        """Elements of a full vector of sums."""
        return self.target.lanes(self.sum_dtype)

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
    @abstractmethod
    def tasks(self) -> int:
        """Independent pieces of work."""

    @property
    @abstractmethod
    def by_rows(self) -> bool:
        """Whether the tasks are the units of rows that were asked for."""

    @property
    @abstractmethod
    def scratch_bytes(self) -> int:
        """What each thread must bring."""

    @property
    @abstractmethod
    def reason(self) -> str:
        """The decisions in one line."""


@dataclass(frozen=True)
class TilePlan(ContractPlan):
    """A product in tiles, with vectors along the rows of C.

    tiles: the tiles' rows. panels: the panels' columns. source: how B reaches the vector registers. A task is
    `row_block` tiles by `column_block` panels of one batch element. by_rows: see `ContractPlan`.
    """

    tiles: tuple[Tiles, ...]
    panels: tuple[Panels, ...]
    source: str
    row_block: int
    column_block: int
    by_rows: bool = False

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
        """Numbered by batch element, then column block, then row block."""
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
        """Packed panels, and a tile of sums for a long epilogue."""
        if not self.tasks:
            return 0
        tile = self.tiles[0].rows * self.panel_stride
        return round_up((self.packed_elements + tile) * dtypes.itemsize(self.sum_dtype), 64)

    @property
    def reason(self) -> str:
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


def equal_parts(count: int, largest: int) -> tuple[tuple[int, int], ...]:
    """(size, number) of the fewest parts of at most `largest` that are as equal as can be, larger ones first.

    A short last tile would wait for its own sums, so 128 rows are 8 x 13 + 2 x 12 rather than 9 x 14 + 2.
    """
    parts = ceil(count / largest)
    small, larger = divmod(count, parts) if parts else (0, 0)
    return tuple((size, n) for size, n in ((small + 1, larger), (small, parts - larger)) if n)


def split_rows(m: int, largest: int) -> tuple[Tiles, ...]:
    """`m` rows in tiles of at most `largest`."""
    tiles: list[Tiles] = []
    start = first = 0
    for size, number in equal_parts(m, largest):
        tiles.append(Tiles(start, size, number, first))
        start, first = start + size * number, first + number
    return tuple(tiles)


def split_units(m: int, rows: int, unit: int) -> tuple[Tiles, ...]:
    """`m` rows in units of `unit`, each in tiles of `rows`, which divides it; the last may be shorter."""
    whole = m // unit * unit
    rest = split_rows(m % unit, rows)
    return split_rows(whole, rows) + tuple(
        replace(run, start=run.start + whole, first=run.first + whole // rows) for run in rest
    )


def split_columns(n: int, vectors: int, target: Target, dtype: str) -> tuple[Panels, ...]:
    """`n` columns in panels of at most `vectors` pieces, as equal as can be; equal ones in one run."""
    lanes = target.lanes(dtype)
    whole, tail = n // lanes, _tail(n % lanes, lanes, target.has_masks)
    runs: list[Panels] = []
    done = first = 0  # pieces and panels so far
    for size, number in equal_parts(whole + len(tail), vectors):
        plain = min((whole - done) // size, number)
        if plain > 0:
            pieces = tuple(Piece(position * lanes, lanes, lanes) for position in range(size))
            runs.append(Panels(done * lanes, pieces, plain, first))
            done, first = done + plain * size, first + plain
        for _ in range(number - max(plain, 0)):
            start = done * lanes if done <= whole else whole * lanes + tail[done - whole].offset
            full = tuple(Piece(position * lanes, lanes, lanes) for position in range(max(whole - done, 0)))
            shift = whole * lanes - start
            short = tail[max(done - whole, 0) :][: size - len(full)]
            rest = tuple(Piece(piece.offset + shift, piece.lanes, piece.valid) for piece in short)
            runs.append(Panels(start, full + rest, 1, first))
            done, first = done + size, first + 1
    return tuple(runs)


def _tail(left: int, lanes: int, masks: bool) -> tuple[Piece, ...]:
    """The end of a row after whole vectors: one masked vector, or without masks shorter and shorter ones."""
    pieces: list[Piece] = []
    offset = 0
    while offset < left:
        fitting = 1 << ((left - offset).bit_length() - 1)
        if masks and fitting != left - offset:
            return (*pieces, Piece(offset, lanes, left - offset))
        pieces.append(Piece(offset, fitting, fitting))
        offset += fitting
    return tuple(pieces)


def pieces_of(n: int, lanes: int, masks: bool) -> list[Piece]:
    """All pieces of `n` elements: whole vectors, then what is left."""
    whole = [Piece(offset, lanes, lanes) for offset in range(0, n - n % lanes, lanes)]
    start = len(whole) * lanes
    return whole + [replace(piece, offset=start + piece.offset) for piece in _tail(n - start, lanes, masks)]


def registers_needed(rows: int, vectors: int, target: Target) -> int:
    """Vector registers of an inner loop: the sums, the shorter side of operands, what passes through."""
    passing = (
        2 if target.is_arm64 or not target.fma else 1
    )  # Arm loads scalars in pairs; a product before its sum
    return rows * vectors + min(rows, vectors) + passing


@lru_cache(maxsize=16)
def tile_shapes(target: Target) -> tuple[tuple[int, int], ...]:
    """(rows, vectors) that fit in the registers with one to spare."""
    limit = target.registers - 1
    return tuple(
        (rows, vectors)
        for vectors in range(1, limit)
        for rows in range(1, limit)
        if registers_needed(rows, vectors, target) <= limit
    )


def cycles_of_step(rows: int, vectors: int, target: Target, far: float) -> float:
    """Estimated cycles of one step of k for a tile.

    Two multiply-adds and two loads start each cycle (four and three of Arm's short ones); a sum can be added
    to every fourth cycle, and tiles with so few sums that this binds never catch up with a delay. `far` cache
    lines come from the second cache, one in two cycles, not quite hidden.
    """
    multiply_adds, loads = (4, 3) if target.is_arm64 else (2, 2)
    arithmetic = rows * vectors / multiply_adds * (1 if target.fma else 2)
    late = 1.2 if far and arithmetic < 4.5 else 0.0
    return max(arithmetic, (rows + vectors) / loads, 4.4, 2.0 * far) + 0.1 * far + late


def _cost(spec: ContractSpec, target: Target, rows: int, vectors: int) -> float:
    """Estimated cycles of the whole product with tiles of at most this size."""
    dtype = sum_dtype(spec.dtype)
    lanes, size = target.lanes(dtype), dtypes.itemsize(dtype)
    pieces = spec.n // lanes + (1 if target.has_masks else (spec.n % lanes).bit_count()) * (
        spec.n % lanes > 0
    )
    tiles, panels = equal_parts(spec.m, rows), equal_parts(pieces, vectors)
    once = spec.m <= rows  # B is read once, from wherever it lies: long rows suit the prefetcher
    cycles = 0.0
    for height, tile_count in tiles:
        for width, panel_count in panels:
            reused = spec.n * size if once else width * target.vector_bytes
            lines = max(1.0, width * target.vector_bytes / 64)
            far = 0.0 if spec.k * reused <= target.caches.l1 * 5 // 8 else lines
            step = cycles_of_step(height, width, target, far) + (4.0 if far and once else 0.0)
            cycles += tile_count * panel_count * (spec.k * step + 1.5 * height * width + 25)
    # Each combination of sizes is machine code of its own, and takes milliseconds to make.
    bodies = len(tiles) * (len(panels) + (spec.n % lanes > 0 and len(panels) * vectors < pieces))
    return cycles * (1 + 0.02 * (bodies - 1) + 0.0005 * rows * vectors) + 300 * (bodies - 1)


# --- the plan --------------------------------------------------------------------------------------


def plan_tiles(spec: ContractSpec, target: Target, unit: int = 0) -> TilePlan:
    """The plan with the tiles that should take the least time."""
    if unit and spec.batch == 1 and spec.n:
        return _plan_units(spec, target, unit)
    rows, vectors = best_shape(spec, target)
    return shaped_plan(spec, target, rows, vectors)


def _plan_units(spec: ContractSpec, target: Target, unit: int) -> TilePlan:
    """The plan whose tasks are units of rows with all columns: tiles of equal height fill each unit."""
    # A unit of few rows is that of a loop, whose B stays in the second cache: as if it were read again.
    rows, vectors = best_shape(replace(spec, m=max(unit, 16)), target, unit)
    tiles = split_units(spec.m, rows, unit)
    panels = split_columns(spec.n, vectors, target, sum_dtype(spec.dtype))
    source = source_of(spec, target, sum(run.count for run in tiles))
    panel_count = sum(run.count for run in panels)
    return TilePlan(spec, target, tiles, panels, source, unit // rows, panel_count, by_rows=True)


def shaped_plan(
    spec: ContractSpec,
    target: Target,
    rows: int,
    vectors: int,
    source: str = "",
) -> TilePlan:
    """The plan with tiles of at most `rows` by `vectors`; `plan_tiles` picks the two."""
    tiles = split_rows(spec.m, rows)
    panels = split_columns(spec.n, vectors, target, sum_dtype(spec.dtype))
    tile_count = sum(run.count for run in tiles)
    panel_count = sum(run.count for run in panels)
    source = source or source_of(spec, target, tile_count)
    width = max((len(run.pieces) for run in panels), default=0) * target.vector_bytes
    packed_panel = 0 if source == DIRECT else spec.k * width
    row_block, column_block = _blocks(spec, target, packed_panel, tile_count, panel_count)
    return TilePlan(spec, target, tiles, panels, source, row_block, column_block)


@lru_cache(maxsize=512)
def best_shape(spec: ContractSpec, target: Target, unit: int = 0) -> tuple[int, int]:
    """(rows, vectors) of a tile; with a unit, its rows divide that."""
    if 0 in (spec.m, spec.n):
        return 1, 1
    shapes = [shape for shape in tile_shapes(target) if not unit or unit % shape[0] == 0]
    return min(shapes, key=lambda shape: (_cost(spec, target, *shape), shape[1]))


def source_of(spec: ContractSpec, target: Target, tile_count: int) -> str:
    """How B is read. Packing pays where the rows of a panel lie on many pages and are read many times."""
    _, step, neighbour = spec.b_strides
    size = dtypes.itemsize(spec.dtype)
    if neighbour == 1 or spec.n == 1:
        widened = sum_dtype(spec.dtype) != spec.dtype and tile_count > 2
        pages = spec.k * min(step * size / PAGE, 1)
        return COPY if widened or (pages > 512 and tile_count >= 24) else DIRECT
    if step == 1 and spec.k in (2, 4) and neighbour == spec.k and size >= 4:
        return DEAL
    return TRANSPOSE if step == 1 and size >= 4 else GATHER


def _blocks(
    spec: ContractSpec, target: Target, packed_panel: int, tiles: int, panels: int
) -> tuple[int, int]:
    """Tiles and panels of one task: enough tasks for many threads, none below about ten microseconds.

    packed_panel: bytes of a packed panel, 0 when none is packed. Tasks are split by columns first, but where
    there are many times more rows, by these, with all columns. So are short products: a thread that computed
    the gradient of some rows finds them in its cache when it updates these rows of the weights. Where A does
    not stay in the second cache, a task takes several panels, so that A is read less often.
    """
    flops, size = 2 * spec.m * spec.n * spec.k, dtypes.itemsize(spec.dtype)
    read = (spec.m + spec.n) * spec.k * size
    few = min(flops // SMALL_TASK_FLOPS, FEW_TASKS // max(1, spec.batch))
    wanted = max(1, min(max(flops // TASK_FLOPS, read // TASK_BYTES, few), MOST_TASKS))
    short = flops < TASK_FLOPS and tiles >= wanted and not packed_panel
    if short or (tiles >= MANY_TILES * wanted and panels * packed_panel <= target.caches.l2 // 2):
        return ceil(tiles / wanted), max(panels, 1)
    column_block = max(1, ceil(panels / wanted))
    if packed_panel and spec.m * spec.k * size > target.caches.l2 // 2:
        column_block = max(column_block, min(target.caches.l2 // 2 // packed_panel, panels // 8))
    column_blocks = max(1, ceil(panels / column_block))
    row_block = max(1, ceil(tiles * column_blocks / wanted))
    return row_block, column_block
