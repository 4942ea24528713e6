"""Recurrent layers against real Keras: outputs, states and gradients, with every option and mask."""

from __future__ import annotations

import numpy as np
import pytest
from sequence_judge import assert_same, copy_weights

import lamina
from lamina import layers, ops
from lamina.core.serialization import custom_object_scope

RNG = np.random.default_rng(11)
X = RNG.normal(size=(3, 5, 4)).astype("float32")
H = [RNG.normal(size=(3, 2)).astype("float32") for _ in range(4)]
# Steps left out at the start, in the middle, at the end, and everywhere.
MASK = np.array([[1, 1, 0, 1, 1], [0, 0, 1, 1, 0], [0, 0, 0, 0, 0]], bool)

KINDS = ("SimpleRNN", "LSTM", "GRU")
OPTIONS = {
    "last": ({}, {}),
    "all_states": ({"return_sequences": True, "return_state": True}, {}),
    "backwards_mask": (
        {"go_backwards": True, "return_sequences": True, "return_state": True},
        {"mask": MASK},
    ),
    "mask_last": ({"return_state": True}, {"mask": MASK}),
    "zeroed": ({"return_sequences": True, "zero_output_for_mask": True}, {"mask": MASK}),
    "unrolled": ({"unroll": True, "return_sequences": True, "go_backwards": True}, {}),
    "no_bias_relu": ({"use_bias": False, "activation": "relu"}, {}),
}


def both(real_keras, make):
    return make(layers), make(real_keras.layers)


@pytest.mark.parametrize(
    ("kind", "option"),
    [
        *(("LSTM", option) for option in OPTIONS),
        ("GRU", "backwards_mask"),
        ("GRU", "unrolled"),
        ("SimpleRNN", "zeroed"),
        ("SimpleRNN", "all_states"),
    ],
)
def test_options(kind, option, real_keras):
    arguments, keywords = OPTIONS[option]
    mine, theirs = both(real_keras, lambda L: getattr(L, kind)(2, **arguments))
    assert_same(mine, theirs, (X,), keywords)


@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
def test_initial_state(kind, real_keras):
    states = H[: 2 if kind == "LSTM" else 1]
    mine, theirs = both(real_keras, lambda L: getattr(L, kind)(2, return_state=True))
    assert_same(mine, theirs, (X,), {"initial_state": states, "mask": MASK})


def test_gru_with_reset_before_and_other_gates(real_keras):
    for arguments in (
        {"reset_after": False},
        {"reset_after": False, "use_bias": False},
        {"reset_after": True, "use_bias": False},
    ):
        mine, theirs = both(
            real_keras,
            lambda L, arguments=arguments: L.GRU(2, recurrent_activation="hard_sigmoid", **arguments),
        )
        assert_same(mine, theirs, (X,))
    mine, theirs = both(real_keras, lambda L: L.LSTM(2, unit_forget_bias=False, recurrent_activation="relu"))
    assert_same(mine, theirs, (X,))


@pytest.mark.parametrize(
    ("merge_mode", "arguments", "keywords"),
    [
        ("concat", {"return_sequences": True, "return_state": True}, {"mask": MASK}),
        (None, {"return_sequences": True}, {}),
        ("sum", {"return_sequences": True}, {}),
        ("ave", {}, {}),
        ("mul", {}, {"mask": MASK}),
    ],
)
def test_bidirectional(merge_mode, arguments, keywords, real_keras):
    mine, theirs = both(
        real_keras, lambda L: L.Bidirectional(L.LSTM(2, name="inner", **arguments), merge_mode=merge_mode)
    )
    assert_same(mine, theirs, (X,), keywords)


def test_bidirectional_with_two_kinds_and_states(real_keras):
    mine, theirs = both(
        real_keras,
        lambda L: L.Bidirectional(L.GRU(2), backward_layer=L.GRU(2, go_backwards=True, activation="relu")),
    )
    assert_same(mine, theirs, (X,), {"initial_state": H[:2]})


def test_stacked_cells(real_keras):
    for arguments in ({"return_sequences": True, "return_state": True}, {}):
        mine, theirs = both(
            real_keras,
            lambda L, arguments=arguments: L.RNN(
                [L.LSTMCell(3), L.GRUCell(2), L.SimpleRNNCell(2)], **arguments
            ),
        )
        assert_same(mine, theirs, (X,))


def minimal_cell(module):
    """A cell of the user's own, with one state that is not its output."""

    class MinimalCell(module.layers.Layer):
        def __init__(self, units, **kwargs):
            super().__init__(**kwargs)
            self.units = units
            self.state_size = units

        def build(self, input_shape):
            self.kernel = self.add_weight(shape=(input_shape[-1], self.units), name="kernel")
            self.built = True

        def call(self, inputs, states):
            hidden = module.ops.matmul(inputs, self.kernel) + 0.5 * states[0]
            return 2 * hidden, [hidden]

        def get_config(self):
            return {**super().get_config(), "units": self.units}

    return MinimalCell


