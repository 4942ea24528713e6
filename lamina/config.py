"""Global settings with the names of keras.config, and Lamina's own: backend, threads, cache folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lamina.core.config import config as _config
from lamina.dtype_policies import dtype_policy as dtype_policy
from lamina.dtype_policies import set_dtype_policy as set_dtype_policy


def backend() -> str:
    """The backend that `compile` uses unless told otherwise: "auto", "cpu", "reference" or "xla"."""
    return _config.backend


def set_backend(backend: str) -> None:
    """Choose the backend for what is compiled from here on; unknown names are refused at compile time."""
    _config.backend = backend


def floatx() -> str:
    """The default float dtype."""
    return _config.floatx


def set_floatx(value: str) -> None:
    """Set the default float dtype: "bfloat16", "float16", "float32" or "float64"; ValueError for others."""
    _config.floatx = value


def epsilon() -> float:
    """The small number that keeps divisions away from zero."""
    return _config.epsilon


def set_epsilon(value: float) -> None:
    _config.epsilon = value


def image_data_format() -> str:
    """Always "channels_last": (batch, height, width, channels)."""
    return _config.image_data_format


def set_image_data_format(data_format: str) -> None:
    """Accepts "channels_last"; ValueError for anything else."""
    _config.image_data_format = data_format


def num_threads() -> int | None:
    """The number of threads of a compiled program; None means one per physical core."""
    return _config.num_threads


def set_num_threads(value: int | None) -> None:
    """Set the number of threads of what is compiled from here on; ValueError unless positive or None."""
    _config.num_threads = value


def cache_dir() -> Path:
    """The folder of compiled code and downloaded data."""
    return _config.cache_dir


def set_cache_dir(value: Any) -> None:
    _config.cache_dir = value


def enable_flash_attention() -> None:
    """Let attention stream over its keys where that pays, so that its matrix of weights never exists."""
    _config.flash_attention = True


def disable_flash_attention() -> None:
    """Let attention make the whole matrix of its weights, unless a layer says `flash_attention=True`."""
    _config.flash_attention = False


def is_flash_attention_enabled() -> bool:
    """Whether attention streams where that pays; by default it does."""
    return _config.flash_attention


def enable_interactive_logging() -> None:
    """Show progress as a live bar."""
    _config.interactive_logging = True


def disable_interactive_logging() -> None:
    """Show progress through `logging` instead of a live bar."""
    _config.interactive_logging = False


def is_interactive_logging_enabled() -> bool:
    return _config.interactive_logging


def enable_traceback_filtering() -> None:
    """Leave Lamina's own frames out of tracebacks."""
    _config.traceback_filtering = True


def disable_traceback_filtering() -> None:
    """Show Lamina's own frames in tracebacks."""
    _config.traceback_filtering = False


def is_traceback_filtering_enabled() -> bool:
    return _config.traceback_filtering


def max_epochs() -> int | None:
    """The most epochs that any `fit` runs, whatever it is told; None for no limit."""
    return _config.max_epochs


def set_max_epochs(max_epochs: int | None) -> None:
    """Let no `fit` run more epochs than this, for trying a script out; None for no limit."""
    _config.max_epochs = max_epochs


def max_steps_per_epoch() -> int | None:
    """The most batches that an epoch of `fit` or `evaluate` takes; None for no limit."""
    return _config.max_steps_per_epoch


def set_max_steps_per_epoch(max_steps_per_epoch: int | None) -> None:
    """Let no epoch take more batches than this, for trying a script out; None for no limit."""
    _config.max_steps_per_epoch = max_steps_per_epoch
