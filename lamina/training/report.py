"""What the programs of a model were compiled to, for people."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from html import escape
from typing import Any

from lamina.backends.base import KernelReport, Report

_COLUMNS = ("kernel", "what it computes", "fused into it, and why", "MFLOP", "MB", "tasks")


class CompileReport:
    """The reports of all programs of one model. Print it, or show it in a notebook.

    programs: one `Report` each, with its kernels, threads, FLOPs, bytes and compile time.
    """

    def __init__(self, programs: Sequence[Report]) -> None:
        self.programs = list(programs)

    def __str__(self) -> str:
        if not self.programs:
            return "Nothing is compiled yet: programs are made by the first fit, evaluate or predict."
        from rich.console import Console

        console = Console(width=_width(), no_color=True, highlight=False)
        with console.capture() as capture:
            for report in self.programs:
                for line in _summary(report):
                    console.print(line, markup=False)
                console.print(_table(report))
        return "\n".join(line.rstrip() for line in capture.get().splitlines())

    __repr__ = __str__

    def _repr_html_(self) -> str:
        if not self.programs:
            return f"<p>{escape(str(self))}</p>"
        return "".join(map(_html, self.programs))


def _summary(report: Report) -> list[str]:
    """What is said of a program as a whole."""
    threads = f"{report.threads} thread{'s' * (report.threads != 1)}"
    how = "from the cache" if report.cache_hit else "compiled"
    stages = ", ".join(f"{name} {1e3 * seconds:.1f} ms" for name, seconds in report.stages.items())
    lines = [
        f"{report.program}: {report.backend} ({report.why})",
        f"  {len(report.kernels)} kernels, {threads}, {report.flops / 1e6:.3g} MFLOP and "
        f"{report.bytes / 1e6:.3g} MB a run",
        f"  memory {report.arena_bytes / 1e6:.3g} MB, state {report.state_bytes / 1e6:.3g} MB",
        f"  {how} in {1e3 * report.compile_seconds:.1f} ms" + (f": {stages}" if stages else ""),
    ]
    return [*lines, f"  for {report.target}"] if report.target else lines


def _cells(kernel: KernelReport) -> tuple[str, ...]:
    fused = "; ".join([*kernel.fused, *([kernel.why] if kernel.why else [])])
    name = f"{kernel.name} (code of {kernel.shared_with})" if kernel.shared_with else kernel.name
    return (
        name,
        kernel.what,
        fused,
        f"{kernel.flops / 1e6:.3g}",
        f"{kernel.bytes / 1e6:.3g}",
        str(kernel.tasks),
    )


def _table(report: Report) -> Any:
    from rich.table import Table
    from rich.text import Text

    table = Table(show_edge=False, pad_edge=False)
    for column in _COLUMNS:
        table.add_column(column, justify="right" if column in ("MFLOP", "MB", "tasks") else "left")
    for kernel in report.kernels:
        table.add_row(*map(Text, _cells(kernel)))
    return table


def _html(report: Report) -> str:
    head = "".join(f"<th>{escape(column)}</th>" for column in _COLUMNS)
    rows = "".join(
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in _cells(kernel)) + "</tr>"
        for kernel in report.kernels
    )
    summary = "<br>".join(map(escape, _summary(report)))
    return f"<p>{summary}</p><table><tr>{head}</tr>{rows}</table>"


def _width() -> int:
    return max(100, min(shutil.get_terminal_size((120, 25)).columns, 160))
