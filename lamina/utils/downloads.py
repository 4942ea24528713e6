"""Files from the network, kept in the cache."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from lamina.core.config import config
from lamina.core.errors import ArgumentError, DataError
from lamina.datasets.download import Source, download, verified
from lamina.utils.archives import extract as extract_archive
from lamina.utils.archives import kinds_of

_DIGITS = {"md5": 32, "sha256": 64}


def get_file(
    fname: str | os.PathLike[str] | None = None,
    origin: str | None = None,
    untar: bool = False,
    md5_hash: str | None = None,
    file_hash: str | None = None,
    cache_subdir: str | os.PathLike[str] = "datasets",
    hash_algorithm: str = "auto",
    extract: bool = False,
    archive_format: str | Sequence[str] | None = "auto",
    cache_dir: str | os.PathLike[str] | None = None,
    force_download: bool = False,
) -> str:
    """The path of the file at the URL `origin`, downloaded unless it is in the cache, or of what it contains.

    fname: its name in the cache, by default that of the URL. cache_subdir: the folder in `cache_dir`, which
    is that of `lamina.config` by default; an absolute path stands for both. file_hash: the SHA-256 or MD5 it
    must have, 64 or 32 hexadecimal digits; hash_algorithm: "sha256", "md5", or "auto", which counts them. A
    file in the cache with another one is downloaded again, as every file is with force_download.

    extract: unpack the archive, and return its folder: `fname` if that has no extension, else what is before
    the first dot and "_extracted", or without `fname` the name in the URL. archive_format: as `extract` of
    lamina.utils.archives takes it. untar, md5_hash: old names of extract (of tar files) and file_hash.

    A file appears in the cache only when it is whole; an interrupted download is continued. Raises DataError
    when the file cannot be had, has another hash, or is an archive that is damaged or leaves its folder.

    >>> get_file(origin="https://example.org/flowers.tgz", extract=True, file_hash="0f5c...")
    '/home/ada/.cache/lamina/datasets/flowers.tgz'
    """
    if origin is None:
        raise ArgumentError("get_file needs `origin`, the URL of the file.")
    name = os.fspath(fname) if fname else os.path.basename(urlsplit(origin).path)
    if name in ("", ".", "..") or Path(name).name != name:
        raise ArgumentError(
            "get_file needs the name of a file, without a folder.",
            got=f"fname={name!r}" if fname else f"origin={origin!r}",
            fix="give the folder as cache_dir and cache_subdir." if fname else "pass fname.",
        )
    digest = _digest(md5_hash, "md5") if file_hash is None else _digest(file_hash, hash_algorithm)
    folder = (Path(cache_dir) if cache_dir is not None else config.cache_dir).expanduser() / cache_subdir
    extracting = extract or untar
    kinds = kinds_of("tar" if untar else archive_format) if extracting else []
    bare = extracting and not (fname and "." in name)
    target = folder / (f"{name}_archive" if bare else name)
    _bring(Source(name, origin, digest), target, force_download)
    if not extracting:
        return str(target)
    unpacked = folder / (name if bare else f"{name.partition('.')[0]}_extracted")
    extract_archive(target, unpacked, kinds)
    return str(unpacked)


def _digest(hexadecimal: str | None, algorithm: str) -> str | None:
    """The digest in small letters. ArgumentError if it cannot be one of this algorithm."""
    if algorithm not in ("auto", *_DIGITS):
        raise ArgumentError(f"Unknown hash_algorithm {algorithm!r}.", expected='"auto", "sha256" or "md5"')
    if hexadecimal is None:
        return None
    lengths = _DIGITS.values() if algorithm == "auto" else [_DIGITS[algorithm]]
    if len(hexadecimal) not in lengths or not re.fullmatch("[0-9a-fA-F]*", hexadecimal):
        raise ArgumentError(
            "This is not the hash of a file.",
            expected=f"{' or '.join(map(str, sorted(lengths)))} hexadecimal digits",
            got=repr(hexadecimal),
        )
    return hexadecimal.lower()


def _bring(source: Source, target: Path, force: bool) -> None:
    """See to it that `target` is the file of the source."""
    if target.exists() and not force:
        try:
            verified(target, source)
            return
        except DataError:
            if config.interactive_logging:
                print(f"{target} is not the file with this hash: downloading it again.", file=sys.stderr)
    download(source, target)
