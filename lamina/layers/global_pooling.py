"""Pooling to a fixed size: over all places (global), or over as many windows as are wanted (adaptive)."""

from __future__ import annotations

from typing import Any

from lamina import ops
from lamina.layers.registry import REGISTRY
from lamina.layers.spatial import Numbers, SpatialLayer


class _GlobalPooling(SpatialLayer):
    """One number for each channel, from all its places."""

    _needs_build = False

    def __init__(self, data_format: str | None = None, keepdims: bool = False, **kwargs: Any) -> None:
        super().__init__(data_format, **kwargs)
        self.keepdims = keepdims

    @property
    def _axes(self) -> tuple[int, ...]:
        return tuple(range(1, self.rank + 1))

    def compute_output_shape(self, input_shape: Any) -> Any:
        kept = (1,) * self.rank if self.keepdims else ()
        return (input_shape[0], *kept, input_shape[-1])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "data_format": self.data_format, "keepdims": self.keepdims}


class _GlobalMaxPooling(_GlobalPooling):
    def call(self, inputs: Any) -> Any:
        return ops.max(inputs, axis=self._axes, keepdims=self.keepdims)


class _GlobalAveragePooling(_GlobalPooling):
    def call(self, inputs: Any) -> Any:
        return ops.mean(inputs, axis=self._axes, keepdims=self.keepdims)


@REGISTRY.register
class GlobalMaxPooling1D(_GlobalMaxPooling):
    """The largest over all steps: (batch, steps, channels) -> (batch, channels), or (batch, 1, channels).

    keepdims: keep axes of one place. Raises ShapeError for an input of another rank.

    >>> GlobalMaxPooling1D()(np.array([[[1.0], [3.0]]]))
    Array([[3.]], dtype=float32)
    """

    rank = 1


@REGISTRY.register
class GlobalMaxPooling2D(_GlobalMaxPooling):
    """The largest over each image: (batch, height, width, channels) -> (batch, channels).

    keepdims: (batch, 1, 1, channels) instead. Raises ShapeError for an input of another rank.

    >>> GlobalMaxPooling2D()(np.ones((2, 7, 7, 3))).shape
    (2, 3)
    """

    rank = 2


@REGISTRY.register
class GlobalMaxPooling3D(_GlobalMaxPooling):
    """The largest over each volume: (batch, depth, height, width, channels) -> (batch, channels).

    keepdims: (batch, 1, 1, 1, channels) instead. Raises ShapeError for an input of another rank.

    >>> GlobalMaxPooling3D(keepdims=True)(np.ones((2, 4, 4, 4, 3))).shape
    (2, 1, 1, 1, 3)
    """

    rank = 3


@REGISTRY.register
class GlobalAveragePooling1D(_GlobalAveragePooling):
    """The average over all steps: (batch, steps, channels) -> (batch, channels), or (batch, 1, channels).

    Steps that a mask excludes do not count. keepdims: keep an axis of one step. Raises ShapeError for an
    input of another rank.

    >>> GlobalAveragePooling1D()(np.array([[[1.0], [3.0]]]))
    Array([[2.]], dtype=float32)
    """

    rank = 1

    def __init__(self, data_format: str | None = None, keepdims: bool = False, **kwargs: Any) -> None:
        super().__init__(data_format, keepdims, **kwargs)
        self.supports_masking = True

    def call(self, inputs: Any, mask: Any = None) -> Any:
        if mask is None:
            return super().call(inputs)
        real = ops.expand_dims(ops.cast(mask, "bool"), 2)
        total = ops.sum(ops.where(real, inputs, 0), axis=1, keepdims=self.keepdims)
        return total / ops.sum(ops.cast(real, inputs.dtype), axis=1, keepdims=self.keepdims)

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        return None


@REGISTRY.register
class GlobalAveragePooling2D(_GlobalAveragePooling):
    """The average over each image: (batch, height, width, channels) -> (batch, channels).

    keepdims: (batch, 1, 1, channels) instead. Raises ShapeError for an input of another rank.

    >>> GlobalAveragePooling2D()(np.ones((2, 7, 7, 3))).shape
    (2, 3)
    """

    rank = 2


