"""Named arrays in a file, in the safetensors format: a JSON header, then the numbers, and nothing else.

    8 bytes    N, the length of the header, little endian
    N bytes    {"name": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}, ..., "__metadata__": ...}
    the rest   the arrays one after another, row-major, little endian

It is written and read here in one pass over any stream, so that it can lie inside an archive without a copy
of all weights; other programs read it with the safetensors package.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from lamina.core import dtypes
from lamina.core.errors import DTypeError, FileError

_CODES = {
    "bool": "BOOL", "uint8": "U8", "int8": "I8", "uint16": "U16", "int16": "I16", "uint32": "U32",
    "int32": "I32", "uint64": "U64", "int64": "I64", "float16": "F16", "bfloat16": "BF16",
    "float32": "F32", "float64": "F64",
}  # fmt: skip
_DTYPES = {code: np.dtype(dtypes.to_numpy(name)) for name, code in _CODES.items()}
_LARGEST_HEADER = 100_000_000  # bytes; what the safetensors package takes


class Entry(NamedTuple):
    """Where one array lies, counted in bytes from the end of the header."""

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    start: int
    stop: int


def write(file: BinaryIO, tensors: Mapping[str, np.ndarray[Any, Any]], metadata: Mapping[str, str]) -> None:
    """Write the arrays in the order of `tensors`. DTypeError for a dtype that has no numbers."""
    header: dict[str, Any] = {"__metadata__": dict(metadata)}
    position = 0
    for name, array in tensors.items():
        code = _CODES.get(array.dtype.newbyteorder("=").name)
        if code is None:
            raise DTypeError(f"'{name}' of dtype {array.dtype} cannot be saved.", expected=", ".join(_CODES))
        stop = position + array.nbytes
        header[name] = {"dtype": code, "shape": list(array.shape), "data_offsets": [position, stop]}
        position = stop
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    file.write(len(text).to_bytes(8, "little"))
    file.write(text)
    for array in tensors.values():
        little_endian = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
        file.write(little_endian.reshape(-1).view(np.uint8).data)


class TensorFile:
    """A stream of `size` bytes in this format, whose header has been read and checked.

    Raises FileError when the header does not describe exactly the bytes that are there.
    """

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file = file
        length = int.from_bytes(self._exactly(8), "little")
        if length > min(size - 8, _LARGEST_HEADER):
            raise FileError("The weights are damaged: their header is longer than the file.")
        header = _parsed(self._exactly(length))
        self.metadata = header.pop("__metadata__", {})
        self.entries = sorted((_entry(*item) for item in header.items()), key=lambda entry: entry.start)
        position = 0
        for entry in self.entries:
            if entry.start != position:
                raise FileError(f"The weights are damaged: '{entry.name}' is not where it should be.")
            position = entry.stop
        self.bytes = position
        if position != size - 8 - length:
            raise FileError(
                "The weights are damaged or cut off.",
                expected=f"{position:,} bytes of numbers, by their header",
                got=f"{max(size - 8 - length, 0):,} bytes",
            )

    def read(self) -> dict[str, np.ndarray[Any, Any]]:
        """All arrays by name; can be called once."""
        tensors: dict[str, np.ndarray[Any, Any]] = {}
        for entry in self.entries:
            array = np.empty(entry.shape, entry.dtype)
            if array.nbytes:
                target = array.reshape(-1).view(np.uint8).data
                if self._file.readinto(target) != array.nbytes:  # type: ignore[attr-defined]
                    raise FileError(f"The weights are cut off in '{entry.name}'.")
            tensors[entry.name] = array
        if self._file.read(1):  # at the end archives compare checksums
            raise FileError("The weights are damaged: more follows than their header says.")
        return tensors

    def _exactly(self, count: int) -> bytes:
        found = self._file.read(count)
        if len(found) != count:
            raise FileError("The weights are cut off: their header is not complete.")
        return found


def _parsed(text: bytes) -> dict[str, Any]:
    try:
        header = json.loads(text)
    except (ValueError, RecursionError):
        raise FileError("The weights are damaged: their header is no JSON.") from None
    if not isinstance(header, dict):
        raise FileError("The weights are damaged: their header is no dict.")
    return header


def _entry(name: str, described: Any) -> Entry:
    try:
        dtype, shape = _DTYPES[described["dtype"]], tuple(described["shape"])
        start, stop = described["data_offsets"]
    except (KeyError, TypeError, ValueError):
        raise FileError(f"The weights are damaged: '{name}' has no dtype, shape and place.") from None
    numbers = (*shape, start, stop)
    if not all(isinstance(number, int) and 0 <= number < 2**62 for number in numbers):
        raise FileError(f"The weights are damaged: '{name}' has an impossible shape or place.")
    if math.prod(shape) * dtype.itemsize != stop - start:
        raise FileError(f"The weights are damaged: '{name}' does not fill its place.")
    return Entry(name, dtype, shape, start, stop)
