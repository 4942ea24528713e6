"""How many threads a run gets: whichever number was faster lately.

On a quiet machine all threads win. On a busy one, a thread that is kept waiting keeps the others waiting at
every barrier, and one thread alone is faster. Every number gives the same bits, so each run may choose anew.
"""

from __future__ import annotations

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
