"""Decompositions, inverses and systems of equations; matrices are the last two axes.

They are computed by NumPy's LAPACK, also in the middle of a compiled step, and have gradients. A matrix for
which there is no answer (singular, not positive definite) gives NaN or infinity, as on accelerators.
"""

from __future__ import annotations

from typing import Any

from lamina.core import dtypes
from lamina.core.errors import ArgumentError, ShapeError
from lamina.ir import primitives as p
from lamina.ops.arithmetic import divide, multiply
from lamina.ops.contract import matmul
from lamina.ops.convert import cast, convert_to_tensor
from lamina.ops.create import eye, tril, triu
from lamina.ops.logic import greater, where
from lamina.ops.math import log
from lamina.ops.move import broadcast_to, expand_dims, squeeze, swapaxes
from lamina.ops.reduce import max, sum
from lamina.ops.registry import op


def host(function: str, *operands: Any, **options: Any) -> Any:
    """The primitive of this name; see `lamina.ir.host_rules`."""
    return p.host(*operands, function=function, options=tuple(sorted(options.items())))


def _matrix(x: Any, square: bool = False, name: str = "x") -> Any:
    """x as floats; ShapeError unless it is a matrix or a stack of them."""
    x = convert_to_tensor(x)
    if not dtypes.is_float(dtypes.standardize(x.dtype)):
        x = cast(x, dtypes.standardize(None))
    if x.ndim < 2 or (square and x.shape[-1] != x.shape[-2]):
        raise ShapeError(
            f"{name} must be a {'square ' if square else ''}matrix, or a stack of them.",
            got=f"shape {tuple(x.shape)}",
        )
    return x


def _together(a: Any, b: Any) -> tuple[Any, Any]:
    """Two tensors of one dtype."""
    dtype = dtypes.result_type(a.dtype, b.dtype)
    return cast(a, dtype), cast(b, dtype)


@op
def cholesky(x: Any, upper: bool = False) -> Any:
    """The lower factor L with L L' = x of a positive definite matrix; upper: the transposed of L."""
    x = _matrix(x, square=True)
    factor = host("cholesky", (x + swapaxes(x, -1, -2)) * 0.5)
    return swapaxes(factor, -1, -2) if upper else factor


@op
def cholesky_inverse(x: Any, upper: bool = False) -> Any:
    """The inverse of the matrix whose Cholesky factor is x."""
    x = _matrix(x, square=True)
    factor = triu(x) if upper else tril(x)
    transposed = swapaxes(factor, -1, -2)
    return inv(matmul(transposed, factor) if upper else matmul(factor, transposed))


@op
def det(x: Any) -> Any:
    """The determinant."""
    return host("det", _matrix(x, square=True))


@op
def slogdet(x: Any) -> tuple[Any, Any]:
    """(sign, logarithm of the absolute value) of the determinant, which itself may be out of range."""
    sign, logarithm = host("slogdet", _matrix(x, square=True))
    return sign, logarithm


@op
def logdet(x: Any) -> Any:
    """The logarithm of the determinant of a positive definite matrix."""
    return 2.0 * sum(log(_diagonal(cholesky(x))), axis=-1)


def _diagonal(x: Any) -> Any:
    return sum(multiply(x, eye(x.shape[-2], x.shape[-1], dtype=x.dtype)), axis=-1)


@op
def inv(x: Any) -> Any:
    """The inverse."""
    x = _matrix(x, square=True)
    return host("solve", x, broadcast_to(eye(x.shape[-1], dtype=x.dtype), x.shape))


@op
def solve(a: Any, b: Any) -> Any:
    """x with a x = b. b: of shape (..., n) for one right side, (..., n, k) for several.

    >>> solve([[2.0, 0.0], [0.0, 4.0]], [1.0, 1.0])
    Array([0.5 , 0.25], dtype=float32)
    """
    a, b = _together(_matrix(a, square=True, name="a"), convert_to_tensor(b))
    if b.ndim == a.ndim - 1 and b.shape == a.shape[:-1]:
        return squeeze(host("solve", a, expand_dims(b, -1)), -1)
    if b.ndim != a.ndim or b.shape[:-1] != a.shape[:-1]:
        raise ShapeError(
            "The right sides do not fit the matrices.",
            expected=f"shape {tuple(a.shape[:-1])} or {(*a.shape[:-1], 'k')}",
            got=f"shape {tuple(b.shape)}",
        )
    return host("solve", a, b)


@op
def solve_triangular(a: Any, b: Any, lower: bool = False) -> Any:
    """x with a x = b, where only the upper (or lower) triangle of a counts."""
    a = _matrix(a, square=True, name="a")
    return solve(tril(a) if lower else triu(a), b)


