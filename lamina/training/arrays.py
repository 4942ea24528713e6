"""User data as plain arrays: what each leaf of `x`, `y` and `sample_weight` becomes, and what is refused."""

from __future__ import annotations

import numbers
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lamina.core import dtypes, tree
from lamina.core.config import config
from lamina.core.errors import DataError, DTypeError
from lamina.layers.host import Prepared
from lamina.training import lazy

_SHORTER = {"int64": "int32", "uint64": "uint32"}
_KINDS = {
    "U": "strings",
    "S": "bytes",
    "M": "dates",
    "m": "time spans",
    "c": "complex numbers",
    "V": "records",
}


_WORDS = (
    "begin the model with TextVectorization (sentences) or StringLookup (categories); "
    "numbers in disguise: .astype('float32')."
)


@dataclass(frozen=True)
class Leaf:
    """One array of the data: its name in messages ("x", "y['age']"), the array, the names of its columns."""

    name: str
    array: np.ndarray[Any, Any]
    columns: tuple[str, ...] | None = None

    def with_array(self, array: np.ndarray[Any, Any]) -> Leaf:
        """The same leaf of other data."""
        return Leaf(self.name, array, self.columns)

    def slice(self, start: int, stop: int) -> Leaf:
        return self.with_array(self.array[start:stop])

    def take(self, index: np.ndarray[Any, Any]) -> Leaf:
        """Copies of these rows."""
        return self.with_array(self.array[index])

    def loaded(self) -> Leaf:
        """The leaf with its array in memory."""
        return self.with_array(np.asarray(self.array))

    def place(self, index: tuple[int, ...]) -> str:
        """An element's place in words: "row 17, column 3 ('age')"."""
        if len(index) == 1:
            return f"row {index[0]}"
        if len(index) == 2:
            column = f" ({self.columns[index[1]]!r})" if self.columns else ""
            return f"row {index[0]}, column {index[1]}{column}"
        return f"row {index[0]}, element {index[1:]}"


def to_leaves(data: Any, name: str, finite: bool = True) -> Any:
    """`data` with each of its arrays as a `Leaf` of a dtype that programs take; None stays None.

    Lists of numbers become arrays; frames keep their column names; floats become the default float dtype, and
    64-bit integers 32-bit ones. finite: refuse NaN and infinities. Nothing is copied that is right already.

    Raises DataError for data that is not numbers, or that is not finite; DTypeError for numbers too large.
    """
    return tree.map_with_path(
        lambda path, leaf: None if leaf is None else _to_leaf(leaf, name + _suffix(path), finite),
        _collapse(data),
    )


def _suffix(path: Sequence[Any]) -> str:
    return "".join(f"[{key!r}]" for key in path)


def _collapse(data: Any) -> Any:
    """Lists of numbers (of lists of numbers) as arrays; lists of arrays stay lists."""
    if isinstance(data, Prepared):
        return data
    if isinstance(data, dict):
        return {key: _collapse(value) for key, value in data.items()}
    if not isinstance(data, (list, tuple)):
        return data
    if _starts_with_number(data):
        try:
            return np.asarray(data)
        except ValueError:
            raise DataError(
                "The rows of a list have different lengths, so it is not an array.",
                fix="pad the rows to one length, or pass a list with one array per input.",
            ) from None
    if hasattr(data, "_fields"):
        return type(data)(*(_collapse(entry) for entry in data))
    return type(data)(_collapse(entry) for entry in data)


def _starts_with_number(data: Any) -> bool:
    while isinstance(data, (list, tuple)):
        if not data:
            return True
        data = data[0]
    return isinstance(data, (numbers.Number, str, bytes, np.generic))


def _to_leaf(leaf: Any, name: str, finite: bool) -> Leaf:
    if name.startswith("x") and lazy.is_lazy(leaf):
        return Leaf(name, lazy.wrapped(leaf, name))  # type: ignore[arg-type]
    array, columns = _to_array(leaf, name)
    if array.ndim == 0:
        raise DataError(
            f"{name} is a single number.",
            expected="an array with one row per sample",
            fix="put it into a list; a source of data yields whole batches, e.g. dataset.batch(32).",
        )
    return _standard(Leaf(name, array, columns), finite)


