"""Fourier transforms. There are no complex tensors: a complex one is a pair (real part, imaginary part).

Transforms are computed by NumPy, also in the middle of a compiled step, and have gradients.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from lamina.core import dtypes
from lamina.core.errors import ArgumentError, ShapeError
from lamina.ir import primitives as p
from lamina.ops.complex_numbers import floats, parts
from lamina.ops.contract import extract_sequences
from lamina.ops.convert import cast, convert_to_tensor
from lamina.ops.create import zeros, zeros_like
from lamina.ops.join import concatenate
from lamina.ops.linear_algebra import host
from lamina.ops.logic import where
from lamina.ops.move import broadcast_to, flip, pad, reshape
from lamina.ops.registry import op


def _transformed(x: Any, count: int, inverse: bool) -> tuple[Any, Any]:
    """The transform along the last `count` axes."""
    real, imaginary = parts(x, count)
    axes = tuple(range(real.ndim - count, real.ndim))
    transformed = host("fft", real, imaginary, axes=axes, inverse=inverse)
    return transformed[0], transformed[1]


@op
def fft(x: Any) -> tuple[Any, Any]:
    """The Fourier transform along the last axis: sum over n of x[n] exp(-2 pi i k n / N)."""
    return _transformed(x, 1, inverse=False)


@op
def fft2(x: Any) -> tuple[Any, Any]:
    """The Fourier transform along the last two axes."""
    return _transformed(x, 2, inverse=False)


@op
def ifft2(x: Any) -> tuple[Any, Any]:
    """The inverse of `fft2`."""
    return _transformed(x, 2, inverse=True)


def _of_length(x: Any, length: int) -> Any:
    """The last axis cut off, or filled up with zeros."""
    extent = x.shape[-1]
    if extent >= length:
        return x[..., :length]
    return pad(x, [(0, 0)] * (x.ndim - 1) + [(0, length - extent)])


@op
def rfft(x: Any, fft_length: int | None = None) -> tuple[Any, Any]:
    """The first half, N // 2 + 1 numbers, of the transform of real numbers; the others mirror them.

    fft_length: N; the last axis is cut off, or filled up with zeros, to that.
    """
    x = floats(x)
    length = int(x.shape[-1] if fft_length is None else fft_length)
    x = _of_length(x, length)
    real, imaginary = _transformed((x, zeros_like(x)), 1, inverse=False)
    return real[..., : length // 2 + 1], imaginary[..., : length // 2 + 1]


@op
def irfft(x: Any, fft_length: int | None = None) -> Any:
    """The inverse of `rfft`. fft_length: how many real numbers; 2 (m - 1) by default."""
    real, imaginary = parts(x, 1)
    length = int(2 * (real.shape[-1] - 1) if fft_length is None else fft_length)
    half = length // 2 + 1
    real, imaginary = _of_length(real, half), _of_length(imaginary, half)
    mirrored = slice(1, length - half + 1)
    real = concatenate([real, flip(real[..., mirrored], -1)], axis=-1)
    imaginary = concatenate([imaginary, -flip(imaginary[..., mirrored], -1)], axis=-1)
    return _transformed((real, imaginary), 1, inverse=True)[0]


def _window(window: Any, length: int, fft_length: int, dtype: Any) -> Any:
    """The window with zeros on both sides, as long as the transform; ones when there is none."""
    before = (fft_length - length) // 2
    around = (before, fft_length - length - before)
    if window is None:
        return np.ones(fft_length, dtypes.to_numpy(dtype))
    if isinstance(window, str):
        mean = {"hann": 0.5, "hamming": 0.54}.get(window)
        if mean is None:
            raise ArgumentError(f"There is no window {window!r}.", expected="'hann', 'hamming' or an array")
        turns = 2 * np.pi * np.arange(length) / length
        values = (mean - (1 - mean) * np.cos(turns)).astype(dtypes.to_numpy(dtype))
        return np.pad(values, around)
    values = cast(convert_to_tensor(window), dtype)
    if tuple(values.shape) != (length,):
        raise ShapeError("The window has another length.", expected=f"({length},)", got=str(values.shape))
    return pad(values, [around])


def _check_lengths(sequence_length: int, fft_length: int) -> None:
    if fft_length < sequence_length:
        raise ArgumentError(
            f"fft_length={fft_length} must not be smaller than sequence_length={sequence_length}."
        )


@op
def stft(
    x: Any,
    sequence_length: int,
    sequence_stride: int,
    fft_length: int,
    window: Any = "hann",
    center: bool = True,
) -> tuple[Any, Any]:
    """The short-time Fourier transform: `rfft` of overlapping pieces of the last axis.

    sequence_length: numbers that the window lets through. sequence_stride: from one piece to the next.
    fft_length: length of the pieces. window: "hann", "hamming", an array, or None. center: whether the first
    piece is centred on the first number, by mirroring the ends.

    Shapes: (..., n) to two of (..., pieces, fft_length // 2 + 1).
    """
    _check_lengths(sequence_length, fft_length)
    x = floats(x)
    if center:
        around = (fft_length // 2, fft_length // 2)
        x = pad(x, [(0, 0)] * (x.ndim - 1) + [around], mode="reflect")
    pieces = extract_sequences(x, fft_length, sequence_stride)
    real, imaginary = rfft(pieces * _window(window, sequence_length, fft_length, x.dtype))
    return real, imaginary


@op
def istft(
    x: Any,
    sequence_length: int,
    sequence_stride: int,
    fft_length: int,
    length: int | None = None,
    window: Any = "hann",
    center: bool = True,
) -> Any:
    """The inverse of `stft` with the same arguments. length: how many numbers to give back."""
    _check_lengths(sequence_length, fft_length)
    pieces = irfft(parts(x, 2), fft_length)
    values = _window(window, sequence_length, fft_length, pieces.dtype)
    weight = _overlapping(broadcast_to(values * values, pieces.shape[-2:]), sequence_stride)
    if window is None:
        values = values * (fft_length / sequence_stride)
    signal = _overlapping(pieces * values, sequence_stride)
    signal = signal / where(weight > 1e-10, weight, 1.0)
    start = fft_length // 2 if center else 0
    return signal[..., start : start + length if length is not None else signal.shape[-1] - start]


def _overlapping(pieces: Any, stride: int) -> Any:
    """The sum of pieces, (..., count, length), of which each begins `stride` behind the one before."""
    *stack, count, length = pieces.shape
    starts = np.arange(count, dtype=np.int32)[:, None] * np.int32(stride)
    places = (starts + np.arange(length, dtype=np.int32)).reshape(-1)
    whole = zeros((*stack, length + stride * (count - 1)), pieces.dtype)
    return p.scatter_add(whole, places, reshape(pieces, (*stack, count * length)), axis=len(stack))
