"""Recurrent layers beyond their formula: dropout, state between batches, loops in training, wrong uses."""

from __future__ import annotations

import copy

import numpy as np
import pytest

import lamina
from lamina import layers, ops
from lamina.core.errors import ArgumentError, ShapeError, StateError

RNG = np.random.default_rng(5)
X = RNG.normal(size=(4, 6, 3)).astype("float32")


def network(layer, features=3, length=6):
    lamina.utils.set_random_seed(2)
    model = lamina.Sequential([lamina.Input((length, features)), layer, layers.Dense(1)])
    model.compile(lamina.optimizers.Adam(0.02), "mse")
    return model


@pytest.mark.parametrize("kind", ["SimpleRNN", "LSTM", "GRU"])
def test_backends_agree_on_a_training(kind):
    x = RNG.normal(size=(40, 6, 3)).astype("float32")
    y = x.sum(axis=(1, 2))
    losses = []
    for backend in ("reference", "cpu"):
        lamina.utils.set_random_seed(4)
        model = network(getattr(layers, kind)(4, dropout=0.2, recurrent_dropout=0.1))
        model.compile("sgd", "mse", backend=backend)
        losses.append(model.fit(x, y, epochs=2, verbose=0).history["loss"])
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-4)


def test_an_lstm_learns_to_remember():
    x = (RNG.random((400, 12, 1)) > 0.5).astype("float32")
    y = x[:, 0, 0]  # the first of twelve
    lamina.utils.set_random_seed(2)  # a layer's seed is drawn when it is made
    model = network(layers.LSTM(8), features=1, length=12)
    model.fit(x, y, epochs=40, verbose=0)
    guesses = model.predict(x)[:, 0] > 0.5
    assert (guesses == (y > 0.5)).mean() > 0.99


def test_rows_are_predicted_alike_in_every_batch():
    model = network(layers.Bidirectional(layers.GRU(4)))
    whole = model.predict(X)
    for start in range(4):
        np.testing.assert_allclose(model.predict(X[start : start + 1]), whole[start : start + 1], rtol=1e-5)


@pytest.mark.parametrize("kind", ["SimpleRNN", "LSTM", "GRU"])
@pytest.mark.parametrize("rates", [(0.5, 0.0), (0.0, 0.5), (0.3, 0.3)])
def test_dropout_is_random_while_training_only(kind, rates):
    layer = getattr(layers, kind)(4, dropout=rates[0], recurrent_dropout=rates[1], seed=1)
    still = layer(X)
    np.testing.assert_array_equal(layer(X), still)
    first, second = layer(X, training=True), layer(X, training=True)
    assert not np.array_equal(first, second)
    assert not np.array_equal(first, still)
    assert layer.cell._input_masks is None


def test_dropout_masks_are_the_same_at_every_step():
    layer = layers.SimpleRNN(1, activation=None, dropout=0.5, return_sequences=True, seed=3)
    layer.build((None, 6, 3))
    layer.set_weights([np.array([[1.0], [10.0], [100.0]]), np.zeros((1, 1)), np.zeros(1)])
    outputs = layer(np.ones((8, 6, 3), "float32"), training=True)
    assert (outputs == outputs[:, :1]).all()
    assert len(np.unique(outputs[:, 0])) > 1


def test_stateful_layers_go_on_where_they_ended():
    lamina.utils.set_random_seed(1)
    whole = layers.LSTM(3, return_sequences=True)
    expected = whole(X)
    part = layers.LSTM(3, return_sequences=True, stateful=True)
    part(X[:, :1])
    part.reset_state()
    part.set_weights(whole.get_weights())
    found = [part(X[:, start : start + 2]) for start in (0, 2, 4)]
    np.testing.assert_allclose(np.concatenate(found, axis=1), expected, rtol=1e-5, atol=1e-6)
    part.reset_states()
    np.testing.assert_allclose(part(X[:, :2]), expected[:, :2], rtol=1e-5, atol=1e-6)
    assert len(part.weights) == 3


def test_stateful_models_predict_a_series_in_parts(rng):
    # Three rows are not what predict fills batches up to: a model of one batch size is never filled up.
    x = rng.standard_normal((3, 12, 2)).astype("float32")
    model = lamina.Sequential([lamina.Input(batch_shape=(3, 4, 2)), layers.LSTM(5, stateful=True)])
    whole = lamina.Sequential([lamina.Input((None, 2)), layers.LSTM(5)])
    whole.set_weights(model.get_weights())
    for start in (0, 4, 8):
        part = model.predict(x[:, start : start + 4], batch_size=3, verbose=0)
        np.testing.assert_allclose(part, whole.predict(x[:, : start + 4], verbose=0), rtol=1e-5, atol=1e-6)


