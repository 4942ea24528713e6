"""What an initializer is: a callable that makes the first value of a weight."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lamina.core import dtypes
from lamina.core.errors import ShapeError
from lamina.core.serialization import Registry, serialize_object
from lamina.core.shapes import Shape
from lamina.interp import Array

REGISTRY = Registry("initializer")


class Initializer:
    """Base class of initializers. A subclass writes `__call__`, and `get_config` if it has options.

    >>> class Half(Initializer):
    ...     def __call__(self, shape, dtype=None):
    ...         return np.full(shape, 0.5, dtype)
    """

    def __call__(self, shape: Any, dtype: Any = None) -> Array:
        """An array of this shape and dtype (the default float if None)."""
        raise NotImplementedError(f"{type(self).__name__} must define __call__(self, shape, dtype=None).")

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments, as JSON can hold them."""
        return {}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Any:
        return cls(**config)

    def clone(self) -> Any:
        """A new initializer with the same options."""
        return type(self).from_config(self.get_config())

    def __repr__(self) -> str:
        options = ", ".join(
            f"{name}={serialize_object(value)!r}" for name, value in self.get_config().items()
        )
        return f"<{type(self).__name__}({options})>"


def checked_shape(shape: Any) -> Shape:
    """`shape` as a tuple of whole numbers; ShapeError for None or negative extents."""
    extents = tuple(shape) if hasattr(shape, "__iter__") else (shape,)
    if not all(hasattr(extent, "__index__") and extent >= 0 for extent in extents):
        raise ShapeError(
            f"An initializer cannot fill the shape {shape}.", expected="whole numbers that are not negative"
        )
    return tuple(int(extent) for extent in extents)


def numpy_dtype(dtype: Any) -> Any:
    return dtypes.to_numpy(dtypes.standardize(dtype))
