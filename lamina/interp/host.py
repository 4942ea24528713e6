"""What `host` computes, by NumPy. A matrix for which there is no answer gives NaN, as on accelerators."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from lamina.core import dtypes

Array = np.ndarray[Any, Any]
Results = tuple[Array, ...]


def host(*arrays: Array, function: str, options: tuple[tuple[str, Any], ...]) -> Results:
    """The rule of the primitive."""
    return HOST[function](*arrays, **dict(options))


def _stacked(compute: Callable[..., Any], *arrays: Array) -> Results:
    """`compute` on stacks of matrices; NaN only for those that it refuses."""
    try:
        return _several(compute(*arrays))
    except np.linalg.LinAlgError:
        stack = arrays[0].shape[:-2]
        if not stack:
            return tuple(np.full_like(part, np.nan) for part in _several(compute(*map(_harmless, arrays))))
        parts = [_stacked(compute, *(array[index] for array in arrays)) for index in np.ndindex(*stack)]
        return tuple(np.stack(column).reshape(*stack, *column[0].shape) for column in zip(*parts))


def _several(result: Any) -> Results:
    return tuple(result) if isinstance(result, tuple) else (np.asarray(result),)


def _harmless(array: Array) -> Array:
    """A matrix of this shape that every function takes, to find the shapes of results."""
    return np.eye(*array.shape, dtype=array.dtype)


def _cholesky(x: Array) -> Results:
    lower = np.tril(x)
    symmetric = lower + np.swapaxes(np.tril(x, -1), -1, -2)
    return _stacked(np.linalg.cholesky, symmetric)


def _qr(x: Array, *, complete: bool) -> Results:
    return _stacked(lambda a: tuple(np.linalg.qr(a, "complete" if complete else "reduced")), x)


def _eig(x: Array) -> Results:
    def pairs(a: Array) -> Results:
        values, vectors = np.linalg.eig(a)
        return tuple(np.asarray(part, a.dtype) for z in (values, vectors) for part in (z.real, z.imag))

    return _stacked(pairs, x)


def _svd(x: Array, *, complete: bool) -> Results:
    return _stacked(lambda a: tuple(np.linalg.svd(a, full_matrices=complete)), x)


def _lu(x: Array) -> Results:
    """Gaussian elimination by columns; the largest number of each column is made its pivot."""
    stack, (rows, columns) = x.shape[:-2], x.shape[-2:]
    factors = x.reshape(-1, rows, columns).copy()
    pivots = np.empty((len(factors), min(rows, columns)), x.dtype)
    orders = np.tile(np.arange(rows, dtype=x.dtype), (len(factors), 1))
    for factor, exchanged, order in zip(factors, pivots, orders):
        for column in range(min(rows, columns)):
            pivot = column + int(np.argmax(np.abs(factor[column:, column])))
            exchanged[column] = pivot
            factor[[column, pivot]] = factor[[pivot, column]]
            order[[column, pivot]] = order[[pivot, column]]
            if factor[column, column] != 0:
                factor[column + 1 :, column] /= factor[column, column]
            below = factor[column + 1 :, column]
            factor[column + 1 :, column + 1 :] -= np.outer(below, factor[column, column + 1 :])
    return (
        factors.reshape(*stack, rows, columns),
        pivots.reshape(*stack, min(rows, columns)),
        orders.reshape(*stack, rows),
    )


def _fft(real: Array, imaginary: Array, *, axes: tuple[int, ...], inverse: bool) -> Results:
    transform = np.fft.ifftn if inverse else np.fft.fftn
    result = transform(real + 1j * imaginary, axes=axes) if real.size else real + 0j
    return result.real, result.imag


HOST: dict[str, Callable[..., Results]] = {
    "cholesky": _cholesky,
    "solve": lambda a, b: _stacked(np.linalg.solve, a, b),
    "det": lambda x: _stacked(np.linalg.det, x),
    "slogdet": lambda x: _stacked(lambda a: tuple(np.linalg.slogdet(a)), x),
    "qr": _qr,
    "eigh": lambda x: _stacked(lambda a: tuple(np.linalg.eigh(a)), x),
    "eig": _eig,
    "svd": _svd,
    "lu": _lu,
    "fft": _fft,
    "nextafter": lambda x, towards: (np.nextafter(x, towards),),
    "view": lambda x, *, dtype: (np.ascontiguousarray(x).reshape(x.shape).view(dtypes.to_numpy(dtype)),),
}
