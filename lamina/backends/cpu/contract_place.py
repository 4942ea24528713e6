"""Where an accumulator's results belong, and how the operands of an epilogue are addressed there."""

from __future__ import annotations

from dataclasses import dataclass, field

from lamina.backends.cpu.emit import Builder, Register, element_of, vector

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
    """`lanes` neighbouring elements of one row of C, the first at (batch, row, column).

    mask: None, or a constant mask of the lanes that exist.
    """

    tile: Tile
    row_offset: int
    column_offset: int
    lanes: int
    mask: Register | None
    builder: Builder

    @property
    def batch(self) -> Register:
        return self.tile.batch

    @property
    def row(self) -> Register:
        return self.builder.add(self.tile.row, self.row_offset)

    @property
    def column(self) -> Register:
        return self.builder.add(self.tile.column, self.column_offset)

    def pointer(self, builder: Builder, base: Register, strides: Strides, element: str) -> Register:
        """The address of the first lane's element in an operand with these strides over (batch, i, j)."""
        corner = self.tile.pointer(builder, base, strides, element)
        return builder.pointer(
            corner, self.row_offset * strides[1] + self.column_offset * strides[2], element
        )

    def load(self, builder: Builder, base: Register, strides: Strides, element: str) -> Register:
        """The operand's elements at this place, whatever its strides: contiguous, broadcast or scattered."""
        step = strides[2]
        if self.lanes == 1 or step == 1:
            address = self.pointer(builder, base, strides, element)
            return builder.load(vector(element, self.lanes), address, self.mask)
        if step == 0:
            address = self.pointer(builder, base, strides, element)
            return builder.splat(builder.load(element, address), self.lanes)
        value = Register("zeroinitializer", vector(element, self.lanes))
        for lane, address in self._each(builder, base, strides, element):
            value = builder.insert(value, builder.load(element, address), lane)
        return value

    def store(self, builder: Builder, value: Register, base: Register, strides: Strides) -> None:
        """Store the lanes that exist."""
        element = element_of(value.type)
        if self.lanes == 1 or strides[2] == 1:
            builder.store(value, self.pointer(builder, base, strides, element), self.mask)
            return
        for lane, address in self._each(builder, base, strides, element):
            builder.store(builder.extract(value, lane), address)

    def _each(
        self, builder: Builder, base: Register, strides: Strides, element: str
    ) -> list[tuple[int, Register]]:
        first = self.pointer(builder, base, strides, element)
        return [(lane, builder.pointer(first, lane * strides[2], element)) for lane in range(self.valid)]

    @property
    def valid(self) -> int:
        """How many of the lanes exist."""
        return self.lanes if self.mask is None else self.mask.text.count("true")