@REGISTRY.register
class GlobalAveragePooling3D(_GlobalAveragePooling):
    """The average over each volume: (batch, depth, height, width, channels) -> (batch, channels).

    keepdims: (batch, 1, 1, 1, channels) instead. Raises ShapeError for an input of another rank.

    >>> GlobalAveragePooling3D(keepdims=True)(np.ones((2, 4, 4, 4, 3))).shape
    (2, 1, 1, 1, 3)
    """

    rank = 3


class _AdaptivePooling(SpatialLayer):
    """Windows that cover it evenly: number i of m over n places is floor(i n / m) to ceil((i + 1) n / m)."""

    _needs_build = False

    def __init__(self, output_size: Numbers, data_format: str | None = None, **kwargs: Any) -> None:
        super().__init__(data_format, **kwargs)
        self.output_size = self._per_axis(output_size, "output_size")

    def compute_output_shape(self, input_shape: Any) -> Any:
        return (input_shape[0], *self.output_size, input_shape[-1])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "output_size": self.output_size, "data_format": self.data_format}


class _AdaptiveMaxPooling(_AdaptivePooling):
    def call(self, inputs: Any) -> Any:
        return ops.adaptive_max_pool(inputs, self.output_size)


class _AdaptiveAveragePooling(_AdaptivePooling):
    def call(self, inputs: Any) -> Any:
        return ops.adaptive_average_pool(inputs, self.output_size)


@REGISTRY.register
class AdaptiveMaxPooling1D(_AdaptiveMaxPooling):
    """The largest of each of `output_size` windows of (batch, steps, channels).

    Windows cover the steps evenly and may share some. Raises ArgumentError unless `output_size` is a whole
    number of at least 1, ShapeError for an input of another rank.

    >>> AdaptiveMaxPooling1D(2)(np.ones((1, 5, 3))).shape
    (1, 2, 3)
    """

    rank = 1


@REGISTRY.register
class AdaptiveMaxPooling2D(_AdaptiveMaxPooling):
    """The largest of each of `output_size` windows of (batch, height, width, channels).

    output_size: one number, or (rows, columns). Otherwise as AdaptiveMaxPooling1D.

    >>> AdaptiveMaxPooling2D(7)(np.ones((1, 30, 20, 3))).shape
    (1, 7, 7, 3)
    """

    rank = 2


@REGISTRY.register
class AdaptiveMaxPooling3D(_AdaptiveMaxPooling):
    """The largest of each of `output_size` windows of (batch, depth, height, width, channels).

    output_size: one number, or three. Otherwise as AdaptiveMaxPooling1D.

    >>> AdaptiveMaxPooling3D(2)(np.ones((1, 5, 6, 7, 3))).shape
    (1, 2, 2, 2, 3)
    """

    rank = 3


@REGISTRY.register
class AdaptiveAveragePooling1D(_AdaptiveAveragePooling):
    """The average of each of `output_size` windows of (batch, steps, channels). As AdaptiveMaxPooling1D.

    >>> AdaptiveAveragePooling1D(2)(np.ones((1, 5, 3))).shape
    (1, 2, 3)
    """

    rank = 1


@REGISTRY.register
class AdaptiveAveragePooling2D(_AdaptiveAveragePooling):
    """The average of each of `output_size` windows of images. As AdaptiveMaxPooling2D.

    >>> AdaptiveAveragePooling2D((7, 5))(np.ones((1, 30, 20, 3))).shape
    (1, 7, 5, 3)
    """

    rank = 2


@REGISTRY.register
class AdaptiveAveragePooling3D(_AdaptiveAveragePooling):
    """The average of each of `output_size` windows of volumes. As AdaptiveMaxPooling3D.

    >>> AdaptiveAveragePooling3D(2)(np.ones((1, 5, 6, 7, 3))).shape
    (1, 2, 2, 2, 3)
    """

    rank = 3


GlobalMaxPool1D, GlobalMaxPool2D, GlobalMaxPool3D = GlobalMaxPooling1D, GlobalMaxPooling2D, GlobalMaxPooling3D
GlobalAvgPool1D, GlobalAvgPool2D = GlobalAveragePooling1D, GlobalAveragePooling2D
GlobalAvgPool3D = GlobalAveragePooling3D
