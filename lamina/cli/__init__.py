"""The command line: `lamina demo`, `lamina info`, `lamina cache`."""

from __future__ import annotations

import io
import sys


def main() -> None:
    """Entry point of the `lamina` command."""
    try:
        import click  # noqa: F401 - only to say clearly that it is missing
    except ImportError:
        sys.exit("The lamina command needs click: pip install 'lamina[cli]'")
    from lamina.cli.commands import lamina_command

    _never_fail_to_print()
    lamina_command(prog_name="lamina")


def _never_fail_to_print() -> None:
    """A character that the output's encoding lacks (Windows code pages, LANG=C) becomes a question mark."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
