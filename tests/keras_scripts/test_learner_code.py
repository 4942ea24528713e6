"""What learners write that cannot work: an error or a warning that says why, in the words of their code."""

import numpy as np
import pytest
from keras_script import fill, houses

import lamina
from lamina import ops
from lamina.core import errors


def train(loss="mse", layers=(), metrics=None):
    x, y = houses(40)
    model = lamina.Sequential([lamina.Input((6,)), *layers, lamina.layers.Dense(1)])
    model.compile("sgd", loss, metrics=metrics)
    model.fit(x, y[:, None], verbose=0)
    return model


def forgets_return(y_true, y_pred):
    ops.mean(y_true - y_pred)


def numpy_square(y_true, y_pred):
    return ops.mean(np.square(y_true - y_pred))


def numpy_mean(y_true, y_pred):
    return np.mean((y_true - y_pred) ** 2)


def takes_a_number(y_true, y_pred):
    return ops.mean(y_true - y_pred) * float(ops.mean(y_pred))


def decides(y_true, y_pred):
    return ops.mean(y_true) if ops.mean(y_pred) > 0 else ops.mean(y_pred)


def is_constant(y_true, y_pred):
    return 0.5


@pytest.mark.parametrize(
    ("loss", "error", "text"),
    [
        (forgets_return, errors.ArgumentError, "returned nothing[\\s\\S]*`return`"),
        (numpy_square, errors.LaminaError, r"NumPy's square\(\) cannot compute[\s\S]*lamina\.ops\.square"),
        (numpy_mean, errors.LaminaError, "has no array[\\s\\S]*lamina.ops"),
        (takes_a_number, errors.LaminaError, "has no number[\\s\\S]*lamina.ops"),
        (decides, errors.LaminaError, "has no truth value[\\s\\S]*where"),
        (is_constant, errors.GradientError, "constant[\\s\\S]*what the model returns"),
    ],
)
def test_losses_that_are_none(loss, error, text):
    with pytest.raises(error, match=text):
        train(loss)


def test_a_metric_without_return():
    with pytest.raises(errors.ArgumentError, match="returned nothing"):
        train(metrics=[forgets_return])


@pytest.mark.parametrize(
    "loss",
    [
        lambda y_true, y_pred: ops.cast(y_pred > y_true, "float32"),
        lambda y_true, y_pred: ops.square(y_true),
    ],
    ids=["compares", "ignores the prediction"],
)
def test_a_loss_that_is_flat_is_said_to_be(loss):
    with pytest.warns(UserWarning, match="no gradient with respect to any weight"):
        train(loss)


def test_numpy_in_a_layer():
    class Tanh(lamina.layers.Layer):
        def call(self, inputs):
            return np.tanh(inputs)

    with pytest.raises(errors.LaminaError, match=r"lamina\.ops\.tanh"):
        train(layers=[Tanh()])


def test_arrays_and_numbers_of_numpy_take_part_in_operators():
    @lamina.function
    def mix(t):
        ones = np.ones(3, "float32")
        total = ones.copy()
        total += t
        return ones - t, total, np.float32(2) / t, ones @ t, ones < t, np.add(ones, t), np.int32(3) * t, +t

    t = np.array([1.0, 2.0, 4.0], "float32")
    expected = [1 - t, 1 + t, 2 / t, t.sum(), t > 1, 1 + t, 3 * t, t]
    for found, wanted in zip(mix(t), expected):
        np.testing.assert_array_equal(found, wanted)


def test_layers_made_on_the_way_are_said_to_be_lost():
    class Careless(lamina.Model):
        def call(self, inputs):
            return lamina.layers.Dense(1)(inputs)

    with pytest.warns(UserWarning, match=r"no part of 'careless': they are not trained.*__init__"):
        Careless()(houses(3)[0])
    outside = lamina.layers.Dense(2, name="outside")
    with pytest.warns(UserWarning, match="'outside' gets its weights inside the call of 'inner'"):
        lamina.layers.Lambda(lambda inputs: outside(inputs), name="inner")(houses(3)[0])


def test_super_init_forgotten():
    class Forgetful(lamina.Model):
        def __init__(self):
            self.dense = lamina.layers.Dense(1)

        def call(self, inputs):
            return self.dense(inputs)

    for attempt in (lambda model: model.compile("sgd", "mse"), lambda model: model(houses(3)[0])):
        with pytest.raises(errors.StateError, match=r"super\(\)\.__init__\(\)"):
            attempt(Forgetful())


def test_a_misspelt_argument_of_a_layer():
    with pytest.raises(TypeError, match="Did you mean 'kernel_initializer'"):
        lamina.layers.Dense(3, kernel_init="he_normal")
    with pytest.raises(TypeError, match="Did you mean 'trainable'"):
        lamina.layers.Dropout(0.5, trainabel=False)


def test_numbers_come_out_as_keras_code_takes_them():
    x, y = houses(40)
    model = fill(train())
    loss = lamina.losses.MeanSquaredError()(y[:, None], model(x))
    assert f"{loss:.3f}" == f"{float(loss):.3f}"
    assert isinstance(loss.numpy().item(), float)
    assert isinstance(model.evaluate(x, y, verbose=0), float)
    assert model(x).numpy().shape == (40, 1)
    assert type(model.predict(x, verbose=0)) is np.ndarray
    assert float(model.optimizer.learning_rate) == pytest.approx(0.01)
    assert int(model.optimizer.iterations) == 2
    assert model.layers[0].kernel.numpy().shape == (6, 1)
