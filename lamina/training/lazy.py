"""Arrays whose rows are read, converted or filled out only when they are needed.

That is what sparse matrices, arrays in HDF5 and Zarr files, and memory-mapped files become: they need not fit
into memory. NaN and infinities in them are found by the step that meets them, not beforehand.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from lamina.core import dtypes
from lamina.core.config import config
from lamina.core.errors import DataError

Array = np.ndarray[Any, Any]

_LIBRARIES = ("h5py", "zarr")
_SHORTER = {"int64": "int32", "uint64": "uint32"}


def is_lazy(data: Any) -> bool:
    """Whether the rows of `data` are better not all held in memory."""
    if isinstance(data, np.memmap):
        return True
    return hasattr(data, "tocoo") or type(data).__module__.split(".")[0] in _LIBRARIES


def wrapped(data: Any, name: str) -> Any:
    """`data` as an array that programs take: itself if it is one, else rows that are made when asked for.

    Raises DataError for what holds no numbers, or has no rows.
    """
    dtype = np.dtype(data.dtype)
    if dtype.kind not in "fiub" or len(data.shape) < 1:
        raise DataError(f"{name} holds no numbers.", expected="floats, integers or booleans", got=str(dtype))
    target = dtypes.of_numpy(dtype.newbyteorder("="))
    target = config.floatx if dtype.kind == "f" else _SHORTER.get(target, target)
    if isinstance(data, np.memmap):
        data = np.ndarray(data.shape, data.dtype, data, strides=data.strides)
        if data.dtype == dtypes.to_numpy(target) and data.flags.c_contiguous:
            return data
    if hasattr(data, "tocoo"):
        data = data.tocsr()
    return LazyArray(data, tuple(data.shape), dtypes.to_numpy(target), range(data.shape[0]))


class LazyArray:
    """Some rows of `source`, as arrays of dtype `dtype`. Indexing with numbers of rows reads them."""

    def __init__(self, source: Any, shape: tuple[int, ...], dtype: np.dtype[Any], rows: range) -> None:
        self._source = source
        self._rows = rows
        self.shape = (len(rows), *shape[1:])
        self.dtype = dtype
        self.ndim = len(shape)
        self.size = int(np.prod(self.shape))
        self.nbytes = self.size * dtype.itemsize

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return LazyArray(self._source, self.shape, self.dtype, self._rows[index])
        return self._converted(self.as_stored(index))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        found = self._converted(self.as_stored(slice(0, len(self))))
        return found if dtype is None else found.astype(dtype)

    def as_stored(self, rows: Any) -> Array:
        """These rows - a slice, or an array of numbers - in the dtype that the source has."""
        if isinstance(rows, slice):
            chosen = self._rows[rows]
            return _dense(self._source[chosen.start : chosen.stop])
        wanted = np.asarray(rows) + self._rows.start
        distinct, places = np.unique(wanted, return_inverse=True)  # files are read in order, each row once
        return _dense(self._source[distinct])[places.reshape(-1)]

    def _converted(self, stored: Array) -> Array:
        with np.errstate(over="ignore", invalid="ignore"):
            return stored.astype(self.dtype, copy=False)


def _dense(found: Any) -> Array:
    return np.asarray(found.toarray() if hasattr(found, "toarray") else found)
