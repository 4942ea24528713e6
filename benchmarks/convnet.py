"""Training steps of convolutional networks against PyTorch and Keras on JAX.

python -m benchmarks.convnet [--quick] [NAME ...]. Each peer first tries its settings - layouts, ways to run -
and then takes part with the fastest. All train with Adam on the same data in the same batches, shuffled anew
in each epoch, and count the accuracy.
"""

from __future__ import annotations

import sys
from typing import Any

from benchmarks.harness import OURS, Figure, Result, compare, conclude, duration, is_quick, show

TASKS: dict[str, tuple[dict[str, Any], float]] = {
    "MNIST convnet, batch 128": ({"network": "mnist", "batch": 128, "steps": 16, "epochs": 1}, 3.5),
    "ResNet-20, batch 64": ({"network": "resnet20", "batch": 64, "steps": 4, "epochs": 1}, 2.0),
    "VGG-like, batch 32": ({"network": "vgg", "batch": 32, "steps": 4, "epochs": 1}, 1.3),
    "1-D convnet, batch 64": ({"network": "conv1d", "batch": 64, "steps": 8, "epochs": 1}, 2.0),
    "DCGAN generator, batch 64": ({"network": "generator", "batch": 64, "steps": 8, "epochs": 1}, 1.5),
    "MobileNet-like, batch 64": ({"network": "mobile", "batch": 64, "steps": 4, "epochs": 1}, 2.0),
}
SETTINGS: dict[str, list[dict[str, Any]]] = {
    "keras_jax": [{}],
    "pytorch": [
        {"adam": "fused"},
        {"adam": "fused", "channels_last": True},
        {"adam": "fused", "channels_last": True, "compile": True},
    ],
}


def fastest_setting(task: dict[str, Any], peer: str) -> dict[str, Any] | None:
    """The setting with which the peer is fastest at the task; None when the peer cannot run."""
    found: list[tuple[float, dict[str, Any]]] = []
    for setting in SETTINGS[peer][: 2 if is_quick() else None]:
        result = compare(task, [peer], 2, "step", {peer: setting})
        if peer in result.times:
            found.append((min(result.times[peer]), setting))
            print(f"  {peer:14s} {duration(found[-1][0]):>10s}  {setting}", flush=True)
    return min(found, key=lambda entry: entry[0])[1] if found else None


def measure(task: dict[str, Any], title: str, rounds: int) -> Result:
    print(f"\nSettings for {title}")
    chosen = {peer: fastest_setting(task, peer) for peer in SETTINGS}
    settings = {peer: setting for peer, setting in chosen.items() if setting is not None}
    result = compare(task, [OURS, *settings], rounds, "step", settings)
    show(title, result)
    return result


def main() -> None:
    names = [argument for argument in sys.argv[1:] if not argument.startswith("-")]
    results, figures = {}, []
    for title, (task, target) in TASKS.items():
        if names and task["network"] not in names:
            continue
        results[title] = measure(task, title, 3 if is_quick() else 7)
        figure = Figure(
            f"{title}: speed, of the fastest peer's", results[title].speedup, target, "x", at_least=True
        )
        figures.append(figure)
    conclude("convnet", figures, results)


if __name__ == "__main__":
    main()
