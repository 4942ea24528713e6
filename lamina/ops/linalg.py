"""The names of `keras.ops.linalg` that need no decomposition."""

from lamina.ops.numerics import norm

__all__ = ["norm"]
