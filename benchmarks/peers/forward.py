"""Rounds of predictions, for all contestants alike."""

from __future__ import annotations

import time
from collections.abc import Callable


def timed(call: Callable[[], object], calls: int) -> Callable[[], float]:
    """A function that makes so many calls and returns the mean of their seconds."""

    def run() -> float:
        start = time.perf_counter()
        for _ in range(calls):
            call()
        return (time.perf_counter() - start) / calls

    return run
