"""Ids outside the table: said before the first update, wherever they can be known; never read as memory."""

from __future__ import annotations

import numpy as np
import pytest

import lamina
from lamina import layers, ops
from lamina.core.errors import DataError, NonFiniteError

IDS = np.random.default_rng(3).integers(0, 20, (70, 6))
LABELS = (IDS[:, 0] > 9).astype("int64")


def network(head=None, vocabulary=20):
    x = lamina.Input((6,), dtype="int32", name="words")
    vectors = layers.Embedding(vocabulary, 4, name="table")(x if head is None else head(x))
    model = lamina.Model(x, layers.Dense(2, "softmax")(layers.Flatten()(vectors)))
    model.compile("adam", "sparse_categorical_crossentropy")
    return model


def changed(index, value):
    array = IDS.copy()
    array[index] = value
    return array


@pytest.mark.parametrize("value", [20, -1, 10**9])
@pytest.mark.parametrize("backend", ["reference", "cpu"])
def test_fit_names_the_row_and_the_id_before_the_first_update(value, backend):
    model = network()
    model.compile("adam", "sparse_categorical_crossentropy", backend=backend)
    before = model.get_weights()
    with pytest.raises(DataError) as caught:
        model.fit(changed((66, 3), value), LABELS, verbose=0)
    for part in ("'table'", "0 to 19", f"{value} at row 66, position 3 of x", "1 of 70 rows"):
        assert part in str(caught.value)
    assert all(np.array_equal(one, other) for one, other in zip(before, model.get_weights()))
    for action in (model.evaluate, model.train_on_batch, model.test_on_batch):
        with pytest.raises(DataError, match="row 66"):
            action(changed((66, 3), value), LABELS)


def test_predict_looks_at_ids_every_time():
    model = network()
    for method in (model.predict, model.predict_on_batch):
        for _ in range(3):
            assert np.isfinite(method(IDS[:5].astype("int32"))).all()
            with pytest.raises(DataError, match="row 2, position 0"):
                method(changed((2, 0), 77)[:5].astype("int32"))
    assert np.isfinite(model.predict(IDS)).all()


def test_ids_that_follow_from_the_inputs_are_checked_in_all_rows():
    model = network(lambda x: ops.flip(x, axis=1) + 1, vocabulary=21)
    model.fit(IDS, LABELS, verbose=0)
    with pytest.raises(DataError) as caught:
        model.fit(changed((69, 5), 20), LABELS, verbose=0)
    assert "21 at row 69, position 0" in str(caught.value)


def test_batches_of_a_generator_are_checked_one_by_one():
    model = network()

    def batches():
        yield IDS[:10], LABELS[:10]
        yield changed((12, 1), 99)[10:20], LABELS[10:20]

    with pytest.raises(DataError, match="99 at row 2, position 1"):
        model.fit(batches(), verbose=0)


def test_ids_the_network_computes_itself_are_refused_by_their_nan():
    x = lamina.Input((6,), dtype="int32")
    hidden = layers.Dense(1, kernel_initializer="ones")(layers.Embedding(20, 4, "ones")(x))
    computed = ops.cast(hidden[:, :, 0] * 100, "int32")
    model = lamina.Model(x, layers.Dense(1)(layers.Flatten()(layers.Embedding(20, 2, name="late")(computed))))
    model.compile("sgd", "mse")
    with pytest.raises(NonFiniteError, match="late"):
        model.fit(IDS, LABELS, verbose=0)
    assert np.isnan(model.predict(IDS[:3])).all()


def test_eager_run_eagerly_and_functions():
    table = layers.Embedding(20, 4)
    with pytest.raises(DataError, match="-3 at row 0, position 1"):
        table(np.array([[1, -3]]))
    model = network()
    model.compile("adam", "sparse_categorical_crossentropy", run_eagerly=True)
    with pytest.raises(DataError, match="500"):
        model.fit(changed((3, 3), 500), LABELS, verbose=0)

    @lamina.function
    def look_up(ids):
        return table(ids)

    assert look_up(np.array([[3]])).shape == (1, 1, 4)
    with pytest.raises(DataError, match="20 at row 0"):
        look_up(np.array([[20]]))


def test_ids_as_floats_and_as_rows_of_three_axes():
    table = layers.Embedding(5, 2)
    np.testing.assert_array_equal(table(np.array([[1.0, 4.0]])), table(np.array([[1, 4]])))
    with pytest.raises(DataError, match=r"7 at row 1, element \(0, 2\)"):
        table(np.array([[[0, 1, 2]], [[3, 4, 7]]]))
    model = lamina.Sequential([layers.Embedding(5, 2)])
    assert model.predict(np.array([[1, 2]])).shape == (1, 2, 2)
    with pytest.raises(DataError, match="9 at row 0"):
        model.predict(np.array([[1, 9]]))


def test_given_weights_and_masks(real_keras):
    table = np.arange(10, dtype="float32").reshape(5, 2)
    mine, theirs = (
        module.Embedding(5, 2, weights=[table], mask_zero=True) for module in (layers, real_keras.layers)
    )
    ids = np.array([[0, 3], [4, 0]])
    np.testing.assert_array_equal(mine(ids), np.asarray(theirs(ids)))
    np.testing.assert_array_equal(mine(ids)._keras_mask, np.asarray(theirs(ids)._keras_mask))


def test_reverse(real_keras):
    ids = np.array([[1, 3], [4, 0]])
    for arguments in ({"tie_weights": False}, {"logit_soft_cap": 0.5, "mask_zero": True}):
        mine, theirs = (
            module.ReversibleEmbedding(5, 2, **arguments) for module in (layers, real_keras.layers)
        )
        mine(ids), theirs(ids)
        mine.set_weights([np.asarray(weight.value) for weight in theirs.weights])
        np.testing.assert_allclose(
            mine(mine(ids), reverse=True), np.asarray(theirs(theirs(ids), reverse=True)), rtol=1e-5
        )
