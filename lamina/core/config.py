"""One typed record holds every global switch. Environment variables are read here and nowhere else."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any


def _default_cache_dir() -> Path:
    override = os.environ.get("LAMINA_CACHE_DIR")
    if override:
        return Path(override).expanduser()
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local")) / "lamina"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "lamina"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lamina"


def _default_num_threads() -> int | None:
    text = os.environ.get("LAMINA_NUM_THREADS", "").strip()
    if not text:
        return None
    if not text.isdigit() or int(text) < 1:
        raise ValueError(f"LAMINA_NUM_THREADS must be a positive whole number, got {text!r}.")
    return int(text)


@dataclass
class Config:
    """Global settings; `config` below is the one instance, and the module `lamina.config` its public face.

    floatx: the default float dtype. epsilon: the small number that keeps divisions away from zero.
    image_data_format: always "channels_last". backend: "auto", "cpu", "reference" or "xla".
    num_threads: threads of a compiled program, None for one per physical core this process may use.
    cache_dir: where compiled code and datasets are kept. debug: comma-separated dumps wanted
    (graph, kernels, llvm, assembly). dtype_policy: of layers that are given none, None for floatx.
    max_epochs, max_steps_per_epoch: limits of every training, or None. cpu_features: None for the host's, or
    a level or LLVM features to narrow them. flash_attention: whether attention may stream over its keys.
    """

    floatx: str = "float32"
    epsilon: float = 1e-7
    image_data_format: str = "channels_last"
    backend: str = field(default_factory=lambda: os.environ.get("LAMINA_BACKEND", "auto"))
    num_threads: int | None = field(default_factory=_default_num_threads)
    cache_dir: Path = field(default_factory=_default_cache_dir)
    debug: str = field(default_factory=lambda: os.environ.get("LAMINA_DEBUG", ""))
    dtype_policy: Any = None
    cpu_features: str | None = field(default_factory=lambda: os.environ.get("LAMINA_CPU_FEATURES"))
    max_epochs: int | None = None
    max_steps_per_epoch: int | None = None
    flash_attention: bool = True
    interactive_logging: bool = True
    traceback_filtering: bool = True

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in {entry.name for entry in fields(self)}:
            raise AttributeError(f"lamina has no setting {name!r}.")
        object.__setattr__(self, name, _CHECKS[name](value) if name in _CHECKS else value)

    def wants(self, dump: str) -> bool:
        """Whether LAMINA_DEBUG asks for this dump ("graph", "kernels", "llvm", "assembly", or "all")."""
        wanted = {part.strip() for part in self.debug.split(",")}
        return dump in wanted or "all" in wanted


def _check_floatx(value: Any) -> str:
    allowed = ("bfloat16", "float16", "float32", "float64")
    if value not in allowed:
        raise ValueError(f"floatx must be one of {', '.join(allowed)}, got {value!r}.")
    return str(value)


def _check_image_data_format(value: Any) -> str:
    if value != "channels_last":
        raise ValueError(
            f"Lamina keeps images channels-last, (batch, height, width, channels); got {value!r}. "
            "Transpose the data once with np.moveaxis(x, 1, -1)."
        )
    return "channels_last"


def _positive(name: str) -> Callable[[Any], int | None]:
    def check(value: Any) -> int | None:
        if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
            raise ValueError(f"{name} must be a positive whole number or None, got {value!r}.")
        return value

    return check


_CHECKS: dict[str, Callable[[Any], Any]] = {
    "floatx": _check_floatx,
    "image_data_format": _check_image_data_format,
    "num_threads": _positive("num_threads"),
    "max_epochs": _positive("max_epochs"),
    "max_steps_per_epoch": _positive("max_steps_per_epoch"),
    "cache_dir": lambda value: Path(value).expanduser(),
    "epsilon": float,
}

config = Config()
