"""Zip archives that are read without trust: sizes before contents, nothing unpacked, checksums compared."""

from __future__ import annotations

import zipfile
from typing import Any, BinaryIO

from lamina.core.errors import FileError

# Deflate cannot shrink more than about 1000-fold; what claims to unfold like that was made to fill memory.
_LARGEST_EXPANSION = 100
_ALWAYS_FINE = 1 << 20  # bytes


class ArchiveReader:
    """The members of a zip archive. what: the kind of file, for messages.

    Raises FileError for anything that is no whole zip archive.
    """

    def __init__(self, file: BinaryIO, what: str) -> None:
        self._what = what
        try:
            self._zip = zipfile.ZipFile(file)
        except (zipfile.BadZipFile, ValueError, NotImplementedError) as error:
            raise FileError(
                f"This is not {what}, or it is damaged or cut off.",
                expected="a zip archive",
                got=str(error) or None,
            ) from None

    @property
    def names(self) -> list[str]:
        return self._zip.namelist()

    def size(self, name: str) -> int:
        """The bytes of a member, as it will be read. FileError for a size that cannot be true."""
        try:
            found = self._zip.getinfo(name)
        except KeyError:
            raise FileError(
                f"{self._what[0].upper()}{self._what[1:]} must contain '{name}'.",
                got=", ".join(self.names[:6]) or "an empty archive",
            ) from None
        if found.file_size > _ALWAYS_FINE + _LARGEST_EXPANSION * found.compress_size:
            raise FileError(
                f"'{name}' claims to unfold from {found.compress_size:,} to {found.file_size:,} bytes: "
                "it was made to fill the memory, and is not read."
            )
        return found.file_size

    def read(self, name: str, limit: int) -> bytes:
        """The contents of a small member. FileError beyond `limit` bytes, or when damaged."""
        if self.size(name) > limit:
            raise FileError(f"'{name}' is too large to be true: {self.size(name):,} bytes.")
        with self.open(name) as member:
            return member.read()

    def open(self, name: str) -> Any:
        """A stream of a member; reading to its end raises BadZipFile when the checksum is wrong."""
        try:
            return self._zip.open(name)
        except (zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
            raise FileError(f"'{name}' in the archive cannot be read.", got=str(error)) from None


class ArchiveWriter:
    """A zip archive whose members are stored as they are; the same contents give the same bytes."""

    def __init__(self, file: BinaryIO) -> None:
        self._zip = zipfile.ZipFile(file, "w", zipfile.ZIP_STORED)

    def __enter__(self) -> ArchiveWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self._zip.close()

    def write(self, name: str, contents: bytes) -> None:
        with self.open(name) as member:
            member.write(contents)

    def open(self, name: str) -> Any:
        """A stream to write a member of any size to."""
        return self._zip.open(zipfile.ZipInfo(name), "w", force_zip64=True)
