"""Whether training twice gives the same bits, whatever the number of threads and whoever watches.

python -m benchmarks.determinism [--quick]. One process per number of threads and way of watching; each prints
a digest of weights, optimizer state and history. Sharing work between threads is forced, even where it does
not pay.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import sys
from typing import Any

import numpy as np

from benchmarks.harness import Figure, conclude, in_fresh_process, is_quick

THREADS = (1, 2, 3, 8)
NETWORKS: dict[str, dict[str, Any]] = {
    "20-64-64-2 with dropout": {"sizes": [20, 64, 64, 2], "batch": 32, "steps": 40, "dropout": 0.3},
    "200-300-100-10": {"sizes": [200, 300, 100, 10], "batch": 50, "steps": 12, "dropout": 0.0},
}
WATCHING = ("silent", "bar", "lines", "callbacks", "validation")


def digest(task: dict[str, Any], watching: str) -> str:
    """Train a network anew from a seed; the digest of everything that training changed."""
    import lamina
    from benchmarks.peers.data import classification

    lamina.utils.set_random_seed(42)
    sizes = task["sizes"]
    hidden = [
        layer
        for units in sizes[1:-1]
        for layer in (lamina.layers.Dense(units, activation="tanh"), lamina.layers.Dropout(task["dropout"]))
    ]
    output = lamina.layers.Dense(sizes[-1], activation="softmax")
    model = lamina.Sequential([lamina.Input((sizes[0],)), *hidden, output])
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    x, y = classification(task)
    steps: list[int] = []
    ways: dict[str, dict[str, Any]] = {
        "silent": {"verbose": 0},
        "bar": {"verbose": 1},
        "lines": {"verbose": 2},
        "callbacks": {
            "verbose": 0,
            "callbacks": [
                lamina.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: steps.append(batch)),
                lamina.callbacks.EarlyStopping("loss", patience=100),
            ],
        },
        "validation": {"verbose": 0, "validation_data": (x[:70], y[:70])},
    }
    with contextlib.redirect_stdout(io.StringIO()):
        history = model.fit(x, y, batch_size=task["batch"], epochs=3, **ways[watching])
    found = hashlib.blake2b(digest_size=12)
    for variable in (*model.variables, *model.optimizer.variables):
        found.update(np.asarray(variable).tobytes())
    found.update(repr([history.history[name] for name in ("loss", "accuracy")]).encode())
    return found.hexdigest()


def digests(watching: str) -> dict[str, str]:
    """The digests of all networks in this process, every step shared between its threads."""
    from lamina.backends.cpu import executable

    executable.WORTH_SHARING = executable.WORTH_WAKING = 0.0
    executable.Pace.choose = lambda self: self.workers  # type: ignore[method-assign]
    return {name: digest(task, watching) for name, task in NETWORKS.items()}


def measure(watching: tuple[str, ...]) -> tuple[list[Figure], dict[str, Any]]:
    found: dict[str, dict[str, str]] = {}
    for threads in THREADS:
        for way in watching:
            name = f"{threads} thread{'s' * (threads > 1)}, {way}"
            found[name] = in_fresh_process(
                "benchmarks.determinism", "--once", way, LAMINA_NUM_THREADS=str(threads)
            )
            print(f"  {name:24s} {'   '.join(found[name].values())}", flush=True)
    return [
        Figure(f"{network}: different results", len({digests[network] for digests in found.values()}), 1, "")
        for network in NETWORKS
    ], found


if __name__ == "__main__":
    if "--once" in sys.argv:
        print(json.dumps(digests(sys.argv[-1])))
    else:
        print("Digests of trained networks")
        conclude("determinism", *measure(WATCHING[::2] if is_quick() else WATCHING))
