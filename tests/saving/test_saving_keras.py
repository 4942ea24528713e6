"""Files of real Keras: its models and weights are read, and it reads our weights."""

import warnings

import numpy as np
import pytest
from saved_models import X, Y

import lamina


def build(keras):
    layers = keras.layers
    inputs = keras.Input((3,), name="features")
    inner = keras.Sequential(
        [layers.Dense(4, activation="tanh"), layers.Dropout(0.0), layers.Dense(3)], name="inner"
    )
    x = inner(layers.Dense(4, name="first")(inputs))
    one = layers.Dense(1, kernel_regularizer="l2")(x)
    other = layers.Dense(1)(layers.Rescaling(0.5)(x))
    model = keras.Model(inputs, layers.Add()([one, other]))
    rate = keras.optimizers.schedules.ExponentialDecay(0.01, 3, 0.9)
    model.compile(
        keras.optimizers.AdamW(rate, clipnorm=1.0),
        keras.losses.LogCosh(),
        metrics=["mae", keras.metrics.RootMeanSquaredError()],
    )
    return model


@pytest.fixture(scope="module")
def trained(real_keras, tmp_path_factory):
    """A folder with files of Keras, how training went on, and the model that it went on with."""
    folder = tmp_path_factory.mktemp("keras")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of NumPy, about Keras' own code
        model = build(real_keras)
        model.fit(X, Y, batch_size=20, shuffle=False, verbose=0)
        model.save(folder / "model.keras")
        model.save_weights(folder / "model.weights.h5")
        history = model.fit(X, Y, batch_size=20, epochs=2, shuffle=False, verbose=0).history
    return folder, history, model


def test_a_model_of_keras_trains_on(trained):
    folder, expected, _ = trained
    model = lamina.saving.load_model(folder / "model.keras")
    history = model.fit(X, Y, batch_size=20, epochs=2, shuffle=False, verbose=0).history
    assert list(history) == list(expected)
    for name, values in expected.items():
        np.testing.assert_allclose(history[name], values, rtol=2e-5)


def test_weights_go_both_ways(trained, tmp_path):
    folder, _, other = trained
    model = build(lamina)
    model.load_weights(folder / "model.weights.h5")
    assert int(model.optimizer.iterations) == 3
    model.fit(X, Y, batch_size=20, shuffle=False, verbose=0)
    model.save_weights(tmp_path / "ours.weights.h5")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        other.load_weights(tmp_path / "ours.weights.h5")
        prediction, iterations = other.predict(X, verbose=0), int(other.optimizer.iterations.numpy())
    np.testing.assert_allclose(prediction, model.predict(X, verbose=0), rtol=1e-4, atol=1e-6)
    assert iterations == 6
