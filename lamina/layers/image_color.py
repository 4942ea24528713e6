"""Random changes of the colours of images. `value_range` says what is black and what is white."""

from __future__ import annotations

from typing import Any

from lamina import ops, random
from lamina.layers.arguments import integer_tuple, number
from lamina.layers.image_layer import (
    Factor,
    RandomImageLayer,
    factor_range,
    per_image,
    rescaled,
    value_range_of,
)
from lamina.layers.registry import REGISTRY

Range = tuple[float, float]
_BYTES = (0, 255)


class _Colour(RandomImageLayer):
    """A change of values within `value_range`, by a factor drawn for each image."""

    _bounds = (-1.0, 1.0)

    def __init__(
        self,
        factor: Factor,
        value_range: Range = (0, 255),
        data_format: str | None = None,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(seed, data_format, **kwargs)
        self.factor = factor_range(factor, "factor", self, *self._bounds)
        self.value_range = value_range_of(value_range, self)

    def get_random_transformation(self, data: Any, training: bool = True, seed: Any = None) -> Any:
        return {"factor": self._uniform((data.shape[0],), *self.factor, seed)} if training else None

    def transform_images(self, images: Any, transformation: Any, training: bool = True) -> Any:
        images = self._as_floats(images)
        return images if not training or transformation is None else self._changed(images, transformation)

    def _changed(self, images: Any, transformation: Any) -> Any:
        raise NotImplementedError

    def _clipped(self, images: Any) -> Any:
        return ops.clip(images, *self.value_range)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "factor": self.factor, "value_range": self.value_range}


@REGISTRY.register
class RandomBrightness(_Colour):
    """While training: adds a number to each image, and cuts off what leaves `value_range`.

    factor: the range (lower, upper) of the number as a share of the range of values, from -1 to 1; f stands
    for (-f, f). The shape stays. Raises ArgumentError for anything else.

    >>> RandomBrightness(0.2, seed=1)(np.full((2, 4, 4, 3), 100.0), training=True).shape
    (2, 4, 4, 3)
    """

    def __init__(
        self, factor: Factor, value_range: Range = (0, 255), seed: int | None = None, **kwargs: Any
    ) -> None:
        super().__init__(factor, value_range, seed=seed, **kwargs)

    def get_random_transformation(self, data: Any, training: bool = True, seed: Any = None) -> Any:
        if not training:
            return None
        darkest, brightest = self.value_range
        shares = self._uniform((data.shape[0], 1, 1, 1), *self.factor, seed)
        return {"rgb_delta": shares * (brightest - darkest)}

    def _changed(self, images: Any, transformation: Any) -> Any:
        return self._clipped(images + transformation["rgb_delta"])


@REGISTRY.register
class RandomContrast(_Colour):
    """While training: `(x - mean) * f + mean` for each channel of each image, cut off to `value_range`.

    factor: f lies between 1 - lower and 1 + upper for (lower, upper), from 0 to 1; a number stands for both.
    The shape stays. Raises ArgumentError for anything else.

    >>> RandomContrast(0.2, seed=1)(np.ones((2, 4, 4, 3)), training=True).shape
    (2, 4, 4, 3)
    """

    _bounds = (0.0, 1.0)

    def __init__(
        self, factor: Factor, value_range: Range = (0, 255), seed: int | None = None, **kwargs: Any
    ) -> None:
        both = factor if isinstance(factor, (tuple, list)) else (factor, factor)
        super().__init__(both, value_range, seed=seed, **kwargs)

    def get_random_transformation(self, data: Any, training: bool = True, seed: Any = None) -> Any:
        if not training:
            return None
        lower, upper = self.factor
        return {"contrast_factor": self._uniform((data.shape[0], 1, 1, 1), 1.0 - lower, 1.0 + upper, seed)}

    def _changed(self, images: Any, transformation: Any) -> Any:
        mean = ops.mean(images, axis=(1, 2), keepdims=True)
        return self._clipped((images - mean) * transformation["contrast_factor"] + mean)


