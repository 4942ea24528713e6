"""Weights in the HDF5 files of Keras, through h5py: read without trust, written as Keras reads them."""

from __future__ import annotations

import io
from typing import Any, BinaryIO

import numpy as np

from lamina.core import dtypes
from lamina.core.errors import FileError, StateError
from lamina.saving.state import State

_LARGEST_EXPANSION = 1100  # of a compressed dataset


def write(file: BinaryIO, saved: State) -> None:
    """Write the arrays, but for random seeds, which Keras keeps elsewhere."""
    with _h5py().File(file, "w") as root:
        for path, name in saved.names.items():
            group = root.require_group(f"{path}/vars")
            group.attrs["name"] = name
            for key, array in saved.of(path, "vars").items():
                dataset = group.create_dataset(key, data=array)
                if array.dtype == dtypes.to_numpy("bfloat16"):
                    dataset.attrs["dtype"] = "bfloat16"


def read(contents: bytes | BinaryIO) -> State:
    """The arrays and names in a file. FileError for other files, and for what refers outside."""
    h5py = _h5py()
    stream = io.BytesIO(contents) if isinstance(contents, bytes) else contents
    try:
        with h5py.File(stream, "r") as root:
            found = State({}, {})
            _read_group(h5py, root, "", found)
    except OSError as error:
        raise FileError("This is no HDF5 file, or it is damaged or cut off.", got=str(error)[:120]) from None
    return State(found.tensors, found.names)


def _read_group(h5py: Any, group: Any, path: str, found: State) -> None:
    for key in group:
        place = f"{path}/{key}" if path else key
        child = _own(h5py, group, key, place)
        if not isinstance(child, h5py.Group):
            raise FileError(f"'{place}' in the file is not where Keras keeps arrays.")
        if key != "vars":
            _read_group(h5py, child, place, found)
            continue
        name = child.attrs.get("name")
        if isinstance(name, str):
            found.names[path] = name
        for number in child:
            where = f"{place}/{number}"
            found.tensors[where] = _array(_own(h5py, child, number, where), where)


def _own(h5py: Any, group: Any, key: str, place: str) -> Any:
    """A child of a group; FileError when it lies in another file or behind a link."""
    if not isinstance(group.get(key, getlink=True), h5py.HardLink):
        raise FileError(f"'{place}' in the file refers to another place, and is not followed.")
    return group[key]


def _array(dataset: Any, place: str) -> np.ndarray[Any, Any]:
    if not hasattr(dataset, "nbytes"):
        raise FileError(f"'{place}' in the file is no array.")
    if dataset.external or dataset.is_virtual:
        raise FileError(f"'{place}' in the file refers to another file, and is not followed.")
    stored = dataset.id.get_storage_size()
    expansion = 1 if dataset.chunks is None else _LARGEST_EXPANSION
    if dataset.nbytes > expansion * stored:
        raise FileError(f"'{place}' claims {dataset.nbytes:,} bytes, of which {stored:,} are in the file.")
    array = np.array(dataset)
    if dataset.attrs.get("dtype") == "bfloat16":
        array = array.view(dtypes.to_numpy("bfloat16")) if array.dtype.kind == "V" else array
    return array


def _h5py() -> Any:
    try:
        import h5py
    except ImportError:
        raise StateError(
            "Files of Keras' own format need the package h5py.",
            fix="pip install lamina[hdf5], or save as .safetensors (whole models: .keras).",
        ) from None
    return h5py
