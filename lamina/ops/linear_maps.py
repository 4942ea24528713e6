"""Maps of the plane in homogeneous coordinates, for batches of points."""

from __future__ import annotations

from typing import Any

from lamina.ops.arithmetic import add, divide, multiply, subtract
from lamina.ops.convert import as_tensor, dtype_of
from lamina.ops.join import stack

Matrix = list[list[Any]]  # three rows of three, each a tensor [batch]


def homography(start: Any, end: Any) -> Any:
    """The eight numbers [batch, 8] of the projective map that takes four points [batch, 4, 2] to four others.

    Each four points are the images of one fixed frame under a map that is a 3 x 3 matrix: the first three
    points as columns, scaled so that they add up to the fourth. The map asked for is the second such matrix
    times the inverse of the first, for which its adjugate does, because a factor common to all entries does
    not count. The ninth number is 1.
    """
    product = _product(_frame(as_tensor(end, "float64")), _adjugate(_frame(as_tensor(start, "float64"))))
    last = product[2][2]
    numbers = [divide(entry, last) for line in product for entry in line][:8]
    return as_tensor(stack(numbers, axis=-1), dtype_of(start))


def _frame(points: Any) -> Matrix:
    ones = multiply(points[:, 0, 0], 0) + 1
    columns = [[points[:, number, 0], points[:, number, 1], ones] for number in range(4)]
    lines = [[columns[number][line] for number in range(3)] for line in range(3)]
    inverse = _adjugate(lines)
    scales = [_sum(multiply(entry, part) for entry, part in zip(line, columns[3])) for line in inverse]
    return [[multiply(entry, scale) for entry, scale in zip(line, scales)] for line in lines]


def _adjugate(m: Matrix) -> Matrix:
    """The inverse times the determinant. Counting lines and columns in a circle gives the signs."""

    def cofactor(line: int, column: int) -> Any:
        a, b, c, d = (line + 1) % 3, (line + 2) % 3, (column + 1) % 3, (column + 2) % 3
        return subtract(multiply(m[a][c], m[b][d]), multiply(m[a][d], m[b][c]))

    return [[cofactor(column, line) for column in range(3)] for line in range(3)]


def _product(x: Matrix, y: Matrix) -> Matrix:
    return [
        [_sum(multiply(x[line][step], y[step][column]) for step in range(3)) for column in range(3)]
        for line in range(3)
    ]


def _sum(terms: Any) -> Any:
    first, *rest = terms
    for term in rest:
        first = add(first, term)
    return first
