"""What the checks of data and the watch for numbers that are not finite cost an epoch.

python -m benchmarks.checks_cost [--quick]. Two models train in turns: one as it is, one without any check,
whose steps are compiled without guards. The checks are taken out from here; the library has no switch for it.
"""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

from benchmarks.harness import Figure, alternate, conclude, duration, is_quick
from benchmarks.peers.data import classification
from benchmarks.peers.lamina import make_model

TARGET = 2.0
TASKS: dict[str, dict[str, Any]] = {
    "20-64-64-2, 500 steps": {"sizes": [20, 64, 64, 2], "batch": 32, "steps": 500},
    "784-512-512-10, 60 steps": {"sizes": [784, 512, 512, 10], "batch": 128, "steps": 60},
}
# Every function that looks at data, targets or arguments, or that keeps watch over a step.
CHECKS = (
    "lamina.training.arrays._refuse_nonfinite",
    "lamina.training.arrays._refuse_overflow",
    "lamina.training.arrays._refuse_large",
    "lamina.training.checks.fit_arguments",
    "lamina.training.checks.inputs_fit",
    "lamina.training.compile_loss.CompileLoss.check_targets",
    "lamina.training.step.guard",
    "lamina.training.programs.guard",
)


def _nothing(*arguments: Any, **keywords: Any) -> None:
    pass


@contextlib.contextmanager
def no_checks() -> Iterator[None]:
    """Inside, nothing is checked, and steps are traced without guards."""
    with contextlib.ExitStack() as stack:
        for name in CHECKS:
            stack.enter_context(mock.patch(name, _nothing))
        yield


def trainings(task: dict[str, Any]) -> dict[str, Callable[[], float]]:
    """Train one epoch, with all checks and without; both return the seconds it took."""
    x, y = classification(task)

    def training(surroundings: Callable[[], Any], guarded: bool) -> Callable[[], float]:
        model = make_model(task["sizes"])

        def run() -> float:
            with surroundings():
                start = time.perf_counter()
                model.fit(x, y, batch_size=task["batch"], verbose=0)
                return time.perf_counter() - start

        run()
        ((_, program),) = model._programs.all()
        assert bool(program.traced.program.guards) == guarded
        return run

    return {"checked": training(contextlib.nullcontext, True), "unchecked": training(no_checks, False)}


def measure(rounds: int) -> tuple[list[Figure], dict[str, Any]]:
    figures, details = [], {}
    for name, task in TASKS.items():
        times = alternate(trainings(task), rounds)
        ratio = statistics.median(a / b for a, b in zip(times["checked"], times["unchecked"]))
        checked, unchecked = (statistics.median(times[kind]) for kind in ("checked", "unchecked"))
        best = min(times["checked"]) / min(times["unchecked"])
        print(
            f"  {name:26s} {duration(checked)} an epoch, {duration(unchecked)} without; "
            f"median of ratios {100 * (ratio - 1):+.2f} %, ratio of the best {100 * (best - 1):+.2f} %"
        )
        figures.append(Figure(f"{name}: cost of all checks", 100 * (ratio - 1), TARGET, "%"))
        details[name] = {"times": times, "ratio_of_best": best}
    return figures, details


if __name__ == "__main__":
    print("Epochs with and without checks, in turns")
    conclude("checks_cost", *measure(30 if is_quick() else 200))
