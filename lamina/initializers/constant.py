"""Initializers that draw nothing: zeros, ones, one number, the identity matrix."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from lamina.core.errors import ShapeError
from lamina.core.serialization import deserialize_object, serialize_object
from lamina.initializers.base import REGISTRY, Initializer, checked_shape, numpy_dtype
from lamina.interp import Array, as_eager


class Constant(Initializer):
    """One number everywhere, or an array that broadcasts to the shape."""

    def __init__(self, value: Any = 0.0) -> None:
        self.value = value

    def __call__(self, shape: Any, dtype: Any = None) -> Array:
        return as_eager(np.full(checked_shape(shape), self.value, numpy_dtype(dtype)))

    def get_config(self) -> dict[str, Any]:
        return {"value": serialize_object(self.value)}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Constant:
        return cls(deserialize_object(config.get("value", 0.0)))


class Zeros(Initializer):
    """0 everywhere."""

    def __call__(self, shape: Any, dtype: Any = None) -> Array:
        return as_eager(np.zeros(checked_shape(shape), numpy_dtype(dtype)))


class Ones(Initializer):
    """1 everywhere."""

    def __call__(self, shape: Any, dtype: Any = None) -> Array:
        return as_eager(np.ones(checked_shape(shape), numpy_dtype(dtype)))


class Identity(Initializer):
    """`gain` on the diagonal of a matrix, 0 elsewhere. ShapeError unless the shape has two axes."""

    def __init__(self, gain: float = 1.0) -> None:
        self.gain = gain

    def __call__(self, shape: Any, dtype: Any = None) -> Array:
        extents = checked_shape(shape)
        if len(extents) != 2:
            raise ShapeError(f"The identity initializer fills matrices, got shape {extents}.")
        return as_eager((self.gain * np.eye(*extents)).astype(numpy_dtype(dtype)))

    def get_config(self) -> dict[str, Any]:
        return {"gain": self.gain}


REGISTRY.register(Constant, "constant")
REGISTRY.register(Zeros, "zeros", "zero")
REGISTRY.register(Ones, "ones", "one")
REGISTRY.register(Identity, "identity", "IdentityInitializer")
