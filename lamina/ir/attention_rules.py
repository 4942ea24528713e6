"""Shape and dtype rules of attention and its gradient.

query [batch, T, heads, d], key [batch, S, groups, d], value [batch, S, groups, e]: heads is a multiple of
groups, and heads // groups heads in a row share a head of keys and values. The mask, if there is one, is
bool [batch, heads, S, T], or 1 for any extent but that of S: True where query t may look at key s.
"""

from __future__ import annotations

import numpy as np

from lamina.core import dtypes
from lamina.core.dtypes import is_float
from lamina.core.errors import DTypeError, ShapeError
from lamina.ir.graph import TensorType


def hidden(dtype: str) -> float:
    """The score of a place that must not be looked at: finite, so that a row of nothing else is uniform."""
    return -0.7 * float(np.finfo(dtype).max)


def attention(
    query: TensorType, key: TensorType, value: TensorType, *mask: TensorType, causal: bool, scale: float
) -> tuple[TensorType, ...]:
    _check(query, key, value, mask)
    batch, target, heads, _ = query.shape
    numbers = TensorType((batch, heads, target), dtypes.summed(query.dtype))
    return TensorType((batch, target, heads, value.shape[-1]), query.dtype), numbers, numbers


def attention_grad(
    query: TensorType,
    key: TensorType,
    value: TensorType,
    result: TensorType,
    highest: TensorType,
    total: TensorType,
    cotangent: TensorType,
    *mask: TensorType,
    causal: bool,
    scale: float,
) -> tuple[TensorType, ...]:
    wanted = attention(query, key, value, *mask, causal=causal, scale=scale)
    if (result, highest, total, cotangent) != (*wanted, wanted[0]):
        raise ShapeError(
            "attention_grad: results and cotangent do not fit the operands.",
            expected=", ".join(map(str, (*wanted, wanted[0]))),
            got=", ".join(map(str, (result, highest, total, cotangent))),
        )
    return query, key, value


def _check(query: TensorType, key: TensorType, value: TensorType, mask: tuple[TensorType, ...]) -> None:
    if not is_float(query.dtype) or not query.dtype == key.dtype == value.dtype:
        raise DTypeError(f"attention takes one float dtype, got {query}, {key} and {value}.")
    if not len(query.shape) == len(key.shape) == len(value.shape) == 4:
        raise ShapeError(f"attention takes tensors of rank 4, got {query}, {key} and {value}.")
    (batch, target, heads, depth), (_, source, groups, _) = query.shape, key.shape
    if (
        key.shape != (batch, source, groups, depth)
        or value.shape[:3] != (batch, source, groups)
        or not source
        or not groups
        or heads % groups
    ):
        raise ShapeError(f"attention: {query}, {key} and {value} do not fit each other.")
    if len(mask) > 1 or any(entry.dtype != "bool" for entry in mask):
        raise DTypeError("attention takes one mask, of dtype bool.")
    for entry in mask:
        fits = (
            len(entry.shape) == 4
            and entry.shape[2] == source
            and all(
                entry.shape[axis] in (1, extent) for axis, extent in ((0, batch), (1, heads), (3, target))
            )
        )
        if not fits:
            raise ShapeError(
                f"attention: a mask {entry.shape} does not fit [batch, heads, keys, queries] "
                f"{(batch, heads, source, target)}."
            )
