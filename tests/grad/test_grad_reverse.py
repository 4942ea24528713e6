"""What the backward walk gives at kinks and ties, for values it does not reach, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from random_programs import programs

from lamina.core.errors import GradientError
from lamina.grad import gradients
from lamina.grad.rules import NOT_DIFFERENTIABLE, RULES
from lamina.interp.eval import run_graph
from lamina.ir import primitives as p
from lamina.ir.bind import constant_value, full
from lamina.ir.graph import Graph, TensorType, Value
from lamina.ir.trace import new_input
from lamina.ir.verify import verify

# A while loop refuses to be differentiated.
SMOOTH = tuple(primitive for primitive in RULES if primitive is not p.while_loop)


def an_input(*shape: int, dtype: str = "float32") -> Value:
    return new_input("x", TensorType(shape, dtype))


def total(x: Value) -> Value:
    return p.reduce_sum(x, axes=tuple(range(x.ndim)))


def derivative(function, *arrays: np.ndarray) -> list[np.ndarray]:
    """Of the sum of the function's result, at these arrays."""
    inputs = [an_input(*array.shape, dtype=array.dtype.name) for array in arrays]
    found = gradients(total(function(*inputs)), inputs)
    return run_graph(Graph(tuple(inputs), tuple(found)), list(arrays))


def f32(*numbers: float) -> np.ndarray:
    return np.array(numbers, np.float32)


# --- kinks and ties --------------------------------------------------------------------------------
def test_relu_has_derivative_0_at_0():
    zeros = full((4,), 0, "float32")
    points = f32(-1, 0, -0.0, 2)
    for relu in (lambda x: p.maximum(x, zeros), lambda x: p.maximum(zeros, x)):
        np.testing.assert_array_equal(derivative(relu, points)[0], [0, 0, 0, 1])


def test_relu_costs_one_compare_and_one_select():
    x = an_input(4)
    y = p.maximum(x, full((4,), 0, "float32"))
    seed = an_input(4)
    before = set(Graph((x,), (y,)).nodes())
    (gradient,) = gradients(y, [x], seed)
    added = [node.primitive for node in Graph((x, seed), (gradient,)).nodes() if node not in before]
    assert added == [p.greater, p.input, p.select]


def test_a_tie_of_two_variables_is_shared():
    x, y = f32(1, 2, 3), f32(2, 2, 2)
    for extreme, expected in ((p.maximum, [0, 0.5, 1]), (p.minimum, [1, 0.5, 0])):
        first, second = derivative(extreme, x, y)
        np.testing.assert_array_equal(first, expected)
        np.testing.assert_array_equal(first + second, [1, 1, 1])


def test_equal_maxima_share():
    x = np.array([[1, 3, 3], [2, 0, 1]], np.float32)
    np.testing.assert_array_equal(
        derivative(lambda x: p.reduce_max(x, axes=(1,)), x)[0], [[0, 0.5, 0.5], [1, 0, 0]]
    )
    np.testing.assert_array_equal(
        derivative(lambda x: p.reduce_min(x, axes=(0, 1)), x)[0], [[0, 0, 0], [0, 1, 0]]
    )


def test_power_is_smooth_where_it_can_be():
    square = derivative(lambda x: p.power(x, full((3,), 2, "float32")), f32(0, -3, 2))[0]
    np.testing.assert_array_equal(square, [0, -6, 4])
    base, exponent = derivative(p.power, f32(0, 0, 2), f32(2, 0, 0))
    np.testing.assert_array_equal(base, [0, 0, 0])
    np.testing.assert_allclose(exponent, [0, 0, np.log(2)], rtol=1e-6)


def test_saturated_functions_have_derivative_0_not_nan():
    extremes = f32(-1e4, 1e4)
    for function in (p.tanh, p.sigmoid, p.erf):
        np.testing.assert_array_equal(derivative(function, extremes)[0], [0, 0])


@pytest.mark.parametrize("primitive", [p.floor, p.ceil, p.round_even, p.sign, p.stop_gradient])
def test_nothing_flows_through_steps(primitive):
    np.testing.assert_array_equal(derivative(primitive, f32(0.3, -1.7))[0], [0, 0])


