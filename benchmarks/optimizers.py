"""How fast each optimizer updates ten million parameters, beside the bandwidth of copying memory.

python -m benchmarks.optimizers [--quick] [NAME ...]. An update in one pass reads the gradient, and reads and
writes the weights and the slots. A norm of a whole tensor asks for more: what is scaled by it is read again
when it is known; `ROWS` says how much, and why. These bytes, over the time, are the GB/s of the table; "one
pass" is the share that counts every tensor once. The copy beside it, done by NumPy on as many threads, moves
40 MB; the two take turns in one process. "sweeps" is how many kernels go over all parameters. Muon is matrix
products: it is measured by their arithmetic, beside a register-only loop of multiply-adds
(`benchmarks.probe`).
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

import lamina
from benchmarks.harness import Figure, conclude, is_quick
from benchmarks.probe import on_threads, probe
from lamina import optimizers
from lamina.backends.cpu.target import Target
from lamina.variables import Variable

SHAPE = (4000, 2500)
TARGET = 80.0


@dataclass(frozen=True)
class Row:
    """An optimizer. again: how often a tensor as large as the weights is read or written beyond one pass, and
    why. products: whether arithmetic and not memory bounds it.
    """

    make: Callable[[], optimizers.Optimizer]
    again: int = 0
    why: str = ""
    products: bool = False


ROWS: dict[str, Row] = {
    "SGD": Row(lambda: optimizers.SGD(0.01)),
    "SGD, momentum": Row(lambda: optimizers.SGD(0.01, momentum=0.9)),
    "SGD, nesterov": Row(lambda: optimizers.SGD(0.01, momentum=0.9, nesterov=True)),
    "RMSprop": Row(lambda: optimizers.RMSprop()),
    "RMSprop, centered": Row(lambda: optimizers.RMSprop(centered=True, momentum=0.9)),
    "Adam": Row(lambda: optimizers.Adam()),
    "Adam, amsgrad": Row(lambda: optimizers.Adam(amsgrad=True)),
    "AdamW": Row(lambda: optimizers.AdamW()),
    "Adamax": Row(lambda: optimizers.Adamax()),
    "Nadam": Row(lambda: optimizers.Nadam()),
    "Adagrad": Row(lambda: optimizers.Adagrad()),
    "Adadelta": Row(lambda: optimizers.Adadelta()),
    "Ftrl": Row(lambda: optimizers.Ftrl()),
    "Lion": Row(lambda: optimizers.Lion()),
    "ScheduleFreeAdamW": Row(lambda: optimizers.ScheduleFreeAdamW()),
    "Adam, clipvalue, EMA": Row(lambda: optimizers.Adam(clipvalue=1.0, use_ema=True)),
    "Adam, global_clipnorm": Row(
        lambda: optimizers.Adam(global_clipnorm=1.0), 1, "the gradient: its norm, then the update"
    ),
    "Lamb": Row(
        lambda: optimizers.Lamb(),
        3,
        "the weights and both slots: the norms of weights and step, then the update",
    ),
    "Adafactor": Row(
        lambda: optimizers.Adafactor(),
        2,
        "the gradient three times (means of rows and columns; rms of the step, which needs them; update), "
        "the weights twice (rms, update); the velocity is written and not read",
    ),
    "Muon": Row(lambda: optimizers.Muon(), products=True),
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


def updating(row: Row) -> tuple[Callable[[], float], float, int, int]:
    """(update all and return seconds, bytes of one pass, kernels over all parameters, threads)."""
    weight = Variable(np.ones(SHAPE, np.float32), name="weight")
    gradient, optimizer = gradient_of_all(), row.make()
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
        return time.perf_counter() - start

    return run, moved, sweeps, report.threads


def operations_of_products(steps: int = 5) -> float:
    """Of Newton and Schulz's steps for the wide form of the matrix: X @ X.T, A @ A, and their sum @ X."""
    rows, columns = sorted(SHAPE)
    return steps * (4.0 * rows * rows * columns + 2.0 * rows**3)


def measure(names: list[str], rounds: int) -> tuple[list[Figure], dict[str, Any]]:
    figures, details = [], {}
    print(f"  {'':24}{'sweeps':>7}{'update':>10}{'copy':>10}{'share':>8}{'one pass':>10}")
    for name in names:
        row = ROWS[name]
        if row.products:
            figure, details[name] = measure_products(name, row, max(3, rounds // 8))
            figures.append(figure)
            continue
        run, one_pass, sweeps, threads = updating(row)
        moved = one_pass + row.again * gradient_of_all().nbytes
        copy = copying(threads)
        run(), copy()
        rates = [(moved / run(), copy()) for _ in range(rounds)]
        ours, copied = (statistics.median(column) / 1e9 for column in zip(*rates))
        share = 100 * statistics.median(one / other for one, other in rates)
        once = share * one_pass / moved
        print(
            f"  {name:24}{sweeps:7d}{ours:7.1f} GB/s{copied:5.1f} GB/s{share:6.0f} %{once:8.0f} %", flush=True
        )
        details[name] = {
            "sweeps": sweeps, "update": ours, "copy": copied, "share": share, "one_pass": once,
            "again": row.why,
        }  # fmt: skip
        figures.append(Figure(f"{name}: update of 10 million parameters", share, TARGET, "% of copy", True))
    return figures, details


def measure_products(name: str, row: Row, rounds: int) -> tuple[Figure, dict[str, Any]]:
    """The arithmetic of an update beside the probe on as many threads."""
    run, _, sweeps, threads = updating(row)
    limit = probe(Target.host())
    for _ in range(4):  # the first updates try how many threads are best
        run()
    rates = [
        (operations_of_products() / run(), max(on_threads(limit, threads, 100) for _ in range(3)))
        for _ in range(rounds)
    ]
    ours, most = (statistics.median(column) / 1e9 for column in zip(*rates))
    share = 100 * statistics.median(one / other for one, other in rates)
    print(f"  {name:24}{sweeps:7d}{ours:7.0f} GFLOP/s of {most:.0f} GFLOP/s{share:6.0f} %", flush=True)
    figure = Figure(f"{name}: products of 10 million parameters", share, TARGET, "% of multiply-adds", True)
    return figure, {"sweeps": sweeps, "gflops": ours, "probe": most, "share": share}


if __name__ == "__main__":
    chosen = [name for name in sys.argv[1:] if not name.startswith("--")] or list(ROWS)
    print("Updates of ten million parameters, and copies of as many, in turns")
    conclude("optimizers", *measure(chosen, 7 if is_quick() else 40))
