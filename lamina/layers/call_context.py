"""What a call of a layer knows about the calls around it."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

from lamina.core.scopes import Scope, contained


@dataclass
class Call:
    """One `layer(...)` under way: the layer, and the `training` flag that inner layers inherit."""

    layer: Any
    training: Any = None


_calls: Scope[tuple[Call, ...]] = Scope(())


def current() -> Call | None:
    """The innermost call, or None outside of all layers."""
    calls = _calls.value
    return calls[-1] if calls else None


def inside(call: Call) -> contained:
    """Context in which `call` is the innermost one."""
    return _calls.holding((*_calls.value, call))


def warn_if_homeless(layer: Any) -> None:
    """A warning about a layer that got weights inside the call of another one without being a part of it."""
    calls = _calls.value
    if not calls or not layer._own_weights():
        return
    outermost = calls[0].layer
    if not any(part is layer for part in outermost._flatten_layers()):
        warnings.warn(
            f"Layer '{layer.name}' gets its weights inside the call of '{calls[-1].layer.name}', but is no "
            f"part of '{outermost.name}': they are not trained. Make it in __init__(), as an attribute.",
            stacklevel=4,
        )
