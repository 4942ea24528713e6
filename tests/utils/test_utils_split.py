"""split_dataset: sizes, order, strata, forms."""

import numpy as np
import pandas
import pytest

from lamina.core.errors import ArgumentError, DataError
from lamina.utils import PyDataset, split_dataset

X = np.arange(20).reshape(10, 2)
Y = np.array([0, 0, 0, 0, 0, 0, 0, 0, 1, 1])


@pytest.mark.parametrize(
    ("left", "right", "sizes"),
    [(0.8, None, (8, 2)), (None, 0.3, (7, 3)), (3, None, (3, 7)), (3, 4, (3, 4)), (0.5, 0.2, (5, 2))],
)
def test_sizes_are_those_of_keras(left, right, sizes, real_keras):
    first, second = split_dataset(X, left, right)
    assert (len(first), len(second)) == sizes
    np.testing.assert_array_equal(first, X[: sizes[0]])
    np.testing.assert_array_equal(second, X[10 - sizes[1] :])


def test_structures_and_tables_keep_their_form():
    data = {"x": X, "more": [pandas.DataFrame(X), None], "y": (Y,)}
    first, second = split_dataset(data, 0.6, shuffle=True, seed=1)
    assert isinstance(first["more"][0], pandas.DataFrame)
    assert first["more"][1] is None
    np.testing.assert_array_equal(first["more"][0].to_numpy(), first["x"])
    rows = np.concatenate([first["x"], second["x"]])
    assert sorted(rows[:, 0].tolist()) == X[:, 0].tolist()
    again, _ = split_dataset(data, 0.6, shuffle=True, seed=1)
    other, _ = split_dataset(data, 0.6, shuffle=True, seed=2)
    assert np.array_equal(first["x"], again["x"])
    assert not np.array_equal(first["x"], other["x"])


@pytest.mark.parametrize("form", ["numbers", "strings", "one-hot"])
def test_strata_have_the_same_shares(form):
    labels = np.repeat([0, 1, 2], [50, 30, 20])
    given = {"numbers": labels, "strings": np.array(list("abc"))[labels], "one-hot": np.eye(3)[labels]}[form]
    first, second = split_dataset(labels, right_size=0.2, shuffle=True, seed=0, stratify=given)
    assert np.bincount(first).tolist() == [40, 24, 16]
    assert np.bincount(second).tolist() == [10, 6, 4]
    assert first.tolist() != sorted(first.tolist())
    first, second = split_dataset(labels[:7], 5, shuffle=True, stratify=given[:7])
    assert (len(first), len(second)) == (5, 2)


def test_data_sets_are_split_by_batches():
    class Numbers(PyDataset):
        def __len__(self):
            return 10

        def __getitem__(self, index):
            return X[index : index + 1]

    first, second = split_dataset(Numbers(workers=2), 0.7)
    assert (len(first), len(second), first.workers) == (7, 3, 2)
    np.testing.assert_array_equal(second[0], X[7:8])


def test_mistakes():
    with pytest.raises(ArgumentError, match="left_size or right_size"):
        split_dataset(X)
    for left, right in ((1.5, None), (0.99, None), (8, 8), (0, None), ("a", None), (True, None), (-1, None)):
        with pytest.raises(ArgumentError):
            split_dataset(X, left, right)
    with pytest.raises(ArgumentError, match="shuffle=True"):
        split_dataset(X, 0.5, stratify=Y)
    with pytest.raises(DataError, match="3 labels for 10 rows"):
        split_dataset(X, 0.5, shuffle=True, stratify=Y[:3])
    with pytest.raises(DataError, match="different numbers"):
        split_dataset((X, Y[:3]), 0.5)
    with pytest.raises(DataError, match="Cannot split"):
        split_dataset((value for value in X), 0.5)
    with pytest.raises(DataError, match="no data"):
        split_dataset(X[:0], 0.5)
