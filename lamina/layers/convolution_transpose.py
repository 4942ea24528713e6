"""Transposed convolutions (deconvolutions): each place of the input adds its multiple of the kernel."""

from __future__ import annotations

from typing import Any

from lamina import activations, constraints, initializers, ops, regularizers
from lamina.core import windows
from lamina.core.errors import ArgumentError
from lamina.layers.arguments import choice, positive_integer
from lamina.layers.convolution import add_bias, finish, window_config
from lamina.layers.dense import weight_config
from lamina.layers.input_spec import InputSpec, describe_layer
from lamina.layers.registry import REGISTRY
from lamina.layers.spatial import Numbers, SpatialLayer


class _ConvolutionTranspose(SpatialLayer):
    """`activation(conv_transpose(inputs, kernel) + bias)`."""

    def __init__(
        self,
        filters: int,
        kernel_size: Numbers,
        strides: Numbers = 1,
        padding: str = "valid",
        output_padding: Numbers | None = None,
        data_format: str | None = None,
        dilation_rate: Numbers = 1,
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
        self.padding = choice(padding, "padding", self, ("valid", "same"))
        self.dilation_rate = self._per_axis(dilation_rate, "dilation_rate")
        self.output_padding = self._output_padding(output_padding)
        self.activation = activations.get(activation)
        self.use_bias = use_bias
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)
        self.bias_regularizer = regularizers.get(bias_regularizer)
        self.kernel_constraint = constraints.get(kernel_constraint)
        self.bias_constraint = constraints.get(bias_constraint)

    def _output_padding(self, value: Any) -> tuple[int, ...] | None:
        if value is None:
            return None
        added = self._per_axis(value, "output_padding", low=0)
        if any(extra >= stride for extra, stride in zip(added, self.strides)):
            raise ArgumentError(
                f"{describe_layer(self)} cannot have output_padding={value!r}.",
                expected=f"less than the strides {self.strides}",
            )
        return added

    def build(self, input_shape: Any) -> None:
        channels = input_shape[-1]
        self.kernel = self.add_weight(
            name="kernel",
            shape=(*self.kernel_size, self.filters, channels),
            initializer=self.kernel_initializer,
            regularizer=self.kernel_regularizer,
            constraint=self.kernel_constraint,
        )
        self.bias = add_bias(self, self.filters)
        self.input_spec = InputSpec(ndim=self.rank + 2, axes={-1: channels})

    def call(self, inputs: Any) -> Any:
        outputs = ops.conv_transpose(
            inputs,
            self.kernel,
            strides=self.strides,
            padding=self.padding,
            output_padding=self.output_padding,
            dilation_rate=self.dilation_rate,
        )
        return finish(self, outputs)

    def compute_output_shape(self, input_shape: Any) -> Any:
        spatial = (
            None if extent is None else self._extent(extent, axis)
            for axis, extent in enumerate(input_shape[1:-1])
        )
        return (input_shape[0], *spatial, self.filters)

    def _extent(self, extent: int, axis: int) -> int:
        stride, reach = self.strides[axis], windows.reach(self.kernel_size[axis], self.dilation_rate[axis])
        added = None if self.output_padding is None else self.output_padding[axis]
        if self.padding == "valid":
            return (extent - 1) * stride + (max(reach, stride) if added is None else reach + added)
        return extent * stride if added is None else (extent - 1) * stride + reach % 2 + added

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "filters": self.filters,
            "output_padding": self.output_padding,
            **window_config(self),
            **weight_config(self),
        }


@REGISTRY.register
class Conv1DTranspose(_ConvolutionTranspose):
    """Makes sequences longer: (batch, steps, channels) -> (batch, places, filters).

    With padding "same" there are `steps * stride` places; with "valid"
    `(steps - 1) * stride + max(size, stride)`. Weights: kernel (size, filters, channels); bias (filters,) if
    `use_bias`.

    filters: the number of channels that come out. kernel_size: how many places each step adds to. strides:
    from one step's places to the next one's. output_padding: how many places to add at the end, less than the
    stride. Other arguments as for Conv1D, without "causal" and groups.
    Raises ArgumentError for arguments that make no sense, ShapeError for an input of another rank.

    >>> Conv1DTranspose(8, 3, strides=2, padding="same")(np.ones((2, 10, 4), "float32")).shape
    (2, 20, 8)

    Source: V. Dumoulin, F. Visin, "A guide to convolution arithmetic for deep learning" (2016).
    """

    rank = 1


@REGISTRY.register
class Conv2DTranspose(_ConvolutionTranspose):
    """Makes images larger: (batch, height, width, channels) -> (batch, rows, columns, filters).

    Weights: kernel (height, width, filters, channels); bias (filters,) if `use_bias`. Arguments and errors as
    for Conv1DTranspose, with one number or (along the height, along the width).

    >>> Conv2DTranspose(3, 4, strides=2, padding="same")(np.ones((8, 7, 7, 16), "float32")).shape
    (8, 14, 14, 3)
    """

    rank = 2


@REGISTRY.register
class Conv3DTranspose(_ConvolutionTranspose):
    """Makes volumes larger: (batch, depth, height, width, channels) -> (batch, *places, filters).

    Weights: kernel (depth, height, width, filters, channels); bias (filters,) if `use_bias`. Arguments and
    errors as for Conv1DTranspose, with one number or three.

    >>> Conv3DTranspose(2, 2, strides=2)(np.ones((1, 3, 4, 5, 1), "float32")).shape
    (1, 6, 8, 10, 2)
    """

    rank = 3

    def __init__(
        self,
        filters: int,
        kernel_size: Numbers,
        strides: Numbers = 1,
        padding: str = "valid",
        data_format: str | None = None,
        output_padding: Numbers | None = None,  # here, and only here, behind data_format
        dilation_rate: Numbers = 1,
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
        super().__init__(
            filters, kernel_size, strides, padding, output_padding, data_format, dilation_rate, activation,
            use_bias, kernel_initializer, bias_initializer, kernel_regularizer, bias_regularizer,
            activity_regularizer, kernel_constraint, bias_constraint, **kwargs,
        )  # fmt: skip


Convolution1DTranspose, Convolution2DTranspose = Conv1DTranspose, Conv2DTranspose
Convolution3DTranspose = Conv3DTranspose
