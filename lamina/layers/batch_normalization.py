"""Batch normalisation: the statistics of the batch while training, their moving averages afterwards."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lamina import constraints, initializers, ops, regularizers
from lamina.core.errors import ArgumentError, ShapeError
from lamina.layers.arguments import number
from lamina.layers.input_spec import InputSpec, describe_layer
from lamina.layers.layer import Layer
from lamina.layers.registry import REGISTRY

_CLIPPING = ("rmax", "rmin", "dmax")


@REGISTRY.register
class BatchNormalization(Layer):
    """`gamma * (x - mean) / sqrt(variance + epsilon) + beta`, for each entry along `axis`.

    While training, mean and variance are those of the batch, and the moving averages follow them:
    `moving = momentum * moving + (1 - momentum) * batch`. Otherwise, and when `trainable` is False, the
    moving averages are used. Entries that a mask excludes do not count in the statistics.

    The shape stays. Weights, each (channels,): gamma if `scale`, beta if `center`, moving_mean,
    moving_variance; with `renorm` also moving_stddev, renorm_mean, renorm_stddev.

    axis: of the channels. momentum, epsilon: as above. *_initializer, *_regularizer, *_constraint: names or
    objects. renorm: correct the batch's statistics towards the moving ones, which keeps small batches from
    differing between training and inference; renorm_clipping: a dict with any of "rmax", "rmin", "dmax", the
    limits of that correction; renorm_momentum: of its averages. synchronized: accepted for Keras' sake.
    Raises ArgumentError for numbers that make no sense, ShapeError for an axis that the input does not have.

    >>> BatchNormalization()(np.array([[0.0], [2.0]]), training=True)
    Array([[-0.9995004],
           [ 0.9995004]], dtype=float32)

    Sources: S. Ioffe, C. Szegedy, "Batch Normalization" (2015); S. Ioffe, "Batch Renormalization" (2017).
    """

    def __init__(
        self,
        axis: int = -1,
        momentum: float = 0.99,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        beta_initializer: Any = "zeros",
        gamma_initializer: Any = "ones",
        moving_mean_initializer: Any = "zeros",
        moving_variance_initializer: Any = "ones",
        beta_regularizer: Any = None,
        gamma_regularizer: Any = None,
        beta_constraint: Any = None,
        gamma_constraint: Any = None,
        renorm: bool = False,
        renorm_clipping: Mapping[str, float] | None = None,
        renorm_momentum: float = 0.99,
        synchronized: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.axis = int(axis)
        self.momentum = number(momentum, "momentum", self, low=0, high=1)
        self.epsilon = number(epsilon, "epsilon", self, low=0)
        self.center = center
        self.scale = scale
        self.beta_initializer = initializers.get(beta_initializer)
        self.gamma_initializer = initializers.get(gamma_initializer)
        self.moving_mean_initializer = initializers.get(moving_mean_initializer)
        self.moving_variance_initializer = initializers.get(moving_variance_initializer)
        self.beta_regularizer = regularizers.get(beta_regularizer)
        self.gamma_regularizer = regularizers.get(gamma_regularizer)
        self.beta_constraint = constraints.get(beta_constraint)
        self.gamma_constraint = constraints.get(gamma_constraint)
        self.renorm = renorm
        self.renorm_clipping = self._checked_clipping(renorm_clipping)
        self.renorm_momentum = number(renorm_momentum, "renorm_momentum", self, low=0, high=1)
        self.synchronized = synchronized
        self.supports_masking = True

    def _checked_clipping(self, clipping: Mapping[str, float] | None) -> dict[str, float] | None:
        if clipping is None:
            return {} if self.renorm else None
        unknown = sorted(set(clipping) - set(_CLIPPING))
        low, high = clipping.get("rmin"), clipping.get("rmax")
        if unknown or (low is not None and high is not None and high < low) or clipping.get("dmax", 0) < 0:
            raise ArgumentError(
                f"{describe_layer(self)} cannot have renorm_clipping={dict(clipping)!r}.",
                expected="some of 'rmin' <= 'rmax', and 'dmax' of at least 0",
            )
        return dict(clipping)

    def build(self, input_shape: Any) -> None:
        channels = along(input_shape, self.axis, self)
        affine: dict[str, Any] = {"shape": (channels,), "autocast": False}
        state: dict[str, Any] = {"shape": (channels,), "autocast": False, "trainable": False}
        self.gamma = self.beta = None
        if self.scale:
            self.gamma = self.add_weight(
                name="gamma",
                initializer=self.gamma_initializer,
                regularizer=self.gamma_regularizer,
                constraint=self.gamma_constraint,
                **affine,
            )
        if self.center:
            self.beta = self.add_weight(
                name="beta",
                initializer=self.beta_initializer,
                regularizer=self.beta_regularizer,
                constraint=self.beta_constraint,
                **affine,
            )
        mean, variance = self.moving_mean_initializer, self.moving_variance_initializer
        self.moving_mean = self.add_weight(name="moving_mean", initializer=mean, **state)
        self.moving_variance = self.add_weight(name="moving_variance", initializer=variance, **state)
        if self.renorm:

            def deviation(shape: Any, dtype: Any = None) -> Any:
                return ops.sqrt(variance(shape, dtype=dtype))

            self.moving_stddev = self.add_weight(name="moving_stddev", initializer=deviation, **state)
            self.renorm_mean = self.add_weight(name="renorm_mean", initializer=mean, **state)
            self.renorm_stddev = self.add_weight(name="renorm_stddev", initializer=deviation, **state)
        self.input_spec = InputSpec(ndim=len(input_shape), axes={self.axis: channels})

    def call(self, inputs: Any, training: Any = None, mask: Any = None) -> Any:
        dtype = wide(inputs.dtype)
        inputs = ops.cast(inputs, dtype)
        gamma, beta = (None if each is None else ops.cast(each, dtype) for each in (self.gamma, self.beta))
        if training and self.trainable:
            mean, variance = self._moments(inputs, mask)
            if self.renorm:
                gamma, beta = self._renormalized(mean, variance, gamma, beta)
            else:
                follow(self.moving_mean, mean, self.momentum)
                follow(self.moving_variance, variance, self.momentum)
        else:
            mean, variance = ops.cast(self.moving_mean, dtype), ops.cast(self.moving_variance, dtype)
        outputs = ops.batch_normalization(
            inputs, mean, variance, axis=self.axis, offset=beta, scale=gamma, epsilon=self.epsilon
        )
        return ops.cast(outputs, self.compute_dtype)

    def _moments(self, inputs: Any, mask: Any) -> tuple[Any, Any]:
        rank = len(inputs.shape)
        axes = tuple(axis for axis in range(rank) if axis != self.axis % rank)
        if mask is None:
            mean, variance = ops.moments(inputs, axes=axes)
            return mean, variance
        if len(mask.shape) != rank - 1:
            raise ShapeError(
                f"{describe_layer(self)}: the mask must have the axes of the input but the last.",
                expected=f"shape {tuple(inputs.shape[:-1])}",
                got=f"shape {tuple(mask.shape)}",
            )
        real = ops.broadcast_to(ops.expand_dims(mask, -1), inputs.shape)
        count = ops.sum(ops.cast(real, inputs.dtype), axes, keepdims=True) + 1e-7
        mean = ops.sum(ops.where(real, inputs, 0), axes, keepdims=True) / count
        squares = ops.square(ops.where(real, inputs - mean, 0))
        variance = ops.sum(squares, axes, keepdims=True) / count
        return ops.squeeze(mean, axes), ops.squeeze(variance, axes)

    def _renormalized(self, mean: Any, variance: Any, gamma: Any, beta: Any) -> tuple[Any, Any]:
        """gamma and beta with the correction towards the moving statistics, which follow the batch's."""
        clipping = self.renorm_clipping or {}
        deviation = ops.sqrt(variance + self.epsilon)
        known = ops.maximum(ops.cast(self.renorm_stddev, mean.dtype), self.epsilon**0.5)
        r = deviation / known
        d = (mean - ops.cast(self.renorm_mean, mean.dtype)) / known
        if clipping.get("rmin") is not None:
            r = ops.maximum(r, clipping["rmin"])
        if clipping.get("rmax") is not None:
            r = ops.minimum(r, clipping["rmax"])
        if clipping.get("dmax") is not None:
            d = ops.clip(d, -clipping["dmax"], clipping["dmax"])
        r, d = ops.stop_gradient(r), ops.stop_gradient(d)

        follow(self.renorm_mean, mean, self.renorm_momentum)
        follow(self.renorm_stddev, deviation, self.renorm_momentum)
        follow(self.moving_mean, mean, self.momentum)
        moving = follow(self.moving_stddev, deviation, self.momentum)
        self.moving_variance.assign(ops.relu(moving * moving - self.epsilon))

        scale, offset = (r, d) if gamma is None else (r * gamma, d * gamma)
        return scale, offset if beta is None else offset + beta

    def compute_output_shape(self, input_shape: Any) -> Any:
        along(input_shape, self.axis, self)
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "axis": self.axis,
            "momentum": self.momentum,
            "epsilon": self.epsilon,
            "center": self.center,
            "scale": self.scale,
            "moving_mean_initializer": initializers.serialize(self.moving_mean_initializer),
            "moving_variance_initializer": initializers.serialize(self.moving_variance_initializer),
            "synchronized": self.synchronized,
            "renorm": self.renorm,
            "renorm_clipping": self.renorm_clipping,
            "renorm_momentum": self.renorm_momentum,
            **affine_config(self),
        }


