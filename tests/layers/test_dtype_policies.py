"""Dtype policies: what weights are, what is computed with, and that training with less is still training."""

import numpy as np
import pytest

import lamina
from lamina import layers, ops
from lamina.core.errors import ArgumentError, DTypeError
from lamina.dtype_policies import DTypePolicy, DTypePolicyMap
from lamina.optimizers import LossScaleOptimizer

rng = np.random.default_rng(11)
X = rng.normal(size=(64, 6)).astype("float32")
Y = (X[:, 0] > 0).astype("int32")

POLICIES = {  # name: (dtype of weights, dtype of computation)
    "float32": ("float32", "float32"),
    "float64": ("float64", "float64"),
    "bfloat16": ("bfloat16", "bfloat16"),
    "float16": ("float16", "float16"),
    "mixed_bfloat16": ("float32", "bfloat16"),
    "mixed_float16": ("float32", "float16"),
}


@pytest.fixture(autouse=True)
def global_policy_afterwards():
    yield
    lamina.config.set_dtype_policy(None)


def classifier(keras=lamina):
    last = "float32"
    model = keras.Sequential(
        [
            keras.Input((6,)),
            keras.layers.Dense(16, activation="tanh"),
            keras.layers.BatchNormalization(),
            keras.layers.Dense(2, activation="softmax", dtype=last),
        ]
    )
    model.compile(
        keras.optimizers.SGD(0.1, momentum=0.9), "sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    return model


@pytest.mark.parametrize("name", POLICIES)
def test_weights_and_results_have_these_dtypes(name):
    weights, computed = POLICIES[name]
    layer = layers.Dense(3, dtype=name)
    assert str(layer(layers.Input((6,))).dtype) == computed
    assert layer(X).dtype == computed
    assert (layer.kernel.dtype, layer.dtype, layer.variable_dtype) == (weights, weights, weights)
    assert layer.compute_dtype == computed
    again = layers.Dense.from_config(layer.get_config())
    assert again.dtype_policy == DTypePolicy(name)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras' own
@pytest.mark.parametrize("name", ["mixed_bfloat16", "mixed_float16"])
def test_trains_as_in_keras(name, real_keras):
    before = real_keras.config.dtype_policy()
    real_keras.config.set_dtype_policy(name)
    lamina.config.set_dtype_policy(name)
    try:
        theirs, ours = classifier(real_keras), classifier()
        ours.set_weights(theirs.get_weights())
        arguments = {"batch_size": 16, "epochs": 4, "shuffle": False, "verbose": 0}
        expected = theirs.fit(X, Y, **arguments).history
        found = ours.fit(X, Y, **arguments).history
    finally:
        real_keras.config.set_dtype_policy(before)
    assert isinstance(ours.optimizer, LossScaleOptimizer) == (name == "mixed_float16")
    assert type(ours.optimizer).__name__ == type(theirs.optimizer).__name__
    digits = 8 if name == "mixed_bfloat16" else 11
    np.testing.assert_allclose(found["loss"], expected["loss"], rtol=4 * 2.0**-digits)
    assert found["loss"][-1] < 0.7 * found["loss"][0]


def test_bfloat16_halves_the_state():
    def state_bytes(policy):
        lamina.config.set_dtype_policy(policy)
        model = lamina.Sequential([lamina.Input((100,)), layers.Dense(100), layers.Dense(100)])
        model.compile("adam", "mse")
        model.fit(np.ones((4, 100)), np.zeros((4, 100)), verbose=0)
        states = [*model.variables, *model.optimizer.variables]
        return sum(variable.array.nbytes for variable in states)

    whole, half = state_bytes("float32"), state_bytes("bfloat16")
    assert whole > 3 * 4 * 20_000
    assert abs(half / whole - 0.5) < 1e-3


def test_a_saved_model_keeps_its_policies(tmp_path):
    lamina.config.set_dtype_policy("mixed_float16")
    model = classifier()
    model.fit(X, Y, verbose=0)
    lamina.config.set_dtype_policy(None)
    model.save(tmp_path / "model.keras")
    loaded = lamina.models.load_model(tmp_path / "model.keras")
    assert [layer.dtype_policy.name for layer in loaded.layers] == [
        "mixed_float16",
        "mixed_float16",
        "float32",
    ]
    assert isinstance(loaded.optimizer, LossScaleOptimizer)
    assert isinstance(loaded.optimizer.inner_optimizer, lamina.optimizers.SGD)
    arguments = {"epochs": 2, "shuffle": False, "verbose": 0}
    assert loaded.fit(X, Y, **arguments).history == model.fit(X, Y, **arguments).history


def test_loss_scaling_can_be_left_out():
    lamina.config.set_dtype_policy("mixed_float16")
    model = classifier()
    model.compile("sgd", "mse", auto_scale_loss=False)
    assert not isinstance(model.optimizer, LossScaleOptimizer)
    assert model.get_compile_config()["auto_scale_loss"] is False
    model.compile(LossScaleOptimizer("sgd", initial_scale=4.0), "mse")
    assert model.optimizer.initial_scale == 4.0


def test_which_variables_are_cast():
    class Mixture(layers.Layer):
        def build(self, input_shape):
            self.plain = self.add_weight(shape=(), initializer="ones", name="plain")
            self.exact = self.add_weight(shape=(), initializer="ones", autocast=False, name="exact")
            self.count = self.add_weight(shape=(), initializer="zeros", dtype="int32", name="count")

        def call(self, inputs):
            seen.update(
                plain=self.plain.value.dtype, exact=self.exact.value.dtype, count=self.count.value.dtype
            )
            self.plain.assign_add(ops.cast(0.5, "float32"))
            return inputs * self.plain

    seen = {}
    layer = Mixture(dtype="mixed_float16")
    assert layer(X).dtype == "float16"
    assert {name: str(dtype) for name, dtype in seen.items()} == {
        "plain": "float16",
        "exact": "float32",
        "count": "int32",
    }
    assert layer.plain.value.dtype == "float32"
    assert float(layer.plain) == 1.5


def test_layers_inside_layers_have_their_own():
    class Block(layers.Layer):
        def __init__(self, **options):
            super().__init__(**options)
            self.first = layers.Dense(4, dtype=self.dtype_policy, name="first")
            self.second = layers.Dense(4, dtype=self.dtype_policy, name="second")

        def call(self, inputs):
            return self.second(self.first(inputs))

    policies = DTypePolicyMap("float32", {"block/first": "bfloat16", ".*second": "mixed_float16"})
    block = Block(dtype=policies, name="block")
    assert block(X).dtype == "float16"
    assert (block.first.kernel.dtype, block.second.kernel.dtype) == ("bfloat16", "float32")
    assert block.compute_dtype == "float32"
    again = lamina.dtype_policies.deserialize(lamina.dtype_policies.serialize(policies))
    assert again == policies
    assert dict(again) == dict(policies)


def test_maps_choose_one_policy(real_keras):
    entries = {"a/b": "bfloat16", "a/.*": "float16"}
    ours = DTypePolicyMap("float64", entries)
    theirs = real_keras.dtype_policies.DTypePolicyMap(
        "float64", {path: real_keras.DTypePolicy(name) for path, name in entries.items()}
    )
    for path in ("a/b", "a/c", "c"):
        assert ours[path].name == theirs[path].name
    ours["a/[cd]"] = "float32"
    with pytest.raises(ArgumentError, match=r"a/\.\*.*a/\[cd\]"):
        ours["a/d"]
    with pytest.raises(ArgumentError, match="already"):
        ours["a/b"] = "float32"
    del ours["a/b"]
    assert len(ours) == 2


def test_names_and_configs_of_keras(real_keras):
    config = real_keras.dtype_policies.serialize(real_keras.DTypePolicy("mixed_bfloat16"))
    assert lamina.dtype_policies.get(config) == DTypePolicy("mixed_bfloat16")
    assert lamina.mixed_precision.global_policy().name == "float32"
    lamina.mixed_precision.set_global_policy("bfloat16")
    assert DTypePolicy().name == layers.Dense(2).dtype == "bfloat16"
    with pytest.raises(DTypeError, match="mixed_float32"):
        DTypePolicy("mixed_float32")
