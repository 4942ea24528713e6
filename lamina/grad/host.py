"""Derivatives of what `host` computes, as compositions of primitives (`host` among them).

A rule gets the node and the cotangents of its outputs, zeros where there is none, and returns those of the
operands. The formulas for matrices are those of Giles, "Collected matrix derivative results" (2008).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

from lamina.core.errors import GradientError
from lamina.ir import primitives as p
from lamina.ir.bind import full, iota_value
from lamina.ir.graph import Node, Value


def of_host(node: Node, cotangents: Sequence[Value | None], wanted: Sequence[bool]) -> list[Value | None]:
    """The rule of the primitive, by the function's name."""
    arrived = [
        full(output.shape, 0, output.dtype) if given is None else given
        for output, given in zip(node.outputs, cotangents)
    ]
    return list(RULES[node.attributes["function"]](node, *arrived))


# --- matrices --------------------------------------------------------------------------------------


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


def _of_lower_triangle(g: Value) -> Value:
    """For a function that reads only the lower triangle, whose elements stand for those above it, too."""
    result: Value = p.add(below(p.add(g, transposed(g))), p.multiply(identity_like(g), g))
    return result


def inverse_transposed(x: Value) -> Value:
    result: Value = call("solve", transposed(x), identity_like(x))
    return result


def _reciprocal_differences(numbers: Value, like: Value) -> Value:
    """1 / (numbers[j] - numbers[i]) at (i, j), and 0 where they are equal."""
    difference = p.subtract(along_rows(numbers, like), along_columns(numbers, like))
    nothing, one = full(like.shape, 0, like.dtype), full(like.shape, 1, like.dtype)
    equal = p.equal(difference, nothing)
    result: Value = p.select(equal, nothing, p.divide(one, p.select(equal, one, difference)))
    return result


# --- rules -----------------------------------------------------------------------------------------


def _cholesky(node: Node, g: Value) -> tuple[Value, ...]:
    factor = node.outputs[0]
    inner = lower(product(transposed(factor), g))
    inner = p.subtract(inner, scaled(p.multiply(inner, identity_like(inner)), 0.5))
    across = transposed(factor)
    left = call("solve", across, inner)
    return (_of_lower_triangle(transposed(call("solve", across, transposed(left)))),)


def _solve(node: Node, g: Value) -> tuple[Value, ...]:
    a, result = node.inputs[0], node.outputs[0]
    back = call("solve", transposed(a), g)
    return p.negative(product(back, transposed(result))), back


def _det(node: Node, g: Value) -> tuple[Value, ...]:
    x = node.inputs[0]
    return (p.multiply(over_matrix(p.multiply(g, node.outputs[0]), x), inverse_transposed(x)),)


def _slogdet(node: Node, of_sign: Value, g: Value) -> tuple[Value, ...]:
    x = node.inputs[0]
    return (p.multiply(over_matrix(g, x), inverse_transposed(x)),)


def _qr(node: Node, of_q: Value, of_r: Value) -> tuple[Value, ...]:
    q, r = node.outputs
    if r.shape[-1] != r.shape[-2]:
        raise GradientError(
            "qr has no gradient for matrices with more columns than rows, nor in mode 'complete'.",
            fix="transpose the matrix, or take mode='reduced'.",
        )
    inner = p.subtract(product(r, transposed(of_r)), product(transposed(of_q), q))
    mirrored = p.add(lower(inner), transposed(below(inner)))
    outer = p.add(of_q, product(q, mirrored))
    return (transposed(call("solve", r, transposed(outer))),)


def _eigh(node: Node, of_values: Value, of_vectors: Value) -> tuple[Value, ...]:
    values, vectors = node.outputs
    inner = product(transposed(vectors), of_vectors)
    inner = p.multiply(inner, _reciprocal_differences(values, inner))
    diagonal = p.multiply(identity_like(inner), along_rows(of_values, inner))
    return (_of_lower_triangle(product(product(vectors, p.add(inner, diagonal)), transposed(vectors))),)


def _svd(node: Node, of_u: Value, of_s: Value, of_vt: Value) -> tuple[Value, ...]:
    x, (u, s, vt) = node.inputs[0], node.outputs
    inner = s.shape[-1]
    if u.shape[-1] != inner or vt.shape[-2] != inner:
        raise GradientError("svd has no gradient with full_matrices=True.", fix="svd(x, full_matrices=False)")
    v, of_v = transposed(vt), transposed(of_vt)
    square = product(transposed(u), of_u)
    apart = _reciprocal_differences(p.multiply(s, s), square)

    def antisymmetric(gram: Value) -> Value:
        result: Value = p.multiply(apart, p.subtract(gram, transposed(gram)))
        return result

    from_u = p.multiply(antisymmetric(square), along_rows(s, square))
    from_v = p.multiply(along_columns(s, square), antisymmetric(product(vt, of_v)))
    diagonal = p.multiply(identity_like(square), along_rows(of_s, square))
    core = p.add(p.add(from_u, from_v), diagonal)
    total = product(product(u, core), vt)
    rows, columns = x.shape[-2:]
    if rows > inner:
        rest = p.divide(of_u, along_rows(s, of_u))
        rest = p.subtract(rest, product(u, product(transposed(u), rest)))
        total = p.add(total, product(rest, vt))
    if columns > inner:
        rest = p.divide(of_v, along_rows(s, of_v))
        rest = p.subtract(rest, product(v, product(vt, rest)))
        total = p.add(total, product(u, transposed(rest)))
    return (total,)


def _lu(node: Node, of_factors: Value, of_pivots: Value) -> tuple[Value, ...]:
    raise GradientError("lu_factor has no gradient.", fix="solve, inv, det and qr have.")


def _fft(node: Node, of_real: Value, of_imaginary: Value) -> tuple[Value, ...]:
    """The adjoint of a transform is the other one, but for the number of points."""
    options = dict(node.attributes["options"])
    points = prod(of_real.shape[axis] for axis in options["axes"])
    back = call("fft", of_real, of_imaginary, axes=options["axes"], inverse=not options["inverse"])
    factor = 1.0 / points if options["inverse"] else float(points)
    return tuple(scaled(part, factor) for part in back)


RULES: dict[str, Callable[..., tuple[Value, ...]]] = {
    "cholesky": _cholesky,
    "solve": _solve,
    "det": _det,
    "slogdet": _slogdet,
    "qr": _qr,
    "eigh": _eigh,
    "svd": _svd,
    "lu": _lu,
    "fft": _fft,
}
