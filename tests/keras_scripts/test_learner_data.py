"""What learners hand to `fit`: data of every make. Nothing may crash, and what trains must train the same."""

import numpy as np
import pandas as pd
import pytest
from keras_script import fill, flowers, houses

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


# --- the same numbers in other clothes ---------------------------------------------------------------


def read_only(array):
    array = array.copy()
    array.flags.writeable = False
    return array


def from_file(array, folder):
    np.save(folder / "x.npy", array)
    return np.load(folder / "x.npy", mmap_mode="r")


def frame(array):
    table = pd.DataFrame(array, columns=[f"c{i}" for i in range(array.shape[1])])
    return table.set_index(np.arange(len(table))[::-1] * 3)  # as after sorting and dropping rows


FORMS = {
    "lists": lambda x, folder: x.tolist(),
    "float64": lambda x, folder: x.astype("float64"),
    "big-endian": lambda x, folder: x.astype(">f4"),
    "Fortran order": lambda x, folder: np.asfortranarray(x),
    "every second column": lambda x, folder: np.repeat(x, 2, axis=1)[:, ::2],
    "backwards": lambda x, folder: x[::-1].copy()[::-1],
    "read-only": lambda x, folder: read_only(x),
    "from a file": from_file,
    "data frame": lambda x, folder: frame(x),
    "nullable data frame": lambda x, folder: frame(x).convert_dtypes(),
    "a list of one": lambda x, folder: [x],
    "one more axis": lambda x, folder: x[:, :, None],
    "subclass": lambda x, folder: x.view(type("Own", (np.ndarray,), {})),
}


@pytest.fixture(scope="module")
def weights_of_plain_data():
    x, y = houses(20)
    model = line()
    model.compile("sgd", "mse")
    model.fit(x, y, batch_size=8, shuffle=False, verbose=0)
    return model.get_weights()[0]


@pytest.mark.parametrize("form", FORMS)
def test_data_in_other_forms_trains_the_same(form, weights_of_plain_data, tmp_path):
    x, y = houses(20)
    model = line()
    model.compile("sgd", "mse")
    model.fit(FORMS[form](x, tmp_path), y, batch_size=8, shuffle=False, verbose=0)
    np.testing.assert_allclose(model.get_weights()[0], weights_of_plain_data, rtol=1e-6)


TARGETS = {
    "column": lambda y: y[:, None],
    "list": lambda y: y.tolist(),
    "series": lambda y: pd.Series(y, index=np.arange(len(y)) + 5),
    "frame": lambda y: pd.DataFrame({"price": y}),
    "big-endian": lambda y: y.astype(">f8"),
    "two more axes": lambda y: y[:, None, None],
}


@pytest.mark.parametrize("form", TARGETS)
def test_targets_in_other_forms_train_the_same(form, weights_of_plain_data):
    x, y = houses(20)
    model = line()
    model.compile("sgd", "mse")
    model.fit(x, TARGETS[form](y), batch_size=8, shuffle=False, verbose=0)
    np.testing.assert_allclose(model.get_weights()[0], weights_of_plain_data, rtol=1e-6)


def test_labels_of_every_dtype_train_the_same():
    x, y = flowers(30)
    forms = [y.astype(code) for code in "BbHhIiQqefd"]  # 8 to 64 bits
    forms.append(y.astype(">i2"))
    forms += [y.tolist(), y[:, None], pd.Series(pd.Categorical(y)), pd.Series(y, dtype="Int64")]
    results = []
    for labels in [y, *forms]:
        model = line(4, 3)
        model.compile(
            "sgd", lamina.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"]
        )
        model.fit(x, labels, batch_size=15, shuffle=False, verbose=0)
        results.append(model.get_weights()[0])
    for result in results[1:]:
        np.testing.assert_array_equal(result, results[0])


# --- extremes ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("rows", "batch_size"), [(1, 32), (7, 1000), (5, 1), (1, 1)])
def test_few_rows(rows, batch_size):
    x, y = houses(rows)
    model, judge = line(), line()
    for each, backend in ((model, "cpu"), (judge, "reference")):
        each.compile("sgd", "mse", metrics=["mae"], backend=backend)
        each.fit(x, y, batch_size=batch_size, epochs=2, shuffle=False, verbose=0)
    np.testing.assert_allclose(model.get_weights()[0], judge.get_weights()[0], rtol=1e-5)
    assert model.predict(x, verbose=0).shape == (rows, 1)


