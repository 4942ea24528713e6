"""The version of Lamina."""

__version__ = "0.1.0"
