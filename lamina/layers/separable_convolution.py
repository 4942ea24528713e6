"""Convolutions of each channel by itself (depthwise), and with a mixing of channels behind (separable)."""

from __future__ import annotations

from typing import Any

from lamina import activations, constraints, initializers, ops, regularizers
from lamina.layers.arguments import positive_integer
from lamina.layers.convolution import add_bias, finish, window_config
from lamina.layers.input_spec import InputSpec
from lamina.layers.registry import REGISTRY
from lamina.layers.spatial import Numbers, Padding, SpatialLayer


class _Depthwise(SpatialLayer):
    """What both forms share: a kernel for each channel, and a bias."""

    def _set(
        self,
        kernel_size: Numbers,
        strides: Numbers,
        padding: str | Padding,
        depth_multiplier: int,
        dilation_rate: Numbers,
        activation: Any,
        use_bias: bool,
        depthwise: tuple[Any, Any, Any],
        bias: tuple[Any, Any, Any],
    ) -> None:
        """Check and keep the arguments; the last two are (initializer, regularizer, constraint)."""
        self.kernel_size = self._per_axis(kernel_size, "kernel_size")
        self.strides = self._per_axis(strides, "strides")
        self.padding = self._padding(padding)
        self.depth_multiplier = positive_integer(depth_multiplier, "depth_multiplier", self)
        self.dilation_rate = self._per_axis(dilation_rate, "dilation_rate")
        self.activation = activations.get(activation)
        self.use_bias = use_bias
        self.depthwise_initializer = initializers.get(depthwise[0])
        self.depthwise_regularizer = regularizers.get(depthwise[1])
        self.depthwise_constraint = constraints.get(depthwise[2])
        self.bias_initializer = initializers.get(bias[0])
        self.bias_regularizer = regularizers.get(bias[1])
        self.bias_constraint = constraints.get(bias[2])

    def _add_depthwise(self, name: str, channels: int) -> Any:
        return self.add_weight(
            name=name,
            shape=(*self.kernel_size, channels, self.depth_multiplier),
            initializer=self.depthwise_initializer,
            regularizer=self.depthwise_regularizer,
            constraint=self.depthwise_constraint,
        )

    def _filters(self, channels: int | None) -> int | None:
        return None if channels is None else channels * self.depth_multiplier

    def compute_output_shape(self, input_shape: Any) -> Any:
        places = self._places(input_shape, self.kernel_size, self.strides, self.padding, self.dilation_rate)
        return (input_shape[0], *places, self._filters(input_shape[-1]))

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "depth_multiplier": self.depth_multiplier,
            **window_config(self),
            "depthwise_initializer": initializers.serialize(self.depthwise_initializer),
            "depthwise_regularizer": regularizers.serialize(self.depthwise_regularizer),
            "depthwise_constraint": constraints.serialize(self.depthwise_constraint),
            "bias_initializer": initializers.serialize(self.bias_initializer),
            "bias_regularizer": regularizers.serialize(self.bias_regularizer),
            "bias_constraint": constraints.serialize(self.bias_constraint),
        }


