"""Archives: their files are written into one folder, and never outside of it."""

from __future__ import annotations

import os
import shutil
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

from lamina.core.errors import ArgumentError, DataError

# What opening and reading a damaged, encrypted or circular archive raises.
_DAMAGED = (
    tarfile.TarError, zipfile.BadZipFile, zlib.error, OSError, EOFError, KeyError, NotImplementedError,
    RuntimeError, ValueError,
)  # fmt: skip


def extract(archive: Path, folder: Path, kinds: str | Sequence[str] | None = "auto") -> None:
    """Write the files of a tar archive (compressed or not) or a zip archive into `folder`.

    kinds: "tar", "zip", several of them to be tried in turn, or "auto" for all. Links become copies of the
    file in the archive that they name; rights and owners are not restored. Files that are in `folder` already
    are replaced, others stay. All files are read before the first one appears there.

    Raises DataError when it is no such archive, is damaged, or has a member that would lie outside the folder
    or is neither file nor folder, and then leaves `folder` as it was. ArgumentError for unknown kinds.

    >>> extract(Path("flowers.tar.gz"), Path("flowers"))
    """
    names = kinds_of(kinds)
    if folder.exists() and not folder.is_dir():
        raise DataError(f"{folder} is a file; the folder of {archive} should be there.", fix="remove it.")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f"{folder.name}.", dir=folder.parent) as made:
        inside = Path(made) / "files"
        inside.mkdir()
        try:
            if "tar" in names and tarfile.is_tarfile(archive):
                _write(inside, _tar_members(archive))
            elif "zip" in names and zipfile.is_zipfile(archive):
                _write(inside, _zip_members(archive))
            else:
                raise DataError(f"{archive} is not an archive.", expected=" or ".join(names))
        except DataError:
            raise
        except _DAMAGED as error:
            raise DataError(
                f"The archive {archive} cannot be read.", got=f"{type(error).__name__}: {error}"
            ) from error
        _move(inside, folder)


def kinds_of(kinds: str | Sequence[str] | None) -> list[str]:
    """The kinds as a list. ArgumentError if it is empty or names others than "tar" and "zip"."""
    names = ["tar", "zip"] if kinds == "auto" else [kinds] if isinstance(kinds, str) else list(kinds or ())
    if not names or not {"tar", "zip"}.issuperset(names):
        raise ArgumentError(
            "Archives are opened as tar or zip files.",
            expected='archive_format="auto", "tar", "zip", or a list of them',
            got=repr(kinds),
        )
    return names


def _tar_members(archive: Path) -> Iterator[tuple[str, IO[bytes] | None]]:
    """(name, content, or None for a folder)."""
    with tarfile.open(archive) as tar:
        for member in tar:
            if member.isdir():
                yield member.name, None
                continue
            content = tar.extractfile(member)  # of a link: the file it names, KeyError if that is not inside
            if content is None:
                raise DataError(
                    f"{archive} has a member that is not written: {member.name}.",
                    expected="files, folders, and links to files of the archive",
                )
            with content:
                yield member.name, content


def _zip_members(archive: Path) -> Iterator[tuple[str, IO[bytes] | None]]:
    """(name, content, or None for a folder)."""
    with zipfile.ZipFile(archive) as file:
        for member in file.infolist():
            if member.is_dir():
                yield member.filename, None
                continue
            with file.open(member) as content:
                yield member.filename, content


def _write(folder: Path, members: Iterator[tuple[str, IO[bytes] | None]]) -> None:
    for name, content in members:
        if Path(name).anchor or ".." in Path(name).parts:
            raise DataError(
                "The archive has a member that would lie outside of its folder; nothing was written.",
                got=repr(name),
                fix="do not trust this archive.",
            )
        path = folder / name
        if content is None:
            path.mkdir(parents=True, exist_ok=True)
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            shutil.copyfileobj(content, file, 1 << 20)


def _move(source: Path, target: Path) -> None:
    """Everything in the folder `source` to the folder `target`."""
    if not target.is_dir():
        os.replace(source, target)
        return
    for entry in source.iterdir():
        if entry.is_dir():
            _move(entry, target / entry.name)
        else:
            os.replace(entry, target / entry.name)
