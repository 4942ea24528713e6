"""Weights without the model: `save_weights` and `load_weights`."""

from __future__ import annotations

import os
import warnings
from typing import Any

from lamina.core.errors import FileError, StateError
from lamina.models.model import Model
from lamina.saving import hdf5, shards, state
from lamina.saving.archive import ArchiveReader
from lamina.saving.model_files import (
    damage_told,
    opened_to_read,
    opened_to_write,
    read_state,
    read_weights,
    write_state,
)

_SAFETENSORS, _HDF5, _KERAS = ".safetensors", ".weights.h5", ".keras"


def save_weights(
    model: Model, filepath: Any, overwrite: bool = True, max_shard_size: float | None = None
) -> None:
    """Write the weights, random seeds and the optimizer's state of a model to a file, whole or not at all.

    filepath: ends in ".safetensors", or in ".weights.h5" for the format of Keras, which needs h5py and has no
    random seeds. max_shard_size: gigabytes; the weights then go into as many safetensors files as needed, and
    filepath, which ends in ".weights.json", is the index that names them.
    """
    if not model.built:
        raise StateError(
            f"Model '{model.name}' has no weights to save yet: it is not built.",
            fix="call it on data, or call build(input_shape), first.",
        )
    saved = state.collect(model)
    if max_shard_size is not None:
        shards.write(filepath, saved, max_shard_size, overwrite)
        return
    with opened_to_write(filepath, overwrite, _SAFETENSORS, _HDF5) as file:
        (hdf5.write if str(filepath).endswith(_HDF5) else write_state)(file, saved)


def load_weights(model: Model, filepath: Any, skip_mismatch: bool = False, by_name: bool = False) -> None:
    """Give a model the weights in a file: of `save_weights`, of `save`, or of either in Keras.

    Layers are found by where they sit in the model, so it must be built like the one that was saved.
    by_name: instead load the layers that are called the same, and leave the others as they are; this is how
    weights move to another architecture. skip_mismatch: leave out layers that do not fit, with a warning.

    Raises MissingFileError, and FileError for files that are damaged or do not fit; then nothing is changed.

    >>> classifier.load_weights("pretrained.safetensors", by_name=True)
    """
    if not model.built:
        raise StateError(
            f"Model '{model.name}' has no place for weights yet: it is not built.",
            fix="call it on data, or call build(input_shape), first.",
        )
    with opened_to_read(filepath) as file, damage_told("the file"):
        saved = _read(file, str(filepath))
    if not by_name:
        state.restore(model, saved, skip_mismatch=skip_mismatch, strict=not skip_mismatch)
    elif not state.restore_by_name(model, saved, skip_mismatch):
        warnings.warn(
            f"No layer of model '{model.name}' has a name that is in the file: nothing was loaded.",
            stacklevel=3,
        )


def _read(file: Any, path: str) -> state.State:
    if path.endswith(_KERAS):
        return read_weights(ArchiveReader(file, "a .keras file"))
    if path.endswith(_HDF5):
        return hdf5.read(file.read())
    if path.endswith(shards.ENDING):
        return shards.read(path, _read)
    if path.endswith(_SAFETENSORS):
        return read_state(file, os.fstat(file.fileno()).st_size)
    raise FileError(
        "The kind of file cannot be seen from its name.",
        expected=f"a name that ends in {_SAFETENSORS}, {_HDF5}, {_KERAS} or {shards.ENDING}",
        got=path,
    )
