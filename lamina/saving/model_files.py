"""Whole models in one file: what Keras calls the `.keras` format, with the weights as safetensors.

A zip archive, nothing in it compressed:

    metadata.json               {"format": "lamina", "format_version": 1, "lamina_version": ..., ...}
    config.json                 the layers, and what `compile` was given
    assets/<path of a layer>/   the files that the layer's own `save_assets(folder)` wrote
    model.weights.safetensors   every array: weights, random seeds, the optimizer's state

Files of Keras itself have `model.weights.h5` instead, and are read too. A file can only name what exists in
Lamina or was registered; no code comes out of it, and nothing is unpacked to disk but what a layer's own
`load_assets` reads.
"""

from __future__ import annotations

import json
import os
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, BinaryIO

from lamina.core import tensors
from lamina.core.errors import ArgumentError, FileError, MissingFileError, StateError
from lamina.core.files import replacing
from lamina.core.serialization import custom_object_scope, deserialize_object, serialize_object
from lamina.core.version import __version__
from lamina.layers import TextVectorization
from lamina.layers.index_lookup import IndexLookup
from lamina.models.feature_space import FeatureSpace
from lamina.models.model import Model
from lamina.saving import assets, hdf5, state
from lamina.saving.archive import ArchiveReader, ArchiveWriter
from lamina.saving.walk import parts
from lamina.variables import allocation_limit

FORMAT_VERSION = 1
METADATA, CONFIG = "metadata.json", "config.json"
WEIGHTS, KERAS_WEIGHTS = "model.weights.safetensors", "model.weights.h5"

_ASSETS, _VOCABULARY = "assets/", "/vocabulary.txt"

_LARGEST_TEXT = 1 << 28  # bytes of config.json; a thousand layers are some hundred thousand
_ROOM = 1 << 28  # bytes that a model may take beside a few times what its file holds


def save_model(
    model: state.Saveable,
    filepath: Any,
    overwrite: bool = True,
    zipped: bool | None = None,
    include_optimizer: bool = True,
) -> None:
    """Write a model, or a FeatureSpace, to a file: its layers, weights, and how it was compiled.

    filepath: ends in ".keras"; or a binary file object. overwrite: whether a file that is there may be
    replaced; ArgumentError otherwise. zipped: only True (or None), for Keras. include_optimizer: False leaves
    out the compile settings and the state of the optimizer, so that the file has a third of the size.

    The file is there whole or not at all. Raises StateError for a model that is not built.

    >>> save_model(model, "digits.keras")
    """
    _check_built(model)
    if zipped is False:
        raise ArgumentError("Lamina saves a model as one file.", got="zipped=False", fix="leave zipped out.")
    config = serialize_object(model)
    if not include_optimizer:
        config = _without_compile(config)
    text = json.dumps(config)
    if '"__lambda__"' in text:
        warnings.warn(
            "The model holds a lambda, and loading never runs code from a file: this one cannot be loaded. "
            "Use a named function, registered with @lamina.saving.register_keras_serializable().",
            stacklevel=3,
        )
    saved = state.collect(model, include_optimizer)
    with opened_to_write(filepath, overwrite, ".keras") as file, ArchiveWriter(file) as archive:
        archive.write(METADATA, json.dumps(_metadata()).encode())
        archive.write(CONFIG, text.encode())
        assets.write(archive, model)
        with archive.open(WEIGHTS) as member:
            write_state(member, saved)


def load_model(
    filepath: Any, custom_objects: Any = None, compile: bool = True, safe_mode: bool = True
) -> Any:
    """The model in a file that `save_model`, or Keras, wrote; it can be trained on as if it never was saved.

    filepath: a path or a binary file object. custom_objects: names to classes and functions that were not
    registered. compile: whether to compile it as it was. safe_mode: accepted for Keras; code is never loaded.

    Raises MissingFileError, FileError for a file that is damaged or of another kind, and ArgumentError for
    names that are not registered.
    """
    with opened_to_read(filepath) as file, damage_told("a .keras file"):
        archive = ArchiveReader(file, "a .keras file")
        _check_version(archive)
        config = _read_config(archive)
        compile_config = config.pop("compile_config", None)
        saved = read_weights(archive)
        vocabularies = _read_vocabularies(archive)
        files = assets.read(archive)
        held = sum(array.nbytes for array in saved.tensors.values())
    with allocation_limit(_ROOM + 4 * held):
        model = deserialize_object(config, custom_objects=custom_objects)
    if not isinstance(model, (Model, FeatureSpace)):
        raise FileError("The file does not hold a model.", got=type(model).__name__)
    _restore_vocabularies(model, vocabularies)
    if saved.tensors and not model.built:
        raise StateError(
            f"{type(model).__name__} was not built by its config, so its weights have no place.",
            fix="write get_build_config() and build_from_config(), or call the model before loading weights.",
        )
    if compile and compile_config and isinstance(model, Model):
        with custom_object_scope(custom_objects):
            model.compile_from_config(compile_config)
    assets.restore(model, files)
    state.restore(model, saved, by_path=False)
    return model


# --- what the file holds ---------------------------------------------------------------------------


def _metadata() -> dict[str, Any]:
    return {
        "format": "lamina",
        "format_version": FORMAT_VERSION,
        "lamina_version": __version__,
        "date_saved": datetime.now(UTC).strftime("%Y-%m-%d@%H:%M:%S"),
    }