def test_a_cast_brings_the_gradient_back_to_its_dtype():
    x = an_input(3, dtype="float16")
    (gradient,) = gradients(total(p.exp(p.cast(x, dtype="float32"))), [x])
    assert gradient.dtype == "float16"
    through_integers = derivative(lambda x: p.cast(p.cast(x, dtype="int32"), dtype="float32"), f32(1.5))
    np.testing.assert_array_equal(through_integers[0], [0])


def test_gradient_of_a_dense_layer_transposes_nothing():
    x, kernel = an_input(32, 20), an_input(20, 64)
    y = p.dot(x, kernel, contract=((1,), (0,)), batch=((), ()))
    found = gradients(total(p.multiply(y, y)), [x, kernel])
    assert p.transpose not in {node.primitive for node in Graph((x, kernel), tuple(found)).nodes()}


# --- what is reached -------------------------------------------------------------------------------
def test_values_that_are_not_reached_get_zeros():
    x, y = an_input(3), an_input(2, 2)
    found = gradients(total(p.exp(x)), [x, y])[1]
    assert found is full((2, 2), 0, "float32")
    assert gradients(constant_value(1.0), [x])[0] is full((3,), 0, "float32")


def test_inner_values_and_repeated_ones():
    x = an_input(3)
    inner = p.exp(x)
    loss = total(p.multiply(inner, inner))
    with_inner, outer, again = gradients(loss, [inner, x, x])
    assert outer is again
    at = f32(0, 1, 2)
    graph = Graph((x,), (with_inner, outer))
    one, other = run_graph(graph, [at])
    np.testing.assert_allclose(one, 2 * np.exp(at), rtol=1e-6)
    np.testing.assert_allclose(other, 2 * np.exp(2 * at), rtol=1e-6)
    assert gradients(x.node.outputs[0], [x], seed=inner) == [inner]


def test_operands_outside_the_way_are_not_differentiated():
    """The input of the first layer needs no gradient, so none is made."""
    x, kernel = an_input(8, 4), an_input(4, 2)
    y = p.dot(x, kernel, contract=((1,), (0,)), batch=((), ()))
    (gradient,) = gradients(total(y), [kernel])
    dots = [node for node in Graph((x, kernel), (gradient, y)).nodes() if node.primitive is p.dot]
    assert len(dots) == 2


def test_a_seed_is_the_cotangent_of_the_output():
    x = an_input(3)
    (gradient,) = gradients(p.multiply(x, x), [x], seed=constant_value([1, 10, 100], "float32"))
    np.testing.assert_array_equal(run_graph(Graph((x,), (gradient,)), [f32(1, 2, 3)])[0], [2, 40, 600])


def test_third_derivative():
    x = an_input(dtype="float64")
    value = p.power(x, constant_value(5.0))
    for _ in range(3):
        (value,) = gradients(value, [x])
    np.testing.assert_allclose(run_graph(Graph((x,), (value,)), [np.array(2.0)])[0], 60 * 4)


# --- what is refused -------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("output", "wrt", "seed", "message"),
    [
        (an_input(3), an_input(3), None, "scalar"),
        (an_input(dtype="int32"), an_input(3), None, "float loss"),
        (an_input(), an_input(3, dtype="int32"), None, "respect to"),
        (an_input(3), an_input(3), an_input(4), "seed"),
    ],
)
def test_what_has_no_gradient_is_refused(output, wrt, seed, message):
    with pytest.raises(GradientError, match=message) as caught:
        gradients(output, [wrt], seed)
    assert len(str(caught.value).splitlines()) <= 8


# --- random programs -------------------------------------------------------------------------------
@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    programs(
        max_nodes=12,
        dtypes=("float64", "float32", "float16"),
        primitives=(*SMOOTH, *(NOT_DIFFERENTIABLE - {p.input})),
    )
)
def test_gradients_of_random_programs_are_legal_to_second_order(program):
    """Types fit whatever the shapes, empty ones included."""
    inputs = [value for value in program.graph.inputs if value.dtype in ("float64", "float32", "float16")]
    outputs = [value for value in program.graph.outputs if value.dtype == "float32"]
    for output in outputs[:2]:
        first = gradients(total(output), inputs)
        second = [gradients(total(value), inputs) for value in first[:1]]
        verify(Graph(program.graph.inputs, (*first, *(value for row in second for value in row))))
