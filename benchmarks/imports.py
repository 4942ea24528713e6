"""What `import lamina` takes beside `import numpy`, in fresh processes that take turns.

python -m benchmarks.imports [--quick]
"""

from __future__ import annotations

import statistics
import subprocess
import sys
from typing import Any

from benchmarks.harness import ROOT, Figure, conclude, duration, environment, is_quick

TARGET = 1.3
MODULES = ("numpy", "lamina")
_SCRIPT = "import time; start = time.perf_counter(); import {}; print(time.perf_counter() - start)"
# Not bounded, but good to know: what a script that trains something imports.
_ALSO = ("lamina.layers, lamina.models",)


def import_seconds(modules: str) -> float:
    """The time of the import statement alone, in a process that has imported nothing else."""
    command = [sys.executable, "-c", _SCRIPT.format(modules)]
    done = subprocess.run(command, env=environment(), cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    return float(done.stdout)


def measure(rounds: int) -> dict[str, list[float]]:
    times: dict[str, list[float]] = {modules: [] for modules in (*MODULES, *_ALSO)}
    for number in range(rounds + 1):
        for modules, found in times.items():
            seconds = import_seconds(modules)
            if number:  # the first ones fill the disk cache and write bytecode
                found.append(seconds)
    return times


def summary(times: dict[str, list[float]]) -> tuple[list[Figure], dict[str, Any]]:
    for modules, found in times.items():
        median, best = duration(statistics.median(found)), duration(min(found))
        print(f"  import {modules:32s} {median:>10s} (best {best})")
    ours, numpy = (statistics.median(times[name]) for name in ("lamina", "numpy"))
    return [Figure("import lamina, of import numpy", ours / numpy, TARGET, "x")], {"times": times}


if __name__ == "__main__":
    print("Imports in fresh processes")
    conclude("imports", *summary(measure(7 if is_quick() else 25)))
