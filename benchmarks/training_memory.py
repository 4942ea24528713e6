"""The most memory that an epoch of training takes, against PyTorch's, and for ever longer sequences.

python -m benchmarks.training_memory [--quick]. Each measurement is a process of its own, with an empty code
cache. It imports the library and makes the data, and then counts from there how much further the most memory
that the process ever had (the high-water mark of its resident set) goes: compiling, weights, the optimizer
and everything between are in it, the library's own code is not. Of attention it is what a step of training
works in besides weights and data, beside the matrix of its scores, which grows with the length's square.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.harness import OURS, Figure, conclude, in_fresh_process

NETWORKS: dict[str, dict[str, Any]] = {
    "MNIST convnet, batch 128": {"network": "mnist", "batch": 128, "steps": 16, "epochs": 1},
    "ResNet-20, batch 64": {"network": "resnet20", "batch": 64, "steps": 8, "epochs": 1},
}
# What PyTorch may choose from; the least counts.
TORCH = [{"adam": "fused"}, {"adam": "fused", "channels_last": True}]
LENGTHS = (100, 200, 400, 800)
LONG: dict[str, Any] = {"recurrent": "lstm", "batch": 16, "steps": 4, "epochs": 1}
# Twice the length may take twice the memory, and a little for what does not come out even.
LINEAR = 1.1
ATTENTION_LENGTHS = (1024, 2048)


def _mark(name: str) -> float:
    """A line of /proc/self/status, in megabytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) * 1024 / 1e6


def peak(library: str, task: dict[str, Any]) -> dict[str, float]:
    """Megabytes that one epoch, the first, adds at most to what the process had before; and that."""
    if not Path("/proc/self/clear_refs").exists():
        raise SystemExit("The high-water mark of a process is read from Linux' /proc.")
    peer = importlib.import_module(f"benchmarks.peers.{library}")
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")  # the mark begins anew
    before = _mark("VmRSS")
    peer.prepare(task)()
    return {"before": before, "growth": _mark("VmHWM") - before}


def measured(library: str, task: dict[str, Any]) -> dict[str, float]:
    """`peak` in a process of its own, with two threads."""
    with tempfile.TemporaryDirectory() as cache:
        found: dict[str, float] = in_fresh_process(
            "benchmarks.training_memory", library, json.dumps(task), LAMINA_CACHE_DIR=cache,
            OMP_NUM_THREADS="2", MKL_NUM_THREADS="2", LAMINA_NUM_THREADS="2",
        )  # fmt: skip
    return found


def networks() -> tuple[list[Figure], dict[str, Any]]:
    figures, results = [], {}
    for title, task in NETWORKS.items():
        ours = measured(OURS, task)
        theirs = min((measured("pytorch", task | setting) for setting in TORCH), key=lambda m: m["growth"])
        results[title] = {OURS: ours, "pytorch": theirs}
        print(f"  {title:28s} {ours['growth']:8.1f} MB, PyTorch {theirs['growth']:8.1f} MB", flush=True)
        name = f"{title}: memory of an epoch, of PyTorch's"
        figures.append(Figure(name, ours["growth"] / theirs["growth"], 1.0, "x"))
    return figures, results


def lengths() -> tuple[list[Figure], dict[str, Any]]:
    """Differences between lengths, so that what does not depend on the length counts for nothing."""
    grown = {length: measured(OURS, LONG | {"length": length})["growth"] for length in LENGTHS}
    listed = ", ".join(f"{megabytes:.1f} MB at {length}" for length, megabytes in grown.items())
    print(f"  LSTM, batch 16: {listed}", flush=True)
    first, second, third, last = (grown[length] for length in LENGTHS)
    # From 400 to 800 there are four times as many steps more as from 100 to 200.
    ratio = (last - third) / (4 * max(second - first, (third - second) / 2, 1.0))
    figure = Figure("LSTM: memory of later steps, of earlier ones", ratio, LINEAR, "x")
    return [figure], {"lstm by length": grown}


def attention_step(length: int) -> dict[str, float]:
    """Megabytes that a training step of causal attention works in besides weights and data; and of scores."""
    import numpy as np

    import lamina

    heads, size = 4, 64
    inputs = lamina.Input((length, heads * size))
    outputs = lamina.layers.MultiHeadAttention(heads, size)(inputs, inputs, use_causal_mask=True)
    model = lamina.Model(inputs, outputs)
    model.compile("adam", "mse")
    x = np.zeros((1, length, heads * size), np.float32)
    model.fit(x, x, batch_size=1, verbose=0)
    (program,) = model.compile_report().programs
    return {"step": program.arena_bytes / 1e6, "scores": heads * length**2 * 4 / 1e6}


def attention() -> tuple[list[Figure], dict[str, Any]]:
    found: dict[int, dict[str, float]] = {}
    for length in ATTENTION_LENGTHS:
        with tempfile.TemporaryDirectory() as cache:
            arguments = ("attention", str(length))
            found[length] = in_fresh_process("benchmarks.training_memory", *arguments, LAMINA_CACHE_DIR=cache)
        step, scores = found[length]["step"], found[length]["scores"]
        print(f"  attention, length {length}: {step:.1f} MB; its scores are {scores:.1f} MB", flush=True)
    short, long = (found[length]["step"] for length in ATTENTION_LENGTHS)
    title = f"attention, length {ATTENTION_LENGTHS[-1]}"
    figures = [
        Figure(
            f"{title}: memory of a step, of its scores",
            long / found[ATTENTION_LENGTHS[-1]]["scores"],
            0.5,
            "x",
        ),
        Figure(f"{title}: memory of a step, of half the length's", long / short, 2 * LINEAR, "x"),
    ]
    return figures, {"attention by length": found}


def main() -> None:
    print("Memory that an epoch adds at most")
    figures, results = networks()
    for part in (lengths, attention):
        more, found = part()
        figures, results = [*figures, *more], {**results, **found}
    conclude("training_memory", figures, results)


if __name__ == "__main__":
    if len(sys.argv) > 2:
        measure = attention_step if sys.argv[1] == "attention" else partial(peak, sys.argv[1])
        print(json.dumps(measure(json.loads(sys.argv[2]))))
    elif os.name == "posix":
        main()
