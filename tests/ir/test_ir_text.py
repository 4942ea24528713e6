"""Text of graphs: what it looks like, that it comes back, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from random_programs import assert_same, programs

from lamina.core.errors import ArgumentError
from lamina.interp.eval import run_graph
from lamina.ir import primitives as p
from lamina.ir.bind import constant_value, full
from lamina.ir.graph import Graph, TensorType
from lamina.ir.structure import structure_key
from lamina.ir.text import parse, to_text
from lamina.ir.trace import new_input
from lamina.ir.verify import verify


def test_text_reads_like_the_computation():
    x, unused = new_input("x", TensorType((2, 3), "float32")), new_input("un used", TensorType((), "bool"))
    total = p.reduce_sum(p.multiply(x, full((2, 3), 0.1, "float32")), axes=(0, 1))
    values, places = p.sort(x, axis=1, descending=True)
    assert [line.split() for line in to_text(Graph((x, unused), (total, places, values))).splitlines()] == [
        line.split()
        for line in (
            'v0 = input("x")                              # float32[2,3]',
            'v1 = input("un used")                        # bool[]',
            "v2 = constant(0.1)                           # float32[]",
            "v3 = broadcast(v2, shape=(2, 3), axes=())    # float32[2,3]",
            "v4 = multiply(v0, v3)                        # float32[2,3]",
            "v5 = reduce_sum(v4, axes=(0, 1))             # float32[]",
            "v6, v7 = sort(v0, axis=1, descending=True)   # float32[2,3], int32[2,3]",
            "return v5, v7, v6",
        )
    ]


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(programs())
def test_random_graphs_come_back(program):
    text = to_text(program.graph, whole_constants=True)
    again = parse(text)
    verify(again)
    assert to_text(again, whole_constants=True) == text
    assert structure_key(again) == structure_key(program.graph)
    assert_same(run_graph(program.graph, program.arrays), run_graph(again, program.arrays))


@pytest.mark.parametrize(
    "array",
    [
        np.array([[np.nan, -np.inf], [-0.0, 1e-45]], np.float32),
        np.array(-np.nan, np.float64),
        np.array([2**63 + 1, 0], np.uint64),
        np.array([True, False]),
        np.zeros((0, 3), np.int8),
        np.linspace(0, 1, 100),
        np.float16(0.1),
    ],
    ids=str,
)
def test_constants_keep_every_bit(array):
    text = to_text(Graph((), (constant_value(array),)), whole_constants=True)
    found = parse(text).outputs[0].constant
    assert found.dtype == array.dtype
    assert found.shape == array.shape
    assert found.tobytes() == array.tobytes()


def test_large_constants_are_shortened_and_then_refused():
    text = to_text(Graph((), (constant_value(np.arange(1000)),)))
    assert len(text) < 120
    with pytest.raises(ArgumentError, match="whole_constants"):
        parse(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("v0 = inptu('x')  # float32[3]\nreturn v0", "Not a line"),
        ("v0 = input('x')", "Not a line"),
        ('v0 = input("x")  # float32[3]\nv1 = negative(v0)  # float32[4]\nreturn v1', "Wrong types"),
        ('v0 = input("x")  # float32[3]', "return"),
    ],
)
def test_what_is_not_a_graph_is_refused(text, message):
    with pytest.raises(ArgumentError, match=message):
        parse(text)
