"""The dtype of a layer: of its weights, and of what it computes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lamina.core import dtypes
from lamina.core.errors import DTypeError


class DTypePolicy:
    """One dtype for weights and computation, by its name ("float32", "float64", ...).

    >>> lamina.layers.Dense(3, dtype=DTypePolicy("float64"))
    """

    def __init__(self, name: Any = None) -> None:
        if isinstance(name, str) and name.startswith("mixed_"):
            raise DTypeError(
                f"Mixed precision ('{name}') does not exist in Lamina.",
                expected=f"one of {', '.join(dtypes.FLOATS)}",
                fix="leave dtype out for float32.",
            )
        self.name = dtypes.standardize(name)

    @property
    def compute_dtype(self) -> str:
        return self.name

    @property
    def variable_dtype(self) -> str:
        return self.name

    def get_config(self) -> dict[str, Any]:
        return {"name": self.name}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> DTypePolicy:
        return cls(**config)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, DTypePolicy) and other.name == self.name

    def __hash__(self) -> int:
        return hash(self.name)

    def __repr__(self) -> str:
        return f'<DTypePolicy "{self.name}">'


def get(identifier: Any) -> DTypePolicy:
    """The policy of a dtype, a policy, the config of one, or None for the default float."""
    if isinstance(identifier, DTypePolicy):
        return identifier
    if isinstance(identifier, Mapping):
        return DTypePolicy(identifier.get("config", {}).get("name"))
    return DTypePolicy(identifier)