def follow(average: Any, value: Any, momentum: float) -> Any:
    """Assign `momentum * average + (1 - momentum) * value` to the variable, and return it."""
    moved = ops.cast(average, value.dtype) * momentum + value * (1.0 - momentum)
    average.assign(moved)
    return moved


def wide(dtype: Any) -> str:
    """The dtype that statistics are computed in: float32, or float64 for float64."""
    return "float64" if str(dtype) == "float64" else "float32"


def along(input_shape: Any, axis: int, layer: Any) -> Any:
    """The extent of `axis`; ShapeError when the input has no such axis."""
    rank = len(input_shape)
    if not -rank <= axis < rank:
        raise ShapeError(
            f"{describe_layer(layer)} normalises along axis {axis}, which its input does not have.",
            expected=f"an input with at least {axis + 1 if axis >= 0 else -axis} axes",
            got=f"shape {tuple(input_shape)}",
        )
    return input_shape[axis]


def affine_config(layer: Any) -> dict[str, Any]:
    """The part of a config that is about gamma and beta."""
    return {
        "beta_initializer": initializers.serialize(layer.beta_initializer),
        "gamma_initializer": initializers.serialize(layer.gamma_initializer),
        "beta_regularizer": regularizers.serialize(layer.beta_regularizer),
        "gamma_regularizer": regularizers.serialize(layer.gamma_regularizer),
        "beta_constraint": constraints.serialize(layer.beta_constraint),
        "gamma_constraint": constraints.serialize(layer.gamma_constraint),
    }
