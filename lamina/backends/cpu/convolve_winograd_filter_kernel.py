"""The gradient of a 3 x 3 kernel by Winograd's method, emitted: see `convolve_winograd_filter`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil

from lamina.backends.cpu.contract_plan import Panels, Piece
from lamina.backends.cpu.contract_sums import (
    Epilogue,
    Step,
    Stored,
    TileSums,
    load_operand,
    multiply_add,
    piece_mask,
)
from lamina.backends.cpu.contract_walk import counted, divide, start_of, tasks
from lamina.backends.cpu.convolve_pack import Packer
from lamina.backends.cpu.convolve_winograd_filter import PLACES, WinogradFilterPlan
from lamina.backends.cpu.emit import ELEMENT, Builder, Register, constant, index, vector
from lamina.backends.cpu.winograd import (
    INPUTS,
    OUTPUTS,
    input_line,
    output_gradient_line,
    transform_tap_products,
)
from lamina.core import dtypes

LINE_BYTES = 64  # of the caches

# Lines of a tile, and their factors, that make row `number` of B^T d: one line, and another times a factor.
INPUT_ROWS = ((0, 2, -1.0), (1, 2, 1.0), (2, 1, -1.0), (3, 1, -1.0))
# The factors of both lines in row `number` of A dy.
GRADIENT_ROWS = ((1.0, 0.0), (1.0, 1.0), (1.0, -1.0), (0.0, 1.0))


@dataclass(frozen=True)
class Pass:
    """What a pass reads: its first pixels of x and y, its lines of tiles, where pooling sent gradients."""

    x: Register
    y: Register
    lines: Register
    sent: Register | None


class WinogradFilterKernel:
    """Emits the gradient of w from x and y."""

    def __init__(self, builder: Builder, plan: WinogradFilterPlan, epilogue: Epilogue) -> None:
        self.builder = builder
        self.plan = plan
        self.spec = plan.spec
        self.x, self.y = builder.arguments[:2]
        self.scratch, self.begin, self.end = builder.arguments[-3:]
        self.element = ELEMENT[plan.sum_dtype]
        a, b = Stored(plan.sum_dtype), Stored(plan.sum_dtype, packed=True)
        self.sums = TileSums(builder, plan.target, a, b, plan.column_stride, epilogue)
        self.packer = Packer(builder, plan.target, plan.sum_dtype)
        band, gradient_band = plan.band_elements
        rows, columns = (INPUTS * count for count in plan.place_elements)
        self.gradient_band = self._at(self.scratch, band)
        self.tiles_x = self._at(self.gradient_band, gradient_band)
        self.tiles_y = self._at(self.tiles_x, rows)
        self.rest = self._at(self.tiles_y, columns)

    def _at(self, base: Register, offset: Register | int) -> Register:
        return self.builder.pointer(base, offset, self.element)

    def emit(self) -> None:
        """The loop over tasks."""
        builder, plan = self.builder, self.plan
        with tasks(builder, self.begin, self.end, plan.tasks) as task:
            rest, rows = divide(builder, task, plan.row_blocks)
            part, columns = divide(builder, rest, plan.column_blocks)
            row, column = builder.multiply(rows, plan.channels), builder.multiply(columns, plan.outputs)
            self._clear()
            first = builder.multiply(part, plan.part_images)
            with (
                builder.loop(0, plan.part_images, plan.images) as images,
                builder.loop(0, plan.grid[0], plan.lines) as line,
            ):
                self._pass(builder.add(first, images.index), line.index, row, column)
            self._finish(part, row, column)

    def _clear(self) -> None:
        """Zeros as the sums before the first pass."""
        plan, builder = self.plan, self.builder
        zeros = constant(0, self.element, plan.lanes)
        with builder.loop(0, PLACES * plan.sum_elements, plan.lanes) as loop:
            builder.store(zeros, self._at(self.rest, loop.index), align=plan.target.vector_bytes)

    # -- a pass --------------------------------------------------------------------------------

    def _pass(self, image: Register, line: Register, row: Register, column: Register) -> None:
        """Add the tiles of some images, or of some lines of one, to all sums of a task."""
        builder, plan = self.builder, self.plan
        part = self._read(image, line, row, column)
        ahead = self._ahead(image, line)
        with counted(builder, index(0), index(INPUTS)) as number:
            self._transform_x(part, number)
            self._transform_y(part, number)
            count = builder.multiply(builder.multiply(part.lines, plan.images), plan.grid[1])
            with counted(builder, index(0), index(INPUTS)) as place:
                x, y = (builder.multiply(place, elements) for elements in plan.place_elements)
                where = builder.add(builder.multiply(number, INPUTS), place)
                for start, lines in ahead:
                    self._fetch(start, lines, where)
                self._product(
                    self._at(self.tiles_x, x),
                    self._at(self.tiles_y, y),
                    self._at(self.rest, builder.multiply(where, plan.sum_elements)),
                    count,
                )

    def _read(self, image: Register, line: Register, row: Register, column: Register) -> Pass:
        """Where the pixels of a pass are, in scratch if they need zeros around them."""
        builder, plan, spec = self.builder, self.plan, self.spec
        count = index(plan.lines)
        if plan.grid[0] % plan.lines:
            left = builder.subtract(index(plan.grid[0]), line)
            count = builder.intrinsic("smin", "i64", left, count)
        top = builder.multiply(line, OUTPUTS)
        x = self._at(self.x, builder.multiply(image, spec.x_strides[0]))
        if plan.band is None:
            x = self._at(x, builder.multiply(top, spec.x_strides[1]))
            x = self._at(x, row)
        else:
            # Pixels that no tap of the direct product reads count as outside the image.
            seen = (min(extent, reach - low) for extent, reach, low in zip(spec.image, spec.reach, spec.low))
            starts = [builder.subtract(top, spec.low[0]), index(-spec.low[1])]
            source, whole = self._at(x, row), (plan.images, *seen)
            self.packer.image(
                source, plan.band[:-1], plan.channels, whole, spec.x_strides, starts, self.scratch
            )
            x = self.scratch
        offset = builder.add(builder.multiply(image, spec.y_strides[0]), column)
        if plan.gradient_band is not None:
            whole = (plan.images, *spec.output)
            self.packer.image(
                self._at(self.y, offset), plan.gradient_band[:-1], plan.outputs, whole, spec.y_strides,
                [top, index(0)], self.gradient_band,
            )  # fmt: skip
            return Pass(x, self.gradient_band, count, None)
        down = line if spec.spread else top
        offset = builder.add(offset, builder.multiply(down, spec.y_strides[1]))
        sent = builder.pointer(builder.arguments[3], offset, "i8") if spec.spread else None
        return Pass(x, self._at(self.y, offset), count, sent)

    def _ahead(self, image: Register, line: Register) -> list[tuple[Register, int]]:
        """Where the next pass starts to read x and y, and how many cache lines are a sixteenth of that.

        Only where a task reads all channels, which lie together; others come to them sooner or later.
        """
        builder, plan, spec = self.builder, self.plan, self.spec
        high = 1 if spec.spread else OUTPUTS  # lines of gradients that a line of tiles reads
        found = []
        for base, strides, blocks, tall, more in (
            (self.x, spec.x_strides, plan.row_blocks, OUTPUTS, INPUTS - OUTPUTS - spec.low[0]),
            (self.y, spec.y_strides, plan.column_blocks, high, 0),
        ):
            if blocks > 1:
                continue
            start = builder.multiply(image, strides[0])
            if plan.lines == plan.grid[0]:
                size = plan.images * strides[0]
                start = builder.add(start, size)
            else:
                size = tall * plan.lines * strides[1]
                start = builder.add(start, builder.multiply(line, tall * strides[1]))
                start = builder.add(start, size + more * strides[1])
            lines = ceil(size * dtypes.itemsize(plan.sum_dtype) / (LINE_BYTES * PLACES))
            found.append((self._at(base, start), lines))
        return found

    def _fetch(self, start: Register, lines: int, part: Register) -> None:
        """Ask for the cache lines of one of the sixteen parts of what starts there."""
        builder, step = self.builder, LINE_BYTES // dtypes.itemsize(self.plan.sum_dtype)
        here = self._at(start, builder.multiply(part, lines * step))
        with counted(builder, index(0), index(lines)) as number:
            builder.prefetch(self._at(here, builder.multiply(number, step)), near=True)

    # -- transforms ----------------------------------------------------------------------------

    def _transform_x(self, part: Pass, number: Register) -> None:
        """Row `number` of B^T d B for all tiles of x.

        Two columns of a tile are those of the next one, and stay in registers.
        """
        builder, plan, strides = self.builder, self.plan, self.plan.x_strides
        one, other, factor = (self._chosen(number, values) for values in zip(*INPUT_ROWS))
        one, other = (builder.multiply(line, strides[1]) for line in (one, other))
        for piece, tiles in self._tile_lines(
            part, plan.channel_pieces, self.tiles_x, plan.row_stride, packed=False
        ):
            corner = self._at(part.x, tiles.offset(strides))
            lines = [self._at(corner, distance) for distance in (one, other)]
            factors = builder.splat(factor, piece.lanes)

            def column(
                lines: Sequence[Register], which: int, piece: Piece = piece, factors: Register = factors
            ) -> Register:
                first, second = (self._load(self._at(line, which * strides[2]), piece) for line in lines)
                return multiply_add(builder, plan.target, factors, second, first)

            before = [column(lines, which) for which in range(INPUTS - OUTPUTS)]
            with builder.loop(0, plan.grid[1], 1, [*lines, tiles.there, *before]) as loop:
                *lines, there, first, second = loop.carried
                columns = [first, second, *(column(lines, which) for which in (2, 3))]
                self._store(input_line(builder, columns), there, plan.place_elements[0])
                step = OUTPUTS * strides[2]
                loop.next = [
                    *(self._at(line, step) for line in lines), self._at(there, plan.row_stride), *columns[2:]
                ]  # fmt: skip

    def _transform_y(self, part: Pass, number: Register) -> None:
        """Row `number` of A dy A^T for all tiles of y."""
        builder, plan, strides = self.builder, self.plan, self.plan.y_strides
        factors = [self._chosen(number, values) for values in zip(*GRADIENT_ROWS)]
        for piece, tiles in self._tile_lines(
            part, plan.output_pieces, self.tiles_y, plan.column_stride, packed=True
        ):
            offset = tiles.offset(strides, 1 if self.spec.spread else OUTPUTS)
            here = [self._at(part.y, offset)]
            if part.sent is not None:
                here.append(builder.pointer(part.sent, offset, "i8"))
            top, bottom = (builder.splat(factor, piece.lanes) for factor in factors)
            with builder.loop(0, plan.grid[1], 1, [tiles.there, *here]) as loop:
                there, *here = loop.carried
                columns = []
                for upper, lower in zip(*self._gradients(here, piece)):
                    scaled = builder.op("fmul", top, upper)
                    columns.append(multiply_add(builder, plan.target, bottom, lower, scaled))
                self._store(output_gradient_line(builder, columns), there, plan.place_elements[1])
                step = strides[2] * (1 if self.spec.spread else OUTPUTS)
                loop.next = [self._at(there, plan.column_stride), self._at(here[0], step)]
                loop.next += [builder.pointer(index_, step, "i8") for index_ in here[1:]]

    def _gradients(self, here: Sequence[Register], piece: Piece) -> list[list[Register]]:
        """The 2 x 2 gradients of a tile, or those that a pooling makes of one."""
        builder, strides = self.builder, self.plan.y_strides
        if len(here) == 1:
            return [
                [
                    self._load(self._at(here[0], down * strides[1] + right * strides[2]), piece)
                    for right in (0, 1)
                ]
                for down in (0, 1)
            ]
        value = self._load(here[0], piece)
        which = builder.load(vector("i8", piece.lanes), here[1], piece_mask(piece))
        zero = constant(0, self.element, piece.lanes)
        found = []
        for number in range(OUTPUTS**2):
            is_here = builder.compare("icmp eq", which, constant(number, "i8", piece.lanes))
            found.append(builder.select(is_here, value, zero))
        return [found[:OUTPUTS], found[OUTPUTS:]]

    def _chosen(self, number: Register, values: Sequence[float]) -> Register:
        """values[number], as an i64 or an element as the values are."""
        whole = all(isinstance(value, int) for value in values)
        kind = "i64" if whole else self.element
        name = f"winograd_{'_'.join(f'{value:g}' for value in values)}".replace("-", "m")
        self.builder.module.constant_array(name, kind, values)
        return self.builder.load(kind, self.builder.pointer(Register(f"@{name}", "ptr"), number, kind))

    def _load(self, address: Register, piece: Piece) -> Register:
        target, dtype = self.plan.target, self.plan.sum_dtype
        return load_operand(self.builder, target, dtype, piece.lanes, address, piece_mask(piece))

    def _store(self, values: Sequence[Register], there: Register, distance: int) -> None:
        """Each to the tiles of its place."""
        for number, value in enumerate(values):
            size = value.lanes * self.plan.target.vector_bytes // self.plan.lanes
            self.builder.store(value, self._at(there, number * distance), align=size)

    def _tile_lines(
        self, part: Pass, pieces: Sequence[Piece], target: Register, stride: int, packed: bool
    ) -> Iterator[tuple[Piece, TileLine]]:
        """Each kind of piece of the channels, inside loops over images, lines and whole vectors.

        target, stride: where transformed tiles go. packed: every piece takes a whole vector there.
        """
        builder, plan = self.builder, self.plan
        whole = [piece for piece in pieces if piece.valid == plan.lanes]
        with (
            counted(builder, index(0), index(plan.images)) as image,
            counted(builder, index(0), part.lines) as line,
        ):
            tile = builder.multiply(builder.add(builder.multiply(image, plan.lines), line), plan.grid[1])
            there = self._at(target, builder.multiply(tile, stride))

            def placed(channel: Register, slot: Register | int) -> TileLine:
                return TileLine(builder, image, line, channel, self._at(there, slot))

            if whole:
                with counted(builder, index(0), index(len(whole))) as which:
                    channel = builder.multiply(which, plan.lanes)
                    yield whole[0], placed(channel, channel)
            for number in range(len(whole), len(pieces)):
                offset = pieces[number].offset
                yield pieces[number], placed(index(offset), number * plan.lanes if packed else offset)

    # -- products ------------------------------------------------------------------------------

    def _product(self, x: Register, y: Register, rest: Register, count: Register) -> None:
        """Add the products of `count` tiles to the sums of one place."""
        builder, plan, sums = self.builder, self.plan, self.sums
        before = 0  # vectors
        for panels in plan.panels:
            width = len(panels.pieces)
            with counted(builder, index(0), index(panels.count)) as number:
                column = builder.multiply(builder.add(builder.multiply(number, width), before), plan.lanes)
                for run in plan.tiles:
                    with counted(builder, index(run.first), index(run.first + run.count)) as tile:
                        row = start_of(builder, tile, run)
                        slot = self._at(rest, builder.add(builder.multiply(row, plan.column_stride), column))
                        found = sums.accumulate(
                            range(run.rows), panels, self._at(x, row), self._at(y, column),
                            [Step(count, plan.row_stride, plan.column_stride)],
                            sums.load(run.rows, panels, slot),
                        )  # fmt: skip
                        sums.store(found, run.rows, panels, slot)
            before += panels.count * width

    # -- results -------------------------------------------------------------------------------

    def _finish(self, part: Register, row: Register, column: Register) -> None:
        """Make 9 taps of 16 sums, in their place, and hand them to the epilogue."""
        builder, plan, spec = self.builder, self.plan, self.spec
        with builder.loop(0, plan.sum_elements, plan.lanes) as loop:
            kind = vector(self.element, plan.lanes)
            here = self._at(self.rest, loop.index)
            slots = [self._at(here, place * plan.sum_elements) for place in range(PLACES)]
            loaded = [builder.load(kind, slot, align=plan.target.vector_bytes) for slot in slots]
            products = [loaded[first : first + INPUTS] for first in range(0, PLACES, INPUTS)]
            taps = [tap for line in transform_tap_products(builder, products) for tap in line]
            for tap, slot in zip(taps, slots):
                builder.store(tap, slot, align=plan.target.vector_bytes)
        every = Panels(0, tuple(plan.output_pieces), 1, 0)
        with builder.loop(0, len(taps)) as loop:
            here = self._at(self.rest, builder.multiply(loop.index, plan.sum_elements))
            first = builder.add(builder.multiply(loop.index, spec.channels), row)
            self.sums.finish_from(here, range(plan.channels), every, (part, first, column))


@dataclass(frozen=True)
class TileLine:
    """A line of tiles: its image and line in the pass, its first channel, and where its results go."""

    builder: Builder
    image: Register
    line: Register
    channel: Register
    there: Register

    def offset(self, strides: Sequence[int], lines: int = OUTPUTS) -> Register:
        """Elements from the first pixel of a pass to that of the line, which is `lines` lines high."""
        builder = self.builder
        offset = builder.multiply(self.image, strides[0])
        offset = builder.add(offset, builder.multiply(self.line, lines * strides[1]))
        return builder.add(offset, self.channel)
