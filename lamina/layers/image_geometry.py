"""Random changes of where the pixels of images are: flips, rotations, zooms, shifts, shears, perspectives."""

from __future__ import annotations

import math
from typing import Any

from lamina import ops
from lamina.core.errors import ShapeError
from lamina.layers import boxes
from lamina.layers.arguments import choice, number, positive_integer
from lamina.layers.image_layer import FILL_MODES, Factor, RandomImageLayer, factor_range, per_image
from lamina.layers.input_spec import describe_layer
from lamina.layers.registry import REGISTRY
from lamina.ops.linear_maps import homography


@REGISTRY.register
class RandomFlip(RandomImageLayer):
    """While training: mirrors about half of the images.

    mode: "horizontal" (left and right change places), "vertical", or "horizontal_and_vertical", each with a
    chance of one half. The shape stays. Raises ArgumentError for another mode.

    >>> RandomFlip("horizontal", seed=1)(np.arange(6.0).reshape(1, 2, 3, 1), training=True).shape
    (1, 2, 3, 1)
    """

    def __init__(
        self,
        mode: str = "horizontal_and_vertical",
        seed: int | None = None,
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(seed, data_format, **kwargs)
        self.mode = choice(mode, "mode", self, ("horizontal", "vertical", "horizontal_and_vertical"))

    def get_random_transformation(self, data: Any, training: bool = True, seed: Any = None) -> Any:
        if not training:
            return None
        return {
            direction: self._uniform((data.shape[0],), 0.0, 1.0, seed) < 0.5
            for direction in ("horizontal", "vertical")
            if direction in self.mode
        }

    def transform_images(self, images: Any, transformation: Any, training: bool = True) -> Any:
        return self._flipped(self._as_floats(images), transformation, training)

    def transform_segmentation_masks(self, masks: Any, transformation: Any, training: bool = True) -> Any:
        return self._flipped(masks, transformation, training)

    def _flipped(self, images: Any, transformation: Any, training: bool) -> Any:
        if training and transformation is not None:
            for direction, axis in (("horizontal", 2), ("vertical", 1)):
                if direction in transformation:
                    chosen = per_image(transformation[direction])
                    images = ops.where(chosen, ops.flip(images, axis=axis), images)
        return images

    def _moved_boxes(
        self, corners: Any, transformation: Any, image_size: tuple[int, int], training: bool
    ) -> Any:
        if not training or transformation is None:
            return None
        left, top, right, bottom = (corners[..., place] for place in range(4))
        height, width = image_size
        if "horizontal" in transformation:
            flipped = transformation["horizontal"][:, None]
            left, right = ops.where(flipped, width - right, left), ops.where(flipped, width - left, right)
        if "vertical" in transformation:
            flipped = transformation["vertical"][:, None]
            top, bottom = ops.where(flipped, height - bottom, top), ops.where(flipped, height - top, bottom)
        return ops.stack([left, top, right, bottom], axis=-1)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "mode": self.mode}


class _Warp(RandomImageLayer):
    """An affine map of the places, drawn for each image: `_matrix` gives its eight numbers."""

    def __init__(
        self,
        fill_mode: str,
        interpolation: str,
        seed: int | None,
        fill_value: float,
        data_format: str | None,
        **kwargs: Any,
    ) -> None:
        super().__init__(seed, data_format, **kwargs)
        self.fill_mode = choice(fill_mode, "fill_mode", self, FILL_MODES)
        self.interpolation = choice(interpolation, "interpolation", self, ("nearest", "bilinear"))
        self.fill_value = number(fill_value, "fill_value", self)

    def _matrix(self, transformation: Any, height: int, width: int) -> Any:
        raise NotImplementedError

    def transform_images(self, images: Any, transformation: Any, training: bool = True) -> Any:
        return self._warped(self._as_floats(images), transformation, training, self.interpolation)

    def transform_segmentation_masks(self, masks: Any, transformation: Any, training: bool = True) -> Any:
        return self._warped(masks, transformation, training, "nearest")

    def _warped(self, images: Any, transformation: Any, training: bool, interpolation: str) -> Any:
        if not training or transformation is None:
            return images
        matrix = self._matrix(transformation, *images.shape[1:3])
        return ops.image.affine_transform(images, matrix, interpolation, self.fill_mode, self.fill_value)

    def _moved_boxes(
        self, corners: Any, transformation: Any, image_size: tuple[int, int], training: bool
    ) -> Any:
        if not training or transformation is None:
            return None
        return boxes.mapped(corners, boxes.inverse_affine(self._matrix(transformation, *image_size)))

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "fill_mode": self.fill_mode,
            "interpolation": self.interpolation,
            "fill_value": self.fill_value,
        }


