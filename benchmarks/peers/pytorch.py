"""PyTorch: a plain training loop over shuffled tensors.

Settings in the task: "adam", which of its implementations to use ("fused" or "foreach"); "compile", whether
forward and backward go through `torch.compile`; "channels_last", whether images and kernels lie so in memory.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import torch

from benchmarks.peers import (
    forward,
    images,
    images_torch,
    sequences,
    sequences_torch,
    transformers,
    transformers_torch,
)
from benchmarks.peers.data import classification


def prepare(task: dict[str, Any]) -> Callable[[], float]:
    batch, steps = task["batch"], task["steps"]
    model = make_model(task)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, **{task.get("adam", "fused"): True})
    is_block = task.get("transformer") in ("block", "long")
    is_classifier = task.get("network") != "generator" and "recurrent" not in task and not is_block
    other = torch.nn.BCEWithLogitsLoss() if "recurrent" in task else torch.nn.MSELoss()
    loss_of = torch.nn.CrossEntropyLoss() if is_classifier else other
    x, y = make_data(task)
    if task.get("channels_last"):
        model = model.to(memory_format=torch.channels_last)
        x = x.contiguous(memory_format=torch.channels_last) if x.ndim == 4 else x

    if "inference" in task:
        return predictions(model, x, task)
    zero = torch.zeros((), dtype=torch.int64)

    def forward(x: torch.Tensor, target: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        logits = model(x)
        right = (logits.detach().argmax(1) == target).sum() if is_classifier else zero
        return loss_of(logits, target), right

    if task.get("compile"):
        forward = torch.compile(forward)

    def run() -> float:
        start = time.perf_counter()
        order = torch.randperm(len(x))
        right = torch.zeros((), dtype=torch.int64)
        for rows in order.split(batch):
            loss, count = forward(x[rows], y[rows])
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            right += count
        right.item()
        return (time.perf_counter() - start) / steps

    return run


def predictions(model: torch.nn.Module, x: torch.Tensor, task: dict[str, Any]) -> Callable[[], float]:
    """Rounds of one forward pass after the other, from images in NumPy to probabilities in NumPy."""
    model = model.eval()
    images = x.numpy()
    call = torch.compile(model) if task.get("compile") else model

    def predict() -> None:
        with torch.inference_mode():
            call(torch.from_numpy(images)).softmax(1).numpy()

    return forward.timed(predict, task["inference"])


def make_model(task: dict[str, Any]) -> torch.nn.Module:
    if "transformer" in task:
        return transformers_torch.Network(task["transformer"])
    if "recurrent" in task:
        return sequences_torch.Network(task["recurrent"])
    if "network" in task:
        return images_torch.build(task["network"])
    layers: list[torch.nn.Module] = []
    for inputs, units in pairwise(task["sizes"]):
        layers += [torch.nn.Linear(inputs, units), torch.nn.ReLU()]
    return torch.nn.Sequential(*layers[:-1])


def make_data(task: dict[str, Any]) -> tuple[torch.Tensor, torch.Tensor]:
    """Inputs and targets, images with their channels where PyTorch wants them."""
    if "transformer" in task:
        x, y = (torch.from_numpy(array) for array in transformers.data(task))
        return x, y if y.is_floating_point() else y.long()
    if "recurrent" in task:
        tokens, labels = sequences.data(task)
        return torch.from_numpy(tokens), torch.from_numpy(labels)
    arrays = images.data(task) if "network" in task else classification(task)
    x, y = (torch.from_numpy(array) for array in arrays)
    x, y = (value.movedim(-1, 1).contiguous() if value.ndim > 2 else value for value in (x, y))
    return x, y if y.is_floating_point() else y.long()
