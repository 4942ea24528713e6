"""The state of a model as nested dicts of values, by the parts of the variables' paths."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lamina.core.errors import ArgumentError, unknown_name
from lamina.variables import Variable

_KINDS = ("trainable_variables", "non_trainable_variables", "optimizer_variables", "metrics_variables")


def get(model: Any, value_format: str) -> dict[str, Any]:
    """{"trainable_variables": {"dense": {"kernel": ...}}, ...}.

    value_format: "numpy_array", or "backend_tensor" for our own arrays. ArgumentError for another one, and
    when two variables have the same path.
    """
    if value_format not in ("backend_tensor", "numpy_array"):
        raise unknown_name("value_format", value_format, ("backend_tensor", "numpy_array"))
    result = {}
    for kind, variables in _groups(model).items():
        nested: dict[str, Any] = {}
        for path, variable in _by_path(variables).items():
            *parents, name = path.split("/")
            place = nested
            for parent in parents:
                place = place.setdefault(parent, {})
            place[name] = variable.numpy() if value_format == "numpy_array" else variable.value
        result[kind] = nested
    return result


def put(model: Any, state_tree: Mapping[str, Any]) -> None:
    """Give the variables the values in such a dict; what is not in it stays. ArgumentError for other keys."""
    groups = _groups(model)
    for kind, nested in state_tree.items():
        if kind not in groups:
            raise unknown_name("kind of variables", kind, _KINDS)
        known = _by_path(groups[kind])
        for path, value in _flat(nested, ""):
            if path not in known:
                raise unknown_name("variable", path, known)
            known[path].assign(value)


def _groups(model: Any) -> dict[str, Sequence[Variable]]:
    optimizer = model.optimizer
    return {
        "trainable_variables": model.trainable_variables,
        "non_trainable_variables": model.non_trainable_variables,
        "optimizer_variables": [] if optimizer is None else optimizer.variables,
        "metrics_variables": model.metrics_variables,
    }


def _by_path(variables: Sequence[Variable]) -> dict[str, Variable]:
    found: dict[str, Variable] = {}
    for variable in variables:
        if variable.path in found:
            raise ArgumentError(
                f"Two variables have the path '{variable.path}'.", fix="give the layers names of their own."
            )
        found[variable.path] = variable
    return found


def _flat(nested: Mapping[str, Any], prefix: str) -> list[tuple[str, Any]]:
    pairs: list[tuple[str, Any]] = []
    for name, value in nested.items():
        path = f"{prefix}{name}"
        pairs += _flat(value, f"{path}/") if isinstance(value, Mapping) else [(path, value)]
    return pairs
