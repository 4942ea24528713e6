"""Types of what `host` computes: functions that NumPy has, and for which there is no kernel.

A row is a function of the operand types and the options. Matrices are the last two axes, the axes before
them are stacks of matrices.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from lamina.core import dtypes
from lamina.core.errors import DTypeError, ShapeError

if TYPE_CHECKING:
    from lamina.ir.graph import TensorType

Types = tuple["TensorType", ...]


def host(*types: TensorType, function: str, options: tuple[tuple[str, Any], ...]) -> Types:
    """The rule of the primitive."""
    if function == "view":
        return HOST[function](*types, **dict(options))
    if not types or any(not dtypes.is_float(entry.dtype) or entry.dtype != types[0].dtype for entry in types):
        raise DTypeError(f"{function} works on floats of one dtype.", got=", ".join(map(str, types)))
    return HOST[function](*types, **dict(options))


def _matrix(x: TensorType, square: bool = False) -> tuple[int, int]:
    if len(x.shape) < 2 or (square and x.shape[-1] != x.shape[-2]):
        kind = "square matrices" if square else "matrices"
        raise ShapeError(f"This operation works on {kind}, got an array of shape {x.shape}.")
    return x.shape[-2], x.shape[-1]


def _made(x: TensorType, *shapes: tuple[int, ...]) -> Types:
    stack = x.shape[:-2]
    return tuple(type(x)((*stack, *shape), x.dtype) for shape in shapes)


def _cholesky(x: TensorType) -> Types:
    return _made(x, _matrix(x, square=True))


def _solve(a: TensorType, b: TensorType) -> Types:
    _matrix(a, square=True)
    if a.shape[:-1] != b.shape[:-1]:
        raise ShapeError(f"Matrices {a.shape} and right sides {b.shape} do not fit together.")
    return (b,)


def _determinant(x: TensorType) -> Types:
    _matrix(x, square=True)
    return _made(x, ())


def _sign_and_logarithm(x: TensorType) -> Types:
    _matrix(x, square=True)
    return _made(x, (), ())


def _orthogonal(x: TensorType, *, complete: bool) -> Types:
    rows, columns = _matrix(x)
    inner = rows if complete else min(rows, columns)
    return _made(x, (rows, inner), (inner, columns))


def _symmetric_eigen(x: TensorType) -> Types:
    size = _matrix(x, square=True)[0]
    return _made(x, (size,), (size, size))


def _singular(x: TensorType, *, complete: bool) -> Types:
    rows, columns = _matrix(x)
    inner = min(rows, columns)
    left, right = ((rows, rows), (columns, columns)) if complete else ((rows, inner), (inner, columns))
    return _made(x, left, (inner,), right)


def _triangular_factors(x: TensorType) -> Types:
    rows, columns = _matrix(x)
    return _made(x, (rows, columns), (min(rows, columns),), (rows,))


def _fourier(real: TensorType, imaginary: TensorType, *, axes: tuple[int, ...], inverse: bool) -> Types:
    if real.shape != imaginary.shape or any(not 0 <= axis < len(real.shape) for axis in axes):
        raise ShapeError(f"Parts {real.shape} and {imaginary.shape} cannot be transformed along {axes}.")
    return real, imaginary


def _eigen(x: TensorType) -> Types:
    size = _matrix(x, square=True)[0]
    return _made(x, (size,), (size,), (size, size), (size, size))


def _next(x: TensorType, towards: TensorType) -> Types:
    if x.shape != towards.shape:
        raise ShapeError(f"nextafter: operands {x.shape} and {towards.shape} must have one shape.")
    return (x,)


def _view(x: TensorType, *, dtype: str) -> Types:
    """The same bytes: the last axis holds more numbers, or fewer, when they have another width."""
    had, has = dtypes.itemsize(x.dtype), dtypes.itemsize(dtype)
    if had == has:
        return (type(x)(x.shape, dtype),)
    if not x.shape or x.shape[-1] * had % has:
        raise ShapeError(f"view: the last axis of {x} cannot be divided into numbers of {has} bytes.")
    return (type(x)((*x.shape[:-1], x.shape[-1] * had // has), dtype),)


HOST: dict[str, Callable[..., Types]] = {
    "cholesky": _cholesky,  # the lower factor
    "solve": _solve,  # (a, b), where b has columns
    "det": _determinant,
    "slogdet": _sign_and_logarithm,
    "qr": _orthogonal,  # (q, r)
    "eigh": _symmetric_eigen,  # (eigenvalues, eigenvectors) of the lower triangle
    "eig": _eigen,  # (eigenvalues, eigenvectors), each as its real and its imaginary part
    "svd": _singular,  # (u, s, v transposed)
    # (l below u, with which row each was exchanged, which row is where now); numbers of rows are floats
    "lu": _triangular_factors,
    "fft": _fourier,  # (real, imaginary); the inverse is divided by the number of points
    "nextafter": _next,
    "view": _view,  # of any dtype
}
