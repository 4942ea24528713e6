"""The names of `keras.ops.image`."""

from lamina.ops.patches import extract_patches, extract_patches_3d

__all__ = [
    "extract_patches",
    "extract_patches_3d",
]
