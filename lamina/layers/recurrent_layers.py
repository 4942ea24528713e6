"""SimpleRNN, LSTM and GRU: recurrent layers with cells of their own."""

from __future__ import annotations

from typing import Any, Self

from lamina import regularizers
from lamina.layers.input_spec import InputSpec
from lamina.layers.recurrent import RNN
from lamina.layers.recurrent_cells import GRUCell, LSTMCell, RecurrentCell, SimpleRNNCell
from lamina.layers.registry import REGISTRY


class GatedRNN(RNN):
    """An RNN over one of the cells of this library, whose settings it shows as its own."""

    cell: RecurrentCell

    def __init__(self, cell: RecurrentCell, activity_regularizer: Any, **kwargs: Any) -> None:
        super().__init__(cell, activity_regularizer=activity_regularizer, **kwargs)
        self.input_spec = InputSpec(ndim=3)

    def __getattr__(self, name: str) -> Any:
        """Settings of the cell: units, activation, dropout, kernel_initializer, ..."""
        cell = self.__dict__.get("cell")
        if name in _SETTINGS and cell is not None:
            return getattr(cell, name)
        return super().__getattr__(name)

    def get_config(self) -> dict[str, Any]:
        own = super().get_config()
        del own["cell"]
        shown = {
            key: value
            for key, value in self.cell.get_config().items()
            if key not in ("name", "trainable", "dtype")
        }
        return {**own, **shown, "activity_regularizer": regularizers.serialize(self.activity_regularizer)}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        unused = ("implementation", "time_major")
        return cls(**{key: value for key, value in config.items() if key not in unused})


_SETTINGS = frozenset(
    ["filters", "kernel_size", "strides", "padding", "data_format", "dilation_rate",
     "activation", "bias_constraint", "bias_initializer", "bias_regularizer", "dropout", "kernel_constraint",
     "kernel_initializer", "kernel_regularizer", "recurrent_activation", "recurrent_constraint",
     "recurrent_dropout", "recurrent_initializer", "recurrent_regularizer", "reset_after", "seed",
     "unit_forget_bias", "units", "use_bias"]
)  # fmt: skip


def _of_cell(kwargs: dict[str, Any]) -> dict[str, Any]:
    """The arguments that a layer shares with its cell."""
    shared = {"dtype": kwargs.get("dtype"), "trainable": kwargs.get("trainable", True)}
    return {**shared, "implementation": kwargs.pop("implementation", 2)}


