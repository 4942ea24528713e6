"""What Keras wrote as JSON, Lamina reads: layers, losses, metrics, optimizers, whole models; and back."""

import json
import warnings

import numpy as np
import pytest
from public_names import COVERED

import lamina
from lamina.core import tree

LAYERS = [
    lambda layers: layers.Dense(
        3,
        activation="relu",
        kernel_regularizer="l2",
        kernel_constraint="max_norm",
        activity_regularizer="l1",
        bias_initializer="ones",
    ),
    lambda layers: layers.EinsumDense("ab,bc->ac", 3, bias_axes="c"),
    lambda layers: layers.Activation("tanh"),
    lambda layers: layers.ActivityRegularization(0.1, 0.2),
    lambda layers: layers.Concatenate(axis=1),
    lambda layers: layers.Dot(axes=1, normalize=True),
    lambda layers: layers.Dropout(0.2, noise_shape=(None, 1), seed=3),
    lambda layers: layers.GaussianNoise(0.1, seed=4),
    lambda layers: layers.InputLayer(shape=(3,), name="pixels"),
    lambda layers: layers.LeakyReLU(0.1),
    lambda layers: layers.PReLU(alpha_initializer="ones", shared_axes=[1]),
    lambda layers: layers.ReLU(6.0, 0.1, 0.2),
    lambda layers: layers.Rescaling(0.5, 1.0),
    lambda layers: layers.Reshape((2, 3)),
    lambda layers: layers.Permute((2, 1)),
    lambda layers: layers.RepeatVector(2),
    lambda layers: layers.Softmax(axis=1),
    lambda layers: layers.ELU(0.5),
    lambda layers: layers.Masking(0.5),
    lambda layers: layers.AlphaDropout(0.1),
]

ARGUMENTS = {
    "CosineDecay": (0.1, 5),
    "CosineDecayRestarts": (0.1, 5),
    "ExponentialDecay": (0.1, 2, 0.9),
    "InverseTimeDecay": (0.1, 2, 0.5),
    "IoU": (2, [0]),
    "MeanIoU": (2,),
    "OneHotIoU": (2, [0]),
    "OneHotMeanIoU": (2,),
    "PiecewiseConstantDecay": ([1, 2], [0.1, 0.2, 0.3]),
    "PolynomialDecay": (0.1, 5),
    "PrecisionAtRecall": (0.5,),
    "RecallAtPrecision": (0.5,),
    "SensitivityAtSpecificity": (0.5,),
    "SpecificityAtSensitivity": (0.5,),
}
ABSTRACT = {
    "Constraint",
    "Initializer",
    "LearningRateSchedule",
    "Loss",
    "LossScaleOptimizer",  # has a test of its own
    "MeanMetricWrapper",
    "Metric",
    "MultiOptimizer",  # is not made from names
    "Optimizer",
    "OptimizerMap",  # nor is this
    "Regularizer",
}


def as_json(config):
    return json.loads(json.dumps(config))


def essence(config):
    """A config without what differs in spelling only: modules, policies for dtypes, what is None."""
    if isinstance(config, dict):
        if config.get("class_name") == "DTypePolicy":
            return config["config"]["name"]
        given = {key: value for key, value in config.items() if value is not None}
        return {key: essence(value) for key, value in given.items() if key not in ("module", "build_config")}
    return [essence(entry) for entry in config] if isinstance(config, (list, tuple)) else config


@pytest.mark.parametrize("make", LAYERS, ids=lambda make: type(make(lamina.layers)).__name__)
def test_layers(make, real_keras):
    written = as_json(real_keras.layers.serialize(make(real_keras.layers)))
    layer = lamina.layers.deserialize(written)
    assert type(layer) is type(make(lamina.layers))
    assert essence(as_json(lamina.layers.serialize(layer))) == essence(written)
    back = json.dumps(lamina.layers.serialize(layer)).replace('"lamina.', '"keras.')
    assert real_keras.layers.deserialize(json.loads(back)).name == layer.name


ROOMS = ("losses", "metrics", "optimizers", "optimizers.schedules")
ROOMS += ("initializers", "regularizers", "constraints")


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # of Keras
@pytest.mark.parametrize("room", ROOMS)
def test_objects(room, real_keras):
    ours, theirs = lamina, real_keras
    for part in room.split("."):
        ours, theirs = getattr(ours, part), getattr(theirs, part)
    for name in COVERED[room].split():
        cls = getattr(theirs, name)
        if not isinstance(cls, type) or name in ABSTRACT:
            continue
        written = as_json(theirs.serialize(cls(*ARGUMENTS.get(name, ()))))
        read = ours.deserialize(written).get_config()
        for key, value in written["config"].items():
            one, other = tree.flatten(read[key]), tree.flatten(value)
            assert one == pytest.approx(other) if _are_numbers(one) else one == other, (name, key)


def test_an_optimizer_inside_another(real_keras):
    theirs = real_keras.optimizers.LossScaleOptimizer(real_keras.optimizers.SGD(0.125), initial_scale=8.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of Keras, about itself
        written = as_json(real_keras.optimizers.serialize(theirs))
    ours = lamina.optimizers.deserialize(written)
    assert type(ours) is lamina.optimizers.LossScaleOptimizer
    assert type(ours.inner_optimizer) is lamina.optimizers.SGD
    assert ours.get_config()["initial_scale"] == 8.0
    assert float(ours.inner_optimizer.learning_rate) == 0.125


def _are_numbers(values):
    return all(isinstance(value, (int, float)) for value in values)


def test_models_with_ops_and_several_outputs(real_keras):
    keras = real_keras
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        first, second = keras.Input((4,), name="first"), keras.Input((2,))
        hidden = keras.layers.Dense(3, name="hidden", activation="gelu")(first)
        joined = keras.layers.concatenate([hidden, second])
        wave = keras.ops.sin(joined)[:, :2] * 2 + 1
        model = keras.Model([first, second], {"wave": wave, "plain": keras.layers.Dense(2)(hidden)})
        model.compile("adam", {"wave": "mse", "plain": keras.losses.Huber(0.5)}, metrics={"wave": ["mae"]})
        text, weights = model.to_json(), model.get_weights()
        x = [np.linspace(-1, 1, 12).reshape(3, 4), np.ones((3, 2))]
        expected = {name: np.asarray(value) for name, value in model(x).items()}
    copy = lamina.models.model_from_json(text)
    copy.set_weights(weights)
    found = copy(x)
    assert sorted(found) == ["plain", "wave"]
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-5, atol=1e-6)
    assert copy.compiled
    logs = copy.train_on_batch(x, {"wave": np.ones((3, 2)), "plain": np.ones((3, 2))}, return_dict=True)
    assert sorted(logs) == ["loss", "plain_loss", "wave_loss", "wave_mae"]
