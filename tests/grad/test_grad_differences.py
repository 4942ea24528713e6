"""Derivatives against central differences in float64, to second order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from gradient_rows import ROWS, Row

from lamina.grad import gradients
from lamina.grad.rules import RULES
from lamina.interp.eval import run_graph
from lamina.ir import primitives as p
from lamina.ir.bind import constant_value
from lamina.ir.graph import Graph, TensorType, Value
from lamina.ir.trace import new_input
from lamina.ir.verify import verify

STEP = 1e-5
TOLERANCE = 1e-8  # of the largest derivative; differences are that good at this step


def inputs_of(row: Row) -> list[Value]:
    return [new_input("x", TensorType(array.shape, "float64")) for array in row.arrays]


def projected(value: Value, seed: int) -> Value:
    """A random weighted sum of all elements: a scalar that sees each of them."""
    weights = constant_value(np.random.default_rng(seed).uniform(0.5, 1.5, value.shape))
    return p.reduce_sum(p.multiply(value, weights), axes=tuple(range(value.ndim)))


def check_against_differences(scalar: Value, inputs: list[Value], arrays: Sequence[Any]) -> list[Value]:
    """Directional derivatives of `scalar` from `gradients`, which are returned, and from differences."""
    found = gradients(scalar, inputs)
    assert [value.type for value in found] == [value.type for value in inputs]
    graph = Graph(tuple(inputs), (scalar, *found))
    verify(graph)
    derivative = run_graph(graph, arrays)[1:]
    for position, array in enumerate(arrays):
        for seed in range(3):
            direction = np.random.default_rng(seed + 10).normal(0, 1, array.shape)
            ends = []
            for sign in (1, -1):
                moved = [*arrays]
                moved[position] = array + sign * STEP * direction
                ends.append(float(run_graph(graph, moved)[0]))
            expected = (ends[0] - ends[1]) / (2 * STEP)
            got = float(np.sum(derivative[position] * direction))
            scale = 1 + abs(expected) + max(map(abs, ends))
            assert abs(got - expected) <= TOLERANCE * scale, f"operand {position}: {got}, not {expected}"
    return found


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_first_and_second_derivatives(row):
    inputs = inputs_of(row)
    first = check_against_differences(projected(row.function(*inputs), seed=1), inputs, row.arrays)
    for position, derivative in enumerate(first):
        check_against_differences(projected(derivative, seed=2 + position), inputs, row.arrays)


def test_every_rule_has_a_row():
    seen = set()
    for row in ROWS:
        inputs = inputs_of(row)
        seen |= {node.primitive for node in Graph(tuple(inputs), (row.function(*inputs),)).nodes()}
    seen.add(p.while_loop)  # its rule refuses: test_grad_control.py
    missing = [primitive.name for primitive in RULES if primitive not in seen]
    assert not missing
