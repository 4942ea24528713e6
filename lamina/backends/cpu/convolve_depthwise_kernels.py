"""The kernels of convolutions that keep channels apart: the lines and pixels they go through, their sums."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from lamina.backends.cpu.contract_place import Place, Tile
from lamina.backends.cpu.contract_plan import Piece
from lamina.backends.cpu.contract_sums import Epilogue, multiply_add, piece_mask
from lamina.backends.cpu.contract_walk import counted, divide, start_of, tasks
from lamina.backends.cpu.convolve_depthwise import (
    DepthwiseFilterPlan,
    DepthwiseOutputPlan,
    DepthwisePlan,
    Phase,
)
from lamina.backends.cpu.emit import ELEMENT, Builder, Register, constant, index, vector


class _Lines:
    """What the kernels share: lines of zeros, and the addresses of lines."""

    def __init__(self, builder: Builder, plan: DepthwisePlan, source: tuple[int, int, int]) -> None:
        self.builder = builder
        self.target = plan.target
        self.element = ELEMENT[plan.spec.dtype]
        self.source = source
        self.scratch, self.begin, self.end = builder.arguments[-3:]

    def clear(self, count: int) -> None:
        """Zeros in scratch."""
        if count:
            lanes = self.target.vector_bytes // (4 if self.element == "float" else 8)
            with self.builder.loop(0, count, lanes) as loop:
                address = self.builder.pointer(self.scratch, loop.index, self.element)
                self.builder.store(constant(0, self.element, lanes), address, align=self.target.vector_bytes)

    def load(self, address: Register, piece: Piece) -> Register:
        return self.builder.load(vector(self.element, piece.lanes), address, piece_mask(piece))

    def lines(self, image: Register, phase: Phase, j: Register) -> dict[int, Register]:
        """Where the line lies that each tap of the j-th line of a phase reads, by the tap's offset.

        image: the first element of the image that is read, at the channels at hand.
        """
        builder, found = self.builder, {}
        for _, offset in phase.taps:
            if offset in found:
                continue
            at = builder.add(builder.multiply(j, phase.step), offset)
            address = builder.pointer(image, builder.multiply(at, self.source[1]), self.element)
            if not (phase.is_inside(0, offset) and phase.is_inside(phase.count - 1, offset)):
                inside = builder.compare("icmp ult", at, index(phase.extent))
                address = builder.select(inside, address, self.scratch)
            found[offset] = address
        return found


class DepthwiseOutputKernel(_Lines):
    """Emits y, or the gradient of x."""

    def __init__(self, builder: Builder, plan: DepthwiseOutputPlan, epilogue: Epilogue) -> None:
        super().__init__(builder, plan, plan.source)
        self.plan = plan
        self.epilogue = epilogue
        self.x, self.w = builder.arguments[:2]

    def emit(self) -> None:
        """The loop over tasks: an image and a band of its lines each."""
        builder, plan = self.builder, self.plan
        self.clear(plan.zero_elements)
        with tasks(builder, self.begin, self.end, plan.tasks) as task:
            image, band = divide(builder, task, plan.bands)
            for run in plan.panels:
                with counted(builder, index(0), index(run.count)) as number:
                    column = start_of(builder, builder.add(number, run.first), run)
                    self._channels(image, band, column, run.pieces[0])

    def _channels(self, image: Register, band: Register, column: Register, piece: Piece) -> None:
        """A vector of channels of all pixels of a task."""
        builder, plan = self.builder, self.plan
        offset = builder.add(builder.multiply(image, self.source[0]), column)
        source = builder.pointer(self.x, offset, self.element)
        lower = builder.multiply(band, plan.block)
        for lines in plan.phases[0]:
            upper = builder.intrinsic("smin", "i64", builder.add(lower, plan.block), index(lines.count))
            for pixels in plan.phases[1]:
                weights = self._weights(lines, pixels, column, piece)
                with builder.loop(lower, upper) as loop:
                    line = builder.add(builder.multiply(loop.index, lines.every), lines.first)
                    row = builder.multiply(
                        builder.add(builder.multiply(image, plan.result[0]), line), plan.result[1]
                    )
                    addresses = self.lines(source, lines, loop.index)
                    _Line(self, pixels, addresses, weights, (row, column), piece).emit()

    def _weights(
        self, lines: Phase, pixels: Phase, column: Register, piece: Piece
    ) -> list[tuple[int, int, Register]]:
        """(offset of the line, offset of the pixel, weights) of each tap."""
        spec = self.plan.spec
        strides = (0, *spec.w_strides[:-2])[-2:]
        base = self.builder.pointer(self.w, column, self.element)
        found = []
        for tap, line in lines.taps:
            for across, pixel in pixels.taps:
                address = self.builder.pointer(base, tap * strides[0] + across * strides[1], self.element)
                found.append((line, pixel, self.load(address, piece)))
        return found


class _Line:
    """Emits a line of the result: pixels at both ends one by one, those between several at once."""

    def __init__(
        self, kernel: DepthwiseOutputKernel, pixels: Phase, lines: dict[int, Register],
        weights: list[tuple[int, int, Register]], corner: tuple[Register, Register], piece: Piece,
    ) -> None:  # fmt: skip
        self.kernel, self.builder, self.pixels = kernel, kernel.builder, pixels
        self.addresses, self.weights, self.corner, self.piece = lines, weights, corner, piece

    def emit(self) -> None:
        builder, pixels, most = self.builder, self.pixels, self.kernel.plan.pixels_at_once
        first, last = pixels.inner if pixels.taps else (0, pixels.count)
        for j in pixels.edges:
            self._pixels(index(j), 1, partial(pixels.is_inside, j))
        whole = (last - first) // most * most
        if whole:
            with builder.loop(first, first + whole, most) as loop:
                self._pixels(loop.index, most, lambda offset: True)
        if last - first > whole:
            self._pixels(index(first + whole), last - first - whole, lambda offset: True)

    def _pixels(self, j: Register, count: int, is_inside: Callable[[int], bool]) -> None:
        """The j-th pixel of the phase and those after it."""
        builder, kernel, piece, pixels = self.builder, self.kernel, self.piece, self.pixels
        step = kernel.source[2]
        start = builder.multiply(j, pixels.step * step)
        starts = {
            offset: builder.pointer(line, start, kernel.element) for offset, line in self.addresses.items()
        }
        loaded: dict[tuple[int, int], Register] = {}
        zero = constant(0, kernel.element, piece.lanes)
        sums = [zero] * count
        for line, offset, weight in self.weights:
            for number in range(count):
                at = number * pixels.step + offset
                if not is_inside(offset):
                    value = zero
                elif (line, at) in loaded:
                    value = loaded[line, at]
                else:
                    value = kernel.load(builder.pointer(starts[line], at * step, kernel.element), piece)
                    loaded[line, at] = value
                sums[number] = multiply_add(builder, kernel.target, value, weight, sums[number])
        row = builder.add(self.corner[0], builder.add(builder.multiply(j, pixels.every), pixels.first))
        tile = Tile(index(0), row, self.corner[1], builder.label)
        for number, value in enumerate(sums):
            place = Place(builder, tile, number * pixels.every, 0, piece.lanes, piece.valid)
            kernel.epilogue(builder, value, place)


class DepthwiseFilterKernel(_Lines):
    """Emits the gradient of w: all taps of a vector of channels are summed up at once, image by image."""

    def __init__(self, builder: Builder, plan: DepthwiseFilterPlan, epilogue: Epilogue) -> None:
        super().__init__(builder, plan, plan.source)
        self.plan = plan
        self.epilogue = epilogue
        self.x, self.y = builder.arguments[:2]
        (self.phase,), (self.pixels,) = plan.axes(False)
        self.totals = builder.pointer(self.scratch, plan.zero_elements, self.element)

    def emit(self) -> None:
        """The loop over tasks: a part and a vector of its channels each."""
        builder, plan = self.builder, self.plan
        self.clear(plan.zero_elements)
        vectors = sum(run.count for run in plan.panels)
        with tasks(builder, self.begin, self.end, plan.tasks) as task:
            part, number = divide(builder, task, vectors)
            for run in plan.panels:
                inside = builder.compare("icmp ult", builder.subtract(number, run.first), index(run.count))
                with builder.when(inside):
                    self._task(part, start_of(builder, number, run), run.pieces[0])

    def _task(self, part: Register, column: Register, piece: Piece) -> None:
        builder, plan = self.builder, self.plan
        zero = constant(0, self.element, piece.lanes)
        rest = [
            builder.pointer(self.totals, tap * plan.target.lanes(plan.spec.dtype), self.element)
            for tap in range(plan.taps)
        ]
        for address in rest:
            builder.store(zero, address)
        images = plan.spec.batch // plan.parts
        first = builder.multiply(part, images)
        with builder.loop(first, builder.add(first, images)) as loop:
            sums = self._image(loop.index, column, piece)
            for address, value in zip(rest, sums):
                before = builder.load(value.type, address)
                builder.store(builder.op("fadd", before, value), address)
        tile = Tile(part, index(0), column, builder.label)
        for tap, address in enumerate(rest):
            value = builder.load(vector(self.element, piece.lanes), address)
            self.epilogue(builder, value, Place(builder, tile, tap, 0, piece.lanes, piece.valid))

    def _image(self, image: Register, column: Register, piece: Piece) -> list[Register]:
        """The sums over one image."""
        builder, plan, phase, pixels = self.builder, self.plan, self.phase, self.pixels
        y_strides = plan.spec.y_strides
        line_of_y = 0 if len(y_strides) == 2 else y_strides[1]
        x = builder.pointer(
            self.x, builder.add(builder.multiply(image, self.source[0]), column), self.element
        )
        y = builder.pointer(self.y, builder.add(builder.multiply(image, y_strides[0]), column), self.element)
        zeros = [constant(0, self.element, piece.lanes)] * plan.taps
        first, last = pixels.inner
        with builder.loop(0, phase.count, 1, zeros) as lines:
            addresses = self.lines(x, phase, lines.index)
            here = builder.pointer(y, builder.multiply(lines.index, line_of_y), self.element)
            sums = lines.carried
            for j in pixels.edges:
                sums = self._pixel(sums, index(j), addresses, here, piece, j)
            if first < last:
                with builder.loop(first, last, 1, sums) as inner:
                    inner.next = self._pixel(inner.carried, inner.index, addresses, here, piece, None)
                sums = inner.results
            lines.next = sums
        return lines.results

    def _pixel(
        self, sums: Sequence[Register], j: Register, lines: dict[int, Register], here: Register, piece: Piece,
        edge: int | None,
    ) -> list[Register]:  # fmt: skip
        """The sums with the products of one pixel of y; `edge`: its number, where taps may be outside."""
        builder, pixels = self.builder, self.pixels
        y_step, step = self.plan.spec.y_strides[-1], self.source[2]
        sent = self.load(builder.pointer(here, builder.multiply(j, y_step), self.element), piece)
        start = builder.multiply(j, pixels.step * step)
        starts = {offset: builder.pointer(line, start, self.element) for offset, line in lines.items()}
        found: list[Register] = []
        for (_, line), (_, offset) in ((tap, across) for tap in self.phase.taps for across in pixels.taps):
            if edge is not None and not pixels.is_inside(edge, offset):
                value = constant(0, self.element, piece.lanes)
            else:
                value = self.load(builder.pointer(starts[line], offset * step, self.element), piece)
            found.append(multiply_add(builder, self.target, value, sent, sums[len(found)]))
        return found
