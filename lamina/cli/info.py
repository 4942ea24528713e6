"""`lamina info`: what a bug report needs to say."""

from __future__ import annotations

import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

from lamina.cli.code_cache import describe
from lamina.core.config import config
from lamina.core.version import __version__

PACKAGES = (
    "numpy", "llvmlite", "rich", "safetensors", "ml_dtypes", "click", "matplotlib", "pandas", "jax",
)  # fmt: skip


def lines() -> list[tuple[str, str]]:
    """(name, value) rows."""
    from lamina.backends.registry import BACKENDS, choose

    backend, why = choose()
    return [
        ("lamina", __version__),
        ("python", f"{sys.version.split()[0]} ({platform.python_implementation()})"),
        ("system", platform.platform()),
        *((name, _version(name)) for name in PACKAGES),
        *_processor(),
        ("backends", ", ".join(BACKENDS)),
        ("backend used", f"{backend.name} ({why})"),
        ("code cache", describe()),
    ]


def show() -> None:
    """Print the rows."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in lines():
        table.add_row(name, Text(value))
    Console(highlight=False).print(table)


def _processor() -> list[tuple[str, str]]:
    """What the native compiler knows of this machine; nothing where LLVM, which tells, is missing."""
    if find_spec("llvmlite") is None:
        return []
    from lamina.backends.cpu.target import Target

    target = Target.host()
    features = [part[1:] for part in target.features.split(",") if part.startswith("+")]
    caches = target.caches
    threads = config.num_threads or target.cores
    return [
        ("processor", str(target)),
        ("features", " ".join(features) or "-"),
        ("caches", f"{caches.l1 >> 10} KiB L1, {caches.l2 >> 10} KiB L2, {caches.l3 >> 10} KiB L3"),
        ("threads", f"{threads}; this process may use {target.cores} cores"),
    ]


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"
