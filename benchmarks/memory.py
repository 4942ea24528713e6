"""Whether memory grows: over a million predictions, and over a thousand models.

python -m benchmarks.memory [--quick]. Each part runs in a process of its own, warms up, and then compares the
memory of the process (its resident set) before and after.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.harness import Figure, conclude, in_fresh_process, is_quick
from benchmarks.peers.data import classification
from benchmarks.peers.lamina import make_model

SIZES = [20, 64, 64, 2]
# A few widths, so that models share compiled code with some of those before them, but not with all.
WIDTHS = (16, 24, 32, 48, 64)
PREDICTIONS, MODELS = 1_000_000, 1_000
# What the allocator moves about by itself.
NOISE_MEGABYTES = 1.0


def resident_megabytes() -> float:
    """The memory of this process that is in use now; elsewhere than on Linux, the most there ever was."""
    gc.collect()
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6
    except OSError:
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak / 1e6 if sys.platform == "darwin" else peak / 1e3


def _growth(run: Callable[[int], object], count: int, warm_up: int) -> dict[str, float]:
    """Megabytes before, after `count` runs, and in between."""
    for number in range(warm_up):
        run(number)
        if number % (warm_up // 3) == 0:
            resident_megabytes()
    start = time.perf_counter()
    before, course = resident_megabytes(), []
    for number in range(count):
        run(number)
        if number % (count // 10) == 0:
            course.append(round(resident_megabytes(), 2))
    after = resident_megabytes()
    return {
        "before": before,
        "after": after,
        "growth": after - before,
        "seconds": time.perf_counter() - start,
        "course": course,
    }


def predictions(count: int) -> dict[str, float]:
    """One-row predictions."""
    model = make_model(SIZES)
    row = np.zeros((1, SIZES[0]), np.float32)
    return _growth(lambda _: model.predict_on_batch(row), count, 20_000)


def models(count: int) -> dict[str, float]:
    """Models built, trained on one batch for two epochs, asked once, and dropped."""
    x, y = classification({"sizes": SIZES, "batch": 32, "steps": 4})

    def run(number: int) -> None:
        width = WIDTHS[number % len(WIDTHS)]
        model = make_model([SIZES[0], width, width, SIZES[-1]])
        model.fit(x, y, epochs=2, verbose=0)
        model.predict(x[:3], verbose=0)

    return _growth(run, count, 50)


PARTS: dict[str, Callable[[int], dict[str, float]]] = {
    "predictions": predictions,
    "models": models,
}


def measure(counts: dict[str, int]) -> tuple[list[Figure], dict[str, Any]]:
    found = {part: in_fresh_process("benchmarks.memory", part, str(count)) for part, count in counts.items()}
    for part, memory in found.items():
        course = ", ".join(f"{megabytes:.1f}" for megabytes in memory["course"])
        print(f"  {counts[part]:9,d} {part:12s} {memory['seconds']:7.1f} s; MB on the way: {course}")
    targets = {"predictions": NOISE_MEGABYTES, "models": 10.0}
    figures = [
        Figure(f"growth over {counts[part]:,} {part}", memory["growth"], targets[part], "MB")
        for part, memory in found.items()
    ]
    return figures, found


if __name__ == "__main__":
    if sys.argv[1:2] and sys.argv[1] in PARTS:
        print(json.dumps(PARTS[sys.argv[1]](int(sys.argv[2]))))
    else:
        print("Memory of the process")
        scale = 10 if is_quick() else 1
        conclude("memory", *measure({"predictions": PREDICTIONS // scale, "models": MODELS // scale}))
