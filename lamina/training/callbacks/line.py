"""A line of text that can be written over: where it can, and what it says of numbers and times."""

from __future__ import annotations

import os
import sys
import time
from typing import Any

from lamina.core.config import config

_BAR_WIDTH = 20
_SECONDS_BETWEEN_UPDATES = 0.1
# A notebook keeps every update in its file.
_SECONDS_BETWEEN_UPDATES_OF_NOTEBOOKS = 0.5


class Line:
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
        """Put this in the place of what the line has."""
        self._write("\r" + text.ljust(self._length))
        self._length, self.shown = len(text), True
        pause = _SECONDS_BETWEEN_UPDATES_OF_NOTEBOOKS if in_notebook() else _SECONDS_BETWEEN_UPDATES
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


def can_move() -> bool:
    """Whether the output is a terminal or a notebook, where a line can be written over."""
    if not config.interactive_logging or os.environ.get("TERM") == "dumb":
        return False
    return in_terminal() or in_notebook()


def in_terminal() -> bool:
    return sys.stdout is not None and hasattr(sys.stdout, "isatty") and sys.stdout.isatty()


def in_notebook() -> bool:
    return "ipykernel" in sys.modules and not in_terminal()


def bar(done: int, total: int, width: int = _BAR_WIDTH) -> str:
    """How much of it is done, as a bar."""
    full = min(width, width * done // max(total, 1))
    return "━" * full + "╌" * (width - full)


def duration(seconds: float) -> str:
    """12.3ms, 1.2s, 0:02:03."""
    if seconds >= 100:
        return f"{int(seconds) // 3600}:{int(seconds) // 60 % 60:02d}:{int(seconds) % 60:02d}"
    for unit, scale in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if seconds >= scale:
            return f"{seconds / scale:.3g}{unit}"
    return f"{seconds / 1e-9:.3g}ns"


def shown(value: Any) -> str:
    """A number with four places, anything else as it is."""
    if isinstance(value, (int, float)):
        return f"{value:.4f}" if abs(value) > 1e-3 or value == 0 else f"{value:.4e}"
    return str(value)
