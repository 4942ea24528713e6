"""Ctrl-C that waits for the end of the current step, so that nobody sees a half-written state."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType

Handler = Callable[[int, FrameType | None], object]


class _Gate:
    """Stands before the process's SIGINT handler, and holds signals back while `depth` is above zero."""

    def __init__(self, handler: Handler) -> None:
        self.handler = handler
        self.depth = 0
        self.pending: tuple[int, FrameType | None] | None = None
        self.abort: Callable[[], None] | None = None

    def receive(self, number: int, frame: FrameType | None) -> None:
        if not self.depth:
            self.handler(number, frame)
            return
        self.pending = (number, frame)
        if self.abort is not None:
            self.abort()

    def let_through(self) -> None:
        if self.pending is not None and not self.depth:
            pending, self.pending = self.pending, None
            self.handler(*pending)


# Signals reach Python's main thread only, so there is at most one gate.
_gate: _Gate | None = None


def _in_main_thread() -> bool:
    return threading.get_ident() == threading.main_thread().ident


def _install() -> _Gate | None:
    """Put a gate before the handler; None where signals never arrive or nothing would handle them."""
    global _gate
    if not _in_main_thread() or _gate is not None:
        return None
    handler = signal.getsignal(signal.SIGINT)
    if not callable(handler):
        return None
    gate = _Gate(handler)
    try:
        signal.signal(signal.SIGINT, gate.receive)
    except BaseException:  # Ctrl-C in the middle of it
        signal.signal(signal.SIGINT, handler)
        raise
    _gate = gate  # only now: the name of a gate that does not stand would keep others from being put up
    return gate


def _remove(gate: _Gate) -> None:
    global _gate
    _gate = None
    signal.signal(signal.SIGINT, gate.handler)


@contextmanager
def interrupt_gate() -> Iterator[None]:
    """Context that makes the `deferred_interrupts` inside it cheap; it changes nothing else."""
    gate = _install()
    try:
        yield
    finally:
        if gate is not None:
            gate.depth += 1  # no signal keeps it from being removed
            _remove(gate)
            gate.depth -= 1
            gate.let_through()


class deferred_interrupts:  # noqa: N801 - reads as a statement
    """Context in which SIGINT is held back; it takes effect, as usual, when the context ends.

    abort: called when a signal arrives, to make what runs inside end early. Contexts nest. Only Python's main
    thread receives signals, so in any other thread this does nothing.

    >>> with deferred_interrupts():
    ...     model.set_weights(best)
    """

    def __init__(self, abort: Callable[[], None] | None = None) -> None:
        self._abort = abort
        self._outer: Callable[[], None] | None = None
        self._own: _Gate | None = None
        self._gate: _Gate | None = None

    def __enter__(self) -> deferred_interrupts:
        if not _in_main_thread():
            return self
        self._own = _install()
        self._gate = _gate
        if self._gate is not None:
            self._gate.depth += 1
            self._outer = self._gate.abort
            self._gate.abort = self._abort or self._outer
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        gate = self._gate
        if gate is None:
            return
        gate.abort = self._outer
        if self._own is not None:
            _remove(self._own)
        gate.depth -= 1
        gate.let_through()
