"""Files of layers' own beside the weights: the hooks `save_assets` and `load_assets` of Keras.

The hooks get a temporary folder of their own. Layers of Lamina keep such things in their configs.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from lamina.core.errors import FileError
from lamina.saving.archive import ArchiveReader, ArchiveWriter
from lamina.saving.walk import parts

_FOLDER = "assets/"
_LARGEST = 1 << 30  # bytes of one file


def _has_own(target: Any, hook: str) -> bool:
    """Whether a user's class has the hook."""
    found = getattr(type(target), hook, None)
    return found is not None and not found.__module__.startswith("lamina.")


def write(archive: ArchiveWriter, model: Any) -> None:
    """Put what the layers of a model write into the archive."""
    for path, target in parts(model):
        if not _has_own(target, "save_assets"):
            continue
        with tempfile.TemporaryDirectory() as folder:
            target.save_assets(folder)
            for file in sorted(Path(folder).rglob("*")):
                if file.is_file():
                    name = file.relative_to(folder).as_posix()
                    archive.write(f"{_FOLDER}{path}/{name}", file.read_bytes())


def read(archive: ArchiveReader) -> dict[str, bytes]:
    """The files by path. FileError for names that would lead elsewhere."""
    found = {}
    for name in archive.names:
        if name.startswith(_FOLDER) and not name.endswith("/"):
            steps = name[len(_FOLDER) :].split("/")
            if any(step in ("", ".", "..") or "\\" in step or ":" in step for step in steps):
                raise FileError("A file of a layer has a name that leads elsewhere.", got=repr(name))
            found[name[len(_FOLDER) :]] = archive.read(name, _LARGEST)
    return found


def restore(model: Any, files: dict[str, bytes]) -> None:
    """Give the layers that have the hook their files, in a folder that is gone after the call."""
    for path, target in parts(model) if files else ():
        if not _has_own(target, "load_assets"):
            continue
        prefix = f"{path}/" if path else ""
        with tempfile.TemporaryDirectory() as folder:
            for name, contents in files.items():
                if name.startswith(prefix):
                    place = Path(folder, *name[len(prefix) :].split("/"))
                    place.parent.mkdir(parents=True, exist_ok=True)
                    place.write_bytes(contents)
            target.load_assets(folder)
