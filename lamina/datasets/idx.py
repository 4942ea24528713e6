"""The IDX format of the MNIST family: a header with the extents, then the bytes."""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from lamina.core.errors import DataError

_BYTES = 0x08  # the code of unsigned bytes


def read(path: Path, shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
    """The uint8 array of this shape in a gzip-compressed IDX file.

    No more is read than the shape needs. Raises DataError, naming the file, for anything else.

    >>> read(Path("t10k-labels-idx1-ubyte.gz"), (10000,))
    """
    header = bytes([0, 0, _BYTES, len(shape)]) + b"".join(extent.to_bytes(4, "big") for extent in shape)
    size = math.prod(shape)
    try:
        with gzip.open(path) as file:
            content = file.read(len(header) + size + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} is damaged.", got=str(error), fix="delete it, and load again.") from error
    if content[: len(header)] != header or len(content) != len(header) + size:
        raise DataError(
            f"{path} does not hold what it should.",
            expected=f"unsigned bytes of shape {shape}",
            got=f"{len(content)} bytes that begin with {content[:8].hex(' ')}",
        )
    return np.frombuffer(content, np.uint8, offset=len(header)).reshape(shape).copy()
