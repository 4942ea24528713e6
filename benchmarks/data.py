"""Batches from Python against arrays: an epoch from a PyDataset, a generator, a memory-mapped file.

python -m benchmarks.data [--quick]. A figure is what an epoch takes beyond one of the same model on arrays,
in per cent: the median over rounds in which all forms take turns. Beside it stands what going through the
source alone takes, without any training: no library can do that faster, only at the same time.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import lamina
from benchmarks.harness import Figure, conclude, is_quick
from lamina import layers

ROWS, BATCH = 12_800, 128
STEPS = ROWS // BATCH
TARGET = 5.0
SECONDS = 0.1  # of a training, at least
# Inputs, hidden units, threads: one leaves a core free for making batches.
CASES = ((784, 512, 1), (784, 512, None), (784, 128, 1), (64, 64, 1))


class Slices(lamina.utils.PyDataset):
    """Batches cut out of arrays, the least that a data set can do."""

    def __init__(self, x: Any, y: Any, **options: Any) -> None:
        super().__init__(**options)
        self.x, self.y = x, y

    def __len__(self) -> int:
        return STEPS

    def __getitem__(self, index: int) -> Any:
        rows = slice(BATCH * index, BATCH * (index + 1))
        return self.x[rows], self.y[rows]


def network(inputs: int, hidden: int) -> lamina.Sequential:
    model = lamina.Sequential(
        [
            lamina.Input((inputs,)),
            layers.Dense(hidden, "relu"),
            layers.Dense(hidden, "relu"),
            layers.Dense(10, "softmax"),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def measure(title: str, model: Any, x: Any, y: Any, mapped: Any, rounds: int) -> dict[str, Any]:
    """Microseconds a batch: of training from each form, and of going through the source alone."""
    options: dict[str, Any] = {"verbose": 0, "shuffle": False}

    def generator() -> Any:
        while True:
            for start in range(0, ROWS, BATCH):
                yield x[start : start + BATCH], y[start : start + BATCH]

    def through(source: Any) -> Callable[[], None]:
        def run() -> None:
            for number in range(STEPS):
                source[number]

        return run

    def through_generator() -> None:
        batches = generator()
        for _ in range(STEPS):
            next(batches)

    def through_file() -> None:
        for start in range(0, ROWS, BATCH):
            mapped[start : start + BATCH].astype("float32")

    room = np.empty_like(x[:BATCH]), np.empty_like(y[:BATCH])

    def copying() -> None:
        """The least that can be done with batches whose arrays a source may fill anew for the next one."""
        batches = generator()
        for _ in range(STEPS):
            for target, array in zip(room, next(batches)):
                target[...] = array

    # Each with what it costs by itself.
    forms: dict[str, tuple[Callable[[], None], Callable[..., Any]]] = {
        "arrays": (lambda: None, lambda **more: model.fit(x, y, batch_size=BATCH, **options, **more)),
        "PyDataset": (through(Slices(x, y)), lambda **more: model.fit(Slices(x, y), **options, **more)),
        "PyDataset, 2 workers": (
            through(Slices(x, y)),
            lambda **more: model.fit(Slices(x, y, workers=2), **options, **more),
        ),
        "generator": (
            through_generator,
            lambda **more: model.fit(generator(), steps_per_epoch=STEPS, **options, **more),
        ),
        "memory-mapped float16": (
            through_file,
            lambda **more: model.fit(mapped, y, batch_size=BATCH, **options, **more),
        ),
    }
    forms["arrays"][1](epochs=1)
    epochs = max(3, round(SECONDS / seconds(lambda: forms["arrays"][1](epochs=1))))
    times: dict[str, list[float]] = {name: [] for name in forms}
    alone: dict[str, list[float]] = {name: [] for name in forms}
    for number in range(rounds + 1):
        for name, (source, fit) in forms.items():
            by_itself, trained = seconds(source), seconds(lambda: fit(epochs=epochs))  # noqa: B023
            if number:
                alone[name].append(by_itself)
                times[name].append(trained / epochs)
    each = 1e6 * statistics.median(times["arrays"]) / STEPS
    print(f"\n{title}: {each:.1f} us a step from arrays")
    copied = 1e6 * min(seconds(copying) for _ in range(10)) / STEPS
    print(
        f"  a generator whose batches are only copied: {copied:.1f} us, {100 * copied / each:.1f} % of a step"
    )
    found: dict[str, Any] = {"microseconds_from_arrays": each, "microseconds_copying": copied}
    for name in list(forms)[1:]:
        ratios = [ours / peer for ours, peer in zip(times[name], times["arrays"])]
        own = 1e6 * statistics.median(alone[name]) / STEPS
        found[name] = {"beyond_percent": 100 * (statistics.median(ratios) - 1), "source_microseconds": own}
        print(
            f"  {name:24} {found[name]['beyond_percent']:+6.1f} % (best {100 * (min(ratios) - 1):+.1f} %); "
            f"the source alone {own:.1f} us a batch, {100 * own / each:.1f} % of a step",
            flush=True,
        )
    return found


def seconds(run: Callable[[], Any]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def main() -> None:
    rng = np.random.default_rng(0)
    results: dict[str, Any] = {}
    for inputs, hidden, threads in CASES:
        lamina.config.set_num_threads(threads)
        x = rng.normal(size=(ROWS, inputs)).astype("float32")
        y = rng.integers(0, 10, ROWS).astype("int32")
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "x.npy"
            np.save(path, x.astype("float16"))
            mapped = np.load(path, mmap_mode="r")
            of = "all threads" if threads is None else "one thread"
            title = f"{inputs}-{hidden}-{hidden}-10, batch {BATCH}, {of}"
            results[title] = measure(title, network(inputs, hidden), x, y, mapped, 3 if is_quick() else 9)
    figures = [
        Figure(f"{title}: {form}", found[form]["beyond_percent"], TARGET, "%")
        for title, found in results.items()
        for form in ("PyDataset", "generator")
    ]
    conclude("data", figures, results)


if __name__ == "__main__":
    main()
