"""Convolutions over sequences, images and volumes: Conv1D, Conv2D, Conv3D."""

from __future__ import annotations

from typing import Any

from lamina import activations, constraints, initializers, ops, regularizers
from lamina.core.errors import ArgumentError, ShapeError
from lamina.layers.arguments import positive_integer
from lamina.layers.dense import weight_config
from lamina.layers.input_spec import InputSpec, describe_layer
from lamina.layers.registry import REGISTRY
from lamina.layers.spatial import Numbers, Padding, SpatialLayer


class _Convolution(SpatialLayer):
    """`activation(conv(inputs, kernel) + bias)`: at every place, the kernel times what lies under it."""

    def __init__(
        self,
        filters: int,
        kernel_size: Numbers,
        strides: Numbers = 1,
        padding: str | Padding = "valid",
        data_format: str | None = None,
        dilation_rate: Numbers = 1,
        groups: int = 1,
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(data_format, activity_regularizer=activity_regularizer, **kwargs)
        self.filters = positive_integer(filters, "filters", self)
        self.kernel_size = self._per_axis(kernel_size, "kernel_size")
        self.strides = self._per_axis(strides, "strides")
        self.padding = self._padding(padding, ("valid", "same", "causal")[: 3 if self.rank == 1 else 2])
        self.dilation_rate = self._per_axis(dilation_rate, "dilation_rate")
        self.groups = positive_integer(groups, "groups", self)
        if self.filters % self.groups:
            raise ArgumentError(
                f"{describe_layer(self)} cannot divide {filters} filters into {groups} groups.",
                expected=f"filters: a multiple of {groups}",
            )
        self.activation = activations.get(activation)
        self.use_bias = use_bias
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)
        self.bias_regularizer = regularizers.get(bias_regularizer)
        self.kernel_constraint = constraints.get(kernel_constraint)
        self.bias_constraint = constraints.get(bias_constraint)

    def build(self, input_shape: Any) -> None:
        channels = input_shape[-1]
        self.compute_output_shape(input_shape)
        per_group = None if channels is None else channels // self.groups
        self.kernel = self.add_weight(
            name="kernel",
            shape=(*self.kernel_size, per_group, self.filters),
            initializer=self.kernel_initializer,
            regularizer=self.kernel_regularizer,
            constraint=self.kernel_constraint,
        )
        self.bias = add_bias(self, self.filters)
        self.input_spec = InputSpec(ndim=self.rank + 2, axes={-1: channels})

    def call(self, inputs: Any) -> Any:
        outputs = ops.conv(
            inputs,
            self.kernel,
            strides=self.strides,
            padding=self.padding,
            dilation_rate=self.dilation_rate,
        )
        return finish(self, outputs)

    def compute_output_shape(self, input_shape: Any) -> Any:
        channels = input_shape[-1]
        if channels is not None and channels % self.groups:
            raise ShapeError(
                f"{describe_layer(self)} cannot divide the channels of its input into {self.groups} groups.",
                expected=f"a multiple of {self.groups} channels, on the last axis",
                got=f"{channels} in shape {tuple(input_shape)}",
            )
        places = self._places(input_shape, self.kernel_size, self.strides, self.padding, self.dilation_rate)
        return (input_shape[0], *places, self.filters)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "filters": self.filters,
            "groups": self.groups,
            **window_config(self),
            **weight_config(self),
        }


@REGISTRY.register
class Conv1D(_Convolution):
    """A convolution over sequences: (batch, steps, channels) -> (batch, places, filters).

    Weights: kernel (size, channels / groups, filters); bias (filters,) if `use_bias`. There are
    `(steps - size) // stride + 1` places; with padding "same" or "causal" `steps / stride`, rounded up.

    filters: the number of channels that come out. kernel_size: how many steps a filter sees. strides: from
    place to place. padding: "valid" for none, "same" for zeros on both sides, "causal" for zeros before, so
    that no place sees the future, or ((before, after),). dilation_rate: the distance between the steps that
    a filter sees. groups: the channels are divided into so many, each with its own filters. activation: name
    or function. *_initializer, *_regularizer, *_constraint: names or objects.
    Raises ArgumentError for arguments that make no sense, ShapeError for an input of another rank, with
    fewer steps than the kernel, or with channels that the groups do not divide.

    >>> Conv1D(8, 3, padding="causal", dilation_rate=2)(np.ones((2, 10, 4), "float32")).shape
    (2, 10, 8)
    """

    rank = 1


@REGISTRY.register
class Conv2D(_Convolution):
    """A convolution over images: (batch, height, width, channels) -> (batch, rows, columns, filters).

    Weights: kernel (height, width, channels / groups, filters); bias (filters,) if `use_bias`.
    kernel_size, strides, dilation_rate: one number, or (along the height, along the width). padding: "valid",
    "same", or ((top, bottom), (left, right)). Other arguments and errors as for Conv1D.

    >>> Conv2D(32, 3, strides=2, padding="same", activation="relu")(np.ones((8, 28, 28, 1), "float32")).shape
    (8, 14, 14, 32)
    """

    rank = 2


@REGISTRY.register
class Conv3D(_Convolution):
    """A convolution over volumes: (batch, depth, height, width, channels) -> (batch, *places, filters).

    Weights: kernel (depth, height, width, channels / groups, filters); bias (filters,) if `use_bias`.
    kernel_size, strides, dilation_rate: one number, or three. Other arguments and errors as for Conv1D.

    >>> Conv3D(4, (3, 2, 2))(np.ones((2, 5, 6, 7, 1), "float32")).shape
    (2, 3, 5, 6, 4)
    """

    rank = 3


Convolution1D, Convolution2D, Convolution3D = Conv1D, Conv2D, Conv3D


def add_bias(layer: Any, filters: int) -> Any:
    """The weight `bias` of `layer`, or None."""
    if not layer.use_bias:
        return None
    return layer.add_weight(
        name="bias",
        shape=(filters,),
        initializer=layer.bias_initializer,
        regularizer=layer.bias_regularizer,
        constraint=layer.bias_constraint,
    )


def finish(layer: Any, outputs: Any) -> Any:
    """`activation(outputs + bias)`, of what `layer` has."""
    if layer.bias is not None:
        outputs = ops.add(outputs, layer.bias)
    return outputs if layer.activation is None else layer.activation(outputs)


def window_config(layer: Any) -> dict[str, Any]:
    """The part of a config that all convolutions have."""
    return {
        "kernel_size": layer.kernel_size,
        "strides": layer.strides,
        "padding": layer.padding,
        "data_format": layer.data_format,
        "dilation_rate": layer.dilation_rate,
        "activation": activations.serialize(layer.activation),
        "use_bias": layer.use_bias,
    }
