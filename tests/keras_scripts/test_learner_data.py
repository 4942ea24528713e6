"""What learners hand to `fit`: data of every make. Nothing may crash, and what trains must train the same."""

import numpy as np
import pytest
from keras_script import fill, houses

import lamina


def line(features=6, units=1):
    return fill(lamina.Sequential([lamina.Input((features,)), lamina.layers.Dense(units)]))


class Batches:
    """A source that starts anew each time it is gone through."""

    def __init__(self, x, y, size):
        self.parts = [(x[start : start + size], y[start : start + size]) for start in range(0, len(x), size)]

    def __iter__(self):
        return iter(self.parts)


def test_validation_on_some_batches_sees_the_same_ones_in_each_epoch():
    x, y = houses(60)
    model = line()
    model.compile(lamina.optimizers.SGD(0.0), "mse")
    history = model.fit(
        Batches(x, y, 20), validation_data=Batches(x, y, 20), validation_steps=2, epochs=3, verbose=0
    )
    losses = history.history["val_loss"]
    assert losses == [losses[0]] * 3
    assert losses[0] == pytest.approx(model.evaluate(x[:40], y[:40], verbose=0), rel=1e-5)


def test_whole_numbers_of_numpy_are_whole_numbers():
    x, y = houses(60)
    model, other = line(), line()
    for each, integer in ((model, np.int64), (other, int)):
        each.compile("sgd", "mse")
        each.fit(x, y, batch_size=integer(7), epochs=integer(2), shuffle=False, verbose=0)
        each.predict(x, batch_size=integer(9), verbose=0)
        each.evaluate(x, y, batch_size=integer(9), verbose=0)
    np.testing.assert_array_equal(model.get_weights()[0], other.get_weights()[0])


@pytest.mark.parametrize("validation_data", ["array", "tuple"])
def test_validation_without_targets_is_refused(validation_data):
    x, y = houses(60)
    model = line()
    model.compile("sgd", "mse", metrics=["mae"])
    with pytest.raises(lamina.core.errors.DataError, match=r"no targets.*\n.*validation_data is a tuple"):
        model.fit(x, y, validation_data=x if validation_data == "array" else (x,), verbose=0)
    with pytest.raises(lamina.core.errors.DataError, match="no targets"):
        model.evaluate(x, verbose=0)


@pytest.mark.parametrize("change", ["schedule", "number", "optimizer"])
def test_a_learning_rate_or_optimizer_set_after_fit_takes_effect(change):
    x, y = houses(60)
    model = line()
    model.compile("sgd", "mse")
    model.fit(x, y, verbose=0)
    if change == "schedule":
        model.optimizer.learning_rate = lamina.optimizers.schedules.ExponentialDecay(0.0, 1, 1.0)
    elif change == "number":
        model.optimizer.learning_rate = 0.0
    else:
        model.optimizer = lamina.optimizers.SGD(0.0)
    before = model.get_weights()
    model.fit(x, y, verbose=0)
    np.testing.assert_array_equal(model.get_weights()[0], before[0])


def test_run_eagerly_may_be_set_after_fit():
    x, y = houses(60)
    seen = []

    class Looking(lamina.layers.Layer):
        def call(self, inputs):
            seen.append(type(inputs).__name__)
            return inputs

    model = lamina.Sequential([lamina.Input((6,)), Looking(), lamina.layers.Dense(1)])
    model.compile("sgd", "mse")
    model.fit(x, y, batch_size=30, epochs=3, verbose=0)
    traced = len(seen)
    model.run_eagerly = True
    model.fit(x, y, batch_size=30, epochs=3, verbose=0)
    assert len(seen) >= traced + 6


def test_an_unknown_argument_of_an_optimizer_is_answered_with_the_known_one():
    with pytest.raises(lamina.core.errors.ArgumentError, match="did you mean 'learning_rate'"):
        lamina.optimizers.Adam(lr=0.1)
    with pytest.raises(lamina.core.errors.ArgumentError, match="did you mean 'clipnorm'"):
        lamina.optimizers.Adam(clip_norm=0.1)
