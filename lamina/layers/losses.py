"""Losses that layers add while they are called.

They belong to the program in which they arose: a loss of a trace is seen only inside that trace and dies with
it, and an eager loss is seen only by the thread that computed it. So a layer itself holds no tensors, and
predicting from several threads mixes nothing up.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import Any
from weakref import WeakKeyDictionary

from lamina.ir import trace

_LossesOfLayers = WeakKeyDictionary[Any, list[Any]]


class _Records(threading.local):
    def __init__(self) -> None:
        self.eager: _LossesOfLayers = WeakKeyDictionary()
        self.traced: WeakKeyDictionary[trace.Trace, _LossesOfLayers] = WeakKeyDictionary()


_records = _Records()


def _current_record() -> _LossesOfLayers:
    program = trace.current()
    if program is None:
        return _records.eager
    return _records.traced.setdefault(program, WeakKeyDictionary())


def add(layer: Any, losses: Iterable[Any]) -> None:
    """Note losses that `layer` computed."""
    _current_record().setdefault(layer, []).extend(losses)


def of(layer: Any) -> list[Any]:
    """The losses `layer` itself added since the last outermost call."""
    return list(_current_record().get(layer, ()))


def forget(layers: Iterable[Any]) -> None:
    """Drop the losses of these layers: a new outermost call begins."""
    record = _current_record()
    if record:
        for layer in layers:
            record.pop(layer, None)
