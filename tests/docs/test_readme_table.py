"""The comparison in the README is what was measured."""

from __future__ import annotations

import documents
import pytest

from benchmarks import readme

MACHINE = {"processor": "P", "cores": 2, "system": "S", "python": "3.11", "date": "2026-01-02"}
MEASURED = [
    {
        "machine": MACHINE,
        "results": {
            "one": {"median": {"limit": 5e-6, "lamina": 1e-5, "pytorch": 4e-5, "keras_jax": 5e-5}},
            "alone": {"median": {"lamina": 2e-3, "limit": 1e-3}},
        },
    },
    {"machine": MACHINE, "results": {"two": {"median": {"lamina": 2e-3, "jax_scan": 1e-3}}}},
]


def test_table():
    assert readme.table(MEASURED).splitlines() == [
        "| a training step | Lamina | the fastest peer | times as fast |",
        "| --- | ---: | ---: | ---: |",
        "| one | **10.0 us** | 40.0 us, PyTorch | 4.0 |",
        "| two | **2.00 ms** | 1.00 ms, JAX, an epoch under one scan | 0.5 |",
        "",
        "Measured on P, 2 cores, S, 2026-01-02.",
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
    assert shown == readme.table(readme.committed()), "run: python -m benchmarks.readme"
