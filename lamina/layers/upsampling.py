"""Layers that enlarge: each place becomes several."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lamina import ops
from lamina.layers.arguments import channels_last, choice, integer_tuple
from lamina.layers.input_spec import InputSpec
from lamina.layers.layer import Layer
from lamina.layers.registry import REGISTRY

INTERPOLATIONS = ("nearest", "bilinear", "bicubic", "lanczos3", "lanczos5")


class _UpSampling(Layer):
    """Repeats places along the spatial axes."""

    _needs_build = False

    def __init__(self, rank: int, size: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._factors = integer_tuple(size, rank, "size", self)
        self.input_spec = InputSpec(ndim=rank + 2)

    @property
    def size(self) -> Any:
        return self._factors if len(self._factors) > 1 else self._factors[0]

    def call(self, inputs: Any) -> Any:
        for axis, factor in enumerate(self._factors, start=1):
            if factor > 1:
                inputs = ops.repeat(inputs, factor, axis=axis)
        return inputs

    def compute_output_shape(self, input_shape: Any) -> Any:
        spatial = (
            None if extent is None else extent * factor
            for extent, factor in zip(input_shape[1:-1], self._factors, strict=True)
        )
        return (input_shape[0], *spatial, input_shape[-1])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "size": self.size}


@REGISTRY.register
class UpSampling1D(_UpSampling):
    """Repeats each step: (batch, steps, channels) -> (batch, size * steps, channels).

    Raises ArgumentError unless `size` is a whole number of at least 1.

    >>> UpSampling1D(2)(np.array([[[1.0], [2.0]]]))[0, :, 0]
    Array([1., 1., 2., 2.], dtype=float32)
    """

    def __init__(self, size: int = 2, **kwargs: Any) -> None:
        super().__init__(1, size, **kwargs)


@REGISTRY.register
class UpSampling2D(_UpSampling):
    """Enlarges images: (batch, height, width, channels) -> (batch, h * height, w * width, channels).

    size: (h, w), or one number for both. interpolation: "nearest" repeats pixels; "bilinear", "bicubic",
    "lanczos3" and "lanczos5" draw curves through them. Raises ArgumentError for anything else.

    >>> UpSampling2D((2, 3))(np.ones((1, 4, 4, 1))).shape
    (1, 8, 12, 1)
    """

    def __init__(
        self,
        size: int | Sequence[int] = (2, 2),
        data_format: str | None = None,
        interpolation: str = "nearest",
        **kwargs: Any,
    ) -> None:
        super().__init__(2, size, **kwargs)
        self.data_format = channels_last(data_format, self)
        self.interpolation = choice(interpolation, "interpolation", self, INTERPOLATIONS)

    def call(self, inputs: Any) -> Any:
        if self.interpolation == "nearest":
            return super().call(inputs)
        extents = tuple(self.compute_output_shape(inputs.shape)[1:-1])
        return ops.image.resize(inputs, extents, interpolation=self.interpolation)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "data_format": self.data_format,
            "interpolation": self.interpolation,
        }


@REGISTRY.register
class UpSampling3D(_UpSampling):
    """Repeats each place of (batch, depth, height, width, channels).

    size: one number for each axis, or one for all. Raises ArgumentError for anything else.

    >>> UpSampling3D(2)(np.ones((1, 2, 3, 4, 1))).shape
    (1, 4, 6, 8, 1)
    """

    def __init__(
        self, size: int | Sequence[int] = (2, 2, 2), data_format: str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(3, size, **kwargs)
        self.data_format = channels_last(data_format, self)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "data_format": self.data_format}
