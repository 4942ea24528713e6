"""A lock for a model's state: many readers or one writer, each in turn."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager

_locks: weakref.WeakSet[StateLock] = weakref.WeakSet()


class StateLock:
    """Readers (`predict`) share, a writer (some training steps) is alone, and neither starves.

    When a writer is done, every reader that waited meanwhile goes next; when those are done, the next writer.
    The thread that writes may also read. A forked child starts with every lock free.
    """

    def __init__(self) -> None:
        self._make()
        _locks.add(self)

    def _make(self) -> None:
        self._mutex = threading.Lock()
        self._changed = threading.Condition(self._mutex)
        self._readers = 0
        self._waiting_readers = 0
        self._waiting_writers = 0
        self._turn = 0
        self._writer: int | None = None

    def acquire_read(self) -> None:
        with self._mutex:
            if self._writer is None and not self._waiting_writers:
                self._readers += 1
                return
            self._wait_to_read()

    def _wait_to_read(self) -> None:
        if self._writer == threading.get_ident():
            self._readers += 1
            return
        turn = self._turn
        self._waiting_readers += 1
        try:
            # The writer that ends this turn counts the waiting ones as readers before they wake up.
            self._changed.wait_for(lambda: self._turn != turn)
        except BaseException:
            if self._turn == turn:
                self._waiting_readers -= 1
            else:
                self._leave()
            raise

    def release_read(self) -> None:
        with self._mutex:
            self._leave()

    def _leave(self) -> None:
        self._readers -= 1
        if not self._readers and self._waiting_writers:
            self._changed.notify_all()

    def acquire_write(self) -> None:
        with self._mutex:
            self._waiting_writers += 1
            try:
                self._changed.wait_for(lambda: self._writer is None and not self._readers)
                self._writer = threading.get_ident()
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
        self._readers += self._waiting_readers
        self._waiting_readers = 0
        self._turn += 1
        self._changed.notify_all()

    @contextmanager
    def reading(self) -> Iterator[None]:
        """The state stays as it is inside."""
        self.acquire_read()
        try:
            yield
        finally:
            self.release_read()

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Nobody else sees the state inside."""
        self.acquire_write()
        try:
            yield
        finally:
            self.release_write()

    def __reduce__(self) -> tuple[type[StateLock], tuple[()]]:
        """A copied or unpickled model gets a lock of its own."""
        return StateLock, ()


def _free_all_locks() -> None:
    for lock in list(_locks):
        lock._make()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_free_all_locks)