def _affine(*columns: Any) -> Any:
    """The rows [a0, a1, a2, b0, b1, b2, 0, 0] of numbers that are one for each image, or constant."""
    first = next(column for column in columns if hasattr(column, "shape"))
    zero = ops.zeros_like(first)
    return ops.stack([zero + column for column in (*columns, 0.0, 0.0)], axis=1)


@REGISTRY.register
class RandomRotation(_Warp):
    """While training: turns each image about its centre, by an angle of its own.

    factor: the range of angles as shares of a full turn, (lower, upper), counter-clockwise; f stands for
    (-f, f). fill_mode: what appears at the edges, "reflect", "wrap", "constant" (`fill_value`) or "nearest".
    interpolation: "bilinear" or "nearest". The shape stays. Raises ArgumentError for anything else.

    >>> RandomRotation(0.1, seed=1)(np.ones((2, 8, 8, 1)), training=True).shape
    (2, 8, 8, 1)
    """

    def __init__(
        self,
        factor: Factor,
        fill_mode: str = "reflect",
        interpolation: str = "bilinear",
        seed: int | None = None,
        fill_value: float = 0.0,
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(fill_mode, interpolation, seed, fill_value, data_format, **kwargs)
        self.factor = factor_range(factor, "factor", self)

    def get_random_transformation(self, data: Any, training: bool = True, seed: Any = None) -> Any:
        if not training:
            return None
        lower, upper = self.factor
        return {"angle": self._uniform((data.shape[0],), 360.0 * lower, 360.0 * upper, seed)}

    def _matrix(self, transformation: Any, height: int, width: int) -> Any:
        angle = transformation["angle"] * (math.pi / 180.0)
        cosine, sine = ops.cos(angle), ops.sin(angle)
        x, y = 0.5 * (width - 1), 0.5 * (height - 1)
        return _affine(cosine, -sine, x - x * cosine + y * sine, sine, cosine, y - x * sine - y * cosine)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "factor": self.factor}


@REGISTRY.register
class RandomZoom(_Warp):
    """While training: enlarges or shrinks each image about its centre; the shape stays.

    height_factor: the range (lower, upper) of relative changes, f for (-f, f): -0.2 enlarges by a fifth, 0.2
    shrinks. width_factor: the same for the width; None keeps the aspect ratio. Other arguments and errors as
    for RandomRotation.

    >>> RandomZoom(0.2, seed=1)(np.ones((2, 8, 8, 1)), training=True).shape
    (2, 8, 8, 1)
    """

    def __init__(
        self,
        height_factor: Factor,
        width_factor: Factor | None = None,
        fill_mode: str = "reflect",
        interpolation: str = "bilinear",
        seed: int | None = None,
        fill_value: float = 0.0,
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(fill_mode, interpolation, seed, fill_value, data_format, **kwargs)
        self.height_factor = factor_range(height_factor, "height_factor", self)
        self.width_factor = None if width_factor is None else factor_range(width_factor, "width_factor", self)

    def get_random_transformation(self, data: Any, training: bool = True, seed: Any = None) -> Any:
        if not training:
            return None
        shape = (data.shape[0], 1)
        height = self._uniform(shape, 1.0 + self.height_factor[0], 1.0 + self.height_factor[1], seed)
        width = height
        if self.width_factor is not None:
            width = self._uniform(shape, 1.0 + self.width_factor[0], 1.0 + self.width_factor[1], seed)
        return {"height_zoom": height, "width_zoom": width}

    def _matrix(self, transformation: Any, height: int, width: int) -> Any:
        x, y = transformation["width_zoom"][:, 0], transformation["height_zoom"][:, 0]
        return _affine(x, 0.0, 0.5 * (width - 1) * (1.0 - x), 0.0, y, 0.5 * (height - 1) * (1.0 - y))

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "height_factor": self.height_factor,
            "width_factor": self.width_factor,
        }


