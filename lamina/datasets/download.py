"""Where the files of a dataset come from: a folder, the cache, or the network, always checked by SHA-256."""

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

from lamina.core.config import config
from lamina.core.errors import DataError

_ATTEMPTS = 3
_CHUNK = 1 << 20
_TIMEOUT = 30.0  # seconds without a byte


@dataclass(frozen=True)
class Source:
    """A published file: its name, where it is published, its SHA-256 (MD5 if that is all there is)."""

    name: str
    url: str
    sha256: str


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
        return _verified(path, source)
    for place in (cache_folder(), Path.home() / ".keras" / "datasets"):
        if (place / source.name).is_file():
            return _verified(place / source.name, source)
    return _download(source, cache_folder() / source.name)


def cache_folder() -> Path:
    """Where downloaded datasets are kept: `datasets` in lamina.config's cache_dir."""
    return config.cache_dir / "datasets"


def _verified(path: Path, source: Source) -> Path:
    kind, shown = ("md5", "MD5") if len(source.sha256) == 32 else ("sha256", "SHA-256")
    digest = _digest(path, kind)
    if digest != source.sha256:
        raise DataError(
            f"{path} is not the file that was published: it is damaged, or something else.",
            expected=f"{shown} {source.sha256}",
            got=f"{shown} {digest}",
            fix="delete it, and load the dataset again.",
        )
    return path


def _digest(path: Path, kind: str) -> str:
    digest = hashlib.new(kind, usedforsecurity=False)
    with path.open("rb") as file:
        while block := file.read(_CHUNK):
            digest.update(block)
    return digest.hexdigest()


def _download(source: Source, target: Path) -> Path:
    """Download to `target`, which appears only when it is whole and right; a partial file is continued."""
    partial = target.with_name(target.name + ".part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(
            f"The folder for datasets, {target.parent}, cannot be made.", got=str(error)
        ) from error
    if config.interactive_logging:
        print(f"Downloading {source.url}", file=sys.stderr)
    for attempt in range(_ATTEMPTS):
        try:
            _continue(source.url, partial)
            break
        except (OSError, http.client.HTTPException) as error:
            if attempt == _ATTEMPTS - 1 or isinstance(error, urllib.error.HTTPError):
                raise _unreachable(source, target, partial, error) from error
    try:
        _verified(partial, source)
    except DataError:
        partial.unlink()
        raise
    os.replace(partial, target)
    return target


def _unreachable(source: Source, target: Path, partial: Path, error: Exception) -> DataError:
    done = partial.stat().st_size if partial.exists() else 0
    return DataError(
        f"{source.name} is not on this machine, and downloading it failed.",
        expected=f"{source.url}",
        got=f"{error}" + (f", after {done} bytes, which are kept and continued next time" if done else ""),
        fix=f"put the file into {target.parent}, or name the folder it is in: load_data(folder=...).",
    )


def _continue(url: str, partial: Path) -> None:
    """Append to `partial` what it lacks of the file at `url`."""
    done = partial.stat().st_size if partial.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={done}-"} if done else {})
    try:
        response = urllib.request.urlopen(request, timeout=_TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code == 416 and done:  # nothing is lacking, or the file has changed: the checksum will say
            return
        raise
    with response, partial.open("ab" if response.status == 206 else "wb") as file:
        for block in _blocks(response):
            file.write(block)


def _blocks(response: http.client.HTTPResponse) -> Iterator[bytes]:
    """The body; IncompleteRead when the connection ends before it does."""
    left = response.length
    while block := response.read(_CHUNK):
        left = None if left is None else left - len(block)
        yield block
    if left:
        raise http.client.IncompleteRead(b"", left)
