"""Folders of sounds as a data set: WAV files as floats, resampled and cut to one length."""

from __future__ import annotations

import os
import wave
from collections.abc import Sequence
from typing import Any

import numpy as np

from lamina.core.errors import ArgumentError, DataError
from lamina.utils.folders import FileBatches, Files, Request, positive

Array = np.ndarray[Any, Any]


class SoundFolder(FileBatches):
    """Batches of sounds, float32 (batch, length, channels) from -1 to 1, and their labels, from WAV files.

    Without a length for all, those of a batch are filled up with silence to the longest of them. Made by
    `audio_dataset_from_directory`.
    """

    def __init__(self, files: Files, batch_size: int, sampling_rate: int | None, length: int | None) -> None:
        super().__init__(files, batch_size)
        self.sampling_rate = sampling_rate
        self.length = length

    def read(self, path: str) -> Array:
        """The sound in one file, float32 (length, channels); DataError, naming it, if it is none."""
        sound, rate = read_wave(path)
        if self.length is not None:
            sound = _filled(sound[: self.length], self.length)
        if self.sampling_rate is not None and rate != self.sampling_rate:
            sound = resampled(sound, round(len(sound) * self.sampling_rate / rate))
        return sound

    def collate(self, contents: list[Array]) -> Array:
        channels = {sound.shape[1] for sound in contents}
        if len(channels) > 1:
            raise DataError(
                "The sounds of a batch have different numbers of channels.", got=str(sorted(channels))
            )
        longest = max(len(sound) for sound in contents)
        return np.stack([_filled(sound, longest) for sound in contents])


def read_wave(path: str | os.PathLike[str]) -> tuple[Array, int]:
    """A WAV file as float32 (length, channels) from -1 to 1, and its samples per second.

    Samples of 8, 16, 24 and 32 bits are understood. Raises DataError, naming the file, for anything else.
    """
    try:
        with wave.open(os.fspath(path), "rb") as file:
            channels, width, rate = file.getnchannels(), file.getsampwidth(), file.getframerate()
            data = file.readframes(file.getnframes())
    except (wave.Error, EOFError) as error:
        raise DataError(
            f"{path} cannot be read as a WAV file.", expected="uncompressed samples", got=str(error)
        ) from None
    data = data[: len(data) // (width * channels) * width * channels]
    if width == 1:
        levels = np.frombuffer(data, np.uint8).astype("float32") - 128
    else:
        # The bytes of a sample, little end first, become the upper bytes of 32 bits.
        wide = np.zeros((len(data) // width, 4), np.uint8)
        wide[:, 4 - width :] = np.frombuffer(data, np.uint8).reshape(-1, width)
        levels = (wide.view("<i4")[:, 0] >> 8 * (4 - width)).astype("float32")
    return (levels / np.float32(2 ** (8 * width - 1))).reshape(-1, channels), rate


def resampled(sound: Array, length: int) -> Array:
    """The sound (old length, channels) with `length` samples: its spectrum, cut off or filled with zeros."""
    if not len(sound) or not length:
        return np.zeros((length, sound.shape[1]), "float32")
    spectrum = np.fft.rfft(sound, axis=0)
    kept = min(len(sound), length) // 2 + 1
    changed = np.zeros((length // 2 + 1, sound.shape[1]), complex)
    changed[:kept] = spectrum[:kept]
    return (np.fft.irfft(changed, length, axis=0) * (length / len(sound))).astype("float32")


def _filled(sound: Array, length: int) -> Array:
    return np.pad(sound, ((0, length - len(sound)), (0, 0)))


def audio_dataset_from_directory(
    directory: str | os.PathLike[str],
    labels: str | Sequence[int] | None = "inferred",
    label_mode: str | None = "int",
    class_names: Sequence[str] | None = None,
    batch_size: int = 32,
    sampling_rate: int | None = None,
    output_sequence_length: int | None = None,
    ragged: bool = False,
    shuffle: bool = True,
    seed: int | None = None,
    validation_split: float | None = None,
    subset: str | None = None,
    follow_links: bool = False,
    verbose: bool = True,
) -> Any:
    """The WAV files below a folder, whose subfolders are the classes, as a data set for `fit`.

    sampling_rate: samples per second that all sounds are brought to. output_sequence_length: the number of
    samples after which a sound is cut off, or to which it is filled up with silence, before it is resampled;
    without it the sounds of each batch are as long as the longest of them. ragged: must be False. The other
    arguments, and errors, are those of `image_dataset_from_directory`.

    Returns a SoundFolder, with `class_names` and `file_paths`; its sounds are float32 (batch, length,
    channels), from -1 to 1. A damaged file is a DataError, naming it, when it is read.

    >>> train = audio_dataset_from_directory("spoken-digits", output_sequence_length=16000)
    >>> model.fit(train, epochs=5)
    """
    request = Request(
        "audio_dataset_from_directory",
        directory,
        labels,
        label_mode,
        class_names,
        batch_size,
        shuffle,
        seed,
        validation_split,
        subset,
        follow_links,
        verbose,
    )
    if ragged:
        raise ArgumentError(
            "Lamina has dense tensors only.",
            fix="leave out ragged: sounds are filled up with silence.",
        )
    for argument, value in (
        ("sampling_rate", sampling_rate),
        ("output_sequence_length", output_sequence_length),
    ):
        if value is not None:
            positive(argument, value)

    def make(files: Files) -> SoundFolder:
        return SoundFolder(files, batch_size, sampling_rate, output_sequence_length)

    return request.datasets("sounds", (".wav",), make)
