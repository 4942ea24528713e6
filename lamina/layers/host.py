"""Layers that work on the host, before the compiled part: text and categories become numbers there.

Compiled programs know numbers only. A host layer is called on arrays, strings among them; in a functional or
Sequential model it stands in front, and `lamina.models.host` runs it on the data that goes into a program.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from lamina.core import tree
from lamina.core.errors import ArgumentError, StateError
from lamina.interp import as_eager
from lamina.ir.symbolic import KerasTensor
from lamina.ir.trace import Tensor
from lamina.layers.input_spec import describe_layer
from lamina.layers.layer import Layer

Array = np.ndarray[Any, Any]

STRING = "string"


class Prepared(dict[str, Any]):
    """What a model's compiled part begins with, by name: numeric inputs, and what the host has computed."""


class HostLayer(Layer):
    """A layer without weights whose `call` computes with NumPy.

    Subclasses write `call` for arrays, and `compute_output_spec` for KerasTensors.
    """

    _runs_on_host = True
    _needs_build = False
    _convert_input_args = False
    _allow_non_tensor_positional_args = True

    @property
    def input_dtype(self) -> str:
        return STRING

    def _array(self, inputs: Any) -> Array:
        """`inputs` as an array: strings as objects of type str, numbers as they are."""
        if isinstance(inputs, Tensor):
            raise StateError(
                f"{describe_layer(self)} works on the host, but was called inside a compiled program.",
                fix="put it in front of a functional or Sequential model, or call it on the data before.",
            )
        array = inputs if isinstance(inputs, np.ndarray) else _from_list(inputs, self)
        return as_text(array) if array.dtype.kind in "OUST" else np.asarray(array)


def _from_list(inputs: Any, layer: Layer) -> Array:
    if hasattr(inputs, "__tensor__") or hasattr(inputs, "__array__"):
        return np.asarray(inputs)
    leaves = tree.flatten(inputs)
    words = any(isinstance(leaf, (str, bytes)) for leaf in leaves)
    try:
        array = np.array(inputs, dtype=object if words else None)
    except ValueError:
        array = np.zeros(0)
    if array.size != len(leaves):
        raise ArgumentError(
            f"{describe_layer(layer)} got rows of different lengths.",
            fix="pad them to one length, for example with lamina.utils.pad_sequences.",
        )
    return array


def as_text(array: Array, encoding: str = "utf-8") -> Array:
    """An array of strings, bytes or objects as objects of type str."""
    if array.dtype.kind == "S":
        array = np.char.decode(array, encoding)
    result = np.empty(array.shape, dtype=object)
    flat = result.reshape(-1)
    for place, entry in enumerate(array.reshape(-1).tolist()):
        flat[place] = entry.decode(encoding) if isinstance(entry, bytes) else str(entry)
    return result


def encode(indices: Array, mode: str, depth: int, dtype: str) -> Any:
    """Category numbers (batch, ...) as "int", "one_hot", "multi_hot" or "count" of `depth` categories.

    Negative numbers stand for nothing. The last axis is the sample of "multi_hot" and "count".
    """
    if mode == "int":
        return as_eager(indices.astype(dtype))
    if mode == "one_hot":
        if indices.ndim > 1 and indices.shape[-1] == 1:
            indices = indices[..., 0]
        return as_eager((indices[..., None] == np.arange(depth)).astype(dtype))
    rows = indices.reshape(-1, indices.shape[-1]) if indices.ndim else indices.reshape(1, 1)
    counts = np.zeros((len(rows), depth), dtype)
    places = np.nonzero((rows >= 0) & (rows < depth))
    np.add.at(counts, (places[0], rows[places]), 1)
    if mode == "multi_hot":
        counts = np.minimum(counts, 1)
    return as_eager(counts.reshape(*indices.shape[:-1], depth))


def encoded_shape(shape: Any, mode: str, depth: int | None) -> tuple[int | None, ...]:
    """The shape of what `encode` gives for indices of this shape."""
    shape = tuple(shape)
    if mode == "int":
        return shape
    if mode == "one_hot" and not (len(shape) > 1 and shape[-1] == 1):
        return (*shape, depth)
    return (*shape[:-1], depth)


def string_tensor(shape: Any) -> KerasTensor:
    """A KerasTensor that stands for strings."""
    return KerasTensor(tuple(shape), STRING)
