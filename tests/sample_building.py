"""How sample rows of primitives are made: operands with the layouts and numbers that matter, and `add`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from lamina.core import dtypes

Random = np.random.Generator
Arrays = list[np.ndarray[Any, Any]]

EXTENTS = (0, 1, 2, 3, 7, 15, 16, 17, 31, 33, 65)
HALVES = ("float16", "bfloat16")
FLOATS = ("float32", "float64", *HALVES)
INTEGERS = ("int8", "int32", "int64", "uint8", "uint32", "uint64")
NUMBERS = (*FLOATS, *INTEGERS)


@dataclass(frozen=True)
class Sample:
    """One application of a primitive.

    build: from a generator, (operands, attributes). special: it has NaN, infinities, signed zeros, denormals
    or integer limits, for which a backend must give the same class of result.
    smooth: the derivative exists around these operands, so finite differences can judge it.
    """

    primitive: str
    dtype: str
    what: str
    build: Callable[[Random], tuple[Arrays, dict[str, Any]]]
    special: bool = False
    smooth: bool = False

    @property
    def id(self) -> str:
        return f"{self.primitive}-{self.dtype}-{self.what}"


SAMPLES: list[Sample] = []

# --- making operands -------------------------------------------------------------------------------

Domain = Callable[[Random, tuple[int, ...]], np.ndarray[Any, Any]]


def between(low: float, high: float) -> Domain:
    return lambda rng, shape: rng.uniform(low, high, shape)


def normal(rng: Random, shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
    return rng.standard_normal(shape)


def away_from(*places: float, margin: float = 0.05) -> Domain:
    """Normal numbers that keep a distance from these places, where a derivative jumps."""

    def build(rng: Random, shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
        x = rng.standard_normal(shape) * 1.5
        for place in places:
            near = np.abs(x - place) < margin
            x = np.where(near, place + 2 * margin, x)
        return x

    return build


def distinct(rng: Random, shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
    """Numbers of which no two are close, in random order."""
    count = int(np.prod(shape))
    return (rng.permutation(count).reshape(shape) - count / 2) / 4


def as_kind(x: np.ndarray[Any, Any], dtype: str) -> np.ndarray[Any, Any]:
    return np.asarray(x).astype(dtypes.to_numpy(dtype))


def integers(rng: Random, shape: tuple[int, ...], dtype: str) -> np.ndarray[Any, Any]:
    if dtype == "bool":
        return rng.integers(0, 2, shape).astype(bool)
    low = 0 if dtypes.is_unsigned(dtype) else -20
    return rng.integers(low, 21, shape).astype(dtypes.to_numpy(dtype))


def operand(rng: Random, shape: tuple[int, ...], dtype: str, domain: Domain = normal) -> np.ndarray[Any, Any]:
    return as_kind(domain(rng, shape), dtype) if dtypes.is_float(dtype) else integers(rng, shape, dtype)


def strided(x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Equal to x, as every second element of a larger array along its last axis."""
    wide = np.zeros((*x.shape[:-1], 2 * x.shape[-1]), x.dtype)
    wide[..., ::2] = x
    return wide[..., ::2]


def transposed(x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Equal to x, stored column by column."""
    return np.asfortranarray(x)


def special_floats(dtype: str) -> np.ndarray[Any, Any]:
    """NaN, infinities, zeros of both signs, a denormal, the smallest, the largest, and ordinary numbers."""
    tiny = {"float16": 6e-8, "bfloat16": 1e-40, "float32": 1e-40, "float64": 5e-324}[dtype]
    least = {"float16": 6.104e-5, "bfloat16": 1.1755e-38, "float32": 1.1755e-38, "float64": 2.2251e-308}[
        dtype
    ]
    most = {"float16": 65504.0, "bfloat16": 3.38e38, "float32": 3.4028e38, "float64": 1.7976e308}[dtype]
    numbers = [np.nan, np.inf, 0.0, 1.0, 0.5, 1.5, 2.5, 3.0, tiny, least, most, 88.0, 1e-3]
    return np.array(numbers + [-number for number in numbers]).astype(dtypes.to_numpy(dtype))


def special_integers(dtype: str) -> np.ndarray[Any, Any]:
    if dtype == "bool":
        return np.array([False, True])
    low, high = dtypes.limits(dtype)
    numbers = [low, low + 1, 0, 1, 2, 3, 7, high - 1, high] + ([] if low == 0 else [-1, -2, -7])
    return np.array(numbers, dtypes.to_numpy(dtype))


def specials(dtype: str) -> np.ndarray[Any, Any]:
    return special_floats(dtype) if dtypes.is_float(dtype) else special_integers(dtype)


def pairs(dtype: str) -> Arrays:
    """Every special number against every other."""
    numbers = specials(dtype)
    first, second = np.meshgrid(numbers, numbers)
    return [first.ravel(), second.ravel()]


# --- making rows -----------------------------------------------------------------------------------


def add(
    primitive: str,
    dtype: str,
    what: str,
    build: Callable[[Random], Any],
    special: bool = False,
    smooth: bool = False,
) -> None:
    """A row; `build` gives the operands, or (operands, attributes)."""

    def whole(rng: Random) -> tuple[Arrays, dict[str, Any]]:
        built = build(rng)
        return built if isinstance(built, tuple) else (built, {})

    SAMPLES.append(Sample(primitive, dtype, what, whole, special, smooth))
