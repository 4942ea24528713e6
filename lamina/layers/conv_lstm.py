"""ConvLSTM1D, 2D, 3D: LSTMs over frames, whose products with weights are convolutions."""

from __future__ import annotations

from typing import Any

from lamina import ops
from lamina.core import windows
from lamina.core.errors import ArgumentError, ShapeError
from lamina.layers.arguments import channels_last, choice, integer_tuple
from lamina.layers.input_spec import InputSpec, describe_layer
from lamina.layers.recurrent_cells import LSTMCell
from lamina.layers.recurrent_layers import GatedRNN
from lamina.layers.registry import REGISTRY

_SPATIAL = ("kernel_size", "strides", "padding", "data_format", "dilation_rate")


class ConvLSTMCell(LSTMCell):
    """A step of ConvLSTM: that of LSTMCell, with convolutions of the frame and of the state.

    Called on (batch, *spatial, channels) and [h, c]; the recurrent convolution keeps the size of the state.
    """

    def __init__(
        self,
        rank: int,
        filters: int,
        kernel_size: Any,
        strides: Any,
        padding: str,
        data_format: str | None,
        dilation_rate: Any,
        **kwargs: Any,
    ) -> None:
        super().__init__(filters, **kwargs)
        self.rank = rank
        self.filters = self.units
        self.kernel_size = integer_tuple(kernel_size, rank, "kernel_size", self)
        self.strides = integer_tuple(strides, rank, "strides", self)
        self.padding = choice(padding, "padding", self, ("valid", "same"))
        self.data_format = channels_last(data_format, self)
        self.dilation_rate = integer_tuple(dilation_rate, rank, "dilation_rate", self)
        if max(self.strides) > 1 and max(self.dilation_rate) > 1:
            raise ArgumentError(
                f"{describe_layer(self)} cannot have strides and dilation_rate above 1 together.",
                got=f"strides={self.strides}, dilation_rate={self.dilation_rate}",
            )
        self._masks_per_gate = True
        self.state_size = -1  # known when the cell is built

    def build(self, input_shape: Any) -> None:
        if None in input_shape[1:]:
            raise ShapeError(
                f"{describe_layer(self)} must know the size and channels of its frames.",
                got=f"shape {tuple(input_shape)}",
            )
        self.frame = self.frame_of(input_shape)
        width = 4 * self.filters
        for name, channels in (("kernel", input_shape[-1]), ("recurrent_kernel", self.filters)):
            own = "recurrent_" if name == "recurrent_kernel" else "kernel_"
            weight = self.add_weight(
                name=name,
                shape=(*self.kernel_size, channels, width),
                initializer=getattr(self, f"{own}initializer"),
                regularizer=getattr(self, f"{own}regularizer"),
                constraint=getattr(self, f"{own}constraint"),
            )
            setattr(self, name, weight)
        self.bias = None
        if self.use_bias:
            self.bias = self.add_weight(
                name="bias",
                shape=(width,),
                initializer=self._first_bias(),
                regularizer=self.bias_regularizer,
                constraint=self.bias_constraint,
            )

    def frame_of(self, input_shape: Any) -> tuple[int, ...]:
        """The shape of a state, without the batch, for frames of this shape with the batch."""
        spatial, sizes, strides, steps = input_shape[1:-1], self.kernel_size, self.strides, self.dilation_rate
        around = tuple(
            windows.same_padding(*axis) if self.padding == "same" else (0, 0)
            for axis in zip(spatial, sizes, strides, steps)
        )
        return (*windows.places(spatial, sizes, strides, around, steps), self.filters)

    def project(self, inputs: Any, training: Any) -> Any:
        """(..., *spatial, channels) -> (..., *spatial, 4 * filters)."""
        masks = self._input_masks
        if masks is None or not training:
            projected = self._convolved(inputs, self.kernel)
        else:
            parts = ops.split(self.kernel, 4, axis=-1)
            masked = [ops.multiply(inputs, mask) for mask in masks]
            projected = ops.concatenate([self._convolved(x, part) for x, part in zip(masked, parts)], axis=-1)
        return projected if self.bias is None else ops.add(projected, self.bias)

    def _convolved(self, inputs: Any, kernel: Any) -> Any:
        outer = inputs.shape[: -self.rank - 1]  # the batch, or batch and time
        frames = ops.reshape(inputs, (-1, *inputs.shape[-self.rank - 1 :]))
        found = ops.conv(frames, kernel, self.strides, self.padding, dilation_rate=self.dilation_rate)
        return ops.reshape(found, (*outer, *found.shape[1:]))

    def _recur(self, state: Any, training: Any) -> Any:
        masks = self._state_masks
        if masks is None or not training:
            return ops.conv(state, self.recurrent_kernel, padding="same")
        parts = ops.split(self.recurrent_kernel, 4, axis=-1)
        masked = [ops.multiply(state, mask) for mask in masks]
        return ops.concatenate([ops.conv(x, part, padding="same") for x, part in zip(masked, parts)], axis=-1)

    def get_initial_state(self, batch_size: int | None = None) -> list[Any]:
        """Zeros of the size of the frames that the cell was built for."""
        return [ops.zeros((batch_size, *self.frame), self.compute_dtype) for _ in range(2)]

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        del config["units"]
        return {**config, "filters": self.filters, **{name: getattr(self, name) for name in _SPATIAL}}


