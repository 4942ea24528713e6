"""What convolutions put into scratch: panels of the kernel, and images with their padding."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product
from math import prod

from lamina.backends.cpu.contract_plan import Panels, Piece, sum_dtype
from lamina.backends.cpu.contract_sums import load_operand, piece_mask
from lamina.backends.cpu.contract_walk import counted, divide
from lamina.backends.cpu.emit import ELEMENT, Builder, Register, constant, index, vector
from lamina.backends.cpu.target import Target
from lamina.core import dtypes
from lamina.core.shapes import Shape, row_major_strides

Body = Callable[[Register, int, Register | None], None]


class Packer:
    """Emits copies into scratch, where elements are as wide as they are computed with."""

    def __init__(self, builder: Builder, target: Target, dtype: str) -> None:
        self.builder = builder
        self.target = target
        self.dtype = dtype
        self.element, self.total = ELEMENT[dtype], ELEMENT[sum_dtype(dtype)]
        self.lanes = target.lanes(sum_dtype(dtype))

    # -- panels --------------------------------------------------------------------------------

    def panel(
        self,
        panels: Panels,
        extents: Shape,
        strides: Sequence[int],
        here: Register,
        there: Register,
        stride: int,
    ) -> None:
        """One panel: its rows are the points of `extents`, in order. strides: those of the extents, then that
        of the columns."""
        axes = [(count, step) for count, step in zip(extents, strides) if count > 1] or [(1, 0)]
        self._panel_rows(panels, axes, strides[-1], here, there, stride)

    def _panel_rows(
        self, panels: Panels, axes: list[tuple[int, int]], neighbour: int, here: Register, there: Register,
        stride: int,
    ) -> None:  # fmt: skip
        builder = self.builder
        (count, step), *inner = axes
        rows = prod(extent for extent, _ in inner)
        with builder.loop(0, count, 1, [here, there]) as loop:
            source, target = loop.carried
            if inner:
                self._panel_rows(panels, inner, neighbour, source, target, stride)
            else:
                for number, piece in enumerate(panels.pieces):
                    value = self._collect(
                        piece, neighbour, builder.pointer(source, piece.offset * neighbour, self.element)
                    )
                    slot = builder.pointer(target, number * self.lanes, self.total)
                    builder.store(value, slot, align=piece.lanes * dtypes.itemsize(sum_dtype(self.dtype)))
            loop.next = [
                builder.pointer(source, step, self.element),
                builder.pointer(target, rows * stride, self.total),
            ]

    def _collect(self, piece: Piece, neighbour: int, here: Register) -> Register:
        """One row of a piece; lanes that do not exist become zeros."""
        builder = self.builder
        if neighbour == 1 or piece.lanes == 1:
            return load_operand(builder, self.target, self.dtype, piece.lanes, here, piece_mask(piece))
        value = constant(0, self.total, piece.lanes)
        for lane in range(piece.valid):
            address = builder.pointer(here, lane * neighbour, self.element)
            value = builder.insert(value, load_operand(builder, self.target, self.dtype, 1, address), lane)
        return value

    # -- images --------------------------------------------------------------------------------

    def image(
        self,
        x: Register,
        extents: Shape,
        channels: int,
        image: Shape,
        strides: Sequence[int],
        starts: Sequence[Register],
        there: Register,
    ) -> None:
        """Images with zeros around them, or a part of these: `extents` pixels from `starts` on.

        extents, image and strides: of (batch elements, *spatial); starts: of the spatial axes, which may lie
        outside the image. `channels` elements of a pixel are copied.
        """
        axes = list(zip(extents, image, strides, [index(0), *starts]))
        self._lines(x, axes, channels, there, None)

    def _lines(
        self,
        x: Register,
        axes: list[tuple[int, int, int, Register]],
        channels: int,
        there: Register,
        inside: Register | None,
    ) -> None:
        builder = self.builder
        (extent, image, stride, start), *inner = axes
        if not inner:
            self._line(x, axes[0], channels, there, inside)
            return
        size = prod(count for count, *_ in inner) * channels
        with counted(builder, index(0), index(extent)) as number:
            place = builder.add(start, number)
            within: Register | None = inside
            if start.text != "0" or extent > image:
                within = builder.compare("icmp ult", place, index(image))
                within = within if inside is None else builder.op("and", inside, within)
            source = builder.pointer(x, builder.multiply(place, stride), self.element)
            target = builder.pointer(there, builder.multiply(number, size), self.total)
            self._lines(source, inner, channels, target, within)

    def _line(
        self, x: Register, axis: tuple[int, int, int, Register], channels: int, there: Register,
        inside: Register | None,
    ) -> None:  # fmt: skip
        """One line: zeros, pixels of the image, zeros. Outside of the image there are only zeros."""
        builder = self.builder
        extent, image, stride, start = axis
        length = index(extent)
        left = self._clamped(builder.subtract(index(0), start), extent)
        right = self._clamped(builder.subtract(index(image), start), extent)
        if inside is not None:
            left = builder.select(inside, left, length)
            right = builder.select(inside, right, length)
        dense = stride == channels
        width = channels if dense else 1
        source = builder.pointer(x, builder.multiply(start, stride), self.element)
        if dense:
            left, right = (builder.multiply(edge, width) for edge in (left, right))
            self._fill(there, index(0), left)
            self._copy(source, there, left, right)
            self._fill(there, right, index(extent * channels))
            return
        self._fill(there, index(0), builder.multiply(left, channels))
        with builder.loop(left, right) as pixel:
            here = builder.pointer(source, builder.multiply(pixel.index, stride), self.element)
            to = builder.pointer(there, builder.multiply(pixel.index, channels), self.total)
            self._copy(here, to, index(0), index(channels))
        self._fill(there, builder.multiply(right, channels), index(extent * channels))

    # -- gradients of pooled images ------------------------------------------------------------

    def spread(
        self,
        y: Register,
        index_: Register,
        image: Shape,
        sizes: Shape,
        extents: Shape,
        channels: int,
        low: Sequence[int],
        there: Register,
    ) -> None:
        """Images that are zero but where a window of `sizes` has its maximum, with zeros around them.

        y, index_: the gradient of each maximum, and where in its window that is. image: spatial extents of
        the images; extents: (images, *spatial) of what is written, in which they start at `low`.
        """
        builder = self.builder
        places = tuple(extent // size for extent, size in zip(image, sizes))
        steps = row_major_strides((*extents, channels))
        if (*(place * size for place, size in zip(places, sizes)),) != extents[1:]:
            self._fill(there, index(0), index(prod(extents) * channels))
        there = builder.pointer(there, sum(at * step for at, step in zip(low, steps[1:])), self.total)
        taps = [
            sum(at * step for at, step in zip(tap, steps[1:])) for tap in product(*(range(n) for n in sizes))
        ]
        with builder.loop(0, extents[0] * prod(places)) as loop:
            rest, target = loop.index, there
            for place, size, step in reversed(list(zip(places, sizes, steps[1:]))):
                rest, at = divide(builder, rest, place)
                target = builder.pointer(target, builder.multiply(at, size * step), self.total)
            target = builder.pointer(target, builder.multiply(rest, steps[0]), self.total)
            source = builder.multiply(loop.index, channels)

            def scattered(place: Register, lanes: int, mask: Register | None) -> None:
                here = builder.add(source, place)
                value = load_operand(
                    builder, self.target, self.dtype, lanes, builder.pointer(y, here, self.element), mask
                )
                which = builder.load(vector("i8", lanes), builder.pointer(index_, here, "i8"), mask)
                zero = constant(0, self.total, lanes)
                for number, distance in enumerate(taps):
                    is_here = builder.compare("icmp eq", which, constant(number, "i8", lanes))
                    to = builder.pointer(target, builder.add(place, distance), self.total)
                    builder.store(builder.select(is_here, value, zero), to, mask)

            self._vectors(index(0), index(channels), scattered)

    # -- elements ------------------------------------------------------------------------------

    def _clamped(self, value: Register, extent: int) -> Register:
        """Within [0, extent]."""
        builder = self.builder
        if value.is_constant:
            return index(max(0, min(int(value.text), extent)))
        return builder.intrinsic(
            "smax", "i64", builder.intrinsic("smin", "i64", value, index(extent)), index(0)
        )

    def _fill(self, there: Register, begin: Register, end: Register) -> None:
        """Zeros in elements begin .. end-1."""

        def zeros(place: Register, lanes: int, mask: Register | None) -> None:
            value = constant(0, self.total, lanes)
            self.builder.store(value, self.builder.pointer(there, place, self.total), mask)

        self._vectors(begin, end, zeros)

    def _copy(self, here: Register, there: Register, begin: Register, end: Register) -> None:
        """Elements begin .. end-1."""

        def copied(place: Register, lanes: int, mask: Register | None) -> None:
            source = self.builder.pointer(here, place, self.element)
            value = load_operand(self.builder, self.target, self.dtype, lanes, source, mask)
            self.builder.store(value, self.builder.pointer(there, place, self.total), mask)

        self._vectors(begin, end, copied)

    def _vectors(self, begin: Register, end: Register, body: Body) -> None:
        """`body(place, lanes, mask)` for all elements: whole vectors, then what is left."""
        builder, lanes = self.builder, self.lanes
        if begin.is_constant and end.is_constant and begin.text == end.text:
            return
        count = builder.subtract(end, begin)
        if count.is_constant:
            whole = builder.add(begin, int(count.text) // lanes * lanes)
        else:
            whole = builder.add(begin, builder.op("and", count, index(-lanes)))
        if not count.is_constant or int(count.text) >= lanes:
            with builder.loop(begin, whole, lanes) as loop:
                body(loop.index, lanes, None)
        if count.is_constant and int(count.text) % lanes == 0:
            return
        if self.target.has_masks and lanes > 1:
            with builder.when(builder.compare("icmp slt", whole, end)):
                body(whole, lanes, builder.tail_mask(builder.subtract(end, whole), lanes))
            return
        with builder.loop(whole, end, 1) as loop:
            body(loop.index, 1, None)