@pytest.mark.parametrize(
    "arguments", [{}, {"return_sequences": True, "go_backwards": True}, {"unroll": True}]
)
def test_cells_of_the_users_own(arguments, real_keras):
    mine = layers.RNN(minimal_cell(lamina)(2), **arguments)
    theirs = real_keras.layers.RNN(minimal_cell(real_keras)(2), **arguments)
    assert_same(mine, theirs, (X,))
    mine, theirs = layers.RNN(minimal_cell(lamina)(2)), real_keras.layers.RNN(minimal_cell(real_keras)(2))
    assert_same(mine, theirs, (X,), {"mask": MASK})


def test_cells_called_by_themselves(real_keras):
    for name, states in (("SimpleRNNCell", H[:1]), ("LSTMCell", H[:2]), ("GRUCell", H[:1])):
        mine, theirs = both(real_keras, lambda L, name=name: getattr(L, name)(2, activation="relu"))
        expected, expected_states = theirs(X[:, 0], states)
        mine(X[:, 0], states)
        copy_weights(mine, theirs)
        output, new = mine(X[:, 0], states)
        np.testing.assert_allclose(output, np.asarray(expected), rtol=1e-5, atol=1e-6)
        for one, other in zip(new, expected_states):
            np.testing.assert_allclose(one, np.asarray(other), rtol=1e-5, atol=1e-6)
        assert mine.get_initial_state(batch_size=3)[0].shape == (3, 2)
        assert set(mine.get_config()) == set(theirs.get_config()) - {"quantization_config"}


def test_masks_flow_through_models(real_keras):
    ids = np.array([[3, 1, 0, 0], [0, 2, 5, 0], [1, 0, 2, 4]])

    def make(module):
        L = module.layers
        return module.Sequential(
            [
                module.Input((4,), dtype="int32"),
                L.Embedding(6, 3, mask_zero=True),
                L.Bidirectional(L.LSTM(2, return_sequences=True)),
                L.Dropout(0.5),
                L.TimeDistributed(L.Dense(3)),
                L.GRU(2),
            ]
        )

    mine, theirs = make(lamina), make(real_keras)
    mine.set_weights([np.asarray(weight.value) for weight in theirs.weights])
    np.testing.assert_allclose(mine.predict(ids), np.asarray(theirs(ids)), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_configs(kind, real_keras):
    def make(L):
        inner = getattr(L, kind)(
            2, dropout=0.1, recurrent_dropout=0.2, seed=3, activity_regularizer="l2", name="r"
        )
        return [
            inner,
            L.Bidirectional(inner, merge_mode="sum", name="b"),
            L.RNN(getattr(L, f"{kind}Cell")(2)),
        ]

    for mine, theirs in zip(make(layers), make(real_keras.layers)):
        config = mine.get_config()
        # Keras forgets the seed of a SimpleRNN.
        assert set(config) - {"seed"} == set(theirs.get_config()) - {"quantization_config", "seed"}
        assert type(mine).from_config(config).get_config() == config
        again = layers.deserialize(real_keras.layers.serialize(theirs))
        assert again(X).shape == mine(X).shape
        model = lamina.Sequential([lamina.Input((5, 4)), mine])
        twin = lamina.models.model_from_json(model.to_json())
        twin.set_weights(model.get_weights())
        np.testing.assert_array_equal(twin(X), model(X))


def test_own_cells_in_files():
    cell = minimal_cell(lamina)
    with custom_object_scope({"MinimalCell": cell}):
        layer = layers.RNN([cell(2), layers.LSTMCell(3)])
        again = layers.deserialize(layers.serialize(layer))
    assert again(X).shape == layer(X).shape == (3, 3)


def test_time_distributed(real_keras):
    mine, theirs = both(real_keras, lambda L: L.TimeDistributed(L.Dense(3, "tanh")))
    assert_same(mine, theirs, (X,))
    grid = RNG.normal(size=(2, 3, 4, 5)).astype("float32")
    mine, theirs = both(real_keras, lambda L: L.TimeDistributed(L.GRU(2)))
    assert_same(mine, theirs, (grid,))


def test_symbolic_shapes():
    x = lamina.Input((None, 4))
    assert layers.LSTM(2)(x).shape == (None, 2)
    assert layers.LSTM(2, return_sequences=True)(x).shape == (None, None, 2)
    output, h, c = layers.LSTM(2, return_state=True)(x)
    assert output.shape == h.shape == c.shape == (None, 2)
    assert layers.Bidirectional(layers.GRU(2, return_sequences=True))(x).shape == (None, None, 4)
    decoded = layers.LSTM(2)(x, initial_state=[h, c])
    model = lamina.Model(x, decoded)
    assert model.predict(X).shape == (3, 2)


def test_ops_inside_a_lambda_cell():
    class Plain:
        """No layer, just an object."""

        state_size = 4

        def __call__(self, inputs, states):
            total = states[0] + inputs
            return total, [total]

    np.testing.assert_allclose(
        layers.RNN(Plain(), return_sequences=True)(X), np.cumsum(X, axis=1), rtol=1e-5, atol=1e-6
    )
    assert ops.shape(layers.RNN(Plain())(X)) == (3, 4)
