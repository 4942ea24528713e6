"""Layers that spread the values of images over their range: AutoContrast, Equalization, and that in tiles."""

from __future__ import annotations

from typing import Any

import numpy as np

from lamina import ops
from lamina.layers.arguments import integer_tuple, number, positive_integer
from lamina.layers.image_layer import ImageLayer, rescaled, value_range_of
from lamina.layers.registry import REGISTRY

Range = tuple[float, float]
_BYTES = (0, 255)


@REGISTRY.register
class AutoContrast(ImageLayer):
    """Stretches each channel of each image over the whole of `value_range`; an even channel stays.

    The shape stays. Raises ArgumentError for a `value_range` that is none.

    >>> AutoContrast()(np.array([[[[50.0], [100.0]]]]))[0, 0, :, 0]
    Array([  0., 255.], dtype=float32)
    """

    def __init__(self, value_range: Range = (0, 255), **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.value_range = value_range_of(value_range, self)

    def transform_images(self, images: Any, transformation: Any = None, training: bool = True) -> Any:
        images = self._as_floats(images)
        low = ops.min(images, axis=(1, 2), keepdims=True)
        high = ops.max(images, axis=(1, 2), keepdims=True)
        even = high <= low
        darkest, brightest = self.value_range
        share = (images - low) / ops.where(even, 1.0, high - low)
        return ops.where(even, images, darkest + share * (brightest - darkest))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "value_range": self.value_range}


@REGISTRY.register
class Equalization(ImageLayer):
    """Changes the values of each channel of each image so that all become equally frequent.

    bins: how many different values there are afterwards, at most. The shape stays. Raises ArgumentError for a
    `value_range` or `bins` that make no sense.

    >>> Equalization()(np.array([[[[10.0], [11.0], [12.0]]]]))[0, 0, :, 0]
    Array([  0., 128., 255.], dtype=float32)
    """

    def __init__(
        self, value_range: Range = (0, 255), bins: int = 256, data_format: str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(data_format, **kwargs)
        self.value_range = value_range_of(value_range, self)
        self.bins = positive_integer(bins, "bins", self)

    def transform_images(self, images: Any, transformation: Any = None, training: bool = True) -> Any:
        images = self._as_floats(images)
        if not training:
            return images
        count, height, width, channels = images.shape
        levels = rescaled(images, self.value_range, _BYTES)
        bins = ops.cast(ops.clip(levels * ((self.bins - 1) / 255.0), 0, self.bins - 1), "int32")
        # One histogram after another: every channel of every image has `bins` numbers of its own.
        table = ops.reshape(ops.arange(count * channels), (count, 1, 1, channels)) * self.bins
        places = ops.reshape(bins + table, (-1,))
        ones = ops.ones(places.shape, dtype="float32")
        histogram = ops.segment_sum(ones, places, num_segments=count * channels * self.bins)
        below = ops.cumsum(ops.reshape(histogram, (count * channels, self.bins)), axis=1)
        first = ops.min(ops.where(below > 0, below, float(height * width)), axis=1, keepdims=True)
        spread = height * width - first
        look_up = ops.round((below - first) * 255.0 / ops.where(spread > 0, spread, 1.0))
        flat = ops.reshape(ops.clip(look_up, *_BYTES), (-1,))
        equalized = ops.reshape(ops.take(flat, places), images.shape)
        even = ops.reshape(spread <= 0, (count, 1, 1, channels))
        equalized = ops.where(even, levels, ops.cast(equalized, images.dtype))
        return rescaled(equalized, _BYTES, self.value_range)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "value_range": self.value_range, "bins": self.bins}


