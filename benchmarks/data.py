"""Batches from Python against arrays: an epoch from a PyDataset, a generator, a memory-mapped file.

    python -m benchmarks.data

Each figure is the time of an epoch divided by that of the same model on arrays, best of several rounds that
take turns.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import lamina
from lamina import layers

ROWS, BATCH, EPOCHS, ROUNDS = 12_800, 128, 3, 3


class Slices(lamina.utils.PyDataset):
    """Batches cut out of arrays, the least that a data set can do."""

    def __init__(self, x: Any, y: Any, **options: Any) -> None:
        super().__init__(**options)
        self.x, self.y = x, y

    def __len__(self) -> int:
        return len(self.x) // BATCH

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


def main() -> None:
    rng = np.random.default_rng(0)
    for inputs, hidden, threads in ((784, 512, 1), (784, 512, None), (784, 128, 1), (64, 64, 1)):
        lamina.config.set_num_threads(threads)  # one leaves a core free for making batches
        x = rng.normal(size=(ROWS, inputs)).astype("float32")
        y = rng.integers(0, 10, ROWS).astype("int32")
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "x.npy"
            np.save(path, x.astype("float16"))
            mapped = np.load(path, mmap_mode="r")
            title = f"{inputs}-{hidden}-{hidden}-10, batch {BATCH}, {threads or 'all'} threads"
            measure(title, network(inputs, hidden), x, y, mapped)


def measure(title: str, model: Any, x: Any, y: Any, mapped: Any) -> None:
    steps = len(x) // BATCH
    options = {"epochs": EPOCHS, "verbose": 0, "shuffle": False}

    def generator() -> Any:
        while True:
            for start in range(0, len(x), BATCH):
                yield x[start : start + BATCH], y[start : start + BATCH]

    forms: dict[str, Callable[[], Any]] = {
        "arrays": lambda: model.fit(x, y, batch_size=BATCH, **options),
        "PyDataset": lambda: model.fit(Slices(x, y), **options),
        "PyDataset, 2 workers": lambda: model.fit(Slices(x, y, workers=2), **options),
        "generator": lambda: model.fit(generator(), steps_per_epoch=steps, **options),
        "memory-mapped float16": lambda: model.fit(mapped, y, batch_size=BATCH, **options),
    }
    best = dict.fromkeys(forms, float("inf"))
    for _ in range(ROUNDS):
        for name, fit in forms.items():
            start = time.perf_counter()
            fit()
            best[name] = min(best[name], time.perf_counter() - start)
    print(f"{title}: {1e6 * best['arrays'] / (EPOCHS * steps):.0f} us a step from arrays")
    for name in list(forms)[1:]:
        print(f"  {name:24} {best[name] / best['arrays']:.2f}")


if __name__ == "__main__":
    main()
