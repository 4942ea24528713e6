"""Puts the measured comparison of benchmarks/results/mlp.json into the README, between its two marks.

python -m benchmarks.readme
"""

from __future__ import annotations

import json
import sys
from typing import Any

from benchmarks.harness import LIMIT, OURS, RESULTS, ROOT, duration

START, END = "<!-- benchmark:start -->", "<!-- benchmark:end -->"
NAMES = {
    OURS: "Lamina",
    "jax_scan": "JAX, an epoch under one scan",
    "keras_jax": "Keras on JAX",
    "pytorch": "PyTorch",
    "scikit_learn": "scikit-learn",
    LIMIT: "The multiply-adds alone, in registers",
}


def table(measured: dict[str, Any]) -> str:
    """The results as Markdown: a row for each contestant, a column for each task, and the machine below."""
    tasks = {name: result["median"] for name, result in measured["results"].items() if "median" in result}
    contestants = [name for name in NAMES if any(name in medians for medians in tasks.values())]
    lines = ["| | " + " | ".join(tasks) + " |", "| --- |" + " ---: |" * len(tasks)]
    for name in contestants:
        cells = [_cell(medians, name) for medians in tasks.values()]
        lines.append(f"| {NAMES[name]} | " + " | ".join(cells) + " |")
    machine = measured["machine"]
    about = f"{machine['processor']}, {machine['cores']} cores, {machine['system']}, {machine['date']}."
    return "\n".join([*lines, "", f"In brackets: how many times Lamina is as fast. Measured on {about}"])


def _cell(medians: dict[str, float], name: str) -> str:
    if name not in medians:
        return "-"
    time = duration(medians[name])
    if name == OURS:
        return f"**{time}**"
    return time if name == LIMIT else f"{time} ({medians[name] / medians[OURS]:.1f})"


def fill(readme: str, measured: dict[str, Any]) -> str:
    """The README's text with the table between its marks; ValueError when they are missing."""
    before, _, rest = readme.partition(START)
    _, mark, after = rest.partition(END)
    if not mark:
        raise ValueError(f"The README lacks the marks {START} and {END}.")
    return f"{before}{START}\n{table(measured)}\n{END}{after}"


def main() -> None:
    results, readme = RESULTS / "mlp.json", ROOT / "README.md"
    if not results.exists():
        sys.exit(f"{results} does not exist: python -m benchmarks.mlp measures it.")
    text = fill(readme.read_text(encoding="utf-8"), json.loads(results.read_text(encoding="utf-8")))
    readme.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
