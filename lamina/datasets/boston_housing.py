"""Boston housing: what houses cost in 506 places around Boston in the 1970s."""

from __future__ import annotations

from lamina.datasets import tables
from lamina.datasets.download import Source
from lamina.datasets.tables import Folder, Parts

_SOURCE = Source(
    "boston_housing.npz",
    "https://storage.googleapis.com/tensorflow/tf-keras-datasets/boston_housing.npz",
    "f553886a1f8d56431e820c5b82552d9d95cfcb96d1e678153f8839538947dff5",
)


def load_data(
    path: str = "boston_housing.npz", test_split: float = 0.2, seed: int = 113, *, folder: Folder = None
) -> Parts:
    """((x_train, y_train), (x_test, y_test)): x [rows, 13], y [rows], median values in thousands of dollars.

    One of the columns supposes that people's skin decides what houses cost; `california_housing` is the
    better choice, unless that is the subject. test_split: the share of rows to test with, after they were
    shuffled by `seed`. path, folder: as for mnist. Raises ArgumentError for another share, DataError when the
    file cannot be had (57 kB), or is not the published one.

    >>> (x_train, y_train), (x_test, y_test) = load_data()
    >>> x_train.shape, y_test.shape
    ((404, 13), (102,))

    Source: D. Harrison, D. Rubinfeld, "Hedonic housing prices and the demand for clean air" (1978).
    """
    tables.check_split(test_split)
    return tables.divide(*tables.read(_SOURCE, path, folder), test_split, seed)
