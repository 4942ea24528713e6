"""Derivatives of what `host` computes, as compositions of primitives (`host` among them).

A rule gets the node and the cotangents of its outputs, zeros where there is none, and returns those of the
operands. The formulas for matrices are those of Giles, "Collected matrix derivative results" (2008).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod

from lamina.grad.eigen import eigen
from lamina.grad.matrices import (
    above,
    along_columns,
    along_rows,
    below,
    beside,
    block,
    call,
    identity_like,
    inverse_transposed,
    lower,
    of_lower_triangle,
    over_matrix,
    product,
    reciprocal_differences,
    scaled,
    split_columns,
    split_rows,
    transposed,
)
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


# --- rules -----------------------------------------------------------------------------------------


def _cholesky(node: Node, g: Value) -> tuple[Value, ...]:
    factor = node.outputs[0]
    inner = lower(product(transposed(factor), g))
    inner = p.subtract(inner, scaled(p.multiply(inner, identity_like(inner)), 0.5))
    across = transposed(factor)
    left = call("solve", across, inner)
    return (of_lower_triangle(transposed(call("solve", across, transposed(left)))),)


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


def _without_rest(basis: Value, g: Value, count: int) -> tuple[Value, Value]:
    """The first columns of an orthogonal matrix, and their cotangent with what that of the rest adds to it.

    When the first columns turn, the rest turns with them: U1' dU2 = -(U2' dU1)'.
    """
    first, rest = split_columns(basis, count)
    of_first, of_rest = split_columns(g, count)
    return first, p.subtract(of_first, product(product(rest, transposed(of_rest)), first))


def _qr(node: Node, of_q: Value, of_r: Value) -> tuple[Value, ...]:
    (x,), (q, r) = node.inputs, node.outputs
    rows, columns = x.shape[-2:]
    if q.shape[-1] > columns:
        q, of_q = _without_rest(q, of_q, columns)
        r, of_r = split_rows(r, columns)[0], split_rows(of_r, columns)[0]
    if columns <= rows:
        return (_of_square_r(q, r, of_q, of_r),)
    # The columns beyond the square, x2 = q r2, follow from q.
    r, of_r, of_r2 = split_columns(r, rows)[0], *split_columns(of_r, rows)
    of_q = p.add(of_q, product(split_columns(x, rows)[1], transposed(of_r2)))
    return (beside(_of_square_r(q, r, of_q, of_r), product(q, of_r2)),)


def _of_square_r(q: Value, r: Value, of_q: Value, of_r: Value) -> Value:
    inner = p.subtract(product(r, transposed(of_r)), product(transposed(of_q), q))
    mirrored = p.add(lower(inner), transposed(below(inner)))
    outer = p.add(of_q, product(q, mirrored))
    return transposed(call("solve", r, transposed(outer)))


def _eigh(node: Node, of_values: Value, of_vectors: Value) -> tuple[Value, ...]:
    values, vectors = node.outputs
    inner = product(transposed(vectors), of_vectors)
    inner = p.multiply(inner, reciprocal_differences(values, inner))
    diagonal = p.multiply(identity_like(inner), along_rows(of_values, inner))
    return (of_lower_triangle(product(product(vectors, p.add(inner, diagonal)), transposed(vectors))),)


def _svd(node: Node, of_u: Value, of_s: Value, of_vt: Value) -> tuple[Value, ...]:
    x, (u, s, vt) = node.inputs[0], node.outputs
    inner = s.shape[-1]
    v, of_v = transposed(vt), transposed(of_vt)
    if u.shape[-1] > inner:
        u, of_u = _without_rest(u, of_u, inner)
    if v.shape[-1] > inner:
        v, of_v = _without_rest(v, of_v, inner)
    vt = transposed(v)
    square = product(transposed(u), of_u)
    apart = reciprocal_differences(p.multiply(s, s), square)

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


def _lu(node: Node, g: Value, of_pivots: Value, of_order: Value) -> tuple[Value, ...]:
    """Of P x = L U, where the rows of x stay exchanged as they are."""
    (x,), (factors, _, order) = node.inputs, node.outputs
    rows, columns = x.shape[-2:]
    inner = min(rows, columns)
    square = block(factors, (0, inner), (0, inner))
    of_square = block(g, (0, inner), (0, inner))
    left = p.add(below(square), identity_like(square))
    right = p.subtract(square, below(square))
    of_left, of_right = below(of_square), p.subtract(of_square, below(of_square))
    rest: Value | None = None
    if rows > inner:  # x2 = L2 U, which follows from U
        lower_left, of_lower_left = split_rows(factors, inner)[1], split_rows(g, inner)[1]
        rest = transposed(call("solve", right, transposed(of_lower_left)))
        of_right = p.subtract(of_right, product(transposed(lower_left), rest))
    if columns > inner:  # x2 = L U2, which follows from L
        upper_right, of_upper_right = split_columns(factors, inner)[1], split_columns(g, inner)[1]
        rest = call("solve", transposed(left), of_upper_right)
        of_left = p.subtract(of_left, product(rest, transposed(upper_right)))
    from_right = product(of_right, transposed(right))
    core = p.add(below(product(transposed(left), of_left)), p.subtract(from_right, below(from_right)))
    exchanged = call("solve", transposed(left), transposed(call("solve", right, transposed(core))))
    if rest is not None:
        exchanged = above(exchanged, rest) if rows > inner else beside(exchanged, rest)
    numbers = iota_value((*x.shape[:-1], rows), x.ndim - 1, x.dtype)
    is_from = p.cast(p.equal(along_columns(order, numbers), numbers), dtype=x.dtype)
    return (product(transposed(is_from), exchanged),)


def _nextafter(node: Node, g: Value) -> tuple[Value, ...]:
    """The neighbour moves as the number does."""
    return g, full(g.shape, 0, g.dtype)


def _view(node: Node, g: Value) -> tuple[Value, ...]:
    """Bits are no numbers that a derivative could flow through."""
    x = node.inputs[0]
    return (full(x.shape, 0, x.dtype),)


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
    "eig": eigen,
    "svd": _svd,
    "lu": _lu,
    "fft": _fft,
    "nextafter": _nextafter,
    "view": _view,
}
