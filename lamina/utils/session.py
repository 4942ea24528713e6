"""State that belongs to the process, and what can be asked of a tensor."""

from __future__ import annotations

import gc
from typing import Any

from lamina.core.errors import ArgumentError
from lamina.core.naming import reset_names
from lamina.ir.symbolic import KerasTensor
from lamina.layers.node import origin


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


def get_source_inputs(tensor: Any) -> list[KerasTensor]:
    """The tensors of Input layers that `tensor` is computed from, each once, in the order of first use.

    >>> a, b = lamina.Input((2,)), lamina.Input((2,))
    >>> get_source_inputs(a + b) == [a, b]
    True
    """
    if not isinstance(tensor, KerasTensor):
        raise ArgumentError(
            "get_source_inputs needs a KerasTensor, made by Input or by layers called on one.",
            got=type(tensor).__name__,
        )
    found: dict[int, KerasTensor] = {}
    seen: set[int] = set()
    waiting = [tensor]
    while waiting:
        current = waiting.pop()
        if id(current) in seen:
            continue
        seen.add(id(current))
        node = origin(current)
        if node is None or node.is_input:
            sources = [current] if node is None else node.output_tensors
            found.update((id(source), source) for source in sources)
        else:
            waiting += reversed(node.input_tensors)
    return list(found.values())
