"""What the kernels of attention and of its gradient share: addresses, transposed queries, tiles of scores."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from lamina.backends.cpu import math
from lamina.backends.cpu.attention_plan import AttentionPlan
from lamina.backends.cpu.contract_plan import Panels
from lamina.backends.cpu.contract_shuffle import transpose_lines
from lamina.backends.cpu.contract_sums import Step, Stored, TileSums, valid_mask
from lamina.backends.cpu.contract_walk import counted, divide, start_of
from lamina.backends.cpu.emit import ELEMENT, Builder, Register, constant, index, lane_constants, vector
from lamina.backends.cpu.math_exp import EXP_LIMITS, exp_within
from lamina.backends.cpu.math_vector import Vector
from lamina.backends.cpu.views import Resolver
from lamina.core import dtypes
from lamina.core.shapes import row_major_strides
from lamina.ir.attention_rules import hidden, threshold
from lamina.ir.graph import Value


@dataclass(frozen=True)
class Matrix:
    """Rows of features in memory: where the first starts, and elements from one to the next."""

    start: Register
    step: int


@dataclass(frozen=True)
class Block:
    """A block of queries: its batch element, its head, its first query and how many there are."""

    batch: Register
    head: Register
    first: Register
    count: Register


class AttentionKernel:
    """Emits pieces of an attention kernel; subclasses put them together."""

    def __init__(
        self,
        builder: Builder,
        plan: AttentionPlan,
        resolve: Resolver,
        pointers: Mapping[Value, Register],
        targets: Mapping[Value, Sequence[Value]],
    ) -> None:
        self.b = builder
        self.plan = plan
        self.resolve = resolve
        self.pointers = pointers
        self.targets = targets
        self.element = ELEMENT[plan.dtype]
        self.scratch, self.begin, self.end = builder.arguments[-3:]
        stored = Stored(plan.dtype)
        self.sums = TileSums(builder, plan.target, stored, stored, plan.block, lambda *_: None)

    # -- addresses -----------------------------------------------------------------------------

    def part(self, name: str) -> Register:
        """A part of the scratch memory."""
        return self.at(self.scratch, self.plan.offsets[name])

    def at(self, base: Register, offset: Register | int) -> Register:
        return self.b.pointer(base, offset, self.element)

    def rows_of(self, operand: Value, batch: Register, row: Register | int, head: Register) -> Matrix:
        """The rows of an operand [batch, rows, heads, features] from `row` on."""
        view = self.resolve(operand)
        return self._rows(self.pointers[view.root], view.offset, view.strides, batch, row, head)

    def rows_written(
        self, output: int, batch: Register, row: Register | int, head: Register
    ) -> Matrix | None:
        """The same of an output; None if nobody wants it."""
        value = self.plan.node.outputs[output]
        memory = self.targets.get(value, ())
        if not memory:
            return None
        return self._rows(self.pointers[memory[0]], 0, row_major_strides(value.shape), batch, row, head)

    def _rows(
        self,
        base: Register,
        offset: int,
        strides: Sequence[int],
        batch: Register,
        row: Register | int,
        head: Register,
    ) -> Matrix:
        b = self.b
        first = index(row) if isinstance(row, int) else row
        place = b.add(b.multiply(batch, strides[0]), b.multiply(first, strides[1]))
        place = b.add(b.add(place, b.multiply(head, strides[2])), offset)
        return Matrix(self.at(base, place), strides[1])

    def row(self, matrix: Matrix, number: Register) -> Register:
        return self.at(matrix.start, self.b.multiply(number, matrix.step))

    def numbers(self, value: Value, block: Block) -> Register | None:
        """Where the numbers [batch, heads, queries] of a block lie; None for an output nobody wants."""
        b, plan = self.b, self.plan
        if value.node is plan.node:
            memory = self.targets.get(value, ())
            base = self.pointers[memory[0]] if memory else None
        else:
            base = self.pointers[self.resolve(value).root]
        if base is None:
            return None
        row = b.add(b.multiply(block.batch, plan.heads), block.head)
        return self.at(base, b.add(b.multiply(row, plan.queries), block.first))

    # -- blocks --------------------------------------------------------------------------------

    def block_at(self, batch: Register, head: Register, number: Register) -> Block:
        b, plan = self.b, self.plan
        first = b.multiply(number, plan.block)
        count = index(plan.block)
        if plan.queries % plan.block:
            count = b.intrinsic("smin", "i64", b.subtract(index(plan.queries), first), count)
        return Block(batch, head, first, count)

    def divide(self, number: Register, count: int) -> tuple[Register, Register]:
        return divide(self.b, number, count)

    def lanes_of(self, number: int, block: Block) -> Register | None:
        """The mask of the lanes of vector `number` of a block that are queries; None if all are."""
        plan = self.plan
        if plan.queries % plan.block == 0:
            return None
        return self.b.tail_mask(self.b.subtract(block.count, number * plan.lanes), plan.lanes)

    # -- small things --------------------------------------------------------------------------

    def vectors(self, here: Register) -> list[Vector]:
        """The numbers of a block's queries, in scratch memory."""
        return [
            self._vector(self.b.load(vector(self.element, self.plan.lanes), self.at(here, place)))
            for place in self._places()
        ]

    def keep(self, values: Sequence[Vector], here: Register) -> None:
        for value, place in zip(values, self._places()):
            self.b.store(value.register, self.at(here, place))

    def full(self, number: float) -> list[Vector]:
        return [self._vector(self._constant(number)) for _ in self._places()]

    def _places(self) -> range:
        return range(0, self.plan.block, self.plan.lanes)

    def _vector(self, register: Register) -> Vector:
        return Vector(self.b, self.plan.target, register)

    def _constant(self, number: float) -> Register:
        return constant(number, self.element, self.plan.lanes)

    def power(self, x: Vector) -> Vector:
        """exp(x) for x <= 0."""
        return exp_within(x.at_least(EXP_LIMITS[self.plan.dtype][0]))

    def clear(self, here: Register, count: int) -> None:
        """Zeros in scratch memory; `count` is a multiple of the lanes."""
        with self.b.loop(0, count, self.plan.lanes) as place:
            self.b.store(self._constant(0.0), self.at(here, place.index))

    # -- transposing ---------------------------------------------------------------------------

    def transpose(self, matrix: Matrix, size: int, block: Block, there: Register) -> None:
        """Write the rows of a block's queries as columns: [size, block], zeros after the last query."""
        b, plan = self.b, self.plan
        group = 16 // dtypes.itemsize(plan.dtype)
        fits, is_whole = size % group == 0, plan.queries % plan.block == 0
        if fits and is_whole:
            self._transpose_whole(matrix, size, there, group)
        elif fits and plan.queries > plan.block:
            whole = b.compare("icmp eq", block.count, index(plan.block))
            with b.when(whole):
                self._transpose_whole(matrix, size, there, group)
            with b.when(b.op("xor", whole, constant(1, "i1"))):
                self._transpose_singly(matrix, size, block, there)
        else:
            self._transpose_singly(matrix, size, block, there)

    def _transpose_whole(self, matrix: Matrix, size: int, there: Register, group: int) -> None:
        plan = self.plan
        with self.b.loop(0, size, group) as feature:
            for place in self._places():
                here = self.at(self.at(matrix.start, place * matrix.step), feature.index)
                out = self.at(self.at(there, self.b.multiply(feature.index, plan.block)), place)
                lines = (here, matrix.step, plan.lanes)
                transpose_lines(self.b, lines, (out, plan.block, plan.lanes), self.element, group)

    def _transpose_singly(self, matrix: Matrix, size: int, block: Block, there: Register) -> None:
        b, plan = self.b, self.plan
        self.clear(there, size * plan.block)
        with b.loop(0, block.count) as query:
            here, out = self.row(matrix, query.index), self.at(there, query.index)
            with b.loop(0, size) as feature:
                number = b.load(self.element, self.at(here, feature.index))
                b.store(number, self.at(out, b.multiply(feature.index, plan.block)))

    # -- tiles ---------------------------------------------------------------------------------

    @contextmanager
    def blocks_of_keys(self, block: Block) -> Iterator[KeyBlock]:
        """The loop over blocks of keys that a block of queries looks at."""
        b, plan = self.b, self.plan
        tiles, with_rest = index(plan.tiles), constant(1, "i1")
        if plan.skips:
            needed = b.add(block.first, block.count)
            reached = b.op("udiv", b.add(needed, plan.rows - 1), index(plan.rows))
            tiles = b.intrinsic("smin", "i64", reached, tiles)
            with_rest = b.compare("icmp sgt", needed, index(plan.tiles * plan.rows))
        if plan.tiles_in_block >= plan.tiles:
            yield self._key_block(index(0), tiles, with_rest)
            return
        with b.loop(0, tiles, plan.tiles_in_block) as tile:
            left = b.subtract(tiles, tile.index)
            count = b.intrinsic("smin", "i64", left, index(plan.tiles_in_block))
            is_last = b.compare("icmp sle", left, index(plan.tiles_in_block))
            yield self._key_block(tile.index, count, b.op("and", is_last, with_rest))

    def _key_block(self, first: Register, count: Register, with_rest: Register) -> KeyBlock:
        b, plan = self.b, self.plan
        keys = b.multiply(count, plan.rows)
        if plan.rest:
            keys = b.add(keys, b.select(with_rest, index(plan.rest), index(0)))
        return KeyBlock(b.multiply(first, plan.rows), count, keys, with_rest)

    def each_tile(self, keys: KeyBlock, body: Callable[[int, Register], None]) -> None:
        """`body(rows, first row within the block)` for every tile of a block of keys."""
        b, plan = self.b, self.plan
        with counted(b, index(0), keys.tiles) as tile:
            body(plan.rows, b.multiply(tile, plan.rows))
        if plan.rest:
            with b.when(keys.with_rest):
                body(plan.rest, b.multiply(keys.tiles, plan.rows))

    def products(self, rows: Matrix, size: int, columns: Register, count: int) -> list[Vector]:
        """Products of `count` rows of features with the transposed queries of a block, row by row."""
        distances = [number * rows.step for number in range(count)]
        steps = [Step(size, 1, self.plan.block)]
        found = self.sums.accumulate(distances, self.plan.scored, rows.start, columns, steps)
        return [self._vector(register) for register in found]

    def scores(self, rows: Matrix, first: Register, count: int, block: Block, scale: float) -> list[Vector]:
        """A tile of scores: keys first, first + 1, ... in rows, queries in lanes."""
        plan = self.plan
        found = self.products(rows, plan.depth, self.part("queries"), count)
        return [
            self._seen(value * scale, self.b.add(first, number // plan.vectors), number % plan.vectors, block)
            for number, value in enumerate(found)
        ]

    def _seen(self, score: Vector, key: Register, number: int, block: Block) -> Vector:
        """The score, or the hidden one where the query may not look at the key."""
        b, plan = self.b, self.plan
        allowed = None
        if plan.mask is not None:
            allowed = self._vector(self._masked(plan.mask, key, number, block))
        if plan.causal:
            query = b.add(block.first, number * plan.lanes)
            ahead = b.instruction(f"trunc i64 {b.subtract(key, query).text} to i32", "i32")
            lanes = lane_constants(range(plan.lanes), "i32")
            past = self._vector(b.compare("icmp sge", lanes, b.splat(ahead, plan.lanes)))
            allowed = past if allowed is None else allowed & past
        return score if allowed is None else allowed.where(score, hidden(plan.dtype))

    def _masked(self, mask: Value, key: Register, number: int, block: Block) -> Register:
        b, plan = self.b, self.plan
        batches, heads, keys, queries = mask.shape
        row = index(0) if batches == 1 else block.batch
        row = b.add(b.multiply(row, heads), index(0) if heads == 1 else block.head)
        row = b.add(b.multiply(row, keys), key)
        base = self.pointers[self.resolve(mask).root]
        if queries == 1:
            return b.splat(b.load("i1", b.pointer(base, row, "i1")), plan.lanes)
        query = b.add(block.first, number * plan.lanes)
        here = b.pointer(base, b.add(b.multiply(row, queries), query), "i1")
        return b.load(vector("i1", plan.lanes), here, self.lanes_of(number, block))

    def kept(self, values: Sequence[Vector], key: Register, block: Block) -> list[Vector]:
        """Weights of one key, or their cotangents: 0 where they are dropped, scaled up where they are not."""
        b, plan = self.b, self.plan
        if plan.bits is None:
            return list(values)
        rate, here = plan.node.attributes["rate"], self.pointers[self.resolve(plan.bits).root]
        words = [b.load("i32", b.pointer(here, number, "i32")) for number in range(2)]
        row = b.add(b.multiply(block.batch, plan.heads), block.head)
        row = b.add(b.multiply(row, plan.queries), block.first)
        found = []
        for number, value in enumerate(values):
            element = b.add(b.multiply(b.add(row, number * plan.lanes), plan.keys), key)
            start = b.splat(b.instruction(f"trunc i64 {element.text} to i32", "i32"), plan.lanes)
            steps = lane_constants([_as_signed(lane * plan.keys) for lane in range(plan.lanes)], "i32")
            drawn = math.random_bits(b, words[0], words[1], b.op("add", start, steps), plan.target)
            stays = self._vector(drawn).unsigned_shift(8) < threshold(rate)
            found.append(stays.where(value * (1 / (1 - rate)), 0.0))
        return found

    # -- sums in memory ------------------------------------------------------------------------

    def add_products(
        self,
        weights: tuple[Register, int, int],
        count: int,
        over: Register,
        rows: Matrix,
        size: int,
        sums: Matrix,
        factors: Register | None = None,
    ) -> None:
        """sums += weights @ rows, for `count` rows of sums, `size` features.

        weights: where the first is, and the steps to the next row and to the next number of a row, of which
        there are `over`. factors: numbers in memory that the rows of sums are multiplied with before.
        """
        b, plan = self.b, self.plan
        start, down, along = weights
        for panels in plan.features(size, count):
            with counted(b, index(panels.first), index(panels.first + panels.count)) as number:
                column = start_of(b, number, panels)
                places = self._places_in(self.at(sums.start, column), sums.step, count, panels)
                found = [b.load(kind, here, mask) for kind, here, mask in places]
                if factors is not None:
                    for row in range(count):
                        factor = b.load(self.element, self.at(factors, row))
                        for position in range(row * len(panels.pieces), (row + 1) * len(panels.pieces)):
                            spread = b.splat(factor, found[position].lanes)
                            found[position] = b.op("fmul", found[position], spread)
                found = self.sums.accumulate(
                    [row * down for row in range(count)],
                    panels,
                    start,
                    self.at(rows.start, column),
                    [Step(over, along, rows.step)],
                    found,
                )
                for register, (_, here, mask) in zip(found, places):
                    b.store(register, here, mask)

    def _places_in(
        self, start: Register, step: int, count: int, panels: Panels
    ) -> list[tuple[str, Register, Register | None]]:
        return [
            (
                vector(self.element, piece.lanes),
                self.at(start, row * step + piece.offset),
                valid_mask(piece.lanes, piece.valid),
            )
            for row in range(count)
            for piece in panels.pieces
        ]

    def mix(self, keys: KeyBlock, weights: Register, rows: Matrix, size: int, factors: bool) -> None:
        """mixed += weights^T @ rows, for all queries of a block: sums over the keys of a block."""
        b, plan = self.b, self.plan
        step = plan.padded(size)
        count = plan.mixed_rows(size)
        first = Matrix(self.row(rows, keys.first), rows.step)
        with counted(b, index(0), index(plan.block // count)) as tile:
            query = b.multiply(tile, count)
            self.add_products(
                (self.at(weights, query), 1, plan.block),
                count,
                keys.count,
                first,
                size,
                Matrix(self.at(self.part("mixed"), b.multiply(query, step)), step),
                self.at(self.part("factor"), query) if factors else None,
            )

    def write_mixed(self, block: Block, size: int, out: Matrix, factors: Register | None) -> None:
        """The sums of a block's queries to memory, multiplied with the factors if there are any."""
        b, plan = self.b, self.plan
        with b.loop(0, block.count) as query:
            here = self.at(self.part("mixed"), b.multiply(query.index, plan.padded(size)))
            there = self.row(out, query.index)
            factor = None if factors is None else b.load(self.element, self.at(factors, query.index))
            for piece in plan.pieces(size):
                found = b.load(vector(self.element, piece.lanes), self.at(here, piece.offset))
                if factor is not None:
                    found = b.op("fmul", found, b.splat(factor, piece.lanes))
                b.store(found, self.at(there, piece.offset), valid_mask(piece.lanes, piece.valid))


def _as_signed(number: int) -> int:
    """A number modulo 2**32, as LLVM writes it."""
    return (number + 2**31) % 2**32 - 2**31


@dataclass(frozen=True)
class KeyBlock:
    """A block of keys: the first one, its whole tiles, its keys, and whether the last few belong to it."""

    first: Register
    tiles: Register
    count: Register
    with_rest: Register
