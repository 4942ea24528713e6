"""Dropout of whole feature maps: neighbouring places are too alike for dropping single ones to help."""

from __future__ import annotations

from typing import Any

from lamina.layers.arguments import channels_last
from lamina.layers.input_spec import InputSpec
from lamina.layers.registry import REGISTRY
from lamina.layers.regularization import Dropout


class _SpatialDropout(Dropout):
    """While training: each channel of each example is 0 with probability `rate`, the others are scaled up."""

    def __init__(self, rank: int, rate: float, seed: int | None, name: str | None, dtype: Any) -> None:
        super().__init__(rate, noise_shape=(None, *([1] * rank), None), seed=seed, name=name, dtype=dtype)
        self.input_spec = InputSpec(ndim=rank + 2)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        return {entry: config[entry] for entry in ("rate", "seed", "name", "dtype")}


@REGISTRY.register
class SpatialDropout1D(_SpatialDropout):
    """While training: drops channels of (batch, steps, channels). Arguments and errors as for Dropout.

    Source: J. Tompson et al., "Efficient Object Localization Using Convolutional Networks" (2014).

    >>> SpatialDropout1D(0.5, seed=1)(np.ones((1, 3, 4)), training=True)  # columns of zeros and of twos
    """

    def __init__(
        self, rate: float, seed: int | None = None, name: str | None = None, dtype: Any = None
    ) -> None:
        super().__init__(1, rate, seed, name, dtype)


class _ImageDropout(_SpatialDropout):
    def __init__(
        self, rank: int, rate: float, data_format: str | None, seed: int | None, name: str | None, dtype: Any
    ) -> None:
        super().__init__(rank, rate, seed, name, dtype)
        self.data_format = channels_last(data_format, self)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "data_format": self.data_format}


@REGISTRY.register
class SpatialDropout2D(_ImageDropout):
    """While training: drops channels of (batch, height, width, channels). Otherwise as SpatialDropout1D.

    >>> SpatialDropout2D(0.5, seed=1)(np.ones((1, 3, 3, 4)), training=True)
    """

    def __init__(
        self,
        rate: float,
        data_format: str | None = None,
        seed: int | None = None,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(2, rate, data_format, seed, name, dtype)


@REGISTRY.register
class SpatialDropout3D(_ImageDropout):
    """While training: drops channels of (batch, depth, height, width, channels). As SpatialDropout1D.

    >>> SpatialDropout3D(0.5, seed=1)(np.ones((1, 2, 3, 3, 4)), training=True)
    """

    def __init__(
        self,
        rate: float,
        data_format: str | None = None,
        seed: int | None = None,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(3, rate, data_format, seed, name, dtype)
