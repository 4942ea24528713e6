"""What happened in each epoch of training."""

from __future__ import annotations

from html import escape
from typing import Any

from lamina.core.interrupts import deferred_interrupts
from lamina.training.callbacks.base import Callback


class History(Callback):
    """Records the logs of each epoch; `fit` returns one.

    history: {"loss": [one number per epoch], "val_loss": [...], ...}. epoch: the numbers of the epochs.
    """

    def __init__(self) -> None:
        super().__init__()
        self.history: dict[str, list[Any]] = {}
        self.epoch: list[int] = []

    def on_train_begin(self, logs: Any = None) -> None:
        self.epoch = []
        # A model that is trained further goes on with a new history, as in Keras.
        self.history = {}

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        with deferred_interrupts():
            self.epoch.append(epoch)
            for name, value in (logs or {}).items():
                self.history.setdefault(name, []).append(value)
        if self.model.history is not self:
            self.model.history = self

    def _rows(self) -> list[tuple[str, str, str, str]]:
        """For each name: first, last and best value."""
        rows = []
        for name, values in self.history.items():
            numbers = [value for value in values if isinstance(value, (int, float))]
            if numbers:
                best = min(numbers) if name.endswith("loss") else max(numbers)
                rows.append((name, f"{numbers[0]:.4g}", f"{numbers[-1]:.4g}", f"{best:.4g}"))
        return rows

    def __repr__(self) -> str:
        last = ", ".join(f"{name}: {last}" for name, _, last, _ in self._rows())
        return f"<History of {len(self.epoch)} epochs{'; last: ' + last if last else ''}>"

    def _repr_html_(self) -> str:
        head = "<tr><th></th><th>first</th><th>last</th><th>best</th><th></th></tr>"
        body = "".join(
            f"<tr><th>{escape(name)}</th><td>{first}</td><td>{last}</td><td>{best}</td>"
            f"<td>{_sparkline(self.history[name])}</td></tr>"
            for name, first, last, best in self._rows()
        )
        return f"<table><caption>{len(self.epoch)} epochs</caption>{head}{body}</table>"


def _sparkline(values: list[Any], width: int = 160, height: int = 24) -> str:
    """A small curve as SVG."""
    low, high = min(values), max(values)
    across, up = width / max(len(values) - 1, 1), height / ((high - low) or 1)
    points = " ".join(
        f"{index * across:.1f},{height - (value - low) * up:.1f}" for index, value in enumerate(values)
    )
    return (
        f'<svg width="{width}" height="{height}" viewBox="0 -1 {width} {height + 2}">'
        f'<polyline points="{points}" fill="none" stroke="currentColor"/></svg>'
    )
