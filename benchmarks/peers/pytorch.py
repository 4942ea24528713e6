"""PyTorch: a plain training loop over shuffled tensors, with the fused Adam."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch

from benchmarks.peers.data import classification


def prepare(task: dict[str, Any]) -> Callable[[], float]:
    sizes, batch, steps = task["sizes"], task["batch"], task["steps"]
    layers: list[torch.nn.Module] = []
    for inputs, units in zip(sizes, sizes[1:]):
        layers += [torch.nn.Linear(inputs, units), torch.nn.ReLU()]
    model = torch.nn.Sequential(*layers[:-1])
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)
    loss_of = torch.nn.CrossEntropyLoss()
    x, y = (torch.from_numpy(array) for array in classification(task))
    y = y.long()

    def run() -> float:
        start = time.perf_counter()
        order = torch.randperm(len(x))
        right = torch.zeros(())
        for rows in order.split(batch):
            target = y[rows]
            logits = model(x[rows])
            loss = loss_of(logits, target)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            right += (logits.detach().argmax(1) == target).sum()
        right.item()
        return (time.perf_counter() - start) / steps

    return run
