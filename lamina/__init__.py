"""Lamina: neural networks whose `compile` really compiles. The public names are those of Keras 3.

    import lamina as keras

Submodules load when they are first used, so importing Lamina costs little more than importing NumPy.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import Any

from lamina.core.version import __version__ as __version__

_MODULES = frozenset(
    ["activations", "backend", "backends", "callbacks", "config", "constraints", "core", "datasets",
     "explain", "grad", "initializers", "interp", "ir", "layers", "losses", "metrics", "models", "ops",
     "optimizers", "passes", "random", "regularizers", "report", "saving", "training", "tree", "utils",
     "variables"]
)  # fmt: skip

# Public name -> the module that has it.
_NAMES = {
    "DTypePolicy": "lamina.layers.dtype_policy",
    "Function": "lamina.models",
    "Initializer": "lamina.initializers",
    "Input": "lamina.layers",
    "InputSpec": "lamina.layers",
    "KerasTensor": "lamina.ir.symbolic",
    "Layer": "lamina.layers",
    "Loss": "lamina.losses",
    "Metric": "lamina.metrics",
    "Model": "lamina.models",
    "Operation": "lamina.layers.operation",
    "Optimizer": "lamina.optimizers",
    "Regularizer": "lamina.regularizers",
    "Sequential": "lamina.models",
    "Variable": "lamina.variables",
    "function": "lamina.function",
    "gradients": "lamina.function",
    "name_scope": "lamina.core.naming",
    "version": "lamina.core.version",
}


def __getattr__(name: str) -> Any:
    if name in _NAMES:
        value = getattr(import_module(_NAMES[name]), name)
    elif name in _MODULES:
        value = import_module(f"lamina.{name}")
    else:
        raise AttributeError(f"module 'lamina' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES, *_NAMES})


class _Package(ModuleType):
    """Python puts a submodule into its package when it is imported; `lamina.function` stays the function."""

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in _NAMES and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
