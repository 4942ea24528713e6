"""Convolution kernels against NumPy in float64: geometries, dtypes, instruction sets, tasks."""

from __future__ import annotations

import convolve_cases
import pytest
from convolve_cases import Case

LEVELS = convolve_cases.runnable_levels()
HOST = convolve_cases.target_of(LEVELS[0])


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("case", convolve_cases.sample(40, seed=1), ids=str)
def test_sampled_geometries(case: Case, level: str) -> None:
    convolve_cases.outputs_of(case, convolve_cases.target_of(level))
