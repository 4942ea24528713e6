"""Recognising constants: a splat is one number repeated over a shape, a broadcast scalar constant."""

from __future__ import annotations

from typing import Any

from lamina.ir import primitives as p
from lamina.ir.graph import Value


def source(value: Value) -> Value:
    """What `value` repeats or reshapes."""
    while value.node.primitive is p.broadcast or value.node.primitive is p.reshape:
        value = value.node.inputs[0]
    return value


def is_constant(value: Value) -> bool:
    """Whether `value` is a constant, perhaps repeated or reshaped."""
    return source(value).node.primitive is p.constant


def splat(value: Value) -> Any | None:
    """The Python number that `value` repeats everywhere, or None when it is not one constant number.

    >>> splat(full((3, 4), 0.5, "float32"))
    0.5
    """
    constant = source(value)
    if constant.node.primitive is not p.constant:
        return None
    array = constant.node.attributes["value"].array
    if array.ndim == 0:
        return array.item()
    bits = array.reshape(-1).view(f"u{array.itemsize}")  # 0 and -0 differ, NaN is like itself
    if array.size == 0 or (array.size > 1 and not (bits == bits[0]).all()):
        return None
    return array.flat[0].item()