def test_a_million_rows_at_once():
    x = np.random.default_rng(0).standard_normal((1_000_000, 3)).astype("float32")
    model = line(3)
    model.compile(lamina.optimizers.SGD(0.5), "mse")
    history = model.fit(x, x.sum(axis=1), batch_size=1_000_000, epochs=20, verbose=0)
    assert history.history["loss"][-1] < 1e-5
    np.testing.assert_allclose(model.get_weights()[0], 1.0, atol=1e-3)
    assert model.predict(x, batch_size=1_000_000, verbose=0).shape == (1_000_000, 1)


def test_many_epochs_on_four_rows():
    x, y = np.array([[0, 0], [0, 1], [1, 0], [1, 1]]), np.array([0, 0, 0, 1])
    model = line(2)
    model.compile(lamina.optimizers.SGD(0.1), "mse")
    history = model.fit(x, y, epochs=2000, verbose=0)
    assert len(history.epoch) == 2000
    assert history.history["loss"][-1] == pytest.approx(1 / 16, rel=1e-3)  # the best plane


@pytest.mark.parametrize(
    "widths", [(16,) * 50, (4096, 4096), (1,) * 10, (3, 1000, 1, 17)], ids=["deep", "wide", "thin", "uneven"]
)
def test_shapes_of_networks(widths):
    x, y = houses(40)
    layers = [
        lamina.layers.Dense(units, activation="tanh", kernel_initializer="lecun_normal") for units in widths
    ]
    lamina.utils.set_random_seed(0)
    model = lamina.Sequential([lamina.Input((6,)), *layers, lamina.layers.Dense(1)])
    model.compile(lamina.optimizers.SGD(1e-4), "mse")
    before = model(x).numpy()
    np.testing.assert_allclose(model.predict(x, verbose=0), before, rtol=2e-4, atol=2e-5)
    history = model.fit(x, y, epochs=2, batch_size=40, verbose=0)
    assert history.history["loss"][1] < history.history["loss"][0]


def test_many_outputs():
    x, y = houses(20)
    inputs = lamina.Input((6,))
    model = lamina.Model(inputs, [lamina.layers.Dense(1, name=f"out_{i}")(inputs) for i in range(40)])
    fill(model)
    model.compile("sgd", "mse")
    logs = model.train_on_batch(x, [y * i for i in range(40)], return_dict=True)
    assert len(logs) == 41
    assert logs["loss"] == pytest.approx(
        sum(value for name, value in logs.items() if name != "loss"), rel=1e-4
    )
    assert len(model.predict(x, verbose=0)) == 40


def test_constant_columns_and_one_class():
    x, y = flowers(30)
    x[:, 1] = 5.0
    model = line(4, 3)
    loss = lamina.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(lamina.optimizers.SGD(0.5), loss, metrics=["accuracy"])
    history = model.fit(x, 0 * y, epochs=20, verbose=0)
    assert history.history["accuracy"][-1] == 1.0
    binary = lamina.Sequential([lamina.Input((4,)), lamina.layers.Dense(1, activation="sigmoid")])
    binary.compile("sgd", "bce", metrics=["AUC", "Precision", "Recall", "accuracy"])
    logs = binary.train_on_batch(x, 0 * y, return_dict=True)
    assert all(np.isfinite(value) for value in logs.values())


def test_models_without_weights():
    x, _ = houses(10)
    model = lamina.Sequential([lamina.Input((6,)), lamina.layers.ReLU()])
    model.compile("sgd", "mse", metrics=["mae"])
    with pytest.warns(UserWarning, match="no trainable weights"):
        history = model.fit(x, x, verbose=0)
    assert history.history["loss"] == [0.0]
    assert model.evaluate(x, x + 1, verbose=0) == pytest.approx([1.0, 1.0])
    np.testing.assert_array_equal(model.predict(-x, verbose=0), 0 * x)


def test_the_same_seed_gives_the_same_bits():
    def train():
        lamina.utils.set_random_seed(7)
        model = lamina.Sequential(
            [
                lamina.Input((6,)),
                lamina.layers.Dense(8, activation="relu"),
                lamina.layers.Dropout(0.3),
                lamina.layers.GaussianNoise(0.1),
                lamina.layers.Dense(1),
            ]
        )
        model.compile("adam", "mse")
        x, y = houses(40)
        history = model.fit(x, y, epochs=3, batch_size=8, validation_split=0.25, verbose=0)
        return history.history, model.get_weights()

    (history, weights), (again, weights_again) = train(), train()
    assert history == again
    for one, other in zip(weights, weights_again):
        np.testing.assert_array_equal(one, other)
