"""State that belongs to the process, and what can be asked of a tensor."""

from __future__ import annotations

import gc
from typing import Any

from lamina.core.naming import reset_names
from lamina.ir.symbolic import KerasTensor


def clear_session(free_memory: bool = True) -> None:
    """Count the names of objects anew ("dense", "dense_1", ...), so that code run twice names them alike.

    Models keep no global state, so dropping one is enough to free it. free_memory: collect garbage at once.
    """
    reset_names()
    if free_memory:
        gc.collect()


def is_keras_tensor(x: Any) -> bool:
    """Whether `x` is a KerasTensor: a tensor of a layer graph, made by Input or by a layer called on one."""
    return isinstance(x, KerasTensor)
