"""Random changes that cover or mix images: erasing, MixUp, CutMix."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lamina import ops, random
from lamina.core.errors import ArgumentError
from lamina.layers.arguments import number
from lamina.layers.image_layer import Factor, RandomImageLayer, factor_range, per_image, value_range_of
from lamina.layers.input_spec import describe_layer
from lamina.layers.registry import REGISTRY


class _Boxes(RandomImageLayer):
    """A layer that draws a box in each image."""

    def _box(self, images: Any, height_share: Any, width_share: Any, seed: Any) -> tuple[Any, Any]:
        """For each image (batch, height, width, channels), whether a place is in its box; and the box's area.

        The shares are (batch,): how much of the height and of the width the box has.
        """
        count, height, width, _ = images.shape
        inside: Any = True
        area: Any = 1.0
        for share, extent, axis in ((width_share, width, 2), (height_share, height, 1)):
            length = share * extent
            start = self._uniform((count,), 0.0, 1.0, seed) * (extent - length)
            shape = [1, 1, 1, 1]
            shape[axis] = extent
            places = ops.reshape(ops.cast(ops.arange(extent), self.compute_dtype), shape)
            within = ops.logical_and(places >= per_image(start), places < per_image(start + length))
            inside = ops.logical_and(inside, within)
            area = area * length
        return ops.broadcast_to(inside, images.shape), area


@REGISTRY.register
class RandomErasing(_Boxes):
    """While training: covers a box of some images with a colour, or with noise.

    factor: the range (lower, upper) of the chance, from 0 to 1; f stands for (0, f). scale: the range of the
    share of the image that the box covers. fill_value: a number, one for each channel, or None for normal
    noise. The shape stays. Raises ArgumentError for anything else.

    >>> RandomErasing(seed=1)(np.ones((2, 8, 8, 3)), training=True).shape
    (2, 8, 8, 3)

    Source: Z. Zhong et al., "Random Erasing Data Augmentation" (2020).
    """

    def __init__(
        self,
        factor: Factor = 1.0,
        scale: Factor = (0.02, 0.33),
        fill_value: float | Sequence[float] | None = None,
        value_range: tuple[float, float] = (0, 255),
        seed: int | None = None,
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(seed, data_format, **kwargs)
        self.factor = factor_range(factor, "factor", self, low=0.0)
        self.scale = factor_range(scale, "scale", self, low=0.0)
        several = isinstance(fill_value, (tuple, list))
        for entry in fill_value if several else (fill_value,):  # type: ignore[union-attr]
            if entry is not None or several:
                number(entry, "fill_value", self)
        self.fill_value = fill_value
        self.value_range = value_range_of(value_range, self)

    def get_random_transformation(self, data: Any, training: bool = True, seed: Any = None) -> Any:
        if not training:
            return None
        shares = ops.sqrt(self._uniform((data.shape[0], 2), *self.scale, seed))
        masks, _ = self._box(data, shares[:, 1], shares[:, 0], seed)
        return {
            "batch_masks": masks,
            "apply_erasing": self._happens(data, self.factor, seed),
            "fill_value": self._fill(data, seed),
        }

    def _fill(self, images: Any, seed: Any) -> Any:
        darkest, brightest = self.value_range
        if self.fill_value is None:
            seed = self.generator if seed is None else seed
            fill = random.normal(images.shape, dtype=self.compute_dtype, seed=seed) * brightest
        else:
            fill = ops.broadcast_to(ops.cast(self.fill_value, self.compute_dtype), images.shape)
        return ops.clip(fill, darkest, brightest)

    def transform_images(self, images: Any, transformation: Any, training: bool = True) -> Any:
        images = self._as_floats(images)
        if not training or transformation is None:
            return images
        erased = ops.where(transformation["batch_masks"], transformation["fill_value"], images)
        return ops.where(per_image(transformation["apply_erasing"]), erased, images)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "factor": self.factor,
            "scale": self.scale,
            "fill_value": self.fill_value,
            "value_range": self.value_range,
        }


def _mixed_labels(labels: Any, transformation: Any, layer: Any) -> Any:
    if not str(labels.dtype).startswith(("float", "bfloat")):
        raise ArgumentError(
            f"{describe_layer(layer)} mixes labels, which must be floats then.",
            got=f"{labels.dtype}",
            fix="give it one-hot labels: utils.to_categorical(y).",
        )
    others = ops.take(labels, transformation["permutation_order"], axis=0)
    weight = ops.cast(
        ops.reshape(transformation["mix_weight"], (-1, *[1] * (len(labels.shape) - 1))), labels.dtype
    )
    return weight * labels + (1.0 - weight) * others


@REGISTRY.register
class MixUp(RandomImageLayer):
    """While training: mixes each image with another one of the batch, and its labels likewise.

    alpha: the weight is drawn from the beta distribution (alpha, alpha); the smaller, the less is mixed. The
    shape stays. Labels must be floats, for example one-hot. Raises ArgumentError otherwise.

    >>> MixUp(seed=1)({"images": np.ones((2, 4, 4, 3)), "labels": np.eye(2)}, training=True)["labels"].shape
    (2, 2)

    Source: H. Zhang et al., "mixup: Beyond Empirical Risk Minimization" (2018).
    """

    def __init__(
        self, alpha: float = 0.2, data_format: str | None = None, seed: int | None = None, **kwargs: Any
    ) -> None:
        super().__init__(seed, data_format, **kwargs)
        self.alpha = number(alpha, "alpha", self, low=0.0)

    def get_random_transformation(self, data: Any, training: bool = True, seed: Any = None) -> Any:
        if not training:
            return None
        seed = self.generator if seed is None else seed
        count = data.shape[0]
        return {
            "permutation_order": random.shuffle(ops.arange(count), seed=seed),
            "mix_weight": random.beta((count,), self.alpha, self.alpha, seed=seed),
        }

    def transform_images(self, images: Any, transformation: Any, training: bool = True) -> Any:
        images = self._as_floats(images)
        if not training or transformation is None:
            return images
        weight = per_image(ops.cast(transformation["mix_weight"], images.dtype))
        others = ops.take(images, transformation["permutation_order"], axis=0)
        return weight * images + (1.0 - weight) * others

    def transform_labels(self, labels: Any, transformation: Any, training: bool = True) -> Any:
        return _mixed_labels(labels, transformation, self) if training and transformation else labels

    def transform_bounding_boxes(
        self,
        bounding_boxes: dict[str, Any],
        transformation: Any,
        training: bool = True,
        image_size: tuple[int, int] | None = None,
    ) -> dict[str, Any]:
        """The boxes of both images, one after another."""
        if not training or transformation is None:
            return bounding_boxes
        order = transformation["permutation_order"]
        return {
            name: ops.concatenate([entry, ops.take(entry, order, axis=0)], axis=1)
            for name, entry in bounding_boxes.items()
        }

    def _number_of_boxes(self, number: int | None, training: bool) -> int | None:
        return 2 * number if training and number is not None else number

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "alpha": self.alpha}


@REGISTRY.register
class CutMix(_Boxes):
    """While training: a box of each image is that of another one of the batch, and the labels are mixed so.

    factor: the range (lower, upper) of alpha, from 0 to 1, f for (0, f); the share that stays is drawn from
    the beta distribution (alpha, alpha). The shape stays. Labels must be floats, for example one-hot. Raises
    ArgumentError otherwise.

    >>> CutMix(seed=1)({"images": np.ones((2, 4, 4, 3)), "labels": np.eye(2)}, training=True)["labels"].shape
    (2, 2)

    Source: S. Yun et al., "CutMix: Regularization Strategy to Train Strong Classifiers" (2019).
    """

    _moves_boxes = False

    def __init__(
        self, factor: Factor = 1.0, seed: int | None = None, data_format: str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(seed, data_format, **kwargs)
        self.factor = factor_range(factor, "factor", self, low=0.0)

    def get_random_transformation(self, data: Any, training: bool = True, seed: Any = None) -> Any:
        if not training:
            return None
        generator = self.generator if seed is None else seed
        count, height, width, _ = data.shape
        alpha = self._uniform((), *self.factor, seed) + 1e-6
        kept = random.beta((count,), alpha, alpha, dtype=self.compute_dtype, seed=generator)
        share = ops.sqrt(1.0 - kept)
        masks, area = self._box(data, share, share, seed)
        return {
            "permutation_order": random.shuffle(ops.arange(count), seed=generator),
            "batch_masks": masks,
            "mix_weight": 1.0 - area / (height * width),
        }

    def transform_images(self, images: Any, transformation: Any, training: bool = True) -> Any:
        images = self._as_floats(images)
        if not training or transformation is None:
            return images
        others = ops.take(images, transformation["permutation_order"], axis=0)
        return ops.where(transformation["batch_masks"], others, images)

    def transform_labels(self, labels: Any, transformation: Any, training: bool = True) -> Any:
        return _mixed_labels(labels, transformation, self) if training and transformation else labels

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "factor": self.factor}
