"""Initializers that draw: normal, uniform, scaled to the fan of the weight, orthogonal.

Given a whole number as seed (or None: one drawn when the initializer is made), an initializer returns the
same numbers at every call; given a SeedGenerator, new ones.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod, sqrt
from typing import Any

import numpy as np

from lamina.core import dtypes
from lamina.core.errors import ArgumentError, DTypeError, ShapeError, unknown_name
from lamina.core.serialization import deserialize_object, serialize_object
from lamina.core.shapes import Shape
from lamina.initializers import draw
from lamina.initializers.base import REGISTRY, Initializer, checked_shape
from lamina.interp import Array, as_eager
from lamina.ir import trace
from lamina.random import SeedGenerator, checked_seed, draw_seed, make_default_seed

Draw = Callable[[np.ndarray[Any, Any], Shape, float, float, str], np.ndarray[Any, Any]]


class RandomInitializer(Initializer):
    """What they share: the seed."""

    def __init__(self, seed: Any = None) -> None:
        self._given_seed = seed
        seed = deserialize_object(seed) if isinstance(seed, dict) else seed
        if seed is None:
            seed = make_default_seed()
        self.seed = seed if isinstance(seed, SeedGenerator) else checked_seed(seed)

    def _draw(self, distribution: Draw, shape: Any, first: float, second: float, dtype: Any) -> Array:
        name = dtypes.standardize(dtype)
        if not dtypes.is_float(name):
            raise DTypeError(f"{type(self).__name__} draws floats, and cannot fill a weight of dtype {name}.")
        with trace.suspended():
            key = np.asarray(draw_seed(self.seed))
        return as_eager(distribution(key, checked_shape(shape), float(first), float(second), name))

    def get_config(self) -> dict[str, Any]:
        return {"seed": serialize_object(self._given_seed)}


class RandomNormal(RandomInitializer):
    """Draws from the normal distribution."""

    def __init__(self, mean: float = 0.0, stddev: float = 0.05, seed: Any = None) -> None:
        self.mean = mean
        self.stddev = stddev
        super().__init__(seed=seed)

    def __call__(self, shape: Any, dtype: Any = None) -> Array:
        return self._draw(draw.normal, shape, self.mean, self.stddev, dtype)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "mean": self.mean, "stddev": self.stddev}


class TruncatedNormal(RandomInitializer):
    """Draws from the normal distribution, without the values beyond two standard deviations."""

    def __init__(self, mean: float = 0.0, stddev: float = 0.05, seed: Any = None) -> None:
        self.mean = mean
        self.stddev = stddev
        super().__init__(seed=seed)

    def __call__(self, shape: Any, dtype: Any = None) -> Array:
        return self._draw(draw.truncated_normal, shape, self.mean, self.stddev, dtype)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "mean": self.mean, "stddev": self.stddev}


class RandomUniform(RandomInitializer):
    """Draws evenly from [minval, maxval)."""

    def __init__(self, minval: float = -0.05, maxval: float = 0.05, seed: Any = None) -> None:
        self.minval = minval
        self.maxval = maxval
        super().__init__(seed=seed)

    def __call__(self, shape: Any, dtype: Any = None) -> Array:
        return self._draw(draw.uniform, shape, self.minval, self.maxval, dtype)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "minval": self.minval, "maxval": self.maxval}


MODES = ("fan_in", "fan_out", "fan_avg")
DISTRIBUTIONS = ("truncated_normal", "untruncated_normal", "uniform")

# The standard deviation of the standard normal distribution cut at -2 and 2.
TRUNCATED_STDDEV = 0.87962566103423978


class VarianceScaling(RandomInitializer):
    """Draws with variance `scale / n`, so that signals keep their size from layer to layer.

    n: the fan in of the weight, its fan out, or their average: `mode` is "fan_in", "fan_out" or "fan_avg".
    distribution: "truncated_normal", "untruncated_normal", or "uniform", which spans -limit ... limit with
    limit = sqrt(3 scale / n).
    input_axes, output_axes: the axes whose extents make the fans, where the shape alone does not tell.
    """

    def __init__(
        self,
        scale: float = 1.0,
        mode: str = "fan_in",
        distribution: str = "truncated_normal",
        seed: Any = None,
        input_axes: Sequence[int] | None = None,
        output_axes: Sequence[int] | None = None,
    ) -> None:
        if not scale > 0.0:
            raise ArgumentError(f"The scale of {type(self).__name__} must be positive, got {scale}.")
        distribution = "truncated_normal" if distribution.lower() == "normal" else distribution.lower()
        if mode not in MODES:
            raise unknown_name("mode", mode, MODES)
        if distribution not in DISTRIBUTIONS:
            raise unknown_name("distribution", distribution, DISTRIBUTIONS)
        self.scale = scale
        self.mode = mode
        self.distribution = distribution
        self.input_axes = input_axes
        self.output_axes = output_axes
        super().__init__(seed=seed)

    def __call__(self, shape: Any, dtype: Any = None) -> Array:
        fan_in, fan_out = compute_fans(checked_shape(shape), self.input_axes, self.output_axes)
        fan = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}[self.mode]
        stddev = sqrt(self.scale / max(1.0, fan))
        if self.distribution == "uniform":
            limit = sqrt(3.0) * stddev
            return self._draw(draw.uniform, shape, -limit, limit, dtype)
        if self.distribution == "untruncated_normal":
            return self._draw(draw.normal, shape, 0.0, stddev, dtype)
        return self._draw(draw.truncated_normal, shape, 0.0, stddev / TRUNCATED_STDDEV, dtype)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "scale": self.scale,
            "mode": self.mode,
            "distribution": self.distribution,
            "input_axes": self.input_axes,
            "output_axes": self.output_axes,
        }


def compute_fans(
    shape: Shape, input_axes: Sequence[int] | None = None, output_axes: Sequence[int] | None = None
) -> tuple[int, int]:
    """(fan in, fan out): how many inputs each output sees, and the reverse.

    A matrix is (in, out); a convolution kernel (*window, in, out), each fan times the size of the window.

    >>> compute_fans((3, 3, 16, 32))
    (144, 288)
    """
    if input_axes is not None and output_axes is not None:
        return prod(shape[axis] for axis in input_axes), prod(shape[axis] for axis in output_axes)
    if len(shape) < 2:
        return prod(shape), prod(shape)
    window = prod(shape[:-2])
    return window * shape[-2], window * shape[-1]


class _Preset(VarianceScaling):
    """A VarianceScaling with its scale, mode and distribution given by the class."""

    preset: tuple[float, str, str]

    def __init__(
        self,
        seed: Any = None,
        input_axes: Sequence[int] | None = None,
        output_axes: Sequence[int] | None = None,
    ) -> None:
        super().__init__(*self.preset, seed=seed, input_axes=input_axes, output_axes=output_axes)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        return {name: config[name] for name in ("seed", "input_axes", "output_axes")}


class GlorotUniform(_Preset):
    """Uniform with variance 2 / (fan in + fan out). Source: Glorot and Bengio (2010)."""

    preset = (1.0, "fan_avg", "uniform")


class GlorotNormal(_Preset):
    """Truncated normal with variance 2 / (fan in + fan out). Source: Glorot and Bengio (2010)."""

    preset = (1.0, "fan_avg", "truncated_normal")


class HeUniform(_Preset):
    """Uniform with variance 2 / fan in, for layers followed by ReLU. Source: He et al. (2015)."""

    preset = (2.0, "fan_in", "uniform")


class HeNormal(_Preset):
    """Truncated normal with variance 2 / fan in, for layers followed by ReLU. Source: He et al. (2015)."""

    preset = (2.0, "fan_in", "truncated_normal")


class LecunUniform(_Preset):
    """Uniform with variance 1 / fan in. Source: LeCun et al., "Efficient BackProp" (1998)."""

    preset = (1.0, "fan_in", "uniform")


class LecunNormal(_Preset):
    """Truncated normal with variance 1 / fan in, as SELU wants it. Source: Klambauer et al. (2017)."""

    preset = (1.0, "fan_in", "truncated_normal")


class Orthogonal(RandomInitializer):
    """`gain` times a matrix with orthonormal columns (rows, if it is wider than high), evenly distributed.

    A weight with more axes is taken as the matrix (product of all but the last, last).
    Source: Saxe et al. (2014); the sign rule that makes it even: Mezzadri (2007).
    """

    def __init__(self, gain: float = 1.0, seed: Any = None) -> None:
        self.gain = gain
        super().__init__(seed=seed)

    def __call__(self, shape: Any, dtype: Any = None) -> Array:
        extents = checked_shape(shape)
        if len(extents) < 2:
            raise ShapeError(f"The orthogonal initializer needs at least two axes, got shape {extents}.")
        name = dtypes.standardize(dtype)
        rows, columns = prod(extents[:-1]), extents[-1]
        gaussian = self._draw(draw.normal, (max(rows, columns), min(rows, columns)), 0.0, 1.0, "float64")
        orthogonal, triangular = np.linalg.qr(gaussian.numpy())
        orthogonal *= np.copysign(1.0, np.diagonal(triangular))
        matrix = orthogonal.T if rows < columns else orthogonal
        return as_eager((self.gain * matrix).reshape(extents).astype(dtypes.to_numpy(name)))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "gain": self.gain}


REGISTRY.register(RandomNormal, "random_normal", "normal")
REGISTRY.register(TruncatedNormal, "truncated_normal")
REGISTRY.register(RandomUniform, "random_uniform", "uniform")
REGISTRY.register(VarianceScaling, "variance_scaling")
REGISTRY.register(GlorotUniform, "glorot_uniform")
REGISTRY.register(GlorotNormal, "glorot_normal")
REGISTRY.register(HeUniform, "he_uniform")
REGISTRY.register(HeNormal, "he_normal")
REGISTRY.register(LecunUniform, "lecun_uniform")
REGISTRY.register(LecunNormal, "lecun_normal")
REGISTRY.register(Orthogonal, "orthogonal", "OrthogonalInitializer")
