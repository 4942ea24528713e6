"""jvp, custom_gradient and vectorize: against real Keras, eager and compiled, and what they refuse."""

from __future__ import annotations

import numpy as np
import pytest

import lamina
from lamina import ops
from lamina.core.errors import ArgumentError, GradientError, ShapeError


def power_of(ops):
    def function(x):
        return ops.tanh(x) * x, ops.sum(ops.exp(x * 0.1))

    return function


# --- jvp -------------------------------------------------------------------------------------------


def test_jvp_gives_what_keras_gives_eager_and_compiled(real_keras, rng):
    x, direction = (rng.normal(size=(3, 4)).astype("float32") for _ in range(2))
    expected = real_keras.ops.jvp(power_of(real_keras.ops), (x,), (direction,))
    compiled = lamina.function(lambda x, d: ops.jvp(power_of(ops), (x,), (d,)))
    for found in (ops.jvp(power_of(ops), (x,), (direction,)), compiled(x, direction)):
        for ours, theirs in zip(lamina.tree.flatten(found), lamina.tree.flatten(expected), strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


def test_jvp_goes_through_loops_structures_and_itself(rng):
    x = rng.normal(size=3).astype("float32")

    def cube(inputs):
        return {"y": ops.scan(lambda c, _: (c * inputs["x"], None), ops.ones_like(inputs["x"]), length=3)[0]}

    def slope(x):
        return ops.jvp(cube, ({"x": x},), ({"x": ops.ones_like(x)},))[1]["y"]

    np.testing.assert_allclose(slope(x), 3 * x**2, rtol=1e-5)
    second = ops.jvp(slope, (x,), (np.ones(3, "float32"),))[1]
    np.testing.assert_allclose(second, 6 * x, rtol=1e-5)

    @lamina.function
    def gradient_of_slope(x):
        return lamina.gradients(ops.sum(slope(x)), [x])[0]

    np.testing.assert_allclose(gradient_of_slope(x), 6 * x, rtol=1e-5)


def test_jvp_reads_and_assigns_variables():
    scale, calls = lamina.Variable(2.0), lamina.Variable(0.0, trainable=False)

    def scaled(x):
        calls.assign_add(1.0)
        return scale * x

    value, tangent = ops.jvp(scaled, (np.float32(3),), (np.float32(1),))
    assert (float(value), float(tangent), float(calls)) == (6.0, 2.0, 1.0)


def test_what_does_not_depend_on_the_primals_does_not_move():
    outer = np.float32([1, 2])
    value, tangent = ops.jvp(lambda x: (outer * 2, ops.argmax(x)), (outer,), (outer,))
    assert [part.tolist() for part in value] == [[2, 4], 1]
    assert [part.tolist() for part in tangent] == [[0, 0], 0]


def test_jvp_refuses_directions_that_do_not_fit():
    x = np.ones(3, "float32")
    with pytest.raises(ShapeError, match="tangents of jvp"):
        ops.jvp(ops.sin, (x,), (np.ones(2, "float32"),))
    with pytest.raises(ArgumentError, match="tuples or lists"):
        ops.jvp(ops.sin, x, x)
    with pytest.raises(ArgumentError, match="floats only"):
        ops.jvp(ops.negative, (np.int32(3),), (np.int32(1),))
    with pytest.raises(ArgumentError, match="has_aux"):
        ops.jvp(ops.sin, (x,), (x,), has_aux=True)


# --- custom_gradient -------------------------------------------------------------------------------


def softplus_of(ops):
    """The example of Keras' documentation."""

    @ops.custom_gradient
    def softplus(x):
        e = ops.exp(x)

        def gradient(*args, upstream=None):
            if upstream is None:
                (upstream,) = args
            return ops.multiply(upstream, 1.0 - 1.0 / ops.add(1, e))

        return ops.log(1 + e), gradient

    return softplus


def test_a_custom_gradient_is_the_one_that_is_used(rng):
    x = rng.normal(size=5).astype("float32")
    softplus = softplus_of(ops)

    @lamina.function
    def derivatives(x):
        (first,) = lamina.gradients(ops.sum(softplus(x)), [x])
        return first, lamina.gradients(ops.sum(first), [x])[0]

    first, second = derivatives(x)
    sigmoid = 1 / (1 + np.exp(-x))
    np.testing.assert_allclose(softplus(x), np.log1p(np.exp(x)), rtol=1e-5)
    np.testing.assert_allclose(first, sigmoid, rtol=1e-5)
    np.testing.assert_allclose(second, sigmoid * (1 - sigmoid), rtol=1e-4)


def test_it_may_clip_reverse_and_leave_out(rng):
    @ops.custom_gradient
    def gate(pair, c):
        a, b = pair
        return {"sum": a + b + c, "product": a * b}, lambda g: (
            -g["sum"],
            ops.clip(g["product"], -1, 1),
            None,
        )

    @lamina.function
    def derivatives(a, b, c):
        found = gate((a, b), c)
        return lamina.gradients(ops.sum(found["sum"] + 5 * found["product"]), [a, b, c])

    a, b, c = (rng.normal(size=3).astype("float32") for _ in range(3))
    found = derivatives(a, b, c)
    assert [part.tolist() for part in found] == [[-1] * 3, [1] * 3, [0] * 3]


def test_it_works_inside_loops_layers_and_training(rng):
    @ops.custom_gradient
    def doubled_slope(x):
        return x, lambda upstream: 2 * upstream

    @lamina.function
    def derivative(x):
        total = ops.scan(lambda c, row: (c + doubled_slope(row), None), ops.zeros_like(x[0]), x)[0]
        return lamina.gradients(ops.sum(total), [x])[0]

    np.testing.assert_array_equal(derivative(np.ones((4, 2), "float32")), np.full((4, 2), 2, "float32"))

    def trained(function, rate):
        lamina.utils.set_random_seed(0)
        inputs = lamina.Input((3,))
        model = lamina.Model(inputs, function(lamina.layers.Dense(1)(inputs)))
        model.compile(lamina.optimizers.SGD(rate), "mse")
        model.fit(x, y, epochs=2, shuffle=False, verbose=0)
        return model.get_weights()

    x, y = rng.normal(size=(32, 3)).astype("float32"), rng.normal(size=(32, 1)).astype("float32")
    for ours, expected in zip(trained(doubled_slope, 0.01), trained(lambda x: x, 0.02)):
        np.testing.assert_allclose(ours, expected, rtol=1e-5)


def test_a_variable_is_an_argument_like_others():
    weight = lamina.Variable([1.0, 2.0])

    @ops.custom_gradient
    def seven(w):
        return w * 1.0, lambda upstream: upstream * 7.0

    @lamina.function
    def derivative():
        return lamina.gradients(ops.sum(seven(weight)), [weight])[0]

    assert derivative().tolist() == [7.0, 7.0]
    assert seven(weight).tolist() == [1.0, 2.0]


def test_it_says_what_is_wrong_with_a_gradient():
    x = np.ones(3, "float32")

    def run(function):
        return lamina.function(lambda x: lamina.gradients(ops.sum(ops.custom_gradient(function)(x)), [x]))(x)

    with pytest.raises(ArgumentError, match="must return a pair"):
        run(lambda x: x)
    with pytest.raises(ShapeError, match="one tensor for each"):
        run(lambda x: (x, lambda g: ops.sum(g)))
    with pytest.raises(ShapeError, match="one tensor for each"):
        run(lambda x: (x, lambda g: (g, g)))
    with pytest.raises(GradientError, match="not linear"):
        ops.jvp(ops.custom_gradient(lambda x: (x, lambda g: g * g)), (x,), (x,))
    with pytest.raises(ArgumentError, match="decorates a function"):
        ops.custom_gradient(3)


# --- vectorize -------------------------------------------------------------------------------------

VECTORIZED = {
    "numbers": (lambda ops: lambda a, b: ops.where(a > b, a - b, a + b), {}, ((3, 1), (4,))),
    "one argument": (lambda ops: lambda a: ops.exp(a), {}, ((2, 3),)),
    "no loop": (lambda ops: lambda a: a * 2, {}, ((),)),
    "matrix times vector": (
        lambda ops: lambda m, v: ops.matmul(m, v),
        {"signature": "(m,n),(n)->(m)"},
        ((5, 1, 2, 3), (4, 3)),
    ),
    "two results": (
        lambda ops: lambda v: (ops.sum(v), v * 2),
        {"signature": "(n)->(),(n)"},
        ((2, 3),),
    ),
    "excluded": (lambda ops: lambda a, table: ops.sum(table) * a, {"excluded": {1}}, ((4,), (7,))),
}


@pytest.mark.parametrize("name", VECTORIZED)
def test_vectorize_gives_what_keras_gives(name, real_keras, rng):
    make, options, shapes = VECTORIZED[name]
    arrays = [rng.normal(size=shape).astype("float32") for shape in shapes]
    expected = lamina.tree.flatten(real_keras.ops.vectorize(make(real_keras.ops), **options)(*arrays))
    ours = ops.vectorize(make(ops), **options)
    for found in (ours(*arrays), lamina.function(ours)(*arrays)):
        for one, other in zip(lamina.tree.flatten(found), expected, strict=True):
            assert one.shape == other.shape
            np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def test_vectorize_says_what_does_not_fit():
    with pytest.raises(ArgumentError, match="needs a function"):
        ops.vectorize(3)
    with pytest.raises(ArgumentError, match="no signature"):
        ops.vectorize(ops.sum, signature="(n->()")
    with pytest.raises(ArgumentError, match="2 arguments"):
        ops.vectorize(ops.dot, signature="(n),(n)->()")(np.ones(3))
    with pytest.raises(ShapeError, match="does not fit"):
        ops.vectorize(ops.dot, signature="(n),(n)->()")(np.ones((2, 3)), np.ones((2, 4)))


def test_all_three_extend_the_layer_graph():
    inputs = lamina.Input((3,))
    slope = ops.jvp(ops.sin, (inputs,), (ops.ones_like(inputs),))[1]
    smooth = softplus_of(ops)(inputs)
    above = ops.vectorize(lambda a, b: ops.maximum(a, b))(slope, smooth)
    model = lamina.Model(inputs, above)
    x = np.float32([[0.0, 1.0, 2.0]])
    np.testing.assert_allclose(
        model.predict(x, verbose=0), np.maximum(np.cos(x), np.log1p(np.exp(x))), rtol=1e-5
    )
