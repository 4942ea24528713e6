"""Pooling: the largest, or the average, of the places in each window, for each channel."""

from __future__ import annotations

from typing import Any

from lamina import ops
from lamina.layers.arguments import choice
from lamina.layers.registry import REGISTRY
from lamina.layers.spatial import Numbers, SpatialLayer


class _Pooling(SpatialLayer):
    """Windows of `pool_size`, `strides` apart."""

    _needs_build = False

    def __init__(
        self,
        pool_size: Numbers = 2,
        strides: Numbers | None = None,
        padding: str = "valid",
        data_format: str | None = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(data_format, name=name, **kwargs)
        self.pool_size = self._per_axis(pool_size, "pool_size")
        self.strides = self.pool_size if strides is None else self._per_axis(strides, "strides")
        self.padding = choice(padding, "padding", self, ("valid", "same"))

    def compute_output_shape(self, input_shape: Any) -> Any:
        together = (1,) * self.rank
        places = self._places(input_shape, self.pool_size, self.strides, self.padding, together)
        return (input_shape[0], *places, input_shape[-1])

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "pool_size": self.pool_size,
            "strides": self.strides,
            "padding": self.padding,
            "data_format": self.data_format,
        }


class _MaxPooling(_Pooling):
    def call(self, inputs: Any) -> Any:
        return ops.max_pool(inputs, self.pool_size, self.strides, self.padding)


class _AveragePooling(_Pooling):
    def __init__(
        self,
        pool_size: Numbers,
        strides: Numbers | None = None,
        padding: str = "valid",
        data_format: str | None = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(pool_size, strides, padding, data_format, name, **kwargs)

    def call(self, inputs: Any) -> Any:
        return ops.average_pool(inputs, self.pool_size, self.strides, self.padding)


@REGISTRY.register
class MaxPooling1D(_MaxPooling):
    """The largest of each window: (batch, steps, channels) -> (batch, places, channels).

    There are `(steps - pool_size) // strides + 1` places; with padding "same" `steps / strides`, rounded up.

    pool_size: how many steps a window has. strides: from window to window, `pool_size` by default. padding:
    "valid" drops what does not fill a window, "same" adds steps that are never the largest.
    Raises ArgumentError for arguments that make no sense, ShapeError for an input of another rank or with
    fewer steps than a window.

    >>> MaxPooling1D(2)(np.array([[[1.0], [3.0], [2.0], [0.0]]]))[0, :, 0]
    Array([3., 2.], dtype=float32)
    """

    rank = 1


@REGISTRY.register
class MaxPooling2D(_MaxPooling):
    """The largest of each window: (batch, height, width, channels) -> (batch, rows, columns, channels).

    pool_size, strides: one number, or (along the height, along the width). Otherwise as MaxPooling1D.

    >>> MaxPooling2D()(np.ones((1, 28, 28, 3))).shape
    (1, 14, 14, 3)
    """

    rank = 2


@REGISTRY.register
class MaxPooling3D(_MaxPooling):
    """The largest of each window of (batch, depth, height, width, channels). Otherwise as MaxPooling1D.

    >>> MaxPooling3D()(np.ones((1, 4, 6, 8, 3))).shape
    (1, 2, 3, 4, 3)
    """

    rank = 3


@REGISTRY.register
class AveragePooling1D(_AveragePooling):
    """The average of each window: (batch, steps, channels) -> (batch, places, channels).

    Padding does not count in averages. Arguments and errors as for MaxPooling1D.

    >>> AveragePooling1D(2)(np.array([[[1.0], [3.0], [2.0], [0.0]]]))[0, :, 0]
    Array([2., 1.], dtype=float32)
    """

    rank = 1


@REGISTRY.register
class AveragePooling2D(_AveragePooling):
    """The average of each window: (batch, height, width, channels) -> (batch, rows, columns, channels).

    Padding does not count in averages. Arguments and errors as for MaxPooling2D.

    >>> AveragePooling2D(4)(np.ones((1, 28, 28, 3))).shape
    (1, 7, 7, 3)
    """

    rank = 2


@REGISTRY.register
class AveragePooling3D(_AveragePooling):
    """The average of each window of (batch, depth, height, width, channels). As AveragePooling1D.

    >>> AveragePooling3D(2)(np.ones((1, 4, 6, 8, 3))).shape
    (1, 2, 3, 4, 3)
    """

    rank = 3


MaxPool1D, MaxPool2D, MaxPool3D = MaxPooling1D, MaxPooling2D, MaxPooling3D
AvgPool1D, AvgPool2D, AvgPool3D = AveragePooling1D, AveragePooling2D, AveragePooling3D
