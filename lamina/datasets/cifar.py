"""Reads the CIFAR archives: pickles inside a tar file, of which only arrays, lists and bytes are accepted."""

from __future__ import annotations

import io
import pickle
import tarfile
from pathlib import Path
from typing import Any

import numpy as np

from lamina.core.errors import DataError

Array = np.ndarray[Any, Any]

_LARGEST = 1 << 28  # bytes of a member; the real ones have at most 155 MB


def _latin1(text: str, encoding: str) -> bytes:
    """How Python 3 writes bytes in protocol 2."""
    return text.encode("latin1")


# What a pickled array of bytes is made of. Nothing else can be named, so nothing else can be called.
_ALLOWED: dict[tuple[str, str], Any] = {
    ("numpy.core.multiarray", "_reconstruct"): np.empty(0).__reduce__()[0],
    ("numpy._core.multiarray", "_reconstruct"): np.empty(0).__reduce__()[0],
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("_codecs", "encode"): _latin1,
}


class _ArraysOnly(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"it names {module}.{name}, which is no part of an array")
        return _ALLOWED[module, name]


def read(archive: Path, members: list[str], labels: str) -> tuple[Array, Array]:
    """Images uint8 [rows, 32, 32, 3] and labels uint8 [rows, 1] of the members, one after another.

    labels: the entry of the labels. Nothing is unpacked to disk. Raises DataError, naming the archive and
    its member, for anything that is not there or not of this form.
    """
    parts: dict[str, tuple[Array, Array]] = {}
    try:
        with tarfile.open(archive, "r:gz") as tar:
            for member in tar:
                if member.name in members and member.isfile() and member.size <= _LARGEST:
                    file = tar.extractfile(member)
                    assert file is not None
                    parts[member.name] = _batch(file.read(), labels)
    except (tarfile.TarError, OSError, EOFError, pickle.UnpicklingError, ValueError, KeyError) as error:
        raise DataError(f"{archive} cannot be read.", got=f"{type(error).__name__}: {error}") from error
    missing = [name for name in members if name not in parts]
    if missing:
        raise DataError(f"{archive} has no member {missing[0]}.")
    images, classes = zip(*(parts[name] for name in members))
    return np.concatenate(images), np.concatenate(classes)


def _batch(content: bytes, labels: str) -> tuple[Array, Array]:
    entries = _ArraysOnly(io.BytesIO(content), encoding="bytes").load()
    data = np.asarray(entries[b"data"])
    classes = np.asarray(entries[labels.encode()])
    if data.dtype != np.uint8 or data.shape != (len(classes), 3072):
        raise ValueError(f"images {data.dtype}{data.shape} for {len(classes)} labels")
    images = np.ascontiguousarray(data.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1))
    return images, classes.astype(np.uint8).reshape(-1, 1)
