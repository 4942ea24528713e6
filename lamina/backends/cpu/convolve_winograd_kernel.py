"""The kernel of a convolution by Winograd's transforms: inputs, products and outputs of blocks of tiles."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import ceil

from lamina.backends.cpu.contract_place import Place, Tile
from lamina.backends.cpu.contract_plan import Panels, Piece, pieces_of
from lamina.backends.cpu.contract_shuffle import part
from lamina.backends.cpu.contract_sums import Epilogue, Step, Stored, TileSums, piece_mask
from lamina.backends.cpu.contract_walk import counted, divide, runs_in_block, start_of, tasks
from lamina.backends.cpu.convolve_pack import Packer
from lamina.backends.cpu.convolve_winograd import FACTORS, WinogradPlan
from lamina.backends.cpu.emit import Builder, Register, constant, index, vector
from lamina.backends.cpu.winograd import INPUTS, OUTPUTS, input_line, transform_products

ELEMENT = "float"


@dataclass(frozen=True)
class Block:
    """A block of tiles: the first of its images and of its lines of tiles, and how many there are of each."""

    image: Register
    images: Register
    line: Register
    lines: Register


@dataclass(frozen=True)
class _Line:
    """A line of pixels of an image, or zeros all along: where it starts, elements from pixel to pixel."""

    start: Register
    step: Register

    def at(self, builder: Builder, pixel: int) -> _Line:
        return _Line(builder.pointer(self.start, builder.multiply(self.step, pixel), ELEMENT), self.step)


class WinogradKernel:
    """Emits y from x and transformed taps."""

    def __init__(self, builder: Builder, plan: WinogradPlan, epilogue: Epilogue) -> None:
        self.builder = builder
        self.plan = plan
        self.spec = plan.spec
        self.epilogue = epilogue
        self.x, self.taps = builder.arguments[:2]
        self.row_strides = [stride // self.spec.outputs for stride in self.spec.y_strides]
        scratch, self.begin, self.end = builder.arguments[-3:]
        self.scratch = {}
        for name, elements in plan.parts.items():
            self.scratch[name] = scratch
            scratch = builder.pointer(scratch, elements, ELEMENT)
        stored = Stored("float32")
        self.sums = TileSums(builder, plan.target, stored, stored, plan.product_stride, epilogue)
        places = OUTPUTS * OUTPUTS * len(pieces_of(self.spec.outputs, plan.lanes, plan.target.has_masks))
        self.rolled = self.sums.is_long(min(places, 2 * OUTPUTS * OUTPUTS), self.spec.channels)

    def emit(self) -> None:
        """The loop over tasks."""
        builder, plan, spec = self.builder, self.plan, self.spec
        self._store(constant(0, ELEMENT, plan.lanes), self.scratch["zeros"])
        with tasks(builder, self.begin, self.end, plan.tasks) as task:
            rest, first = divide(builder, task, plan.task_lines)
            columns, image_block = divide(builder, rest, plan.image_blocks)
            image = builder.multiply(image_block, plan.images)
            images = self._count(image, plan.images, spec.batch)
            x = builder.pointer(self.x, builder.multiply(image, spec.x_strides[0]), ELEMENT)
            strides = spec.x_strides
            last = builder.add(first, 1)
            if spec.spread:
                x, strides = self._spread(x, image)
                last = index(plan.line_blocks)
            with counted(builder, first, last) as number:
                line = builder.multiply(number, plan.lines)
                block = Block(image, images, line, self._count(line, plan.lines, plan.grid[0]))
                self._inputs(x, strides, block)
                for panels, column in self._panels(columns):
                    self._products(panels, column, block)
                    self._outputs(panels, column, block)

    def _count(self, first: Register, most: int, extent: int) -> Register:
        """How many of `most` from the first one on exist."""
        if extent % most == 0:
            return index(most)
        left = self.builder.subtract(index(extent), first)
        return self.builder.intrinsic("smin", "i64", left, index(most))

    def _panels(self, columns: Register) -> Iterator[tuple[Panels, Register]]:
        """Each kind of panel of a column block, inside its loop; its first column."""
        builder, plan = self.builder, self.plan
        for panels, left, right in runs_in_block(
            builder, plan.panels, columns, plan.column_block, plan.column_blocks
        ):
            with counted(builder, left, right) as number:
                yield panels, start_of(builder, number, panels)

    def _store(self, value: Register, address: Register) -> None:
        self.builder.store(value, address, align=4 * value.lanes)

    def _load(self, address: Register) -> Register:
        """A whole vector of scratch."""
        lanes = self.plan.lanes
        return self.builder.load(vector(ELEMENT, lanes), address, align=4 * lanes)

    # -- inputs --------------------------------------------------------------------------------

    def _spread(self, y: Register, image: Register) -> tuple[Register, tuple[int, ...]]:
        """The gradients of pooled images, spread in scratch: where they lie there, and their strides."""
        builder, plan, spec = self.builder, self.plan, self.spec
        pooled = spec.x_strides
        which = builder.pointer(builder.arguments[3], builder.multiply(image, pooled[0]), "i8")
        packer = Packer(builder, plan.target, spec.dtype)
        there = self.scratch["spread"]
        extents = (plan.images, *spec.image)
        packer.spread(y, which, spec.image, spec.spread, extents, spec.channels, (0, 0), there)
        height, width = spec.image
        return there, (height * width * spec.channels, width * spec.channels, spec.channels)

    def _inputs(self, x: Register, strides: Sequence[int], block: Block) -> None:
        """B^T d B of all tiles of a block, factor by factor."""
        builder, plan, spec = self.builder, self.plan, self.spec
        ahead = 0
        if not spec.spread:  # those are in scratch
            whole = plan.lines == plan.grid[0]
            ahead = plan.images * strides[0] if whole else plan.lines * OUTPUTS * strides[1]
        for image, line, tile in self._lines_of_tiles(block):
            offset = builder.multiply(tile, plan.input_stride)
            there = builder.pointer(self.scratch["inputs"], offset, ELEMENT)
            here = builder.pointer(x, builder.multiply(image, strides[0]), ELEMENT)
            top = builder.multiply(builder.add(block.line, line), OUTPUTS)
            for piece, channel in self._channels():
                source = builder.pointer(here, channel, ELEMENT)
                lines = [
                    self._line(source, builder.add(top, tap - spec.low[0]), strides, tap)
                    for tap in range(INPUTS)
                ]
                self._line_inputs(lines, builder.pointer(there, channel, ELEMENT), piece, ahead)

    def _channels(self) -> Iterator[tuple[Piece, Register]]:
        """Each kind of vector of channels, inside its loop."""
        builder, plan = self.builder, self.plan
        whole = self.spec.channels // plan.lanes
        if whole:
            with counted(builder, index(0), index(whole)) as number:
                yield plan.channel_pieces[0], builder.multiply(number, plan.lanes)
        for piece in plan.channel_pieces[whole:]:
            yield piece, index(piece.offset)

    def _line(self, image: Register, at: Register, strides: Sequence[int], tap: int) -> _Line:
        """Line `at` of an image. tap: which one of a tile it is."""
        builder, spec = self.builder, self.spec
        start = builder.pointer(image, builder.multiply(at, strides[1]), ELEMENT)
        first = tap - spec.low[0]
        last = first + OUTPUTS * (self.plan.grid[0] - 1)
        if first >= 0 and last < spec.image[0]:
            return _Line(start, index(strides[2]))
        inside = builder.compare("icmp ult", at, index(spec.image[0]))
        return _Line(
            builder.select(inside, start, self.scratch["zeros"]),
            builder.select(inside, index(strides[2]), index(0)),
        )

    def _line_inputs(self, lines: Sequence[_Line], there: Register, piece: Piece, ahead: int) -> None:
        """The tiles of a line, one vector of channels; neighbours share two of their columns of pixels."""
        builder, plan, spec = self.builder, self.plan, self.spec
        low, width, tiles = spec.low[1], spec.image[1], plan.grid[1]
        # In the first `inner` tiles all columns but the first two lie in the image.
        inner = max(0, min((width - INPUTS + low) // OUTPUTS + 1, tiles))

        def column(at: int, origin: Sequence[_Line], pixel: int) -> list[Register]:
            """B^T d of column `pixel` of the image, which lies `at` pixels from the origin."""
            if not 0 <= pixel < width:
                return [constant(0, ELEMENT, piece.lanes)] * INPUTS
            if ahead and origin is not lines:
                for line in origin[-OUTPUTS:]:
                    address = builder.pointer(line.at(builder, at).start, ahead, ELEMENT)
                    builder.prefetch(address, near=False)
            values = [
                builder.load(vector(ELEMENT, piece.lanes), line.at(builder, at).start, piece_mask(piece))
                for line in origin
            ]
            return input_line(builder, values)

        def tile(columns: Sequence[Sequence[Register]], target: Register) -> None:
            for i in range(INPUTS):
                factors = input_line(builder, [column[i] for column in columns])
                for j, factor in enumerate(factors):
                    distance = (i * INPUTS + j) * plan.factor_stride(plan.input_stride)
                    self._store(factor, builder.pointer(target, distance, ELEMENT))

        first = [column(pixel, lines, pixel) for pixel in (-low, 1 - low)]
        start = 2 - low  # the first pixel that is new
        if inner:
            origin = [line.at(builder, start) for line in lines]
            carried = [*first[0], *first[1], *(line.start for line in origin), there]
            with builder.loop(0, inner, 1, carried) as loop:
                old = loop.carried
                here = [_Line(at, line.step) for at, line in zip(old[2 * INPUTS : -1], lines)]
                new = [column(number, here, start) for number in range(2)]
                tile([old[:INPUTS], old[INPUTS : 2 * INPUTS], *new], old[-1])
                following = [line.at(builder, OUTPUTS).start for line in here]
                loop.next = [
                    *new[0],
                    *new[1],
                    *following,
                    builder.pointer(old[-1], plan.input_stride, ELEMENT),
                ]
            first = [loop.results[:INPUTS], loop.results[INPUTS : 2 * INPUTS]]
        for number in range(inner, tiles):
            pixels = [start + OUTPUTS * number, start + OUTPUTS * number + 1]
            new = [column(pixel, lines, pixel) for pixel in pixels]
            target = builder.pointer(there, number * plan.input_stride, ELEMENT)
            tile([*first, *new], target)
            first = new

    # -- products ------------------------------------------------------------------------------

    def _products(self, panels: Panels, column: Register, block: Block) -> None:
        """A panel of the 16 matrix products of a block."""
        builder, plan, depth = self.builder, self.plan, self.spec.channels
        vectors, _ = divide(builder, column, plan.lanes)
        every = FACTORS * depth * plan.lanes  # elements from one vector of outputs of the taps to the next
        taps = builder.pointer(self.taps, builder.multiply(vectors, every), ELEMENT)
        pieces = tuple(Piece(number * every, plan.lanes, plan.lanes) for number in range(len(panels.pieces)))
        panel = Panels(0, pieces, 1, 0)
        with counted(builder, index(0), index(FACTORS)) as factor:
            self._fetch_outputs(panels, column, block, factor)
            inputs = self._of_factor("inputs", factor, plan.input_stride)
            products = self._of_factor("products", factor, plan.product_stride)
            b = builder.pointer(taps, builder.multiply(factor, depth * plan.lanes), ELEMENT)
            for rows in plan.rows:
                with counted(builder, index(rows.first), index(rows.first + rows.count)) as number:
                    row = start_of(builder, number, rows)
                    a = builder.pointer(inputs, builder.multiply(row, plan.input_stride), ELEMENT)
                    c = builder.pointer(products, builder.multiply(row, plan.product_stride), ELEMENT)
                    distances = [tile * plan.input_stride for tile in range(rows.rows)]
                    sums = self.sums.accumulate(distances, panel, a, b, [Step(depth, 1, plan.lanes)])
                    self.sums.store(sums, rows.rows, panel, c)

    def _fetch_outputs(self, panels: Panels, column: Register, block: Block, factor: Register) -> None:
        """Ask for the memory of a 16th of a block's outputs, and for what the epilogue will load there."""
        builder, plan = self.builder, self.plan
        share = ceil(plan.tiles / FACTORS)
        panel = Panels(0, tuple(pieces_of(plan.lanes * len(panels.pieces), plan.lanes, True)), 1, 0)
        with counted(builder, index(0), index(share)) as number:
            tile = builder.add(builder.multiply(factor, share), number)
            line_of_tiles, across = divide(builder, tile, plan.grid[1])
            image, line = divide(builder, line_of_tiles, plan.lines)
            row = self._row(builder.add(block.image, image), builder.add(block.line, line), across)
            corner = index(0), row, column
            self.sums.fetch([offset for offsets in self._pixels for offset in offsets], panel, corner, True)

    def _of_factor(self, name: str, factor: Register, stride: int) -> Register:
        offset = self.builder.multiply(factor, self.plan.factor_stride(stride))
        return self.builder.pointer(self.scratch[name], offset, ELEMENT)

    # -- outputs -------------------------------------------------------------------------------

    def _row(self, image: Register, line: Register, across: Register) -> Register:
        """The row of y of the first pixel of a tile; `line` and `across` count tiles."""
        builder = self.builder
        row = builder.multiply(image, self.row_strides[0])
        row = builder.add(row, builder.multiply(line, OUTPUTS * self.row_strides[1]))
        return builder.add(row, builder.multiply(across, OUTPUTS * self.row_strides[2]))

    @property
    def _pixels(self) -> list[list[int]]:
        """Rows of y from the first pixel of a tile to each."""
        _, down, across = self.row_strides
        return [[i * down + j * across for j in range(OUTPUTS)] for i in range(OUTPUTS)]

    def _outputs(self, panels: Panels, column: Register, block: Block) -> None:
        """A^T m A of all tiles of a block, handed to the epilogue."""
        builder, plan, spec = self.builder, self.plan, self.spec
        for image, line, tile in self._lines_of_tiles(block):
            offset = builder.multiply(tile, plan.product_stride)
            products = builder.pointer(self.scratch["products"], offset, ELEMENT)
            at = builder.add(block.line, line)
            below = right = None
            if spec.output[0] % OUTPUTS:
                below = builder.compare("icmp slt", at, index(plan.grid[0] - 1))
            with builder.loop(0, plan.grid[1], 1, [products]) as loop:
                if spec.output[1] % OUTPUTS:
                    right = builder.compare("icmp slt", loop.index, index(plan.grid[1] - 1))
                row = self._row(builder.add(block.image, image), at, loop.index)
                for here, first, valid in self._vectors(panels, loop.carried[0], column):
                    self._tile_outputs(here, (row, first), valid, (below, right))
                loop.next = [builder.pointer(loop.carried[0], plan.product_stride, ELEMENT)]

    def _lines_of_tiles(self, block: Block) -> Iterator[tuple[Register, Register, Register]]:
        """Each line of tiles of a block, inside its loops: (image, line, number of its first tile)."""
        builder, plan = self.builder, self.plan
        none = index(0)
        with counted(builder, none, block.images) as image, counted(builder, none, block.lines) as line:
            number = builder.add(builder.multiply(image, plan.lines), line)
            yield image, line, builder.multiply(number, plan.grid[1])

    def _vectors(
        self, panels: Panels, products: Register, column: Register
    ) -> Iterator[tuple[Register, Register, int]]:
        """Each kind of vector of a panel, inside its loop: its products, its first column, how many exist."""
        builder, lanes, outputs = self.builder, self.plan.lanes, self.spec.outputs
        whole = len(panels.pieces)
        is_short = panels.start + panels.count * whole * lanes > outputs
        whole -= int(is_short)
        if whole:
            with counted(builder, index(0), index(whole)) as number:
                offset = builder.multiply(number, lanes)
                yield builder.pointer(products, offset, ELEMENT), builder.add(column, offset), lanes
        if is_short:
            here = builder.pointer(products, whole * lanes, ELEMENT)
            yield here, builder.add(column, whole * lanes), outputs % lanes

    def _tile_outputs(
        self, here: Register, corner: tuple[Register, Register], valid: int,
        exist: tuple[Register | None, Register | None],
    ) -> None:  # fmt: skip
        """A vector of outputs of 2 x 2 pixels, from a row and a column on.

        exist: whether the lower pixels and those on the right do; None where they always do.
        """
        builder, plan = self.builder, self.plan
        stride = plan.factor_stride(plan.product_stride)
        products = [self._load(builder.pointer(here, factor * stride, ELEMENT)) for factor in range(FACTORS)]
        tile = [products[first : first + INPUTS] for first in range(0, FACTORS, INPUTS)]
        values = transform_products(builder, tile)
        row, column = corner
        below, right = exist
        if self.rolled:
            self._rolled(values, corner, valid, exist)
            return
        for i, line in enumerate(values):
            for j, value in enumerate(line):
                with self._existing([below] * i + [right] * j):
                    self._pixel(value, row, self._pixels[i][j], column, valid)

    def _rolled(
        self, values: Sequence[Sequence[Register]], corner: tuple[Register, Register], valid: int,
        exist: tuple[Register | None, Register | None],
    ) -> None:  # fmt: skip
        """The same pixel by pixel in a loop, for a long epilogue; the outputs rest in scratch."""
        builder, lanes, rest = self.builder, self.plan.lanes, self.scratch["resting"]
        for number, value in enumerate(value for line in values for value in line):
            self._store(value, builder.pointer(rest, number * lanes, ELEMENT))
        with builder.loop(0, OUTPUTS) as i, builder.loop(0, OUTPUTS) as j:
            conditions = [
                builder.op("or", known, builder.compare("icmp eq", loop.index, index(0)))
                for known, loop in zip(exist, (i, j))
                if known is not None
            ]
            with self._existing(conditions):
                offset = builder.add(builder.multiply(i.index, OUTPUTS), j.index)
                value = self._load(builder.pointer(rest, builder.multiply(offset, lanes), ELEMENT))
                row, column = corner
                for loop, stride in zip((i, j), self.row_strides[1:]):
                    row = builder.add(row, builder.multiply(loop.index, stride))
                self._pixel(value, row, 0, column, valid)

    def _pixel(self, value: Register, row: Register, offset: int, column: Register, valid: int) -> None:
        """The outputs of the pixel `offset` rows after `row`, handed to the epilogue."""
        builder, plan = self.builder, self.plan
        tile = Tile(index(0), row, column, builder.label)
        for piece in pieces_of(valid, plan.lanes, plan.target.has_masks):
            found = part(builder, value, piece.offset, piece.lanes)
            place = Place(builder, tile, offset, piece.offset, piece.lanes, piece.valid)
            self.epilogue(builder, found, place)

    @contextmanager
    def _existing(self, conditions: Sequence[Register | None]) -> Iterator[None]:
        """The body runs only if all conditions hold."""
        known = [condition for condition in conditions if condition is not None]
        if not known:
            yield
            return
        every = known[0]
        for condition in known[1:]:
            every = self.builder.op("and", every, condition)
        with self.builder.when(every):
            yield
