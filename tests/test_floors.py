"""A package imports only from its own floor and lower ones; imports inside functions count too."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import lamina

ROOT = Path(lamina.__file__).parent

# Which floor a room is on (DESIGN, "Floors and rooms"). A new room is entered here.
FLOORS: tuple[tuple[str, ...], ...] = (
    ("core", "config", "tree", "dtype_policies"),
    ("ir",),
    ("interp", "grad", "ops"),
    ("passes",),
    ("backends", "function", "ids"),
    (
        "variables",
        "initializers",
        "regularizers",
        "constraints",
        "activations",
        "random",
        "losses",
        "metrics",
        "optimizers",
        "layers",
        "mixed_precision",
    ),
    ("training", "callbacks"),
    ("models", "saving", "export"),
    (
        "datasets",
        "report",
        "utils",
        "preprocessing",
        "backend",
        "explain",
        "visualization",
        "wrappers",
        "cli",
        "__main__",
    ),
)
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
TOP = len(FLOORS)

# Forbidden although the floors would allow it.
NEVER = {"backends": {"ops"}, "grad": {"interp", "ops"}}


def modules() -> list[Path]:
    return sorted(path for path in ROOT.rglob("*.py") if path.parent != ROOT or path.name != "__init__.py")


def room_of(path: Path) -> str:
    return path.relative_to(ROOT).with_suffix("").parts[0]


def imported_rooms(path: Path) -> list[tuple[int, str]]:
    """(line, room) of every import of Lamina in a file."""
    found: list[tuple[int, str]] = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level:
            package = ("lamina", *path.relative_to(ROOT).parts[: -node.level])
            names = [".".join((*package, *filter(None, [node.module])))]
            names = [f"{names[0]}.{alias.name}" for alias in node.names] if names == ["lamina"] else names
        elif isinstance(node, ast.ImportFrom):
            is_top = node.module == "lamina"
            names = [f"lamina.{alias.name}" for alias in node.names] if is_top else [str(node.module)]
        else:
            continue
        found += [(node.lineno, name.split(".")[1]) for name in names if name.startswith("lamina.")]
    return found


def test_every_room_has_a_floor():
    assert {room_of(path) for path in modules()} - FLOOR.keys() == set()


@pytest.mark.parametrize("room", sorted({room_of(path) for path in modules()}))
def test_imports_come_from_the_same_floor_or_below(room):
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {imported}"
        for path in modules()
        if room_of(path) == room
        for line, imported in imported_rooms(path)
        if FLOOR.get(imported, TOP) > FLOOR.get(room, TOP) or imported in NEVER.get(room, ())
    ]
    assert not wrong, "\n".join(wrong)


def test_an_upward_import_would_be_found(tmp_path, monkeypatch):
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    (tmp_path / "ir").mkdir()
    (tmp_path / "ir" / "wrong.py").write_text(
        "import lamina.core.errors\n"
        "def late():\n"
        "    from lamina.layers import Dense\n"
        "    from lamina import ops\n"
        "    from ..grad import rules\n",
        encoding="utf-8",
    )
    assert imported_rooms(tmp_path / "ir" / "wrong.py") == [
        (1, "core"),
        (3, "layers"),
        (4, "ops"),
        (5, "grad"),
    ]
