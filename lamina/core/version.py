"""The version of Lamina."""

__version__ = "0.1.0"


def version() -> str:
    """The version as a string."""
    return __version__
