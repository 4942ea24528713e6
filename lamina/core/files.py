"""Files that are written whole or not at all."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import BinaryIO

from lamina.core.errors import MissingFileError


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """A binary file, to write and to read, that takes the place of `path` when the block ends well.

    Renaming it is the one commit point: after an error, Ctrl-C or a power cut `path` is what it was before,
    and no other process ever sees half a file. Raises MissingFileError when the folder does not exist.

    >>> with replacing("weights.bin") as file:
    ...     file.write(contents)
    """
    folder, name = os.path.split(os.path.abspath(os.fspath(path)))
    if not os.path.isdir(folder):
        raise MissingFileError(f"There is no folder {folder} for {name}.", fix="os.makedirs(...) first.")
    unfinished = os.path.join(folder, f".{name}.{os.getpid()}-{secrets.token_hex(4)}.unfinished")
    try:
        with open(unfinished, "x+b") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(unfinished, os.path.join(folder, name))
    except BaseException:
        with suppress(OSError):
            os.unlink(unfinished)
        raise