@REGISTRY.register
class RandomTranslation(_Warp):
    """While training: shifts each image; the shape stays.

    height_factor, width_factor: the range (lower, upper) of shifts as shares of the height and the width, f
    for (-f, f); down and to the right is positive. Other arguments and errors as for RandomRotation.

    >>> RandomTranslation(0.1, 0.1, seed=1)(np.ones((2, 8, 8, 1)), training=True).shape
    (2, 8, 8, 1)
    """

    def __init__(
        self,
        height_factor: Factor,
        width_factor: Factor,
        fill_mode: str = "reflect",
        interpolation: str = "bilinear",
        seed: int | None = None,
        fill_value: float = 0.0,
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(fill_mode, interpolation, seed, fill_value, data_format, **kwargs)
        self.height_factor = factor_range(height_factor, "height_factor", self)
        self.width_factor = factor_range(width_factor, "width_factor", self)

    def get_random_transformation(self, data: Any, training: bool = True, seed: Any = None) -> Any:
        if not training:
            return None
        count, height, width = data.shape[:3]
        down = self._uniform((count, 1), *self.height_factor, seed) * height
        right = self._uniform((count, 1), *self.width_factor, seed) * width
        return {"translations": ops.concatenate([right, down], axis=1)}

    def _matrix(self, transformation: Any, height: int, width: int) -> Any:
        shifts = transformation["translations"]
        return _affine(1.0, 0.0, -shifts[:, 0], 0.0, 1.0, -shifts[:, 1])

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "height_factor": self.height_factor,
            "width_factor": self.width_factor,
        }


@REGISTRY.register
class RandomShear(_Warp):
    """While training: slants each image along x and y, to a random side; the shape stays.

    x_factor, y_factor: the range (lower, upper) of slopes, from -1 to 1; f stands for (-f, f). Other
    arguments and errors as for RandomRotation.

    >>> RandomShear(0.2, 0.1, seed=1)(np.ones((2, 8, 8, 1)), training=True).shape
    (2, 8, 8, 1)
    """

    def __init__(
        self,
        x_factor: Factor = 0.0,
        y_factor: Factor = 0.0,
        interpolation: str = "bilinear",
        fill_mode: str = "reflect",
        fill_value: float = 0.0,
        data_format: str | None = None,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(fill_mode, interpolation, seed, fill_value, data_format, **kwargs)
        self.x_factor = factor_range(x_factor, "x_factor", self)
        self.y_factor = factor_range(y_factor, "y_factor", self)

    def get_random_transformation(self, data: Any, training: bool = True, seed: Any = None) -> Any:
        if not training:
            return None
        shape = (data.shape[0], 1)
        side = ops.where(self._uniform(shape, 0.0, 1.0, seed) > 0.5, -1.0, 1.0)
        y, x = self._uniform(shape, *self.y_factor, seed), self._uniform(shape, *self.x_factor, seed)
        return {"shear_factor": ops.concatenate([x, y], axis=1) * side}

    def _matrix(self, transformation: Any, height: int, width: int) -> Any:
        slopes = transformation["shear_factor"]
        return _affine(1.0, slopes[:, 0], 0.0, slopes[:, 1], 1.0, 0.0)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "x_factor": self.x_factor, "y_factor": self.y_factor}


