"""Mean and variance of a batch of images: one pass over memory, and exact far from zero."""

from __future__ import annotations

import numpy as np
import pytest

from lamina.backends.base import Program
from lamina.backends.cpu import CpuBackend
from lamina.backends.cpu.decompose import decompose
from lamina.backends.cpu.fuse import fuse
from lamina.function import trace_program
from lamina.ir import TensorType
from lamina.ir.structure import structure_key
from lamina.ops import moments
from lamina.passes import pipeline


def moments_of(shape: tuple[int, ...], dtype: str = "float32") -> Program:
    axes = tuple(range(len(shape) - 1))
    return trace_program(lambda x: moments(x, axes), [TensorType(shape, dtype)]).program


def run(program: Program, x: np.ndarray) -> list[np.ndarray]:
    return CpuBackend().compile(program, structure_key(program.graph)).run((), [x])[0]


def readers(program: Program) -> int:
    """How many kernels read the images."""
    fusion = fuse(decompose(pipeline.run(program.outputs)))
    return sum(program.inputs[0] in fusion.reads(group) for group in fusion.groups)


def test_images_are_read_by_one_kernel():
    assert readers(moments_of((32, 16, 16, 24))) == 1


def test_large_images_are_read_twice():
    """They would not stay near between the sum and the squares."""
    assert readers(moments_of((16, 128, 128, 64))) == 2


@pytest.mark.parametrize("shape", [(32, 16, 16, 24), (16, 9, 7, 3), (64, 33, 5), (100, 7)])
@pytest.mark.parametrize("mean", [0.0, 1e3, 1e5])
def test_variances_are_exact_far_from_zero(shape, mean, rng):
    spread = rng.uniform(0.5, 2.0, (shape[0], *(1,) * (len(shape) - 2), shape[-1]))
    x = (rng.normal(size=shape) * spread + mean + 3 * rng.normal(size=spread.shape)).astype("float32")
    found = run(moments_of(shape), x)
    axes = tuple(range(len(shape) - 1))
    exact = x.astype("float64")
    np.testing.assert_allclose(found[0], exact.mean(axes), rtol=1e-6, atol=1e-6)
    # Around the mean as it was rounded: that is what reading x a second time would sum up.
    np.testing.assert_allclose(found[1], np.square(exact - found[0]).mean(axes), rtol=2e-6)


def test_double_precision(rng):
    x = rng.normal(1e6, 1.0, (16, 12, 12, 5))
    found = run(moments_of(x.shape, "float64"), x)
    np.testing.assert_allclose(found[1], x.var((0, 1, 2)), rtol=1e-9)


@pytest.mark.parametrize("special", [np.inf, np.nan])
def test_what_is_not_finite_stays_so(special, rng):
    x = rng.normal(size=(16, 12, 12, 5)).astype("float32")
    x[3, 4, 5, 2] = special
    found = run(moments_of(x.shape), x)
    np.testing.assert_array_equal(np.isfinite(found[1]), [True, True, False, True, True])
    assert np.isnan(found[1][2])
