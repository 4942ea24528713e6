"""Puts the measured comparison of benchmarks/results/*.json into the README, between its two marks.

python -m benchmarks.readme
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from benchmarks.harness import LIMIT, OURS, RESULTS, ROOT, duration

START, END = "<!-- benchmark:start -->", "<!-- benchmark:end -->"
SCRIPTS = ("mlp", "convnet", "recurrent", "transformer")
NAMES = {
    "jax_scan": "JAX, an epoch under one scan",
    "jax_recurrent": "JAX, an epoch under one scan",
    "keras_jax": "Keras on JAX",
    "keras_tensorflow": "Keras on TensorFlow",
    "keras_torch": "Keras on PyTorch",
    "pytorch": "PyTorch",
    "scikit_learn": "scikit-learn",
}


def table(measured: Sequence[dict[str, Any]]) -> str:
    """The results as Markdown: a row for each training step, and the machine below."""
    lines = [
        "| a training step | Lamina | the fastest peer | times as fast |",
        "| --- | ---: | ---: | ---: |",
    ]
    for title, medians in _steps(measured):
        ours = medians[OURS]
        peers = {name: time for name, time in medians.items() if name not in (OURS, LIMIT)}
        peer = min(peers, key=lambda name: peers[name])
        shown = f"{duration(peers[peer])}, {NAMES.get(peer, peer)}"
        lines.append(f"| {title} | **{duration(ours)}** | {shown} | {peers[peer] / ours:.1f} |")
    machine = measured[0]["machine"]
    about = f"{machine['processor']}, {machine['cores']} cores, {machine['system']}, {machine['date']}"
    return "\n".join([*lines, "", f"Measured on {about}."])


def _steps(measured: Sequence[dict[str, Any]]) -> Iterator[tuple[str, dict[str, float]]]:
    """The tasks in which a peer took part, with the median of each contestant."""
    for results in measured:
        for title, result in results["results"].items():
            medians = result.get("median", {})
            if medians.keys() - {OURS, LIMIT}:
                yield title, medians


def committed() -> list[dict[str, Any]]:
    """What the scripts wrote last, in the order of the table."""
    paths = [RESULTS / f"{name}.json" for name in SCRIPTS]
    return [json.loads(path.read_text(encoding="utf-8")) for path in paths if path.exists()]


def fill(readme: str, measured: Sequence[dict[str, Any]]) -> str:
    """The README's text with the table between its marks; ValueError when they are missing."""
    before, _, rest = readme.partition(START)
    _, mark, after = rest.partition(END)
    if not mark:
        raise ValueError(f"The README lacks the marks {START} and {END}.")
    return f"{before}{START}\n{table(measured)}\n{END}{after}"


def main() -> None:
    readme, measured = ROOT / "README.md", committed()
    if not measured:
        sys.exit("There are no results yet: python -m benchmarks.mlp, for one, measures some.")
    text = fill(readme.read_text(encoding="utf-8"), measured)
    readme.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
