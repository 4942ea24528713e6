"""The decorator that makes a public op: known by name, and recorded when it meets a KerasTensor."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

from lamina.ir.symbolic import is_symbolic, record

Function = TypeVar("Function", bound=Callable[..., Any])

# Every public op by its name; the layer graph and the tests read it.
OPS: dict[str, Callable[..., Any]] = {}


def op(function: Function) -> Function:
    """Register `function` under its name. Called on KerasTensors it adds a node to the layer graph instead.

    >>> @op
    ... def double(x):
    ...     return add(x, x)
    """

    @wraps(function)
    def call(*arguments: Any, **keywords: Any) -> Any:
        if is_symbolic(arguments, keywords):
            return record(call, arguments, keywords)
        return function(*arguments, **keywords)

    OPS[function.__name__] = call
    return call  # type: ignore[return-value]


def alias(name: str, function: Function) -> Function:
    """A second public name of an op."""
    OPS[name] = function
    return function
