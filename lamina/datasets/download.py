"""Where published files come from: a folder, the cache, or the network; whole, and with the right digest."""

from __future__ import annotations

import hashlib
import http.client
import os
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from lamina.core.config import config
from lamina.core.errors import DataError

_ATTEMPTS = 3
_CHUNK = 1 << 20
_TIMEOUT = 30.0  # seconds without a byte


@dataclass(frozen=True)
class Source:
    """A published file: its name, where it is published, its SHA-256 (MD5 if that is all there is).

    digest: in hexadecimal digits, None when nothing was published: then there is nothing to check.
    """

    name: str
    url: str
    digest: str | None


def obtain(source: Source, folder: str | os.PathLike[str] | None = None) -> Path:
    """The path of the file: in `folder` if given, else in the cache or Keras' own, else downloaded.

    Raises DataError when it is not there and cannot be downloaded, or is not the file that was published.

    >>> obtain(Source("mnist.npz", "https://.../mnist.npz", "731c5a..."), folder="data")
    """
    if folder is not None:
        path = Path(folder).expanduser() / source.name
        if not path.is_file():
            raise DataError(
                f"{source.name} is not in the folder given.",
                got=str(path.parent),
                fix=f"put the file from {source.url} there.",
            )
        return verified(path, source)
    for place in (cache_folder(), Path.home() / ".keras" / "datasets"):
        if (place / source.name).is_file():
            return verified(place / source.name, source)
    return download(
        source, cache_folder() / source.name, ", or name the folder it is in: load_data(folder=...)"
    )


def cache_folder() -> Path:
    """Where downloaded datasets are kept: `datasets` in lamina.config's cache_dir."""
    return config.cache_dir / "datasets"


def verified(path: Path, source: Source) -> Path:
    """`path`, whose content is that of the source. DataError if its digest says that it is not."""
    if source.digest is None:
        return path
    kind, shown = ("md5", "MD5") if len(source.digest) == 32 else ("sha256", "SHA-256")
    digest = _digest(path, kind)
    if digest != source.digest:
        raise DataError(
            f"{path} is not the file that was published: it is damaged, or something else.",
            expected=f"{shown} {source.digest}",
            got=f"{shown} {digest}",
            fix="delete it, and try again.",
        )
    return path


def _digest(path: Path, kind: str) -> str:
    digest = hashlib.new(kind, usedforsecurity=False)
    with path.open("rb") as file:
        while block := file.read(_CHUNK):
            digest.update(block)
    return digest.hexdigest()


def download(source: Source, target: Path, otherwise: str = "") -> Path:
    """Download to `target`, which appears, or is replaced, only when the file is whole and right.

    What an interrupted download left is continued, by later calls only if there is a digest, which alone can
    tell whether both halves are of the same file. otherwise: what else the user could do, for the message of
    the DataError that is raised when it fails.
    """
    partial = target.with_name(target.name + ".part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.digest is None:
            partial.unlink(missing_ok=True)
    except OSError as error:
        raise DataError(
            f"The folder for downloads, {target.parent}, cannot be made or written to.", got=str(error)
        ) from error
    if config.interactive_logging:
        print(f"Downloading {source.url}", file=sys.stderr)
    for attempt in range(_ATTEMPTS):
        try:
            _continue(source, partial)
            break
        except (OSError, ValueError, http.client.HTTPException) as error:  # ValueError: not a URL
            if attempt == _ATTEMPTS - 1 or isinstance(error, (urllib.error.HTTPError, ValueError)):
                raise _unreachable(source, target, partial, otherwise, error) from error
    try:
        verified(partial, source)
    except DataError:
        partial.unlink()
        raise
    os.replace(partial, target)
    return target


def _unreachable(source: Source, target: Path, partial: Path, otherwise: str, error: Exception) -> DataError:
    done = partial.stat().st_size if partial.exists() else 0
    kept = f", after {done} bytes, which are kept and continued next time" if done and source.digest else ""
    return DataError(
        f"{source.name} is not on this machine, and downloading it failed.",
        expected=f"{source.url}",
        got=f"{error}{kept}",
        fix=f"put the file into {target.parent}{otherwise}.",
    )


def _continue(source: Source, partial: Path) -> None:
    """Append to `partial` what it lacks of the published file."""
    done = partial.stat().st_size if partial.exists() else 0
    request = urllib.request.Request(source.url, headers={"Range": f"bytes={done}-"} if done else {})
    try:
        response = urllib.request.urlopen(request, timeout=_TIMEOUT)
    except urllib.error.HTTPError as error:
        if (
            error.code == 416 and done and source.digest
        ):  # nothing is lacking, or the file has changed: the checksum will say
            return
        raise
    with response, partial.open("ab" if response.status == 206 else "wb") as file:
        for block in _blocks(response):
            file.write(block)


def _blocks(response: IO[bytes]) -> Iterator[bytes]:
    """The body; IncompleteRead when the connection ends before it does."""
    left = response.length if isinstance(response, http.client.HTTPResponse) else None  # or a local file
    while block := response.read(_CHUNK):
        left = None if left is None else left - len(block)
        yield block
    if left:
        raise http.client.IncompleteRead(b"", left)