@REGISTRY.register
class ContrastLimitedAdaptiveHistogramEqualization(ImageLayer):
    """Changes the values of each image so that in every part of it all become about equally frequent.

    tile_grid_size: (rows, columns) of the tiles that images are divided into, each of which has a histogram;
    between the centres of tiles, their changes are interpolated. clip_limit: how many times more often than
    the average a value may count, which limits the contrast; 0 for no limit. The shape stays. Raises
    ArgumentError for arguments that make no sense.

    >>> ContrastLimitedAdaptiveHistogramEqualization()(np.zeros((2, 16, 16, 3))).shape
    (2, 16, 16, 3)

    Source: K. Zuiderveld, "Contrast Limited Adaptive Histogram Equalization", in Graphics Gems IV (1994).
    """

    _LEVELS = 256

    def __init__(
        self,
        value_range: Range = (0, 255),
        clip_limit: float = 4.0,
        tile_grid_size: tuple[int, int] = (8, 8),
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(data_format, **kwargs)
        self.value_range = value_range_of(value_range, self)
        self.clip_limit = number(clip_limit, "clip_limit", self, low=0.0)
        self.tile_grid_size = integer_tuple(tile_grid_size, 2, "tile_grid_size", self)

    def transform_images(self, images: Any, transformation: Any = None, training: bool = True) -> Any:
        levels = rescaled(self._as_floats(images), self.value_range, _BYTES)
        _, height, width, _ = levels.shape
        sizes = [-(-extent // tiles) for extent, tiles in zip((height, width), self.tile_grid_size)]
        margins = [
            tiles * size - extent for tiles, size, extent in zip(self.tile_grid_size, sizes, (height, width))
        ]
        if any(margins):
            levels = ops.pad(levels, [(0, 0), (0, margins[0]), (0, margins[1]), (0, 0)], mode="symmetric")
        bins = ops.cast(ops.clip(levels, *_BYTES), "int32")
        table = self._table(bins, sizes)
        equalized = ops.cast(self._interpolated(table, bins, sizes), self.compute_dtype)
        return rescaled(equalized[:, :height, :width], _BYTES, self.value_range)

    def _table(self, bins: Any, sizes: list[int]) -> Any:
        """What each level becomes in each tile, (batch * tiles * channels, 256), row after row of tiles."""
        places = [np.repeat(np.arange(tiles), size) for tiles, size in zip(self.tile_grid_size, sizes)]
        area = sizes[0] * sizes[1]
        found = self._places(bins, places[0], places[1])
        lines = bins.shape[0] * self.tile_grid_size[0] * self.tile_grid_size[1] * bins.shape[-1]
        flat = ops.reshape(found, (-1,))
        histogram = ops.segment_sum(ops.ones(flat.shape), flat, num_segments=lines * self._LEVELS)
        histogram = ops.reshape(histogram, (lines, self._LEVELS))
        if self.clip_limit:
            kept = ops.minimum(histogram, self.clip_limit * area / self._LEVELS)
            histogram = kept + ops.sum(histogram - kept, axis=1, keepdims=True) / self._LEVELS
        below = ops.cumsum(histogram, axis=1)
        first = below[:, :1]
        rest = area - first
        return ops.clip((below - first) * 255.0 / ops.where(rest == 0, 1.0, rest), *_BYTES)

    def _interpolated(self, table: Any, bins: Any, sizes: list[int]) -> Any:
        """The levels after the changes of the four tiles whose centres are nearest, by distance."""
        flat = ops.reshape(table, (-1,))
        axes = []
        for tiles, size in zip(self.tile_grid_size, sizes):
            centres = (np.arange(tiles * size) - size / 2) / size
            before = np.floor(centres)
            near = [np.clip(before + step, 0, tiles - 1).astype("int64") for step in (0, 1)]
            weight = (centres - before).astype("float32")
            axes.append(list(zip(near, (1 - weight, weight))))
        total: Any = 0.0
        for rows, row_weight in axes[0]:
            for columns, column_weight in axes[1]:
                weight = (row_weight[:, None] * column_weight)[None, :, :, None]
                total = total + ops.take(flat, self._places(bins, rows, columns)) * weight
        return total

    def _places(self, bins: Any, rows: Any, columns: Any) -> Any:
        """Where in the flat table the levels of pixels are, that count to these rows and columns of tiles."""
        count, _, _, channels = bins.shape
        tiles = rows[:, None] * self.tile_grid_size[1] + columns
        images = np.arange(count)[:, None, None] * (self.tile_grid_size[0] * self.tile_grid_size[1])
        lines = (images + tiles)[..., None] * channels + np.arange(channels)
        return bins + ops.convert_to_tensor((lines * self._LEVELS).astype("int32"))

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "value_range": self.value_range,
            "clip_limit": self.clip_limit,
            "tile_grid_size": self.tile_grid_size,
        }
