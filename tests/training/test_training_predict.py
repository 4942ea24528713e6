"""Prediction: any number of rows, few programs, and when rows are independent of each other."""

import numpy as np
import pytest

from lamina import Model, Sequential, layers, ops
from lamina.training import rows
from lamina.training.arrays import to_leaves
from lamina.training.data import DataSet
from lamina.training.predict import padded_rows

X = np.random.default_rng(5).normal(size=(70, 4)).astype("float32")


def of(*stack):
    return Sequential([layers.Input((4,)), *stack])


class ByPosition(layers.Layer):
    def call(self, inputs):
        return inputs + ops.cast(ops.reshape(ops.arange(inputs.shape[0]), (-1, 1)), "float32")


class DividedByRows(layers.Layer):
    def call(self, inputs):
        return inputs / inputs.shape[0]


def two_inputs():
    first, second = layers.Input((4,)), layers.Input((4,))
    return Model([first, second], layers.Dot(axes=1)([layers.Dense(4)(first), second]))


def fn(function):
    return layers.Lambda(function)


APART = {
    "dense": lambda: of(layers.Dense(8, "relu"), layers.Dense(3, "softmax")),
    "all activations": lambda: of(
        *(layers.Activation(name) for name in ("gelu", "elu", "tanh", "log_softmax"))
    ),
    "dropout": lambda: of(layers.Dropout(0.5), layers.GaussianNoise(1.0)),
    "shapes": lambda: of(
        layers.Reshape((2, 2)), layers.Permute((2, 1)), layers.Flatten(), layers.RepeatVector(3)
    ),
    "products": lambda: two_inputs(),
    "a class number": lambda: of(fn(lambda x: ops.argmax(x, axis=-1))),
    "sorted": lambda: of(fn(lambda x: ops.sort(x, axis=-1))),
    "running sums": lambda: of(fn(lambda x: ops.cumsum(x, axis=1))),
    "columns": lambda: of(fn(lambda x: ops.concatenate([x[:, ::2], x[:, 1:2]], axis=1))),
    "padded": lambda: of(fn(lambda x: ops.pad(x, ((0, 0), (1, 2))))),
    "looked up": lambda: of(
        fn(lambda x: ops.take(np.eye(5, dtype="float32"), ops.cast(ops.abs(x), "int32"), axis=0))
    ),
    "normalised rows": lambda: of(fn(lambda x: x / ops.sqrt(ops.sum(x * x, axis=1, keepdims=True)))),
    "a constant for each row": lambda: of(fn(lambda x: x + ops.ones_like(x))),
    "convolution and pooling": lambda: of(
        layers.Reshape((4, 1)), layers.Conv1D(3, 2, padding="same"), layers.MaxPooling1D(2), layers.Flatten()
    ),
    "averages": lambda: of(layers.Reshape((4, 1)), layers.AveragePooling1D(3, 1, "same"), layers.Flatten()),
    "whole rows reversed": lambda: of(fn(lambda x: ops.flip(x, axis=1))),
}
MIXED = {
    "the mean over the batch": lambda: of(fn(lambda x: x - ops.mean(x, axis=0))),
    "the rows reversed": lambda: of(fn(lambda x: ops.flip(x, axis=0))),
    "the rows sorted": lambda: of(fn(lambda x: ops.sort(x, axis=0))),
    "the row before": lambda: of(fn(lambda x: ops.concatenate([x[:1], x[:-1]], axis=0))),
    "similarities between rows": lambda: of(fn(lambda x: ops.matmul(x, ops.transpose(x)) @ x)),
    "rows counted": lambda: of(ByPosition()),
    "the number of rows": lambda: of(DividedByRows()),
    "a softmax over the batch": lambda: of(fn(lambda x: ops.softmax(x, axis=0))),
    "running sums over rows": lambda: of(fn(lambda x: ops.cumsum(x, axis=0))),
    "rows and columns swapped": lambda: of(fn(lambda x: ops.reshape(ops.transpose(x), (-1, 4)))),
}


def is_row_by_row(model):
    data = [X, X] if len(model.inputs) > 1 else X
    return model._predictor.is_row_by_row(DataSet(to_leaves(data, "x")))


@pytest.mark.parametrize("name", APART)
def test_models_that_keep_rows_apart_are_recognised(name):
    assert is_row_by_row(APART[name]())


