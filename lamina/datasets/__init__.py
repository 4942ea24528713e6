"""Data to learn on: `lamina.datasets.digits` is shipped with the package."""

from lamina.datasets import digits

__all__ = ["digits"]
