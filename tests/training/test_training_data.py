"""What may be given as data, and what the programs get to see of it."""

from itertools import chain

import numpy as np
import pandas
import pytest

from lamina import Model, Sequential, layers
from lamina.core.errors import ArgumentError, DataError
from lamina.training.arrays import all_finite, first_nonfinite, to_leaves
from lamina.training.data import (
    ArrayAdapter,
    DataSet,
    pack_x_y_sample_weight,
    permutation_of,
    unpack_x_y_sample_weight,
)
from lamina.training.stream import IterableAdapter, Reader
from lamina.training.weights import weigh_classes

X = np.random.default_rng(2).normal(size=(40, 3)).astype("float32")
Y = (X[:, 0] > 0).astype("int32")


def regressor():
    model = Sequential([layers.Input((3,)), layers.Dense(1, kernel_initializer="ones")])
    model.compile("sgd", "mse")
    return model


def loss_on(x, y):
    return regressor().fit(x, y, shuffle=False, verbose=0).history["loss"][0]


# --- arrays ----------------------------------------------------------------------------------------

FORMS = {
    "float64": lambda x: x.astype("float64"),
    "a list of lists": lambda x: x.tolist(),
    "a list of tuples": lambda x: [tuple(row) for row in x.tolist()],
    "columns in memory": np.asfortranarray,
    "every second row": lambda x: np.repeat(x, 2, axis=0)[::2],
    "big endian": lambda x: x.astype(">f4"),
    "a table": lambda x: pandas.DataFrame(x, columns=["a", "b", "c"]),
    "a table of several types": lambda x: pandas.DataFrame(
        {"a": x[:, 0].astype("float64"), "b": x[:, 1], "c": x[:, 2]}
    ),
    "a table with another index": lambda x: pandas.DataFrame(x).set_axis(range(100, 140), axis=0),
    "a table of polars": lambda x: _Frame({"a": x[:, 0], "b": x[:, 1], "c": x[:, 2]}),
    "something with __array__": lambda x: _Wrapped(x),
    "in a list": lambda x: [x],
}


class _Wrapped:
    def __init__(self, array):
        self._array = array

    def __array__(self, dtype=None, copy=None):
        return np.array(self._array, dtype)


class _Series:
    """What a column of polars gives; the package itself has 180 MB."""

    def __init__(self, array):
        self._array, self.dtype = array, "Float32"

    def __len__(self):
        return len(self._array)

    def to_numpy(self, *, allow_copy=True, writable=False):
        return self._array


class _Frame:
    """A table of polars: no index, rows and columns by number or name in its own way."""

    def __init__(self, columns):
        self._columns, self.columns = columns, list(columns)

    def __len__(self):
        return len(self._columns["a"])

    def __getitem__(self, key):
        return _Series(self._columns[key])

    def to_numpy(self, *, order="fortran", allow_copy=True):
        return np.stack(list(self._columns.values()), axis=1)


def test_targets_may_be_a_column_of_polars():
    assert loss_on(X, _Series(X[:, 0])) == pytest.approx(loss_on(X, X[:, 0]))


@pytest.mark.parametrize("form", FORMS)
def test_data_may_have_many_forms(form):
    assert loss_on(FORMS[form](X), X[:, 0]) == pytest.approx(loss_on(X, X[:, 0]), rel=1e-6)


def test_targets_may_be_a_column_of_a_table():
    table = pandas.DataFrame(X, columns=list("abc"))
    assert loss_on(table, table["a"]) == pytest.approx(loss_on(X, X[:, 0]), rel=1e-6)


def test_nothing_is_copied_that_is_right_already():
    leaf = to_leaves(X, "x")
    assert leaf.array is X or leaf.array.base is X
    data = DataSet(leaf)
    train, held_out = data.split(0.25)
    assert np.shares_memory(train.arrays[0], X)
    assert np.shares_memory(held_out.arrays[0], X)
    assert (train.rows, held_out.rows) == (30, 10)


@pytest.mark.parametrize(
    ("given", "seen"),
    [
        ("float64", "float32"),
        ("float16", "float32"),
        ("int64", "int32"),
        ("uint8", "uint8"),
        ("bool", "bool"),
        ("uint64", "uint32"),
    ],
)
def test_programs_see_these_dtypes(given, seen):
    assert to_leaves(np.ones((2, 3), given), "x").array.dtype == seen


