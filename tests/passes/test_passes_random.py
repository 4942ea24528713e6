"""Passes keep every number of random programs."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from random_programs import assert_agrees, assert_same, programs

from lamina.core.dtypes import is_float
from lamina.grad import gradients
from lamina.grad.rules import RULES
from lamina.interp.eval import run_graph
from lamina.ir import primitives as p
from lamina.ir.graph import Graph
from lamina.ir.primitives import MOVES, TABLE
from lamina.ir.verify import verify
from lamina.passes import pipeline

# A power with a small whole exponent becomes products, which are rounded otherwise; see test_passes_laws.py.
ALL = [primitive for primitive in TABLE.values() if primitive is not p.power]
# A while loop refuses to be differentiated.
SMOOTH = tuple(primitive for primitive in RULES if primitive is not p.while_loop)
FAMILIES = {
    "everything": ALL,
    "movement": [primitive for primitive in ALL if primitive.has(MOVES)]
    + [p.dot, p.negative, p.reduce_max, p.add],
    "arithmetic": [
        p.negative,
        p.absolute,
        p.add,
        p.subtract,
        p.multiply,
        p.divide,
        p.maximum,
        p.cast,
        p.broadcast,
    ],
    "logic": [p.equal, p.not_equal, p.invert, p.select, p.bitwise_and, p.bitwise_or, p.bitwise_xor, p.cast],
}


@pytest.mark.parametrize("family", FAMILIES)
@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_each_pass_keeps_types_and_numbers(family, data):
    graph, arrays = data.draw(programs(exact=True, primitives=FAMILIES[family]))
    verify(graph)
    expected = run_graph(graph, arrays)
    for each in pipeline.PASSES:
        graph = Graph(graph.inputs, each(graph.outputs))
        verify(graph)
        assert_same(expected, run_graph(graph, arrays))


@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
@given(programs(max_nodes=10, dtypes=("float64",), primitives=SMOOTH))
def test_passes_keep_gradients(program):
    inputs = [value for value in program.graph.inputs if is_float(value.dtype)]
    scalars = [
        p.reduce_sum(value, axes=tuple(range(value.ndim)))
        for value in program.graph.outputs
        if value.dtype == "float64"
    ]
    outputs = tuple(gradient for scalar in scalars for gradient in gradients(scalar, inputs))
    before = Graph(program.graph.inputs, outputs)
    after = Graph(program.graph.inputs, pipeline.run(outputs))
    verify(after)
    assert_agrees(before, program.arrays, run_graph(after, program.arrays), ulps=1)


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(programs())
def test_passes_are_done_after_one_run(program):
    once = pipeline.run(program.graph.outputs)
    assert pipeline.run(once) == once
