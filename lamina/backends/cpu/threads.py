"""The worker threads: plain Python threads that enter compiled code through ctypes, which releases the GIL.

They are started when first needed, shared by all programs, and started anew in a forked child.
"""

from __future__ import annotations

import ctypes
import os
import queue
import sys
import threading
from collections.abc import Callable

Job = Callable[[], None]


class Pool:
    """Workers that each take one job at a time. Only one program uses them at once."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self._inboxes: list[queue.SimpleQueue[Job]] = []

    def run(self, jobs: list[Job]) -> None:
        """Run all jobs at the same time, the first one in this thread; return when all are done."""
        while len(self._inboxes) < len(jobs) - 1:
            self._start()
        done = [threading.Lock() for _ in jobs[1:]]
        for lock, job, inbox in zip(done, jobs[1:], self._inboxes):
            lock.acquire()
            inbox.put(_finishing(job, lock))
        jobs[0]()
        for lock in done:
            lock.acquire()

    def _start(self) -> None:
        inbox: queue.SimpleQueue[Job] = queue.SimpleQueue()
        thread = threading.Thread(
            target=_serve, args=(inbox,), daemon=True, name=f"lamina-{len(self._inboxes) + 1}"
        )
        thread.start()
        self._inboxes.append(inbox)


def _finishing(job: Job, lock: threading.Lock) -> Job:
    def run() -> None:
        try:
            job()
        finally:
            lock.release()

    return run


def _serve(inbox: queue.SimpleQueue[Job]) -> None:
    while True:
        inbox.get()()


pool = Pool()


def _after_fork() -> None:
    """A forked child has none of its parent's threads."""
    global pool
    pool = Pool()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


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
