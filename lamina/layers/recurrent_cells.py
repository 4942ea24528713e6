"""The cells of SimpleRNN, LSTM and GRU: one step of a recurrent network.

A cell computes in two parts: `project` multiplies the inputs with their weights, and needs no state; `step`
does the rest. So a layer can project a whole sequence at once, and loop over the rest only.
"""

from __future__ import annotations

from typing import Any

from lamina import activations, constraints, initializers, ops, random, regularizers
from lamina.layers.arguments import positive_integer
from lamina.layers.dense import weight_config
from lamina.layers.layer import Layer
from lamina.layers.registry import REGISTRY


class RecurrentCell(Layer):
    """What the cells share: weights kernel, recurrent_kernel and bias, and dropout.

    Dropout masks stay the same for all steps of a sequence (Y. Gal, Z. Ghahramani, "A Theoretically Grounded
    Application of Dropout in Recurrent Neural Networks", 2016): the layer draws them before the loop.
    """

    gates = 1
    # Masks of the sequence under way: for the inputs and for the state, one or one per gate; None for none.
    _input_masks: list[Any] | None = None
    _state_masks: list[Any] | None = None
    _has_masks = False

    def __init__(
        self,
        units: int,
        activation: Any,
        use_bias: bool,
        kernel_initializer: Any,
        recurrent_initializer: Any,
        bias_initializer: Any,
        kernel_regularizer: Any,
        recurrent_regularizer: Any,
        bias_regularizer: Any,
        kernel_constraint: Any,
        recurrent_constraint: Any,
        bias_constraint: Any,
        dropout: float,
        recurrent_dropout: float,
        seed: int | None,
        **kwargs: Any,
    ) -> None:
        implementation = kwargs.pop("implementation", 2)
        super().__init__(**kwargs)
        self.units = positive_integer(units, "units", self)
        self.activation = activations.get(activation)
        self.use_bias = use_bias
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.recurrent_initializer = initializers.get(recurrent_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)
        self.recurrent_regularizer = regularizers.get(recurrent_regularizer)
        self.bias_regularizer = regularizers.get(bias_regularizer)
        self.kernel_constraint = constraints.get(kernel_constraint)
        self.recurrent_constraint = constraints.get(recurrent_constraint)
        self.bias_constraint = constraints.get(bias_constraint)
        self.dropout = min(1.0, max(0.0, dropout))
        self.recurrent_dropout = min(1.0, max(0.0, recurrent_dropout))
        # As Keras: with dropout of the state, every gate has masks of its own.
        self._masks_per_gate = implementation == 1 or self.recurrent_dropout > 0
        self.seed = seed
        self.seed_generator = random.SeedGenerator(seed)
        self.state_size: Any = self.units
        self.output_size = self.units

    def build(self, input_shape: Any) -> None:
        width = self.units * self.gates
        self.kernel = self.add_weight(
            name="kernel",
            shape=(input_shape[-1], width),
            initializer=self.kernel_initializer,
            regularizer=self.kernel_regularizer,
            constraint=self.kernel_constraint,
        )
        self.recurrent_kernel = self.add_weight(
            name="recurrent_kernel",
            shape=(self.units, width),
            initializer=self.recurrent_initializer,
            regularizer=self.recurrent_regularizer,
            constraint=self.recurrent_constraint,
        )
        self.bias = None
        if self.use_bias:
            self.bias = self.add_weight(
                name="bias",
                shape=self._bias_shape(),
                initializer=self._first_bias(),
                regularizer=self.bias_regularizer,
                constraint=self.bias_constraint,
            )

    def _bias_shape(self) -> tuple[int, ...]:
        return (self.units * self.gates,)

    def _first_bias(self) -> Any:
        return self.bias_initializer

    # --- one step ----------------------------------------------------------------------------------

    def call(self, inputs: Any, states: Any, training: Any = False) -> tuple[Any, Any]:
        states = states if isinstance(states, (list, tuple)) else [states]
        alone = not self._has_masks
        if alone:
            self.draw_masks(inputs, states, training)
        try:
            return self.step(self.project(inputs, training), states, training)
        finally:
            if alone:
                self.drop_masks()

    def project(self, inputs: Any, training: Any) -> Any:
        """(..., features) -> (..., gates * units): the part that needs no state; for one step or for all."""
        if self._input_masks is None or not training:
            projected = ops.matmul(inputs, self.kernel)
        elif len(self._input_masks) == 1:
            projected = ops.matmul(ops.multiply(inputs, self._input_masks[0]), self.kernel)
        else:
            parts = ops.split(self.kernel, self.gates, axis=1)
            masked = [ops.multiply(inputs, mask) for mask in self._input_masks]
            projected = ops.concatenate([ops.matmul(x, part) for x, part in zip(masked, parts)], axis=-1)
        bias = self._input_bias()
        return projected if bias is None else ops.add(projected, bias)

    def step(self, projected: Any, states: Any, training: Any) -> tuple[Any, Any]:
        """(output, new states) from the projected inputs and the states before."""
        raise NotImplementedError

    def _input_bias(self) -> Any:
        return self.bias

    def _recur(self, state: Any, training: Any) -> Any:
        """The state times its weights, with dropout."""
        masks = self._state_masks
        if masks is None or not training:
            return ops.matmul(state, self.recurrent_kernel)
        if len(masks) == 1:
            return ops.matmul(ops.multiply(state, masks[0]), self.recurrent_kernel)
        parts = ops.split(self.recurrent_kernel, self.gates, axis=1)
        products = [ops.matmul(ops.multiply(state, mask), part) for mask, part in zip(masks, parts)]
        return ops.concatenate(products, axis=-1)

    def _gate(self, x: Any, number: int, count: int = 1) -> Any:
        """Columns of `count` gates."""
        return x[..., number * self.units : (number + count) * self.units]

    def get_initial_state(self, batch_size: int | None = None) -> list[Any]:
        """Zeros."""
        sizes = self.state_size if isinstance(self.state_size, list) else [self.state_size]
        return [ops.zeros((batch_size, size), self.compute_dtype) for size in sizes]

    # --- dropout -----------------------------------------------------------------------------------

    def draw_masks(self, inputs: Any, states: Any, training: Any) -> None:
        """Draw the masks for a sequence whose steps look like `inputs`."""
        if not training:
            return
        state = states[0] if isinstance(states, (list, tuple)) else states
        count = self.gates if self._masks_per_gate else 1
        self._hold(
            self._drawn(inputs, self.dropout, count), self._drawn(state, self.recurrent_dropout, count)
        )
        self._hold_flag(True)

    def _drawn(self, like: Any, rate: float, count: int) -> list[Any] | None:
        if not 0 < rate < 1:
            return None
        return [random.dropout(ops.ones_like(like), rate, seed=self.seed_generator) for _ in range(count)]

    def drop_masks(self) -> None:
        """The sequence is over."""
        self._hold(None, None)
        self._hold_flag(False)

    def _hold(self, input_masks: Any, state_masks: Any) -> None:
        self.__dict__.update(_input_masks=input_masks, _state_masks=state_masks)

    def _hold_flag(self, held: bool) -> None:
        self.__dict__["_has_masks"] = held

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "units": self.units,
            "activation": activations.serialize(self.activation),
            "use_bias": self.use_bias,
            **weight_config(self),
            "recurrent_initializer": initializers.serialize(self.recurrent_initializer),
            "recurrent_regularizer": regularizers.serialize(self.recurrent_regularizer),
            "recurrent_constraint": constraints.serialize(self.recurrent_constraint),
            "dropout": self.dropout,
            "recurrent_dropout": self.recurrent_dropout,
            "seed": self.seed,
        }


