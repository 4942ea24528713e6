"""Compositions of primitives on stacks of matrices (the last two axes), for rules of derivatives."""

from __future__ import annotations

from typing import Any

from lamina.ir import primitives as p
from lamina.ir.bind import full, iota_value
from lamina.ir.graph import Value


def call(function: str, *operands: Value, **options: Any) -> Any:
    return p.host(*operands, function=function, options=tuple(sorted(options.items())))


def product(x: Value, y: Value) -> Value:
    """Matrices times matrices, stack by stack."""
    rank = len(x.shape)
    stack = tuple(range(rank - 2))
    result: Value = p.dot(x, y, contract=((rank - 1,), (rank - 2,)), batch=(stack, stack))
    return result


def transposed(x: Value) -> Value:
    rank = len(x.shape)
    result: Value = p.transpose(x, permutation=(*range(rank - 2), rank - 1, rank - 2))
    return result


def scaled(x: Value, factor: float) -> Value:
    result: Value = p.multiply(x, full(x.shape, factor, x.dtype))
    return result


def rows_and_columns(x: Value) -> tuple[Value, Value]:
    """The number of the row, and of the column, of each element."""
    rank = len(x.shape)
    return iota_value(x.shape, rank - 2, "int32"), iota_value(x.shape, rank - 1, "int32")


def where(condition: Value, x: Value, y: float = 0.0) -> Value:
    result: Value = p.select(condition, x, full(x.shape, y, x.dtype))
    return result


def lower(x: Value) -> Value:
    rows, columns = rows_and_columns(x)
    return where(p.greater_equal(rows, columns), x)


def below(x: Value) -> Value:
    rows, columns = rows_and_columns(x)
    return where(p.greater(rows, columns), x)


def identity_like(x: Value) -> Value:
    rows, columns = rows_and_columns(x)
    return where(p.equal(rows, columns), full(x.shape, 1, x.dtype))


def along_rows(s: Value, like: Value) -> Value:
    """One number per column of `like`."""
    rank = len(like.shape)
    result: Value = p.broadcast(s, shape=like.shape, axes=(*range(rank - 2), rank - 1))
    return result


def along_columns(s: Value, like: Value) -> Value:
    """One number per row of `like`."""
    result: Value = p.broadcast(s, shape=like.shape, axes=tuple(range(len(like.shape) - 1)))
    return result


def over_matrix(number: Value, like: Value) -> Value:
    """One number per matrix of `like`."""
    result: Value = p.broadcast(number, shape=like.shape, axes=tuple(range(len(like.shape) - 2)))
    return result


def of_lower_triangle(g: Value) -> Value:
    """For a function that reads only the lower triangle, whose elements stand for those above it, too."""
    result: Value = p.add(below(p.add(g, transposed(g))), p.multiply(identity_like(g), g))
    return result


def inverse_transposed(x: Value) -> Value:
    result: Value = call("solve", transposed(x), identity_like(x))
    return result


def reciprocal_differences(numbers: Value, like: Value) -> Value:
    """1 / (numbers[j] - numbers[i]) at (i, j), and 0 where they are equal."""
    difference = p.subtract(along_rows(numbers, like), along_columns(numbers, like))
    nothing, one = full(like.shape, 0, like.dtype), full(like.shape, 1, like.dtype)
    equal = p.equal(difference, nothing)
    result: Value = p.select(equal, nothing, p.divide(one, p.select(equal, one, difference)))
    return result


# --- parts -----------------------------------------------------------------------------------------


def block(x: Value, rows: tuple[int, int], columns: tuple[int, int]) -> Value:
    """The part of the matrices between these rows and columns."""
    before = x.shape[:-2]
    result: Value = p.slice(
        x,
        start=(*[0] * len(before), rows[0], columns[0]),
        limit=(*before, rows[1], columns[1]),
        stride=(1,) * x.ndim,
    )
    return result


def split_columns(x: Value, at: int) -> tuple[Value, Value]:
    rows, columns = x.shape[-2:]
    return block(x, (0, rows), (0, at)), block(x, (0, rows), (at, columns))


def split_rows(x: Value, at: int) -> tuple[Value, Value]:
    rows, columns = x.shape[-2:]
    return block(x, (0, at), (0, columns)), block(x, (at, rows), (0, columns))


def beside(x: Value, y: Value) -> Value:
    result: Value = p.concatenate(x, y, axis=x.ndim - 1)
    return result


def above(x: Value, y: Value) -> Value:
    result: Value = p.concatenate(x, y, axis=x.ndim - 2)
    return result
