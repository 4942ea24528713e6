"""Spectrograms against real Keras, in every mode; and a tone where it belongs."""

from __future__ import annotations

import numpy as np
import pytest

from lamina import layers
from lamina.core.errors import ArgumentError

X = np.random.default_rng(0).normal(size=(2, 64, 3)).astype("float32")


@pytest.mark.parametrize(
    "options",
    [
        {"mode": "log"},
        {"mode": "psd", "padding": "same", "window": "hamming"},
        {"mode": "stft", "expand_dims": True, "periodic": True},
        {"mode": "angle", "scaling": "spectrum", "window": "blackman"},
        {"mode": "real", "scaling": None, "window": None},
        {"mode": "imag", "frame_step": 3, "fft_length": 32},
    ],
    ids=lambda options: options["mode"],
)
def test_short_time_fourier_transforms_as_keras(options, real_keras):
    found = layers.STFTSpectrogram(frame_length=16, **options)(X)
    expected = np.asarray(real_keras.layers.STFTSpectrogram(frame_length=16, **options)(X))
    apart = found - expected
    if options["mode"] == "angle":  # -pi and pi are one angle, and what is silent has none
        loud = layers.STFTSpectrogram(frame_length=16, **{**options, "mode": "magnitude"})(X)
        apart = ((apart + np.pi) % (2 * np.pi) - np.pi) * loud
    np.testing.assert_allclose(apart, np.zeros_like(expected), atol=1e-4)


@pytest.mark.parametrize(
    "options",
    [{}, {"power_to_db": False, "mag_exp": 1.0, "sequence_length": 20}, {"ref_power": 2.0, "top_db": 20.0}],
)
def test_mel_bands_as_keras(options, real_keras):
    common = {"fft_length": 32, "sequence_stride": 8, "num_mel_bins": 6, "min_freq": 100.0, **options}
    found = layers.MelSpectrogram(**common)(X[..., 0])
    np.testing.assert_allclose(
        found, np.asarray(real_keras.layers.MelSpectrogram(**common)(X[..., 0])), rtol=1e-4, atol=1e-4
    )


def test_a_tone_is_where_it_belongs():
    tone = np.sin(2 * np.pi * 8 * np.arange(128) / 32).astype("float32")[None, :, None]
    loud = layers.STFTSpectrogram("magnitude", frame_length=32)(tone)
    assert (np.asarray(loud).argmax(axis=-1) == 8).all()


@pytest.mark.parametrize(
    ("error", "wrong", "fragment"),
    [
        (ArgumentError, lambda: layers.STFTSpectrogram("power"), "'angle'"),
        (ArgumentError, lambda: layers.STFTSpectrogram(frame_step=0), "frame_step=0"),
        (ArgumentError, lambda: layers.STFTSpectrogram(fft_length=128), "fft_length=128"),
        (ArgumentError, lambda: layers.STFTSpectrogram(window="round"), "hamming"),
        (ArgumentError, lambda: layers.MelSpectrogram(64, sequence_length=65), "sequence_length=65"),
    ],
)
def test_wrong_uses(error, wrong, fragment):
    with pytest.raises(error) as caught:
        wrong()
    assert fragment in str(caught.value)
