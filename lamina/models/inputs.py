"""What is passed to a model, matched with its inputs: by name or by position, in dtype and in shape."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from lamina import ops
from lamina.core import dtypes, tree
from lamina.core.errors import ArgumentError, ShapeError
from lamina.ir.symbolic import KerasTensor
from lamina.layers.call_arguments import convert
from lamina.layers.host import STRING, as_text
from lamina.layers.input_layer import InputLayer
from lamina.layers.masks import get_mask, with_mask


def standardize(model: Any, declared: Any, given: Any) -> list[Any]:
    """`given` as a flat list of tensors, one for each KerasTensor in `declared`.

    Raises ArgumentError for a wrong number or wrong names, ShapeError for wrong shapes, naming the input.
    """
    wanted: list[KerasTensor] = tree.flatten(declared)
    flat = in_order(model, declared, wanted, given)
    return [_fitted(model, tensor, value) for tensor, value in zip(wanted, flat)]


def in_order(model: Any, declared: Any, wanted: list[KerasTensor], given: Any) -> list[Any]:
    """`given`, matched by name or by position, as a flat list; ArgumentError when it does not match."""
    if isinstance(given, Mapping):
        by_key = isinstance(declared, Mapping)
        keys = sorted(declared) if by_key else [tensor.name for tensor in wanted]
        if not by_key and not _is_flat(declared):
            raise _mismatch(model, wanted, given)
        for key in keys:
            if key not in given:
                raise ArgumentError(
                    f"Model '{model.name}' got no data for its input '{key}'.",
                    expected=f"a dict with the keys {', '.join(map(str, keys))}",
                    got=f"the keys {', '.join(map(str, given))}",
                )
        return [leaf for key in keys for leaf in tree.leaves(given[key])]
    if not tree.is_branch(declared) and wanted[0].dtype == STRING:
        return [given]
    if not tree.is_branch(declared):
        given = convert(given, wanted[0].dtype, autocast=False, positional=True)
        if isinstance(given, (list, tuple)) and len(given) == 1:
            (given,) = given
    elif isinstance(declared, Mapping) and list(declared) != sorted(declared):
        raise ArgumentError(
            f"Model '{model.name}' has its inputs in a dict, and must be called with one.",
            expected=f"a dict with the keys {', '.join(map(str, declared))}",
            got=type(given).__name__,
        )
    elif not tree.is_branch(given) and len(wanted) == 1:
        return [given]
    else:
        given = convert_each(given, wanted)
    flat = tree.flatten(given)
    if len(flat) != len(wanted):
        raise _mismatch(model, wanted, given)
    return flat


def convert_each(given: Any, wanted: list[KerasTensor]) -> Any:
    """Lists of numbers inside a list of inputs as arrays."""
    if isinstance(given, (list, tuple)) and len(given) == len(wanted):
        return [
            value
            if tensor.dtype == STRING or isinstance(value, np.ndarray)
            else convert(value, tensor.dtype, autocast=False, positional=True)
            for value, tensor in zip(given, wanted)
        ]
    return given


def _is_flat(declared: Any) -> bool:
    return not tree.is_branch(declared) or all(isinstance(entry, KerasTensor) for entry in declared)


def _mismatch(model: Any, wanted: list[KerasTensor], given: Any) -> ArgumentError:
    names = ", ".join(f"'{tensor.name}' {tensor.shape}" for tensor in wanted)
    shapes = [
        str(tuple(leaf.shape)) if hasattr(leaf, "shape") else type(leaf).__name__
        for leaf in tree.leaves(given)
    ]
    return ArgumentError(
        f"Model '{model.name}' was called with the wrong inputs.",
        expected=f"{len(wanted)}: {names}",
        got=f"{len(shapes)}, of shapes {', '.join(shapes)}" if len(shapes) < 10 else f"{len(shapes)}",
        fix="pass one array" if len(wanted) == 1 else "pass a list in this order, or a dict by name.",
    )


def _fitted(model: Any, tensor: KerasTensor, value: Any) -> Any:
    """`value` in the dtype and rank of the input `tensor`."""
    if value is None:
        operation = tensor.history[0] if tensor.history else None
        if isinstance(operation, InputLayer) and operation.optional:
            return None
        raise ArgumentError(
            f"Model '{model.name}' got None for its input '{tensor.name}'.",
            fix="pass data, or declare Input(..., optional=True).",
        )
    mask = get_mask(value)
    if tensor.dtype == STRING:
        return value if isinstance(value, KerasTensor) else as_text(np.asarray(value))
    if isinstance(value, KerasTensor):
        if dtypes.standardize(value.dtype) != tensor.dtype:
            value = KerasTensor(value.shape, tensor.dtype, name=value.name)
    else:
        value = ops.convert_to_tensor(value, dtype=tensor.dtype)
    return with_mask(_with_rank(model, tensor, value), mask)


def _with_rank(model: Any, tensor: KerasTensor, value: Any) -> Any:
    """`value` with a last axis of extent 1 added or taken away, if that is all that is missing."""
    shape, wanted = tuple(value.shape), tensor.shape
    if len(shape) == len(wanted) + 1 and shape[-1] == 1:
        shape = shape[:-1]
    elif len(shape) == len(wanted) - 1 and wanted[-1] == 1:
        shape = (*shape, 1)
    fits = len(shape) == len(wanted) and all(
        want is None or got is None or want == got for want, got in zip(wanted[1:], shape[1:])
    )
    if not fits:
        raise ShapeError(
            f"Model '{model.name}' does not accept the shape of its input '{tensor.name}'.",
            expected=f"shape {wanted}",
            got=f"shape {tuple(value.shape)}",
            fix="if this is a single example, give it a batch axis: x[None]."
            if shape == tuple(wanted[1:])
            else None,
        )
    if shape == tuple(value.shape):
        return value
    return KerasTensor(shape, value.dtype) if isinstance(value, KerasTensor) else ops.reshape(value, shape)
