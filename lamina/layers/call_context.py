"""What a call knows about the calls around it. Each thread has its own stack of calls."""

from __future__ import annotations

import threading
import warnings
from dataclasses import dataclass
from typing import Any

_local = threading.local()


@dataclass
class Call:
    """One `layer(...)` under way: the layer, and the `training` flag that inner layers inherit."""

    layer: Any
    training: Any = None

    def __enter__(self) -> Call:
        _stack().append(self)
        return self

    def __exit__(self, *_: object) -> None:
        _stack().pop()


def _stack() -> list[Call]:
    if not hasattr(_local, "stack"):
        _local.stack = []
    stack: list[Call] = _local.stack
    return stack


def current() -> Call | None:
    """The innermost call of this thread, or None outside of all layers."""
    stack = _stack()
    return stack[-1] if stack else None


def warn_if_homeless(layer: Any) -> None:
    """A warning about a layer that got weights inside the call of another one without being a part of it."""
    stack = _stack()
    if not stack or not layer._own_weights():
        return
    outermost = stack[0].layer
    if not any(part is layer for part in outermost._flatten_layers()):
        warnings.warn(
            f"Layer '{layer.name}' gets its weights inside the call of '{stack[-1].layer.name}', but is no "
            f"part of '{outermost.name}': they are not trained. Make it in __init__(), as an attribute.",
            stacklevel=4,
        )
