"""Documents that are run: what their Python blocks print must be what the text shows.

All ```python blocks of a file share one namespace. A block of `>>>` lines is a doctest. What any other block
prints is compared with the block of another language that follows it; `...` stands for anything. Of an ```asm
block only the instructions' names are compared, since every release of LLVM numbers registers its own way.

    python tests/docs/documents.py docs/index.md    # puts what the blocks print now into the file
"""

from __future__ import annotations

import contextlib
import doctest
import io
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
OUTPUTS = ("text", "llvm", "asm")

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass
class Block:
    """One fenced block: its language, its text, the line it starts on, and its place in the file."""

    language: str
    text: str
    line: int
    span: tuple[int, int]


class MismatchError(AssertionError):
    """A document shows something else than what its code does."""


def blocks(text: str) -> list[Block]:
    return [
        Block(found[1], found[2], text.count("\n", 0, found.start()) + 2, found.span(2))
        for found in _FENCE.finditer(text)
    ]


def run(path: Path, update: bool = False) -> int:
    """Run the document; returns how many blocks were run. MismatchError says where it is wrong."""
    source = path.read_text(encoding="utf-8")
    namespace: dict[str, Any] = {"__name__": "__main__"}
    found = blocks(source)
    replacements: list[tuple[tuple[int, int], str]] = []
    count = 0
    for block, following in zip(found, [*found[1:], None]):
        if block.language != "python":
            continue
        count += 1
        where = f"{path.relative_to(ROOT) if path.is_relative_to(ROOT) else path}:{block.line}"
        if block.text.startswith(">>>"):
            _doctest(block.text, namespace, where, block.line)
            continue
        printed = _execute(block.text, namespace, where, block.line)
        shown = following if following is not None and following.language in OUTPUTS else None
        if update and shown is not None and "..." not in shown.text:
            replacements.append((shown.span, printed))
        elif not _agree(shown, printed):
            text = shown.text if shown is not None else "(nothing)"
            raise MismatchError(f"{where} prints\n{printed}\nbut shows\n{text}")
    for (start, stop), text in reversed(replacements):
        source = source[:start] + text + source[stop:]
    if replacements:
        path.write_text(source, encoding="utf-8")
    return count


def _execute(text: str, namespace: dict[str, Any], where: str, line: int) -> str:
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        # The line numbers of tracebacks are those of the file.
        exec(compile("\n" * (line - 1) + text, where, "exec"), namespace)
    return "".join(f"{each.rstrip()}\n" for each in output.getvalue().splitlines())


def _agree(shown: Block | None, printed: str) -> bool:
    if shown is None:
        return not printed
    if shown.language == "asm":
        return _instructions(shown.text) == _instructions(printed)
    return doctest.OutputChecker().check_output(shown.text, printed, doctest.ELLIPSIS)


def _instructions(text: str) -> list[str]:
    return [line.split()[0] for line in text.splitlines() if line.strip()]


def _doctest(text: str, namespace: dict[str, Any], where: str, line: int) -> None:
    test = doctest.DocTestParser().get_doctest(text, namespace, where, where, line)
    report = io.StringIO()
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    results = runner.run(test, out=report.write, clear_globs=False)
    namespace.update(test.globs)
    if results.failed:
        raise MismatchError(f"{where}\n{report.getvalue()}")


if __name__ == "__main__":
    for name in sys.argv[1:]:
        print(f"{name}: {run(Path(name).resolve(), update=True)} blocks")
