"""Tables and pictures made of characters, for any terminal: with colours, without, and ASCII only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

Array = np.ndarray[Any, Any]

_SHADES = " ░▒▓█"
_ASCII_SHADES = " .:+#"
_FOR, _AGAINST = " +#", " -="


def confusion_table(matrix: Array, console: Console) -> Table:
    """The confusion matrix as a table: what is right on the diagonal in green, mistakes in red.

    matrix: [classes, classes], rows the truth, columns what was read. The last column is the share of a
    class's rows that were read right.
    """
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("truth", style="bold", justify="right")
    for column in range(len(matrix)):
        table.add_column(str(column), justify="right", min_width=3)
    table.add_column("right", justify="right")
    nothing = "." if console.options.ascii_only else "·"
    for row, counts in enumerate(matrix):
        cells = [
            Text(str(count), style="green" if row == column else "bold red")
            if count
            else Text(nothing, "dim")
            for column, count in enumerate(counts)
        ]
        total = counts.sum()
        table.add_row(str(row), *cells, f"{counts[row] / total:.1%}" if total else "-")
    return table


def picture(image: Array, highest: float, console: Console, signed: bool = False) -> Text:
    """A small picture; each of its points is two characters wide and one high.

    image: [rows, columns], from 0 to `highest`; with `signed` from -highest (blue) over 0 to highest (red).
    Without colours it is made of shades; a signed one of `+` and `#` above zero, of `-` and `=` below.
    """
    from rich.text import Text

    scaled = np.clip(np.asarray(image, float) / (highest or 1.0), -1.0 if signed else 0.0, 1.0)
    point = _coloured if has_colours(console) else _shaded(console)
    rows = [Text("").join(point(value, signed) for value in row) for row in scaled]
    return Text("\n").join(rows)


def has_colours(console: Console) -> bool:
    """Whether pictures can be made of colours here."""
    return console.color_system is not None and not console.no_color


def _coloured(value: float, signed: bool) -> Text:
    from rich.text import Text

    level = round(24 + 231 * abs(value))
    red, blue = (level if value >= 0 else 24), (level if value <= 0 else 24)
    return Text("  ", style=f"on rgb({red},24,{blue})" if signed else f"on rgb({level},{level},{level})")


def _shaded(console: Console) -> Any:
    from rich.text import Text

    shades = _ASCII_SHADES if console.options.ascii_only else _SHADES

    def point(value: float, signed: bool) -> Text:
        scale = (_FOR if value > 0 else _AGAINST) if signed else shades
        return Text(2 * scale[round(abs(value) * (len(scale) - 1))])

    return point
