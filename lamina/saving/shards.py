"""Weights in several files, none larger than wanted, and an index that names them.

The index is written last and is the one commit point: until it is there, it names the shards of before, which
are removed afterwards. What Keras writes with `max_shard_size` is read, too.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from lamina.core.errors import ArgumentError, FileError
from lamina.core.files import replacing
from lamina.saving.model_files import opened_to_read, opened_to_write, write_state
from lamina.saving.state import State

ENDING = ".weights.json"
_LARGEST_INDEX = 1 << 28
_GIGABYTE = 1 << 30

Read = Callable[[Any, str], State]


def write(filepath: Any, saved: State, max_shard_size: float, overwrite: bool) -> None:
    """Write the arrays into files beside the index. max_shard_size: of one file, in gigabytes.

    ArgumentError for an array that is larger than that.
    """
    path = os.fspath(filepath)
    limit = max_shard_size * _GIGABYTE
    if not max_shard_size > 0:
        raise ArgumentError("max_shard_size is a positive number of gigabytes.", got=repr(max_shard_size))
    groups = _groups(saved, limit)
    folder, stem = os.path.dirname(path), os.path.basename(path).removesuffix(ENDING)
    token = secrets.token_hex(4)
    names = [f"{stem}-{token}-{number:05d}.safetensors" for number in range(len(groups))]
    with opened_to_write(filepath, overwrite, ENDING) as index:
        before = _named(path)
        for name, group in zip(names, groups):
            with replacing(os.path.join(folder, name)) as file:
                write_state(file, State({key: saved.tensors[key] for key in group}, saved.names))
        weight_map = {key: name for name, group in zip(names, groups) for key in group}
        total = sum(array.nbytes for array in saved.tensors.values())
        index.write(json.dumps({"metadata": {"total_size": total}, "weight_map": weight_map}).encode())
    for name in before:
        with suppress(OSError):
            os.remove(os.path.join(folder, name))


def _groups(saved: State, limit: float) -> list[list[str]]:
    """The names of the arrays of each file, in order."""
    groups: list[list[str]] = [[]]
    held = 0
    for key, array in saved.tensors.items():
        if array.nbytes > limit:
            raise ArgumentError(
                f"The array '{key}' alone is larger than max_shard_size.",
                got=f"{array.nbytes / _GIGABYTE:.4g} GB",
                expected=f"at most {limit / _GIGABYTE:.4g} GB",
            )
        if groups[-1] and held + array.nbytes > limit:
            groups.append([])
            held = 0
        groups[-1].append(key)
        held += array.nbytes
    return groups


def _named(path: str) -> list[str]:
    """The shards that an index names which is there already."""
    try:
        return _shards(path)
    except (FileError, OSError):
        return []


def _shards(path: str) -> list[str]:
    """The names of the files in an index, in order. FileError unless they are plain names beside it."""
    with opened_to_read(path) as file:
        text = file.read(_LARGEST_INDEX + 1)
    try:
        entries = json.loads(text[:_LARGEST_INDEX])["weight_map"].values()
        named = [name for entry in entries for name in ([entry] if isinstance(entry, str) else entry)]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise FileError("This is no index of weights, or it is damaged.", got=path) from None
    for name in named:
        if not isinstance(name, str) or not name or name != os.path.basename(name) or "\\" in name:
            raise FileError("An index of weights may only name files beside it.", got=repr(name))
    return list(dict.fromkeys(named))


def read(path: str, read_one: Read) -> State:
    """The arrays of all files that an index names. read_one: reads a file of such a name."""
    whole = State({}, {})
    for name in _shards(path):
        if not name.endswith((".safetensors", ".weights.h5")):
            raise FileError("An index of weights names a file of another kind.", got=name)
        with opened_to_read(os.path.join(os.path.dirname(path), name)) as file:
            part = read_one(file, name)
        whole.tensors.update(part.tensors)
        whole.names.update(part.names)
    return State(whole.tensors, whole.names)
