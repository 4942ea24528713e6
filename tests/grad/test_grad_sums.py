"""Sums of cotangents that a subtracted mean gets: fewer, and the same numbers."""

from __future__ import annotations

import numpy as np
import pytest

from lamina.grad import gradients
from lamina.interp.eval import run_graph
from lamina.ir import primitives as p
from lamina.ir.bind import full
from lamina.ir.graph import Graph, TensorType, Value
from lamina.ir.trace import new_input

SHAPE = (6, 5, 3)
AXES = (0, 1)


def along(vector: Value) -> Value:
    return p.broadcast(vector, shape=SHAPE, axes=(2,))


def mean(x: Value) -> Value:
    return p.divide(p.reduce_sum(x, axes=AXES), full((3,), 30, x.dtype))


def normalised(x: Value, gamma: Value, beta: Value) -> Value:
    """Batch normalisation of (6, 5, 3), by its formula."""
    centre = mean(x)
    centred = p.subtract(x, along(centre))
    variance = mean(p.multiply(centred, centred))
    factor = p.multiply(p.rsqrt(p.add(variance, full((3,), 1e-3, x.dtype))), gamma)
    shifted = p.subtract(x, along(centre))
    return p.add(p.multiply(shifted, along(factor)), along(beta))


def loss_of(x: Value, gamma: Value, beta: Value, weights: Value) -> Value:
    y = normalised(x, gamma, beta)
    return p.reduce_sum(p.multiply(p.multiply(y, y), weights), axes=(0, 1, 2))


def inputs(dtype: str) -> list[Value]:
    shapes = {"x": SHAPE, "gamma": (3,), "beta": (3,), "weights": SHAPE}
    return [new_input(name, TensorType(shape, dtype)) for name, shape in shapes.items()]


def test_gradient_of_normalisation_sums_twice():
    """Once the cotangents, once these times what was centred: no third pass for the mean."""
    values = inputs("float32")
    graph = Graph(tuple(values), tuple(gradients(loss_of(*values), values[:3])))
    forward = Graph(tuple(values), (loss_of(*values),))
    sums = [
        sum(node.primitive is p.reduce_sum and node.inputs[0].shape == SHAPE for node in each.nodes())
        for each in (graph, forward)
    ]
    assert sums[0] - (sums[1] - 1) == 2  # the loss itself is not computed


@pytest.mark.parametrize("offset", [0.0, 1000.0])
def test_gradients_match_finite_differences_to_second_order(offset, rng):
    values = inputs("float64")
    first = gradients(loss_of(*values), values[:3])
    direction = new_input("direction", TensorType(SHAPE, "float64"))
    slope = p.reduce_sum(p.multiply(first[0], direction), axes=(0, 1, 2))
    second = gradients(slope, values[:3])
    loss_graph = Graph(tuple(values), (loss_of(*values),))
    slope_graph = Graph((*values, direction), (slope,))
    at = [rng.normal(offset, 2.0, SHAPE), rng.normal(size=3), rng.normal(size=3), rng.normal(size=SHAPE)]
    towards = rng.normal(size=SHAPE)
    for graph, found, extra in ((loss_graph, first, []), (slope_graph, second, [towards])):
        computed = run_graph(Graph(graph.inputs, tuple(found)), [*at, *extra])
        for position, gradient in enumerate(computed):
            step = rng.normal(size=at[position].shape)
            ends = []
            for sign in (1, -1):
                moved = list(at)
                moved[position] = at[position] + sign * 1e-5 * step
                ends.append(run_graph(graph, [*moved, *extra])[0])
            expected = (ends[0] - ends[1]) / 2e-5
            np.testing.assert_allclose(np.sum(gradient * step), expected, rtol=2e-4, atol=2e-4)


def test_sums_are_not_split_where_both_parts_matter():
    """sum(a + b) stays one sum: the parts may nearly cancel."""
    x, y = (new_input(name, TensorType(SHAPE, "float32")) for name in "xy")
    loss = p.reduce_sum(p.multiply(p.subtract(x, along(mean(y))), p.add(x, y)), axes=(0, 1, 2))
    gradient = gradients(loss, [y])[0]
    summed = [
        node.inputs[0]
        for node in Graph((x, y), (gradient,)).nodes()
        if node.primitive is p.reduce_sum and node.inputs[0] is not y
    ]
    assert [value.primitive for value in summed] == [p.negative]
