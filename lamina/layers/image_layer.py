"""What layers that change images share: single images or batches, with labels and masks, random or not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lamina import ops, random
from lamina.core.errors import ArgumentError, ShapeError
from lamina.ir.symbolic import KerasTensor
from lamina.layers.arguments import channels_last, number
from lamina.layers.input_spec import describe_layer
from lamina.layers.layer import Layer

Factor = float | Sequence[float]

_ENTRIES = ("images", "labels", "segmentation_masks")
FILL_MODES = ("reflect", "wrap", "constant", "nearest")


class ImageLayer(Layer):
    """A layer on images (batch, height, width, channels) of any dtype; out come floats.

    It can also be called on one image (height, width, channels), and on a dict with "images" and any of
    "labels" and "segmentation_masks", which are changed along. A subclass writes `transform_images`, and
    `get_random_transformation` if there is something to draw, once for all entries.
    """

    _needs_build = False
    _convert_input_args = False  # images keep their dtype until they are used

    def __init__(self, data_format: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.data_format = channels_last(data_format, self)

    # --- to be written -----------------------------------------------------------------------------

    def get_random_transformation(self, data: Any, training: bool = True, seed: Any = None) -> Any:
        """What is drawn for a batch of images; None if nothing is."""
        return None

    def transform_images(self, images: Any, transformation: Any, training: bool = True) -> Any:
        """The batch of images, changed as `transformation` says."""
        raise NotImplementedError

    def transform_labels(self, labels: Any, transformation: Any, training: bool = True) -> Any:
        """The labels that go with the changed images."""
        return labels

    def transform_segmentation_masks(self, masks: Any, transformation: Any, training: bool = True) -> Any:
        """The masks, (batch, height, width, 1), that go with the changed images."""
        return masks

    # --- calling -----------------------------------------------------------------------------------

    def call(self, data: Any, training: Any = True) -> Any:
        entries = dict(data) if isinstance(data, Mapping) else {"images": data}
        self._check(entries)
        entries = {name: ops.convert_to_tensor(entry) for name, entry in entries.items()}
        single = len(entries["images"].shape) == 3
        if single:
            entries = {name: ops.expand_dims(entry, 0) for name, entry in entries.items()}
        training = bool(training)
        drawn = self.get_random_transformation(entries["images"], training=training)
        change = {
            "images": self.transform_images,
            "labels": self.transform_labels,
            "segmentation_masks": self.transform_segmentation_masks,
        }
        changed = {name: change[name](entry, drawn, training=training) for name, entry in entries.items()}
        changed["images"] = ops.cast(changed["images"], self.compute_dtype)
        if single:
            changed = {name: ops.squeeze(entry, 0) for name, entry in changed.items()}
        return changed if isinstance(data, Mapping) else changed["images"]

    def _check(self, entries: Mapping[str, Any]) -> None:
        unknown = [name for name in entries if name not in _ENTRIES]
        if unknown or "images" not in entries:
            raise ArgumentError(
                f"{describe_layer(self)} takes images, or a dict with 'images'.",
                expected=f"the keys {', '.join(map(repr, _ENTRIES))}",
                got=f"the keys {', '.join(map(repr, entries))}",
                fix="bounding boxes cannot be changed along." if "bounding_boxes" in unknown else None,
            )
        shape = tuple(entries["images"].shape)
        if len(shape) not in (3, 4):
            raise ShapeError(
                f"{describe_layer(self)} does not accept the shape of its images.",
                expected="(batch, height, width, channels), or (height, width, channels)",
                got=f"{shape}",
                fix="give grey images an axis of channels: x[..., None]." if len(shape) == 2 else None,
            )

    def compute_output_spec(self, data: Any, training: Any = True) -> Any:
        entries = dict(data) if isinstance(data, Mapping) else {"images": data}
        self._check(entries)
        specs = {
            name: KerasTensor(
                self.compute_output_shape(tuple(entry.shape)) if name != "labels" else entry.shape,
                self.compute_dtype if name == "images" else entry.dtype,
            )
            for name, entry in entries.items()
        }
        return specs if isinstance(data, Mapping) else specs["images"]

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape

    def _as_floats(self, images: Any) -> Any:
        return ops.cast(images, self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "data_format": self.data_format}


class RandomImageLayer(ImageLayer):
    """A layer that draws something for each image while training. `seed` makes the draws repeatable."""

    def __init__(self, seed: int | None = None, data_format: str | None = None, **kwargs: Any) -> None:
        super().__init__(data_format, **kwargs)
        self.seed = seed
        self.generator = random.SeedGenerator(seed)

    def _uniform(self, shape: Sequence[int], low: Any, high: Any, seed: Any = None) -> Any:
        """Floats spread evenly over [low, high)."""
        seed = self.generator if seed is None else seed
        return random.uniform(tuple(shape), low, high, dtype=self.compute_dtype, seed=seed)

    def _happens(self, images: Any, chance: tuple[float, float], seed: Any = None) -> Any:
        """For each image, whether it is changed: with a probability that is itself drawn from `chance`."""
        count = (images.shape[0],)
        return self._uniform(count, 0.0, 1.0, seed) < self._uniform(count, *chance, seed)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "seed": self.seed}


def factor_range(
    value: Any, argument: str, layer: Any, low: float = -1.0, high: float = 1.0
) -> tuple[float, float]:
    """`value` as (lower, upper): a pair is sorted, a number f is (-f, f), cut off at `low`.

    Raises ArgumentError for anything outside `low` to `high`.
    """
    if isinstance(value, (tuple, list)):
        if len(value) != 2:
            raise ArgumentError(
                f"{describe_layer(layer)} cannot have {argument}={value!r}.",
                expected="a number, or (lower, upper)",
            )
        lower, upper = sorted(number(entry, argument, layer, low, high) for entry in value)
        return lower, upper
    upper = abs(number(value, argument, layer, low, high))
    return max(-upper, low), upper


def value_range_of(value: Any, layer: Any) -> tuple[float, float]:
    """The darkest and the brightest value of images; ArgumentError unless the first is smaller."""
    if not isinstance(value, (tuple, list)) or len(value) != 2 or not value[0] < value[1]:
        raise ArgumentError(
            f"{describe_layer(layer)} cannot have value_range={value!r}.",
            expected="(darkest, brightest), for example (0, 255) or (0, 1)",
        )
    return value[0], value[1]


def rescaled(images: Any, have: Sequence[float], want: Sequence[float]) -> Any:
    """Images with values in the range `have`, brought to the range `want`."""
    if tuple(have) == tuple(want):
        return images
    scale = (want[1] - want[0]) / (have[1] - have[0])
    return (images - have[0]) * scale + want[0]


def per_image(values: Any) -> Any:
    """One value for each image, ready to be broadcast over its places and channels."""
    return ops.reshape(values, (-1, 1, 1, 1))
