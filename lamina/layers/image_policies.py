"""Random changes made of others: ColorJitter, RandAugment, AugMix, and a Pipeline of any layers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Self

from lamina import ops, random
from lamina.core.serialization import deserialize_object, serialize_object
from lamina.layers.arguments import number, positive_integer
from lamina.layers.image_color import (
    RandomBrightness,
    RandomColorDegeneration,
    RandomContrast,
    RandomHue,
    RandomPosterization,
    RandomSaturation,
    RandomSharpness,
    Solarization,
)
from lamina.layers.image_equalization import AutoContrast, Equalization
from lamina.layers.image_geometry import RandomRotation, RandomShear, RandomTranslation
from lamina.layers.image_layer import Factor, ImageLayer, RandomImageLayer, factor_range, value_range_of
from lamina.layers.layer import Layer
from lamina.layers.registry import REGISTRY

Range = tuple[float, float]


@REGISTRY.register
class RandomColorJitter(RandomImageLayer):
    """While training: RandomBrightness, RandomContrast, RandomSaturation and RandomHue, one after another.

    *_factor: that of each layer, None to leave it out. The shape stays. Errors as for these layers.

    >>> RandomColorJitter(brightness_factor=0.2, seed=1)(np.ones((2, 4, 4, 3)), training=True).shape
    (2, 4, 4, 3)
    """

    def __init__(
        self,
        value_range: Range = (0, 255),
        brightness_factor: Factor | None = None,
        contrast_factor: Factor | None = None,
        saturation_factor: Factor | None = None,
        hue_factor: Factor | None = None,
        seed: int | None = None,
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(seed, data_format, **kwargs)
        self.value_range = value_range_of(value_range, self)
        self.brightness_factor = brightness_factor
        self.contrast_factor = contrast_factor
        self.saturation_factor = saturation_factor
        self.hue_factor = hue_factor
        made: list[tuple[type[Any], Factor | None]] = [
            (RandomBrightness, brightness_factor),
            (RandomContrast, contrast_factor),
            (RandomSaturation, saturation_factor),
            (RandomHue, hue_factor),
        ]
        self._changes = [
            kind(factor, value_range=self.value_range, seed=seed, dtype=self.dtype_policy)
            for kind, factor in made
            if factor is not None
        ]

    def transform_images(self, images: Any, transformation: Any, training: bool = True) -> Any:
        images = self._as_floats(images)
        if training:
            for change in self._changes:
                drawn = change.get_random_transformation(images, seed=self.generator)
                images = change.transform_images(images, drawn)
        return images

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "value_range": self.value_range,
            "brightness_factor": self.brightness_factor,
            "contrast_factor": self.contrast_factor,
            "saturation_factor": self.saturation_factor,
            "hue_factor": self.hue_factor,
        }


class _Policy(RandomImageLayer):
    """A choice among changes; `_changes` has them, each by the attribute that Keras has it by."""

    def __init__(
        self,
        value_range: Range,
        factor: Factor,
        interpolation: str,
        seed: int | None,
        data_format: str | None,
        colours: bool,
        **kwargs: Any,
    ) -> None:
        super().__init__(seed, data_format, **kwargs)
        self.value_range = value_range_of(value_range, self)
        self.factor = factor_range(factor, "factor", self, low=0.0)
        self.interpolation = interpolation
        common: dict[str, Any] = {"dtype": self.dtype_policy}
        seeded = {**common, "seed": seed}
        places = {**seeded, "interpolation": interpolation}
        values = {**seeded, "value_range": self.value_range}
        self._changes: list[ImageLayer] = [
            RandomShear(self.factor, self.factor, **places),
            RandomTranslation(self.factor, self.factor, **places),
            RandomRotation(self.factor, **places),
            Solarization(self.factor, self.factor, **values),
            RandomPosterization(max(1, int(8 * self.factor[1])), **values),
            AutoContrast(self.value_range, **common),
            Equalization(self.value_range, **common),
        ]
        if colours:
            self._changes += [
                RandomBrightness(self.factor, **values),
                RandomColorDegeneration(self.factor, **values),
                RandomContrast(self.factor, **values),
                RandomSharpness(self.factor, **values),
            ]

    def _draws(self, images: Any, count: int, among: int, seed: Any) -> list[tuple[Any, Any]]:
        """`count` times the number of a change, below `among`, and what is drawn for every change."""
        seed = self.generator if seed is None else seed
        numbers = random.randint((count,), 0, among, seed=seed)
        return [
            (
                numbers[place],
                [change.get_random_transformation(images, seed=seed) for change in self._changes],
            )
            for place in range(count)
        ]

    def _applied(self, images: Any, draw: tuple[Any, Any]) -> Any:
        """The images after the change that was drawn; a number beyond the changes leaves them as they are."""
        chosen, transformations = draw

        def branch(change: ImageLayer, transformation: Any) -> Callable[[Any], Any]:
            return lambda batch: ops.cast(change.transform_images(batch, transformation), batch.dtype)

        branches = [branch(*pair) for pair in zip(self._changes, transformations, strict=True)]
        return ops.switch(chosen, [*branches, lambda batch: batch], images)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "value_range": self.value_range,
            "factor": self.factor,
            "interpolation": self.interpolation,
        }


@REGISTRY.register
class RandAugment(_Policy):
    """While training: `num_ops` changes, chosen anew for each batch, of places and of colours.

    value_range: (darkest, brightest). factor: how strong, (lower, upper) from 0 to 1; f stands for (0, f).
    interpolation: of the changes of places. The shape stays; the images must have three channels. Raises
    ArgumentError for anything else.

    >>> RandAugment(seed=1)(np.ones((2, 8, 8, 3)), training=True).shape
    (2, 8, 8, 3)

    Source: E. Cubuk et al., "RandAugment: Practical Automated Data Augmentation" (2020).
    """

    def __init__(
        self,
        value_range: Range = (0, 255),
        num_ops: int = 2,
        factor: Factor = 0.5,
        interpolation: str = "bilinear",
        seed: int | None = None,
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(value_range, factor, interpolation, seed, data_format, colours=True, **kwargs)
        self.num_ops = positive_integer(num_ops, "num_ops", self)

    def get_random_transformation(self, data: Any, training: bool = True, seed: Any = None) -> Any:
        return self._draws(data, self.num_ops, len(self._changes), seed) if training else None

    def transform_images(self, images: Any, transformation: Any, training: bool = True) -> Any:
        images = self._as_floats(images)
        for draw in transformation or ():
            images = self._applied(images, draw)
        return images

    def _moved_boxes(
        self, corners: Any, transformation: Any, image_size: tuple[int, int], training: bool
    ) -> Any:
        def branch(change: ImageLayer, drawn: Any) -> Callable[[Any], Any]:
            def moved(places: Any) -> Any:
                found = change._moved_boxes(places, drawn, image_size, training)
                return places if found is None else ops.cast(found, places.dtype)

            return moved

        for chosen, drawn in transformation or ():
            branches = [branch(*pair) for pair in zip(self._changes, drawn, strict=True)]
            corners = ops.switch(chosen, branches, corners)
        return corners

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "num_ops": self.num_ops}


@REGISTRY.register
class AugMix(_Policy):
    """While training: a mixture of the images and of chains of changes, chosen anew for each batch.

    value_range: (darkest, brightest). num_chains, chain_depth: how many chains of how many changes, each of
    which may be none. factor: how strong, (lower, upper) from 0 to 1; f stands for (0, f). alpha: of the
    Dirichlet and beta distributions of the weights. all_ops: with changes of colours, too. The shape stays;
    the images must have three channels. Raises ArgumentError for anything else.

    >>> AugMix(seed=1)(np.ones((2, 8, 8, 3)), training=True).shape
    (2, 8, 8, 3)

    Source: D. Hendrycks et al., "AugMix: A Simple Data Processing Method to Improve Robustness" (2020).
    """

    def __init__(
        self,
        value_range: Range = (0, 255),
        num_chains: int = 3,
        chain_depth: int = 3,
        factor: Factor = 0.3,
        alpha: float = 1.0,
        all_ops: bool = True,
        interpolation: str = "bilinear",
        seed: int | None = None,
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(value_range, factor, interpolation, seed, data_format, colours=all_ops, **kwargs)
        self.num_chains = positive_integer(num_chains, "num_chains", self)
        self.chain_depth = positive_integer(chain_depth, "chain_depth", self)
        self.alpha = number(alpha, "alpha", self, low=0.0)
        self.all_ops = all_ops

    def get_random_transformation(self, data: Any, training: bool = True, seed: Any = None) -> Any:
        if not training:
            return None
        generator = self.generator if seed is None else seed
        shares = random.gamma((self.num_chains,), self.alpha, dtype=self.compute_dtype, seed=generator)
        among = len(self._changes) + 1  # the last number is no change
        return {
            "chain_mixing_weights": shares / ops.sum(shares),
            "weight_sample": random.beta(
                (), self.alpha, self.alpha, dtype=self.compute_dtype, seed=generator
            ),
            "chain_transforms": [
                self._draws(data, self.chain_depth, among, seed) for _ in range(self.num_chains)
            ],
        }

    def transform_images(self, images: Any, transformation: Any, training: bool = True) -> Any:
        images = self._as_floats(images)
        if not training or transformation is None:
            return images
        mixed = ops.zeros_like(images)
        for number_of, chain in enumerate(transformation["chain_transforms"]):
            changed = images
            for draw in chain:
                changed = self._applied(changed, draw)
            mixed = mixed + transformation["chain_mixing_weights"][number_of] * changed
        weight = transformation["weight_sample"]
        return ops.clip(weight * images + (1.0 - weight) * mixed, *self.value_range)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "num_chains": self.num_chains,
            "chain_depth": self.chain_depth,
            "alpha": self.alpha,
            "all_ops": self.all_ops,
        }


@REGISTRY.register
class Pipeline(Layer):
    """Layers, one after another, as one layer: a preprocessing to keep, or to save.

    >>> Pipeline([RandomFlip(), RandomRotation(0.1)])(np.ones((2, 8, 8, 1))).shape
    (2, 8, 8, 1)
    """

    _needs_build = False
    _convert_input_args = False
    _allow_non_tensor_positional_args = True

    def __init__(self, layers: Sequence[Layer], name: str | None = None) -> None:
        super().__init__(name=name)
        self._pipeline_layers = list(layers)

    @property
    def layers(self) -> list[Layer]:
        """The layers, in order."""
        return self._pipeline_layers

    def call(self, inputs: Any, training: Any = True) -> Any:
        for layer in self._pipeline_layers:
            inputs = layer(inputs, training=training)
        return inputs

    def get_config(self) -> dict[str, Any]:
        return {"name": self.name, "layers": [serialize_object(layer) for layer in self._pipeline_layers]}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        return super().from_config({**config, "layers": [deserialize_object(x) for x in config["layers"]]})
