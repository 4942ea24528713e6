"""The names of `keras.ops.nn`."""

__all__ = [name for name in dir() if not name.startswith("_")]
