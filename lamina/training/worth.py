"""Whether batches are dear enough to be made by a thread of their own, beside the steps that take them.

What another core has made must come over from its caches, a thread that is woken or waits for the interpreter
keeps training waiting, and where all cores work on the step already, one that is taken away keeps the others
standing. So cheap batches are made between two calls into native code, by whoever makes the calls: beyond a
few microseconds they cost nothing. Batches are made the same way by either.
"""

from __future__ import annotations

import time

# The part of a step that making its batch may take, and seconds that are never too much.
SHARE = 0.12
CHEAP = 1.5e-5
# The same where the step keeps more than one core busy.
SHARE_OF_BUSY = 0.3
_BUSY = 1.5  # cores
# Dear one after another: once can be an accident.
_TIMES = 2
# Seconds that are dear for a batch whose step nobody has seen yet.
_DEAR = 1e-3
_WAITING = 0.5  # of the time without work: waiting for a file, a lock, or other programs


class Worth:
    """Compares what it takes to make batches with what it takes to use them; both are told to it.

    >>> worth = Worth()
    >>> worth.made(3e-2, 3e-2), worth.made(3e-2, 3e-2)
    (False, True)
    """

    def __init__(self) -> None:
        self._step = 0.0  # seconds, as far as known
        self._cores = 0.0
        self._times = 0
        self._left: tuple[int, float, float] | None = None

    def begin(self) -> None:
        """A pass begins. What was dear in the last one, is after one more batch."""
        self._times = min(self._times, _TIMES - 1)
        self._left = None

    def leave(self, steps: int) -> None:
        """So many batches are used now, until `come_back`."""
        self._left = steps, time.perf_counter(), time.process_time()

    def come_back(self) -> None:
        if self._left is None:
            return
        steps, wall, busy = self._left
        self._left = None
        passed = max(time.perf_counter() - wall, 1e-9)
        self._step = passed / steps
        self._cores = (time.process_time() - busy) / passed

    @property
    def busy(self) -> bool:
        """Whether a step keeps more than one core busy."""
        return self._cores >= _BUSY

    def made(self, seconds: float, busy: float) -> bool:
        """A batch took so many seconds, busy for some of them. Whether the next ones are worth a thread."""
        waited = seconds - busy > _WAITING * seconds
        share = SHARE_OF_BUSY if self.busy and not waited else SHARE
        dear = seconds > (max(CHEAP, share * self._step) if self._step else _DEAR)
        self._times = self._times + 1 if dear else 0
        return self._times >= _TIMES
