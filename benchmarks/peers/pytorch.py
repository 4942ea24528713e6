"""PyTorch: a plain training loop over shuffled tensors.

Settings in the task: "adam", which of its implementations to use ("fused" or "foreach"); "compile", whether
forward and backward go through `torch.compile`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import torch

from benchmarks.peers.data import classification


def prepare(task: dict[str, Any]) -> Callable[[], float]:
    sizes, batch, steps = task["sizes"], task["batch"], task["steps"]
    layers: list[torch.nn.Module] = []
    for inputs, units in pairwise(sizes):
        layers += [torch.nn.Linear(inputs, units), torch.nn.ReLU()]
    model = torch.nn.Sequential(*layers[:-1])
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, **{task.get("adam", "fused"): True})
    loss_of = torch.nn.CrossEntropyLoss()
    x, y = (torch.from_numpy(array) for array in classification(task))
    y = y.long()

    def forward(x: torch.Tensor, target: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        logits = model(x)
        return loss_of(logits, target), (logits.detach().argmax(1) == target).sum()

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
