"""Predictions of the convolutional network for digits against ONNX Runtime, PyTorch and Keras on JAX.

python -m benchmarks.inference [--quick]. How long one image takes, and how many images a second go through
in batches of 256; each peer first tries its settings and takes part with the fastest.
"""

from __future__ import annotations

from typing import Any

from benchmarks.harness import Figure, compare_at_best, conclude, is_quick, show

TASKS: dict[str, dict[str, Any]] = {
    "one image": {"network": "mnist", "batch": 1, "steps": 1, "inference": 1000},
    "256 images": {"network": "mnist", "batch": 256, "steps": 1, "inference": 20},
}
ONNX = "onnx_runtime"
PEERS: dict[str, list[dict[str, Any]]] = {
    ONNX: [{"threads": 1}, {"threads": 2}],
    "pytorch": [{"threads": 1}, {"threads": 2}, {"channels_last": True}, {"compile": True}],
    "keras_jax": [{}],
}


def main() -> None:
    results, figures = {}, []
    for title, task in TASKS.items():
        print(f"\nSettings for {title}")
        peers = {name: settings[: 2 if is_quick() else None] for name, settings in PEERS.items()}
        result = results[title] = compare_at_best(task | {"epochs": 1}, peers, 3 if is_quick() else 9, "call")
        show(title, result)
        if ONNX in result.times:
            ratio = result.median(ONNX) / result.median("lamina")
            figures.append(Figure(f"{title}: speed, of ONNX Runtime's", ratio, 1.0, "x", at_least=True))
        figures.append(
            Figure(f"{title}: speed, of the fastest peer's", result.speedup, 1.0, "x", at_least=True)
        )
    throughput = 256 / results["256 images"].median("lamina")
    print(f"\n  {throughput:,.0f} images a second in batches of 256")
    conclude("inference", figures, results)


if __name__ == "__main__":
    main()
