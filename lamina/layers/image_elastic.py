"""RandomElasticTransform: images as if they were drawn on rubber."""

from __future__ import annotations

from typing import Any

from lamina import ops, random
from lamina.layers.arguments import choice, number
from lamina.layers.image_layer import (
    FILL_MODES,
    Factor,
    RandomImageLayer,
    factor_range,
    per_image,
    value_range_of,
)
from lamina.layers.registry import REGISTRY
from lamina.ops.warping import displaced

# How far pixels move, and how smoothly, as shares of the longer and of the shorter side.
_FAR, _SMOOTH = 0.1, 0.05


@REGISTRY.register
class RandomElasticTransform(RandomImageLayer):
    """While training: distorts some images by smooth random displacements of their pixels.

    factor: the range (lower, upper) of the chance that an image is changed, from 0 to 1; f stands for (0, f).
    scale: the range of the strength, drawn once for each batch; s stands for (0, s). interpolation:
    "bilinear" or "nearest". fill_mode, fill_value: what appears at the edges, as for RandomRotation.
    value_range: (darkest, brightest). The shape stays; masks are distorted as their images are, bounding
    boxes cannot be. Raises ArgumentError for anything else.

    >>> RandomElasticTransform(seed=1)(np.ones((2, 8, 8, 1)), training=True).shape
    (2, 8, 8, 1)

    Source: P. Simard et al., "Best Practices for Convolutional Neural Networks" (2003).
    """

    _moves_boxes = False

    def __init__(
        self,
        factor: Factor = 1.0,
        scale: Factor = 1.0,
        interpolation: str = "bilinear",
        fill_mode: str = "reflect",
        fill_value: float = 0.0,
        value_range: tuple[float, float] = (0, 255),
        seed: int | None = None,
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(seed, data_format, **kwargs)
        self.factor = factor_range(factor, "factor", self, low=0.0)
        self.scale = factor_range(scale, "scale", self, low=0.0)
        self.interpolation = choice(interpolation, "interpolation", self, ("nearest", "bilinear"))
        self.fill_mode = choice(fill_mode, "fill_mode", self, FILL_MODES)
        self.fill_value = number(fill_value, "fill_value", self)
        self.value_range = value_range_of(value_range, self)

    def get_random_transformation(self, data: Any, training: bool = True, seed: Any = None) -> Any:
        if not training or not self.scale[1] or not self.factor[1]:
            return None
        count, height, width = data.shape[:3]
        applied = self._happens(data, self.factor, seed)
        strength = self._uniform((), *self.scale, seed) + 1e-6
        generator = self.generator if seed is None else seed
        noise = random.normal((count, height, width, 2), dtype=self.compute_dtype, seed=generator)
        deviation = _SMOOTH * min(height, width) * strength
        # The kernel has a fixed size, that of the greatest strength: three deviations to each side.
        size = int(6 * _SMOOTH * min(height, width) * self.scale[1]) | 1
        smooth = ops.image.gaussian_blur(noise * deviation, size, ops.stack([deviation, deviation]))
        return {"apply_transform": applied, "shifts": smooth * (_FAR * max(height, width) * strength)}

    def transform_images(self, images: Any, transformation: Any, training: bool = True) -> Any:
        images = self._as_floats(images)
        if not training or transformation is None:
            return images
        return ops.clip(self._distorted(images, transformation, self.interpolation), *self.value_range)

    def transform_segmentation_masks(self, masks: Any, transformation: Any, training: bool = True) -> Any:
        if not training or transformation is None:
            return masks
        return self._distorted(masks, transformation, "nearest")

    def _distorted(self, images: Any, transformation: Any, interpolation: str) -> Any:
        shifts = transformation["shifts"]
        distorted = displaced(images, shifts, interpolation, self.fill_mode, self.fill_value)
        chosen = per_image(transformation["apply_transform"])
        return ops.where(chosen, ops.cast(distorted, images.dtype), images)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "factor": self.factor,
            "scale": self.scale,
            "interpolation": self.interpolation,
            "fill_mode": self.fill_mode,
            "fill_value": self.fill_value,
            "value_range": self.value_range,
        }