@REGISTRY.register
class RandomPerspective(RandomImageLayer):
    """While training: draws images as if they were seen from another side; the shape stays.

    factor: the range (lower, upper) of the chance that an image is changed, from 0 to 1; f stands for
    (0, f). scale: how far the corners move, from 0 to 1. interpolation: "bilinear" or "nearest". fill_value:
    of what lies outside. Raises ArgumentError for anything else.

    >>> RandomPerspective(seed=1)(np.ones((2, 8, 8, 1)), training=True).shape
    (2, 8, 8, 1)
    """

    def __init__(
        self,
        factor: Factor = 1.0,
        scale: float = 1.0,
        interpolation: str = "bilinear",
        fill_value: float = 0.0,
        seed: int | None = None,
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(seed, data_format, **kwargs)
        self.factor = factor_range(factor, "factor", self, low=0.0)
        self.scale = number(scale, "scale", self, 0.0, 1.0)
        self.interpolation = choice(interpolation, "interpolation", self, ("nearest", "bilinear"))
        self.fill_value = number(fill_value, "fill_value", self)

    def get_random_transformation(self, data: Any, training: bool = True, seed: Any = None) -> Any:
        if not training:
            return None
        count, height, width = data.shape[:3]
        right, bottom = width - 1.0, height - 1.0
        corners = ops.cast([[0.0, 0.0], [right, 0.0], [0.0, bottom], [right, bottom]], self.compute_dtype)
        start = ops.broadcast_to(corners, (count, 4, 2))
        moved = self._uniform((count, 4, 2), -0.5 * self.scale, 0.5 * self.scale, seed)
        return {
            "apply_perspective": self._happens(data, self.factor, seed),
            "start_points": start,
            "end_points": start + start * moved,
        }

    def transform_images(self, images: Any, transformation: Any, training: bool = True) -> Any:
        return self._seen(self._as_floats(images), transformation, training, self.interpolation)

    def transform_segmentation_masks(self, masks: Any, transformation: Any, training: bool = True) -> Any:
        return self._seen(masks, transformation, training, "nearest")

    def _seen(self, images: Any, transformation: Any, training: bool, interpolation: str) -> Any:
        if not training or transformation is None:
            return images
        seen = ops.image.perspective_transform(
            images,
            transformation["start_points"],
            transformation["end_points"],
            interpolation,
            self.fill_value,
        )
        return ops.where(per_image(transformation["apply_perspective"]), ops.cast(seen, images.dtype), images)

    def _moved_boxes(
        self, corners: Any, transformation: Any, image_size: tuple[int, int], training: bool
    ) -> Any:
        if not training or transformation is None:
            return None
        seen = boxes.mapped(corners, homography(transformation["start_points"], transformation["end_points"]))
        return ops.where(ops.reshape(transformation["apply_perspective"], (-1, 1, 1)), seen, corners)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "factor": self.factor,
            "scale": self.scale,
            "interpolation": self.interpolation,
            "fill_value": self.fill_value,
        }


@REGISTRY.register
class RandomCrop(RandomImageLayer):
    """Cuts (height, width) out of images: at a random place while training, from the middle otherwise.

    An image that is too small is enlarged first, keeping its aspect ratio. All images of a batch are cut at
    one place. Raises ArgumentError unless height and width are positive.

    >>> RandomCrop(6, 7, seed=1)(np.ones((2, 8, 8, 1)), training=True).shape
    (2, 6, 7, 1)
    """

    def __init__(
        self,
        height: int,
        width: int,
        seed: int | None = None,
        data_format: str | None = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(seed, data_format, name=name, **kwargs)
        self.height = positive_integer(height, "height", self)
        self.width = positive_integer(width, "width", self)

    def get_random_transformation(self, data: Any, training: bool = True, seed: Any = None) -> Any:
        height, width = data.shape[1:3]
        if not training or height < self.height or width < self.width:
            return None
        top = self._uniform((), 0.0, float(height - self.height + 1), seed)
        left = self._uniform((), 0.0, float(width - self.width + 1), seed)
        return ops.cast(top, "int32"), ops.cast(left, "int32")

    def transform_images(self, images: Any, transformation: Any, training: bool = True) -> Any:
        images = self._as_floats(images)
        if transformation is None:
            return ops.image.resize(images, (self.height, self.width), crop_to_aspect_ratio=True)
        top, left = transformation
        rows = ops.take(images, ops.arange(self.height) + top, axis=1)
        return ops.take(rows, ops.arange(self.width) + left, axis=2)

    def transform_segmentation_masks(self, masks: Any, transformation: Any, training: bool = True) -> Any:
        if transformation is None:
            size = (self.height, self.width)
            return ops.image.resize(masks, size, interpolation="nearest", crop_to_aspect_ratio=True)
        return ops.cast(self.transform_images(masks, transformation, training), masks.dtype)

    def _moved_boxes(
        self, corners: Any, transformation: Any, image_size: tuple[int, int], training: bool
    ) -> Any:
        if transformation is None:
            return boxes.resized(corners, image_size, (self.height, self.width), "crop")
        top, left = (ops.cast(start, corners.dtype) for start in transformation)
        return corners - ops.stack([left, top, left, top])

    def compute_output_shape(self, input_shape: Any) -> Any:
        if len(input_shape) < 3:
            raise ShapeError(f"{describe_layer(self)} takes images.", got=f"shape {tuple(input_shape)}")
        return (*input_shape[:-3], self.height, self.width, input_shape[-1])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "height": self.height, "width": self.width}
