"""The names of `keras.preprocessing`: older ways to what `lamina.utils` has."""

from lamina.preprocessing import image
from lamina.utils.image_folders import image_dataset_from_directory

__all__ = ["image", "image_dataset_from_directory"]
