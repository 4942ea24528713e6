"""Every activation of Keras: values, dtypes, options, lookups, configs."""

import json

import numpy as np
import pytest

from lamina import activations
from lamina.core.errors import ArgumentError
from lamina.core.serialization import deserialize_object, register_serializable, serialize_object
from lamina.ir import Tensor, Trace

NAMES = [
    "celu",
    "elu",
    "exponential",
    "gelu",
    "glu",
    "hard_shrink",
    "hard_sigmoid",
    "hard_silu",
    "hard_tanh",
    "leaky_relu",
    "linear",
    "log_sigmoid",
    "log_softmax",
    "mish",
    "relu",
    "relu6",
    "selu",
    "sigmoid",
    "silu",
    "soft_shrink",
    "softmax",
    "softplus",
    "softsign",
    "sparse_plus",
    "sparse_sigmoid",
    "sparsemax",
    "squareplus",
    "tanh",
    "tanh_shrink",
]

OPTIONS = [
    ("celu", {"alpha": 0.5}),
    ("elu", {"alpha": 0.5}),
    ("gelu", {"approximate": True}),
    ("glu", {"axis": 0}),
    ("hard_shrink", {"threshold": 1.5}),
    ("leaky_relu", {"negative_slope": 0.05}),
    ("log_softmax", {"axis": 0}),
    ("relu", {"negative_slope": 0.1}),
    ("relu", {"max_value": 6}),
    ("relu", {"max_value": 1.5}),
    ("relu", {"threshold": 1.0}),
    ("relu", {"negative_slope": 0.2, "max_value": 2.0, "threshold": 0.5}),
    ("relu", {"negative_slope": 0.2, "max_value": 6}),
    ("relu", {"threshold": -1.0}),
    ("soft_shrink", {"threshold": 1.5}),
    ("softmax", {"axis": 0}),
    ("squareplus", {"b": 1}),
    ("threshold", {"threshold": 0.3, "default_value": 20.0}),
]


@pytest.fixture
def samples(rng):
    """Both signs, small and large, the kinks, and what overflows a naive formula."""
    special = np.array(
        [0.0, -0.0, 0.5, -0.5, 1.0, -1.0, 3.0, -3.0, 6.0, -6.0, 88.0, -88.0, 1e-4, -1e-4, 20.0, -20.0]
    )
    return np.concatenate([special, rng.normal(0, 3, 16)]).reshape(4, 8).astype(np.float32)


@pytest.mark.parametrize(
    ("name", "options"),
    [(name, {}) for name in NAMES if name != "sparsemax"] + OPTIONS,
    ids=lambda value: value if isinstance(value, str) else str(value),
)
def test_values_are_those_of_keras(name, options, samples, real_keras):
    ours = getattr(activations, name)(samples, **options)
    theirs = np.asarray(getattr(real_keras.activations, name)(samples, **options))
    assert ours.shape == theirs.shape
    assert ours.dtype == theirs.dtype
    np.testing.assert_allclose(ours, theirs, rtol=2e-6, atol=2e-7)


@pytest.mark.parametrize("axis", [0, 1])
def test_sparsemax_is_the_nearest_distribution(axis, samples):
    """Keras' own sums the wrong terms when more than one class is left, so the definition is the judge."""
    x = samples.astype(np.float64)
    projected = np.moveaxis(np.asarray(activations.sparsemax(x, axis=axis)), axis, -1)
    for row, drawn in zip(projected, np.moveaxis(x, axis, -1)):
        assert row.sum() == pytest.approx(1)
        assert row.min() >= 0
        shift = (drawn - row)[row > 0]
        np.testing.assert_allclose(shift, shift[0])
        assert (drawn[row == 0] <= shift[0] + 1e-12).all()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_stays(name, dtype, samples):
    from lamina.core.dtypes import to_numpy

    x = np.clip(samples, -5, 5).astype(to_numpy(dtype))
    result = getattr(activations, name)(x)
    assert result.dtype == to_numpy(dtype)
    wanted = getattr(activations, name)(x.astype(np.float32))
    eps = {"float16": 2**-10, "bfloat16": 2**-7}[dtype]
    np.testing.assert_allclose(result.astype(np.float32), wanted, rtol=2 * eps, atol=2 * eps)


@pytest.mark.parametrize("name", NAMES)
def test_traced_is_eager(name, samples, run_traced):
    function = getattr(activations, name)
    with Trace() as trace:
        result = function(trace.input("x", samples.shape, "float32"))
    assert isinstance(result, Tensor)
    np.testing.assert_array_equal(run_traced(function, samples), np.asarray(function(samples)))


@pytest.mark.parametrize("name", [*NAMES, "threshold"])
def test_lookup_and_config(name, real_keras):
    function = activations.get(name)
    assert function is getattr(activations, name)
    assert (
        activations.serialize(function)
        == real_keras.activations.serialize(getattr(real_keras.activations, name))
        == name
    )
    assert activations.deserialize(name) is function
    assert activations.get(function) is function
    theirs = real_keras.saving.serialize_keras_object(getattr(real_keras.activations, name))
    assert activations.get(json.loads(json.dumps(theirs))) is function
    assert deserialize_object(json.loads(json.dumps(serialize_object(function)))) is function


def test_none_aliases_and_callables():
    assert activations.get(None) is activations.linear
    assert activations.get("swish") is activations.swish is activations.silu
    assert activations.get("hard_swish") is activations.hard_swish is activations.hard_silu

    def custom(x):
        return x

    assert activations.get(custom) is custom
    register_serializable("tests")(custom)
    assert activations.deserialize(activations.serialize(custom)) is custom
    assert activations.get("tests>custom") is custom


def test_unknown_names_and_wrong_options():
    with pytest.raises(ArgumentError, match=r"Unknown activation 'rely'[\s\S]*did you mean 'relu'"):
        activations.get("rely")
    with pytest.raises(ArgumentError, match="Cannot make"):
        activations.get(3)
    with pytest.raises(ArgumentError, match="negative_slope of relu cannot be -1"):
        activations.relu(np.zeros(2), negative_slope=-1)
    with pytest.raises(ArgumentError, match="max_value of relu cannot be -2"):
        activations.relu(np.zeros(2), max_value=-2)


def test_every_name_of_keras_is_here(real_keras):
    public = {name for name in vars(real_keras.activations) if not name.startswith("_")}
    assert public - set(vars(activations)) == set()


@pytest.mark.parametrize("name", NAMES)
def test_layer_graphs_take_every_activation(name):
    import lamina

    result = getattr(activations, name)(lamina.Input((4,)))
    assert tuple(result.shape) == (None, 2 if name == "glu" else 4)
