"""Normalization: shifts and scales features to mean 0 and variance 1, as `adapt` found them in the data."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from lamina import ops
from lamina.core.config import config
from lamina.core.errors import ArgumentError, DataError, ShapeError
from lamina.layers.arguments import integers
from lamina.layers.elementwise import Elementwise
from lamina.layers.input_spec import describe_layer
from lamina.layers.registry import REGISTRY

Array = np.ndarray[Any, Any]

# Rows that are looked at together, so that the data set is never copied as floats.
_CHUNK = 4096


@REGISTRY.register
class Normalization(Elementwise):
    """`(x - mean) / sqrt(variance)`, one mean and variance for each entry along `axis`; the shape stays.

    axis: the axis, or axes, of the features; None for one mean and variance of everything. mean, variance:
    given, both, instead of found by `adapt`. invert: undo the normalisation instead.
    Weights, when they are not given: mean and variance with the extents of `axis`, and count.
    Raises ArgumentError when only one of mean and variance is given or they do not fit `axis`, ShapeError for
    an axis that the input does not have or whose extent is not known.

    >>> layer = Normalization()
    >>> layer.adapt(np.array([[0.0], [2.0]], "float32"))
    >>> layer(np.array([[4.0]], "float32"))
    Array([[3.]], dtype=float32)
    """

    _needs_build = True

    def __init__(
        self,
        axis: int | Sequence[int] | None = -1,
        mean: Any = None,
        variance: Any = None,
        invert: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.axis = () if axis is None else integers(axis, "axis", self)
        self.input_mean = None if mean is None else np.asarray(mean)
        self.input_variance = None if variance is None else np.asarray(variance)
        self.invert = invert
        self._check_given()

    def _check_given(self) -> None:
        mean, variance = self.input_mean, self.input_variance
        if (mean is None) != (variance is None):
            missing = "variance" if variance is None else "mean"
            raise ArgumentError(
                f"{describe_layer(self)} needs mean and variance together.",
                got=f"no {missing}",
                fix="give both, or none and call adapt(data).",
            )
        if mean is None or variance is None:
            return
        if mean.shape != variance.shape or mean.ndim > len(self.axis):
            raise ArgumentError(
                f"{describe_layer(self)}: mean and variance must have one shape, with at most as many "
                f"axes as axis={self.axis}.",
                got=f"shapes {mean.shape} and {variance.shape}",
            )

    def build(self, input_shape: Any = None) -> None:
        rank = len(input_shape)
        if any(not -rank <= axis < rank for axis in self.axis):
            raise ShapeError(
                f"{describe_layer(self)} has axis={self.axis}, which its input does not have.",
                got=f"shape {tuple(input_shape)}",
            )
        kept = sorted(axis % rank for axis in self.axis)
        if any(input_shape[axis] is None for axis in kept):
            raise ShapeError(
                f"{describe_layer(self)} must know the extents along axis={self.axis}.",
                got=f"shape {tuple(input_shape)}",
                fix="give the Input these extents as numbers.",
            )
        self._kept = tuple(kept)
        self._extents = tuple(input_shape[axis] for axis in kept)
        if self.input_mean is None:
            fixed: dict[str, Any] = {"shape": self._extents, "trainable": False}
            self.adapt_mean = self.add_weight(name="mean", initializer="zeros", **fixed)
            self.adapt_variance = self.add_weight(name="variance", initializer="ones", **fixed)
            # Written by Keras into its files; nothing reads it.
            self.count = self.add_weight(name="count", initializer="zeros", dtype="int32", trainable=False)

    def adapt(self, data: Any) -> None:
        """Set mean and variance to those of `data`.

        data: an array with a batch axis; or an iterable of batches, of which tuples give their first entry.
        Raises ShapeError for batches that do not fit each other or the layer, DataError for no data or NaN.
        """
        if self.input_mean is not None:
            raise ArgumentError(f"{describe_layer(self)} was given its mean and variance: it cannot adapt.")
        count, mean, variance = 0, np.zeros(()), np.zeros(())
        for batch in _chunks(data, self):
            if not self.built:
                self.build((None, *batch.shape[1:]))
            elif tuple(batch.shape[axis] for axis in self._kept if axis < batch.ndim) != self._extents:
                raise ShapeError(
                    f"{describe_layer(self)} cannot adapt to this data.",
                    expected=f"extents {self._extents} along axis={self.axis}",
                    got=f"shape {batch.shape}",
                )
            places = tuple(axis for axis in range(batch.ndim) if axis not in self._kept)
            size = math.prod(batch.shape[axis] for axis in places)
            if not size:
                continue
            wide = batch.astype("float64")
            batch_mean, batch_variance = wide.mean(axis=places), wide.var(axis=places)
            # Chan, Golub, LeVeque, "Updating Formulae and a Pairwise Algorithm for ... Variances" (1979).
            share = size / (count + size)
            apart = batch_mean - mean
            variance = (1 - share) * variance + share * batch_variance + share * (1 - share) * apart**2
            mean, count = mean + share * apart, count + size
        if not count:
            raise DataError(f"{describe_layer(self)}: adapt() got no data.")
        if not np.isfinite(variance).all():
            raise DataError(
                f"{describe_layer(self)}: adapt() found values that are not finite.",
                fix="look for NaN and infinities: np.isfinite(data).all().",
            )
        self.adapt_mean.assign(mean)
        self.adapt_variance.assign(variance)

    @property
    def mean(self) -> Any:
        """The mean, with the extents of `axis`."""
        return self.adapt_mean.value if self.input_mean is None else self._given(self.input_mean)

    @property
    def variance(self) -> Any:
        """The variance, with the extents of `axis`."""
        return self.adapt_variance.value if self.input_variance is None else self._given(self.input_variance)

    def _given(self, value: Array) -> Any:
        return np.broadcast_to(value, self._extents).astype(self.compute_dtype)

    def call(self, inputs: Any) -> Any:
        dtype = self.compute_dtype
        shape = [extent if axis in self._kept else 1 for axis, extent in enumerate(inputs.shape)]
        mean = ops.cast(ops.reshape(self.mean, shape), dtype)
        deviation = ops.sqrt(ops.cast(ops.reshape(self.variance, shape), dtype))
        deviation = ops.maximum(deviation, config.epsilon)
        inputs = ops.cast(inputs, dtype)
        if self.invert:
            return mean + inputs * deviation
        return (inputs - mean) / deviation

    def get_config(self) -> dict[str, Any]:
        given = {"mean": self.input_mean, "variance": self.input_variance}
        return {
            **super().get_config(),
            "axis": self.axis,
            "invert": self.invert,
            **{name: None if value is None else value.tolist() for name, value in given.items()},
        }


def _chunks(data: Any, layer: Any) -> Iterator[Array]:
    """The data in parts, each an array with a batch axis."""
    if isinstance(data, np.ndarray) or hasattr(data, "__array__"):
        array = np.asarray(data)
        if array.ndim == 0:
            raise ShapeError(
                f"{describe_layer(layer)}: adapt() needs data with a batch axis.", got="a number"
            )
        for start in range(0, len(array), _CHUNK):
            yield array[start : start + _CHUNK]
        return
    if not isinstance(data, Iterable) and not hasattr(data, "__getitem__"):
        raise ArgumentError(
            f"{describe_layer(layer)}: adapt() takes an array or an iterable of batches.",
            got=f"{type(data).__name__}",
        )
    batches = data if isinstance(data, Iterable) else (data[place] for place in range(len(data)))
    for batch in batches:
        yield np.asarray(batch[0] if isinstance(batch, tuple) else batch)
