"""The table in docs/keras.md of which public names of Keras are there, which differ, and which are left out.

`python tests/keras_scripts/names_table.py` writes it anew; test_names_table.py checks that it is true.
"""

import re
from fnmatch import fnmatchcase
from pathlib import Path

from left_out import LEFT_OUT
from public_names import DIFFERENCES

import lamina

FACTS = Path(__file__).parent / "keras_names.txt"
PAGE = Path(__file__).parents[2] / "docs" / "keras.md"
BEGIN, END = "<!-- table of names: begin -->\n", "<!-- table of names: end -->\n"


def names_by_room():
    """Room to names: "ops.nn" to ["relu", ...]; "" is the package itself."""
    rooms = {}
    for line in FACTS.read_text().splitlines():
        if not line.startswith("#"):
            room, _, name = line.rpartition(".")
            rooms.setdefault(room, []).append(name)
    return rooms


def exists(path):
    thing = lamina
    for part in path.split("."):
        thing = getattr(thing, part, None)
    return thing is not None


def reason(path):
    """Why a name is left out."""
    return next(why for patterns, why in LEFT_OUT if any(fnmatchcase(path, p) for p in patterns.split()))


def differing():
    """Name to (parameters of Keras only, of Lamina only, why), as far as a user can notice them."""
    found = {}
    for pattern, theirs, ours, why in DIFFERENCES:
        if "*" not in pattern and (theirs or ours) and not why.startswith(("taken as", "the same", "Keras")):
            found[pattern] = (theirs, ours, why)
    return found


def table():
    """The Markdown between the two marks."""
    lines = ["| room | there | left out |", "| --- | --- | --- |"]
    for room, names in sorted(names_by_room().items()):
        missing = {}
        for name in names:
            path = f"{room}.{name}".lstrip(".")
            if not exists(path):
                missing.setdefault(reason(path), []).append(name)
        left = "; ".join(
            f"{why}: {', '.join(f'`{name}`' for name in found)}" for why, found in missing.items()
        )
        count = len(names) - sum(map(len, missing.values()))
        lines.append(f"| `keras{'.' * bool(room)}{room}` | {count} of {len(names)} | {left} |")
    lines += ["", "Of the names that are there, these take other arguments:", ""]
    lines += ["| name | without | beyond Keras | why |", "| --- | --- | --- | --- |"]
    for path, (theirs, ours, why) in sorted(differing().items()):
        without, beyond = (", ".join(f"`{name}`" for name in text.split()) for text in (theirs, ours))
        lines.append(f"| `{path}` | {without} | {beyond} | {why} |")
    return "\n".join(lines) + "\n"


def written(page):
    """The page with the table of now."""
    return re.sub(f"{BEGIN}.*{END}", lambda _: BEGIN + "\n" + table() + "\n" + END, page, flags=re.DOTALL)


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
