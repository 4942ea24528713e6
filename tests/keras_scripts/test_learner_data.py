"""What learners hand to `fit`: data of every make. Nothing may crash, and what trains must train the same."""

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
