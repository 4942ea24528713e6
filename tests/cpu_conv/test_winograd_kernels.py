"""Convolutions by Winograd's transforms against NumPy in float64: geometries, widths, tasks, rounding."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import convolve_cases
import numpy as np
import pytest
from convolve_cases import Case
from hypothesis import given, settings
from hypothesis import strategies as st
from machine_code import LEVELS as CODE_LEVELS
from machine_code import assert_stays_in_registers, innermost_loops, multiply_adds, sum_loops

from lamina.backends.cpu import jit
from lamina.backends.cpu.convolve import emit_convolve, plan_outputs, plan_winograd
from lamina.backends.cpu.emit import Module
from lamina.backends.cpu.target import Target

Array = np.ndarray[Any, Any]
LEVELS = convolve_cases.runnable_levels()
HOST = convolve_cases.target_of(LEVELS[0])
TAPS = np.array([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]], np.float32)


def same(batch: int, height: int, width: int, channels: int, outputs: int) -> Case:
    return Case(batch, (height, width), channels, (3, 3), outputs, padding=((1, 1), (1, 1)))


def transformed(w: Array, lanes: int) -> Array:
    """Taps as the kernel reads them: vectors of outputs, factors, channels, lanes."""
    channels, outputs = w.shape[-2:]
    factors = np.einsum("ai,bj,ijco->abco", TAPS, TAPS, w).reshape(16, channels, outputs)
    whole = np.zeros((16, channels, -(-outputs // lanes) * lanes), np.float32)
    whole[..., :outputs] = factors
    return np.ascontiguousarray(whole.reshape(16, channels, -1, lanes).transpose(2, 0, 1, 3))


def operands(case: Case) -> tuple[Array, Array]:
    generator = np.random.default_rng(len(str(case)))
    x = generator.standard_normal((case.batch, *case.image, case.channels)).astype(np.float32)
    return x, generator.standard_normal((3, 3, case.channels, case.outputs)).astype(np.float32)


def outputs_of(case: Case, target: Target, ranges: list[tuple[int, int]] | None = None) -> Array:
    """y by our kernel, checked."""
    plan, (x, w) = plan_winograd(case.spec, target), operands(case)
    shape = case.batch, *case.spec.output, case.outputs
    taps = transformed(w, plan.lanes)
    found = convolve_cases.run(plan, x, taps, shape, ranges or [(0, plan.tasks)])
    expected = exactly(case)
    np.testing.assert_allclose(found, expected, rtol=0, atol=3e-6 * np.sqrt(9 * case.channels) * 2)
    return found


def exactly(case: Case) -> Array:
    x, w = (operand.astype(np.float64) for operand in operands(case))
    return convolve_cases.expected_outputs(x, w, case.spec)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize(
    "case",
    [
        same(3, 8, 8, 16, 16),
        same(2, 9, 7, 17, 19),  # odd extents, a few channels and outputs too many
        same(5, 4, 5, 8, 40),  # blocks of several images, the last one of fewer
        same(2, 3, 33, 33, 8),  # a line of tiles is more than a block
        same(1, 7, 6, 64, 144),  # tasks have some of the outputs
        Case(2, (10, 11), 16, (3, 3), 24),
        Case(2, (6, 7), 16, (3, 3), 24, padding=((2, 0), (0, 2))),
        Case(1, (2, 2), 8, (3, 3), 8, padding=((2, 2), (2, 2))),
    ],
    ids=str,
)
def test_geometries(case: Case, level: str) -> None:
    outputs_of(case, convolve_cases.target_of(level))


@settings(max_examples=30, deadline=None)
@given(
    level=st.sampled_from(LEVELS),
    batch=st.integers(1, 5),
    image=st.tuples(st.integers(2, 12), st.integers(2, 40)),
    channels=st.integers(1, 40),
    outputs=st.integers(1, 70),
    padding=st.tuples(*[st.tuples(st.integers(0, 2), st.integers(0, 4))] * 2),
)
def test_any_geometry(level: str, batch: int, image: Any, channels: int, outputs: int, padding: Any) -> None:
    case = Case(batch, image, channels, (3, 3), outputs, padding=padding)
    if min(case.spec.output) > 0:
        outputs_of(case, convolve_cases.target_of(level))


@pytest.mark.parametrize("case", [same(9, 14, 15, 17, 40), same(2, 16, 9, 64, 130)], ids=str)
def test_every_partition_of_the_tasks_gives_the_same_bits(case: Case) -> None:
    tasks = plan_winograd(case.spec, HOST).tasks
    assert tasks > 2
    whole = outputs_of(case, HOST)
    for parts in (2, 3, tasks):
        bounds = [tasks * part // parts for part in range(parts + 1)]
        np.testing.assert_array_equal(outputs_of(case, HOST, list(pairwise(bounds))[::-1]), whole)


def test_errors_are_about_those_of_direct_sums() -> None:
    case = same(4, 16, 16, 64, 64)
    x, w = operands(case)
    expected = exactly(case)
    plan = plan_outputs(case.spec, HOST)
    direct = convolve_cases.run(plan, x, w, expected.shape, [(0, plan.tasks)])
    errors = [np.sqrt(np.mean((found - expected) ** 2)) for found in (outputs_of(case, HOST), direct)]
    assert errors[0] < 2 * errors[1]


def test_small_whole_numbers_are_exact() -> None:
    case = same(2, 8, 9, 16, 16)
    generator = np.random.default_rng(0)
    x = generator.integers(-8, 9, (2, 8, 9, 16)).astype(np.float32)
    w = generator.integers(-8, 9, (3, 3, 16, 16)).astype(np.float32)
    plan = plan_winograd(case.spec, HOST)
    found = convolve_cases.run(plan, x, transformed(w, plan.lanes), x.shape, [(0, plan.tasks)])
    np.testing.assert_array_equal(found, convolve_cases.expected_outputs(x, w, case.spec))


def test_nan_reaches_the_pixels_that_see_it() -> None:
    case = same(2, 10, 10, 16, 16)
    x, w = operands(case)
    x[0, 4, 5, 3] = np.nan
    plan = plan_winograd(case.spec, HOST)
    found = convolve_cases.run(plan, x, transformed(w, plan.lanes), x.shape, [(0, plan.tasks)])
    expected = np.zeros((2, 10, 10), bool)
    expected[0, 3:6, 4:7] = True
    np.testing.assert_array_equal(np.isnan(found).any(axis=-1), expected)


@pytest.mark.parametrize("level", CODE_LEVELS)
@pytest.mark.parametrize("case", [same(64, 32, 32, 16, 16), same(64, 8, 8, 64, 64)], ids=str)
def test_inner_loops_neither_spill_nor_call(case: Case, level: str) -> None:
    plan = plan_winograd(case.spec, Target.named(level))
    module = Module(plan.target.function_attributes)
    emit_convolve(module, plan, "convolve")
    assembly = jit.assembly(module.text(), plan.target)
    sums = sum_loops(assembly, level)
    kinds = {rows.rows * len(panels.pieces) for rows in plan.rows for panels in plan.panels}
    assert {multiply_adds(loop, level) for loop in sums} == kinds
    # Both transforms stay in registers, too, where there are 32 of them.
    for loop in sums if level == "avx2" else innermost_loops(assembly):
        assert_stays_in_registers(loop)