@op
def qr(x: Any, mode: str = "reduced") -> tuple[Any, Any]:
    """(q, r) with q r = x: q has orthonormal columns, r is upper triangular.

    mode: "reduced", or "complete" for a square q; of the columns that this adds only their space is
    determined, and derivatives are right for what depends on that alone.
    """
    if mode not in ("reduced", "complete"):
        raise ArgumentError(f"The mode of qr must be 'reduced' or 'complete', got {mode!r}.")
    q, r = host("qr", _matrix(x), complete=mode == "complete")
    return q, r


@op
def eigh(x: Any) -> tuple[Any, Any]:
    """(eigenvalues in rising order, eigenvectors as columns) of a symmetric matrix."""
    x = _matrix(x, square=True)
    values, vectors = host("eigh", (x + swapaxes(x, -1, -2)) * 0.5)
    return values, vectors


@op
def eig(x: Any) -> tuple[tuple[Any, Any], tuple[Any, Any]]:
    """(eigenvalues, eigenvectors as columns) of a square matrix, both complex: pairs (real, imaginary part).

    Each vector has norm 1 and a largest element that is real, but for its sign. The derivatives are those of
    this choice; they do not exist where eigenvalues are equal.

    >>> values, vectors = eig([[0.0, -1.0], [1.0, 0.0]])
    >>> values
    (Array([0., 0.], dtype=float32), Array([ 1., -1.], dtype=float32))
    """
    values, of_values, vectors, of_vectors = host("eig", _matrix(x, square=True))
    return (values, of_values), (vectors, of_vectors)


@op
def svd(x: Any, full_matrices: bool = True, compute_uv: bool = True) -> Any:
    """(u, s, v transposed) with u diag(s) v' = x and s falling; compute_uv=False: s alone.

    full_matrices: u and v are square. Of the vectors that this adds only their space is determined, and
    derivatives are right for what depends on that alone.
    """
    x = _matrix(x)
    if not compute_uv:
        return host("svd", x, complete=False)[1]
    u, s, vt = host("svd", x, complete=bool(full_matrices))
    return u, s, vt


@op
def lu_factor(x: Any) -> tuple[Any, Any]:
    """(factors, pivots): L below the diagonal and U above, of x with rows exchanged.

    pivots: with which row each row was exchanged, one after the other.
    """
    factors, pivots, _ = host("lu", _matrix(x))
    return factors, cast(pivots, "int32")


@op
def matrix_rank(x: Any, tol: Any = None) -> Any:
    """How many singular values are larger than `tol`; by default, than what rounding leaves."""
    x = convert_to_tensor(x)
    if x.ndim < 2:
        return cast(max(x != 0), "int32")
    x = _matrix(x)
    s = svd(x, compute_uv=False)
    if tol is None:
        tol = max(s, axis=-1, keepdims=True) * (_larger(x) * _epsilon(x))
    else:
        tol = expand_dims(convert_to_tensor(tol, s.dtype), -1)
    return sum(cast(greater(s, tol), "int32"), axis=-1)


def _larger(x: Any) -> int:
    rows, columns = x.shape[-2:]
    return int(rows if rows > columns else columns)


def _epsilon(x: Any) -> float:
    """The distance from 1 to the next number of this dtype."""
    digits = {"bfloat16": 7, "float16": 10, "float32": 23, "float64": 52}
    return float(2.0 ** -digits[dtypes.standardize(x.dtype)])


@op
def pinv(x: Any, rcond: Any = None) -> Any:
    """The pseudo-inverse; singular values up to `rcond` times the largest count as zero."""
    x = _matrix(x)
    if rcond is None:
        rcond = 10.0 * _larger(x) * _epsilon(x)
    u, s, vt = svd(x, full_matrices=False)
    large = greater(s, rcond * max(s, axis=-1, keepdims=True))
    reciprocal = where(large, divide(1.0, where(large, s, 1.0)), 0.0)
    return matmul(swapaxes(vt, -1, -2) * expand_dims(reciprocal, -2), swapaxes(u, -1, -2))


@op
def lstsq(a: Any, b: Any, rcond: Any = None) -> Any:
    """x for which |a x - b| is smallest; of all such, the shortest. rcond: as for `pinv`.

    b: of shape (n,) for one right side, (n, k) for several.
    """
    a, b = _together(_matrix(a, name="a"), convert_to_tensor(b))
    if rcond is None:
        rcond = _epsilon(a) * _larger(a)
    solution = pinv(a, rcond)
    return squeeze(matmul(solution, expand_dims(b, -1)), -1) if b.ndim == 1 else matmul(solution, b)
