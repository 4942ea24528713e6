"""A layer of Lamina beside the same layer of Keras: outputs and gradients with copied weights."""

from __future__ import annotations

import re

import numpy as np

import lamina
from lamina import ops
from lamina.core import tree


def weighed(module_ops, outputs):
    """A scalar in which every element of the outputs counts differently."""
    total = 0.0
    for number, output in enumerate(tree.flatten(outputs)):
        size = int(np.prod(output.shape))
        weights = np.cos(np.arange(size, dtype="float32") + number).reshape(output.shape)
        total = total + module_ops.sum(output * weights)
    return total


def keras_values(layer, inputs, keywords):
    """(outputs, gradients of trainable weights, gradients of the float inputs) of a built Keras layer."""
    import jax
    import keras

    trainable = [variable.value for variable in layer.trainable_variables]
    others = [variable.value for variable in layer.non_trainable_variables]

    def loss(weights, tensors):
        outputs, _ = layer.stateless_call(weights, others, *tensors, **keywords)
        flat = jax.tree_util.tree_leaves(outputs)
        return weighed(keras.ops, flat), flat

    (_, outputs), slopes = jax.value_and_grad(loss, (0, 1), has_aux=True, allow_int=True)(
        trainable, tuple(inputs)
    )
    arrays = [np.asarray(output) for output in outputs]
    given = jax.tree_util.tree_leaves(inputs)
    return (
        arrays,
        slopes[0],
        [s for s, x in zip(jax.tree_util.tree_leaves(slopes[1]), given) if x.dtype.kind == "f"],
    )


def lamina_values(layer, inputs, keywords, backend=None):
    """The same of a layer of Lamina, compiled."""

    @lamina.function(backend=backend)
    def values(*tensors):
        outputs = layer(*tensors, **keywords)
        floats = [x for x in tree.flatten(tensors) if str(x.dtype).startswith("float")]
        slopes = lamina.gradients(weighed(ops, outputs), [*layer.trainable_variables, *floats])
        return tree.flatten(outputs), slopes

    outputs, slopes = values(*inputs)
    count = len(layer.trainable_variables)
    return outputs, slopes[:count], slopes[count:]


def without_numbers(path):
    """A weight's path inside its layer; the numbers in automatic names count what was made before."""
    return re.sub(r"_\d+(?=/|$)", "", path.split("/", 1)[1])


def copy_weights(mine, theirs):
    assert [(without_numbers(w.path), tuple(w.shape)) for w in mine.weights] == [
        (without_numbers(w.path), tuple(w.shape)) for w in theirs.weights
    ]
    mine.set_weights([np.asarray(weight.value) for weight in theirs.weights])


def assert_same(mine, theirs, inputs, keywords=None, rtol=2e-4, backend=None):
    """Outputs, weight gradients and input gradients agree; the layers are built on the way."""
    keywords = keywords or {}
    theirs(*inputs, **keywords)
    mine(*inputs, **keywords)
    copy_weights(mine, theirs)
    expected = keras_values(theirs, inputs, keywords)
    found = lamina_values(mine, inputs, keywords, backend)
    for what, ours, judges in zip(("output", "weight gradient", "input gradient"), found, expected):
        assert len(ours) == len(judges), what
        for number, (one, other) in enumerate(zip(ours, judges)):
            np.testing.assert_allclose(
                np.asarray(one), np.asarray(other), rtol=rtol, atol=1e-5, err_msg=f"{what} {number}"
            )