class ConvLSTM(GatedRNN):
    """What ConvLSTM1D, 2D and 3D share."""

    rank: int

    def __init__(
        self,
        filters: int,
        kernel_size: Any,
        strides: Any = 1,
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: Any = 1,
        activation: Any = "tanh",
        recurrent_activation: Any = "sigmoid",
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        recurrent_initializer: Any = "orthogonal",
        bias_initializer: Any = "zeros",
        unit_forget_bias: bool = True,
        kernel_regularizer: Any = None,
        recurrent_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        recurrent_constraint: Any = None,
        bias_constraint: Any = None,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        seed: int | None = None,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        **kwargs: Any,
    ) -> None:
        cell = ConvLSTMCell(
            self.rank,
            filters,
            kernel_size,
            strides,
            padding,
            data_format,
            dilation_rate,
            activation=activation,
            recurrent_activation=recurrent_activation,
            use_bias=use_bias,
            kernel_initializer=kernel_initializer,
            recurrent_initializer=recurrent_initializer,
            bias_initializer=bias_initializer,
            unit_forget_bias=unit_forget_bias,
            kernel_regularizer=kernel_regularizer,
            recurrent_regularizer=recurrent_regularizer,
            bias_regularizer=bias_regularizer,
            kernel_constraint=kernel_constraint,
            recurrent_constraint=recurrent_constraint,
            bias_constraint=bias_constraint,
            dropout=dropout,
            recurrent_dropout=recurrent_dropout,
            seed=seed,
            name="conv_lstm_cell",
            dtype=kwargs.get("dtype"),
            trainable=kwargs.get("trainable", True),
        )
        super().__init__(
            cell,
            activity_regularizer,
            return_sequences=return_sequences,
            return_state=return_state,
            go_backwards=go_backwards,
            stateful=stateful,
            **kwargs,
        )
        self.state_size = [-1, -1]
        self.input_spec = InputSpec(ndim=self.rank + 3)

    def _output_size(self) -> Any:
        return self.cell.frame  # type: ignore[attr-defined]

    def compute_output_shape(self, sequences_shape: Any, initial_state_shape: Any = None) -> Any:
        batch, length = sequences_shape[:2]
        frame = self.cell.frame_of((batch, *sequences_shape[2:]))  # type: ignore[attr-defined]
        output = (batch, length, *frame) if self.return_sequences else (batch, *frame)
        return (output, (batch, *frame), (batch, *frame)) if self.return_state else output


@REGISTRY.register
class ConvLSTM1D(ConvLSTM):
    """An LSTM over sequences of signals, with convolutions in the place of matrix products.

    (batch, time, steps, channels) -> (batch, steps, filters), or all times with return_sequences. The
    arguments are those of LSTM and Conv1D; the convolution of the state keeps its size.
    Source: X. Shi et al., "Convolutional LSTM Network" (2015).
    """

    rank = 1


@REGISTRY.register
class ConvLSTM2D(ConvLSTM):
    """An LSTM over sequences of images, with convolutions in the place of matrix products.

    (batch, time, rows, columns, channels) -> (batch, rows, columns, filters), or all times with
    return_sequences. The arguments are those of LSTM and Conv2D; the convolution of the state keeps its size.
    Source: X. Shi et al., "Convolutional LSTM Network" (2015).

    >>> ConvLSTM2D(4, 3)(np.zeros((2, 5, 8, 8, 1), "float32")).shape
    (2, 6, 6, 4)
    """

    rank = 2


@REGISTRY.register
class ConvLSTM3D(ConvLSTM):
    """An LSTM over sequences of volumes, with convolutions in the place of matrix products.

    (batch, time, *volume, channels) -> (batch, *volume, filters), or all times with return_sequences. The
    arguments are those of LSTM and Conv3D; the convolution of the state keeps its size.
    Source: X. Shi et al., "Convolutional LSTM Network" (2015).
    """

    rank = 3
