"""Plans: tiles and panels cover the product exactly, tasks follow the work, scratch is bounded."""

from __future__ import annotations

import pytest

from lamina.backends.cpu.contract import ContractSpec, plan_contract
from lamina.backends.cpu.contract_narrow import NarrowPlan
from lamina.backends.cpu.contract_plan import (
    COPY,
    DEAL,
    DIRECT,
    GATHER,
    TRANSPOSE,
    TilePlan,
    registers_needed,
    split_columns,
    split_rows,
)
from lamina.backends.cpu.contract_ragged import RaggedPlan
from lamina.backends.cpu.target import Target

LEVELS = ("avx512", "avx2", "sse2", "aarch64")
SIZES = (1, 2, 3, 7, 13, 16, 31, 64, 100, 128, 784, 1000)


def test_rows_are_covered_once_by_equal_tiles() -> None:
    for m in SIZES:
        for largest in (1, 6, 14, 28):
            covered, numbers = [], []
            for tiles in split_rows(m, largest):
                for i in range(tiles.count):
                    start = tiles.start + i * tiles.rows
                    covered += range(start, start + tiles.rows)
                    numbers.append(tiles.first + i)
            assert covered == list(range(m))
            assert numbers == list(range(len(numbers)))
            sizes = [tiles.rows for tiles in split_rows(m, largest)]
            assert max(sizes) <= largest
            assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize("level", LEVELS)
def test_columns_are_covered_once(level: str) -> None:
    target = Target.named(level)
    for n in SIZES:
        for vectors in (1, 2, 5):
            covered = []
            for panels in split_columns(n, vectors, target, "float32"):
                assert len(panels.pieces) <= vectors
                for i in range(panels.count):
                    for piece in panels.pieces:
                        start = panels.start + i * panels.width + piece.offset
                        covered += range(start, start + piece.valid)
                        assert piece.valid == piece.lanes or target.has_masks
            assert covered == list(range(n))


@pytest.mark.parametrize("level", LEVELS)
def test_plans_fit_the_machine(level: str) -> None:
    target = Target.named(level)
    for m, n, k in [
        (128, 512, 784),
        (32, 64, 20),
        (1, 512, 784),
        (2048, 2048, 2048),
        (7, 5, 3),
        (65, 33, 17),
    ]:
        for b_strides in ((0, n, 1), (0, 1, k)):
            plan = plan_contract(ContractSpec(m, n, k, 1, (0, k, 1), b_strides, (0, n, 1)), target)
            assert plan.flops == 2 * m * n * k
            assert 1 <= plan.tasks <= 256
            assert plan.scratch_bytes <= target.caches.l2
            if isinstance(plan, TilePlan):
                for tiles in plan.tiles:
                    for panels in plan.panels:
                        assert registers_needed(tiles.rows, len(panels.pieces), target) <= target.registers


def test_tasks_come_from_the_work() -> None:
    target = Target.named("avx512")
    assert plan_contract(ContractSpec.contiguous(16, 32, 32), target).tasks == 1
    assert plan_contract(ContractSpec.contiguous(32, 64, 64), target).tasks == 4
    assert plan_contract(ContractSpec.contiguous(128, 512, 784), target).tasks >= 32
    assert plan_contract(ContractSpec.contiguous(32, 64, 64, batch=10), target).tasks == 10
    assert plan_contract(ContractSpec.contiguous(32, 64, 64, batch=0), target).tasks == 0
    assert plan_contract(ContractSpec.contiguous(100_000, 1, 100), target).tasks >= 16


def test_sources_of_b() -> None:
    target = Target.named("avx512")

    def source(m: int, n: int, k: int, b_strides: tuple[int, int, int], dtype: str = "float32") -> str:
        plan = plan_contract(ContractSpec(m, n, k, 1, (0, k, 1), b_strides, (0, n, 1), dtype), target)
        assert isinstance(plan, TilePlan)
        return plan.source

    assert source(128, 512, 784, (0, 512, 1)) == DIRECT
    assert source(2048, 2048, 2048, (0, 2048, 1)) == COPY
    assert source(128, 512, 512, (0, 1, 512)) == TRANSPOSE
    assert source(32, 64, 2, (0, 1, 2)) == DEAL
    assert source(32, 64, 9, (0, 200, 3)) == GATHER
    assert source(32, 64, 9, (0, 64, 1), "bfloat16") == COPY


def test_few_columns_have_plans_of_their_own() -> None:
    target = Target.named("avx512")
    for n in (1, 2, 4):
        assert isinstance(plan_contract(ContractSpec.contiguous(32, n, 64), target), NarrowPlan)
        gradient = ContractSpec(64, n, 32, 1, (0, 1, 64), (0, n, 1), (0, n, 1))
        assert isinstance(plan_contract(gradient, target), NarrowPlan)
    assert isinstance(plan_contract(ContractSpec.contiguous(32, 3, 64), target), TilePlan)
    row = ContractSpec(1, 500, 64, 1, (0, 64, 1), (0, 1, 64), (0, 500, 1))
    assert "transposed" in plan_contract(row, target).reason


def test_ten_columns_lie_across_vectors() -> None:
    target = Target.named("avx512")
    forward = plan_contract(ContractSpec.contiguous(128, 10, 512), target)
    gradient = plan_contract(ContractSpec(512, 10, 128, 1, (0, 1, 512), (0, 10, 1), (0, 10, 1)), target)
    assert isinstance(forward, RaggedPlan)
    assert (forward.along, forward.packed) == ("k", True)
    assert isinstance(gradient, RaggedPlan)
    assert (gradient.along, gradient.packed) == ("rows", False)
    for n in (16, 15, 32, 64):
        assert isinstance(plan_contract(ContractSpec.contiguous(128, n, 512), target), TilePlan)


def test_nothing_to_compute() -> None:
    target = Target.named("avx512")
    for m, n in ((0, 5), (5, 0), (0, 0)):
        plan = plan_contract(ContractSpec.contiguous(m, n, 7), target)
        assert (plan.tasks, plan.scratch_bytes) == (0, 0)
        assert plan.reason == "nothing to compute"
