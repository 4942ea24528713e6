"""How long one prediction takes, and what a batch of a size never seen before costs.

python -m benchmarks.latency [--quick]. The first calls of the sizes 1 to 200, in random order, are timed in
fresh processes, with an empty code cache and with a filled one.
"""

from __future__ import annotations

import json
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.harness import Figure, conclude, duration, in_fresh_process, is_quick
from benchmarks.peers.lamina import make_model

SIZES = [20, 64, 64, 2]
# What people still feel as immediate. Source: Miller, "Response time in man-computer conversational
# transactions" (1968); Nielsen, "Usability Engineering" (1993), chapter 5.
IMMEDIATE = 0.1


def seconds_per_call(run: Callable[[], object], rounds: int, calls: int = 1000) -> list[float]:
    """The time of a call in each of some rounds of many."""
    run()
    found = []
    for _ in range(rounds):
        start = time.perf_counter()
        for _ in range(calls):
            run()
        found.append((time.perf_counter() - start) / calls)
    return found


def steady(rounds: int) -> dict[str, list[float]]:
    """Calls whose program is ready, in this process."""
    model = make_model(SIZES)
    x = np.random.default_rng(0).standard_normal((256, SIZES[0])).astype(np.float32)
    row, seven = x[:1].copy(), x[:7].copy()
    return {
        "predict_on_batch of one row": seconds_per_call(lambda: model.predict_on_batch(row), rounds),
        "predict of one row": seconds_per_call(lambda: model.predict(row, verbose=0), rounds),
        "predict of 7 rows, filled up to 8": seconds_per_call(
            lambda: model.predict(seven, verbose=0), rounds
        ),
        "model(x).numpy() of one row": seconds_per_call(lambda: model(row).numpy(), rounds, 10),
    }


def first_calls(seed: int) -> list[float]:
    """Seconds of the first `predict_on_batch` of each size from 1 to 200, in random order."""
    model = make_model(SIZES)
    x = np.random.default_rng(0).standard_normal((200, SIZES[0])).astype(np.float32)
    model.predict_on_batch(x[:32])  # somebody has used the model before
    sizes = list(range(1, 201))
    random.Random(seed).shuffle(sizes)
    times = []
    for size in sizes:
        rows = x[:size]
        start = time.perf_counter()
        model.predict_on_batch(rows)
        times.append(time.perf_counter() - start)
    return times


def measure(rounds: int) -> tuple[list[Figure], dict[str, Any]]:
    calls = steady(rounds)
    for name, times in calls.items():
        print(f"  {name:36s} {duration(statistics.median(times)):>10s} (best {duration(min(times))})")
    fresh: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as cache:
        for name in ("empty cache", "filled cache"):
            fresh[name] = in_fresh_process("benchmarks.latency", "--sizes", LAMINA_CACHE_DIR=cache)
    for name, times in fresh.items():
        slow = sum(second > 0.001 for second in times)
        print(
            f"  new sizes 1..200, {name:18s} {duration(statistics.median(times)):>10s} "
            f"(worst {duration(max(times))}, {slow} above 1 ms, all {duration(sum(times))})"
        )
    figures = [
        Figure(name, 1e6 * statistics.median(calls[name]), target, "us")
        for name, target in (("predict_on_batch of one row", 20.0), ("predict of one row", 100.0))
    ]
    figures += [
        Figure(f"worst first call of a new size, {name}", 1e3 * max(times), 1e3 * IMMEDIATE, "ms")
        for name, times in fresh.items()
    ]
    return figures, {"calls": calls, "new_sizes": fresh}


if __name__ == "__main__":
    if "--sizes" in sys.argv:
        print(json.dumps(first_calls(0)))
    else:
        print("Predictions of 20-64-64-2")
        conclude("latency", *measure(5 if is_quick() else 20))
