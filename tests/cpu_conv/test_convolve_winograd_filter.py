"""The gradient of a kernel by Winograd's method: numbers, tasks, machine code, and when it is chosen."""

from __future__ import annotations

from itertools import pairwise, product
from typing import Any

import convolve_cases
import numpy as np
import pytest
from convolve_cases import Case
from hypothesis import given, settings
from hypothesis import strategies as st
from machine_code import LEVELS as CODE_LEVELS
from machine_code import WIDEST, assert_stays_in_registers, multiply_adds, sum_loops
from test_convolve_programs import agree, traced

from lamina import ops
from lamina.backends.cpu import jit
from lamina.backends.cpu.convolve import (
    WinogradFilterPlan,
    emit_convolve,
    filter_parts,
    plan_direct_filter,
    plan_filter,
)
from lamina.backends.cpu.convolve_winograd_filter import plan_blocks
from lamina.backends.cpu.emit import Module
from lamina.backends.cpu.target import Target

LEVELS = convolve_cases.runnable_levels()
HOST = convolve_cases.target_of(LEVELS[0])
SAME = ((1, 1), (1, 1))


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize(
    "case",
    [
        Case(4, (8, 8), 16, (3, 3), 16, padding=SAME),
        Case(2, (10, 8), 32, (3, 3), 48),
        Case(4, (7, 9), 21, (3, 3), 19, padding=((0, 2), (1, 0))),
        Case(2, (5, 34), 64, (3, 3), 32, padding=((2, 3), (0, 0))),
        Case(2, (40, 19), 5, (3, 3), 33, padding=((0, 0), (4, 1))),
        Case(6, (3, 3), 3, (3, 3), 2),
    ],
    ids=str,
)
def test_blocks_and_parts(case: Case, level: str) -> None:
    target = convolve_cases.target_of(level)
    lanes = target.lanes("float32")
    rows = [count for count in (1, 2) if count == 1 or case.channels % (count * lanes) == 0]
    columns = [count for count in (1, 3) if count == 1 or case.outputs % (count * lanes) == 0]
    for parts, row_blocks, column_blocks in product((1, 2), rows, columns):
        plan = plan_blocks(case.spec, target, parts, row_blocks, column_blocks)
        convolve_cases.filter_of(case, target, plan=plan)


@settings(max_examples=25, deadline=None)
@given(
    batch=st.integers(1, 4),
    image=st.tuples(st.integers(1, 20), st.integers(1, 20)),
    channels=st.integers(1, 40),
    outputs=st.integers(1, 40),
    padding=st.tuples(*[st.tuples(st.integers(0, 3), st.integers(0, 3))] * 2),
    level=st.sampled_from(LEVELS),
)
def test_any_geometry(batch: int, image: Any, channels: int, outputs: int, padding: Any, level: str) -> None:
    case = Case(batch, image, channels, (3, 3), outputs, padding=padding)
    if min(case.spec.output) < 1:
        return
    target = convolve_cases.target_of(level)
    convolve_cases.filter_of(case, target, plan=plan_blocks(case.spec, target, 1, 1, 1))


