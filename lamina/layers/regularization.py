"""Layers that make training harder on purpose: noise while training, penalties on what passes through."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from lamina import ops, random, regularizers
from lamina.core.errors import ArgumentError
from lamina.layers.arguments import number
from lamina.layers.elementwise import Elementwise
from lamina.layers.input_spec import describe_layer
from lamina.layers.registry import REGISTRY

# Fixed point of SELU: Klambauer et al., "Self-Normalizing Neural Networks" (2017).
_SELU_ALPHA = 1.6732632423543772848170429916717
_SELU_SCALE = 1.0507009873554804934193349852946


class _Noise(Elementwise):
    """Random while training, the identity otherwise. `seed` makes the noise repeatable."""

    def __init__(self, seed: int | None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.seed = seed

    def _make_generator(self, amount: float) -> None:
        if amount > 0:
            self.seed_generator = random.SeedGenerator(self.seed)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "seed": self.seed}


@REGISTRY.register
class Dropout(_Noise):
    """While training: each element is 0 with probability `rate`, the others are scaled by `1 / (1 - rate)`.

    noise_shape: shape of the random mask, 1 where elements share their fate, None for the input's extent.
    Raises ArgumentError unless 0 <= rate <= 1.
    Source: Srivastava et al., "Dropout: A Simple Way to Prevent Neural Networks from Overfitting" (2014).

    >>> Dropout(0.5, seed=1)(np.ones((1, 4)), training=True)  # zeros and twos
    """

    def __init__(
        self,
        rate: float,
        noise_shape: Sequence[int | None] | None = None,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(seed, **kwargs)
        self.rate = number(rate, "rate", self, low=0, high=1)
        self.noise_shape = _checked_noise_shape(noise_shape, self)
        self._make_generator(self.rate)

    def call(self, inputs: Any, training: Any = False) -> Any:
        if not training or self.rate == 0:
            return inputs
        if self.rate == 1:
            return ops.zeros_like(inputs)
        noise_shape = _concrete(self.noise_shape, inputs)
        return random.dropout(inputs, self.rate, noise_shape=noise_shape, seed=self.seed_generator)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "rate": self.rate, "noise_shape": self.noise_shape}


@REGISTRY.register
class AlphaDropout(_Noise):
    """Dropout that keeps mean and variance of SELU activations: dropped elements become the negative limit of
    SELU, and an affine map `a * x + b` restores the moments.

    Arguments and errors as for Dropout. Source: Klambauer et al., "Self-Normalizing Neural Networks" (2017).

    >>> AlphaDropout(0.1, seed=1)(np.ones((1, 4)), training=True)
    """

    def __init__(
        self,
        rate: float,
        noise_shape: Sequence[int | None] | None = None,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(seed, **kwargs)
        self.rate = number(rate, "rate", self, low=0, high=1)
        self.noise_shape = _checked_noise_shape(noise_shape, self)
        self._make_generator(self.rate)

    def call(self, inputs: Any, training: Any = False) -> Any:
        if not training or self.rate == 0:
            return inputs
        limit = -_SELU_ALPHA * _SELU_SCALE
        if self.rate == 1:
            return ops.full_like(inputs, limit)
        shape = _concrete(self.noise_shape, inputs) or inputs.shape
        kept = ops.greater_equal(random.uniform(shape, seed=self.seed_generator), self.rate)
        scale = ((1 - self.rate) * (1 + self.rate * limit**2)) ** -0.5
        shift = -scale * limit * self.rate
        return ops.where(kept, inputs, limit) * scale + shift

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "rate": self.rate, "noise_shape": self.noise_shape}


@REGISTRY.register
class GaussianDropout(_Noise):
    """While training: multiplies by normal noise of mean 1 and standard deviation `sqrt(rate / (1 - rate))`.

    Raises ArgumentError unless 0 <= rate < 1.
    Source: Srivastava et al., "Dropout: A Simple Way to Prevent Neural Networks from Overfitting" (2014).

    >>> GaussianDropout(0.2, seed=1)(np.ones((1, 4)), training=True)
    """

    def __init__(self, rate: float, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(seed, **kwargs)
        self.rate = number(rate, "rate", self, low=0, high=1, open_end=True)
        self._make_generator(self.rate)

    def call(self, inputs: Any, training: Any = False) -> Any:
        if not training or self.rate == 0:
            return inputs
        spread = math.sqrt(self.rate / (1.0 - self.rate))
        noise = random.normal(inputs.shape, 1.0, spread, dtype=self.compute_dtype, seed=self.seed_generator)
        return ops.multiply(inputs, noise)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "rate": self.rate}


@REGISTRY.register
class GaussianNoise(_Noise):
    """While training: adds normal noise of mean 0 and standard deviation `stddev`.

    Raises ArgumentError for a negative `stddev`.

    >>> GaussianNoise(0.1, seed=1)(np.zeros((1, 4)), training=True)
    """

    def __init__(self, stddev: float, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(seed, **kwargs)
        self.stddev = number(stddev, "stddev", self, low=0)
        self._make_generator(self.stddev)

    def call(self, inputs: Any, training: Any = False) -> Any:
        if not training or self.stddev == 0:
            return inputs
        noise = random.normal(
            inputs.shape, 0.0, self.stddev, dtype=self.compute_dtype, seed=self.seed_generator
        )
        return ops.add(inputs, noise)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "stddev": self.stddev}


@REGISTRY.register
class ActivityRegularization(Elementwise):
    """The identity, with the penalty `l1 * sum(abs(x)) + l2 * sum(x ** 2)`, per example, added to the losses.

    Raises ArgumentError for negative factors.

    >>> layer = ActivityRegularization(l2=0.1)
    >>> outputs = layer(np.ones((2, 3)))
    >>> layer.losses
    [Array(0.3, dtype=float32)]
    """

    def __init__(self, l1: float = 0.0, l2: float = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.l1 = number(l1, "l1", self, low=0)
        self.l2 = number(l2, "l2", self, low=0)
        self.activity_regularizer = regularizers.L1L2(l1=self.l1, l2=self.l2)

    def call(self, inputs: Any) -> Any:
        return inputs

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        del config["activity_regularizer"]
        return {**config, "l1": self.l1, "l2": self.l2}


def _checked_noise_shape(noise_shape: Any, layer: Any) -> tuple[int | None, ...] | None:
    if noise_shape is None:
        return None
    listed = tuple(noise_shape) if isinstance(noise_shape, (tuple, list)) else (noise_shape,)
    for extent in listed:
        if extent is not None and (isinstance(extent, bool) or not isinstance(extent, int) or extent < 1):
            raise ArgumentError(
                f"{describe_layer(layer)} cannot have noise_shape={noise_shape!r}.",
                expected="a tuple of positive whole numbers and None, one entry per axis of the input",
            )
    return listed


def _concrete(noise_shape: tuple[int | None, ...] | None, inputs: Any) -> tuple[int, ...] | None:
    """The noise shape with None replaced by the extents of the input."""
    if noise_shape is None:
        return None
    return tuple(
        own if extent is None else extent for extent, own in zip(noise_shape, inputs.shape, strict=True)
    )
