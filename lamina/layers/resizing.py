"""Layers that give images a size: Resizing, CenterCrop."""

from __future__ import annotations

from typing import Any

from lamina import ops
from lamina.core.errors import ArgumentError
from lamina.layers import boxes
from lamina.layers.arguments import choice, number, positive_integer
from lamina.layers.image_layer import ImageLayer
from lamina.layers.input_spec import describe_layer
from lamina.layers.registry import REGISTRY
from lamina.layers.upsampling import INTERPOLATIONS


class _Sized(ImageLayer):
    """A layer out of which come images of one size."""

    def __init__(self, height: int, width: int, data_format: str | None, **kwargs: Any) -> None:
        super().__init__(data_format, **kwargs)
        self.height = positive_integer(height, "height", self)
        self.width = positive_integer(width, "width", self)

    def transform_segmentation_masks(self, masks: Any, transformation: Any, training: bool = True) -> Any:
        return ops.cast(self._sized(masks, "nearest"), masks.dtype)

    def _sized(self, images: Any, interpolation: str) -> Any:
        raise NotImplementedError

    def _moved_boxes(
        self, corners: Any, transformation: Any, image_size: tuple[int, int], training: bool
    ) -> Any:
        return boxes.resized(corners, image_size, (self.height, self.width), self._aspect)

    @property
    def _aspect(self) -> str | None:
        """How images are brought to another aspect ratio: "crop", "pad", or None for distortion."""
        return "crop"

    def compute_output_shape(self, input_shape: Any) -> Any:
        return (*input_shape[:-3], self.height, self.width, input_shape[-1])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "height": self.height, "width": self.width}


@REGISTRY.register
class Resizing(_Sized):
    """Brings images to (height, width).

    interpolation: "nearest", "bilinear", "bicubic", "lanczos3" or "lanczos5". crop_to_aspect_ratio: cut off
    what does not fit, so that nothing is distorted; pad_to_aspect_ratio: add borders of `fill_value` instead.
    antialias: average over the pixels that become one. Raises ArgumentError for anything else.

    >>> Resizing(4, 6)(np.ones((2, 8, 8, 3))).shape
    (2, 4, 6, 3)
    """

    def __init__(
        self,
        height: int,
        width: int,
        interpolation: str = "bilinear",
        crop_to_aspect_ratio: bool = False,
        pad_to_aspect_ratio: bool = False,
        fill_mode: str = "constant",
        fill_value: float = 0.0,
        antialias: bool = False,
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(height, width, data_format, **kwargs)
        self.interpolation = choice(interpolation, "interpolation", self, INTERPOLATIONS)
        if crop_to_aspect_ratio and pad_to_aspect_ratio:
            raise ArgumentError(
                f"{describe_layer(self)} can crop to the aspect ratio or pad to it, not both."
            )
        self.crop_to_aspect_ratio = crop_to_aspect_ratio
        self.pad_to_aspect_ratio = pad_to_aspect_ratio
        self.fill_mode = choice(fill_mode, "fill_mode", self, ("constant",))
        self.fill_value = number(fill_value, "fill_value", self)
        self.antialias = antialias

    def transform_images(self, images: Any, transformation: Any = None, training: bool = True) -> Any:
        return self._sized(self._as_floats(images), self.interpolation)

    def _sized(self, images: Any, interpolation: str) -> Any:
        return ops.image.resize(
            images,
            (self.height, self.width),
            interpolation=interpolation,
            antialias=self.antialias,
            crop_to_aspect_ratio=self.crop_to_aspect_ratio,
            pad_to_aspect_ratio=self.pad_to_aspect_ratio,
            fill_mode=self.fill_mode,
            fill_value=self.fill_value,
        )

    @property
    def _aspect(self) -> str | None:
        return "crop" if self.crop_to_aspect_ratio else "pad" if self.pad_to_aspect_ratio else None

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "interpolation": self.interpolation,
            "crop_to_aspect_ratio": self.crop_to_aspect_ratio,
            "pad_to_aspect_ratio": self.pad_to_aspect_ratio,
            "fill_mode": self.fill_mode,
            "fill_value": self.fill_value,
            "antialias": self.antialias,
        }


@REGISTRY.register
class CenterCrop(_Sized):
    """Cuts (height, width) out of the middle of images; smaller ones are enlarged first, undistorted.

    Raises ArgumentError unless height and width are positive.

    >>> CenterCrop(4, 6)(np.ones((2, 8, 8, 3))).shape
    (2, 4, 6, 3)
    """

    def __init__(self, height: int, width: int, data_format: str | None = None, **kwargs: Any) -> None:
        super().__init__(height, width, data_format, **kwargs)

    def transform_images(self, images: Any, transformation: Any = None, training: bool = True) -> Any:
        return self._sized(self._as_floats(images), "bilinear")

    def _sized(self, images: Any, interpolation: str) -> Any:
        top, left = images.shape[1] - self.height, images.shape[2] - self.width
        if top < 0 or left < 0:
            size = (self.height, self.width)
            return ops.image.resize(images, size, interpolation=interpolation, crop_to_aspect_ratio=True)
        top, left = top // 2, left // 2
        return images[:, top : top + self.height, left : left + self.width]

    def _moved_boxes(
        self, corners: Any, transformation: Any, image_size: tuple[int, int], training: bool
    ) -> Any:
        top, left = image_size[0] - self.height, image_size[1] - self.width
        if top < 0 or left < 0:
            return super()._moved_boxes(corners, transformation, image_size, training)
        return corners - [left // 2, top // 2, left // 2, top // 2]
