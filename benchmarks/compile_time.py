"""How long the first `fit` step takes, compilation included, and where the time goes.

python -m benchmarks.compile_time [--quick] [NAME ...]. Every measurement is a process of its own: with an
empty code cache ("cold"), with a filled one ("warm"); in each, a second model of the same structure is made
and trained as well. Names: dense, digits, mnist, resnet20, lstm, gpt.
"""

from __future__ import annotations

import builtins
import json
import math
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from typing import Any

from benchmarks.harness import Figure, conclude, in_fresh_process, is_quick


@dataclass(frozen=True)
class Network:
    """What to train for one step, and how many seconds that may take: with an empty cache, with a filled one,
    and for a second model in the same process.
    """

    title: str
    task: dict[str, Any]
    cold: float
    warm: float = math.inf
    second: float = math.inf


NETWORKS = {
    "dense": Network("20-64-64-2", {"sizes": [20, 64, 64, 2], "batch": 32}, 0.3, 0.05, 0.005),
    "digits": Network("784-512-512-10", {"sizes": [784, 512, 512, 10], "batch": 128}, 0.3, 0.05, 0.005),
    "mnist": Network("MNIST convnet", {"network": "mnist", "batch": 128}, 1.0, 0.1),
    "resnet20": Network("ResNet-20", {"network": "resnet20", "batch": 64}, 3.0, 0.1),
    "lstm": Network("LSTM 128, length 80", {"recurrent": "lstm", "length": 80, "batch": 32}, 1.5),
    "gpt": Network("small GPT", {"transformer": "gpt", "length": 256, "batch": 8}, 2.5),
}


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
    from benchmarks.peers.lamina import build, data

    times = {"import": clock() - start}
    start = clock()
    model = build(task)
    times["make and compile()"] = clock() - start
    x, y = data(task)
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
    second = build(task)
    times["second: make and compile()"] = clock() - start
    start = clock()
    second.fit(x, y, **fit)
    times["second: first fit"] = clock() - start
    times.update({f"  second: {stage}": seconds for stage, seconds in watch.seconds.items()})
    start = clock()
    second.fit(x, y, **fit)
    times["second: next fit"] = clock() - start
    return times


def measure(names: list[str], rounds: int) -> tuple[list[Figure], dict[str, Any]]:
    runs: dict[str, list[dict[str, float]]] = {}
    chosen = [network for name, network in NETWORKS.items() if name in names or not names]
    for network in chosen:
        arguments = ("--once", json.dumps({"steps": 1, **network.task}))
        for _ in range(rounds):
            with tempfile.TemporaryDirectory() as cache:
                for kind in ("cold", "warm"):
                    found = in_fresh_process("benchmarks.compile_time", *arguments, LAMINA_CACHE_DIR=cache)
                    runs.setdefault(f"{network.title}, {kind}", []).append(found)
    medians = {
        title: {stage: statistics.median(run[stage] for run in found) for stage in found[0]}
        for title, found in runs.items()
    }
    for title, stages in medians.items():
        print(f"\n{title}, milliseconds")
        for stage, seconds in stages.items():
            print(f"  {stage:32s} {1e3 * seconds:8.2f}")
    figures = []
    for network in chosen:
        title = network.title
        cold, warm = medians[f"{title}, cold"], medians[f"{title}, warm"]
        measured = (
            ("first fit step, cold", cold["first fit"], network.cold),
            ("first fit step, warm", warm["first fit"], network.warm),
            ("second model", warm["second: first fit"], network.second),
        )
        figures += [
            Figure(f"{title}: {what}", 1e3 * seconds, 1e3 * asked, "ms")
            for what, seconds, asked in measured
            if asked < math.inf
        ]
    return figures, {"runs": runs, "medians": medians}


if __name__ == "__main__":
    if "--once" in sys.argv:
        print(json.dumps(first_steps(json.loads(sys.argv[-1]))))
    else:
        names = [argument for argument in sys.argv[1:] if not argument.startswith("-")]
        conclude("compile_time", *measure(names, 3 if is_quick() else 9))
