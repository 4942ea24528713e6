"""The machine code itself: inner loops stay in registers, call nothing, multiply as often as they should."""

from __future__ import annotations

import re
import time

import pytest
from machine_code import (
    LEVELS,
    MULTIPLY_ADD,
    WIDEST,
    assert_stays_in_registers,
    multiply_adds,
    sum_loops,
)

from lamina.backends.cpu import jit
from lamina.backends.cpu.contract import ContractPlan, ContractSpec, emit_contract, plan_contract
from lamina.backends.cpu.contract_plan import TilePlan, Tiles, shaped_plan
from lamina.backends.cpu.contract_ragged import RaggedPlan
from lamina.backends.cpu.emit import Module
from lamina.backends.cpu.target import Target

SPECS = {
    "forward": ContractSpec.contiguous(128, 512, 784),
    "input gradient": ContractSpec(128, 512, 512, 1, (0, 512, 1), (0, 1, 512), (0, 512, 1)),
    "weight gradient": ContractSpec(784, 512, 128, 1, (0, 1, 784), (0, 512, 1), (0, 512, 1)),
    "small": ContractSpec.contiguous(32, 64, 20),
    "ten classes": ContractSpec.contiguous(128, 10, 512),
    "ten classes, weights": ContractSpec(512, 10, 128, 1, (0, 1, 512), (0, 10, 1), (0, 10, 1)),
    "odd": ContractSpec.contiguous(37, 83, 29),
}


def assembly_of(plan: ContractPlan) -> str:
    module = Module(plan.target.function_attributes)
    emit_contract(module, plan, "product")
    return jit.assembly(module.text(), plan.target)


def expected_multiply_adds(plan: ContractPlan) -> list[int]:
    """Of each inner loop."""
    if isinstance(plan, TilePlan):
        return [tiles.rows * len(panels.pieces) for tiles in plan.tiles for panels in plan.panels]
    assert isinstance(plan, RaggedPlan)
    heights = [run.rows if isinstance(run, Tiles) else len(run.pieces) for run in plan.runs]
    return [height * plan.spec.n for height in heights]


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("name", SPECS)
def test_inner_loops_neither_spill_nor_call(name: str, level: str) -> None:
    plan = plan_contract(SPECS[name], Target.named(level))
    loops = sum_loops(assembly_of(plan), level)
    assert sorted(multiply_adds(loop, level) for loop in loops) == sorted(expected_multiply_adds(plan))
    for loop in loops:
        assert_stays_in_registers(loop)
    if SPECS[name].n >= 512:
        for line in loops[0]:
            assert not re.match(MULTIPLY_ADD[level], line) or WIDEST[level] in line


@pytest.mark.parametrize(
    ("level", "rows", "vectors"),
    [("avx512", 14, 2), ("avx512", 9, 3), ("avx512", 6, 4), ("avx512", 28, 1), ("avx512", 8, 2)]
    + [("avx2", 6, 2), ("avx2", 4, 2), ("avx2", 12, 1), ("aarch64", 8, 3), ("aarch64", 6, 4)],
)
def test_the_largest_tiles_fit_the_registers(level: str, rows: int, vectors: int) -> None:
    target = Target.named(level)
    spec = ContractSpec.contiguous(rows, vectors * target.lanes("float32"), 300)
    (loop,) = sum_loops(assembly_of(shaped_plan(spec, target, rows, vectors)), level)
    assert multiply_adds(loop, level) == rows * vectors
    assert_stays_in_registers(loop)


@pytest.mark.parametrize("level", ["generic", "avx2", "avx512", "aarch64"])
@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "uint8", "float16", "bfloat16"])
def test_code_stands_alone(dtype: str, level: str) -> None:
    """No call to a library hides in the code: linking would fail."""
    target = Target.named(level)
    for spec in (
        ContractSpec(37, 29, 11, 2, (37 * 11, 1, 37), (29 * 11, 1, 11), (37 * 29, 29, 1), dtype),
        ContractSpec.contiguous(9, 2, 40, 1, dtype),
    ):
        module = Module(target.function_attributes)
        emit_contract(module, plan_contract(spec, target), "product")
        assert jit.compile_object(module.text(), target)


def test_kernels_compile_quickly() -> None:
    """A kernel takes milliseconds; the bound leaves room for a busy machine."""
    target = Target.named("avx512")
    for name in SPECS:
        module = Module(target.function_attributes)
        emit_contract(module, plan_contract(SPECS[name], target), "product")
        jit.compile_object(module.text(), target)
        best = float("inf")
        for _ in range(5):
            started = time.process_time()
            jit.compile_object(module.text(), target)
            best = min(best, time.process_time() - started)
        assert best < 0.06, f"{name}: {best * 1e3:.0f} ms"