def test_nullable_columns_are_numbers_unless_a_value_is_missing():
    table = pandas.DataFrame({"a": pandas.array([1, 2, 3], "Int64"), "b": [1.0, 2.0, 3.0]})
    assert to_leaves(table, "x").array.tolist() == [[1, 1], [2, 2], [3, 3]]
    table.loc[1, "a"] = None
    with pytest.raises(DataError, match="row 1, column 0 \\('a'\\)"):
        to_leaves(table, "x")


def test_bytes_are_trained_on_as_they_are():
    images = np.random.default_rng(0).integers(0, 256, (20, 3)).astype("uint8")
    model = Sequential([layers.Input((3,)), layers.Rescaling(1 / 255), layers.Dense(1)])
    model.compile("sgd", "mse")
    model.fit(images, images[:, 0] / 255.0, verbose=0)
    assert model._programs.all()[0][1].executable.program.inputs[0].dtype == "uint8"


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", [(0, 0), (39, 2), (17, 1)])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_one_number_that_is_not_finite_is_found(value, place, dtype):
    x = X.astype(dtype)
    assert all_finite(x)
    assert first_nonfinite(x) is None
    x[place] = value
    assert not all_finite(x)
    assert first_nonfinite(x) == place


def test_large_numbers_are_finite_although_their_squares_are_not():
    assert all_finite(np.full(10, 1e30, "float32"))


# --- batches ---------------------------------------------------------------------------------------


def rows_taken(adapter, chunk):
    adapter.begin_epoch()
    rows = []
    while (work := adapter.take(chunk)) is not None:
        assert work.order.shape[1] == work.batch_type.types[0].shape[0]
        rows += [list(batch) for batch in work.order]
    return rows


def data_set(rows):
    return DataSet(to_leaves(np.arange(rows, dtype="float32"), "x"))


def test_arrays_come_in_batches_the_last_one_smaller():
    adapter = ArrayAdapter(data_set(7), 3)
    assert adapter.steps == 3
    assert [kind.types[0].shape for kind in adapter.batch_types()] == [(3,), (1,)]
    for chunk in (1, 2, 100):
        assert rows_taken(adapter, chunk) == [[0, 1, 2], [3, 4, 5], [6]]


def test_orders_depend_on_seed_and_pass_alone():
    first, second = (ArrayAdapter(data_set(9), 2, None, permutation_of(5, True)) for _ in range(2))
    epochs = [rows_taken(first, 1) for _ in range(3)]
    assert epochs == [rows_taken(second, 4) for _ in range(3)]
    assert epochs[0] != epochs[1]
    assert all(sorted(chain(*epoch)) == list(range(9)) for epoch in epochs)
    assert epochs[0] != rows_taken(ArrayAdapter(data_set(9), 2, None, permutation_of(6, True)), 1)


def test_large_orders_made_in_another_thread_are_the_same():
    rows = 30_000
    adapter = ArrayAdapter(data_set(rows), 1000, None, permutation_of(5, True))
    permutation = permutation_of(5, True)
    for number in range(3):
        assert list(chain(*rows_taken(adapter, 7))) == permutation(number, rows, 1000).tolist()
    adapter.close()


def test_batches_of_an_iterable_start_anew_each_epoch():
    class Pairs(Reader):
        def read(self, given):
            return DataSet(to_leaves(given[0], "x"), to_leaves(given[1], "y"))

    adapter = IterableAdapter([(X[:4], Y[:4]), (X[4:6], Y[4:6])], Pairs())
    assert adapter.steps == 2
    for _ in range(2):
        assert [len(rows) for rows in rows_taken(adapter, 5)] == [4, 2]
    assert adapter.close()


def test_data_that_ends_within_an_epoch_warns():
    model = regressor()
    batches = iter([(X[:8], X[:8, 0])] * 3)
    with pytest.warns(UserWarning, match="ended after 3 batches of an epoch of 5"):
        model.fit(batches, steps_per_epoch=5, verbose=0)


