"""Memory that compiled code works on: where arrays begin, and blocks that begin at a cache line."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
_addressof, _from_buffer = ctypes.addressof, ctypes.c_char.from_buffer


def aligned(size: int) -> Array:
    """`size` bytes that start at a multiple of 64."""
    block = np.empty(size + 64, np.uint8)
    start = -address(block) % 64
    return block[start : start + size]


def address(array: Array) -> int:
    """Where a contiguous array begins. NumPy's own ways to say it take five times as long."""
    buffer: Any = array
    try:
        return _addressof(_from_buffer(buffer))
    except (TypeError, ValueError):  # read-only, empty, or of a dtype without a buffer format
        where: int = array.__array_interface__["data"][0]
        return where
