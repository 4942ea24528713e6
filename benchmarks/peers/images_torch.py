"""The networks of `images` in PyTorch."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

CLASSES = 10


def build(name: str) -> nn.Module:
    """The network, without its softmax."""
    return _NETWORKS[name]()


def _mnist() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 32, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Dropout(0.5), nn.Linear(1600, CLASSES),
    )  # fmt: skip


def _normalized(inputs: int, filters: int, size: int = 3, stride: int = 1, groups: int = 1) -> nn.Module:
    convolution = nn.Conv2d(inputs, filters, size, stride, size // 2, bias=False, groups=groups)
    return nn.Sequential(convolution, nn.BatchNorm2d(filters))


class _Block(nn.Module):
    """Two convolutions, and a way around them."""

    def __init__(self, inputs: int, filters: int, stride: int) -> None:
        super().__init__()
        self.first = _normalized(inputs, filters, stride=stride)
        self.second = _normalized(filters, filters)
        self.around = _normalized(inputs, filters, 1, stride) if stride > 1 else nn.Identity()

    def forward(self, x: Any) -> Any:
        return torch.relu(self.around(x) + self.second(torch.relu(self.first(x))))


def _resnet20() -> nn.Module:
    parts: list[nn.Module] = [_normalized(3, 16), nn.ReLU()]
    inputs = 16
    for filters in (16, 32, 64):
        for block in range(3):
            parts.append(_Block(inputs, filters, 2 if block == 0 and filters > 16 else 1))
            inputs = filters
    return nn.Sequential(*parts, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, CLASSES))


def _vgg() -> nn.Module:
    parts: list[nn.Module] = []
    inputs = 3
    for filters in (64, 128, 256):
        for _ in range(2):
            parts += [nn.Conv2d(inputs, filters, 3, padding=1), nn.ReLU()]
            inputs = filters
        parts.append(nn.MaxPool2d(2))
    return nn.Sequential(*parts, nn.Flatten(), nn.Linear(256 * 4 * 4, CLASSES))


def _conv1d() -> nn.Module:
    parts: list[nn.Module] = []
    inputs = 1
    for filters in (32, 64, 128):
        parts += [nn.Conv1d(inputs, filters, 5, padding=2), nn.ReLU(), nn.MaxPool1d(2)]
        inputs = filters
    return nn.Sequential(*parts, nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(128, CLASSES))


def _generator() -> nn.Module:
    return nn.Sequential(
        nn.Linear(64, 7 * 7 * 128), nn.Unflatten(1, (128, 7, 7)), nn.BatchNorm2d(128), nn.ReLU(),
        nn.ConvTranspose2d(128, 64, 4, 2, 1, bias=False), nn.BatchNorm2d(64), nn.ReLU(),
        nn.ConvTranspose2d(64, 1, 4, 2, 1), nn.Tanh(),
    )  # fmt: skip


def _mobile() -> nn.Module:
    parts: list[nn.Module] = [_normalized(3, 32), nn.ReLU()]
    inputs = 32
    for filters, stride in ((64, 1), (128, 2), (128, 1), (256, 2)):
        parts += [_normalized(inputs, inputs, 3, stride, groups=inputs), nn.ReLU()]
        parts += [_normalized(inputs, filters, 1), nn.ReLU()]
        inputs = filters
    return nn.Sequential(*parts, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inputs, CLASSES))


_NETWORKS = {
    "mnist": _mnist,
    "resnet20": _resnet20,
    "vgg": _vgg,
    "conv1d": _conv1d,
    "generator": _generator,
    "mobile": _mobile,
}
