"""Winograd's transforms for kernels of 3 x 3 taps, on vectors in registers.

Two outputs next to each other along a line take four inputs d and three taps g. Six products become four:

    y = A^T ((G g) * (B^T d))            * element by element

    B^T = | 1  0 -1  0 |     G = | 1    0    0  |     A^T = | 1  1  1  0 |
          | 0  1  1  0 |         | 1/2  1/2  1/2|           | 0  1 -1  1 |
          | 0 -1  1  0 |         | 1/2 -1/2  1/2|
          | 0 -1  0  1 |         | 0    0    1  |

Along both axes, 2 x 2 outputs take 16 products instead of 36. Read backwards, the same three matrices give
the gradient of the taps from that of the outputs: dg = G^T ((A dy) * (B^T d)).

A tile is a list of rows of registers, which may be vectors of any width of any floating type.

Source: A. Lavin, S. Gray, "Fast Algorithms for Convolutional Neural Networks", 2015 (F(2x2, 3x3)), with the
signs of the last row of B^T and the last column of A^T changed, which saves negations.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from lamina.backends.cpu.emit import Builder, Register, constant

Tile = Sequence[Sequence[Register]]
Line = Callable[[Builder, Sequence[Register]], list[Register]]

INPUTS = 4  # along each axis of a tile
OUTPUTS = 2
TAPS = 3


def transform_inputs(builder: Builder, inputs: Tile) -> list[list[Register]]:
    """B^T d B of 4 x 4 inputs: 4 x 4 factors."""
    return _along_both(builder, inputs, input_line)


def transform_taps(builder: Builder, taps: Tile) -> list[list[Register]]:
    """G g G^T of 3 x 3 taps: 4 x 4 factors."""
    return _along_both(builder, taps, tap_line)


def transform_products(builder: Builder, products: Tile) -> list[list[Register]]:
    """A^T m A of 4 x 4 sums of products: 2 x 2 outputs."""
    return _along_both(builder, products, product_line)


def transform_output_gradients(builder: Builder, gradients: Tile) -> list[list[Register]]:
    """A dy A^T of 2 x 2 gradients of outputs: 4 x 4 factors of the gradient of the taps."""
    return _along_both(builder, gradients, output_gradient_line)


def transform_tap_products(builder: Builder, products: Tile) -> list[list[Register]]:
    """G^T m G of 4 x 4 sums of products: the gradient of 3 x 3 taps."""
    return _along_both(builder, products, tap_product_line)


def input_line(builder: Builder, line: Sequence[Register]) -> list[Register]:
    """B^T d"""
    a, b, c, d = line
    return [
        builder.op("fsub", a, c),
        builder.op("fadd", b, c),
        builder.op("fsub", c, b),
        builder.op("fsub", d, b),
    ]


def tap_line(builder: Builder, line: Sequence[Register]) -> list[Register]:
    """G g"""
    first, middle, last = line
    outer = _halved(builder, builder.op("fadd", first, last))
    middle = _halved(builder, middle)
    return [first, builder.op("fadd", outer, middle), builder.op("fsub", outer, middle), last]


def product_line(builder: Builder, line: Sequence[Register]) -> list[Register]:
    """A^T m"""
    a, b, c, d = line
    return [
        builder.op("fadd", a, builder.op("fadd", b, c)),
        builder.op("fadd", d, builder.op("fsub", b, c)),
    ]


def output_gradient_line(builder: Builder, line: Sequence[Register]) -> list[Register]:
    """A dy"""
    first, last = line
    return [first, builder.op("fadd", first, last), builder.op("fsub", first, last), last]


def tap_product_line(builder: Builder, line: Sequence[Register]) -> list[Register]:
    """G^T m"""
    a, b, c, d = line
    even = _halved(builder, builder.op("fadd", b, c))
    odd = _halved(builder, builder.op("fsub", b, c))
    return [builder.op("fadd", a, even), odd, builder.op("fadd", even, d)]


def _halved(builder: Builder, value: Register) -> Register:
    return builder.op("fmul", value, constant(0.5, value.element, value.lanes))


def _along_both(builder: Builder, tile: Tile, line: Line) -> list[list[Register]]:
    """The transform of a line along each row, then along each column."""
    rows = [line(builder, row) for row in tile]
    columns = [line(builder, column) for column in zip(*rows)]
    return [list(row) for row in zip(*columns)]
