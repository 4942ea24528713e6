"""MaxNumBoundingBoxes: the same number of bounding boxes for every image."""

from __future__ import annotations

from typing import Any

from lamina import ops
from lamina.layers.arguments import positive_integer
from lamina.layers.image_layer import ImageLayer
from lamina.layers.registry import REGISTRY


@REGISTRY.register
class MaxNumBoundingBoxes(ImageLayer):
    """Keeps the first `max_number` bounding boxes of each image, and fills up to so many with `fill_value`.

    Called on a dict with "images" and "bounding_boxes", a dict of "boxes" (batch, n, 4) and "labels"
    (batch, n); the layer also takes `bounding_box_format`. Images stay. Raises ArgumentError unless
    max_number is positive.

    >>> boxes = {"boxes": np.ones((1, 1, 4)), "labels": np.array([[7]])}
    >>> layer = MaxNumBoundingBoxes(3, bounding_box_format="xyxy")
    >>> layer({"images": np.zeros((1, 4, 4, 3)), "bounding_boxes": boxes})["bounding_boxes"]["labels"]
    Array([[ 7, -1, -1]])
    """

    def __init__(self, max_number: int, fill_value: int = -1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.max_number = positive_integer(max_number, "max_number", self)
        self.fill_value = int(fill_value)

    def transform_images(self, images: Any, transformation: Any = None, training: bool = True) -> Any:
        return images

    def transform_bounding_boxes(
        self,
        bounding_boxes: dict[str, Any],
        transformation: Any,
        training: bool = True,
        image_size: tuple[int, int] | None = None,
    ) -> dict[str, Any]:
        """The first boxes and labels, and `fill_value` where there are none."""

        def sized(entry: Any) -> Any:
            kept = entry[:, : self.max_number]
            margins = [(0, 0)] * len(entry.shape)
            margins[1] = (0, self.max_number - kept.shape[1])
            return ops.pad(kept, margins, constant_values=self.fill_value)

        return {name: sized(entry) for name, entry in bounding_boxes.items()}

    def _number_of_boxes(self, number: int | None, training: bool) -> int | None:
        return self.max_number

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "max_number": self.max_number, "fill_value": self.fill_value}
