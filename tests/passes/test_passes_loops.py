"""What is moved out of loops, and that the numbers stay."""

from __future__ import annotations

import numpy as np
import pytest

from lamina import ops
from lamina.function import gradients, trace_program
from lamina.interp.eval import run_graph
from lamina.ir import primitives as p
from lamina.ir.graph import Graph, TensorType
from lamina.ir.verify import verify
from lamina.passes import pipeline

STEPS, BATCH, FEATURES, UNITS = 5, 3, 4, 6
SHAPES = ((STEPS, BATCH, FEATURES), (BATCH, UNITS), (FEATURES, 4 * UNITS), (UNITS, 4 * UNITS), (4 * UNITS,))


def lstm(x, h, w, u, b, reverse=False):
    """(last h, all of them)"""

    def step(carry, x):
        h, c = carry
        i, f, g, o = ops.split(x @ w + h @ u + b, 4, axis=-1)
        c = ops.sigmoid(f) * c + ops.sigmoid(i) * ops.tanh(g)
        h = ops.sigmoid(o) * ops.tanh(c)
        return (h, c), h

    (last, _), every = ops.scan(step, (h, ops.zeros_like(h)), x, reverse=reverse)
    return last, every


def simple(x, h, w, u, b, reverse=False):
    def step(h, x):
        h = ops.tanh(x @ w[:, :UNITS] + h @ u[:, :UNITS] + b[:UNITS])
        return h, ops.exp(h) @ u

    return ops.scan(step, h, x, reverse=reverse)


def nested(x, h, w, u, b, reverse=False):
    """A loop over the features inside the loop over time."""

    def step(h, x):
        inner = ops.scan(lambda total, row: (total + row * h, None), h, ops.transpose(x @ w)[:3, :, None])[0]
        return ops.tanh(inner), inner * 2.0

    return ops.scan(step, h, x, reverse=reverse)


def traced(function, *more):
    types = [TensorType(shape, "float64") for shape in SHAPES]
    graph = trace_program(lambda *inputs: function(*inputs, *more), types).program.graph
    return graph, Graph(graph.inputs, pipeline.run(graph.outputs))


def step_of(network, reverse=False):
    def step(*inputs):
        last, every = network(*inputs, reverse)
        loss = ops.sum(ops.square(last)) + ops.sum(ops.sin(every))
        return loss, gradients(loss, inputs)

    return step


def count(graph, primitive):
    return sum(node.primitive is primitive for node in graph.nodes())


def loops(graph):
    return [node for node in graph.nodes() if node.primitive is p.scan]


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("network", [lstm, simple, nested])
def test_numbers_stay(network, reverse, rng):
    before, after = traced(step_of(network, reverse))
    verify(after)
    arrays = [rng.normal(0, 0.5, shape) for shape in SHAPES]
    for one, other in zip(run_graph(before, arrays), run_graph(after, arrays), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-12)


def test_only_the_recurrent_product_stays_in_each_loop():
    _, graph = traced(step_of(lstm))
    forward, backward = loops(graph)
    assert count(forward.attributes["body"], p.dot) == count(backward.attributes["body"], p.dot) == 1
    # Before: x W. After: gradients of W and x; that of U in two parts, of the first step and of the others.
    assert count(graph, p.dot) == 5
    carried = backward.attributes["carries"]
    assert carried == 2, "the sums of the weights' gradients are not carried"
    assert [kind.shape for kind in backward.types[carried:]] == [(STEPS, BATCH, 4 * UNITS)]


def test_a_product_of_each_result_is_one_product_after_the_loop():
    _, graph = traced(lambda *inputs: simple(*inputs)[1])
    (loop,) = loops(graph)
    assert count(loop.attributes["body"], p.dot) == 1
    assert [kind.shape for kind in loop.types] == [(BATCH, UNITS), (STEPS, BATCH, UNITS)]


def test_values_that_do_not_change_and_that_nobody_needs_go():
    def program(x, h, w, u, b):
        def step(carry, x):
            total, same, unused = carry
            return (total + ops.tanh(x @ w) @ ops.transpose(w), same, unused * 2.0), unused

        start = (ops.zeros((BATCH, FEATURES), "float64"), b, h)
        (total, same, _), _ = ops.scan(step, start, x)
        return total, same

    before, after = traced(program)
    assert loops(before)[0].attributes["carries"] == 3
    assert not loops(after), "what is left is a sum of products: one product"
    arrays = [np.random.default_rng(0).normal(size=shape) for shape in SHAPES]
    for one, other in zip(run_graph(before, arrays), run_graph(after, arrays), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-12)


def test_what_has_no_order_is_no_loop():
    _, graph = traced(lambda x, h, w, u, b: ops.map(lambda row: ops.tanh(row @ w) + 1.0, x))
    assert not loops(graph)


def test_equal_loops_are_run_once():
    def program(x, h, w, u, b):
        first = ops.scan(lambda h, x: (ops.tanh(h @ u[:, :UNITS]), h), h, x)
        second = ops.scan(lambda h, x: (ops.tanh(h @ u[:, :UNITS]), ops.exp(h)), h, x)
        return first[1], second

    before, after = traced(program)
    assert (len(loops(before)), len(loops(after))) == (2, 1)
