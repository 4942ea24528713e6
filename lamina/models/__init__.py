"""Models: stacks, graphs and classes of layers that can be trained."""

from lamina.models.cloning import clone_model
from lamina.models.function import Function
from lamina.models.functional import Functional
from lamina.models.model import Model, model_from_json
from lamina.models.sequential import Sequential

__all__ = ["Function", "Functional", "Model", "Sequential", "clone_model", "model_from_json"]
