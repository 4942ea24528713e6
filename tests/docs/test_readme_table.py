"""The comparison in the README is what was measured."""

from __future__ import annotations

import json

import documents
import pytest

from benchmarks import readme
from benchmarks.harness import RESULTS

MEASURED = {
    "machine": {"processor": "P", "cores": 2, "system": "S", "python": "3.11", "date": "2026-01-02"},
    "results": {
        "one": {"median": {"limit": 5e-6, "lamina": 1e-5, "pytorch": 4e-5}},
        "two": {"median": {"lamina": 2e-3}},
    },
}


def test_table():
    assert readme.table(MEASURED).splitlines() == [
        "| | one | two |",
        "| --- | ---: | ---: |",
        "| Lamina | **10.0 us** | **2.00 ms** |",
        "| PyTorch | 40.0 us (4.0) | - |",
        "| The multiply-adds alone, in registers | 5.0 us | - |",
        "",
        "In brackets: how many times Lamina is as fast. Measured on P, 2 cores, S, 2026-01-02.",
    ]


def test_filling_twice_changes_nothing():
    text = f"before\n{readme.START}\nold\n{readme.END}\nafter"
    once = readme.fill(text, MEASURED)
    assert once.startswith("before\n")
    assert once.endswith("\nafter")
    assert "old" not in once
    assert readme.fill(once, MEASURED) == once


def test_marks_must_be_there():
    with pytest.raises(ValueError, match="marks"):
        readme.fill("nothing", MEASURED)


def test_the_readme_shows_the_committed_results():
    text = (documents.ROOT / "README.md").read_text(encoding="utf-8")
    shown = text.partition(readme.START)[2].partition(readme.END)[0].strip()
    if not shown:
        return  # not measured yet
    measured = json.loads((RESULTS / "mlp.json").read_text(encoding="utf-8"))
    assert shown == readme.table(measured), "run: python -m benchmarks.readme"
