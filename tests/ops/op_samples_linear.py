"""Sample rows of linear algebra, Fourier transforms, and divisors."""

from __future__ import annotations

import numpy as np
from op_rows import ROWS, between, given, normal, row, rows, special, whole

from lamina import ops

__all__ = ["ROWS"]


def definite(*shape):
    """Symmetric positive definite matrices."""

    def build(rng):
        x = rng.standard_normal(shape)
        return (x @ np.swapaxes(x, -1, -2) + shape[-1] * np.eye(shape[-1])).astype(np.float32)

    return build


def regular(*shape):
    """Matrices that are far from singular."""
    return lambda rng: (rng.standard_normal(shape) + 4 * np.eye(*shape[-2:])).astype(np.float32)


def triangular(*shape):
    return lambda rng: np.tril(rng.standard_normal(shape) + 3 * np.eye(shape[-1])).astype(np.float32)


def as_pair(*shape):
    """A complex tensor: its two parts."""
    return lambda rng: tuple(rng.standard_normal(shape).astype(np.float32) for _ in range(2))


# --- matrices --------------------------------------------------------------------------------------
rows("cholesky", row(definite(3, 3)), row(definite(2, 4, 4)), row(definite(3, 3), upper=True))
rows("cholesky_inverse", row(triangular(3, 3), tolerance=1e-5), row(triangular(2, 4, 4), judge=None))
rows(
    "det",
    row(regular(3, 3), tolerance=1e-5),
    row(regular(2, 4, 4), tolerance=1e-5),
    row(whole(-3, 4, 3, 3), judge="jax", tolerance=1e-5),
)
rows("slogdet", row(regular(3, 3), tolerance=1e-5), row(regular(2, 4, 4), tolerance=1e-5))
rows("logdet", row(definite(3, 3), tolerance=1e-5), row(definite(2, 4, 4), tolerance=1e-5))
rows("inv", row(regular(3, 3)), row(regular(2, 4, 4)), row(regular(1, 1)))
rows(
    "solve",
    row(regular(3, 3), normal(3, 2)),
    row(regular(2, 4, 4), normal(2, 4, 3)),
    row(regular(3, 3), normal(3), judge="jax"),
)
rows(
    "solve_triangular",
    row(triangular(3, 3), normal(3, 2), lower=True, judge="jax"),
    row(regular(2, 4, 4), normal(2, 4, 3), judge="jax", tolerance=1e-5),
)
rows("qr", row(normal(3, 3)), row(normal(5, 3)), row(normal(3, 5)), row(normal(2, 4, 2), mode="complete"))
rows("eigh", row(definite(3, 3), tolerance=1e-5), row(definite(2, 4, 4), tolerance=1e-5))
rows(
    "svd",
    row(normal(3, 3), tolerance=1e-5),
    row(normal(5, 3), tolerance=1e-5),
    row(normal(2, 3, 5), full_matrices=False, tolerance=1e-5),
    row(normal(4, 2), compute_uv=False, tolerance=1e-5),
)
rows(
    "lu_factor",
    row(normal(3, 3), judge="jax", tolerance=1e-5),
    row(normal(2, 4, 4), judge="jax", tolerance=1e-5),
)
rows(
    "matrix_rank",
    row(normal(4, 3), judge=None),
    row(np.ones((3, 3), np.float32), judge=None),
    row(np.diag([1.0, 0.5, 0.1]).astype(np.float32), 0.3, judge=None),
)
rows(
    "pinv", row(normal(5, 3), judge="jax", tolerance=1e-5), row(normal(2, 3, 4), judge="jax", tolerance=1e-5)
)
rows(
    "lstsq",
    row(normal(6, 3), normal(6), tolerance=1e-5),
    row(normal(6, 3), normal(6, 2), tolerance=1e-5),
    row(normal(2, 4), normal(2), tolerance=1e-5),
)

# Eigenvectors have norm 1 and a real element in both libraries; their order is LAPACK's.
rows("eig", row(normal(4, 4), tolerance=1e-5), row(normal(2, 3, 3), tolerance=1e-5))

# --- complex numbers, bits -------------------------------------------------------------------------
rows("polar", row(between(0, 3, 2, 5), between(-9, 9, 2, 5)), row(whole(0, 5, 3), normal(3), judge="jax"))
rows("view_as_complex", row(normal(3, 4, 2)), row(normal(2)), row(normal(0, 2)))
rows("view_as_real", row(as_pair(3, 4), judge=None), row(as_pair(), judge=None))
rows(
    "nextafter", row(normal(3, 4), normal(4)), row(special, 0.0), row(whole(-3, 3, 4), normal(4), judge="jax")
)
rows(
    "view",
    row(normal(3, 4), "int32"),
    row(normal(3, 4), "uint8", judge=None),
    row(whole(0, 99, 2, 4, dtype="int16"), "float32", judge=None),
    row(normal(3), judge="jax"),
    row(special, dtype="uint32"),
)
rows(
    "jvp",
    row(given(lambda x, y: x * y + x), [normal(3), normal(3)], [normal(3), normal(3)], judge="jax"),
    row(given(lambda x: (x * x, x + 1)), [normal(4)], [normal(4)], has_aux=True, judge="jax"),
    row(given(lambda x: (ops.tanh(x), ops.sum(x * x))), [normal(2, 3)], [normal(2, 3)], judge=None),
)

# --- Fourier ---------------------------------------------------------------------------------------
rows("fft", row(as_pair(8), tolerance=1e-5), row(as_pair(2, 7), tolerance=1e-5))
rows("fft2 ifft2", row(as_pair(4, 6), tolerance=1e-5), row(as_pair(2, 3, 5), tolerance=1e-5))
rows(
    "rfft",
    row(normal(2, 8), tolerance=1e-5),
    row(normal(7), 12, tolerance=1e-5),
    row(normal(7), 4, tolerance=1e-5),
)
rows(
    "irfft",
    row(as_pair(2, 5), tolerance=1e-5),
    row(as_pair(5), 7, tolerance=1e-5),
    row(as_pair(5), 14, tolerance=1e-5),
    row(as_pair(5), 6, tolerance=1e-5),
)
rows(
    "stft",
    row(normal(2, 60), 16, 8, 16, tolerance=1e-5, judge="jax"),
    row(normal(60), 12, 5, 16, window="hamming", center=False, tolerance=1e-5, judge="jax"),
    row(normal(60), 16, 8, 16, window=None, tolerance=1e-5, judge="jax"),
)
rows(
    "istft",
    row(as_pair(2, 7, 9), 16, 8, 16, tolerance=2e-5, judge="jax"),
    row(as_pair(7, 9), 12, 5, 16, 40, window="hamming", center=False, tolerance=2e-5, judge="jax"),
    row(as_pair(7, 9), 16, 8, 16, window=None, tolerance=2e-5, judge="jax"),
)

# --- whole numbers ---------------------------------------------------------------------------------
rows("gcd lcm", row(whole(-30, 30, 9), whole(-30, 30, 9)), row(whole(0, 30, 4, 1), whole(1, 9, 3)))
