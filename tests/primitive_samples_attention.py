"""Sample rows of attention and its gradient; `primitive_samples` has the whole table."""

from __future__ import annotations

from typing import Any

import numpy as np
from sample_building import FLOATS, Arrays, Random, add, operand

from lamina.ir import primitives as p

# (batch, queries, keys, heads, groups, features of a key, of a value), causal, the mask's extents
# (batch, heads, queries), or None without a mask
SHAPES: tuple[tuple[tuple[int, ...], bool, tuple[int, int, int] | None], ...] = (
    ((2, 3, 5, 2, 1, 4, 3), False, None),
    ((1, 7, 7, 3, 3, 2, 2), True, None),
    ((2, 17, 3, 2, 2, 3, 5), False, (2, 1, 1)),
    ((2, 5, 33, 4, 2, 7, 1), True, (1, 4, 5)),
    ((1, 65, 66, 1, 1, 17, 31), True, None),
    ((1, 33, 130, 2, 2, 16, 33), False, (1, 1, 33)),
    ((1, 1, 1, 1, 1, 1, 1), True, (1, 1, 1)),
    ((0, 3, 4, 2, 2, 3, 3), False, None),
    ((2, 0, 4, 2, 1, 3, 3), True, None),
    ((2, 3, 4, 2, 2, 3, 0), False, None),
)


def _operands(rng: Random, dtype: str, sizes: Any, extents: Any) -> tuple[Arrays, Arrays]:
    """(query, key and value, the mask if there is one); a query of it may look at nothing."""
    batch, target, source, heads, groups, depth, width = sizes
    arrays = [
        operand(rng, (batch, target, heads, depth), dtype),
        operand(rng, (batch, source, groups, depth), dtype),
        operand(rng, (batch, source, groups, width), dtype),
    ]
    if extents is None:
        return arrays, []
    mask = rng.random((*extents[:2], source, extents[2])) > 0.4
    mask[:1, :, :, :1] = extents[2] == 1
    return arrays, [mask]


def _dropping(rng: Random, sizes: Any) -> tuple[Arrays, float]:
    """(a key of random bits, how much is dropped by them) for every other shape."""
    if (sizes[1] + sizes[2]) % 2 == 0:
        return [], 0.0
    return [rng.integers(0, 2**32, 2, dtype=np.uint32)], 0.25


def _forward(rng: Random, dtype: str, sizes: Any, causal: bool, extents: Any) -> Any:
    arrays, mask = _operands(rng, dtype, sizes, extents)
    bits, rate = _dropping(rng, sizes)
    return [*arrays, *mask, *bits], {"causal": causal, "scale": 0.5, "rate": rate}


def _backward(rng: Random, dtype: str, sizes: Any, causal: bool, extents: Any) -> Any:
    arrays, mask = _operands(rng, dtype, sizes, extents)
    bits, rate = _dropping(rng, sizes)
    attributes = {"causal": causal, "scale": 0.5, "rate": rate}
    results = [np.asarray(result) for result in p.attention(*arrays, *mask, *bits, **attributes)]
    return [*arrays, *results, operand(rng, results[0].shape, dtype), *mask, *bits], attributes


for _name, _build in (("attention", _forward), ("attention_grad", _backward)):
    for _dtype in FLOATS:
        for _number, (_sizes, _causal, _extents) in enumerate(SHAPES):
            if _dtype not in ("float32", "float64") and _number > 3:
                continue
            add(
                _name,
                _dtype,
                f"{_number}{_sizes}".replace(" ", ""),
                lambda rng, build=_build, dtype=_dtype, sizes=_sizes, causal=_causal, extents=_extents: build(
                    rng, dtype, sizes, causal, extents
                ),
                smooth=_dtype == "float64" and _number < 4,
            )
