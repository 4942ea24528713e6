"""Philox2x32-7: random bits from counters; the definition is `lamina.interp.philox`."""

from __future__ import annotations

from lamina.backends.cpu.math_vector import Vector
from lamina.interp.philox import MULTIPLIER, ROUNDS, WEYL

_LOW = 0xFFFFFFFF


def philox(counter: Vector, second: Vector, key: Vector) -> Vector:
    """Output word 0 of counter (`counter`, `second`) under `key`, 32 bits per lane.

    `second` and `key` are the same in every lane. A product of 32 bits by 32 is one instruction on lanes of
    64, so even and odd lanes go their own way through all rounds, and what is in the upper halves never
    matters until they meet again.
    """
    keys = [key + (number * WEYL & _LOW) for number in range(ROUNDS)]
    if counter.lanes == 1:
        first, other = counter.convert("zext", "i64"), second.convert("zext", "i64")
        return _rounds(first, other, [key.convert("zext", "i64") for key in keys]).convert("trunc", "i32")
    first, other, pairs = _pairs(counter), _pairs(second), [_pairs(key) for key in keys]
    even, odd = (_rounds(start, other, pairs) for start in (first, first.unsigned_shift(32)))
    both = (even & _LOW) | (odd << 32)
    return both.of(both.builder.bitcast(both.register, counter.register.type))


def _pairs(x: Vector) -> Vector:
    """Neighbouring lanes of 32 bits as one of 64, the even one low."""
    halved = f"<{x.lanes // 2} x i64>" if x.lanes > 2 else "i64"
    return x.of(x.builder.bitcast(x.register, halved))


def _rounds(first: Vector, second: Vector, keys: list[Vector]) -> Vector:
    for key in keys:
        product = (first & _LOW) * MULTIPLIER
        first, second = product.unsigned_shift(32) ^ key ^ second, product
    return first
