"""The names of `keras.preprocessing.sequence`."""

from lamina.utils.sequences import pad_sequences

__all__ = ["pad_sequences"]
