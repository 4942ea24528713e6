"""Convolutions and pooling in ONNX, whose images are channels-first."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from lamina.core import dtypes
from lamina.core.windows import reach
from lamina.export.writer import Pair, UnmappableError, Writer


def channels_first(w: Writer, x: str, rank: int) -> str:
    return w("Transpose", x, perm=[0, rank - 1, *range(1, rank - 1)])


def channels_last(w: Writer, x: str, rank: int) -> str:
    return w("Transpose", x, perm=[0, *range(2, rank), 1])


def kernel_first(w: Writer, kernel: str, rank: int) -> str:
    """[*sizes, channels, filters] as [filters, channels, *sizes]."""
    return w("Transpose", kernel, perm=[rank - 1, rank - 2, *range(rank - 2)])


def _pads(padding: Any) -> list[int]:
    return [low for low, _ in padding] + [high for _, high in padding]


def conv(w: Writer, at: Pair, x: str, kernel: str) -> str:
    rank = len(at.node.types[0].shape)
    found = w(
        "Conv",
        channels_first(w, x, rank),
        kernel_first(w, kernel, rank),
        strides=list(at["strides"]),
        dilations=list(at["dilation"]),
        pads=_pads(at["padding"]),
        group=at["groups"],
    )
    return channels_last(w, found, rank)


def conv_input_grad(w: Writer, at: Pair, y: str, kernel: str) -> str:
    """A transposed convolution without padding, of which the part inside the padding is taken."""
    shape, padding, strides, dilation = at["shape"], at["padding"], at["strides"], at["dilation"]
    rank = len(at.node.types[0].shape)
    whole = w(
        "ConvTranspose",
        channels_first(w, y, rank),
        kernel_first(w, kernel, rank),
        strides=list(strides),
        dilations=list(dilation),
        group=at["groups"],
    )
    sizes = at.node.inputs[1].shape[:-2]
    places = at.node.inputs[0].shape[1:-1]
    lengths = [
        stride * (count - 1) + reach(size, step)
        for count, size, stride, step in zip(places, sizes, strides, dilation)
    ]
    ends = [low + extent for (low, _), extent in zip(padding, shape)]
    missing = [max(end - length, 0) for end, length in zip(ends, lengths)]
    axes = w.constant(list(range(2, rank)))
    if any(missing):
        zero = w.constant(0, dtypes.to_numpy(at.node.types[0].dtype))
        widths = [0] * (rank + 2) + missing
        whole = w("Pad", whole, w.constant(widths), zero)
    found = w("Slice", whole, w.constant([low for low, _ in padding]), w.constant(ends), axes)
    return channels_last(w, found, rank)


def max_window(w: Writer, at: Pair, x: str) -> list[str]:
    rank = len(at.node.types[0].shape)
    found = w(
        "MaxPool",
        channels_first(w, x, rank),
        kernel_shape=list(at["sizes"]),
        strides=list(at["strides"]),
        dilations=list(at["dilation"]),
        pads=_pads(at["padding"]),
    )
    return [channels_last(w, found, rank)]


def sum_window(w: Writer, at: Pair, x: str) -> str:
    """The mean over windows, with zeros around, times their size."""
    if any(step != 1 for step in at["dilation"]):
        raise UnmappableError("ONNX has no sums over dilated windows.")
    rank = len(at.node.types[0].shape)
    found = w(
        "AveragePool",
        w("Pad", channels_first(w, x, rank), w.constant(_all_pads(at["padding"]))),
        kernel_shape=list(at["sizes"]),
        strides=list(at["strides"]),
    )
    count = np.asarray(prod(at["sizes"]), dtypes.to_numpy(at.node.types[0].dtype))
    return channels_last(w, w("Mul", found, w.constant(count, count.dtype)), rank)


def _all_pads(padding: Any) -> list[int]:
    return [0, 0, *(low for low, _ in padding), 0, 0, *(high for _, high in padding)]