def _check_version(archive: ArchiveReader) -> None:
    metadata = _json(archive, METADATA, 1 << 20) if METADATA in archive.names else {}
    version = metadata.get("format_version", 0) if metadata.get("format") == "lamina" else 0
    if not isinstance(version, int) or version > FORMAT_VERSION:
        raise FileError(
            "The file was written by a later version of Lamina.",
            expected=f"format version {FORMAT_VERSION} or lower",
            got=f"format version {version}, by Lamina {metadata.get('lamina_version')}",
            fix="pip install --upgrade lamina",
        )


def _read_config(archive: ArchiveReader) -> dict[str, Any]:
    config = _json(archive, CONFIG, _LARGEST_TEXT)
    if "class_name" not in config:
        raise FileError("The config in the file describes no model.", got=f"keys {list(config)[:6]}")
    return config


def _json(archive: ArchiveReader, name: str, limit: int) -> dict[str, Any]:
    try:
        found = json.loads(archive.read(name, limit))
    except (ValueError, RecursionError) as error:
        if isinstance(error, FileError):
            raise
        raise FileError(f"'{name}' in the file is damaged: it is no JSON.", got=str(error)[:100]) from None
    if not isinstance(found, dict):
        raise FileError(f"'{name}' in the file is damaged: it is no dict.")
    return found


def read_weights(archive: ArchiveReader) -> state.State:
    """The arrays in a .keras file."""
    if WEIGHTS in archive.names:
        size = archive.size(WEIGHTS)
        with archive.open(WEIGHTS) as member:
            return read_state(member, size)
    if KERAS_WEIGHTS in archive.names:
        return hdf5.read(archive.read(KERAS_WEIGHTS, 1 << 62))
    raise FileError(
        "The file has no weights.", expected=f"{WEIGHTS} or {KERAS_WEIGHTS}", got=", ".join(archive.names[:6])
    )


def _read_vocabularies(archive: ArchiveReader) -> dict[str, list[str]]:
    """The tokens that Keras keeps beside the weights, by the path of their layer."""
    found = [name for name in archive.names if name.startswith(_ASSETS) and name.endswith(_VOCABULARY)]
    return {
        name[len(_ASSETS) : -len(_VOCABULARY)]: archive.read(name, _LARGEST_TEXT).decode().splitlines()
        for name in found
    }


def _restore_vocabularies(model: state.Saveable, vocabularies: dict[str, list[str]]) -> None:
    for path, layer in parts(model):
        if path in vocabularies and isinstance(layer, (IndexLookup, TextVectorization)):
            layer.set_vocabulary(vocabularies[path])


def write_state(file: BinaryIO, saved: state.State) -> None:
    """A state as safetensors."""
    metadata = {"format": "lamina", "format_version": str(FORMAT_VERSION), "names": json.dumps(saved.names)}
    tensors.write(file, saved.tensors, metadata)


def read_state(file: BinaryIO, size: int) -> state.State:
    """The inverse of `write_state`, of a stream of `size` bytes; other safetensors files have no names."""
    found = tensors.TensorFile(file, size)
    try:
        names = json.loads(found.metadata.get("names", "{}"))
    except (ValueError, AttributeError, TypeError):
        names = None
    if not isinstance(names, dict) or not all(isinstance(name, str) for name in names.values()):
        raise FileError("The weights are damaged: their metadata are not readable.")
    return state.State(found.read(), names)


def _without_compile(config: Any) -> Any:
    if isinstance(config, dict):
        return {key: _without_compile(value) for key, value in config.items() if key != "compile_config"}
    return [_without_compile(entry) for entry in config] if isinstance(config, list) else config


# --- files -----------------------------------------------------------------------------------------


def _check_built(model: state.Saveable) -> None:
    if not model.built:
        raise StateError(
            f"Model '{model.name}' has no weights to save yet: it is not built.",
            fix="call it on data, or call build(input_shape), first.",
        )


@contextmanager
def opened_to_write(filepath: Any, overwrite: bool, *endings: str) -> Iterator[Any]:
    """A file that appears when all is written; a file object is written to as it is."""
    if hasattr(filepath, "write"):
        yield filepath
        return
    path = os.fspath(filepath)
    if not path.endswith(endings):
        raise ArgumentError(
            f"The name of the file must end in {' or '.join(endings)}.",
            got=path,
            fix=f"{os.path.splitext(path)[0]}{endings[0]}",
        )
    if not overwrite and os.path.exists(path):
        raise ArgumentError(f"The file {path} exists, and overwrite=False.", fix="another name.")
    with replacing(path) as file:
        yield file


@contextmanager
def opened_to_read(filepath: Any) -> Iterator[Any]:
    """A file to read; MissingFileError when there is none."""
    if hasattr(filepath, "read"):
        yield filepath
        return
    path = os.fspath(filepath)
    if not os.path.exists(path):
        raise MissingFileError(f"There is no file {path}.", got=f"the working directory is {os.getcwd()}")
    if os.path.isdir(path):
        raise FileError(f"{path} is a folder.", expected="a file that save() wrote")
    with open(path, "rb") as file:
        yield file


@contextmanager
def damage_told(what: str) -> Iterator[None]:
    """Errors of the zip reader as FileError."""
    try:
        yield
    except (zipfile.BadZipFile, EOFError) as error:
        raise FileError(f"{what[0].upper()}{what[1:]} is damaged or cut off.", got=str(error)) from None