def test_stateful_models_keep_their_state_from_batch_to_batch():
    model = lamina.Sequential([lamina.Input(batch_shape=(2, 3, 1)), layers.SimpleRNN(1, stateful=True)])
    model.set_weights([np.ones((1, 1)), np.ones((1, 1)), np.zeros(1)])
    x = np.full((2, 3, 1), 0.01, "float32")
    first, second = model.predict(x, batch_size=2), model.predict(x, batch_size=2)
    assert (second > first).all()
    model.layers[0].reset_state()
    np.testing.assert_array_equal(model.predict(x, batch_size=2), first)
    twin = copy.deepcopy(model)
    np.testing.assert_array_equal(twin.predict(x, batch_size=2), model.predict(x, batch_size=2))


def test_training_compiles_once_for_any_length():
    sizes = []
    for length in (4, 40):
        model = network(layers.LSTM(3), length=length)
        model.fit(np.ones((8, length, 3), "float32"), np.ones(8), verbose=0)
        sizes.append(len(model.compile_report().programs[0].kernels))
    assert sizes[0] == sizes[1]


def test_a_cell_that_counts_its_steps_with_a_variable():
    class Counting(layers.Layer):
        def __init__(self):
            super().__init__()
            self.state_size = 3

        def build(self, input_shape):
            self.count = self.add_weight(name="count", initializer="zeros", trainable=False)

        def call(self, inputs, states):
            self.count.assign(self.count + 1)
            return inputs, [states[0]]

    cell = Counting()
    lamina.function(lambda x: layers.RNN(cell)(x))(X)
    assert float(cell.count.numpy()) == 6


WRONG = [
    (lambda: layers.LSTM(0), ArgumentError, ["units=0"]),
    (lambda: layers.LSTM(2)(X[:, 0]), ShapeError, ["3 axes", "(4, 3)"]),
    (lambda: layers.LSTM(2, name="r")(X[:, :0]), ShapeError, ["'r'", "without a single step", "(4, 0, 3)"]),
    (lambda: layers.GRU(2)(X, mask=np.ones((4, 5), bool)), ShapeError, ["mask", "(4, 6)", "(4, 5)"]),
    (lambda: layers.LSTM(2)(X, initial_state=[X[:, 0, :2]]), ArgumentError, ["initial states", "2", "1"]),
    (lambda: layers.RNN(layers.Dense(3)), ArgumentError, ["needs a cell", "state_size"]),
    (lambda: layers.RNN([3]), ArgumentError, ["state_size"]),
    (lambda: layers.LSTM(2, stateful=True)(lamina.Input((6, 3))), StateError, ["batch size", "batch_shape"]),
    (lambda: _other_batch(), ShapeError, ["batch", "divides the rows"]),
    (lambda: layers.Bidirectional(layers.Dense(3)), ArgumentError, ["recurrent"]),
    (lambda: layers.Bidirectional(layers.LSTM(2), merge_mode="add"), ArgumentError, ["'add'", "'sum'"]),
    (
        lambda: layers.Bidirectional(layers.LSTM(2), backward_layer=layers.LSTM(2)),
        ArgumentError,
        ["go_backwards=True"],
    ),
    (lambda: layers.TimeDistributed(layers.Dense(2))(X[:, :, 0]), ShapeError, ["at least 3 axes"]),
    (lambda: layers.LSTM(2, units_=3), TypeError, ["units_"]),
]


def _other_batch():
    layer = layers.GRU(2, stateful=True)
    layer(X)
    layer(X[:3])


@pytest.mark.parametrize("number", range(len(WRONG)))
def test_wrong_uses(number):
    action, error, parts = WRONG[number]
    with pytest.raises(error) as caught:
        action()
    text = "\n".join([str(caught.value), *getattr(caught.value, "__notes__", [])])
    for part in parts:
        assert part in text, text


def test_ops_are_free_in_functions_of_models():
    lstm = layers.LSTM(3)
    summed = lamina.function(lambda x: ops.sum(lstm(x)))(X)
    np.testing.assert_allclose(summed, np.sum(lstm(X)), rtol=1e-5)


def test_the_call_of_a_cell_derived_from_another_counts():
    class Doubled(layers.LSTMCell):
        def call(self, inputs, states, training=False):
            output, states = super().call(inputs, states, training)
            return 2 * output, states

    lamina.utils.set_random_seed(3)
    plain = layers.RNN(layers.LSTMCell(4, seed=1), return_sequences=True)
    expected = plain(X)
    doubled = layers.RNN(Doubled(4, seed=1), return_sequences=True)
    doubled.build(X.shape)
    doubled.set_weights(plain.get_weights())
    np.testing.assert_allclose(doubled(X), 2 * expected, rtol=1e-6)
