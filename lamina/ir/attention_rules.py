"""Shape and dtype rules of attention and its gradient.

query [batch, T, heads, d], key [batch, S, groups, d], value [batch, S, groups, e]: heads is a multiple of
groups, and heads // groups heads in a row share a head of keys and values. Two more operands may follow. A
mask, bool [batch, heads, S, T], or 1 for any extent but that of S: True where query t may look at key s. A
key of random bits, uint32[2], where a fraction `rate` of the weights is dropped: the weight of (batch, head,
t, s) is kept if the upper 24 of the bits of that element are below (1 - rate) 2**24, and divided by 1 - rate.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from lamina.core import dtypes
from lamina.core.dtypes import is_float
from lamina.core.errors import DTypeError, ShapeError
from lamina.ir.graph import TensorType


def hidden(dtype: str) -> float:
    """The score of a place that must not be looked at: finite, so that a row of nothing else is uniform."""
    return -0.7 * float(np.finfo(dtype).max)


def attention(
    query: TensorType,
    key: TensorType,
    value: TensorType,
    *others: TensorType,
    causal: bool,
    scale: float,
    rate: float,
) -> tuple[TensorType, ...]:
    _check(query, key, value, others, rate)
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
    *others: TensorType,
    causal: bool,
    scale: float,
    rate: float,
) -> tuple[TensorType, ...]:
    wanted = attention(query, key, value, *others, causal=causal, scale=scale, rate=rate)
    if (result, highest, total, cotangent) != (*wanted, wanted[0]):
        raise ShapeError(
            "attention_grad: results and cotangent do not fit the operands.",
            expected=", ".join(map(str, (*wanted, wanted[0]))),
            got=", ".join(map(str, (result, highest, total, cotangent))),
        )
    return query, key, value


def mask_and_bits(others: Sequence[Any]) -> tuple[Any, Any]:
    """(mask, key of the random bits) among the last operands; None where there is none."""
    masks = [operand for operand in others if str(operand.dtype) == "bool"]
    keys = [operand for operand in others if str(operand.dtype) == "uint32"]
    return (masks or [None])[0], (keys or [None])[0]


def threshold(rate: float) -> int:
    """The upper 24 of 32 random bits, as a number, are below this where a weight is kept."""
    return math.ceil(float(np.float32(1 - rate)) * 2**24)


def _check(
    query: TensorType, key: TensorType, value: TensorType, others: tuple[TensorType, ...], rate: float
) -> None:
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
    mask, bits = mask_and_bits(others)
    if not 0 <= rate < 1 or (bits is not None) != (rate > 0):
        raise ShapeError(f"attention drops a fraction from 0 up to 1 by random bits, got a rate of {rate}.")
    if list(others) != [entry for entry in (mask, bits) if entry is not None] or (
        bits and bits.shape != (2,)
    ):
        raise DTypeError(
            f"attention takes a bool mask and a key uint32[2] beside its operands, got {others}."
        )
    for entry in [] if mask is None else [mask]:
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
