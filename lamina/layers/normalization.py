"""Normalisation within each example: over features, over groups of channels, to length one."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

from lamina import constraints, initializers, ops, regularizers
from lamina.core.errors import ArgumentError, ShapeError
from lamina.layers.arguments import integers, number
from lamina.layers.batch_normalization import affine_config, along, wide
from lamina.layers.elementwise import Elementwise
from lamina.layers.input_spec import InputSpec, describe_layer
from lamina.layers.layer import Layer
from lamina.layers.registry import REGISTRY


class _Affine(Layer):
    """A normalisation with a learned scale, gamma, and offset, beta."""

    def __init__(
        self,
        axis: int | Sequence[int],
        epsilon: float,
        center: bool,
        scale: bool,
        beta_initializer: Any,
        gamma_initializer: Any,
        beta_regularizer: Any,
        gamma_regularizer: Any,
        beta_constraint: Any,
        gamma_constraint: Any,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.axis = checked_axis(axis, self)
        self.epsilon = number(epsilon, "epsilon", self, low=0)
        self.center = center
        self.scale = scale
        self.beta_initializer = initializers.get(beta_initializer)
        self.gamma_initializer = initializers.get(gamma_initializer)
        self.beta_regularizer = regularizers.get(beta_regularizer)
        self.gamma_regularizer = regularizers.get(gamma_regularizer)
        self.beta_constraint = constraints.get(beta_constraint)
        self.gamma_constraint = constraints.get(gamma_constraint)
        self.supports_masking = True
        self.autocast = False

    def _make_affine(self, shape: tuple[int, ...], scale: bool, center: bool) -> None:
        self.gamma = self.beta = None
        if scale:
            self.gamma = self.add_weight(
                name="gamma",
                shape=shape,
                initializer=self.gamma_initializer,
                regularizer=self.gamma_regularizer,
                constraint=self.gamma_constraint,
                autocast=False,
            )
        if center:
            self.beta = self.add_weight(
                name="beta",
                shape=shape,
                initializer=self.beta_initializer,
                regularizer=self.beta_regularizer,
                constraint=self.beta_constraint,
                autocast=False,
            )

    def compute_output_shape(self, input_shape: Any) -> Any:
        for axis in listed(self.axis):
            along(input_shape, axis, self)
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "axis": self.axis,
            "epsilon": self.epsilon,
            "center": self.center,
            "scale": self.scale,
            **affine_config(self),
        }


@REGISTRY.register
class LayerNormalization(_Affine):
    """`gamma * (x - mean) / sqrt(variance + epsilon) + beta`, with the moments of each example over `axis`.

    The shape stays. Weights, with the extents of `axis`: gamma if `scale`, beta if `center`.

    axis: one axis or several. epsilon: keeps the division finite. *_initializer, *_regularizer,
    *_constraint: names or objects, for beta and gamma.
    Raises ArgumentError for an axis that is no whole number, ShapeError for one that the input does not have.

    >>> LayerNormalization()(np.array([[0.0, 2.0]]))
    Array([[-0.9995004,  0.9995004]], dtype=float32)

    Source: J. Ba, J. Kiros, G. Hinton, "Layer Normalization" (2016).
    """

    def __init__(
        self,
        axis: int | Sequence[int] = -1,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        beta_initializer: Any = "zeros",
        gamma_initializer: Any = "ones",
        beta_regularizer: Any = None,
        gamma_regularizer: Any = None,
        beta_constraint: Any = None,
        gamma_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        rms_scaling = bool(kwargs.pop("rms_scaling", False))
        super().__init__(
            axis, epsilon, center, scale, beta_initializer, gamma_initializer, beta_regularizer,
            gamma_regularizer, beta_constraint, gamma_constraint, **kwargs,
        )  # fmt: skip
        if rms_scaling:
            warnings.warn(
                f"{describe_layer(self)}: rms_scaling=True divides by the deviation, not by the root mean "
                "square; for the latter there is RMSNormalization.",
                stacklevel=2,
            )
        self.rms_scaling = rms_scaling

    def build(self, input_shape: Any) -> None:
        rank = len(input_shape)
        # In increasing order, so that gamma and beta lie as the input does.
        extents = {axis % rank: along(input_shape, axis, self) for axis in listed(self.axis)}
        shape = tuple(extents[axis] for axis in sorted(extents))
        self._make_affine(shape, self.scale or self.rms_scaling, self.center and not self.rms_scaling)

    def call(self, inputs: Any) -> Any:
        outputs = ops.layer_normalization(
            inputs, self.gamma, self.beta, self.axis, self.epsilon, rms_scaling=self.rms_scaling
        )
        return ops.cast(outputs, self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "rms_scaling": self.rms_scaling}


@REGISTRY.register
class GroupNormalization(_Affine):
    """Normalises each example over each of `groups` groups of channels, and all the places they have.

    `gamma * (x - mean) / sqrt(variance + epsilon) + beta`. The shape stays. Weights, each (channels,): gamma
    if `scale`, beta if `center`.

    groups: a divisor of the number of channels; 1 normalises over all of them, -1 each by itself (instance
    normalisation). axis: of the channels. Other arguments as for LayerNormalization.
    Raises ArgumentError for bad `groups`, ShapeError when the channels cannot be divided into them.

    >>> GroupNormalization(groups=2)(np.ones((1, 3, 3, 4), "float32")).shape
    (1, 3, 3, 4)

    Source: Y. Wu, K. He, "Group Normalization" (2018).
    """

    def __init__(
        self,
        groups: int = 32,
        axis: int = -1,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        beta_initializer: Any = "zeros",
        gamma_initializer: Any = "ones",
        beta_regularizer: Any = None,
        gamma_regularizer: Any = None,
        beta_constraint: Any = None,
        gamma_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            axis, epsilon, center, scale, beta_initializer, gamma_initializer, beta_regularizer,
            gamma_regularizer, beta_constraint, gamma_constraint, **kwargs,
        )  # fmt: skip
        if isinstance(groups, bool) or not isinstance(groups, int) or (groups < 1 and groups != -1):
            raise ArgumentError(
                f"{describe_layer(self)} cannot have groups={groups!r}.",
                expected="a whole number of at least 1, or -1 for one group per channel",
            )
        self.groups = groups

    def build(self, input_shape: Any) -> None:
        (axis,) = listed(self.axis)
        channels = along(input_shape, axis, self)
        if channels is None or channels % self._groups(channels):
            raise ShapeError(
                f"{describe_layer(self)} cannot divide the channels into {self.groups} groups.",
                expected=f"a multiple of {self.groups} along axis {axis}",
                got=f"{channels} in shape {tuple(input_shape)}",
            )
        self._make_affine((channels,), self.scale, self.center)
        self.input_spec = InputSpec(ndim=len(input_shape), axes={axis: channels})

    def _groups(self, channels: int) -> int:
        return channels if self.groups == -1 else self.groups

    def call(self, inputs: Any) -> Any:
        (axis,) = listed(self.axis)
        shape, place = tuple(inputs.shape), axis % len(inputs.shape)
        groups = self._groups(shape[place])
        split = (groups, shape[place] // groups)
        grouped = ops.reshape(inputs, (*shape[:place], *split, *shape[place + 1 :]))
        grouped = ops.cast(grouped, wide(inputs.dtype))
        axes = tuple(entry for entry in range(1, len(grouped.shape)) if entry != place)
        mean, variance = ops.moments(grouped, axes=axes, keepdims=True)
        factor = ops.rsqrt(variance + self.epsilon)
        weight_shape = [1] * len(grouped.shape)
        weight_shape[place : place + 2] = split
        if self.gamma is not None:
            factor = factor * ops.cast(ops.reshape(self.gamma, weight_shape), grouped.dtype)
        outputs = (grouped - mean) * factor
        if self.beta is not None:
            outputs = outputs + ops.cast(ops.reshape(self.beta, weight_shape), grouped.dtype)
        return ops.cast(ops.reshape(outputs, shape), self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "groups": self.groups}


@REGISTRY.register
class RMSNormalization(Layer):
    """`scale * x / sqrt(mean(x ** 2) + epsilon)`, with the mean of each example over `axis`.

    The shape stays. Weight: scale, with the extents of `axis`. Raises ShapeError for an axis that the input
    does not have.

    >>> RMSNormalization()(np.array([[1.0, 7.0]]))
    Array([[0.2, 1.4]], dtype=float32)

    Source: B. Zhang, R. Sennrich, "Root Mean Square Layer Normalization" (2019).
    """

    def __init__(self, axis: int | Sequence[int] = -1, epsilon: float = 1e-6, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.axis = checked_axis(axis, self)
        self.epsilon = number(epsilon, "epsilon", self, low=0)

    def build(self, input_shape: Any) -> None:
        rank = len(input_shape)
        extents = {axis % rank: along(input_shape, axis, self) for axis in listed(self.axis)}
        shape = tuple(extents[axis] for axis in sorted(extents))
        self.scale = self.add_weight(name="scale", shape=shape, initializer="ones")

    def call(self, inputs: Any) -> Any:
        rank = len(inputs.shape)
        places = {axis % rank for axis in listed(self.axis)}
        shape = tuple(extent if axis in places else 1 for axis, extent in enumerate(inputs.shape))
        scale = ops.reshape(self.scale, shape)
        return ops.rms_normalization(inputs, scale=scale, axis=self.axis, epsilon=self.epsilon)

    def compute_output_shape(self, input_shape: Any) -> Any:
        for axis in listed(self.axis):
            along(input_shape, axis, self)
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "axis": self.axis, "epsilon": self.epsilon}


@REGISTRY.register
class UnitNormalization(Elementwise):
    """Divides by the Euclidean length over `axis`, one axis or several; zeros stay zeros.

    >>> UnitNormalization()(np.array([[3.0, 4.0]]))
    Array([[0.6, 0.8]], dtype=float32)
    """

    def __init__(self, axis: int | Sequence[int] = -1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.axis = checked_axis(axis, self)

    def call(self, inputs: Any) -> Any:
        return ops.normalize(inputs, axis=self.axis, order=2, epsilon=1e-12)

    def compute_output_shape(self, input_shape: Any) -> Any:
        for axis in listed(self.axis):
            along(input_shape, axis, self)
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "axis": self.axis}


def checked_axis(axis: Any, layer: Any) -> int | list[int]:
    """`axis` as an int or a list of ints; ArgumentError otherwise."""
    whole = integers(axis, "axis", layer)
    return list(whole) if isinstance(axis, (list, tuple)) else whole[0]


def listed(axis: int | list[int]) -> list[int]:
    return axis if isinstance(axis, list) else [axis]
