"""Which backend runs a program, and why. Chosen per compile, never at import."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec

from lamina.backends.base import Backend
from lamina.core.config import config
from lamina.core.errors import unknown_name


def _reference() -> Backend:
    from lamina.backends.reference import ReferenceBackend

    return ReferenceBackend()


def _cpu() -> Backend:
    from lamina.backends.cpu import CpuBackend

    return CpuBackend()


BACKENDS: dict[str, Callable[[], Backend]] = {"reference": _reference, "cpu": _cpu}
_made: dict[str, Backend] = {}


def choose(name: str | None = None) -> tuple[Backend, str]:
    """The backend of that name (None: the configured one), and one sentence that says why it was taken."""
    wanted = name or config.backend
    if wanted == "auto":
        if find_spec("llvmlite") is not None:
            return _make("cpu"), "auto: llvmlite is installed, so programs become native code for this CPU"
        return _make("reference"), "auto: llvmlite is not installed, so NumPy interprets the programs"
    if wanted not in BACKENDS:
        raise unknown_name("backend", wanted, ("auto", *BACKENDS))
    return _make(wanted), f"'{wanted}' was asked for"


def _make(name: str) -> Backend:
    if name not in _made:
        _made[name] = BACKENDS[name]()
    return _made[name]