@REGISTRY.register
class RandomHue(_Colour):
    """While training: turns the colours of each image around the circle of hues, by at most half of it.

    factor: the range (lower, upper) of half turns, from 0 to 1, to a random side; f stands for (0, f). The
    images must have three channels, red, green, blue. The shape stays. Raises ArgumentError for anything
    else.

    >>> RandomHue(0.5, seed=1)(np.ones((2, 4, 4, 3)), training=True).shape
    (2, 4, 4, 3)
    """

    _bounds = (0.0, 1.0)

    def get_random_transformation(self, data: Any, training: bool = True, seed: Any = None) -> Any:
        if not training:
            return None
        count = (data.shape[0],)
        side = ops.where(self._uniform(count, 0.0, 1.0, seed) > 0.5, -1.0, 1.0)
        return {"factor": 0.5 * side * self._uniform(count, *self.factor, seed)}

    def _changed(self, images: Any, transformation: Any) -> Any:
        images = ops.image.rgb_to_hsv(rescaled(images, self.value_range, (0, 1)))
        hue = images[..., 0:1] + per_image(transformation["factor"])
        hue = ops.where(hue > 1.0, hue - 1.0, ops.where(hue < 0.0, hue + 1.0, hue))
        images = ops.image.hsv_to_rgb(ops.concatenate([hue, images[..., 1:]], axis=-1))
        return rescaled(ops.clip(images, 0, 1), (0, 1), self.value_range)


@REGISTRY.register
class RandomSaturation(_Colour):
    """While training: multiplies the saturation of each image by f / (1 - f); half of f changes nothing.

    factor: the range (lower, upper) of f, from 0 (grey) to 1 (pure colours); f stands for (0, f). The images
    must have three channels, red, green, blue. The shape stays. Raises ArgumentError for anything else.

    >>> RandomSaturation((0.4, 0.6), seed=1)(np.ones((2, 4, 4, 3)), training=True).shape
    (2, 4, 4, 3)
    """

    _bounds = (0.0, 1.0)

    def get_random_transformation(self, data: Any, training: bool = True, seed: Any = None) -> Any:
        if not training:
            return None
        share = self._uniform((data.shape[0],), *self.factor, seed)
        return {"factor": share / (1.0 - share + 1e-7)}

    def _changed(self, images: Any, transformation: Any) -> Any:
        images = ops.image.rgb_to_hsv(rescaled(images, self.value_range, (0, 1)))
        saturation = ops.clip(images[..., 1:2] * per_image(transformation["factor"]), 0, 1)
        images = ops.concatenate([images[..., 0:1], saturation, images[..., 2:]], axis=-1)
        return rescaled(ops.image.hsv_to_rgb(images), (0, 1), self.value_range)


@REGISTRY.register
class RandomColorDegeneration(_Colour):
    """While training: moves the colours of each image towards grey, by a share of the way.

    factor: the range (lower, upper) of the share, from -1 to 1; f stands for (-f, f), where a negative share
    leads away from grey. The images must have three channels, red, green, blue. The shape stays. Raises
    ArgumentError for anything else.

    >>> RandomColorDegeneration(0.5, seed=1)(np.ones((2, 4, 4, 3)), training=True).shape
    (2, 4, 4, 3)
    """

    def _changed(self, images: Any, transformation: Any) -> Any:
        grey = ops.image.rgb_to_grayscale(images)
        return self._clipped(images + per_image(transformation["factor"]) * (grey - images))