@REGISTRY.register
class SimpleRNN(GatedRNN):
    """A fully connected recurrent layer: `h = activation(x @ kernel + h @ recurrent_kernel + bias)`.

    (batch, time, features) -> (batch, units), the output after the last step; (batch, time, units) with
    return_sequences. Weights: kernel (features, units), recurrent_kernel (units, units), bias.

    activation: a name or function. dropout, recurrent_dropout: rates at which
    entries of the inputs and of the state are dropped while training, the same ones at every step.
    return_sequences, return_state, go_backwards, stateful, unroll, and `initial_state` and `mask` when
    called, are as in RNN; the rest is as in Dense.

    >>> SimpleRNN(4)(np.zeros((2, 10, 3), "float32")).shape
    (2, 4)
    """

    def __init__(
        self,
        units: int,
        activation: Any = "tanh",
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        recurrent_initializer: Any = "orthogonal",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        recurrent_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        recurrent_constraint: Any = None,
        bias_constraint: Any = None,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        unroll: bool = False,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        cell = SimpleRNNCell(
            units=units,
            activation=activation,
            use_bias=use_bias,
            kernel_initializer=kernel_initializer,
            recurrent_initializer=recurrent_initializer,
            bias_initializer=bias_initializer,
            kernel_regularizer=kernel_regularizer,
            recurrent_regularizer=recurrent_regularizer,
            bias_regularizer=bias_regularizer,
            kernel_constraint=kernel_constraint,
            recurrent_constraint=recurrent_constraint,
            bias_constraint=bias_constraint,
            dropout=dropout,
            recurrent_dropout=recurrent_dropout,
            seed=seed,
            name="simple_rnn_cell",
            **_of_cell(kwargs),
        )
        super().__init__(
            cell,
            activity_regularizer,
            return_sequences=return_sequences,
            return_state=return_state,
            go_backwards=go_backwards,
            stateful=stateful,
            unroll=unroll,
            **kwargs,
        )


@REGISTRY.register
class LSTM(GatedRNN):
    """Long short-term memory: a recurrent layer whose state h is guarded by gates around a memory c.

    (batch, time, features) -> (batch, units), the output after the last step; (batch, time, units) with
    return_sequences. Weights: kernel (features, 4 units), recurrent_kernel (units, 4 units), bias.

    activation, recurrent_activation: names or functions. dropout, recurrent_dropout: rates at which
    entries of the inputs and of the state are dropped while training, the same ones at every step.
    return_sequences, return_state, go_backwards, stateful, unroll, and `initial_state` and `mask` when
    called, are as in RNN; the rest is as in Dense. unit_forget_bias: the
    forget gates begin open. use_cudnn: accepted for Keras' sake.
    The formula is in LSTMCell. The states are [h, c].

    >>> LSTM(4, return_sequences=True)(np.zeros((2, 10, 3), "float32")).shape
    (2, 10, 4)
    """

    def __init__(
        self,
        units: int,
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
        unroll: bool = False,
        use_cudnn: Any = "auto",
        **kwargs: Any,
    ) -> None:
        cell = LSTMCell(
            units=units,
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
            name="lstm_cell",
            **_of_cell(kwargs),
        )
        super().__init__(
            cell,
            activity_regularizer,
            return_sequences=return_sequences,
            return_state=return_state,
            go_backwards=go_backwards,
            stateful=stateful,
            unroll=unroll,
            **kwargs,
        )
        self.use_cudnn = use_cudnn  # accepted for the sake of Keras


@REGISTRY.register
class GRU(GatedRNN):
    """Gated recurrent unit: a recurrent layer whose state is updated and reset by gates.

    (batch, time, features) -> (batch, units), the output after the last step; (batch, time, units) with
    return_sequences. Weights: kernel (features, 3 units), recurrent_kernel (units, 3 units), bias.

    activation, recurrent_activation: names or functions. dropout, recurrent_dropout: rates at which
    entries of the inputs and of the state are dropped while training, the same ones at every step.
    return_sequences, return_state, go_backwards, stateful, unroll, and `initial_state` and `mask` when
    called, are as in RNN; the rest is as in Dense. reset_after: where
    the reset gate works, see GRUCell; use_cudnn: accepted for Keras' sake.
    The formula is in GRUCell; with reset_after the bias has two rows, for inputs and state.

    >>> GRU(4)(np.zeros((2, 10, 3), "float32")).shape
    (2, 4)
    """

    def __init__(
        self,
        units: int,
        activation: Any = "tanh",
        recurrent_activation: Any = "sigmoid",
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        recurrent_initializer: Any = "orthogonal",
        bias_initializer: Any = "zeros",
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
        unroll: bool = False,
        reset_after: bool = True,
        use_cudnn: Any = "auto",
        **kwargs: Any,
    ) -> None:
        cell = GRUCell(
            units=units,
            activation=activation,
            recurrent_activation=recurrent_activation,
            use_bias=use_bias,
            kernel_initializer=kernel_initializer,
            recurrent_initializer=recurrent_initializer,
            bias_initializer=bias_initializer,
            kernel_regularizer=kernel_regularizer,
            recurrent_regularizer=recurrent_regularizer,
            bias_regularizer=bias_regularizer,
            kernel_constraint=kernel_constraint,
            recurrent_constraint=recurrent_constraint,
            bias_constraint=bias_constraint,
            dropout=dropout,
            recurrent_dropout=recurrent_dropout,
            seed=seed,
            reset_after=reset_after,
            name="gru_cell",
            **_of_cell(kwargs),
        )
        super().__init__(
            cell,
            activity_regularizer,
            return_sequences=return_sequences,
            return_state=return_state,
            go_backwards=go_backwards,
            stateful=stateful,
            unroll=unroll,
            **kwargs,
        )
        self.use_cudnn = use_cudnn  # accepted for the sake of Keras
