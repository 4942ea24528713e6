"""The commands and their options; the work is done in modules of its own."""

from __future__ import annotations

import os
from pathlib import Path

import click

from lamina.core.version import __version__


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="lamina")
def lamina_command() -> None:
    """Lamina: neural networks whose compile really compiles."""


@lamina_command.command()
@click.option(
    "--epochs", default=60, show_default=True, type=click.IntRange(min=1), help="Passes over the data."
)
@click.option(
    "--seed",
    default=1,
    show_default=True,
    type=click.IntRange(0, 2**32 - 1),
    help="Decides which images are kept for the test, the first weights and all that is random in training.",
)
@click.option(
    "--page",
    default=Path("lamina-demo.html"),
    show_default=True,
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    help="Where the page with curves and mistakes is written.",
)
def demo(epochs: int, seed: int, page: Path) -> None:
    """Train a network on handwritten digits, test it, and explain its mistakes."""
    from lamina.cli.demo import run

    folder = page.absolute().parent
    if not os.access(folder, os.W_OK):
        raise click.BadParameter(f"cannot write to the folder '{folder}'.", param_hint="--page")
    run(epochs, seed, page)


@lamina_command.command()
def info() -> None:
    """Show versions, processor features, backends, threads and the cache folder."""
    from lamina.cli.info import show

    show()


@lamina_command.group()
def cache() -> None:
    """The compiled programs that are kept on disk."""


@cache.command(name="info")
def cache_info() -> None:
    """Show the folder, the number of programs and their size."""
    from lamina.cli.code_cache import describe

    click.echo(describe())


@cache.command(name="clear")
def cache_clear() -> None:
    """Delete the compiled programs; what is needed is compiled again."""
    from lamina.cli.code_cache import clear

    click.echo(clear())
