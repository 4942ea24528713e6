"""Training steps of two dense networks against PyTorch, Keras on JAX, JAX by hand, scikit-learn.

python -m benchmarks.mlp [--quick]. Each peer first tries its settings - numbers of threads, ways to run - and
then takes part with the fastest. All train with Adam on the same data in the same batches, shuffled anew in
each epoch, and count the accuracy (scikit-learn cannot).
"""

from __future__ import annotations

from typing import Any

from benchmarks.harness import LIMIT, OURS, Figure, Result, compare_at_best, conclude, is_quick, show

SMALL, LARGE = "MLP 20-64-64-2, batch 32, Adam", "MLP 784-512-512-10, batch 128, Adam"
TASKS: dict[str, dict[str, Any]] = {
    SMALL: {"sizes": [20, 64, 64, 2], "batch": 32, "steps": 500, "epochs": 4},
    LARGE: {"sizes": [784, 512, 512, 10], "batch": 128, "steps": 60, "epochs": 2},
}
_ONE_OR_TWO = [{"threads": 1}, {"threads": 2}]
SETTINGS: dict[str, list[dict[str, Any]]] = {
    "jax_scan": _ONE_OR_TWO,
    "keras_jax": [{**threads, "steps_per_execution": steps} for threads in _ONE_OR_TWO for steps in (1, 20)],
    "pytorch": [
        {**threads, **way}
        for threads in _ONE_OR_TWO
        for way in ({"adam": "fused"}, {"adam": "foreach"}, {"adam": "fused", "compile": True})
    ],
    "scikit_learn": _ONE_OR_TWO,
}


def measure(rounds: int) -> dict[str, Result]:
    results = {}
    for title, task in TASKS.items():
        print(f"\nSettings for {title}")
        results[title] = compare_at_best(task, SETTINGS, rounds, "step", (OURS, LIMIT))
        show(title, results[title])
    return results


def figures(results: dict[str, Result]) -> list[Figure]:
    small, large = results[SMALL], results[LARGE]
    return [
        Figure("20-64-64-2: step, of the fastest peer's", 1 / small.speedup, 0.25, "x"),
        Figure(
            "20-64-64-2: step, of the arithmetic limit", small.median(OURS) / small.median(LIMIT), 2.0, "x"
        ),
        Figure("784-512-512-10: speed, of the fastest peer's", large.speedup, 1.6, "x", at_least=True),
    ]


if __name__ == "__main__":
    measured = measure(3 if is_quick() else 9)
    conclude("mlp", figures(measured), measured)
