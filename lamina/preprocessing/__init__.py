"""The names of `keras.preprocessing`: older ways to what `lamina.utils` has."""

from lamina.preprocessing import image, sequence
from lamina.utils.image_folders import image_dataset_from_directory
from lamina.utils.sequences import timeseries_dataset_from_array
from lamina.utils.text_folders import text_dataset_from_directory

__all__ = [
    "image",
    "image_dataset_from_directory",
    "sequence",
    "text_dataset_from_directory",
    "timeseries_dataset_from_array",
]
