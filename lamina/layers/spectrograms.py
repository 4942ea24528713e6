"""Sounds as pictures of their frequencies: STFTSpectrogram, MelSpectrogram."""

from __future__ import annotations

from typing import Any

import numpy as np

from lamina import initializers, ops
from lamina.core.config import config
from lamina.core.errors import ArgumentError
from lamina.layers.arguments import channels_last, choice, number, positive_integer
from lamina.layers.input_spec import InputSpec, describe_layer
from lamina.layers.layer import Layer
from lamina.layers.registry import REGISTRY

Array = np.ndarray[Any, Any]
_MODES = ("log", "magnitude", "psd", "real", "imag", "angle", "stft")


@REGISTRY.register
class STFTSpectrogram(Layer):
    """The frequencies of pieces of signals, by convolutions whose kernels can be trained.

    (batch, time, channels) -> (batch, pieces, channels * frequencies), or with expand_dims (batch, pieces,
    frequencies, channels). mode: "log" of the magnitude, "magnitude", "psd", "real", "imag", "angle", or
    "stft" for real and imaginary parts side by side. frame_length: of a piece; frame_step: from one to the
    next, half of it by default; fft_length: number of frequencies before the half of them is dropped, the
    next power of 2 by default. window, periodic, scaling: as for initializers.STFT. padding: "valid" or
    "same".
    Weights: real_kernel and imag_kernel, as far as the mode needs them. Raises ArgumentError otherwise.

    >>> STFTSpectrogram(frame_length=8)(np.zeros((2, 32, 1), "float32")).shape
    (2, 7, 5)
    """

    def __init__(
        self,
        mode: str = "log",
        frame_length: int = 256,
        frame_step: int | None = None,
        fft_length: int | None = None,
        window: Any = "hann",
        periodic: bool = False,
        scaling: str | None = "density",
        padding: str = "valid",
        expand_dims: bool = False,
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.mode = choice(mode, "mode", self, _MODES)
        self.frame_length = positive_integer(frame_length, "frame_length", self)
        self.frame_step = frame_step
        self._step = frame_length // 2 if frame_step is None else frame_step
        self.fft_length = fft_length
        self._frequencies = fft_length or 2 ** (self.frame_length - 1).bit_length()
        if not 1 <= self._step <= self.frame_length:
            raise ArgumentError(
                f"{describe_layer(self)} cannot have frame_step={frame_step!r}.",
                expected=f"a whole number from 1 to frame_length={frame_length}",
            )
        if self._frequencies < self.frame_length:
            raise ArgumentError(
                f"{describe_layer(self)} cannot have fft_length={fft_length!r}.",
                expected=f"at least frame_length={frame_length}",
            )
        self.window = window
        self.periodic = periodic
        self.scaling = scaling
        self._kernels = [initializers.STFT(side, window, scaling, periodic) for side in ("real", "imag")]
        self.padding = choice(padding, "padding", self, ("valid", "same"))
        self.expand_dims = expand_dims
        self.data_format = channels_last(data_format, self)
        self.input_spec = InputSpec(ndim=3)

    def build(self, input_shape: Any) -> None:
        shape = (self.frame_length, 1, self._frequencies // 2 + 1)
        if self.mode != "imag":
            self.real_kernel = self.add_weight(shape, initializer=self._kernels[0], name="real_kernel")
        if self.mode != "real":
            self.imag_kernel = self.add_weight(shape, initializer=self._kernels[1], name="imag_kernel")

    def _transformed(self, inputs: Any, kernel: Any) -> Any:
        """(batch, pieces, channels, frequencies)."""
        batch, time, channels = inputs.shape
        lines = ops.reshape(ops.transpose(inputs, (0, 2, 1)), (batch * channels, time, 1))
        found = ops.conv(lines, ops.cast(kernel, inputs.dtype), strides=self._step, padding=self.padding)
        pieces, frequencies = found.shape[1:]
        return ops.transpose(ops.reshape(found, (batch, channels, pieces, frequencies)), (0, 2, 1, 3))

    def call(self, inputs: Any) -> Any:
        found = self._wanted(inputs)
        if self.expand_dims:
            return ops.transpose(found, (0, 1, 3, 2))
        return ops.reshape(found, (*found.shape[:2], found.shape[2] * found.shape[3]))

    def _wanted(self, inputs: Any) -> Any:
        if self.mode == "real":
            return self._transformed(inputs, self.real_kernel)
        imaginary = self._transformed(inputs, self.imag_kernel)
        if self.mode == "imag":
            return imaginary
        real = self._transformed(inputs, self.real_kernel)
        if self.mode == "angle":
            return ops.arctan2(imaginary, real)
        if self.mode == "stft":
            return ops.concatenate([real, imaginary], axis=-1)
        power = ops.square(real) + ops.square(imaginary)
        if self.mode == "psd":  # all but the first and the last frequency stand for two
            twice = np.full(power.shape[-1], 2.0, "float32")
            twice[[0, -1]] = 1.0
            return power * ops.cast(twice, power.dtype)
        magnitude = ops.sqrt(ops.maximum(power, config.epsilon))
        return magnitude if self.mode == "magnitude" else ops.log(ops.maximum(magnitude, config.epsilon))

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "mode": self.mode,
            "frame_length": self.frame_length,
            "frame_step": self.frame_step,
            "fft_length": self.fft_length,
            "window": self.window,
            "periodic": self.periodic,
            "scaling": self.scaling,
            "padding": self.padding,
            "data_format": self.data_format,
            "expand_dims": self.expand_dims,
        }


@REGISTRY.register
class MelSpectrogram(Layer):
    """The loudness of signals in bands that are as wide as the ear hears them, (batch, bands, pieces).

    From (batch, time), or (time,). fft_length, sequence_stride, sequence_length, window: of the short-time
    Fourier transform. sampling_rate: numbers a second. num_mel_bins: bands from min_freq to max_freq, half of
    the sampling rate by default. power_to_db: in decibels above ref_power, at most top_db below the greatest.
    mag_exp: 2 for power, 1 for magnitude. min_power: what counts as silence. Raises ArgumentError for lengths
    that do not fit.

    >>> MelSpectrogram(fft_length=64, sequence_stride=32, num_mel_bins=8)(np.zeros((2, 128), "float32")).shape
    (2, 8, 5)
    """

    _needs_build = False

    def __init__(
        self,
        fft_length: int = 2048,
        sequence_stride: int = 512,
        sequence_length: int | None = None,
        window: str = "hann",
        sampling_rate: int = 16000,
        num_mel_bins: int = 128,
        min_freq: float = 20.0,
        max_freq: float | None = None,
        power_to_db: bool = True,
        top_db: float = 80.0,
        mag_exp: float = 2.0,
        min_power: float = 1e-10,
        ref_power: float = 1.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.fft_length = positive_integer(fft_length, "fft_length", self)
        self.sequence_stride = positive_integer(sequence_stride, "sequence_stride", self)
        self.sequence_length = sequence_length or fft_length
        if self.sequence_length > self.fft_length:
            raise ArgumentError(
                f"{describe_layer(self)} cannot have sequence_length={sequence_length!r}.",
                expected=f"at most fft_length={fft_length}",
            )
        self.window = window
        self.sampling_rate = sampling_rate
        self.num_mel_bins = positive_integer(num_mel_bins, "num_mel_bins", self)
        self.min_freq = number(min_freq, "min_freq", self, low=0.0)
        self.max_freq = max_freq or int(sampling_rate / 2)
        self.power_to_db = power_to_db
        self.top_db = top_db
        self.mag_exp = mag_exp
        self.min_power = min_power
        self.ref_power = ref_power

    def call(self, inputs: Any) -> Any:
        real, imaginary = ops.stft(
            ops.cast(inputs, "float32"),
            self.sequence_length,
            self.sequence_stride,
            self.fft_length,
            self.window,
        )
        magnitude = ops.sqrt(ops.square(real) + ops.square(imaginary))
        bands = self.linear_to_mel_weight_matrix(
            self.num_mel_bins, magnitude.shape[-1], self.sampling_rate, self.min_freq, self.max_freq
        )
        found = ops.matmul(ops.power(magnitude, self.mag_exp), bands)
        if self.power_to_db:
            reference = 10.0 * np.log10(max(abs(self.ref_power), self.min_power))
            found = 10.0 * ops.log10(ops.maximum(found, self.min_power)) - reference
            found = ops.maximum(found, ops.max(found) - self.top_db)
        return ops.cast(ops.swapaxes(found, -1, -2), self.compute_dtype)

    def linear_to_mel_weight_matrix(
        self,
        num_mel_bins: int = 20,
        num_spectrogram_bins: int = 129,
        sampling_rate: float = 8000,
        lower_edge_hertz: float = 125.0,
        upper_edge_hertz: float = 3800.0,
        dtype: str = "float32",
    ) -> Array:
        """How much each frequency counts in each band, (num_spectrogram_bins, num_mel_bins): triangles.

        The triangles stand side by side on the mel scale, 1127 log(1 + f / 700), and have the height 1.
        """

        def mel(hertz: Any) -> Any:
            return 1127.0 * np.log1p(np.asarray(hertz) / 700.0)

        places = mel(np.linspace(0.0, sampling_rate / 2, num_spectrogram_bins))[:, None]
        edges = np.linspace(mel(lower_edge_hertz), mel(upper_edge_hertz), num_mel_bins + 2)
        low, centre, high = edges[:-2], edges[1:-1], edges[2:]
        weights = np.maximum(
            0.0, np.minimum((places - low) / (centre - low), (high - places) / (high - centre))
        )
        weights[0] = 0.0  # a constant is no tone
        return weights.astype(dtype)

    def get_config(self) -> dict[str, Any]:
        names = (
            "fft_length", "sequence_stride", "sequence_length", "window", "sampling_rate", "num_mel_bins",
            "min_freq", "max_freq", "power_to_db", "top_db", "mag_exp", "min_power", "ref_power",
        )  # fmt: skip
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}
