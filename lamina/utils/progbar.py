"""Progbar: a bar for loops of one's own."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from typing import Any

import numpy as np

from lamina.core.errors import ArgumentError
from lamina.training.callbacks.line import Line, bar, can_move, duration, shown


class Progbar:
    """How far a loop is, and the numbers it gives, on one line.

    target: how many steps there are, None if that is not known. width: of the bar. verbose: 1 moving where
    the output can move, 2 one line at the end, 0 silent. interval: seconds between two updates.
    stateful_metrics: names of numbers shown as they are; others are shown as means over the steps.
    stateless_metrics: instead, names of those that are averaged. unit_name: what a step is called.

    >>> progress = Progbar(100)
    >>> for step in range(100):
    ...     progress.update(step + 1, [("loss", 1 / (step + 1))])
    """

    def __init__(
        self,
        target: int | None,
        width: int = 20,
        verbose: int = 1,
        interval: float = 0.05,
        stateful_metrics: Iterable[str] | None = None,
        stateless_metrics: Iterable[str] | None = None,
        unit_name: str = "step",
    ) -> None:
        if stateful_metrics is not None and stateless_metrics is not None:
            raise ArgumentError("Progbar takes stateful_metrics or stateless_metrics, not both.")
        self.target = target
        self.width = width
        self.verbose = verbose
        self.interval = interval
        self.unit_name = unit_name
        self.stateful_metrics = set(stateful_metrics or ())
        self.stateless_metrics = None if stateless_metrics is None else set(stateless_metrics)
        self._sums: dict[str, tuple[float, int]] = {}  # (sum, number of steps)
        self._seen = 0
        self._start = time.perf_counter()
        self._last = float("-inf")
        self._line = Line(moving=verbose == 1 and can_move())

    def update(
        self, current: int, values: Iterable[tuple[str, Any]] | None = None, finalize: bool | None = None
    ) -> None:
        """So many steps are done; values: (name, number) of the steps since the last update.

        finalize: whether this is the end; by default, when `target` is reached.
        """
        if finalize is None:
            finalize = self.target is not None and current >= self.target
        for name, value in values or ():
            self._take(name, float(np.mean(value)), max(current - self._seen, 1), finalize)
        self._seen = current
        if not self.verbose or sys.stdout is None:
            return
        if finalize:
            self._line.finish(self._text(current))
        elif self._line.moving and time.perf_counter() - self._last >= self.interval:
            self._line.rewrite(self._text(current))
            self._last = time.perf_counter()

    def add(self, n: int, values: Iterable[tuple[str, Any]] | None = None) -> None:
        """`n` more steps are done."""
        self.update(self._seen + n, values)

    def _take(self, name: str, value: float, steps: int, finalize: bool) -> None:
        stateless = (
            name not in self.stateful_metrics
            if self.stateless_metrics is None
            else name in self.stateless_metrics
        )
        if not stateless or finalize:
            self._sums[name] = (value, 1)
        else:
            total, count = self._sums.get(name, (0.0, 0))
            self._sums[name] = (total + value * steps, count + steps)

    def _text(self, current: int) -> str:
        seconds = time.perf_counter() - self._start
        parts = [f"{current}/{self.target}" if self.target else f"{current}"]
        if self._line.moving and self.target:
            parts[0] = f"{bar(current, self.target, self.width)} {parts[0]}"
        parts.append(f"{duration(seconds)} {duration(seconds / max(current, 1))}/{self.unit_name}")
        parts += [f"{name}: {shown(total / count)}" for name, (total, count) in self._sums.items()]
        return " - ".join(parts)
