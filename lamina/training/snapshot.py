"""The whole state of a training as one file: written at once or not at all, read with every size checked.

The file holds the arrays by their numbers, in the safetensors format; its metadata says as JSON which they
are, where training is, what callbacks keep, and the checksum of the numbers. Reading it never runs code.
"""

from __future__ import annotations

import json
import os
import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np

from lamina import random
from lamina.core import tensors
from lamina.core.errors import DataError, FileError
from lamina.core.files import replacing
from lamina.core.interrupts import deferred_interrupts
from lamina.training.run import Position, Run
from lamina.variables import Variable

_FORMAT = "lamina training 2"


@dataclass
class Snapshot:
    """position: the place in training, and what callbacks keep. arrays: of the state, in order."""

    position: dict[str, Any]
    names: list[str]
    arrays: list[np.ndarray[Any, Any]]


def state_of(model: Any) -> list[Variable]:
    """Every variable that a step of training can depend on, once."""
    groups = [
        model.variables,
        model.optimizer.variables,
        *(metric.variables for metric in model.metrics),
        random.global_states(),
    ]
    return list({id(variable): variable for group in groups for variable in group}.values())


def take(model: Any, run: Run, position: Position) -> Snapshot:
    """A copy of the state as it is now."""
    state = state_of(model)
    arrays = [variable.array.copy() for variable in state]
    callbacks = []
    for callback in run.callbacks.callbacks:
        kept = {name: getattr(callback, name) for name in getattr(callback, "resumed", ())}
        for name, value in kept.items():
            if isinstance(value, list):
                kept[name] = {"first": len(arrays), "count": len(value)}
                arrays += [np.ascontiguousarray(array) for array in value]
        callbacks.append([type(callback).__name__, kept])
    about = {
        "epoch": position.epoch,
        "step": position.step,
        "order_seed": run.order_seed,
        "callbacks": callbacks,
    }
    return Snapshot(about, [variable.path for variable in state], arrays)


def restore(model: Any, run: Run, saved: Snapshot, path: str) -> None:
    """Put a snapshot into the model and the run; DataError, and nothing is changed, when it does not fit."""
    state = state_of(model)
    fits = len(saved.names) == len(state) and all(
        variable.shape == array.shape and variable.array.dtype == array.dtype
        for variable, array in zip(state, saved.arrays)
    )
    if not fits:
        raise DataError(
            f"The backup in {path} is that of another model, or of one compiled in another way.",
            expected=f"{len(state)} arrays: {_shapes([variable.array for variable in state])}",
            got=f"{len(saved.names)} arrays: {_shapes(saved.arrays[: len(saved.names)])}",
            fix="give each training a backup_dir of its own.",
        )
    with deferred_interrupts():
        for variable, array in zip(state, saved.arrays):
            variable.array[...] = array
        for callback, (name, kept) in zip(run.callbacks.callbacks, saved.position["callbacks"]):
            if type(callback).__name__ != name:
                continue
            for attribute, value in kept.items():
                if isinstance(value, dict):
                    value = saved.arrays[value["first"] : value["first"] + value["count"]]
                setattr(callback, attribute, value)
        run.order_seed = saved.position["order_seed"]
        run.resumed_at = Position(saved.position["epoch"], saved.position["step"])


def write(path: str, snapshot: Snapshot) -> None:
    """The snapshot as a file that replaces the one of that name in one go."""
    about = {
        "format": _FORMAT,
        "position": snapshot.position,
        "names": snapshot.names,
        "checksum": _checksum(snapshot.arrays),
    }
    numbered = {str(number): array for number, array in enumerate(snapshot.arrays)}
    with replacing(path) as file:
        tensors.write(file, numbered, {"training": json.dumps(about, default=float)})


def read(path: str) -> Snapshot:
    """A snapshot from a file. DataError when it is cut off, changed, or no snapshot at all."""
    try:
        with open(path, "rb") as file:
            saved = tensors.TensorFile(file, os.fstat(file.fileno()).st_size)
            about = json.loads(saved.metadata["training"])
            if about["format"] != _FORMAT:
                raise ValueError("it has another format")
            arrays = list(saved.read().values())
        if _checksum(arrays) != about["checksum"]:
            raise ValueError("its bytes were changed")
        return Snapshot(about["position"], about["names"], arrays)
    except (FileError, ValueError, KeyError, TypeError) as error:
        raise _unreadable(path, str(error).partition("\n")[0]) from error


def _checksum(arrays: list[np.ndarray[Any, Any]]) -> int:
    checksum = 0
    for array in arrays:
        checksum = zlib.crc32(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data, checksum)
    return checksum


def _unreadable(path: str, why: str) -> DataError:
    return DataError(
        f"The backup {path} cannot be read: {why}.",
        fix="delete it to start anew; double_checkpoint=True keeps the one before.",
    )


def _shapes(arrays: list[np.ndarray[Any, Any]]) -> str:
    shown = ", ".join(str(array.shape) for array in arrays[:6])
    return f"{shown}, ..." if len(arrays) > 6 else shown
