"""Lamina: neural networks whose `compile` really compiles. The public names are those of Keras 3.

    import lamina as keras

Submodules load when they are first used, so importing Lamina costs little more than importing NumPy.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

from lamina.core.version import __version__ as __version__

if TYPE_CHECKING:  # what editors and type checkers see; `__getattr__` below finds the same when it is used
    from lamina import activations as activations
    from lamina import backend as backend
    from lamina import callbacks as callbacks
    from lamina import config as config
    from lamina import constraints as constraints
    from lamina import dtype_policies as dtype_policies
    from lamina import initializers as initializers
    from lamina import layers as layers
    from lamina import losses as losses
    from lamina import metrics as metrics
    from lamina import mixed_precision as mixed_precision
    from lamina import models as models
    from lamina import ops as ops
    from lamina import optimizers as optimizers
    from lamina import preprocessing as preprocessing
    from lamina import random as random
    from lamina import regularizers as regularizers
    from lamina import saving as saving
    from lamina import tree as tree
    from lamina import utils as utils
    from lamina import visualization as visualization
    from lamina import wrappers as wrappers
    from lamina.core.naming import name_scope as name_scope
    from lamina.core.version import version as version
    from lamina.dtype_policies import DTypePolicy as DTypePolicy
    from lamina.dtype_policies import FloatDTypePolicy as FloatDTypePolicy
    from lamina.function import function as function
    from lamina.function import gradients as gradients
    from lamina.initializers import Initializer as Initializer
    from lamina.ir.symbolic import KerasTensor as KerasTensor
    from lamina.layers import Input as Input
    from lamina.layers import InputSpec as InputSpec
    from lamina.layers import Layer as Layer
    from lamina.layers.operation import Operation as Operation
    from lamina.losses import Loss as Loss
    from lamina.metrics import Metric as Metric
    from lamina.models import Function as Function
    from lamina.models import Model as Model
    from lamina.models import Sequential as Sequential
    from lamina.models.generation import generate as generate
    from lamina.optimizers import Optimizer as Optimizer
    from lamina.regularizers import Regularizer as Regularizer
    from lamina.variables import Variable as Variable

_MODULES = frozenset(
    ["activations", "backend", "backends", "callbacks", "config", "constraints", "core", "datasets",
     "dtype_policies", "explain", "export", "grad", "initializers", "interp", "ir", "layers", "losses",
     "metrics", "mixed_precision", "models", "ops", "optimizers", "passes", "preprocessing", "random",
     "regularizers", "report", "saving", "training", "tree", "utils", "variables", "visualization",
     "wrappers"]
)  # fmt: skip

# Public name -> the module that has it.
_NAMES = {
    "DTypePolicy": "lamina.dtype_policies",
    "FloatDTypePolicy": "lamina.dtype_policies",
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
    "generate": "lamina.models.generation",
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
