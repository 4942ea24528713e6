"""How long the first `fit` step takes, compilation included, and where the time goes.

python -m benchmarks.compile_time [--quick]. Every measurement is a process of its own: with an empty code
cache ("cold"), with a filled one ("warm"); in each, a second model of the same structure is made and trained
as well.
"""

from __future__ import annotations

import builtins
import json
import statistics
import sys
import tempfile
import time
from typing import Any

from benchmarks.harness import Figure, conclude, in_fresh_process, is_quick

NETWORKS = {
    "20-64-64-2": {"sizes": [20, 64, 64, 2], "batch": 32, "steps": 1},
    "784-512-512-10": {"sizes": [784, 512, 512, 10], "batch": 128, "steps": 1},
}
COLD, WARM, SECOND = 0.3, 0.05, 0.005


class Stopwatch:
    """Adds up the time spent in functions of the library, which it replaces."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._inside: set[str] = set()

    def replace(self, owner: Any, name: str, stage: str) -> None:
        """Time `owner.name`; calls of a stage within itself do not count twice."""
        function = getattr(owner, name)

        def timed(*arguments: Any, **keywords: Any) -> Any:
            if stage in self._inside:
                return function(*arguments, **keywords)
            self._inside.add(stage)
            start = time.perf_counter()
            try:
                return function(*arguments, **keywords)
            finally:
                self._inside.discard(stage)
                self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - start

        setattr(owner, name, timed)


def first_steps(task: dict[str, Any]) -> dict[str, float]:
    """Seconds of each stage of a script that makes, compiles and trains a network, and then another one."""
    clock = time.perf_counter
    start = clock()
    from benchmarks.peers.lamina import make_model

    times = {"import": clock() - start}
    start = clock()
    model = make_model(task["sizes"])
    times["make and compile()"] = clock() - start
    x, y = _data(task)
    watch = Stopwatch()
    watch.replace(builtins, "__import__", "imports")
    watch.replace(sys.modules["lamina.training.programs"], "trace_program", "trace")
    watch.replace(sys.modules["lamina.function"], "structure_key", "digest")
    watch.replace(sys.modules["lamina.training.programs"], "compile_program", "digest and backend")
    fit = {"batch_size": task["batch"], "verbose": 0}
    start = clock()
    model.fit(x, y, **fit)
    times["first fit"] = clock() - start
    times.update({f"  {stage}": seconds for stage, seconds in watch.seconds.items()})
    report = model.compile_report().programs[0]
    times["    backend"] = report.compile_seconds
    if not report.cache_hit:
        times.update({f"      {stage}": seconds for stage, seconds in report.stages.items()})
    watch.seconds.clear()
    start = clock()
    second = make_model(task["sizes"])
    times["second: make and compile()"] = clock() - start
    start = clock()
    second.fit(x, y, **fit)
    times["second: first fit"] = clock() - start
    times.update({f"  second: {stage}": seconds for stage, seconds in watch.seconds.items()})
    start = clock()
    second.fit(x, y, **fit)
    times["second: next fit"] = clock() - start
    return times


def _data(task: dict[str, Any]) -> tuple[Any, Any]:
    from benchmarks.peers.data import classification

    return classification(task)


def measure(rounds: int) -> tuple[list[Figure], dict[str, Any]]:
    runs: dict[str, list[dict[str, float]]] = {}
    for name, task in NETWORKS.items():
        for _ in range(rounds):
            with tempfile.TemporaryDirectory() as cache:
                for kind in ("cold", "warm"):
                    arguments = ("--once", json.dumps(task))
                    found = in_fresh_process("benchmarks.compile_time", *arguments, LAMINA_CACHE_DIR=cache)
                    runs.setdefault(f"{name}, {kind}", []).append(found)
    medians = {
        title: {stage: statistics.median(run[stage] for run in found) for stage in found[0]}
        for title, found in runs.items()
    }
    for title, stages in medians.items():
        print(f"\n{title}, milliseconds")
        for stage, seconds in stages.items():
            print(f"  {stage:32s} {1e3 * seconds:8.2f}")
    figures = []
    for name in NETWORKS:
        cold, warm = medians[f"{name}, cold"], medians[f"{name}, warm"]
        figures += [
            Figure(f"{name}: first fit step, cold", 1e3 * cold["first fit"], 1e3 * COLD, "ms"),
            Figure(f"{name}: first fit step, warm", 1e3 * warm["first fit"], 1e3 * WARM, "ms"),
            Figure(f"{name}: second model", 1e3 * warm["second: first fit"], 1e3 * SECOND, "ms"),
        ]
    return figures, {"runs": runs, "medians": medians}


if __name__ == "__main__":
    if "--once" in sys.argv:
        print(json.dumps(first_steps(json.loads(sys.argv[-1]))))
    else:
        conclude("compile_time", *measure(3 if is_quick() else 9))
