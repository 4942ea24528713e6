"""Convolution kernels against NumPy in float64: geometries, dtypes, instruction sets, tasks."""

from __future__ import annotations

from itertools import pairwise

import convolve_cases
import numpy as np
import pytest
from convolve_cases import Case

from lamina.backends.cpu.convolve import plan_direct_filter, plan_outputs

LEVELS = convolve_cases.runnable_levels()
HOST = convolve_cases.target_of(LEVELS[0])


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("case", convolve_cases.sample(40, seed=1), ids=str)
def test_sampled_geometries(case: Case, level: str) -> None:
    convolve_cases.outputs_of(case, convolve_cases.target_of(level))


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("case", convolve_cases.sample(40, seed=2), ids=str)
def test_sampled_filter_gradients(case: Case, level: str) -> None:
    convolve_cases.filter_of(case, convolve_cases.target_of(level))


@pytest.mark.parametrize("parts", [1, 2, 4])
@pytest.mark.parametrize(
    "case",
    [
        Case(4, (40, 50), 33, (3, 3), 40, padding=((1, 1), (1, 1))),
        Case(8, (23, 31), 64, (3, 2), 64, strides=(2, 1)),
        Case(4, (4000,), 20, (5,), 24, padding=((2, 2),)),
        Case(4, (29,), 3, (5,), 24, padding=((2, 2),), dtype="float16"),
    ],
    ids=str,
)
def test_filter_gradients_in_parts_and_passes(case: Case, parts: int) -> None:
    plan = plan_direct_filter(case.spec, HOST, parts)
    convolve_cases.filter_of(case, HOST, plan=plan)


@pytest.mark.parametrize(
    "case",
    [
        Case(9, (14, 15), 17, (3, 3), 40, padding=((1, 1), (1, 2))),
        Case(32, (6, 5), 16, (3, 3), 130),
        Case(3, (700,), 5, (7,), 65, padding=((3, 3),)),
    ],
    ids=str,
)
def test_every_partition_of_the_tasks_gives_the_same_bits(case: Case) -> None:
    for planner, check in (
        (plan_outputs, convolve_cases.outputs_of),
        (plan_direct_filter, convolve_cases.filter_of),
    ):
        tasks = planner(case.spec, HOST).tasks
        assert tasks > 2
        whole = check(case, HOST)
        for parts in (2, 3, tasks):
            bounds = [tasks * part // parts for part in range(parts + 1)]
            np.testing.assert_array_equal(check(case, HOST, list(pairwise(bounds))[::-1]), whole)


def test_faults_are_noticed() -> None:
    """The checks see a single element that is slightly wrong."""
    case = Case(2, (5, 5), 3, (3, 3), 4)
    found = convolve_cases.outputs_of(case, HOST)
    wrong = found.copy()
    wrong[1, 2, 2, 3] *= 1.001
    with pytest.raises(AssertionError):
        convolve_cases.check(wrong, found.astype(np.float64), np.abs(found), 27, "float32")
