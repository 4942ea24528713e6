"""How many threads a run gets: whichever number was faster lately.

On a quiet machine all threads win. On a busy one, a thread that is kept waiting keeps the others waiting at
every barrier, and one thread alone is faster. Every number gives the same bits, so each run may choose anew.
"""

from __future__ import annotations

from math import inf

# Short runs count as following each other closely when less than this lies between them, and are shared from
# the next but so many on.
CLOSE_NANOSECONDS = 100_000
CLOSE_RUNS = 8
TRIAL = 16  # short runs on the number of threads that was slower lately ...
STRETCH = 500  # ... after so many on the faster one; more when it was much faster
LOOK_EVERY = 12  # runs between looks at the other number of threads; more when it was much slower


class Pace:
    """Chooses between all threads and one for each run of a program."""

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self._nanoseconds: dict[int, float] = {}
        self._warm: set[int] = set()
        self._since_look = 0

    def choose(self) -> int:
        """All threads first, then one; from then on the faster, with a look at the other now and then."""
        for count in (self.workers, 1):
            if count not in self._nanoseconds:
                return count
        best = min(self._nanoseconds, key=lambda count: self._nanoseconds[count])
        other = 1 if best == self.workers else self.workers
        self._since_look += 1
        ratio = self._nanoseconds[other] / self._nanoseconds[best]
        if self._since_look >= LOOK_EVERY * min(8.0, ratio * ratio):
            self._since_look = 0
            return other
        return best

    def note(self, count: int, nanoseconds: float) -> None:
        """What a step took with that many threads; the first run, with cold caches, does not count."""
        if count not in self._warm:
            self._warm.add(count)
            return
        before = self._nanoseconds.get(count, nanoseconds)
        self._nanoseconds[count] = 0.25 * before + 0.75 * nanoseconds


class Burst:
    """Chooses for runs so short that waking a worker takes longer than they do.

    Only runs that follow each other closely are shared: after a few of them the workers are woken, and then
    look for the next one themselves (`handoff`). A stretch of runs goes to the number of threads that was
    faster, then a few to the other one.
    """

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self._nanoseconds: dict[int, float] = {}
        self._ended = 0
        self._close = 0
        self._count = workers
        self._is_trial = True
        self._left = TRIAL

    def choose(self, now: int) -> int:
        """The number of threads for a run that begins now, in nanoseconds of some clock."""
        self._close = self._close + 1 if now - self._ended < CLOSE_NANOSECONDS else 0
        if self._close < CLOSE_RUNS:
            return 1
        if self._left <= 0:
            self._begin_stretch()
        self._left -= 1
        return self._count

    def note(self, count: int, start: int, end: int) -> None:
        """When a run on that many threads began and ended."""
        self._ended = end
        if not self._close:  # memory and caches may be cold
            return
        taken = max(float(end - start), 1.0)
        before = self._nanoseconds.get(count, taken)
        # A run that something else held up for long says little.
        self._nanoseconds[count] = before + 0.1 * (min(taken, 8 * before) - before)

    def _begin_stretch(self) -> None:
        alone, together = (self._nanoseconds.get(count, inf) for count in (1, self.workers))
        best = self.workers if together < alone else 1
        self._is_trial = not self._is_trial
        if self._is_trial:
            self._count, self._left = 1 if best > 1 else self.workers, TRIAL
            return
        ratio = min(max(alone, together) / min(alone, together), 4.0)
        self._count, self._left = best, int(STRETCH * ratio)
