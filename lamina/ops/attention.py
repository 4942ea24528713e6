"""Dot-product attention: streaming over the keys where that pays, else with the whole matrix of weights."""

from __future__ import annotations

import math
from typing import Any

from lamina.core import dtypes
from lamina.core.config import config
from lamina.core.errors import ShapeError
from lamina.core.scopes import Scope, contained
from lamina.ir import primitives as p
from lamina.ir.attention_rules import hidden
from lamina.ops.activation import softmax
from lamina.ops.contract import einsum
from lamina.ops.convert import as_float, as_tensor, dtype_of, elementwise, like, wider_float
from lamina.ops.create import tri
from lamina.ops.logic import as_bool
from lamina.ops.move import reshaped
from lamina.ops.registry import op

FEWEST = 16  # queries and keys from which streaming pays

_always: Scope[bool] = Scope(False)


def streaming() -> contained:
    """Context in which attention is its primitive wherever it can be, for who wants to see it there."""
    return _always.holding(True)


@op
def dot_product_attention(
    query: Any,
    key: Any,
    value: Any,
    bias: Any = None,
    mask: Any = None,
    scale: float | None = None,
    is_causal: bool = False,
    flash_attention: bool | None = None,
    attn_logits_soft_cap: float | None = None,
) -> Any:
    """softmax(query key^T scale + bias) value, per head.

    Shapes: query (batch, target, heads, d); key, value (batch, source, key heads, d), where the heads are a
    multiple of the key heads; bias and mask broadcast to (batch, heads, target, source).
    flash_attention: stream over the keys, so that the matrix of weights never exists: True or False, or None
    to do so where it pays. With a bias, a soft cap or in half precision it always exists. The numbers are the
    same but for rounding.
    Source: A. Vaswani et al., "Attention Is All You Need" (2017).
    """
    query, key, value = as_float(query), as_float(key), as_float(value)
    if not len(query.shape) == len(key.shape) == len(value.shape) == 4:
        raise ShapeError(
            "Attention takes tensors (batch, length, heads, size).",
            got=f"{query.shape}, {key.shape} and {value.shape}",
        )
    return attend(query, key, value, bias, mask, scale, is_causal, flash_attention, attn_logits_soft_cap)


def attend(
    query: Any,
    key: Any,
    value: Any,
    bias: Any = None,
    mask: Any = None,
    scale: float | None = None,
    is_causal: bool = False,
    flash_attention: bool | None = None,
    soft_cap: float | None = None,
    rate: float = 0.0,
    bits: Any = None,
) -> Any:
    """`dot_product_attention` that may drop a fraction `rate` of the weights, by random bits with a key of
    their own, uint32[2].
    """
    heads, groups = query.shape[2], key.shape[2]
    if heads % groups:
        raise ShapeError(f"{heads} heads of the query are no multiple of the {groups} of the key.")
    scale = 1 / math.sqrt(query.shape[3]) if scale is None else float(scale)
    allowed = None if mask is None else as_bool(mask)
    if bias is None and soft_cap is None and streams(query, key, value, flash_attention):
        others = [] if allowed is None else [_by_keys(allowed, key.shape[1])]
        if rate:
            others.append(as_tensor(bits))
        return p.attention(query, key, value, *others, causal=bool(is_causal), scale=scale, rate=rate)[0]
    return _with_weights(query, key, value, bias, allowed, scale, is_causal, soft_cap)


def streams(query: Any, key: Any, value: Any, flash_attention: bool | None) -> bool:
    """Whether the kernels that never have the whole matrix can do this, and are wanted."""
    if _always.value:
        return _can_stream(query, key, value)
    if flash_attention is None:
        flash_attention = config.flash_attention and min(query.shape[1], key.shape[1]) >= FEWEST
    return flash_attention and _can_stream(query, key, value)


def _can_stream(query: Any, key: Any, value: Any) -> bool:
    kinds = {dtype_of(x) for x in (query, key, value)}
    if len(kinds) > 1 or 0 in (*query.shape, *value.shape) or not key.shape[1]:
        return False
    return kinds <= {"float32", "float64"} or (_always.value and all(map(dtypes.is_float, kinds)))


def _by_keys(allowed: Any, source: int) -> Any:
    """A mask as the primitive takes it: (batch or 1, heads or 1, source, target or 1)."""
    shape = (1,) * (4 - len(allowed.shape)) + tuple(allowed.shape)
    turned = p.transpose(reshaped(allowed, shape), permutation=(0, 1, 3, 2))
    if turned.shape[2] == source:
        return turned
    return p.broadcast(turned, shape=(*shape[:2], source, shape[2]), axes=(0, 1, 2, 3))


def _with_weights(
    query: Any, key: Any, value: Any, bias: Any, allowed: Any, scale: float, is_causal: bool, soft_cap: Any
) -> Any:
    batch, target, heads, depth = query.shape
    groups, source = key.shape[2], key.shape[1]
    kind = dtype_of(query)
    query = reshaped(query, (batch, target, groups, heads // groups, depth))
    logits = as_tensor(einsum("btghd,bsgd->bghts", query, key), wider_float(kind))
    logits = reshaped(logits, (batch, heads, target, source))
    logits = p.multiply(logits, like(logits, scale))
    if bias is not None:
        logits = elementwise(p.add, logits, as_tensor(as_tensor(bias), dtype_of(logits)))
    if soft_cap is not None:
        cap = like(logits, soft_cap)
        logits = p.multiply(p.tanh(p.divide(logits, cap)), cap)
    if is_causal:
        causal = tri(target, source, dtype="bool")
        allowed = causal if allowed is None else elementwise(p.bitwise_and, allowed, causal)
    if allowed is not None:
        # Large but finite: a row in which nothing is allowed must not become NaN.
        logits = elementwise(p.select, allowed, logits, like(logits, hidden(dtype_of(logits))))
    weights = as_tensor(softmax(logits, -1), kind)
    weights = reshaped(weights, (batch, groups, heads // groups, target, source))
    result = einsum("bghts,bsgd->btghd", weights, value)
    return reshaped(result, (batch, target, heads, value.shape[-1]))
