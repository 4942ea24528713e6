"""Checks of constructor arguments that several layers share."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from lamina.core.errors import ArgumentError
from lamina.layers.input_spec import describe_layer


def positive_integer(value: Any, argument: str, layer: Any) -> int:
    """`value` as an int of at least 1; ArgumentError otherwise."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
        raise ArgumentError(
            f"{describe_layer(layer)} cannot have {argument}={value!r}.",
            expected="a whole number of at least 1",
        )
    return int(value)


def number(
    value: Any,
    argument: str,
    layer: Any,
    low: float = -math.inf,
    high: float = math.inf,
    open_end: bool = False,
) -> Any:
    """`value` if it is a finite number from `low` to `high` (below it if `open_end`); else ArgumentError."""
    fits = (
        isinstance(value, (int, float, np.integer, np.floating))
        and not isinstance(value, bool)
        and math.isfinite(value)
        and low <= value <= high
        and not (open_end and value == high)
    )
    if fits:
        return value.item() if isinstance(value, np.generic) else value
    if math.isinf(high):
        expected = "a finite number" if math.isinf(low) else f"a finite number of at least {low:g}"
    else:
        expected = f"a number from {low:g} {'to below' if open_end else 'to'} {high:g}"
    raise ArgumentError(f"{describe_layer(layer)} cannot have {argument}={value!r}.", expected=expected)


def integers(values: Any, argument: str, layer: Any) -> tuple[int, ...]:
    """`values` as a tuple of ints; ArgumentError otherwise."""
    listed = [values] if isinstance(values, (int, np.integer)) else values
    try:
        listed = list(listed)
        if any(isinstance(value, bool) or not isinstance(value, (int, np.integer)) for value in listed):
            raise TypeError
    except TypeError:
        raise ArgumentError(
            f"{describe_layer(layer)} cannot have {argument}={values!r}.", expected="a tuple of whole numbers"
        ) from None
    return tuple(int(value) for value in listed)


def integer_tuple(value: Any, count: int, argument: str, layer: Any, low: int = 1) -> tuple[int, ...]:
    """`value` as `count` whole numbers of at least `low`: one number stands for all of them."""
    listed = (value,) * count if isinstance(value, (int, np.integer)) else value
    wanted = f"a whole number of at least {low}" + (f", or {count} of them" if count > 1 else "")
    try:
        listed = tuple(listed)
        if len(listed) != count or any(
            isinstance(entry, bool) or not isinstance(entry, (int, np.integer)) or entry < low
            for entry in listed
        ):
            raise TypeError
    except TypeError:
        raise ArgumentError(
            f"{describe_layer(layer)} cannot have {argument}={value!r}.", expected=wanted
        ) from None
    return tuple(int(entry) for entry in listed)


def choice(value: Any, argument: str, layer: Any, allowed: tuple[str, ...]) -> str:
    """`value` in lower case if it is one of `allowed`; ArgumentError otherwise."""
    if isinstance(value, str) and value.lower() in allowed:
        return value.lower()
    raise ArgumentError(
        f"{describe_layer(layer)} cannot have {argument}={value!r}.",
        expected="one of " + ", ".join(repr(entry) for entry in allowed),
    )


def channels_last(data_format: Any, layer: Any) -> str:
    """`"channels_last"`, the only layout there is; ArgumentError, saying what to transpose, for another."""
    if data_format in (None, "channels_last"):
        return "channels_last"
    raise ArgumentError(
        f"{describe_layer(layer)} cannot have data_format={data_format!r}.",
        expected="'channels_last': (batch, ..., channels)",
        fix="leave it out, and move the channels of your arrays to the end: x = np.moveaxis(x, 1, -1).",
    )
