"""`lamina cache`: the compiled programs on disk, seen from outside."""

from __future__ import annotations

from pathlib import Path

from lamina.core.config import config


def entries() -> list[Path]:
    """The files of the cache, also those left behind by a process that was killed while writing."""
    folder = config.cache_dir / "code"
    return [path for path in folder.iterdir() if path.is_file()] if folder.is_dir() else []


def describe() -> str:
    """Where it is and how much it holds, in one line."""
    sizes = [path.stat().st_size for path in entries()]
    return f"{config.cache_dir / 'code'} ({len(sizes)} entries, {sum(sizes) / 1e6:.1f} MB)"


def clear() -> str:
    """Delete every entry; says how many and how much that was. Programs in memory are not touched."""
    deleted = freed = 0
    for path in entries():
        size = path.stat().st_size
        try:
            path.unlink()
        except OSError:  # in use, or not ours
            continue
        deleted, freed = deleted + 1, freed + size
    return f"{deleted} entries deleted, {freed / 1e6:.1f} MB freed."
