"""The settings of a layer: the dtypes of its weights and computation, its masks, what its input must be."""

from __future__ import annotations

from typing import Any

from lamina import dtype_policies
from lamina.core.naming import current_path
from lamina.layers.operation import default


class LayerSettings:
    """The part of Layer that users look up and change."""

    name: str
    _path: str | None
    _dtype_policy: dtype_policies.DTypePolicy
    _input_spec: Any
    _supports_masking: bool

    @property
    def dtype_policy(self) -> dtype_policies.DTypePolicy:
        """The dtypes of weights and computation, or a map with those of the layers inside, too."""
        return self._dtype_policy

    @dtype_policy.setter
    def dtype_policy(self, value: Any) -> None:
        self._dtype_policy = dtype_policies.get(value)

    def _own_policy(self) -> dtype_policies.DTypePolicy:
        policy = self._dtype_policy
        if isinstance(policy, dtype_policies.DTypePolicyMap):
            path = self._path or "/".join(part for part in (current_path(), self.name) if part)
            own: dtype_policies.DTypePolicy = policy[path]
            return own
        return policy

    @property
    def dtype(self) -> str:
        """The dtype of the weights."""
        return self.variable_dtype

    @property
    def variable_dtype(self) -> str:
        return self._own_policy().variable_dtype

    @property
    def compute_dtype(self) -> str:
        """The dtype that float inputs are cast to."""
        return self._own_policy().compute_dtype

    @property
    def input_dtype(self) -> str:
        return self.compute_dtype

    @property
    def input_spec(self) -> Any:
        """The InputSpec, or structure of them, that the first argument must fit; None for anything."""
        return self._input_spec

    @input_spec.setter
    def input_spec(self, value: Any) -> None:
        self._input_spec = value

    @property
    def supports_masking(self) -> bool:
        """Whether masks pass through this layer."""
        return self._supports_masking

    @supports_masking.setter
    def supports_masking(self, value: bool) -> None:
        self._supports_masking = bool(value)

    @default
    def compute_mask(self, inputs: Any, previous_mask: Any) -> Any:
        """The mask of the outputs; by default that of the inputs."""
        return previous_mask