def test_every_partition_of_the_tasks_gives_the_same_bits() -> None:
    case = Case(4, (11, 13), 64, (3, 3), 96, padding=((1, 1), (1, 2)))
    plan = plan_blocks(case.spec, HOST, 2, 2, 3)
    whole = convolve_cases.filter_of(case, HOST, plan=plan)
    for parts in (2, 5, plan.tasks):
        bounds = [plan.tasks * part // parts for part in range(parts + 1)]
        found = convolve_cases.filter_of(case, HOST, list(pairwise(bounds))[::-1], plan)
        np.testing.assert_array_equal(found, whole)


def test_pixels_that_no_tap_reads_do_not_count() -> None:
    """Tiles reach beyond the last pixels of a convolution that leaves some out; these may hold anything."""
    case = Case(2, (9, 9), 16, (3, 3), 16, padding=((0, -2), (0, -2)))
    plan = plan_blocks(case.spec, HOST, 1, 1, 1)
    generator = np.random.default_rng(0)
    x = generator.standard_normal((2, 9, 9, 16)).astype(np.float32)
    y = generator.standard_normal((2, 5, 5, 16)).astype(np.float32)
    expected = convolve_cases.run(plan, x, y, (1, 3, 3, 16, 16), [(0, plan.tasks)])
    x[:, 7:], x[:, :, 7:] = np.inf, np.nan
    found = convolve_cases.run(plan, x, y, (1, 3, 3, 16, 16), [(0, plan.tasks)])
    np.testing.assert_array_equal(found, expected)


def test_errors_are_those_of_the_direct_product() -> None:
    """Numbers all of one sign, as after a relu, and gradients around zero: against sums in float64."""
    case = Case(32, (16, 16), 32, (3, 3), 32, padding=SAME)
    generator = np.random.default_rng(0)
    x = np.abs(generator.standard_normal((32, 16, 16, 32))).astype(np.float32)
    y = generator.standard_normal((32, 16, 16, 32)).astype(np.float32)
    parts = filter_parts(case.spec)
    errors = []
    exact = convolve_cases.expected_filter(x.astype(np.float64), y.astype(np.float64), case.spec)
    for plan in (plan_direct_filter(case.spec, HOST, parts), plan_blocks(case.spec, HOST, parts, 1, 1)):
        found = convolve_cases.run(plan, x, y, (parts, 3, 3, 32, 32), [(0, plan.tasks)]).sum(0)
        errors.append(float(np.sqrt(np.mean((found - exact) ** 2) / np.mean(exact**2))))
    assert errors[1] < 2 * errors[0] < 1e-5


@pytest.mark.parametrize("level", CODE_LEVELS)
def test_inner_loops_neither_spill_nor_call(level: str) -> None:
    target = Target.named(level)
    spec = Case(64, (16, 16), 64, (3, 3), 64, padding=SAME).spec
    plan = plan_blocks(spec, target, 16, 1, 1)
    module = Module(target.function_attributes)
    emit_convolve(module, plan, "convolve")
    loops = sum_loops(jit.assembly(module.text(), target), level)
    kinds = {run.rows * len(panels.pieces) for run in plan.tiles for panels in plan.panels}
    assert kinds <= {multiply_adds(loop, level) for loop in loops}
    for loop in loops:
        assert_stays_in_registers(loop)
        assert any(WIDEST[level] in line for line in loop)


def test_layers_of_residual_networks_take_it_and_first_layers_do_not() -> None:
    def plan_of(batch: int, size: int, channels: int, outputs: int, dtype: str = "float32") -> Any:
        spec = Case(batch, (size, size), channels, (3, 3), outputs, padding=SAME, dtype=dtype).spec
        return plan_filter(spec, Target.named("avx512"), filter_parts(spec))

    for batch, size, channels in ((64, 32, 16), (64, 16, 32), (64, 8, 64), (32, 32, 64), (32, 16, 128)):
        plan = plan_of(batch, size, channels, channels)
        assert isinstance(plan, WinogradFilterPlan)
        assert plan.reason.startswith("winograd")
        assert plan.tasks >= 16
    assert not isinstance(plan_of(64, 32, 3, 16), WinogradFilterPlan)
    assert not isinstance(plan_of(64, 2, 64, 64), WinogradFilterPlan)
    assert not isinstance(plan_of(64, 32, 16, 16, "float64"), WinogradFilterPlan)
    strided = Case(64, (32, 32), 16, (3, 3), 32, (2, 2), ((0, 1), (0, 1))).spec
    assert not isinstance(plan_filter(strided, HOST, 16), WinogradFilterPlan)


@pytest.mark.parametrize("image", [(8, 10), (9, 11)])
@pytest.mark.parametrize("channels", [16, 21])
def test_gradients_of_pooled_images_are_spread_tile_by_tile(
    image: tuple[int, int], channels: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    used = []

    def always(direct: Any) -> WinogradFilterPlan:
        used.append(direct.spec.spread)
        return plan_blocks(direct.spec, direct.target, direct.parts, 1, 1)

    monkeypatch.setattr("lamina.backends.cpu.convolve.plan_winograd_filter", always)

    def pooled(x: Any, w: Any) -> Any:
        return ops.max_pool(ops.relu(ops.conv(x, w, padding="same")), 2)

    agree(traced(pooled, [(4, *image, 16), (3, 3, 16, channels)]))
    assert used == [(2, 2)]
