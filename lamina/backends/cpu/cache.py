"""Compiled programs on disk: content-addressed, checked, written atomically, in a directory of the user's
own.

An entry is one file: a checksum, a JSON head (what the runtime must know), the machine code. Anything
unexpected - a damaged file, another version, a directory that others may write to - is a miss, never an
error.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import tempfile
from functools import lru_cache
from pathlib import Path
from typing import Any

from lamina.core.config import config
from lamina.core.version import __version__

MAGIC = b"LAMINA1\n"
LARGEST_TOTAL = 512 << 20  # bytes kept; the entries not used for longest go first


def directory() -> Path | None:
    """Where entries are kept, made if need be; None when it cannot be trusted or written."""
    path = config.cache_dir / "code"
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        if hasattr(os, "getuid"):
            status = path.stat()
            if status.st_uid != os.getuid() or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
                return None
    except OSError:
        return None
    return path


def key(*parts: str | bytes) -> str:
    """The name of an entry: a digest of everything its content depends on."""
    digest = hashlib.blake2b(digest_size=20)
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8, "little") + data)
    return digest.hexdigest()


@lru_cache(maxsize=1)
def revisions() -> tuple[str, ...]:
    """What all code depends on besides its key: the version, llvmlite's, and this compiler's own sources.

    The package alone loads nothing of LLVM; importlib.metadata would take twenty times as long.
    """
    import llvmlite

    package = Path(__file__).parents[2]
    sources = [
        *sorted((package / "backends" / "cpu").glob("*.py")),
        *sorted((package / "passes").glob("*.py")),
    ]
    stamps = [f"{path.name} {path.stat().st_size} {path.stat().st_mtime_ns}" for path in sources]
    return __version__, str(llvmlite.__version__), *stamps


def read(name: str) -> tuple[dict[str, Any], bytes] | None:
    """(head, code) of an entry, or None."""
    where = directory()
    if where is None:
        return None
    path = where / name
    try:
        data = path.read_bytes()
        body = data[len(MAGIC) + 20 :]
        if data[: len(MAGIC)] != MAGIC or _checksum(body) != data[len(MAGIC) : len(MAGIC) + 20]:
            return None
        length = int.from_bytes(body[:8], "little")
        head = json.loads(body[8 : 8 + length])
        os.utime(path)
    except (OSError, ValueError):
        return None
    return head, body[8 + length :]


def write(name: str, head: dict[str, Any], code: bytes) -> None:
    """Keep an entry; a full disk or a read-only home only means that nothing is kept."""
    where = directory()
    if where is None:
        return
    text = json.dumps(head).encode()
    body = len(text).to_bytes(8, "little") + text + code
    try:
        handle, temporary = tempfile.mkstemp(dir=where, prefix=".new-")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(MAGIC + _checksum(body) + body)
            os.replace(temporary, where / name)
        except OSError:
            os.unlink(temporary)
    except OSError:
        return
    _trim(where)


def _trim(where: Path) -> None:
    """Drop the entries that were not used for longest once there are too many bytes."""
    try:
        with os.scandir(where) as listing:
            entries = [(entry.stat(), entry.path) for entry in listing if entry.is_file()]
        total = sum(status.st_size for status, _ in entries)
        if total <= LARGEST_TOTAL:
            return
        for status, path in sorted(entries, key=lambda entry: entry[0].st_mtime):
            os.unlink(path)
            total -= status.st_size
            if total <= LARGEST_TOTAL // 2:
                return
    except OSError:
        return


def _checksum(body: bytes) -> bytes:
    return hashlib.blake2b(body, digest_size=20).digest()
