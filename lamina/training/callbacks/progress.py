"""The progress of fit, evaluate and predict as text."""

from __future__ import annotations

import os
import shutil
import sys
import time
from typing import Any

from lamina.core.config import config
from lamina.training.callbacks.base import Callback

_BAR_WIDTH = 20
_ASCII = str.maketrans("━╌…", "=-~")
_SECONDS_BETWEEN_UPDATES = 0.1
# A notebook keeps every update in its file.
_SECONDS_BETWEEN_UPDATES_OF_NOTEBOOKS = 0.5
# With verbose="auto", what takes less than this shows nothing while it runs.
_SECONDS_BEFORE_BAR = 0.5


class ProgbarLogger(Callback):
    """One line per epoch; in terminals and notebooks it moves while the epoch runs.

    `fit(verbose=...)` adds one: 1 shows the moving bar where it can move, 2 plain lines, "auto" means 1.
    """

    def __init__(self) -> None:
        super().__init__()
        self._in_fit = False
        self._line: _Line | None = None
        self._start = 0.0
        self._head = ""

    def set_params(self, params: dict[str, Any]) -> None:
        super().set_params(params)
        self._line = _Line(moving=params.get("verbose") in (1, "auto") and _can_move())

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
            parts[0] = f"{_bar(steps, total or steps)} {parts[0]}"
        parts.append(f"{_duration(seconds)} {_duration(seconds / max(steps, 1))}/step")
        parts += [f"{name}: {_shown(value)}" for name, value in (logs or {}).items()]
        text = " - ".join([self._head] * bool(self._head) + parts)
        return text if width is None or len(text) < width else text[: width - 2] + "…"

    def _show(self, steps: int, logs: Any) -> None:
        if self._line is not None and self._line.due():
            # The lines of a notebook are as long as they need to be.
            width = None if _in_notebook() else shutil.get_terminal_size().columns
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


class _Line:
    """The last line of the output, which can be written over where the output can move."""

    def __init__(self, moving: bool) -> None:
        self.moving = moving
        self.shown = False
        self._length = 0
        self._next = 0.0

    def wait(self, seconds: float) -> None:
        """Show nothing for so long."""
        self._next = time.perf_counter() + seconds

    def due(self) -> bool:
        return self.moving and time.perf_counter() >= self._next

    def rewrite(self, text: str) -> None:
        self._write("\r" + text.ljust(self._length))
        self._length, self.shown = len(text), True
        pause = _SECONDS_BETWEEN_UPDATES_OF_NOTEBOOKS if _in_notebook() else _SECONDS_BETWEEN_UPDATES
        self._next = time.perf_counter() + pause

    def finish(self, text: str) -> None:
        """The line stays, and the next one begins."""
        self._write(("\r" if self._length else "") + text.ljust(self._length) + "\n")
        self._length, self.shown = 0, False

    def leave(self) -> None:
        """After an interruption: whatever comes next begins on a line of its own."""
        if self._length:
            self._write("\n")
            self._length, self.shown = 0, False

    @staticmethod
    def _write(text: str) -> None:
        stream = sys.stdout
        if stream is None:  # a Windows program without a console
            return
        try:
            stream.write(text)
        except UnicodeEncodeError:
            stream.write(
                text.replace("━", "=").replace("╌", "-").replace("…", "~").encode("ascii", "replace").decode()
            )
        stream.flush()


def _can_move() -> bool:
    """Whether the output is a terminal or a notebook, where a line can be written over."""
    if not config.interactive_logging or os.environ.get("TERM") == "dumb":
        return False
    return _in_terminal() or _in_notebook()


def _in_terminal() -> bool:
    return sys.stdout is not None and hasattr(sys.stdout, "isatty") and sys.stdout.isatty()


def _in_notebook() -> bool:
    return "ipykernel" in sys.modules and not _in_terminal()


def _bar(done: int, total: int) -> str:
    full = min(_BAR_WIDTH, _BAR_WIDTH * done // max(total, 1))
    return "━" * full + "╌" * (_BAR_WIDTH - full)


def _duration(seconds: float) -> str:
    if seconds >= 100:
        return f"{int(seconds) // 3600}:{int(seconds) // 60 % 60:02d}:{int(seconds) % 60:02d}"
    for unit, scale in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if seconds >= scale:
            return f"{seconds / scale:.3g}{unit}"
    return f"{seconds / 1e-9:.3g}ns"


def _shown(value: Any) -> str:
    if isinstance(value, (int, float)):
        return f"{value:.4f}" if abs(value) > 1e-3 or value == 0 else f"{value:.4e}"
    return str(value)
