"""Attention and its gradient as compositions of other primitives, which keep the whole matrix of weights.

They say what the two primitives mean; derivatives of higher order are taken of them, and backends fall back
on them for what their own kernels cannot do.
"""

from __future__ import annotations

from typing import Any

from lamina.core import dtypes
from lamina.ir import primitives as p
from lamina.ir.attention_rules import hidden, mask_and_bits, threshold
from lamina.ir.bind import full, iota_value
from lamina.ir.graph import Value


def composed(
    query: Value, key: Value, value: Value, *others: Value, causal: bool, scale: float, rate: float
) -> tuple[Value, Value, Value]:
    """(result, the highest score of each row, the sum of its exponentials below that)."""
    kind = query.dtype
    query, key, value = (_as(x, dtypes.summed(kind)) for x in (query, key, value))
    mask, bits = mask_and_bits(others)
    scores, _ = _scores(query, key, mask, causal, scale)
    highest = p.reduce_max(scores, axes=(3,))
    powers = p.exp(p.subtract(scores, _repeated(highest, scores)))
    total = p.reduce_sum(powers, axes=(3,))
    weights = _kept(p.divide(powers, _repeated(total, scores)), bits, rate)
    mixed = _by_queries(_grouped(weights, value.shape[2]), value)
    return _as(mixed, kind), highest, total


def composed_gradient(
    query: Value,
    key: Value,
    value: Value,
    result: Value,
    highest: Value,
    total: Value,
    cotangent: Value,
    *others: Value,
    causal: bool,
    scale: float,
    rate: float,
) -> tuple[Value, Value, Value]:
    """The cotangents of query, key and value."""
    kind = query.dtype
    query, key, value, result, highest, total, cotangent = (
        _as(x, dtypes.summed(kind)) for x in (query, key, value, result, highest, total, cotangent)
    )
    groups = value.shape[2]
    mask, bits = mask_and_bits(others)
    scores, allowed = _scores(query, key, mask, causal, scale)
    powers = p.exp(p.subtract(scores, _repeated(highest, scores)))
    weights = p.divide(powers, _repeated(total, scores))
    of_value = _by_keys(_grouped(_kept(weights, bits, rate), groups), cotangent)
    of_weights = _kept(_products(cotangent, value), bits, rate)
    mean = p.transpose(p.reduce_sum(p.multiply(cotangent, result), axes=(3,)), permutation=(0, 2, 1))
    of_scores = p.multiply(weights, p.subtract(of_weights, _repeated(mean, scores)))
    if allowed is not None:
        of_scores = p.select(allowed, of_scores, full(scores.shape, 0, scores.dtype))
    of_scores = _grouped(p.multiply(of_scores, full(scores.shape, scale, scores.dtype)), groups)
    found = _by_queries(of_scores, key), _by_keys(of_scores, query), of_value
    return _as(found[0], kind), _as(found[1], kind), _as(found[2], kind)


def _as(x: Value, dtype: str) -> Value:
    cast: Value = x if x.dtype == dtype else p.cast(x, dtype=dtype)
    return cast


def _repeated(row: Value, like: Value) -> Value:
    """A number for each query, repeated over the keys."""
    repeated: Value = p.broadcast(row, shape=like.shape, axes=(0, 1, 2))
    return repeated


def _products(x: Value, y: Value) -> Value:
    """[batch, heads, T, S]: products of each query (or cotangent) x with each key (or value) y."""
    batch, target, heads, size = x.shape
    groups, source = y.shape[2], y.shape[1]
    grouped = p.reshape(x, shape=(batch, target, groups, heads // groups, size))
    found = p.dot(grouped, y, contract=((4,), (3,)), batch=((0, 2), (0, 2)))  # batch, group, T, repeat, S
    found = p.transpose(found, permutation=(0, 1, 3, 2, 4))
    products: Value = p.reshape(found, shape=(batch, heads, target, source))
    return products


def _kept(weights: Value, bits: Value | None, rate: float) -> Value:
    """The weights that are not dropped, divided by how many are kept; the others 0."""
    if bits is None:
        return weights
    words = p.random_bits(bits, shape=weights.shape)
    upper = p.shift_right(words, full(weights.shape, 8, "uint32"))
    stays = p.less(upper, full(weights.shape, threshold(rate), "uint32"))
    more = p.multiply(weights, full(weights.shape, 1 / (1 - rate), weights.dtype))
    kept: Value = p.select(stays, more, full(weights.shape, 0, weights.dtype))
    return kept


def _scores(query: Value, key: Value, mask: Value | None, causal: bool, scale: float) -> tuple[Value, Any]:
    """(scores, where they count: a mask of their shape, or None for everywhere)."""
    products = _products(query, key)
    scores = p.multiply(products, full(products.shape, scale, products.dtype))
    allowed = None
    if mask is not None:
        turned = p.transpose(mask, permutation=(0, 1, 3, 2))
        allowed = p.broadcast(turned, shape=scores.shape, axes=(0, 1, 2, 3))
    if causal:
        past = p.less_equal(iota_value(scores.shape, 3, "int32"), iota_value(scores.shape, 2, "int32"))
        allowed = past if allowed is None else p.bitwise_and(allowed, past)
    if allowed is not None:
        scores = p.select(allowed, scores, full(scores.shape, hidden(scores.dtype), scores.dtype))
    return scores, allowed


def _grouped(weights: Value, groups: int) -> Value:
    """[batch, groups, repeats, T, S]."""
    batch, heads, target, source = weights.shape
    grouped: Value = p.reshape(weights, shape=(batch, groups, heads // groups, target, source))
    return grouped


def _by_queries(weights: Value, y: Value) -> Value:
    """[batch, T, heads, size]: sums over the keys."""
    batch, groups, repeats, target, _ = weights.shape
    found = p.dot(weights, y, contract=((4,), (1,)), batch=((0, 1), (0, 2)))  # batch, group, repeat, T, size
    found = p.transpose(found, permutation=(0, 3, 1, 2, 4))
    sums: Value = p.reshape(found, shape=(batch, target, groups * repeats, y.shape[3]))
    return sums


def _by_keys(weights: Value, x: Value) -> Value:
    """[batch, S, groups, size]: sums over the queries, of all heads that share a group."""
    batch, groups, repeats, target, _ = weights.shape
    grouped = p.reshape(x, shape=(batch, target, groups, repeats, x.shape[3]))
    found = p.dot(
        weights, grouped, contract=((3, 2), (1, 3)), batch=((0, 1), (0, 2))
    )  # batch, group, S, size
    sums: Value = p.transpose(found, permutation=(0, 2, 1, 3))
    return sums
