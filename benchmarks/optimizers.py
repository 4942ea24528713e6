"""How fast each optimizer updates ten million parameters, beside the bandwidth of copying memory.

python -m benchmarks.optimizers [--quick] [NAME ...]. An update has to read the gradient, to read and write
the weights and the slots: these bytes, over the time, are the GB/s of the table. The copy beside it, done by
NumPy on as many threads, moves 40 MB; the two take turns in one process. "sweeps" is how many kernels go over
all parameters: an optimizer with a norm of the whole (Lamb, Adafactor) needs at least two.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any

import numpy as np

import lamina
from benchmarks.harness import Figure, conclude, is_quick
from lamina import optimizers
from lamina.variables import Variable

SHAPE = (4000, 2500)
TARGET = 80.0

# What every row is made with; those with a norm of all parameters, or with matrix products, have no target.
ROWS: dict[str, tuple[Callable[[], optimizers.Optimizer], bool]] = {
    "SGD": (lambda: optimizers.SGD(0.01), True),
    "SGD, momentum": (lambda: optimizers.SGD(0.01, momentum=0.9), True),
    "SGD, nesterov": (lambda: optimizers.SGD(0.01, momentum=0.9, nesterov=True), True),
    "RMSprop": (lambda: optimizers.RMSprop(), True),
    "RMSprop, centered": (lambda: optimizers.RMSprop(centered=True, momentum=0.9), True),
    "Adam": (lambda: optimizers.Adam(), True),
    "Adam, amsgrad": (lambda: optimizers.Adam(amsgrad=True), True),
    "AdamW": (lambda: optimizers.AdamW(), True),
    "Adamax": (lambda: optimizers.Adamax(), True),
    "Nadam": (lambda: optimizers.Nadam(), True),
    "Adagrad": (lambda: optimizers.Adagrad(), True),
    "Adadelta": (lambda: optimizers.Adadelta(), True),
    "Ftrl": (lambda: optimizers.Ftrl(), True),
    "Lion": (lambda: optimizers.Lion(), True),
    "ScheduleFreeAdamW": (lambda: optimizers.ScheduleFreeAdamW(), True),
    "Adam, clipvalue, EMA": (lambda: optimizers.Adam(clipvalue=1.0, use_ema=True), True),
    "Adafactor": (lambda: optimizers.Adafactor(), False),
    "Lamb": (lambda: optimizers.Lamb(), False),
    "Muon": (lambda: optimizers.Muon(), False),
    "Adam, global_clipnorm": (lambda: optimizers.Adam(global_clipnorm=1.0), False),
}


def copying(threads: int) -> Callable[[], float]:
    """Copy as many bytes as there are in the weights; returns bytes read and written per second."""
    source, target = np.ones(SHAPE, np.float32), np.zeros(SHAPE, np.float32)
    parts = [slice(part * SHAPE[0] // threads, (part + 1) * SHAPE[0] // threads) for part in range(threads)]
    pool = ThreadPoolExecutor(threads)

    def run() -> float:
        start = time.perf_counter()
        list(pool.map(lambda part: np.copyto(target[part], source[part]), parts))
        return 2 * source.nbytes / (time.perf_counter() - start)

    return run


@lru_cache(maxsize=1)
def gradient_of_all() -> np.ndarray[Any, Any]:
    return np.random.default_rng(0).normal(size=SHAPE).astype(np.float32)


def updating(optimizer: optimizers.Optimizer) -> tuple[Callable[[], float], int, int]:
    """(update all and return bytes per second, kernels over all parameters, threads)."""
    weight = Variable(np.ones(SHAPE, np.float32), name="weight")
    gradient = gradient_of_all()
    optimizer.build([weight])

    @lamina.function
    def update(slope: Any) -> Any:
        optimizer.apply([slope], [weight])
        return np.float32(0)

    update(gradient)
    whole = [variable for variable in optimizer.variables if variable.size == weight.size]
    moved = gradient.nbytes + 2 * sum(variable.array.nbytes for variable in [weight, *whole])
    (report,) = update.reports
    sweeps = sum(kernel.bytes >= gradient.nbytes for kernel in report.kernels)

    def run() -> float:
        start = time.perf_counter()
        update(gradient)
        return moved / (time.perf_counter() - start)

    return run, sweeps, report.threads


def measure(names: list[str], rounds: int) -> tuple[list[Figure], dict[str, Any]]:
    figures, details = [], {}
    print(f"  {'':24}{'sweeps':>7}{'update':>10}{'copy':>10}{'share':>8}")
    for name in names:
        make, judged = ROWS[name]
        run, sweeps, threads = updating(make())
        copy = copying(threads)
        run(), copy()
        rates = [(run(), copy()) for _ in range(rounds)]
        ours, copied = (statistics.median(column) / 1e9 for column in zip(*rates))
        share = 100 * statistics.median(one / other for one, other in rates)
        print(f"  {name:24}{sweeps:7d}{ours:7.1f} GB/s{copied:5.1f} GB/s{share:6.0f} %", flush=True)
        details[name] = {"sweeps": sweeps, "update": ours, "copy": copied, "share": share}
        if judged:
            figures.append(
                Figure(f"{name}: update of 10 million parameters", share, TARGET, "% of copy", True)
            )
    return figures, details


if __name__ == "__main__":
    chosen = [name for name in sys.argv[1:] if not name.startswith("--")] or list(ROWS)
    print("Updates of ten million parameters, and copies of as many, in turns")
    conclude("optimizers", *measure(chosen, 7 if is_quick() else 40))