def _is_masked(leaf: Any) -> bool:
    """Whether some values of a NumPy masked array are hidden. Loads numpy.ma, which few programs need."""
    return isinstance(leaf, np.ma.MaskedArray) and bool(np.ma.is_masked(leaf))


def _to_array(leaf: Any, name: str) -> tuple[np.ndarray[Any, Any], tuple[str, ...] | None]:
    if type(leaf) is not np.ndarray and getattr(leaf, "mask", None) is not None and _is_masked(leaf):
        raise DataError(
            f"{name} is a masked array; the values under its mask would be trained on.",
            fix="fill them, e.g. x.filled(0.0), and tell the model with a sample_weight or an extra column.",
        )
    if isinstance(leaf, np.ndarray):
        return _refuse_other_than_numbers(np.asarray(leaf), name), None
    if hasattr(leaf, "to_numpy"):
        return _from_table(leaf, name)
    if hasattr(leaf, "tocoo"):
        raise DataError(
            f"{name} is a sparse matrix.", expected="a dense array", fix=f"pass {name}.toarray()."
        )
    if not hasattr(leaf, "__array__"):
        raise DataError(
            f"{name} is of type {type(leaf).__name__}, which is no array.",
            expected="a NumPy array, a list, a table, or a dict or list of them",
            fix=f"read it first: {name}.collect()." if hasattr(leaf, "collect") else None,
        )
    try:
        return _refuse_other_than_numbers(np.asarray(leaf), name), None
    except (RuntimeError, TypeError, ValueError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(
            f"{name} of type {type(leaf).__name__} does not convert to an array.",
            got=str(error).splitlines()[0],
            fix="convert it to a NumPy array first.",
        ) from None


def _from_table(table: Any, name: str) -> tuple[np.ndarray[Any, Any], tuple[str, ...] | None]:
    """A pandas or polars table or column, without importing either."""
    if not hasattr(table, "columns"):
        return _refuse_other_than_numbers(_column(table, name), name), None
    names = tuple(map(str, table.columns))
    columns = [
        _refuse_other_than_numbers(_column(table[column], name), f"column {str(column)!r} of {name}")
        for column in table.columns
    ]
    kinds = {column.dtype for column in columns}
    if len(kinds) == 1:
        return np.stack(columns, axis=1), names
    integers = all(column.dtype.kind in "iub" for column in columns)
    dtype = np.result_type(*kinds) if integers else dtypes.to_numpy(config.floatx)
    result = np.empty((len(columns[0]), len(columns)), dtype)
    for position, column in enumerate(columns):
        _assign(result[:, position], column, f"column {names[position]!r} of {name}")
    return result, names


def _assign(target: np.ndarray[Any, Any], column: np.ndarray[Any, Any], name: str) -> None:
    with np.errstate(over="ignore", invalid="ignore"):
        target[...] = column
    if target.dtype.kind == "f":
        _refuse_overflow(Leaf(name, column), target)


def _column(column: Any, name: str) -> np.ndarray[Any, Any]:
    array = np.asarray(column.to_numpy())
    if array.dtype == object and str(getattr(column, "dtype", "")).startswith(
        ("Int", "UInt", "Float", "boolean")
    ):
        array = np.asarray(column.to_numpy(dtype="float64", na_value=np.nan))
    return array


def _refuse_other_than_numbers(array: np.ndarray[Any, Any], name: str) -> np.ndarray[Any, Any]:
    if array.dtype.kind in "fiub" or array.dtype == dtypes.to_numpy("bfloat16"):
        return array
    example = repr(array.reshape(-1)[:1].tolist()[0]) if array.size else "nothing"
    example = example if len(example) < 60 else example[:56] + "..."
    what = _KINDS.get(array.dtype.kind, "Python objects")
    fix = "turn it into numbers; if they are numbers in disguise: .astype('float32')."
    # Tables hand over columns of words, and columns with gaps, as Python objects.
    gaps = array.dtype == object and any(value is None for value in array.flat)
    first = next((value for value in array.flat if value is not None), None)
    if gaps:
        what, fix = "gaps (None)", "fill the gaps, or leave out the rows that have them."
    elif isinstance(first, str):
        what = "strings"
        fix = "number the classes: classes, y = np.unique(y, return_inverse=True)."
        fix = fix if name.startswith("y") else _WORDS
    elif isinstance(first, bytes):
        what, fix = "bytes", _WORDS
    raise DataError(
        f"{name} holds {what}, not numbers.",
        expected="an array of floats, integers or booleans",
        got=f"dtype {array.dtype}; the first value is {example}",
        fix=fix,
    )


def _standard(leaf: Leaf, finite: bool) -> Leaf:
    """The leaf in a dtype that programs take, contiguous, its values checked."""
    array = leaf.array
    if array.dtype.kind in "fV":
        target = dtypes.to_numpy(config.floatx)
        if array.dtype != target:
            with np.errstate(over="ignore", invalid="ignore"):
                converted = array.astype(target)
            _refuse_overflow(leaf, converted)
            array = converted
        if finite:
            _refuse_nonfinite(Leaf(leaf.name, array, leaf.columns))
    else:
        name = dtypes.of_numpy(array.dtype.newbyteorder("="))
        if name in _SHORTER:
            _refuse_large(leaf, _SHORTER[name])
        array = array.astype(dtypes.to_numpy(_SHORTER.get(name, name)), copy=False)
    return Leaf(leaf.name, np.ascontiguousarray(array), leaf.columns)


def all_finite(array: np.ndarray[Any, Any]) -> bool:
    """Whether a float array holds no NaN and no infinity: one pass at memory speed in the common case."""
    if not array.size:
        return True
    if array.flags.c_contiguous and array.dtype in (np.float32, np.float64):
        flat = array.reshape(-1)
        with np.errstate(all="ignore"):
            # A NaN or infinity anywhere makes the sum of squares NaN or infinite; so may large numbers.
            if np.isfinite(np.dot(flat, flat)):
                return True
    rows = max(1, 1_000_000 // max(1, array[0].size))
    return all(bool(np.isfinite(array[start : start + rows]).all()) for start in range(0, len(array), rows))


def first_nonfinite(array: np.ndarray[Any, Any]) -> tuple[int, ...] | None:
    """The index of the first NaN or infinity, or None."""
    bad = ~np.isfinite(array)
    if not bad.any():
        return None
    return tuple(int(axis) for axis in np.unravel_index(int(bad.argmax()), array.shape))


def _refuse_nonfinite(leaf: Leaf) -> None:
    if all_finite(leaf.array):
        return
    index = first_nonfinite(leaf.array)
    if index is None:
        return
    value = leaf.array[index]
    bad_rows = int((~np.isfinite(leaf.array.reshape(len(leaf.array), -1))).any(axis=1).sum())
    raise DataError(
        f"{leaf.name} contains {'NaN' if np.isnan(value) else 'infinity'}.",
        expected="finite numbers",
        got=f"{value} at {leaf.place(index)}; {bad_rows} of {len(leaf.array)} rows are affected",
        fix=f"remove these rows or fill the gaps, e.g. keep = np.isfinite({leaf.name}).all(axis=-1).",
    )


def _refuse_overflow(leaf: Leaf, converted: np.ndarray[Any, Any]) -> None:
    """Numbers that were finite and are no longer, in the narrower dtype."""
    if all_finite(converted):
        return
    lost = np.isfinite(leaf.array.astype(np.longdouble)) & ~np.isfinite(converted)
    if not lost.any():
        return
    index = tuple(int(axis[0]) for axis in np.nonzero(lost))
    raise DTypeError(
        f"{leaf.name} has numbers too large for {converted.dtype}.",
        expected=f"magnitudes below {np.finfo(converted.dtype).max:.3g}",
        got=f"{leaf.array[index]:.6g} at {leaf.place(index)}",
        fix="rescale the data, e.g. (x - mean) / standard deviation, or take logarithms.",
    )


def _refuse_large(leaf: Leaf, dtype: str) -> None:
    if not leaf.array.size:
        return
    low, high = dtypes.limits(dtype)
    smallest, largest = leaf.array.min(), leaf.array.max()
    if low <= smallest and largest <= high:
        return
    position = int((leaf.array < low).argmax() if smallest < low else (leaf.array > high).argmax())
    index = tuple(int(axis) for axis in np.unravel_index(position, leaf.array.shape))
    raise DTypeError(
        f"{leaf.name} has integers too large for {dtype}.",
        expected=f"{low} to {high}",
        got=f"{leaf.array[index]} at {leaf.place(index)}",
        fix="number the ids: np.unique(ids, return_inverse=True); make quantities floats.",
    )