@REGISTRY.register
class SimpleRNNCell(RecurrentCell):
    """A step of SimpleRNN: `h = activation(x @ kernel + h @ recurrent_kernel + bias)`.

    Called on inputs (batch, features) and a list with the state (batch, units); gives (h, [h]). The arguments
    are those of SimpleRNN.

    >>> output, states = SimpleRNNCell(4)(np.zeros((2, 3)), [np.zeros((2, 4))])
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
        kernel_constraint: Any = None,
        recurrent_constraint: Any = None,
        bias_constraint: Any = None,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            units,
            activation,
            use_bias,
            kernel_initializer,
            recurrent_initializer,
            bias_initializer,
            kernel_regularizer,
            recurrent_regularizer,
            bias_regularizer,
            kernel_constraint,
            recurrent_constraint,
            bias_constraint,
            dropout,
            recurrent_dropout,
            seed,
            **kwargs,
        )

    def step(self, projected: Any, states: Any, training: Any) -> tuple[Any, Any]:
        output = ops.add(projected, self._recur(states[0], training))
        if self.activation is not None:
            output = self.activation(output)
        return output, [output]


@REGISTRY.register
class LSTMCell(RecurrentCell):
    """A step of LSTM, with states h and c and the gates i, f, c, o in the columns of the weights:

        i, f, o = recurrent_activation(x @ W + h @ U + b)
        c = f * c + i * activation(x @ W_c + h @ U_c + b_c)
        h = o * activation(c)

    Called on inputs (batch, features) and [h, c]; gives (h, [h, c]). The arguments are those of LSTM.
    Source: S. Hochreiter, J. Schmidhuber, "Long Short-Term Memory" (1997).

    >>> output, states = LSTMCell(4)(np.zeros((2, 3)), [np.zeros((2, 4)), np.zeros((2, 4))])
    """

    gates = 4

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
        kernel_constraint: Any = None,
        recurrent_constraint: Any = None,
        bias_constraint: Any = None,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            units,
            activation,
            use_bias,
            kernel_initializer,
            recurrent_initializer,
            bias_initializer,
            kernel_regularizer,
            recurrent_regularizer,
            bias_regularizer,
            kernel_constraint,
            recurrent_constraint,
            bias_constraint,
            dropout,
            recurrent_dropout,
            seed,
            **kwargs,
        )
        self.recurrent_activation = activations.get(recurrent_activation)
        self.unit_forget_bias = unit_forget_bias
        self.state_size = [self.units, self.units]

    def _first_bias(self) -> Any:
        if not self.unit_forget_bias:
            return self.bias_initializer

        def initializer(shape: Any, dtype: Any = None) -> Any:
            """The forget gates begin open (R. Jozefowicz et al., "An Empirical Exploration ...", 2015)."""
            first, units = self.bias_initializer, self.units
            parts = [
                first((units,), dtype=dtype),
                ops.ones((units,), dtype),
                first((2 * units,), dtype=dtype),
            ]
            return ops.concatenate(parts)

        return initializer

    def step(self, projected: Any, states: Any, training: Any) -> tuple[Any, Any]:
        hidden, memory = states[0], states[1]
        gates = ops.add(projected, self._recur(hidden, training))
        inward = self.recurrent_activation(self._gate(gates, 0))
        forget = self.recurrent_activation(self._gate(gates, 1))
        candidate = self._gate(gates, 2)
        if self.activation is not None:
            candidate = self.activation(candidate)
        memory = ops.add(ops.multiply(forget, memory), ops.multiply(inward, candidate))
        outward = self.recurrent_activation(self._gate(gates, 3))
        hidden = ops.multiply(outward, memory if self.activation is None else self.activation(memory))
        return hidden, [hidden, memory]

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "recurrent_activation": activations.serialize(self.recurrent_activation),
            "unit_forget_bias": self.unit_forget_bias,
        }


@REGISTRY.register
class GRUCell(RecurrentCell):
    """A step of GRU, with the gates z, r, h in the columns of the weights:

        z, r = recurrent_activation(x @ W + h @ U + b)
        n = activation(x @ W_h + r * (h @ U_h + b_h))    with reset_after, as on graphics cards
        n = activation(x @ W_h + (r * h) @ U_h)          without
        h = z * h + (1 - z) * n

    Called on inputs (batch, features) and [h]; gives (h, [h]). The arguments are those of GRU.
    Source: K. Cho et al., "Learning Phrase Representations using RNN Encoder-Decoder" (2014).

    >>> output, states = GRUCell(4)(np.zeros((2, 3)), [np.zeros((2, 4))])
    """

    gates = 3

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
        kernel_constraint: Any = None,
        recurrent_constraint: Any = None,
        bias_constraint: Any = None,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        reset_after: bool = True,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            units,
            activation,
            use_bias,
            kernel_initializer,
            recurrent_initializer,
            bias_initializer,
            kernel_regularizer,
            recurrent_regularizer,
            bias_regularizer,
            kernel_constraint,
            recurrent_constraint,
            bias_constraint,
            dropout,
            recurrent_dropout,
            seed,
            **kwargs,
        )
        self.recurrent_activation = activations.get(recurrent_activation)
        self.reset_after = reset_after

    def _bias_shape(self) -> tuple[int, ...]:
        """With reset_after, one row for the inputs and one for the state."""
        return (2, 3 * self.units) if self.reset_after else (3 * self.units,)

    def _input_bias(self) -> Any:
        return self.bias[0] if self.bias is not None and self.reset_after else self.bias

    def step(self, projected: Any, states: Any, training: Any) -> tuple[Any, Any]:
        hidden = states[0]
        if self.reset_after:
            inner = self._recur(hidden, training)
            if self.bias is not None:
                inner = ops.add(inner, self.bias[1])
            update = self.recurrent_activation(ops.add(self._gate(projected, 0), self._gate(inner, 0)))
            reset = self.recurrent_activation(ops.add(self._gate(projected, 1), self._gate(inner, 1)))
            candidate = ops.multiply(reset, self._gate(inner, 2))
        else:
            update, reset = self._gates_before(projected, hidden, training)
            seen = self._masked_state(hidden, 2, training)
            candidate = ops.matmul(ops.multiply(reset, seen), self._gate(self.recurrent_kernel, 2))
        candidate = ops.add(self._gate(projected, 2), candidate)
        if self.activation is not None:
            candidate = self.activation(candidate)
        hidden = ops.add(ops.multiply(update, hidden), ops.multiply(ops.subtract(1, update), candidate))
        return hidden, [hidden]

    def _gates_before(self, projected: Any, hidden: Any, training: Any) -> list[Any]:
        if self._state_masks is None or not training:
            product = ops.matmul(hidden, self._gate(self.recurrent_kernel, 0, 2))
            products = [self._gate(product, 0), self._gate(product, 1)]
        else:
            seen = [self._masked_state(hidden, number, training) for number in range(2)]
            products = [ops.matmul(x, self._gate(self.recurrent_kernel, n)) for n, x in enumerate(seen)]
        return [
            self.recurrent_activation(ops.add(self._gate(projected, number), product))
            for number, product in enumerate(products)
        ]

    def _masked_state(self, hidden: Any, gate: int, training: Any) -> Any:
        masks = self._state_masks
        return hidden if masks is None or not training else ops.multiply(hidden, masks[gate % len(masks)])

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "recurrent_activation": activations.serialize(self.recurrent_activation),
            "reset_after": self.reset_after,
        }
