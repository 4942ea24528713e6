"""Elements moved between registers: sums folded, rows and columns exchanged, streams dealt out and woven."""

from __future__ import annotations

from collections.abc import Sequence

from lamina.backends.cpu.emit import Builder, Register, bits_of, constant, is_floating, vector


def part(builder: Builder, value: Register, start: int, count: int) -> Register:
    """`count` lanes of a vector, the bare element when that is one."""
    if count == value.lanes:
        return value
    if count == 1:
        return builder.extract(value, start)
    return builder.shuffle(value, None, range(start, start + count))


def filled(builder: Builder, value: Register, lanes: int) -> Register:
    """A short vector filled up with zeros."""
    if value.lanes == lanes:
        return value
    if value.lanes == 1:
        return builder.insert(constant(0, value.type, lanes), value, 0)
    zeros = constant(0, value.element, value.lanes)
    return builder.shuffle(value, zeros, [min(lane, value.lanes) for lane in range(lanes)])


def transpose_lines(
    builder: Builder,
    source: tuple[Register, int, int],
    target: tuple[Register, int, int],
    element: str,
    group: int,
) -> None:
    """Read `group` neighbours from each of several lines, and write them as `group` vectors across the lines.

    source: where the first line starts, the step to the next, their number. target: where the first vector
    goes, the step to the next, its lanes; lanes beyond the lines become zeros. `group` elements are 16 bytes.

    Line `group * q + r` comes into 128-bit quarter q of vector r, so what is left is one transposition of
    `group` x `group` elements inside every quarter, log2(group) shuffles for each vector.
    """
    here, line_step, count = source
    there, row_step, lanes = target
    lines = [
        builder.load(vector(element, group), builder.pointer(here, line * line_step, element))
        for line in range(count)
    ]
    lines += [constant(0, element, group)] * (max(lanes, group) - count)
    vectors = [joined(builder, lines[remainder::group]) for remainder in range(group)]
    for row, value in enumerate(transposed_blocks(builder, vectors)):
        address = builder.pointer(there, row * row_step, element)
        builder.store(part(builder, value, 0, lanes), address, align=lanes * bits_of(element) // 8)


def joined(builder: Builder, parts: list[Register]) -> Register:
    """Vectors side by side in one; their number is a power of two."""
    while len(parts) > 1:
        parts = [builder.shuffle(x, y, range(2 * x.lanes)) for x, y in zip(parts[::2], parts[1::2])]
    return parts[0]


def transposed_blocks(builder: Builder, vectors: list[Register]) -> list[Register]:
    """Transpose every block of n x n elements that n vectors hold side by side; n is 2 or 4."""
    size, lanes = len(vectors), vectors[0].lanes

    def interleave(x: Register, y: Register, unit: int, half: int) -> Register:
        """Units of x and y in turn, from the lower (0) or the upper (1) half of each block."""
        order: list[int] = []
        for start in range(half * size // 2, lanes, size):
            for position in range(start, start + size // 2, unit):
                order += range(position, position + unit)
                order += range(lanes + position, lanes + position + unit)
        return builder.shuffle(x, y, order)

    if size == 2:
        return [interleave(vectors[0], vectors[1], 1, half) for half in (0, 1)]
    halves = [[interleave(x, y, 1, half) for x, y in zip(vectors[::2], vectors[1::2])] for half in (0, 1)]
    return [interleave(x, y, 2, half) for x, y in halves for half in (0, 1)]


def folded(builder: Builder, sums: Sequence[Register]) -> Register:
    """A vector with the sum of all lanes of sums[i] in lane i. The number of vectors is a power of two.

    Halves of two vectors are added at a time: 2(n - 1) shuffles and n - 1 additions for n vectors of n lanes.
    """
    opcode = "fadd" if is_floating(sums[0].type) else "add"
    values = list(sums)
    while values[0].lanes > len(values):
        half = values[0].lanes // 2
        values = [
            builder.op(opcode, part(builder, value, 0, half), part(builder, value, half, half))
            for value in values
        ]
    width = len(values)
    while len(values) > 1:
        half, lanes = width // 2, values[0].lanes
        lower: list[int] = []
        for block in range(0, lanes, width):
            lower += [*range(block, block + half), *range(lanes + block, lanes + block + half)]
        upper = [lane + half for lane in lower]
        count = len(values) // 2
        values = [
            builder.op(opcode, builder.shuffle(x, y, lower), builder.shuffle(x, y, upper))
            for x, y in zip(values[:count], values[count:])
        ]
        width = half
    return values[0]


def dealt(builder: Builder, vectors: Sequence[Register]) -> list[Register]:
    """Elements laid end to end in 1, 2 or 4 vectors, dealt out in turn to as many vectors."""
    if len(vectors) == 1:
        return list(vectors)
    lanes = vectors[0].lanes
    if lanes == 1:
        return list(vectors)
    halves = []
    for first in (0, 1):
        order = range(first, 2 * lanes, 2)
        halves.append([builder.shuffle(x, y, order) for x, y in zip(vectors[::2], vectors[1::2])])
    even, odd = dealt(builder, halves[0]), dealt(builder, halves[1])
    return [dealt_out for pair in zip(even, odd) for dealt_out in pair]


def woven(builder: Builder, vectors: Sequence[Register], lanes: int) -> list[Register]:
    """The opposite of `dealt`: first elements first, in vectors of at most `lanes`."""
    if len(vectors) == 1:
        return list(vectors)
    even, odd = woven(builder, vectors[::2], lanes), woven(builder, vectors[1::2], lanes)
    result = []
    for x, y in zip(even, odd):
        order = [lane // 2 + lane % 2 * x.lanes for lane in range(2 * x.lanes)]
        if x.lanes == 1:
            pair = builder.insert(constant(0, x.element, 2), x, 0)
            result.append(builder.insert(pair, y, 1))
        elif 2 * x.lanes <= lanes:
            result.append(builder.shuffle(x, y, order))
        else:
            result += [builder.shuffle(x, y, order[: x.lanes]), builder.shuffle(x, y, order[x.lanes :])]
    return result
