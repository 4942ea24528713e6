"""The worker threads: plain Python threads that enter compiled code through ctypes, which releases the GIL.

They are started when first needed, shared by all programs, and started anew in a forked child. Between runs
that follow each other closely they stay in compiled code (`handoff`), where the next run finds them at once;
otherwise they sleep in Python.
"""

from __future__ import annotations

import ctypes
import os
import queue
import sys
import threading
import time
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from lamina.backends.cpu import cache, jit
from lamina.backends.cpu.context import Answer, Desk, PoolRecord
from lamina.backends.cpu.image import Code
from lamina.backends.cpu.memory import address, aligned
from lamina.backends.cpu.target import Target

LOOKING_NANOSECONDS = 200_000  # how long a worker looks for another run before it sleeps
_TRIAL_TURNS = 500

Words = np.ndarray[Any, np.dtype[np.int64]]


class Handoff(NamedTuple):
    """The functions of `handoff`, ready to be called, and what keeps them in memory."""

    hurry: Any
    post: Any
    finish: Any
    rouse: Any
    serve: Any
    turns: int
    code: Code


class Pool:
    """Workers that each take part in one run at a time. Only one program uses them at once."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self._inboxes: list[queue.SimpleQueue[None]] = []
        self._desks: list[Words] = []
        self._tables: list[np.ndarray[Any, np.dtype[np.uintp]]] = []
        self._record = _record(PoolRecord.SIZE)
        self._record[PoolRecord.YIELD] = waiting_functions()[0]
        self._where = address(self._record)
        self._functions: Handoff | None = None

    def hurry(self, program: int, context: int, threads: int) -> Answer:
        """Run on so many threads if that can begin at once, this thread being the first of them."""
        if self._functions is None or len(self._inboxes) < threads - 1:
            return Answer.AWAY
        answer: Answer = self._functions.hurry(self._where, program, context, threads)
        return answer

    def run(self, program: int, context: int, threads: int) -> bool:
        """Run on so many threads, and return when all are done; False when another run has the workers.

        Nothing may interrupt the caller between its calls of this and their end: the workers would wait for
        it for ever.
        """
        if not self.lock.acquire(blocking=False):
            return False
        try:
            found = self._start(threads - 1)
            if not found.post(self._where, program, context, threads):
                return False
            self._wake(threads - 1)
        finally:
            self.lock.release()
        found.finish(self._where, program, context, threads)
        return True

    def rouse(self, threads: int) -> None:
        """Wake the workers for runs that will soon come."""
        if not self.lock.acquire(blocking=False):
            return
        try:
            self._start(threads - 1).rouse(self._where, threads)
            self._wake(threads - 1)
        finally:
            self.lock.release()

    def _wake(self, count: int) -> None:
        for desk, inbox in zip(self._desks[:count], self._inboxes):
            if desk[Desk.WOKEN]:
                inbox.put(None)

    def _start(self, count: int) -> Handoff:
        """Have so many workers at least; the functions to reach them."""
        found = self._functions = functions()
        if len(self._inboxes) >= count:
            return found
        while len(self._inboxes) < count:
            inbox: queue.SimpleQueue[None] = queue.SimpleQueue()
            desk, number = _record(Desk.SIZE), len(self._inboxes) + 1
            desk[Desk.NUMBER] = number
            thread = threading.Thread(
                target=_serve, args=(inbox, desk, found), daemon=True, name=f"lamina-{number}"
            )
            thread.start()
            self._desks.append(desk)
            self._inboxes.append(inbox)
        # A run that is under way may still look at an older table.
        self._tables.append(np.array([address(desk) for desk in self._desks], np.uintp))
        self._record[PoolRecord.TABLE] = address(self._tables[-1])
        return found


def _record(size: int) -> Words:
    words: Words = aligned(8 * size).view(np.int64)
    words[:] = 0
    return words


def _serve(inbox: queue.SimpleQueue[None], desk: Words, found: Handoff) -> None:
    """A worker's life. What it works with is held here, where nothing frees it as long as the thread lives:
    it may still be looking at its desk when the interpreter ends.
    """
    where, giveaway = address(desk), waiting_functions()[0]
    while True:
        inbox.get()
        found.serve(where, found.turns, giveaway)


@lru_cache(maxsize=1)
def functions() -> Handoff:
    """The functions of `handoff` as machine code, from the disk cache where they are there."""
    target = Target.host()
    entry = cache.key("handoff", target.key, *cache.revisions())
    found = cache.read(entry)
    if found is None:
        from lamina.backends.cpu import handoff

        found = {}, jit.compile_object(handoff.text(target), target)
        cache.write(entry, *found)
    code = jit.load(found[1])
    code.outlives_exit()
    number, pointer = ctypes.c_int64, ctypes.c_void_p
    run = (pointer, pointer, pointer, number)

    def made(name: str, result: Any, *parameters: Any) -> Any:
        return ctypes.CFUNCTYPE(result, *parameters)(code.address(name))

    rest = made("rest", None, number)
    turns = max(1, int(LOOKING_NANOSECONDS * _TRIAL_TURNS / _nanoseconds(rest)))
    return Handoff(
        made("hurry", number, *run), made("post", number, *run), made("finish", None, *run),
        made("rouse", None, pointer, number), made("serve", None, pointer, number, pointer), turns, code,
    )  # fmt: skip


def _nanoseconds(rest: Any) -> int:
    """What a few turns of looking take."""
    times = []
    for _ in range(3):
        start = time.perf_counter_ns()
        rest(_TRIAL_TURNS)
        times.append(time.perf_counter_ns() - start)
    return max(1, min(times))


def waiting_functions() -> tuple[int, int, int]:
    """(address of yield, address of a short sleep, its argument): what the barrier calls when a wait is
    long.
    """
    if sys.platform == "win32":
        kernel = ctypes.WinDLL("kernel32")
        return _address(kernel.SwitchToThread), _address(kernel.Sleep), 1
    system = ctypes.CDLL(None)
    return _address(system.sched_yield), _address(system.usleep), 50


def _address(function: object) -> int:
    return ctypes.cast(function, ctypes.c_void_p).value or 0  # type: ignore[arg-type]


pool = Pool()


def _after_fork() -> None:
    """A forked child has none of its parent's threads."""
    global pool
    pool = Pool()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
