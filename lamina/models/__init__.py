"""Models: stacks, graphs and classes of layers that can be trained."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lamina.models.cloning import clone_model
from lamina.models.feature_space import FeatureSpace as FeatureSpace
from lamina.models.function import Function
from lamina.models.functional import Functional
from lamina.models.model import Model, model_from_json
from lamina.models.sequential import Sequential

if TYPE_CHECKING:
    from lamina.saving.model_files import load_model, save_model

__all__ = [
    "Function",
    "Functional",
    "Model",
    "Sequential",
    "clone_model",
    "load_model",
    "model_from_json",
    "save_model",
]


def __getattr__(name: str) -> Any:
    """`load_model` and `save_model` are from lamina.saving, which needs the models first."""
    if name in ("load_model", "save_model"):
        from lamina.saving import model_files

        return getattr(model_files, name)
    raise AttributeError(f"module 'lamina.models' has no attribute {name!r}")
