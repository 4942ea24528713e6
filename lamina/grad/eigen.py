"""The derivative of `eig`: eigenvalues and eigenvectors of a square matrix, both complex.

With x V = V diag(w) and M = V^-1 dx V: dw is the diagonal of M, and the columns of V move by
V (M / (w_j - w_i)), but for their length and phase, which LAPACK fixes: norm 1, and a largest element that is
real. Complex matrices are pairs (real part, imaginary part) here.
"""

from __future__ import annotations

from lamina.grad.matrices import (
    above,
    along_columns,
    along_rows,
    beside,
    call,
    identity_like,
    product,
    split_rows,
    transposed,
    where,
)
from lamina.ir import primitives as p
from lamina.ir.bind import full
from lamina.ir.graph import Node, Value

Complex = tuple[Value, Value]


def times(x: Complex, y: Complex) -> Complex:
    """The product of matrices."""
    real = p.subtract(product(x[0], y[0]), product(x[1], y[1]))
    return real, p.add(product(x[0], y[1]), product(x[1], y[0]))


def adjoint(x: Complex) -> Complex:
    return transposed(x[0]), p.negative(transposed(x[1]))


def solve(a: Complex, b: Complex) -> Complex:
    """The complex solution, out of a real system that is twice as large."""
    whole = above(beside(a[0], p.negative(a[1])), beside(a[1], a[0]))
    real, imaginary = split_rows(call("solve", whole, above(*b)), b[0].shape[-2])
    return real, imaginary


def sum_of_columns(x: Value) -> Value:
    """One number per column."""
    result: Value = p.reduce_sum(x, axes=(x.ndim - 2,))
    return result


def eigen(node: Node, *cotangents: Value) -> tuple[Value, ...]:
    values: Complex = node.outputs[0], node.outputs[1]
    vectors: Complex = node.outputs[2], node.outputs[3]
    moved = _without_length_and_phase(vectors, (cotangents[2], cotangents[3]))
    inner = _over_differences(values, times(adjoint(vectors), moved))
    diagonal = identity_like(inner[0])
    inner = (
        p.add(inner[0], p.multiply(diagonal, along_rows(cotangents[0], diagonal))),
        p.add(inner[1], p.multiply(diagonal, along_rows(cotangents[1], diagonal))),
    )
    across = adjoint(vectors)
    return (solve(across, times(inner, across))[0],)


def _without_length_and_phase(vectors: Complex, g: Complex) -> Complex:
    """What remains of the cotangent of the vectors: they cannot grow, and one element of each stays real."""
    (x, y), (of_x, of_y) = vectors, g
    along = sum_of_columns(p.add(p.multiply(x, of_x), p.multiply(y, of_y)))
    turning = sum_of_columns(p.subtract(p.multiply(x, of_y), p.multiply(y, of_x)))
    size = where(p.equal(y, full(y.shape, 0, y.dtype)), p.absolute(x))
    largest = p.reduce_max(size, axes=(size.ndim - 2,))
    is_fixed = p.equal(size, along_rows(largest, size))
    share = sum_of_columns(p.cast(is_fixed, dtype=x.dtype))
    turned = p.divide(along_rows(turning, x), p.multiply(x, along_rows(share, x)))
    of_x = p.subtract(of_x, p.multiply(x, along_rows(along, x)))
    of_y = p.subtract(of_y, p.multiply(y, along_rows(along, y)))
    return of_x, p.subtract(of_y, where(is_fixed, turned))


def _over_differences(values: Complex, x: Complex) -> Complex:
    """x[i, j] divided by the conjugate of values[j] - values[i], and 0 where they are equal."""
    real = p.subtract(along_rows(values[0], x[0]), along_columns(values[0], x[0]))
    imaginary = p.subtract(along_rows(values[1], x[0]), along_columns(values[1], x[0]))
    square = p.add(p.multiply(real, real), p.multiply(imaginary, imaginary))
    nothing, one = full(square.shape, 0, square.dtype), full(square.shape, 1, square.dtype)
    equal = p.equal(square, nothing)
    factor = p.select(equal, nothing, p.divide(one, p.select(equal, one, square)))
    over_real = p.subtract(p.multiply(x[0], real), p.multiply(x[1], imaginary))
    over_imaginary = p.add(p.multiply(x[0], imaginary), p.multiply(x[1], real))
    return p.multiply(over_real, factor), p.multiply(over_imaginary, factor)
