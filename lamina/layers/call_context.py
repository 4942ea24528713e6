"""What a call knows about the calls around it. Each thread has its own stack of calls."""

from __future__ import annotations

import threading
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