def test_generators_of_x_alone_suit_evaluate_and_predict():
    model = regressor()
    assert model.predict((X[start : start + 15] for start in (0, 15, 30)), verbose=0).shape == (40, 1)
    assert model.predict([(X[:15],), (X[15:],)][0], verbose=0).shape == (15, 1)
    np.testing.assert_allclose(
        model.evaluate(iter([(X[:20], X[:20, 0]), (X[20:], X[20:, 0])]), verbose=0),
        model.evaluate(X, X[:, 0], verbose=0),
        rtol=1e-5,
    )


@pytest.mark.parametrize(
    ("data", "parts"),
    [
        (1, (1, None, None)),
        ((1,), (1, None, None)),
        ((1, 2), (1, 2, None)),
        ([1, 2, 3], (1, 2, 3)),
        ({"a": 1}, ({"a": 1}, None, None)),
    ],
)
def test_batches_are_unpacked(data, parts):
    assert unpack_x_y_sample_weight(data) == parts


def test_batches_are_packed():
    assert pack_x_y_sample_weight(1) == 1
    assert pack_x_y_sample_weight([1]) == ([1],)
    assert pack_x_y_sample_weight(1, 2) == (1, 2)
    assert pack_x_y_sample_weight(1, 2, 3) == (1, 2, 3)
    with pytest.raises(DataError, match="tuple of 4"):
        unpack_x_y_sample_weight((1, 2, 3, 4))


# --- weights ---------------------------------------------------------------------------------------


def leaf(values, name="y"):
    return to_leaves(np.asarray(values), name)


def test_class_weights_are_sample_weights():
    assert weigh_classes(leaf([0, 1, 2, 1]), None, {1: 3.0}, None).array.tolist() == [1, 3, 1, 3]
    one_hot = leaf(np.eye(3)[[0, 1, 2, 1]])
    assert weigh_classes(one_hot, None, {1: 3.0}, None).array.tolist() == [1, 3, 1, 3]
    column = leaf([[0.0], [1.0]])
    assert weigh_classes(column, leaf([2.0, 5.0]), {0: 0.5}, None).array.tolist() == [1, 5]
    steps = leaf([[[0], [1]], [[1], [1]]])
    assert weigh_classes(steps, leaf([1.0, 2.0]), {1: 3.0}, None).array.tolist() == [[1, 3], [6, 6]]


def two_outputs():
    inputs = layers.Input((3,))
    outputs = [layers.Dense(2, "softmax", name="kind")(inputs), layers.Dense(1, name="size")(inputs)]
    model = Model(inputs, outputs)
    model.compile("sgd", ["sparse_categorical_crossentropy", "mse"])
    return model


@pytest.mark.parametrize("form", ["dict", "list"])
def test_class_weights_of_one_of_several_outputs(form):
    weight = {"kind": {1: 3.0}} if form == "dict" else [{1: 3.0}, None]
    model, other = two_outputs(), two_outputs()
    other.set_weights(model.get_weights())
    expected = other.fit(
        X, [Y, X[:, 0]], sample_weight=[np.where(Y == 1, 3.0, 1.0), np.ones(40)], shuffle=False, verbose=0
    )
    found = model.fit(X, [Y, X[:, 0]], class_weight=weight, shuffle=False, verbose=0)
    for name in expected.history:
        np.testing.assert_allclose(found.history[name], expected.history[name], rtol=1e-6)
    with pytest.raises(ArgumentError, match="'kin'"):
        model.fit(X, [Y, X[:, 0]], class_weight={"kin": {1: 3.0}}, verbose=0)


def test_sample_weights_by_the_name_of_the_output():
    model, other = two_outputs(), two_outputs()
    other.set_weights(model.get_weights())
    weight = np.linspace(0, 1, 40)
    found = model.fit(
        X, {"kind": Y, "size": X[:, 0]}, sample_weight={"size": weight}, shuffle=False, verbose=0
    )
    expected = other.fit(X, [Y, X[:, 0]], sample_weight=[np.ones(40), weight], shuffle=False, verbose=0)
    for name in expected.history:
        np.testing.assert_allclose(found.history[name], expected.history[name], rtol=1e-6)
