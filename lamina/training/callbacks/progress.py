"""The progress of fit, evaluate and predict as text."""

from __future__ import annotations

import shutil
import time
from typing import Any

from lamina.training.callbacks.base import Callback
from lamina.training.callbacks.line import Line, bar, can_move, duration, in_notebook, shown

# With verbose="auto", what takes less than this shows nothing while it runs.
_SECONDS_BEFORE_BAR = 0.5


class ProgbarLogger(Callback):
    """One line per epoch; in terminals and notebooks it moves while the epoch runs.

    `fit(verbose=...)` adds one: 1 shows the moving bar where it can move, 2 plain lines, "auto" means 1.
    """

    def __init__(self) -> None:
        super().__init__()
        self._in_fit = False
        self._line: Line | None = None
        self._start = 0.0
        self._head = ""

    def set_params(self, params: dict[str, Any]) -> None:
        super().set_params(params)
        self._line = Line(moving=params.get("verbose") in (1, "auto") and can_move())

    def _begin(self, head: str = "") -> None:
        self._head = head
        self._start = time.perf_counter()
        if self._line is not None:
            self._line.wait(_SECONDS_BEFORE_BAR if self.params.get("verbose") == "auto" else 0.0)

    def _text(self, steps: int, logs: Any, width: int | None = None) -> str:
        seconds = time.perf_counter() - self._start
        total = self.params.get("steps")
        parts = [f"{steps}/{total}" if total else f"{steps}"]
        if self._line is not None and self._line.moving:
            parts[0] = f"{bar(steps, total or steps)} {parts[0]}"
        parts.append(f"{duration(seconds)} {duration(seconds / max(steps, 1))}/step")
        parts += [f"{name}: {shown(value)}" for name, value in (logs or {}).items()]
        text = " - ".join([self._head] * bool(self._head) + parts)
        return text if width is None or len(text) < width else text[: width - 2] + "…"

    def _show(self, steps: int, logs: Any) -> None:
        if self._line is not None and self._line.due():
            # The lines of a notebook are as long as they need to be.
            width = None if in_notebook() else shutil.get_terminal_size().columns
            self._line.rewrite(self._text(steps, logs, width))

    def _finish(self, logs: Any) -> None:
        if self._line is not None:
            self._line.finish(self._text(self.params.get("steps") or self._steps, logs))

    _steps = 0

    # --- hooks -------------------------------------------------------------------------------------

    def on_train_begin(self, logs: Any = None) -> None:
        self._in_fit = True

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        epochs = self.params.get("epochs", 1)
        self._begin(f"Epoch {epoch + 1:>{len(str(epochs))}}/{epochs}")

    def on_progress(self, steps: int, logs: Any = None) -> None:
        self._steps = steps
        self._show(steps, logs)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self._finish(logs)

    def on_test_begin(self, logs: Any = None) -> None:
        if not self._in_fit:
            self._begin()

    def on_test_end(self, logs: Any = None) -> None:
        if not self._in_fit:
            self._finish(logs)

    def on_predict_begin(self, logs: Any = None) -> None:
        self._begin()

    def on_predict_end(self, logs: Any = None) -> None:
        if self.params.get("verbose") != "auto" or (self._line is not None and self._line.shown):
            self._finish(None)

    def on_exit(self) -> None:
        self._in_fit = False
        if self._line is not None:
            self._line.leave()
