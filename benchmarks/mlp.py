"""Training steps of two dense networks against PyTorch, Keras on JAX, JAX by hand, scikit-learn.

python -m benchmarks.mlp [--quick]
"""

from __future__ import annotations

import sys

from benchmarks.harness import Result, compare, save, show

PEERS = ["lamina", "jax_scan", "keras_jax", "pytorch", "scikit_learn"]
TASKS = {
    "MLP 20-64-64-2, batch 32, Adam": {"sizes": [20, 64, 64, 2], "batch": 32, "steps": 500, "epochs": 4},
    "MLP 784-512-512-10, batch 128, Adam": {"sizes": [784, 512, 512, 10], "batch": 128, "steps": 60, "epochs": 2},
}


def measure(rounds: int = 9) -> dict[str, Result]:
    results = {}
    for title, task in TASKS.items():
        results[title] = compare(task, PEERS, rounds, "step")
        show(title, results[title])
    return results


if __name__ == "__main__":
    save("mlp", dict(measure(3 if "--quick" in sys.argv else 9)))
