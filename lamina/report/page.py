"""One HTML file with everything inside it: it opens offline and can be mailed."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

_STYLE = """
:root { color-scheme: light dark;
  --text: #222; --soft: #666; --paper: #fff; --panel: #f4f4f6; --line: #d5d5da; }
@media (prefers-color-scheme: dark) {
  :root { --text: #ddd; --soft: #999; --paper: #16161a; --panel: #222228; --line: #3a3a42; }
}
body { font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem;
       color: var(--text); background: var(--paper); }
h1, h2 { font-weight: 600; line-height: 1.2; } h2 { margin-top: 2.5rem; }
img { max-width: 100%; background: #fff; border-radius: 4px; }
.numbers { display: flex; gap: 2.5rem; flex-wrap: wrap; margin: 1.5rem 0; color: var(--soft); }
.numbers b { display: block; font-size: 2rem; line-height: 1.2; color: var(--text); }
.wide { overflow-x: auto; background: var(--panel); padding: .5rem 1rem; border-radius: 4px;
        font-size: 13px; }
table { border-collapse: collapse; } th, td { padding: .25rem .5rem; text-align: left; vertical-align: top; }
.matrix td, .matrix th { text-align: right; min-width: 1.6rem; font-variant-numeric: tabular-nums; }
.matrix thead th { border-bottom: 1px solid var(--line); }
.cards { display: flex; gap: 1.25rem; flex-wrap: wrap; }
.card { border: 1px solid var(--line); border-radius: 4px; padding: .6rem; }
.card svg { width: 7rem; height: 7rem; margin-right: .4rem; }
.card p { margin: 0 0 .4rem; } small { color: var(--soft); }
"""

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<h1>{title}</h1>
<p>{introduction}</p>
<div class="numbers">{numbers}</div>
{sections}
</body>
</html>
"""


@dataclass(frozen=True)
class Section:
    """A part of a page: its heading, a sentence on how to read it (or ""), its content as HTML."""

    heading: str
    about: str
    content: str

    def __str__(self) -> str:
        about = f"<p>{html.escape(self.about)}</p>\n" if self.about else ""
        return f"<h2>{html.escape(self.heading)}</h2>\n{about}{self.content}"


def write_page(
    path: Path, title: str, introduction: str, numbers: Sequence[tuple[str, str]], sections: Sequence[Section]
) -> Path:
    """Write a self-contained page; returns its path.

    title, introduction: plain text. numbers: (what it is, the number as text), shown large.
    """
    shown = "".join(f"<div><b>{html.escape(value)}</b>{html.escape(what)}</div>" for what, value in numbers)
    text = _PAGE.format(
        title=html.escape(title),
        style=_STYLE,
        introduction=html.escape(introduction),
        numbers=shown,
        sections="\n".join(map(str, sections)),
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def curves(history: dict[str, list[float]]) -> str:
    """Training and validation curves, one panel per metric, as an image. Needs matplotlib."""
    from matplotlib.figure import Figure

    names = [name for name in history if not name.startswith("val_") and name != "learning_rate"]
    figure = Figure(figsize=(4.6 * len(names), 3.2), layout="constrained")
    for axis, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names):
        epochs = range(1, len(history[name]) + 1)
        marker = "o" if len(epochs) == 1 else None
        axis.plot(epochs, history[name], label="training", marker=marker)
        if f"val_{name}" in history:
            axis.plot(epochs, history[f"val_{name}"], label="validation", marker=marker)
        axis.set(title=name.replace("_", " "), xlabel="epoch")
        axis.grid(alpha=0.3)
        axis.legend()
    memory = io.BytesIO()
    figure.savefig(memory, format="png", dpi=144)
    data = base64.b64encode(memory.getvalue()).decode()
    alternative = html.escape("Curves over the epochs: " + ", ".join(names))
    return f'<img alt="{alternative}" src="data:image/png;base64,{data}">'


def matrix_table(matrix: Array) -> str:
    """A confusion matrix as a table: the right ones green, mistakes red, the more the stronger."""
    head = "".join(f"<th>{column}</th>" for column in range(len(matrix)))
    lines = [f'<table class="matrix"><thead><tr><th>truth</th>{head}<th>right</th></tr></thead><tbody>']
    for row, counts in enumerate(matrix):
        total = int(counts.sum())
        cells = "".join(
            _matrix_cell(int(count), count / (total or 1), row == column)
            for column, count in enumerate(counts)
        )
        share = f"{counts[row] / total:.1%}" if total else "-"
        lines.append(f"<tr><th>{row}</th>{cells}<td>{share}</td></tr>")
    return "\n".join([*lines, "</tbody></table>"])


def _matrix_cell(count: int, share: float, right: bool) -> str:
    if not count:
        return "<td><small>·</small></td>"
    colour = (
        f"rgba(60,160,80,{0.15 + 0.35 * share:.2f})" if right else f"rgba(220,50,50,{0.25 + 0.5 * share:.2f})"
    )
    return f'<td style="background:{colour}">{count}</td>'


def card(title: str, detail: str, pictures: Sequence[str]) -> str:
    """A title, small print, and pictures side by side."""
    return (
        f'<div class="card"><p>{html.escape(title)} <small>{html.escape(detail)}</small></p>'
        f"{''.join(pictures)}</div>"
    )


def cards(entries: Sequence[str]) -> str:
    return f'<div class="cards">{"".join(entries)}</div>'


def picture(image: Array, highest: float, name: str, signed: bool = False) -> str:
    """An image of few pixels as SVG: from black to white, or from blue over black to red.

    image: [rows, columns], from 0 to `highest`; with `signed` from -highest. name: what a screen reader says.
    """
    rows, columns = image.shape
    scaled = np.clip(np.asarray(image, float) / (highest or 1.0), -1.0 if signed else 0.0, 1.0)
    points = []
    for (y, x), value in np.ndenumerate(scaled):
        level = round(255 * abs(value))
        red, blue = (level if value > 0 else 0), (level if value < 0 else 0)
        colour = f"#{red:02x}00{blue:02x}" if signed else f"#{level:02x}{level:02x}{level:02x}"
        if level:
            points.append(f'<rect x="{x}" y="{y}" width="1" height="1" fill="{colour}"/>')
    return (
        f'<svg role="img" aria-label="{html.escape(name)}" viewBox="0 0 {columns} {rows}" '
        f'shape-rendering="crispEdges"><rect width="{columns}" height="{rows}" fill="#000"/>'
        f"{''.join(points)}</svg>"
    )


def wide(content: str) -> str:
    """HTML that may be wider than the page."""
    return f'<div class="wide">{content}</div>'