@pytest.mark.parametrize("name", MIXED)
def test_models_that_mix_rows_are_recognised(name):
    assert not is_row_by_row(MIXED[name]())


@pytest.mark.parametrize("name", [*APART, *MIXED])
def test_predictions_are_those_of_a_call(name):
    model = {**APART, **MIXED}[name]()
    for count in (1, 2, 5, 70):
        x = [X[:count], X[::-1][:count].copy()] if len(model.inputs) > 1 else X[:count]
        expected = np.asarray(model(x, training=False))
        found = model.predict_on_batch(x)
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(model.predict_on_batch(x), found)


def test_batches_are_cut_where_the_user_says_if_rows_are_mixed():
    model = MIXED["the mean over the batch"]()
    parts = [X[start : start + 32] for start in range(0, 70, 32)]
    expected = np.concatenate([part - part.mean(axis=0) for part in parts])
    np.testing.assert_allclose(model.predict(X, verbose=0), expected, atol=1e-6)
    whole = X - X.mean(axis=0)
    for _ in range(2):  # one method's way of doing it is not taken for the other's
        np.testing.assert_allclose(model.predict(X, batch_size=70, verbose=0), whole, atol=1e-6)
        np.testing.assert_allclose(model.predict_on_batch(X), whole, atol=1e-6)
        np.testing.assert_allclose(model.predict(X, verbose=0), expected, atol=1e-6)


def test_new_sizes_need_few_programs():
    model = APART["dense"]()
    for count in range(1, 71):
        assert model.predict(X[:count], verbose=0).shape == (count, 3)
        assert model.predict(X[:count], batch_size=16, verbose=0).shape == (count, 3)
    assert len(model._programs.all()) <= 13


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 13, 100, 1000])
def test_sizes_are_filled_up_to(count):
    size = padded_rows(count)
    assert count <= size < max(count * 2, 2)
    assert padded_rows(size) == size


def test_predict_takes_what_fit_takes():
    model = APART["dense"]()
    expected = model.predict(X, verbose=0)
    for x in (X.tolist(), X.astype("float64"), np.asfortranarray(X), [X], (X[:50] for _ in range(1))):
        found = model.predict(x, verbose=0)
        np.testing.assert_allclose(found, expected[: len(found)], rtol=1e-6)
    for x in (X.astype("float64"), np.asfortranarray(X), X[::-1][::-1]):
        for _ in range(2):
            np.testing.assert_allclose(model.predict_on_batch(x), expected, rtol=1e-6)


def test_outputs_are_structured_as_the_model_returns_them():
    inputs = layers.Input((4,))
    model = Model(inputs, {"a": layers.Dense(2)(inputs), "b": [layers.Dense(1)(inputs)]})
    for count in (3, 70):
        found = model.predict(X[:count], batch_size=32, verbose=0)
        assert found["a"].shape == (count, 2)
        assert found["b"][0].shape == (count, 1)


def test_steps_and_hooks_of_batches():
    from lamina.callbacks import LambdaCallback

    model = APART["dense"]()
    assert len(model.predict(X, batch_size=10, steps=3, verbose=0)) == 30
    seen = []
    note = LambdaCallback(
        on_predict_batch_end=lambda batch, logs: seen.append((batch, logs["outputs"].shape))
    )
    model.predict(X, batch_size=32, callbacks=[note], verbose=0)
    assert seen == [(0, (32, 3)), (1, (32, 3)), (2, (6, 3))]


def test_nan_may_be_predicted():
    assert np.isnan(APART["dense"]().predict(X * np.nan, verbose=0)).all()


def test_the_result_belongs_to_the_caller():
    model = APART["dense"]()
    first = model.predict_on_batch(X[:4])
    kept = first.copy()
    model.predict_on_batch(X[4:8])
    np.testing.assert_array_equal(first, kept)


def test_programs_with_updates_are_not_row_by_row():
    model = APART["dense"]()
    model.compile("sgd", "mse")
    model.train_on_batch(X, np.zeros((70, 3)))
    data = DataSet(to_leaves(X, "x"), to_leaves(np.zeros((70, 3), "float32"), "y"))
    first, second = (model._programs.trace("train", data.batch_type(size)).program for size in (11, 13))
    assert not rows.independent(first, second)
