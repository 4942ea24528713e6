"""What Python costs `fit`: the share of its wall time that is spent inside compiled code.

python -m benchmarks.overhead [--quick]. Steps of about 5 us and more, in long epochs and in short ones, with
and without somebody watching. The calls into machine code are timed from here, not by the library.
"""

from __future__ import annotations

import contextlib
import io
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

from benchmarks.harness import Figure, conclude, is_quick
from benchmarks.peers.data import classification
from benchmarks.peers.lamina import make_model

TARGET = 90.0
# Name -> the network, its data, and arguments of fit.
CASES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "20-64-64-2, 500 steps an epoch": ({"sizes": [20, 64, 64, 2], "batch": 32, "steps": 500}, {"epochs": 20}),
    "20-64-64-2, 50 steps an epoch": ({"sizes": [20, 64, 64, 2], "batch": 32, "steps": 50}, {"epochs": 200}),
    "20-64-64-2, validated, lines": (
        {"sizes": [20, 64, 64, 2], "batch": 32, "steps": 500},
        {"epochs": 20, "verbose": 2, "validation_split": 0.2},
    ),
    "20-64-64-2, moving bar": (
        {"sizes": [20, 64, 64, 2], "batch": 32, "steps": 500},
        {"epochs": 20, "verbose": 1},
    ),
    "784-512-512-10, 50 steps an epoch": (
        {"sizes": [784, 512, 512, 10], "batch": 128, "steps": 50},
        {"epochs": 4},
    ),
}


class Clock:
    """The time that this thread spends in the machine code of some executables."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.calls = 0

    def timed(self, entry: Callable[[int, int, int], None]) -> Callable[[int, int, int], None]:
        def run(context: int, number: int, workers: int) -> None:
            start = time.perf_counter()
            entry(context, number, workers)
            if number == 0:  # the other threads run at the same time
                self.seconds += time.perf_counter() - start
                self.calls += 1

        return run

    @contextlib.contextmanager
    def watching(self, executables: list[Any]) -> Iterator[None]:
        entries = [executable._entry for executable in executables]
        for executable, entry in zip(executables, entries):
            executable._entry = self.timed(entry)
        try:
            yield
        finally:
            for executable, entry in zip(executables, entries):
                executable._entry = entry


def share(task: dict[str, Any], arguments: dict[str, Any], rounds: int) -> dict[str, float]:
    """Per cent of `fit` in compiled code, the time of a step, and how many calls into it an epoch took."""
    model = make_model(task["sizes"])
    x, y = classification(task)
    fit = {"batch_size": task["batch"], "verbose": 0, **arguments}
    shares, steps, calls = [], [], []
    with contextlib.redirect_stdout(io.StringIO()):
        model.fit(x, y, **fit | {"epochs": 2})
        executables = list({id(p.executable): p.executable for _, p in model._programs.all()}.values())
        for _ in range(rounds):
            clock = Clock()
            with clock.watching(executables):
                start = time.perf_counter()
                model.fit(x, y, **fit)
                wall = time.perf_counter() - start
            shares.append(100 * clock.seconds / wall)
            steps.append(wall / (task["steps"] * fit["epochs"]))
            calls.append(clock.calls / fit["epochs"])
    found = {
        "native_percent": shares,
        "microseconds_per_step": [1e6 * step for step in steps],
        "calls": calls,
    }
    return {name: statistics.median(values) for name, values in found.items()}


def measure(rounds: int) -> dict[str, dict[str, float]]:
    results = {}
    for name, (task, arguments) in CASES.items():
        found = results[name] = share(task, arguments, rounds)
        step, calls = found["microseconds_per_step"], found["calls"]
        print(f"  {name:36s} {found['native_percent']:5.1f} % native", end="")
        print(f"   {step:7.1f} us a step, {calls:.1f} calls an epoch", flush=True)
    return results


if __name__ == "__main__":
    print("Share of the wall time of fit that is spent in compiled code")
    measured = measure(3 if is_quick() else 9)
    conclude(
        "overhead",
        [
            Figure(name, found["native_percent"], TARGET, "%", at_least=True)
            for name, found in measured.items()
        ],
        measured,
    )
