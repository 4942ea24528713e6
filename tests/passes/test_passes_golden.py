"""The text of training steps before and after the passes; LAMINA_UPDATE_GOLDEN=1 writes it anew."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from conv_step import conv_step
from dense_step import dense_step
from random_programs import assert_agrees

from lamina.interp.eval import run_graph
from lamina.ir.graph import Graph
from lamina.ir.text import parse, to_text
from lamina.ir.verify import verify
from lamina.passes import pipeline

GOLDEN = Path(__file__).parent / "golden"


def optimized(build: Callable[[], Graph] = dense_step) -> Graph:
    graph = build()
    return Graph(graph.inputs, pipeline.run(graph.outputs))


@pytest.mark.parametrize(
    ("name", "build"),
    [
        ("dense_step_traced", dense_step),
        ("dense_step_optimized", optimized),
        ("conv_step_traced", conv_step),
        ("conv_step_optimized", lambda: optimized(conv_step)),
    ],
)
def test_text_is_the_golden_one(name, build):
    graph = build()
    verify(graph)
    path = GOLDEN / f"{name}.txt"
    if os.environ.get("LAMINA_UPDATE_GOLDEN"):
        path.write_text(to_text(graph), encoding="utf-8")
    assert to_text(graph) == path.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "graph", [dense_step((20, 33, 17, 5), batch=31), conv_step(5, 9, (3, 17), 4)], ids=["dense", "conv"]
)
def test_passes_keep_what_the_step_computes(graph, rng):
    after = Graph(graph.inputs, pipeline.run(graph.outputs))
    arrays = [
        rng.integers(0, 3, value.shape).astype("int32")
        if value.dtype == "int32"
        else rng.normal(0, 0.5, value.shape).astype("float32")
        for value in graph.inputs
    ]
    assert_agrees(graph, arrays, run_graph(after, arrays), ulps=1)


def test_text_of_windows_is_read_back():
    text = to_text(conv_step(), whole_constants=True)
    assert to_text(parse(text), whole_constants=True) == text


def test_pre_activations_are_not_needed_after_the_forward_pass():
    """relu's derivative is read off its result, so that one buffer per layer is enough."""
    graph = optimized()
    readers = [
        node
        for node in graph.nodes()
        for operand in node.inputs
        if operand.primitive.name == "add" and operand.shape == (4, 16)
    ]
    assert [node.primitive.name for node in readers] == ["maximum"]


def test_the_order_of_the_text_is_that_of_the_graph_alone():
    """The same step traced twice gives the same text, whatever else is alive."""
    others = [dense_step((8, 16, 3)), dense_step((8, 5, 3))]
    assert to_text(optimized()) == to_text(optimized())
    assert len(others) == 2
