"""Locks of a model: for its state, many readers or one writer; for making programs, one thread at a time."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager

_locks: weakref.WeakSet[_ForkSafe] = weakref.WeakSet()


class _ForkSafe:
    """A lock that is free in a forked child, and in copies of what holds it."""

    def __init__(self) -> None:
        self._make()
        _locks.add(self)

    def _make(self) -> None:
        raise NotImplementedError

    def __reduce__(self) -> tuple[type[_ForkSafe], tuple[()]]:
        return type(self), ()


class MakingLock(_ForkSafe):
    """A reentrant lock, for use as `with making.lock`.

    That is Python's own: a Ctrl-C at the door of an `__exit__` written here would leave it locked for ever.
    """

    def _make(self) -> None:
        self.lock = threading.RLock()


class StateLock(_ForkSafe):
    """Readers (`predict`) share, a writer (some training steps) is alone, and neither starves.

    When a writer is done, every reader that waited meanwhile goes next; when those are done, the next writer.
    The thread that writes may also read. A thread reads once at a time, so one that Ctrl-C took out of
    reading before it could say so is forgotten when it comes back.
    """

    def _make(self) -> None:
        self._mutex = threading.Lock()
        self._changed = threading.Condition(self._mutex)
        self._readers: set[int] = set()
        self._waiting_readers: set[int] = set()
        self._waiting_writers = 0
        self._writer: int | None = None

    def acquire_read(self) -> None:
        me = threading.get_ident()
        with self._mutex:
            if self._writer is None and not self._waiting_writers:
                self._readers.add(me)
            elif self._writer != me:
                self._wait_to_read(me)

    def _wait_to_read(self, me: int) -> None:
        self._waiting_readers.add(me)
        try:
            # The writer that is done makes the waiting ones readers before they wake up.
            self._changed.wait_for(lambda: me in self._readers)
        except BaseException:
            self._waiting_readers.discard(me)
            self._leave(me)
            raise

    def release_read(self) -> None:
        with self._mutex:
            self._leave(threading.get_ident())

    def _leave(self, me: int) -> None:
        self._readers.discard(me)
        if not self._readers and self._waiting_writers:
            self._changed.notify_all()

    def acquire_write(self) -> None:
        me = threading.get_ident()
        with self._mutex:
            self._readers.discard(me)
            self._waiting_writers += 1
            try:
                self._changed.wait_for(lambda: self._writer in (None, me) and not self._readers)
                self._writer = me
            except BaseException:
                self._admit_readers()
                raise
            finally:
                self._waiting_writers -= 1

    def release_write(self) -> None:
        with self._mutex:
            self._writer = None
            self._admit_readers()

    def _admit_readers(self) -> None:
        if self._writer is None:
            self._readers |= self._waiting_readers
            self._waiting_readers.clear()
        self._changed.notify_all()

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Nobody else sees the state inside."""
        self.acquire_write()
        try:
            yield
        finally:
            self.release_write()


def _free_all_locks() -> None:
    for lock in list(_locks):
        lock._make()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_free_all_locks)
