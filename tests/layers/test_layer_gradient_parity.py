"""A training call against real Keras: outputs, gradients of inputs and weights, and the new state."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
from image_rows import IMAGE_ROWS

import lamina
from lamina import layers

CHECKED = [row for row in IMAGE_ROWS if len(row.shapes) == 1 and not row.seeds and not row.integers]


def ramp(shape):
    """Different weights for different elements, so that no two gradients look alike."""
    return (np.cos(np.arange(np.prod(shape))) + 0.5).astype("float32").reshape(shape)


def of_keras(layer, inputs):
    import jax
    import jax.numpy as jnp

    training = {"training": True} if "training" in inspect.signature(layer.call).parameters else {}
    trainable = [variable.value for variable in layer.trainable_variables]
    state = [variable.value for variable in layer.non_trainable_variables]

    def loss(trainable, x):
        outputs, new_state = layer.stateless_call(trainable, state, x, **training)
        return jnp.sum(outputs * ramp(outputs.shape)), (outputs, new_state)

    gradient_of = jax.jit(jax.grad(loss, argnums=(0, 1), has_aux=True))
    gradients, (outputs, new_state) = gradient_of(trainable, inputs)
    return outputs, gradients[1], gradients[0], new_state


@pytest.mark.parametrize("row", CHECKED, ids=lambda row: row.name)
def test_training_call_gradients_and_state(row, real_keras, run_traced):
    mine, theirs, inputs = row.make(layers), row.make(real_keras.layers), row.inputs()
    mine(inputs)
    theirs(inputs)
    rng = np.random.default_rng(1)
    values = [np.asarray(variable.value) for variable in theirs.weights]
    values = [np.asarray(value + rng.uniform(0.1, 0.9, value.shape), value.dtype) for value in values]
    mine.set_weights(values)
    for variable, value in zip(theirs.weights, values, strict=True):
        variable.assign(value)
    if hasattr(theirs, "finalize_state"):
        theirs.finalize_state()
    outputs, input_slope, slopes, state = of_keras(theirs, inputs)

    def step(x):
        result = mine(x, training=True)
        loss = lamina.ops.sum(result * ramp(result.shape))
        return [result, *lamina.gradients(loss, [x, *mine.trainable_variables])]

    my_outputs, my_input_slope, *my_slopes = run_traced(step, inputs)
    close = {"rtol": 1e-4, "atol": 1e-5}
    np.testing.assert_allclose(my_outputs, outputs, **close)
    np.testing.assert_allclose(my_input_slope, input_slope, **close)
    for slope, expected in zip(my_slopes, slopes, strict=True):
        np.testing.assert_allclose(slope, expected, **close)
    for variable, expected in zip(mine.non_trainable_variables, state, strict=True):
        np.testing.assert_allclose(variable.numpy(), expected, rtol=1e-5, atol=1e-6, err_msg=variable.path)