@REGISTRY.register
class RandomSharpness(_Colour):
    """While training: blurs or sharpens each image.

    factor: the range (lower, upper) of f, from 0 (smooth) over 0.5 (nothing changes) to 1 (sharp); f stands
    for (0, f). The shape stays. Raises ArgumentError for anything else.

    >>> RandomSharpness((0.3, 0.9), seed=1)(np.ones((2, 4, 4, 3)), training=True).shape
    (2, 4, 4, 3)
    """

    _bounds = (0.0, 1.0)

    def _changed(self, images: Any, transformation: Any) -> Any:
        channels = images.shape[-1]
        weights = [[1.0, 1.0, 1.0], [1.0, 5.0, 1.0], [1.0, 1.0, 1.0]]
        kernel = ops.cast(ops.reshape(ops.array(weights), (3, 3, 1, 1)) / 13.0, images.dtype)
        kernel = ops.broadcast_to(kernel, (3, 3, channels, 1))
        smooth = ops.depthwise_conv(images, kernel, padding="same")
        amount = 1.0 - 2.0 * per_image(transformation["factor"])
        return self._clipped(images + amount * (smooth - images))


@REGISTRY.register
class RandomPosterization(_Colour):
    """While training: keeps only the first bits of each value, from 1 to 8.

    factor: the range (lower, upper) of the number of bits; f stands for (1, f). The shape stays. Raises
    ArgumentError for anything else.

    >>> RandomPosterization(3, seed=1)(np.full((2, 4, 4, 3), 100.0), training=True).shape
    (2, 4, 4, 3)
    """

    _bounds = (1.0, 8.0)

    def __init__(
        self,
        factor: Factor,
        value_range: Range = (0, 255),
        data_format: str | None = None,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(factor, value_range, data_format, seed, **kwargs)
        self.factor = (int(self.factor[0]), int(self.factor[1]))

    def get_random_transformation(self, data: Any, training: bool = True, seed: Any = None) -> Any:
        if not training:
            return None
        count, (lower, upper) = (data.shape[0],), self.factor
        if lower == upper:
            bits = ops.full(count, upper, dtype="int32")
        else:
            seed = self.generator if seed is None else seed
            bits = random.randint(count, int(lower), int(upper), seed=seed)
        return {"shift_factor": 8 - bits}

    def _changed(self, images: Any, transformation: Any) -> Any:
        levels = ops.cast(ops.clip(rescaled(images, self.value_range, _BYTES), *_BYTES), "int32")
        shift = per_image(ops.cast(transformation["shift_factor"], "int32"))
        kept = ops.bitwise_left_shift(ops.bitwise_right_shift(levels, shift), shift)
        return rescaled(ops.cast(kept, images.dtype), _BYTES, self.value_range)


@REGISTRY.register
class RandomInvert(_Colour):
    """While training: replaces each value by `white - value`, in some of the images.

    factor: the range (lower, upper) of the chance, from 0 to 1; f stands for (0, f). The shape stays. Raises
    ArgumentError for anything else.

    >>> RandomInvert(seed=1)(np.ones((2, 4, 4, 3)), training=True).shape
    (2, 4, 4, 3)
    """

    _bounds = (0.0, 1.0)

    def __init__(
        self,
        factor: Factor = 1.0,
        value_range: Range = (0, 255),
        seed: int | None = None,
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(factor, value_range, data_format, seed, **kwargs)

    def get_random_transformation(self, data: Any, training: bool = True, seed: Any = None) -> Any:
        return {"apply_inversion": self._happens(data, self.factor, seed)} if training else None

    def _changed(self, images: Any, transformation: Any) -> Any:
        chosen = per_image(transformation["apply_inversion"])
        return ops.where(chosen, self.value_range[1] - images, images)


@REGISTRY.register
class RandomGrayscale(RandomImageLayer):
    """While training: takes the colours away from some of the images, which keep three channels.

    factor: the chance, from 0 to 1. Raises ArgumentError for anything else.

    >>> RandomGrayscale(seed=1)(np.ones((2, 4, 4, 3)), training=True).shape
    (2, 4, 4, 3)
    """

    def __init__(
        self, factor: float = 0.5, data_format: str | None = None, seed: int | None = None, **kwargs: Any
    ) -> None:
        super().__init__(seed, data_format, **kwargs)
        self.factor = number(factor, "factor", self, 0.0, 1.0)

    def get_random_transformation(self, data: Any, training: bool = True, seed: Any = None) -> Any:
        return self._uniform((data.shape[0], 1, 1, 1), 0.0, 1.0, seed) < self.factor if training else None

    def transform_images(self, images: Any, transformation: Any, training: bool = True) -> Any:
        images = self._as_floats(images)
        if not training or transformation is None:
            return images
        return ops.where(transformation, ops.image.rgb_to_grayscale(images), images)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "factor": self.factor}


@REGISTRY.register
class Solarization(RandomImageLayer):
    """While training: adds a number to each value, and inverts the values that are above a threshold then.

    addition_factor, threshold_factor: the ranges (lower, upper) of both as shares of the range of values,
    from 0 to 1; f stands for (0, f). The shape stays. Raises ArgumentError for anything else.

    >>> Solarization(0.1, 0.5, seed=1)(np.ones((2, 4, 4, 3)), training=True).shape
    (2, 4, 4, 3)
    """

    def __init__(
        self,
        addition_factor: Factor = 0.0,
        threshold_factor: Factor = 0.0,
        value_range: Range = (0, 255),
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(seed, **kwargs)
        self.addition_factor = factor_range(addition_factor, "addition_factor", self, low=0.0)
        self.threshold_factor = factor_range(threshold_factor, "threshold_factor", self, low=0.0)
        self.value_range = value_range_of(value_range, self)

    def get_random_transformation(self, data: Any, training: bool = True, seed: Any = None) -> Any:
        if not training:
            return None
        shape = (data.shape[0], 1, 1, 1)
        (add, add_most), (low, high) = self.addition_factor, self.threshold_factor
        return {
            "additions": self._uniform(shape, 255.0 * add, 255.0 * add_most, seed),
            "thresholds": self._uniform(shape, 255.0 * low, 255.0 * high, seed),
        }

    def transform_images(self, images: Any, transformation: Any, training: bool = True) -> Any:
        images = self._as_floats(images)
        if not training or transformation is None:
            return images
        levels = rescaled(images, self.value_range, _BYTES) + transformation["additions"]
        levels = ops.clip(levels, *_BYTES)
        levels = ops.where(levels < transformation["thresholds"], levels, 255.0 - levels)
        return rescaled(levels, _BYTES, self.value_range)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "addition_factor": self.addition_factor,
            "threshold_factor": self.threshold_factor,
            "value_range": self.value_range,
        }


@REGISTRY.register
class RandomGaussianBlur(_Colour):
    """While training: blurs some of the images with a Gaussian.

    factor: the range (lower, upper) of the chance, from 0 to 1; f stands for (0, f). kernel_size: odd number
    of pixels, or (rows, columns). sigma: the range of its standard deviation; s stands for (0, s). The shape
    stays. Raises ArgumentError for anything else.

    >>> RandomGaussianBlur(seed=1)(np.ones((2, 4, 4, 3)), training=True).shape
    (2, 4, 4, 3)
    """

    _bounds = (0.0, 1.0)

    def __init__(
        self,
        factor: Factor = 1.0,
        kernel_size: int | tuple[int, int] = 3,
        sigma: Factor = 1.0,
        value_range: Range = (0, 255),
        data_format: str | None = None,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(factor, value_range, data_format, seed, **kwargs)
        self.kernel_size = integer_tuple(kernel_size, 2, "kernel_size", self)
        self.sigma = factor_range(sigma, "sigma", self, 0.0, float("inf"))

    def get_random_transformation(self, data: Any, training: bool = True, seed: Any = None) -> Any:
        if not training:
            return None
        return {
            "should_apply_blur": self._happens(data, self.factor, seed),
            "blur_factor": self._uniform((2,), *self.sigma, seed) + 1e-6,
        }

    def _changed(self, images: Any, transformation: Any) -> Any:
        blurred = ops.image.gaussian_blur(images, self.kernel_size, transformation["blur_factor"])
        chosen = per_image(transformation["should_apply_blur"])
        return self._clipped(ops.where(chosen, blurred, images))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "kernel_size": self.kernel_size, "sigma": self.sigma}
