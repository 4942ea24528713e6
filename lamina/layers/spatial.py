"""What layers over sequences, images and volumes share: their layout, and the places a window has on them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lamina.core import windows
from lamina.core.errors import ArgumentError, ShapeError
from lamina.layers.arguments import channels_last, choice, integer_tuple
from lamina.layers.input_spec import InputSpec, describe_layer
from lamina.layers.layer import Layer
from lamina.layers.shapes import Shape

Numbers = int | Sequence[int]
# "same", "valid", "causal", or (before, after) for each spatial axis.
Padding = str | tuple[tuple[int, int], ...]


class SpatialLayer(Layer):
    """A layer on (batch, *spatial, channels), with `rank` spatial axes: steps, rows and columns, ...

    Before it is built, and at every call, `compute_output_shape` says whether the input fits.
    """

    rank: int

    def __init__(self, data_format: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.data_format = channels_last(data_format, self)
        self.input_spec = InputSpec(ndim=self.rank + 2)

    def _check_inputs(self, inputs: Any) -> None:
        super()._check_inputs(inputs)
        self.compute_output_shape(tuple(inputs.shape))

    def _per_axis(self, value: Any, argument: str, low: int = 1) -> tuple[int, ...]:
        """`value` as one number for each spatial axis; ArgumentError otherwise."""
        return integer_tuple(value, self.rank, argument, self, low)

    def _padding(self, value: Any, words: tuple[str, ...] = ("valid", "same")) -> Padding:
        """`value` as a word or as pairs; ArgumentError otherwise."""
        if isinstance(value, str):
            return choice(value, "padding", self, words)
        try:
            pairs = tuple((int(before), int(after)) for before, after in value)
        except (TypeError, ValueError):
            pairs = ()
        if len(pairs) != self.rank or min(width for pair in pairs for width in pair) < 0:
            raise ArgumentError(
                f"{describe_layer(self)} cannot have padding={value!r}.",
                expected=f"one of {', '.join(map(repr, words))}, or {self.rank} pairs (before, after)",
            )
        return pairs

    def _places(
        self,
        input_shape: Any,
        sizes: Sequence[int],
        strides: Sequence[int],
        padding: Any,
        dilation: Sequence[int],
    ) -> Shape:
        """How many places a window has along each spatial axis; None where the input's extent is unknown."""
        found: list[int | None] = []
        for axis, extent in enumerate(input_shape[1:-1]):
            size, stride, step = sizes[axis], strides[axis], dilation[axis]
            if extent is None:
                found.append(None)
            elif padding in ("same", "causal"):
                found.append(-(-extent // stride))
            else:
                low, high = (0, 0) if padding == "valid" else padding[axis]
                room = low + extent + high - windows.reach(size, step)
                if room < 0:
                    raise self._too_large(input_shape, sizes, dilation, axis)
                found.append(room // stride + 1)
        return tuple(found)

    def _too_large(
        self, input_shape: Any, sizes: Sequence[int], dilation: Sequence[int], axis: int
    ) -> ShapeError:
        window = " x ".join(map(str, sizes))
        wide = windows.reach(sizes[axis], dilation[axis])
        fix = "take a smaller window, fewer layers that shrink the image, or padding='same'."
        if self.rank > 1 and looks_channels_first(input_shape):
            fix = f"these look channels-first, {tuple(input_shape[1:])}: x = np.moveaxis(x, 1, -1)."
        return ShapeError(
            f"{describe_layer(self)}: its window of {window} does not fit into the input.",
            expected=f"at least {wide} places along axis {axis + 1}",
            got=f"{input_shape[axis + 1]} in shape {tuple(input_shape)}",
            fix=fix,
        )


def looks_channels_first(shape: Sequence[int | None]) -> bool:
    """Whether an image's shape has few entries first and many last: (batch, 3, 32, 32)."""
    first, last = shape[1], shape[-1]
    return first in (1, 3, 4) and last is not None and last > 4