class _DepthwiseConvolution(_Depthwise):
    """`activation(depthwise_conv(inputs, kernel) + bias)`."""

    def __init__(
        self,
        kernel_size: Numbers,
        strides: Numbers = 1,
        padding: str | Padding = "valid",
        depth_multiplier: int = 1,
        data_format: str | None = None,
        dilation_rate: Numbers = 1,
        activation: Any = None,
        use_bias: bool = True,
        depthwise_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        depthwise_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        depthwise_constraint: Any = None,
        bias_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(data_format, activity_regularizer=activity_regularizer, **kwargs)
        self._set(
            kernel_size, strides, padding, depth_multiplier, dilation_rate, activation, use_bias,
            (depthwise_initializer, depthwise_regularizer, depthwise_constraint),
            (bias_initializer, bias_regularizer, bias_constraint),
        )  # fmt: skip

    def build(self, input_shape: Any) -> None:
        channels = input_shape[-1]
        self.kernel = self._add_depthwise("kernel", channels)
        self.bias = add_bias(self, channels * self.depth_multiplier)
        self.input_spec = InputSpec(ndim=self.rank + 2, axes={-1: channels})

    def call(self, inputs: Any) -> Any:
        outputs = ops.depthwise_conv(
            inputs, self.kernel, strides=self.strides, padding=self.padding, dilation_rate=self.dilation_rate
        )
        return finish(self, outputs)


@REGISTRY.register
class DepthwiseConv1D(_DepthwiseConvolution):
    """A convolution of each channel by itself: (batch, steps, channels) -> (batch, places, more channels).

    Weights: kernel (size, channels, depth_multiplier); bias (depth_multiplier * channels,) if `use_bias`.
    depth_multiplier: how many filters each channel has. Other arguments and errors as for Conv1D.

    >>> DepthwiseConv1D(3, depth_multiplier=2)(np.ones((2, 10, 4), "float32")).shape
    (2, 8, 8)
    """

    rank = 1


@REGISTRY.register
class DepthwiseConv2D(_DepthwiseConvolution):
    """A convolution of each channel of images by itself; arguments and errors as for Conv2D, DepthwiseConv1D.

    Weights: kernel (height, width, channels, depth_multiplier); bias (depth_multiplier * channels,) if
    `use_bias`.

    >>> DepthwiseConv2D(3, padding="same")(np.ones((2, 8, 8, 4), "float32")).shape
    (2, 8, 8, 4)
    """

    rank = 2


class _SeparableConvolution(_Depthwise):
    """`activation(separable_conv(inputs, depthwise_kernel, pointwise_kernel) + bias)`."""

    def __init__(
        self,
        filters: int,
        kernel_size: Numbers,
        strides: Numbers = 1,
        padding: str | Padding = "valid",
        data_format: str | None = None,
        dilation_rate: Numbers = 1,
        depth_multiplier: int = 1,
        activation: Any = None,
        use_bias: bool = True,
        depthwise_initializer: Any = "glorot_uniform",
        pointwise_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        depthwise_regularizer: Any = None,
        pointwise_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        depthwise_constraint: Any = None,
        pointwise_constraint: Any = None,
        bias_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(data_format, activity_regularizer=activity_regularizer, **kwargs)
        self._set(
            kernel_size, strides, padding, depth_multiplier, dilation_rate, activation, use_bias,
            (depthwise_initializer, depthwise_regularizer, depthwise_constraint),
            (bias_initializer, bias_regularizer, bias_constraint),
        )  # fmt: skip
        self.filters = positive_integer(filters, "filters", self)
        self.pointwise_initializer = initializers.get(pointwise_initializer)
        self.pointwise_regularizer = regularizers.get(pointwise_regularizer)
        self.pointwise_constraint = constraints.get(pointwise_constraint)

    def build(self, input_shape: Any) -> None:
        channels = input_shape[-1]
        self.depthwise_kernel = self._add_depthwise("depthwise_kernel", channels)
        self.pointwise_kernel = self.add_weight(
            name="pointwise_kernel",
            shape=(*[1] * self.rank, channels * self.depth_multiplier, self.filters),
            initializer=self.pointwise_initializer,
            regularizer=self.pointwise_regularizer,
            constraint=self.pointwise_constraint,
        )
        self.bias = add_bias(self, self.filters)
        self.input_spec = InputSpec(ndim=self.rank + 2, axes={-1: channels})

    def call(self, inputs: Any) -> Any:
        outputs = ops.separable_conv(
            inputs,
            self.depthwise_kernel,
            self.pointwise_kernel,
            strides=self.strides,
            padding=self.padding,
            dilation_rate=self.dilation_rate,
        )
        return finish(self, outputs)

    def _filters(self, channels: int | None) -> int | None:
        return self.filters

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "filters": self.filters,
            "pointwise_initializer": initializers.serialize(self.pointwise_initializer),
            "pointwise_regularizer": regularizers.serialize(self.pointwise_regularizer),
            "pointwise_constraint": constraints.serialize(self.pointwise_constraint),
        }


@REGISTRY.register
class SeparableConv1D(_SeparableConvolution):
    """A DepthwiseConv1D, then a mixing of the channels: (batch, steps, channels) -> (batch, places, filters).

    Weights: depthwise_kernel (size, channels, depth_multiplier), pointwise_kernel
    (1, depth_multiplier * channels, filters); bias (filters,) if `use_bias`. Arguments and errors as for
    Conv1D and DepthwiseConv1D.

    >>> SeparableConv1D(16, 3)(np.ones((2, 10, 4), "float32")).shape
    (2, 8, 16)

    Source: F. Chollet, "Xception: Deep Learning with Depthwise Separable Convolutions" (2017).
    """

    rank = 1


@REGISTRY.register
class SeparableConv2D(_SeparableConvolution):
    """A DepthwiseConv2D, then a mixing of the channels; arguments and errors as for SeparableConv1D.

    Weights: depthwise_kernel (height, width, channels, depth_multiplier), pointwise_kernel
    (1, 1, depth_multiplier * channels, filters); bias (filters,) if `use_bias`.

    >>> SeparableConv2D(16, 3, padding="same")(np.ones((2, 8, 8, 4), "float32")).shape
    (2, 8, 8, 16)
    """

    rank = 2


SeparableConvolution1D, SeparableConvolution2D = SeparableConv1D, SeparableConv2D
