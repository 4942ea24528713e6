"""Training steps of transformers against PyTorch and Keras on JAX.

python -m benchmarks.transformer [--quick] [NAME ...]. "block" is one transformer block: width 128, 4 heads,
length 128, batch 32. "gpt" is four blocks with causal attention: width 192, length 256, batch 8, 1000 words.
"long" is one block with causal attention: width 256, 4 heads, length 2048, batch 1.
All train with Adam on the same data in the same batches, shuffled anew.
"""

from __future__ import annotations

import sys
from typing import Any

from benchmarks.harness import OURS, Figure, compare, conclude, is_quick, show

TASKS: dict[str, tuple[dict[str, Any], float]] = {
    "transformer block, length 128, batch 32": (
        {"transformer": "block", "length": 128, "batch": 32, "steps": 8},
        1.4,
    ),
    "small GPT, length 256, batch 8": ({"transformer": "gpt", "length": 256, "batch": 8, "steps": 4}, 1.3),
    "causal transformer block, length 2048": (
        {"transformer": "long", "length": 2048, "batch": 1, "steps": 4},
        1.0,
    ),
}
PEERS = ("pytorch", "keras_jax")


def main() -> None:
    names = [argument for argument in sys.argv[1:] if not argument.startswith("-")]
    results, figures = {}, []
    for title, (task, target) in TASKS.items():
        if names and task["transformer"] not in names:
            continue
        results[title] = compare(task | {"epochs": 1}, [OURS, *PEERS], 3 if is_quick() else 7, "step")
        show(title, results[title])
        figures.append(
            Figure(
                f"{title}: speed, of the fastest peer's", results[title].speedup, target, "x", at_least=True
            )
        )
    conclude("transformer", figures, results)


if __name__ == "__main__":
    main()
