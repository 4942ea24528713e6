"""Whole trainings against real Keras, from the same weights and in the same order."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pytest

import lamina

X = np.random.default_rng(1).normal(size=(48, 4)).astype("float32")
CLASS = np.digitize(X[:, 0] + X[:, 1], [-0.5, 0.5]).astype("int32")
ONE_HOT = np.eye(3, dtype="float32")[CLASS]
BINARY = (X[:, :1] > 0).astype("float32")
REAL = (X @ np.array([[1.0], [-2.0], [0.5], [0.0]]) + 0.3).astype("float32")
WEIGHT = np.linspace(0.1, 2.0, 48).astype("float32")


def stack(k, units, activation):
    return k.Sequential(
        [k.layers.Input((4,)), k.layers.Dense(6, activation="tanh"), k.layers.Dense(units, activation)]
    )


def regressor(k):
    return stack(k, 1, None)


def binary(k):
    return stack(k, 1, "sigmoid")


def classifier(k):
    return stack(k, 3, "softmax")


def two_outputs(k):
    inputs = k.layers.Input((4,))
    hidden = k.layers.Dense(6, activation="tanh", name="hidden")(inputs)
    kind = k.layers.Dense(3, activation="softmax", name="kind")(hidden)
    size = k.layers.Dense(1, name="size")(hidden)
    return k.Model(inputs, [kind, size])


def dict_outputs(k):
    inputs = k.layers.Input((4,))
    hidden = k.layers.Dense(6, activation="tanh")(inputs)
    kind = k.layers.Dense(3, activation="softmax", name="kind_layer")(hidden)
    size = k.layers.Dense(1, name="size_layer")(hidden)
    return k.Model(inputs, {"size": size, "kind": kind})


def two_inputs(k):
    left, right = k.layers.Input((4,), name="left"), k.layers.Input((2,), name="right")
    joined = k.layers.Concatenate()([k.layers.Dense(3, activation="relu")(left), right])
    return k.Model([left, right], k.layers.Dense(1)(joined))


def regularized(k):
    layers = k.layers
    return k.Sequential(
        [
            layers.Input((4,)),
            layers.Dense(5, kernel_regularizer="l2", activity_regularizer="l1", activation="elu"),
            # Not zeros: the slope of |x| at 0 is 1 to Keras on JAX, and 0 to it on other backends, and here.
            layers.Dense(1, bias_regularizer="l1", bias_initializer="ones"),
        ]
    )


def constrained(k):
    return k.Sequential([k.layers.Input((4,)), k.layers.Dense(1, kernel_constraint="non_neg")])


def with_added_loss(k):
    class Penalised(k.layers.Layer):
        def call(self, inputs):
            self.add_loss(0.1 * k.ops.mean(k.ops.square(inputs)))
            return inputs

    return k.Sequential([k.layers.Input((4,)), k.layers.Dense(3), Penalised(), k.layers.Dense(1)])


@dataclass
class Case:
    """What is trained: a model, the arguments of compile (functions of the library, or values) and of fit."""

    make: Callable
    compile: dict
    x: object
    y: object
    fit: dict = field(default_factory=dict)


@dataclass
class Trained:
    """What came out."""

    initial: list
    history: dict
    weights: list
    evaluation: object
    predictions: dict


def weights_of(model):
    return [np.array(getattr(variable, "array", variable.value)) for variable in model.weights]


def train(keras, case, initial=None):
    model = case.make(keras)
    if initial is not None:
        model.set_weights(initial)
    initial = weights_of(model)
    arguments = {name: value(keras) if callable(value) else value for name, value in case.compile.items()}
    weight = {name: case.fit[name] for name in ("sample_weight",) if name in case.fit}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.compile(**{"optimizer": "sgd", **arguments}, jit_compile=False)
        model.fit(
            case.x, case.y, **{"verbose": 0, "shuffle": False, "batch_size": 16, "epochs": 2, **case.fit}
        )
        evaluation = model.evaluate(case.x, case.y, batch_size=16, verbose=0, **weight)
        predictions = model(case.x) if keras is not lamina else model.predict(case.x, verbose=0)
    if not isinstance(predictions, dict):
        predictions = dict(enumerate(predictions if isinstance(predictions, list) else [predictions]))
    return Trained(initial, model.history.history, weights_of(model), evaluation, predictions)


_by_keras = {}


def assert_trains_alike(name, case, real_keras):
    """Train Keras' model once and ours on this backend, from the same weights, and compare everything."""
    if name not in _by_keras:
        _by_keras[name] = train(real_keras, case)
    theirs = _by_keras[name]
    ours = train(lamina, case, theirs.initial)
    assert set(ours.history) == set(theirs.history)
    for key in theirs.history:
        np.testing.assert_allclose(ours.history[key], theirs.history[key], rtol=2e-4, atol=1e-5, err_msg=key)
    for their_weights, our_weights in zip(theirs.weights, ours.weights):
        np.testing.assert_allclose(our_weights, their_weights, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(ours.evaluation, theirs.evaluation, rtol=2e-4, atol=1e-5)
    for key in theirs.predictions:
        np.testing.assert_allclose(ours.predictions[key], theirs.predictions[key], rtol=1e-4, atol=1e-5)


OPTIMIZERS = {
    "sgd": "sgd",
    "momentum": lambda k: k.optimizers.SGD(0.05, momentum=0.9),
    "nesterov": lambda k: k.optimizers.SGD(0.05, momentum=0.9, nesterov=True),
    "rmsprop": "rmsprop",
    "adam": lambda k: k.optimizers.Adam(0.01),
    "adamw": lambda k: k.optimizers.AdamW(0.01, weight_decay=0.1),
    "schedule": lambda k: k.optimizers.SGD(k.optimizers.schedules.ExponentialDecay(0.1, 3, 0.5)),
    "clipped": lambda k: k.optimizers.SGD(0.1, clipnorm=0.1),
    "globally_clipped": lambda k: k.optimizers.Adam(0.01, global_clipnorm=0.1),
    "averaged": lambda k: k.optimizers.SGD(0.1, use_ema=True, ema_momentum=0.8),
    "accumulating": lambda k: k.optimizers.SGD(0.1, gradient_accumulation_steps=2),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizers_train_as_keras_does(name, real_keras):
    case = Case(regressor, {"optimizer": OPTIMIZERS[name], "loss": "mse", "metrics": ["mae"]}, X, REAL)
    assert_trains_alike(name, case, real_keras)


LOSSES = {
    "mse": (regressor, REAL),
    "mae": (regressor, REAL),
    "huber": (regressor, REAL),
    "log_cosh": (regressor, REAL),
    "binary_crossentropy": (binary, BINARY),
    "hinge": (binary, BINARY),
    "sparse_categorical_crossentropy": (classifier, CLASS),
    "categorical_crossentropy": (classifier, ONE_HOT),
    "kl_divergence": (classifier, ONE_HOT),
    "crossentropy": (classifier, CLASS),
}


@pytest.mark.parametrize("loss", LOSSES)
def test_losses_train_as_in_keras(loss, real_keras):
    make, y = LOSSES[loss]
    metrics = ["accuracy"] if make is not regressor else ["mse"]
    assert_trains_alike(loss, Case(make, {"loss": loss, "metrics": metrics}, X, y), real_keras)


MANY = {
    "losses in a list": (
        two_outputs,
        {"loss": ["sparse_categorical_crossentropy", "mse"], "metrics": [["accuracy"], ["mae", "mse"]]},
        [CLASS, REAL],
        {},
    ),
    "dicts by name": (
        two_outputs,
        {
            "loss": {"kind": "sparse_categorical_crossentropy", "size": "mae"},
            "loss_weights": {"kind": 0.5, "size": 2.0},
            "metrics": {"kind": "accuracy"},
            "weighted_metrics": {"size": ["mse"]},
        },
        {"kind": CLASS, "size": REAL},
        {},
    ),
    "one loss for all, weights in a list": (
        two_outputs,
        {"loss": "mse", "metrics": None},
        [ONE_HOT, REAL],
        {"sample_weight": WEIGHT},
    ),
    "a sample weight per output": (
        two_outputs,
        {"loss": ["sparse_categorical_crossentropy", "mae"], "weighted_metrics": [None, ["mse"]]},
        [CLASS, REAL],
        {"sample_weight": [WEIGHT, WEIGHT[::-1].copy()]},
    ),
    "an output without a loss": (
        two_outputs,
        {"loss": [None, "mse"], "metrics": [None, "mae"]},
        [CLASS, REAL],
        {},
    ),
    "outputs in a dict": (
        dict_outputs,
        {
            "loss": {"kind": "sparse_categorical_crossentropy", "size": "mse"},
            "metrics": {"kind": ["accuracy"]},
        },
        {"kind": CLASS, "size": REAL},
        {},
    ),
    "inputs in a dict": (
        two_inputs,
        {"loss": "mse", "metrics": ["mae"]},
        REAL,
        {"x": {"left": X, "right": X[:, :2]}},
    ),
    "inputs in a list": (two_inputs, {"loss": "mse"}, REAL, {"x": [X, X[:, :2]]}),
    "regularisation": (regularized, {"loss": "mse"}, REAL, {}),
    "a constraint": (constrained, {"loss": "mse"}, REAL, {}),
    "an added loss": (with_added_loss, {"loss": "mse"}, REAL, {}),
    "class weights": (
        classifier,
        {"loss": "sparse_categorical_crossentropy"},
        CLASS,
        {"class_weight": {0: 3.0, 2: 0.5}},
    ),
    "one-hot class weights": (
        classifier,
        {"loss": "categorical_crossentropy"},
        ONE_HOT,
        {"class_weight": {1: 4.0}},
    ),
    "sample weights and weighted metrics": (
        regressor,
        {"loss": "mse", "metrics": ["mae"], "weighted_metrics": ["mse"]},
        REAL,
        {"sample_weight": WEIGHT},
    ),
    "validation split": (regressor, {"loss": "mse", "metrics": ["mae"]}, REAL, {"validation_split": 0.3}),
    "validation data with weights": (
        regressor,
        {"loss": "mse", "weighted_metrics": ["mae"]},
        REAL,
        {"validation_data": (X[:20], REAL[:20], WEIGHT[:20]), "validation_batch_size": 7},
    ),
    "validation now and then": (
        regressor,
        {"loss": "mse"},
        REAL,
        {"validation_split": 0.2, "validation_freq": 2, "epochs": 4},
    ),
    "from a later epoch": (regressor, {"loss": "mse"}, REAL, {"initial_epoch": 1, "epochs": 3}),
    "targets without the last axis": (
        binary,
        {"loss": "binary_crossentropy", "metrics": ["accuracy"]},
        BINARY[:, 0],
        {},
    ),
    "a smaller last batch": (regressor, {"loss": "mse", "metrics": ["mae"]}, REAL[:40], {"x": X[:40]}),
    "batches of several executions": (regressor, {"loss": "mse", "steps_per_execution": 2}, REAL, {}),
}


@pytest.mark.parametrize("name", MANY)
def test_forms_of_arguments_mean_what_they_mean_in_keras(name, real_keras):
    make, compiled, y, fit = MANY[name]
    case = Case(make, compiled, fit.get("x", X), y, {key: value for key, value in fit.items() if key != "x"})
    assert_trains_alike(name, case, real_keras)


def test_metrics_of_one_name_are_told_apart_as_in_keras(real_keras):
    # Keras' evaluate() returns numbers of such names twice, so only the history is compared.
    compiled = {"loss": "mse", "metrics": ["mae", "mae"], "weighted_metrics": ["mae", "mae"]}
    case = Case(regressor, compiled, X, REAL, {"sample_weight": WEIGHT})
    assert set(train(lamina, case).history) == set(train(real_keras, case).history)


def test_on_batch_methods_return_what_keras_returns(real_keras):
    theirs, ours = classifier(real_keras), classifier(lamina)
    ours.set_weights(weights_of(theirs))
    for model in (theirs, ours):
        model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
    for _ in range(3):
        expected = theirs.train_on_batch(X[:10], CLASS[:10])
        np.testing.assert_allclose(ours.train_on_batch(X[:10], CLASS[:10]), expected, rtol=1e-4)
    expected = theirs.test_on_batch(X[10:30], CLASS[10:30], return_dict=True)
    found = ours.test_on_batch(X[10:30], CLASS[10:30], return_dict=True)
    assert set(found) == set(expected)
    for name in expected:
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-4)
    np.testing.assert_allclose(ours.predict_on_batch(X), theirs.predict_on_batch(X), rtol=1e-4, atol=1e-6)


def test_batches_from_a_generator_train_as_in_keras(real_keras):
    def batches():
        while True:
            for start in range(0, 48, 16):
                yield X[start : start + 16], REAL[start : start + 16], WEIGHT[start : start + 16]

    theirs, ours = regressor(real_keras), regressor(lamina)
    ours.set_weights(weights_of(theirs))
    for model in (theirs, ours):
        model.compile("sgd", "mse", weighted_metrics=["mae"])
        model.fit(batches(), steps_per_epoch=3, epochs=2, shuffle=False, verbose=0)
    for name, values in theirs.history.history.items():
        np.testing.assert_allclose(ours.history.history[name], values, rtol=2e-4)
