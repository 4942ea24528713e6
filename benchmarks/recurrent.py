"""Training steps of recurrent networks against PyTorch, Keras on JAX, and JAX by hand.

python -m benchmarks.recurrent [--quick] [NAME ...]. Tokens go through an embedding of 20000 words and a
recurrent layer of 128 units; all train with Adam on the same data in the same batches, shuffled anew. Besides
their speed: how long the first step of the LSTM takes with an empty code cache, and what memory its step
works in, at several lengths.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from typing import Any

from benchmarks.harness import OURS, Figure, compare, conclude, in_fresh_process, is_quick, show

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
LENGTHS = (80, 500, 920)  # equally far apart
COLD = 1.5


def first_step(task: dict[str, Any]) -> dict[str, float]:
    """Seconds from `compile` to the end of the first step, those of compiling, and megabytes it works in."""
    import lamina
    from benchmarks.peers import sequences

    x, y = sequences.data(task)
    start = time.perf_counter()
    model = sequences.build(lamina, task)
    model.fit(x, y, batch_size=task["batch"], verbose=0)
    seconds = time.perf_counter() - start
    report = model.compile_report().programs[0]
    return {"seconds": seconds, "compiling": report.compile_seconds, "megabytes": report.arena_bytes / 1e6}


def first_steps(rounds: int) -> tuple[list[Figure], dict[str, Any]]:
    """The first step of the LSTM at all lengths, each in a process of its own with an empty code cache.

    The lengths take turns, so that a busy minute of the machine meets all of them; medians count. One round
    more comes first and does not count: it brings the libraries' files into memory.
    """
    runs: dict[int, list[dict[str, float]]] = {length: [] for length in LENGTHS}
    for _ in range(rounds + 1):
        for length, measured in runs.items():
            task = {"recurrent": "lstm", "length": length, "batch": 32, "steps": 1}
            with tempfile.TemporaryDirectory() as cache:
                arguments = ("--once", json.dumps(task))
                measured.append(in_fresh_process("benchmarks.recurrent", *arguments, LAMINA_CACHE_DIR=cache))
    found: dict[int, dict[str, float]] = {}
    for length, (_, *measured) in runs.items():
        found[length] = {key: statistics.median(run[key] for run in measured) for key in measured[0]}
        print(
            f"length {length}: {found[length]['seconds']:.2f} s, of these {found[length]['compiling']:.2f} s "
            f"compiling, {found[length]['megabytes']:.1f} MB"
        )
    compiling = [found[length]["compiling"] for length in LENGTHS]
    short, middle, long = (found[length]["megabytes"] for length in LENGTHS)
    figures = [
        Figure(f"LSTM, length {length}: first step, cold", found[length]["seconds"], COLD, "s")
        for length in LENGTHS
    ]
    figures += [
        Figure("LSTM: compiling, slowest length to fastest", max(compiling) / min(compiling), 1.25, "x"),
        Figure(
            "LSTM: memory, the last 420 steps to those before", (long - middle) / (middle - short), 1.1, "x"
        ),
    ]
    return figures, {"first steps": found, "first steps, all runs": runs}


def main() -> None:
    names = [argument for argument in sys.argv[1:] if not argument.startswith("-")]
    figures, results = first_steps(3 if is_quick() else 9) if not names or "first" in names else ([], {})
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
    if "--once" in sys.argv:
        print(json.dumps(first_step(json.loads(sys.argv[-1]))))
    else:
        main()
