"""Where an accumulator's results belong, and how the operands of an epilogue are addressed there."""

from __future__ import annotations

from dataclasses import dataclass, field

from lamina.backends.cpu.emit import Builder, Register, constant, element_of, lane_constants, vector

Strides = tuple[int, int, int]


@dataclass
class Tile:
    """The corner of a tile: registers for its batch element, first row and first column.

    `addresses` keeps what its places have in common. Only the basic block `label`, where the epilogue starts,
    may fill it: an address computed in a block that the epilogue opened is not known everywhere.
    """

    batch: Register
    row: Register
    column: Register
    label: str
    addresses: dict[tuple[object, ...], Register] = field(default_factory=dict)

    def pointer(self, builder: Builder, base: Register, strides: Strides, element: str) -> Register:
        """The address of the tile's corner in an operand with these strides."""
        key = (base.text, strides, element)
        if key in self.addresses:
            return self.addresses[key]
        offset = builder.multiply(self.batch, strides[0])
        offset = builder.add(offset, builder.multiply(self.row, strides[1]))
        offset = builder.add(offset, builder.multiply(self.column, strides[2]))
        address = builder.pointer(base, offset, element)
        if builder.label == self.label:
            self.addresses[key] = address
        return address


@dataclass
class Place:
    """`lanes` elements of C, the first at (batch, row, column), of which the first `valid` exist.

    They are neighbours along a row - or, where `columns` is not 0, whole rows of so many columns, one after
    the other: lane l is row + l // columns, column l % columns. `offsets` tells where each lane lies.
    """

    builder: Builder
    tile: Tile
    row_offset: int
    column_offset: int
    lanes: int
    valid: int
    columns: int = 0

    @property
    def batch(self) -> Register:
        return self.tile.batch

    @property
    def row(self) -> Register:
        """The row of the first lane."""
        return self.builder.add(self.tile.row, self.row_offset)

    @property
    def column(self) -> Register:
        """The column of the first lane."""
        return self.builder.add(self.tile.column, self.column_offset)

    @property
    def mask(self) -> Register | None:
        """The lanes that exist as a constant; None when all do."""
        if self.valid == self.lanes:
            return None
        return lane_constants([lane < self.valid for lane in range(self.lanes)], "i1")

    def offsets(self, strides: Strides) -> list[int]:
        """Elements from the first lane to each lane, in an operand with these strides."""
        if not self.columns:
            return [lane * strides[2] for lane in range(self.lanes)]
        return [
            lane // self.columns * strides[1] + lane % self.columns * strides[2] for lane in range(self.lanes)
        ]

    def pointer(self, builder: Builder, base: Register, strides: Strides, element: str) -> Register:
        """The address of the first lane's element in an operand with these strides over (batch, i, j)."""
        corner = self.tile.pointer(builder, base, strides, element)
        return builder.pointer(
            corner, self.row_offset * strides[1] + self.column_offset * strides[2], element
        )

    def load(self, builder: Builder, base: Register, strides: Strides, element: str) -> Register:
        """The operand's elements at this place, whatever its strides: contiguous, broadcast or scattered."""
        offsets = self.offsets(strides)
        first = self.pointer(builder, base, strides, element)
        if offsets == list(range(self.lanes)):
            return builder.load(vector(element, self.lanes), first, self.mask)
        if not any(offsets):
            return builder.splat(builder.load(element, first), self.lanes)
        used = sorted(set(offsets[: self.valid]))
        if used == list(range(len(used))) and len(used) & (len(used) - 1) == 0:
            few = builder.load(vector(element, len(used)), first)
            order = [offset if offset < len(used) else 0 for offset in offsets]
            return builder.shuffle(few, None, order) if few.lanes > 1 else builder.splat(few, self.lanes)
        value = constant(0, element, self.lanes)
        for lane, offset in enumerate(offsets[: self.valid]):
            one = builder.load(element, builder.pointer(first, offset, element))
            value = builder.insert(value, one, lane)
        return value

    def store(self, builder: Builder, value: Register, base: Register, strides: Strides) -> None:
        """Store the lanes that exist."""
        element = element_of(value.type)
        first = self.pointer(builder, base, strides, element)
        offsets = self.offsets(strides)
        if offsets == list(range(self.lanes)):
            builder.store(value, first, self.mask)
            return
        for lane, offset in enumerate(offsets[: self.valid]):
            builder.store(builder.extract(value, lane), builder.pointer(first, offset, element))
