"""The machine code of convolutions: inner loops stay in registers, call nothing, multiply in full vectors."""

from __future__ import annotations

import re
import time

import pytest
from convolve_cases import Case
from machine_code import LEVELS, MULTIPLY_ADD, WIDEST, assert_stays_in_registers, multiply_adds, sum_loops

from lamina.backends.cpu import jit
from lamina.backends.cpu.convolve import (
    ConvolvePlan,
    emit_convolve,
    filter_parts,
    plan_direct_filter,
    plan_outputs,
)
from lamina.backends.cpu.emit import Module
from lamina.backends.cpu.target import Target

CASES = {
    "first layer": Case(128, (28, 28), 1, (3, 3), 32),
    "second layer": Case(128, (13, 13), 32, (3, 3), 64),
    "padded": Case(64, (16, 16), 32, (3, 3), 32, padding=((1, 1), (1, 1))),
    "strided": Case(64, (32, 32), 16, (3, 3), 32, strides=(2, 2), padding=((0, 1), (0, 1))),
    "small images": Case(64, (4, 4), 64, (3, 3), 128, padding=((1, 1), (1, 1))),
    "one dimension": Case(64, (500,), 64, (5,), 64, padding=((2, 2),)),
}


def assembly_of(plan: ConvolvePlan) -> str:
    module = Module(plan.target.function_attributes)
    emit_convolve(module, plan, "convolve")
    return jit.assembly(module.text(), plan.target)


def plans_of(name: str, target: Target) -> list[ConvolvePlan]:
    """The kernels of a layer; the gradient of its inputs, where it has a kernel and somebody wants it."""
    spec = CASES[name].spec
    plans: list[ConvolvePlan] = [
        plan_outputs(spec, target),
        plan_direct_filter(spec, target, filter_parts(spec)),
    ]
    if max(spec.strides) > 1 or spec.channels == 1:
        return plans
    return [*plans, plan_outputs(spec.turned[0], target)]


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("name", CASES)
def test_inner_loops_neither_spill_nor_call(name: str, level: str) -> None:
    for plan in plans_of(name, Target.named(level)):
        loops = sum_loops(assembly_of(plan), level)
        kinds = {
            rows * len(panels.pieces)
            for rows in (_rows(box) for box in plan.boxes())
            for panels in plan.panels
        }
        assert {multiply_adds(loop, level) for loop in loops} == kinds
        for loop in loops:
            assert_stays_in_registers(loop)
            if plan.spec.outputs % plan.lanes == 0:
                assert all(WIDEST[level] in line for line in loop if re.match(MULTIPLY_ADD[level], line))


def _rows(box: tuple[object, ...]) -> int:
    rows = 1
    for run in box:
        rows *= run.rows  # type: ignore[attr-defined]
    return rows


@pytest.mark.parametrize("level", ["generic", "avx2", "avx512", "aarch64"])
@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "float16", "bfloat16"])
def test_code_stands_alone(dtype: str, level: str) -> None:
    """No call to a library hides in the code: linking would fail."""
    target = Target.named(level)
    spec = Case(3, (9, 7), 5, (3, 2), 19, (2, 1), ((1, 1), (0, 1)), dtype=dtype).spec
    for plan in (plan_outputs(spec, target), plan_direct_filter(spec, target, 3)):
        module = Module(target.function_attributes)
        emit_convolve(module, plan, "convolve")
        assert jit.compile_object(module.text(), target)


def test_kernels_compile_quickly() -> None:
    """A kernel takes milliseconds; the bound leaves room for a busy machine."""
    for name in CASES:
        for plan in plans_of(name, Target.named("avx512")):
            module = Module(plan.target.function_attributes)
            emit_convolve(module, plan, "convolve")
            jit.compile_object(module.text(), plan.target)
            best = float("inf")
            for _ in range(5):
                started = time.process_time()
                jit.compile_object(module.text(), plan.target)
                best = min(best, time.process_time() - started)
            assert best < 0.08, f"{name}: {best * 1e3:.0f} ms"
