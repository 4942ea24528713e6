"""Batches laid into rings: made when they are needed while that is cheap, else ahead, by a thread."""

from __future__ import annotations

import queue
import sys
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from lamina.training.alike import Alike
from lamina.training.data import DataSet, Work
from lamina.training.rings import RING_BYTES, Ring
from lamina.training.worth import Worth

_RINGS_AHEAD = 8  # when batches of many sizes take turns
_RINGS_KEPT = 4
_PATIENCE = 0.5  # seconds to wait for a source to come back
_SECONDS_OF_GATHERING = 0.005  # how long to wait for more batches when some are there
# Calls into native code that batches are made for at a time, where no thread makes them; and where the calls
# wake other threads, which takes longer than some batches lying in a farther cache.
_CALLS_AT_ONCE, _CALLS_THAT_WAKE = 4, 12
_SECONDS_AT_ONCE = 1e-3  # that they may take; training stands meanwhile
_SECONDS_TO_LEAVE = 1e-3
# A thread that comes back from native code gets the interpreter after this time at the latest. Python's own
# 5 ms would be longer than many calls into native code.
_SECONDS_BETWEEN_SWITCHES = 1e-4
_END, _NOTHING = object(), object()  # a source may yield anything, also None


class Prefetcher:
    """Runs through what a source yields, for whoever takes it.

    While batches are cheap, `take` makes those that it gives; as soon as they are dear, beside what is done
    with them, the rest of the pass is left to a thread, which goes some megabytes ahead.

    read: makes a DataSet of what was yielded, or raises; it is also told how many came after that. alike: how
    those are taken that look as the first one did. What the source and `read` raise is raised by `take`,
    after the batches before it.
    """

    def __init__(self, read: Callable[[Any, int], DataSet], alike: Alike | None = None) -> None:
        self._read = read
        self._alike = alike
        self._main_key = None if alike is None else alike.batch.batch_type(alike.batch.rows).key
        self._changed = threading.Condition()
        self._rings: deque[Ring] = deque()
        self._spare: dict[Any, Ring] = {}
        self._wanted = 0  # how many batches somebody waits for
        self._own: Iterator[Any] | None = None  # the pass, while no thread makes its batches
        self._worth = Worth()
        self._finished = self._stopped = True
        self._error: BaseException | None = None
        self._passes: queue.SimpleQueue[Iterator[Any] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        _switches.hurry()
        # Once, whether passes are stopped several times or nobody ever says that they are over.
        self._relax = weakref.finalize(self, _switches.relax)

    def start(self, given: Iterator[Any]) -> None:
        """Begin to go through this; what went before has to be at its end, or stopped."""
        self._finished = self._stopped = False
        self._error = None
        self._own = given
        self._worth.begin()

    def take(self, steps: int, least: int = 1) -> Work | None:
        """Up to `steps` batches of one type that are ready, waiting for the first; None at the end.

        Fewer than `least` are only taken when waiting a moment brings no more. The arrays stay as they are
        until the next call.
        """
        self._worth.come_back()
        with self._changed:
            if self._rings:
                self._rings[0].free = self._rings[0].taken
            if self._own is not None:
                calls = _CALLS_THAT_WAKE if self._worth.busy else _CALLS_AT_ONCE
                self._make(self._own, min(steps, calls * least))
            if self._own is None and min(steps, least) > 1:
                self._wait_for(min(steps, least), _SECONDS_OF_GATHERING)
            self._wait_for(1)
            self._changed.notify_all()
            ring = self._front()
            if ring is None or not ring.ready:
                if self._error is not None:
                    raise self._error
                return None
            work = ring.take(steps)
        self._worth.leave(len(work.order))
        return work

    def stop(self) -> bool:
        """No more of this pass is wanted. Whether the source has come back, so that another can be started.

        If not, the thread ends when it does.
        """
        with self._changed:
            self._finished |= self._own is not None
            self._stopped, self._own = True, None
            self._changed.notify_all()
            idle = self._changed.wait_for(lambda: self._finished, _PATIENCE)
            for ring in self._rings:
                self._keep(ring)
            self._rings.clear()
        if not idle:
            self._end()
        return idle

    def close(self) -> bool:
        """No more passes are wanted. Whether the source has come back, and the thread has ended."""
        idle = self.stop()
        if idle:
            self._end()
            if self._thread is not None:
                self._thread.join()
        return idle

    def _end(self) -> None:
        self._passes.put(None)
        self._relax()

    # --- who takes ---------------------------------------------------------------------------------

    def _make(self, source: Iterator[Any], count: int) -> None:
        """Make up to so many batches, if none is ready; leave the pass to the thread when they are dear."""
        ring = self._front()
        if ring is not None:
            if ring.ready:
                return
            ring.empty()  # always the same place: it is in the cache
        start, before = time.perf_counter(), time.thread_time()
        made, over = 0, False
        try:
            while made < count and not over:
                copied, other, failure = self._copy_alike(source, count - made, start + _SECONDS_AT_ONCE)
                over = other is _END
                different = other is not _NOTHING and not over
                self._accept(copied, later=different)
                if failure is not None:
                    raise failure
                made += copied
                if different:
                    self._put(other)
                    made += 1
                if time.perf_counter() - start >= _SECONDS_AT_ONCE:
                    break
                if self._rings and (len(self._rings) > 1 or self._rings[0].closed):
                    break
        except Exception as error:
            self._error, over = error, True
        except BaseException:
            self._finished, self._own = True, None
            raise
        if over:
            self._finished, self._own = True, None
        elif self._worth.made((time.perf_counter() - start) / made, (time.thread_time() - before) / made):
            self._leave(source)

    def _copy_alike(
        self, source: Iterator[Any], count: int, until: float
    ) -> tuple[int, Any, Exception | None]:
        """Copy up to so many batches that look alike to their places in the ring.

        Returns how many; what came instead of one: a batch that is different, or _END, or _NOTHING; and what
        the source raised.
        """
        alike, ring = self._alike, self._rings[-1] if self._rings else None
        if alike is None or ring is None or ring.batch_type.key != self._main_key:
            return 0, next(source, _END), None
        places, first = ring.places(alike), ring.made % ring.room
        for copied in range(min(count, ring.room - first, ring.at_once)):
            try:
                one = next(source, _END)
            except Exception as error:
                return copied, _NOTHING, error
            arrays = None if one is _END else alike.arrays(one)
            if arrays is None:
                return copied, one, None
            for target, array in zip(places[first + copied], arrays):
                target[...] = array
            if time.perf_counter() > until:
                break
        return copied + 1, _NOTHING, None

    def _accept(self, count: int, later: bool) -> None:
        """Look at so many batches that were copied. later: whether another one came after them."""
        if not count:
            return
        alike, ring = self._alike, self._rings[-1]
        assert alike is not None
        stretch = ring.next_stretch(alike, count)
        if alike.accept(stretch):
            ring.made += count
            return
        for place in range(count):
            rows = slice(place * ring.rows, (place + 1) * ring.rows)
            given = alike.packed([array[rows] for array in stretch.given])
            batch = self._read(given, count - 1 - place + later)
            for target, array in zip(ring.next_arrays(), batch.arrays):
                target[...] = array
            ring.made += 1

    def _leave(self, given: Iterator[Any]) -> None:
        """Let the thread make the rest of the pass."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="lamina-batches", daemon=True)
            self._thread.start()
        self._own = None
        self._passes.put(given)

    def _wait_for(self, count: int, seconds: float | None = None) -> None:
        """Wait for so many batches, or as many as can be taken at once."""
        self._wanted = count
        if not self._enough():
            self._changed.notify_all()  # there may be room now
            self._changed.wait_for(self._enough, seconds)
        self._wanted = 0

    def _enough(self) -> bool:
        ring = self._front()
        if self._finished or ring is None:
            return self._finished
        return ring.ready >= self._wanted or ring.closed or (ring.ready > 0 and len(self._rings) > 1)

    def _front(self) -> Ring | None:
        """The ring whose turn it is. Those before it are done with, and kept for later."""
        while len(self._rings) > 1 and not self._rings[0].ready:
            self._keep(self._rings.popleft())
        return self._rings[0] if self._rings else None

    def _keep(self, ring: Ring) -> None:
        ring.empty()
        self._spare.pop(ring.batch_type.key, None)
        self._spare[ring.batch_type.key] = ring
        while len(self._spare) > _RINGS_KEPT:
            del self._spare[next(key for key in self._spare if key != self._main_key)]

    # --- in the other thread -----------------------------------------------------------------------

    def _run(self) -> None:
        while (given := self._passes.get()) is not None:
            try:
                for one in given:
                    if not self._put(one):
                        break
            except BaseException as error:  # also KeyboardInterrupt and SystemExit of the user's code
                self._error = error
            del given
            with self._changed:
                self._finished = True
                self._changed.notify_all()

    def _put(self, given: Any) -> bool:
        """Lay a batch into a ring, waiting for room; False when nobody wants it any more."""
        if self._stopped:
            return False
        alike = self._alike
        if alike is not None and (arrays := alike.arrays(given)) is not None:
            ring = self._ring_for(alike.batch)
            if ring is None:
                return False
            for target, array in zip(ring.places(alike)[ring.made % ring.room], arrays):
                target[...] = array
            if alike.accept(ring.next_stretch(alike, 1)):
                self._made(ring)
                return True
        batch = self._read(given, 0)
        ring = self._ring_for(batch)
        if ring is None:
            return False
        for target, array in zip(ring.next_arrays(), batch.arrays):
            target[...] = array
        self._made(ring)
        return True

    def _made(self, ring: Ring) -> None:
        with self._changed:
            ring.made += 1
            if self._wanted and self._enough():
                self._changed.notify_all()
                self._changed.wait(_SECONDS_TO_LEAVE)  # who waited needs the interpreter for a moment

    def _ring_for(self, batch: DataSet) -> Ring | None:
        """A ring with room for the next batch, which is like this one; None when it is not wanted."""
        key = batch.batch_type(batch.rows).key
        with self._changed:
            while not self._stopped:
                last = self._rings[-1] if self._rings else None
                if last is not None and last.batch_type.key == key:
                    if not last.full:
                        return last
                elif self._has_room(batch):
                    self._rings.append(self._spare.pop(key) if key in self._spare else Ring(batch))
                    return self._rings[-1]
                self._changed.wait()
        return None

    def _has_room(self, batch: DataSet) -> bool:
        """Whether one more ring may be begun."""
        if len(self._rings) < 2:
            return True
        waiting = sum((ring.made - ring.free) * ring.bytes for ring in self._rings)
        return len(self._rings) < _RINGS_AHEAD and waiting < RING_BYTES


class _Switches:
    """How often threads take turns in the interpreter: more often while batches are made."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._count = 0
        self._before = 0.0

    def hurry(self) -> None:
        with self._lock:
            if not self._count:
                self._before = sys.getswitchinterval()
                sys.setswitchinterval(min(self._before, _SECONDS_BETWEEN_SWITCHES))
            self._count += 1

    def relax(self) -> None:
        with self._lock:
            self._count -= 1
            if not self._count:
                sys.setswitchinterval(self._before)


_switches = _Switches()
