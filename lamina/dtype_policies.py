"""Which dtype a layer's weights have, and which it computes with: `keras.dtype_policies`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, MutableMapping
from typing import Any

from lamina.core import dtypes
from lamina.core.config import config
from lamina.core.errors import ArgumentError, DTypeError
from lamina.core.serialization import Registry, serialize_object

_MIXED = {"mixed_float16": "float16", "mixed_bfloat16": "bfloat16"}


class DTypePolicy:
    """The dtypes of a layer, by a name.

    "float32", "float64", "bfloat16", "float16" are for weights and computation alike. With "mixed_bfloat16"
    and "mixed_float16" weights are float32, and what is computed from them is of the shorter dtype. None is
    the global policy.

    >>> lamina.layers.Dense(3, dtype=DTypePolicy("mixed_bfloat16"))
    """

    name: str

    def __init__(self, name: Any = None) -> None:
        if name is None:
            name = dtype_policy().name
        if isinstance(name, str) and name.startswith("mixed_") and name not in _MIXED:
            raise DTypeError(f"There is no dtype policy '{name}'.", expected=", ".join(_MIXED))
        self.name = name if name in _MIXED else dtypes.standardize(name)

    @property
    def compute_dtype(self) -> str:
        """What the layer computes with, and casts its float inputs to."""
        return _MIXED.get(self.name, self.name)

    @property
    def variable_dtype(self) -> str:
        """The dtype of the weights."""
        return "float32" if self.name in _MIXED else self.name

    def get_config(self) -> dict[str, Any]:
        return {"name": self.name}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Any:
        return cls(**config)

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and other.get_config() == self.get_config()  # type: ignore[attr-defined]

    def __hash__(self) -> int:
        return hash(self.name)

    def __repr__(self) -> str:
        return f'<DTypePolicy "{self.name}">'


FloatDTypePolicy = DTypePolicy


class DTypePolicyMap(DTypePolicy, MutableMapping[str, Any]):
    """Policies of the layers inside a layer, by path: a dict from path, or pattern of paths, to policy.

    default_policy: for paths that no entry fits; None is the global policy. An entry fits the path that it
    is, and else every path that it matches as a regular expression; ArgumentError when several do.

    >>> policies = DTypePolicyMap({"encoder/.*": "mixed_bfloat16"})
    >>> policies["encoder/dense"].compute_dtype
    'bfloat16'
    """

    def __init__(
        self, default_policy: Any = None, policy_map: Mapping[str, Any] | None = None, **options: Any
    ) -> None:
        if isinstance(default_policy, Mapping) and "class_name" not in default_policy and policy_map is None:
            default_policy, policy_map = None, default_policy
        self._given_default = default_policy
        self._policies = {path: get(policy) for path, policy in (policy_map or {}).items()}
        super().__init__(get(default_policy).name)

    @property
    def default_policy(self) -> DTypePolicy:
        """The policy of paths without an entry."""
        return get(self._given_default)

    def __getitem__(self, path: str) -> DTypePolicy:
        if path in self._policies:
            return self._policies[path]
        fitting = [pattern for pattern in self._policies if re.search(pattern, path)]
        if len(fitting) > 1:
            raise ArgumentError(
                f"Several entries of the DTypePolicyMap fit '{path}'.",
                expected="one",
                got=", ".join(map(repr, fitting)),
            )
        return self._policies[fitting[0]] if fitting else self.default_policy

    def __setitem__(self, path: str, policy: Any) -> None:
        if path in self._policies:
            raise ArgumentError(f"The DTypePolicyMap has an entry '{path}' already.", fix="delete it first.")
        self._policies[path] = get(policy)

    def __delitem__(self, path: str) -> None:
        del self._policies[path]

    def __contains__(self, path: object) -> bool:
        return path in self._policies

    def __len__(self) -> int:
        return len(self._policies)

    def __iter__(self) -> Iterator[str]:
        return iter(self._policies)

    __hash__ = DTypePolicy.__hash__
    __eq__ = DTypePolicy.__eq__

    def get_config(self) -> dict[str, Any]:
        policies = {path: serialize_object(policy) for path, policy in self._policies.items()}
        default = None if self._given_default is None else serialize_object(self.default_policy)
        return {"default_policy": default, "policy_map": policies}

    def __repr__(self) -> str:
        return f"<DTypePolicyMap {self._policies}, default {self.name}>"


def dtype_policy() -> DTypePolicy:
    """The policy of layers that are given none: what `set_dtype_policy` set, else `floatx()`."""
    policy: DTypePolicy = config.dtype_policy or DTypePolicy(config.floatx)
    return policy


def set_dtype_policy(policy: Any) -> None:
    """Let layers that are made from here on, and given no dtype, have this policy; None takes it back.

    >>> lamina.config.set_dtype_policy("mixed_bfloat16")
    """
    config.dtype_policy = None if policy is None else get(policy)


_REGISTRY = Registry("dtype policy")
_REGISTRY.register(DTypePolicy)
_REGISTRY.register(DTypePolicyMap)


def get(identifier: Any) -> Any:
    """The policy of a dtype, a policy, the config of one, or None for the global policy."""
    if identifier is None:
        return dtype_policy()
    if isinstance(identifier, DTypePolicy):
        return identifier
    return deserialize(identifier) if isinstance(identifier, Mapping) else DTypePolicy(identifier)


def serialize(dtype_policy: Any) -> Any:
    """The config dict of a policy."""
    return serialize_object(dtype_policy)


def deserialize(config: Any, custom_objects: Any = None) -> Any:
    """The policy of a config dict."""
    if isinstance(config, Mapping) and config.get("class_name") == "FloatDTypePolicy":
        config = {**config, "class_name": "DTypePolicy"}
    return _REGISTRY.deserialize(config, custom_objects)
