"""Layers that add zeros around the places of an image or sequence, or cut places off."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from lamina import ops
from lamina.core.errors import ArgumentError, ShapeError
from lamina.layers.arguments import channels_last, integer_tuple
from lamina.layers.input_spec import InputSpec, describe_layer
from lamina.layers.registry import REGISTRY
from lamina.layers.reshaping import Rearrangement

Margins = tuple[tuple[int, int], ...]
Margin = int | Sequence[int] | Sequence[Sequence[int]]


class _ZeroPadding(Rearrangement):
    """Zeros before and after each spatial axis."""

    def __init__(self, rank: int, padding: Any, data_format: str | None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._margins = _margins(padding, rank, "padding", self)
        self.data_format = channels_last(data_format, self)
        self.input_spec = InputSpec(ndim=rank + 2)

    @property
    def padding(self) -> Any:
        return self._margins if len(self._margins) > 1 else self._margins[0]

    def call(self, inputs: Any) -> Any:
        return ops.pad(inputs, ((0, 0), *self._margins, (0, 0)))

    def compute_output_shape(self, input_shape: Any) -> Any:
        spatial = (
            None if extent is None else before + extent + after
            for extent, (before, after) in zip(input_shape[1:-1], self._margins, strict=True)
        )
        return (input_shape[0], *spatial, input_shape[-1])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "padding": self.padding, "data_format": self.data_format}


@REGISTRY.register
class ZeroPadding1D(_ZeroPadding):
    """Adds steps of zeros: (batch, steps, channels) -> (batch, before + steps + after, channels).

    padding: the number of steps on both sides, or (before, after). Raises ArgumentError for anything else.

    >>> ZeroPadding1D((1, 0))(np.ones((1, 2, 1), "float32"))[0, :, 0]
    Array([0., 1., 1.], dtype=float32)
    """

    def __init__(self, padding: Margin = 1, data_format: str | None = None, **kwargs: Any) -> None:
        super().__init__(1, padding, data_format, **kwargs)


@REGISTRY.register
class ZeroPadding2D(_ZeroPadding):
    """Adds rows and columns of zeros around (batch, height, width, channels).

    padding: a number for all sides, (rows, columns), or ((top, bottom), (left, right)). Raises ArgumentError
    for anything else.

    >>> ZeroPadding2D(((1, 0), (2, 2)))(np.ones((1, 3, 3, 1))).shape
    (1, 4, 7, 1)
    """

    def __init__(self, padding: Margin = (1, 1), data_format: str | None = None, **kwargs: Any) -> None:
        super().__init__(2, padding, data_format, **kwargs)


@REGISTRY.register
class ZeroPadding3D(_ZeroPadding):
    """Adds zeros around (batch, depth, height, width, channels).

    padding: a number for all sides, one for each axis, or a pair (before, after) for each. Raises
    ArgumentError for anything else.

    >>> ZeroPadding3D(1)(np.ones((1, 2, 3, 4, 1))).shape
    (1, 4, 5, 6, 1)
    """

    def __init__(
        self, padding: Margin = ((1, 1), (1, 1), (1, 1)), data_format: str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(3, padding, data_format, **kwargs)


class _Cropping(Rearrangement):
    """Cuts places off before and after each spatial axis."""

    def __init__(self, rank: int, cropping: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._margins = _margins(cropping, rank, "cropping", self)
        self.input_spec = InputSpec(ndim=rank + 2)

    @property
    def cropping(self) -> Any:
        return self._margins if len(self._margins) > 1 else self._margins[0]

    def call(self, inputs: Any) -> Any:
        self.compute_output_shape(inputs.shape)
        kept = tuple(
            slice(before, extent - after)
            for extent, (before, after) in zip(inputs.shape[1:-1], self._margins, strict=True)
        )
        return inputs[(slice(None), *kept)]

    def compute_output_shape(self, input_shape: Any) -> Any:
        spatial = [
            None if extent is None else extent - before - after
            for extent, (before, after) in zip(input_shape[1:-1], self._margins, strict=True)
        ]
        if any(extent is not None and extent <= 0 for extent in spatial):
            raise ShapeError(
                f"{describe_layer(self)} would cut everything off.",
                expected=f"more than {' x '.join(str(sum(margin)) for margin in self._margins)} places",
                got=f"shape {tuple(input_shape)}",
            )
        return (input_shape[0], *spatial, input_shape[-1])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "cropping": self.cropping}


class _ImageCropping(_Cropping):
    def __init__(self, rank: int, cropping: Any, data_format: str | None, **kwargs: Any) -> None:
        super().__init__(rank, cropping, **kwargs)
        self.data_format = channels_last(data_format, self)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "data_format": self.data_format}


@REGISTRY.register
class Cropping1D(_Cropping):
    """Cuts off steps of (batch, steps, channels).

    cropping: the number of steps on both sides, or (before, after). Raises ArgumentError for anything else,
    ShapeError when nothing would be left.

    >>> Cropping1D((1, 0))(np.array([[[1.0], [2.0], [3.0]]]))[0, :, 0]
    Array([2., 3.], dtype=float32)
    """

    def __init__(self, cropping: Margin = (1, 1), **kwargs: Any) -> None:
        super().__init__(1, cropping, **kwargs)


@REGISTRY.register
class Cropping2D(_ImageCropping):
    """Cuts off rows and columns of (batch, height, width, channels).

    cropping: a number for all sides, (rows, columns), or ((top, bottom), (left, right)). Errors as for
    Cropping1D.

    >>> Cropping2D(((1, 0), (2, 2)))(np.ones((1, 5, 5, 1))).shape
    (1, 4, 1, 1)
    """

    def __init__(
        self, cropping: Margin = ((0, 0), (0, 0)), data_format: str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(2, cropping, data_format, **kwargs)


@REGISTRY.register
class Cropping3D(_ImageCropping):
    """Cuts places off (batch, depth, height, width, channels).

    cropping: a number for all sides, one for each axis, or a pair (before, after) for each. Errors as for
    Cropping1D.

    >>> Cropping3D(1)(np.ones((1, 4, 5, 6, 1))).shape
    (1, 2, 3, 4, 1)
    """

    def __init__(
        self, cropping: Margin = ((1, 1), (1, 1), (1, 1)), data_format: str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(3, cropping, data_format, **kwargs)


def _margins(value: Any, rank: int, argument: str, layer: Any) -> Margins:
    """(before, after) for each of `rank` axes; ArgumentError for what cannot mean that."""
    if isinstance(value, (int, np.integer)) or rank == 1:
        return (_pair(value, argument, layer),) * rank
    if not isinstance(value, Sequence) or isinstance(value, str) or len(value) != rank:
        raise ArgumentError(
            f"{describe_layer(layer)} cannot have {argument}={value!r}.",
            expected=f"a whole number, or {rank} of them, or {rank} pairs of them",
        )
    return tuple(_pair(entry, argument, layer) for entry in value)


def _pair(value: Any, argument: str, layer: Any) -> tuple[int, int]:
    before, after = integer_tuple(value, 2, argument, layer, low=0)
    return before, after
