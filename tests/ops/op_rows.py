"""How sample rows of ops are made: arguments with the shapes and numbers that matter, and `rows`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Random = np.random.Generator


@dataclass(frozen=True)
class Row:
    """One call.

    build: from a generator, the positional arguments; arrays among them are traced in the traced test.
    tolerance: relative and absolute, against the float32 results of Keras.
    judge: which backend of Keras gives the expected result: "numpy", which is quick; "jax" where that one
    deviates; None where both are wrong, and the row has a test of its own.
    """

    build: Callable[[Random], tuple[Any, ...]]
    keywords: dict[str, Any] = field(default_factory=dict)
    tolerance: float = 2e-6
    judge: str | None = "numpy"
    traced: bool = True


def normal(*shape: int) -> Callable[[Random], np.ndarray[Any, Any]]:
    return lambda rng: rng.standard_normal(shape).astype(np.float32)


def between(low: float, high: float, *shape: int) -> Callable[[Random], np.ndarray[Any, Any]]:
    return lambda rng: rng.uniform(low, high, shape).astype(np.float32)


def whole(low: int, high: int, *shape: int, dtype: str = "int32") -> Callable[[Random], np.ndarray[Any, Any]]:
    return lambda rng: rng.integers(low, high, shape).astype(dtype)


def flags(*shape: int) -> Callable[[Random], np.ndarray[Any, Any]]:
    return lambda rng: rng.integers(0, 2, shape).astype(bool)


def with_nan(*shape: int) -> Callable[[Random], np.ndarray[Any, Any]]:
    def build(rng: Random) -> np.ndarray[Any, Any]:
        x = rng.standard_normal(shape).astype(np.float32)
        x[rng.random(shape) < 0.3] = np.nan
        return x

    return build


def given(function: Callable[..., Any]) -> Callable[[Random], Callable[..., Any]]:
    """An argument that is a function."""
    return lambda rng: function


SPECIAL = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0, -1.0, 1e-30, 1e30, -2.5, 2.5, 0.5], np.float32)


def special(rng: Random) -> np.ndarray[Any, Any]:
    return SPECIAL.copy()


def probabilities(*shape: int) -> Callable[[Random], np.ndarray[Any, Any]]:
    def build(rng: Random) -> np.ndarray[Any, Any]:
        x = rng.uniform(0.05, 1, shape)
        return (x / x.sum(-1, keepdims=True)).astype(np.float32)

    return build


def row(
    *builders: Any, tolerance: float = 2e-6, judge: str | None = "numpy", traced: bool = True, **keywords: Any
) -> Row:
    """A Row whose arguments are built in order; what is not callable stands for itself."""

    def build(rng: Random) -> tuple[Any, ...]:
        return tuple(_made(builder, rng) for builder in builders)

    return Row(build, keywords, tolerance, judge, traced)


def _made(builder: Any, rng: Random) -> Any:
    if isinstance(builder, list):
        return [_made(entry, rng) for entry in builder]
    return builder(rng) if callable(builder) else builder


ROWS: dict[str, list[Row]] = {}


def rows(names: str, *entries: Row) -> None:
    for name in names.split():
        ROWS.setdefault(name, []).extend(entries)
