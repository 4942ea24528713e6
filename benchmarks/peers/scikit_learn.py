"""scikit-learn's MLPClassifier, which knows no metric but the loss while it trains."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from typing import Any

from sklearn.neural_network import MLPClassifier

from benchmarks.peers.data import classification


def prepare(task: dict[str, Any]) -> Callable[[], float]:
    x, y = classification(task)
    warnings.simplefilter("ignore")
    model = MLPClassifier(
        task["sizes"][1:-1], solver="adam", alpha=0.0, batch_size=task["batch"], max_iter=task["epochs"],
        warm_start=True, tol=0.0, n_iter_no_change=1_000_000,
    )  # fmt: skip

    def run() -> float:
        start = time.perf_counter()
        model.fit(x, y)
        return (time.perf_counter() - start) / (task["steps"] * task["epochs"])

    return run
