"""Layers that rearrange the axes behind the batch. None has weights; the dtype stays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lamina import ops
from lamina.core.errors import ArgumentError, ShapeError
from lamina.ir.symbolic import KerasTensor
from lamina.layers.arguments import integers, positive_integer
from lamina.layers.input_spec import InputSpec, describe_layer
from lamina.layers.layer import Layer
from lamina.layers.registry import REGISTRY
from lamina.layers.shapes import Shape, known_size


class Rearrangement(Layer):
    """A layer that moves elements, of any dtype."""

    _needs_build = False

    def compute_output_spec(self, inputs: Any) -> Any:
        return KerasTensor(self.compute_output_shape(inputs.shape), inputs.dtype)


@REGISTRY.register
class Flatten(Rearrangement):
    """(batch, a, b, ...) -> (batch, a * b * ...); (batch,) -> (batch, 1).

    data_format: accepted for Keras' sake; only "channels_last" exists.

    >>> Flatten()(np.zeros((2, 3, 4))).shape
    (2, 12)
    """

    def __init__(self, data_format: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if data_format not in (None, "channels_last"):
            raise ArgumentError(
                f"{describe_layer(self)} cannot have data_format={data_format!r}.", expected="'channels_last'"
            )
        self.input_spec = InputSpec(min_ndim=1)

    def call(self, inputs: Any) -> Any:
        return ops.reshape(inputs, self.compute_output_shape(inputs.shape))

    def compute_output_shape(self, input_shape: Any) -> Any:
        return (input_shape[0], known_size(input_shape[1:]))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "data_format": "channels_last"}


@REGISTRY.register
class Reshape(Rearrangement):
    """(batch, ...) -> (batch, *target_shape); one entry of `target_shape` may be -1 and is worked out.

    Raises ArgumentError for a bad target, ShapeError when the number of elements differs.

    >>> Reshape((2, -1))(np.zeros((5, 6))).shape
    (5, 2, 3)
    """

    def __init__(self, target_shape: Sequence[int], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.target_shape = integers(target_shape, "target_shape", self)
        if sum(extent == -1 for extent in self.target_shape) > 1 or min((*self.target_shape, 0)) < -1:
            raise ArgumentError(
                f"{describe_layer(self)} cannot have target_shape={self.target_shape}.",
                expected="whole numbers that are not negative, and at most one -1",
            )

    def call(self, inputs: Any) -> Any:
        return ops.reshape(inputs, self.compute_output_shape(inputs.shape))

    def compute_output_shape(self, input_shape: Any) -> Any:
        return (input_shape[0], *self._resolved(tuple(input_shape[1:])))

    def _resolved(self, shape: Shape) -> Shape:
        total = known_size(shape)
        known = known_size([extent for extent in self.target_shape if extent != -1])
        if total is None or known is None:
            return tuple(None if extent == -1 else extent for extent in self.target_shape)
        inferred = -1 in self.target_shape
        if (total != known) if not inferred else (known == 0 or total % known):
            raise ShapeError(
                f"{describe_layer(self)} cannot reshape {shape} to {self.target_shape}.",
                expected=f"{known} elements per example"
                if not inferred
                else f"a multiple of {known} elements",
                got=f"{total}",
            )
        return tuple(total // known if extent == -1 else extent for extent in self.target_shape)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "target_shape": self.target_shape}


@REGISTRY.register
class Permute(Rearrangement):
    """Reorders the axes behind the batch: output axis i is input axis `dims[i - 1]`, counted from 1.

    Raises ArgumentError unless `dims` is a permutation of 1, 2, ..., n.

    >>> Permute((2, 1))(np.zeros((5, 3, 4))).shape
    (5, 4, 3)
    """

    def __init__(self, dims: Sequence[int], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.dims = integers(dims, "dims", self)
        if sorted(self.dims) != list(range(1, len(self.dims) + 1)):
            raise ArgumentError(
                f"{describe_layer(self)} cannot have dims={self.dims}.",
                expected=f"each of 1 to {len(self.dims)} once (axis 0, the batch, stays)",
            )
        self.input_spec = InputSpec(ndim=len(self.dims) + 1)

    def call(self, inputs: Any) -> Any:
        return ops.transpose(inputs, axes=(0, *self.dims))

    def compute_output_shape(self, input_shape: Any) -> Any:
        return (input_shape[0], *(input_shape[axis] for axis in self.dims))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "dims": self.dims}


@REGISTRY.register
class RepeatVector(Rearrangement):
    """(batch, features) -> (batch, n, features), each row repeated `n` times. ArgumentError unless n >= 1.

    >>> RepeatVector(3)(np.zeros((5, 2))).shape
    (5, 3, 2)
    """

    def __init__(self, n: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.n = positive_integer(n, "n", self)
        self.input_spec = InputSpec(ndim=2)

    def call(self, inputs: Any) -> Any:
        batch, features = inputs.shape
        return ops.broadcast_to(ops.reshape(inputs, (batch, 1, features)), (batch, self.n, features))

    def compute_output_shape(self, input_shape: Any) -> Any:
        return (input_shape[0], self.n, input_shape[1])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "n": self.n}
