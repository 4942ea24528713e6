"""What layers that change images share: single images or batches, with labels and masks, random or not."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from lamina import ops, random
from lamina.core.errors import ArgumentError, ShapeError
from lamina.ir.symbolic import KerasTensor
from lamina.layers import boxes
from lamina.layers.arguments import channels_last, number
from lamina.layers.input_spec import describe_layer
from lamina.layers.layer import Layer

Factor = float | Sequence[float]

_ENTRIES = ("images", "labels", "bounding_boxes", "segmentation_masks")
FILL_MODES = ("reflect", "wrap", "constant", "nearest")


class ImageLayer(Layer):
    """A layer on images (batch, height, width, channels) of any dtype; out come floats.

    It can also be called on one image (height, width, channels), and on a dict with "images" and any of
    "labels", "segmentation_masks" and "bounding_boxes", which are changed along. Bounding boxes are a dict of
    "boxes" (batch, n, 4), in the format that the layer was given as `bounding_box_format`, and their "labels"
    (batch, n); a box that leaves the image gets the label -1. A subclass writes `transform_images`, and
    `get_random_transformation` if there is something to draw, once for all entries.
    """

    _needs_build = False
    _convert_input_args = False  # images keep their dtype until they are used

    # Whether bounding boxes can be changed along.
    _moves_boxes = True

    def __init__(
        self, data_format: str | None = None, bounding_box_format: str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.data_format = channels_last(data_format, self)
        self.bounding_box_format = (
            None if bounding_box_format is None else boxes.known_format(bounding_box_format)
        )

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

    def transform_bounding_boxes(
        self,
        bounding_boxes: dict[str, Any],
        transformation: Any,
        training: bool = True,
        image_size: tuple[int, int] | None = None,
    ) -> dict[str, Any]:
        """The boxes and their labels that go with the changed images, which were (height, width) before."""
        if image_size is None:
            raise ArgumentError("Boxes are changed along with images of a known image_size=(height, width).")
        name = str(self.bounding_box_format)
        corners = boxes.convert_format(bounding_boxes["boxes"], name, "xyxy", *image_size)
        moved = self._moved_boxes(corners, transformation, image_size, training)
        if moved is None:
            return bounding_boxes
        size_after = self.compute_output_shape((None, *image_size, 1))[1:3]
        cut_off = boxes.clip_to_image_size({**bounding_boxes, "boxes": moved}, *size_after)
        return boxes.convert_format(cut_off, "xyxy", name, *size_after)

    def _moved_boxes(
        self, corners: Any, transformation: Any, image_size: tuple[int, int], training: bool
    ) -> Any:
        """Where boxes (batch, n, 4) in the format "xyxy" come to lie; None if they stay."""
        return None

    # --- calling -----------------------------------------------------------------------------------

    def call(self, data: Any, training: Any = True) -> Any:
        entries = dict(data) if isinstance(data, Mapping) else {"images": data}
        self._check(entries)
        entries = _each(ops.convert_to_tensor, entries)
        single = len(entries["images"].shape) == 3
        if single:
            entries = _each(lambda entry: ops.expand_dims(entry, 0), entries)
        training = bool(training)
        drawn = self.get_random_transformation(entries["images"], training=training)
        change: dict[str, Callable[..., Any]] = {
            "images": self.transform_images,
            "labels": self.transform_labels,
            "segmentation_masks": self.transform_segmentation_masks,
            "bounding_boxes": partial(
                self.transform_bounding_boxes, image_size=tuple(entries["images"].shape[1:3])
            ),
        }
        changed = {name: change[name](entry, drawn, training=training) for name, entry in entries.items()}
        changed["images"] = ops.cast(changed["images"], self.compute_dtype)
        if single:
            changed = _each(lambda entry: ops.squeeze(entry, 0), changed)
        return changed if isinstance(data, Mapping) else changed["images"]

    def _check(self, entries: Mapping[str, Any]) -> None:
        unknown = [name for name in entries if name not in _ENTRIES]
        if unknown or "images" not in entries:
            raise ArgumentError(
                f"{describe_layer(self)} takes images, or a dict with 'images'.",
                expected=f"the keys {', '.join(map(repr, _ENTRIES))}",
                got=f"the keys {', '.join(map(repr, entries))}",
            )
        if "bounding_boxes" in entries:
            self._check_boxes(entries["bounding_boxes"])
        shape = tuple(entries["images"].shape)
        if len(shape) not in (3, 4):
            raise ShapeError(
                f"{describe_layer(self)} does not accept the shape of its images.",
                expected="(batch, height, width, channels), or (height, width, channels)",
                got=f"{shape}",
                fix="give grey images an axis of channels: x[..., None]." if len(shape) == 2 else None,
            )

    def _check_boxes(self, bounding_boxes: Any) -> None:
        if not self._moves_boxes:
            raise ArgumentError(f"{describe_layer(self)} cannot change bounding boxes along with the images.")
        if self.bounding_box_format is None:
            raise ArgumentError(
                f"{describe_layer(self)} does not know the format of the bounding boxes.",
                expected=f"one of {', '.join(boxes.FORMATS)}",
                fix="give the layer bounding_box_format='xyxy', for example.",
            )
        if not isinstance(bounding_boxes, Mapping) or set(bounding_boxes) != {"boxes", "labels"}:
            raise ArgumentError(
                f"{describe_layer(self)} takes bounding boxes as a dict.",
                expected="the keys 'boxes' and 'labels'",
                got=f"the keys {', '.join(map(repr, bounding_boxes))}"
                if isinstance(bounding_boxes, Mapping)
                else type(bounding_boxes).__name__,
            )

    def compute_output_spec(self, data: Any, training: Any = True) -> Any:
        entries = dict(data) if isinstance(data, Mapping) else {"images": data}
        self._check(entries)
        specs = {name: self._spec(name, entry, bool(training)) for name, entry in entries.items()}
        return specs if isinstance(data, Mapping) else specs["images"]

    def _spec(self, name: str, entry: Any, training: bool) -> Any:
        if name == "bounding_boxes":
            number = self._number_of_boxes(entry["boxes"].shape[-2], training)
            batch = entry["boxes"].shape[:-2]
            places, labels = (*batch, number, 4), (*batch, number, *entry["labels"].shape[len(batch) + 1 :])
            dtype = "float32" if training else entry["boxes"].dtype
            return {"boxes": KerasTensor(places, dtype), "labels": KerasTensor(labels, entry["labels"].dtype)}
        shape = entry.shape if name == "labels" else self.compute_output_shape(tuple(entry.shape))
        return KerasTensor(shape, self.compute_dtype if name == "images" else entry.dtype)

    def _number_of_boxes(self, number: int | None, training: bool) -> int | None:
        """How many boxes each image has afterwards."""
        return number

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape

    def _as_floats(self, images: Any) -> Any:
        return ops.cast(images, self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        given = self.bounding_box_format
        known = {} if given is None else {"bounding_box_format": given}
        return {**super().get_config(), "data_format": self.data_format, **known}


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


def _each(function: Callable[[Any], Any], entries: Mapping[str, Any]) -> dict[str, Any]:
    """`function` applied to the entries, and to those of the dict of bounding boxes."""
    return {
        name: _each(function, entry) if isinstance(entry, Mapping) else function(entry)
        for name, entry in entries.items()
    }


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
