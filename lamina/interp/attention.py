"""The meaning of attention and its gradient, in NumPy: the whole matrix of weights, head by head."""

from __future__ import annotations

from typing import Any

import numpy as np

from lamina.interp.philox import random_bits
from lamina.ir.attention_rules import hidden, mask_and_bits, threshold

Array = np.ndarray[Any, Any]


def attention(
    query: Array, key: Array, value: Array, *others: Array, causal: bool, scale: float, rate: float
) -> tuple[Array, Array, Array]:
    mask, bits = mask_and_bits(others)
    repeats = query.shape[2] // key.shape[2]
    scores, _ = _scores(query, _heads(key, repeats), mask, causal, scale)
    highest = scores.max(axis=3, keepdims=True)
    powers = np.exp(scores - highest)
    total = powers.sum(axis=3, keepdims=True, dtype=scores.dtype)
    result = _kept(powers / total, bits, rate) @ _heads(value, repeats)
    return result.transpose(0, 2, 1, 3), highest[..., 0], total[..., 0]


def attention_grad(
    query: Array,
    key: Array,
    value: Array,
    result: Array,
    highest: Array,
    total: Array,
    cotangent: Array,
    *others: Array,
    causal: bool,
    scale: float,
    rate: float,
) -> tuple[Array, Array, Array]:
    mask, bits = mask_and_bits(others)
    repeats = query.shape[2] // key.shape[2]
    keys, values = _heads(key, repeats), _heads(value, repeats)
    scores, allowed = _scores(query, keys, mask, causal, scale)
    weights = np.exp(scores - highest[..., None]) / total[..., None]
    cotangents = cotangent.transpose(0, 2, 1, 3)
    mean = (cotangents * result.transpose(0, 2, 1, 3)).sum(axis=3, keepdims=True, dtype=scores.dtype)
    of_scores = weights * (_kept(cotangents @ values.swapaxes(2, 3), bits, rate) - mean)
    of_scores = np.where(allowed, of_scores, 0).astype(scores.dtype) * scores.dtype.type(scale)
    of_query = (of_scores @ keys).transpose(0, 2, 1, 3)
    of_key = _sum_of_heads(of_scores.swapaxes(2, 3) @ query.transpose(0, 2, 1, 3), repeats)
    of_value = _sum_of_heads(_kept(weights, bits, rate).swapaxes(2, 3) @ cotangents, repeats)
    return of_query, of_key, of_value


def _heads(x: Array, repeats: int) -> Array:
    """Keys or values as [batch, heads, S, size]."""
    return np.repeat(x.transpose(0, 2, 1, 3), repeats, axis=1)


def _sum_of_heads(x: Array, repeats: int) -> Array:
    """[batch, heads, S, size] to [batch, S, groups, size]."""
    batch, heads, source, size = x.shape
    grouped = x.reshape(batch, heads // repeats, repeats, source, size)
    return grouped.sum(axis=2, dtype=x.dtype).transpose(0, 2, 1, 3)


def _kept(weights: Array, bits: Array | None, rate: float) -> Array:
    """The weights that are not dropped, divided by how many are kept; the others 0."""
    if bits is None:
        return weights
    stays = random_bits(bits, weights.shape) >> np.uint32(8) < threshold(rate)
    return np.where(stays, weights * weights.dtype.type(1 / (1 - rate)), 0).astype(weights.dtype)


def _scores(query: Array, keys: Array, mask: Array | None, causal: bool, scale: float) -> tuple[Array, Array]:
    """(scores [batch, heads, T, S], where they count)."""
    scores = query.transpose(0, 2, 1, 3) @ keys.swapaxes(2, 3) * query.dtype.type(scale)
    allowed = np.ones((1, 1, 1, 1), bool)
    if mask is not None:
        allowed = allowed & mask.swapaxes(2, 3)
    if causal:
        allowed = allowed & np.tri(scores.shape[2], scores.shape[3], dtype=bool)
    return np.where(allowed, scores, scores.dtype.type(hidden(scores.dtype.name))), allowed
