"""Philox2x32-7: random bits as a pure function of a counter and a key.

Source: J. Salmon, M. Moraes, R. Dror, D. Shaw, "Parallel Random Numbers: As Easy as 1, 2, 3" (SC11), and the
constants and known answers of the Random123 library. Seven rounds are the fewest that pass BigCrush.
"""

from __future__ import annotations

from typing import Any

import numpy as np

MULTIPLIER = 0xD256D193
WEYL = 0x9E3779B9  # added to the key between rounds: the golden ratio in 32 bits
ROUNDS = 7

_LOW = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)

Words = np.ndarray[Any, np.dtype[np.uint64]]


def philox2x32(counter: tuple[Any, Any], key: int, rounds: int = ROUNDS) -> tuple[Words, Words]:
    """Both output words, as uint64 arrays of 32-bit numbers, for counter words that broadcast together.

    One round: (high, low) = MULTIPLIER * counter[0]; counter becomes (high ^ key ^ counter[1], low).
    """
    first, second = (np.asarray(word).astype(np.uint64) & _LOW for word in counter)
    for number in range(rounds):
        round_key = np.uint64((key + number * WEYL) & 0xFFFFFFFF)
        product = first * np.uint64(MULTIPLIER)
        first, second = (product >> _HALF) ^ round_key ^ second, product & _LOW
    return first, second


def random_bits(key: np.ndarray[Any, Any], shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
    """uint32 bits of `shape`: element i (row-major) is output word 0 of counter (i, key[1]) under key key[0].

    The element counter has 32 bits: elements that lie 2**32 apart are equal.
    """
    elements = np.arange(int(np.prod(shape)), dtype=np.uint64)
    first, _ = philox2x32((elements, key[1]), int(key[0]))
    return first.astype(np.uint32).reshape(shape)
