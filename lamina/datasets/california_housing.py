"""California housing: what houses cost in 20,640 districts of the census of 1990."""

from __future__ import annotations

from lamina.core.errors import ArgumentError
from lamina.datasets import tables
from lamina.datasets.download import Source
from lamina.datasets.tables import Folder, Parts

COLUMNS = (
    "MedInc", "HouseAge", "AveRooms", "AveBedrms", "Population", "AveOccup", "Latitude", "Longitude",
)  # fmt: skip

_SOURCE = Source(
    "california_housing.npz",
    "https://storage.googleapis.com/tensorflow/tf-keras-datasets/california_housing.npz",
    "1a2e3a52e0398de6463aebe6f4a8da34fb21fbb6b934cf88c3425e766f2a1a6f",
)


def load_data(
    version: str = "large",
    path: str = "california_housing.npz",
    test_split: float = 0.2,
    seed: int = 113,
    *,
    folder: Folder = None,
) -> Parts:
    """((x_train, y_train), (x_test, y_test)): x [rows, 8], y [rows], the median value of houses in dollars.

    version: "large", or "small" for 600 districts. test_split: the share of rows to test with, after they
    were shuffled by `seed`. path, folder: as for mnist. `COLUMNS` names the columns. Raises ArgumentError for
    other versions and shares, DataError when the file cannot be had (743 kB), or is not the published one.

    >>> (x_train, y_train), (x_test, y_test) = load_data(version="small")
    >>> x_train.shape, y_test.shape
    ((480, 8), (120,))

    Source: R. Pace, R. Barry, "Sparse Spatial Autoregressions" (1997).
    """
    tables.check_split(test_split)
    if version not in ("large", "small"):
        raise ArgumentError(f"Unknown version {version!r}.", expected='"large" or "small"')
    x, y = tables.read(_SOURCE, path, folder)
    rows = 600 if version == "small" else len(x)
    return tables.divide(x[:rows], y[:rows], test_split, seed)
