"""Training steps of recurrent networks against PyTorch, Keras on JAX, and JAX by hand.

python -m benchmarks.recurrent [--quick] [NAME ...]. Tokens go through an embedding of 20000 words and a
recurrent layer of 128 units; all train with Adam on the same data in the same batches, shuffled anew.
"""

from __future__ import annotations

import sys
from typing import Any

from benchmarks.harness import OURS, Figure, compare, conclude, is_quick, show

TASKS: dict[str, tuple[dict[str, Any], float]] = {
    "LSTM, length 80, batch 32": ({"recurrent": "lstm", "length": 80, "batch": 32, "steps": 12}, 1.6),
    "GRU, length 80, batch 32": ({"recurrent": "gru", "length": 80, "batch": 32, "steps": 12}, 1.6),
    "bidirectional, length 80, batch 32": (
        {"recurrent": "bidirectional", "length": 80, "batch": 32, "steps": 12},
        1.6,
    ),
    "SimpleRNN, length 80, batch 32": ({"recurrent": "simple", "length": 80, "batch": 32, "steps": 12}, 2.0),
    "LSTM, length 500, batch 16": ({"recurrent": "lstm", "length": 500, "batch": 16, "steps": 6}, 1.6),
}
PEERS = ("pytorch", "keras_jax", "jax_recurrent")


def main() -> None:
    names = [argument for argument in sys.argv[1:] if not argument.startswith("-")]
    results, figures = {}, []
    for title, (task, target) in TASKS.items():
        if names and task["recurrent"] not in names:
            continue
        results[title] = compare(task | {"epochs": 1}, [OURS, *PEERS], 3 if is_quick() else 9, "step")
        show(title, results[title])
        figures.append(
            Figure(
                f"{title}: speed, of the fastest peer's", results[title].speedup, target, "x", at_least=True
            )
        )
    conclude("recurrent", figures, results)


if __name__ == "__main__":
    main()
