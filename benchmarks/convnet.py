"""Training steps of convolutional networks against PyTorch, and Keras on JAX, PyTorch and TensorFlow.

python -m benchmarks.convnet [--quick] [NAME ...]. TensorFlow has its own environment: the variable
LAMINA_BENCH_TENSORFLOW_PYTHON names a Python that has tensorflow-cpu and keras. Each peer first tries its
settings - layouts, ways to run - and then takes part with the fastest. All train with Adam on the same data
in the same batches, shuffled anew in each epoch, and count the accuracy.
"""

from __future__ import annotations

import sys
from typing import Any

from benchmarks.harness import Figure, Result, compare_at_best, conclude, is_quick, show

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
    "keras_torch": [{}],
    "keras_tensorflow": [{}],
    "pytorch": [
        {"adam": "fused"},
        {"adam": "fused", "channels_last": True},
        {"adam": "fused", "channels_last": True, "compile": True},
    ],
}


def measure(task: dict[str, Any], title: str, quick: bool) -> Result:
    print(f"\nSettings for {title}")
    peers = dict(SETTINGS)
    if quick:  # compiling takes PyTorch longer than everything else together, and Keras is slowest on it
        peers = {name: settings[:2] for name, settings in peers.items() if name != "keras_torch"}
    result = compare_at_best(task, peers, 3 if quick else 7, "step")
    show(title, result)
    return result


def main() -> None:
    names = [argument for argument in sys.argv[1:] if not argument.startswith("-")]
    results, figures = {}, []
    for title, (task, target) in TASKS.items():
        if names and task["network"] not in names:
            continue
        results[title] = measure(task, title, is_quick())
        figure = Figure(
            f"{title}: speed, of the fastest peer's", results[title].speedup, target, "x", at_least=True
        )
        figures.append(figure)
    conclude("convnet", figures, results)


if __name__ == "__main__":
    main()
