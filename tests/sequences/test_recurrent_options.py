"""Options of recurrent layers in combination, against real Keras: each pair of options meets in some case."""

from __future__ import annotations

import numpy as np
import pytest
from sequence_judge import assert_same, copy_weights

from lamina import layers

RNG = np.random.default_rng(5)
X = RNG.normal(size=(3, 4, 2)).astype("float32")
LATER = RNG.normal(size=(3, 4, 2)).astype("float32")
# Steps left out at the end, in the middle, and everywhere.
MASK = np.array([[1, 1, 1, 0], [0, 1, 0, 1], [0, 0, 0, 0]], bool)
FILM = RNG.normal(size=(3, 4, 3, 2, 1)).astype("float32")

# An orthogonal array: in any two columns, all four combinations occur twice.
ROWS = [
    "0000000", "0001111", "0110011", "0111100", "1010101", "1011010", "1100110", "1101001",
]  # fmt: skip
FACTORS = ("mask", "go_backwards", "return_sequences", "return_state", "unroll", "zero_output_for_mask")


def chosen(row, allowed=FACTORS):
    """(arguments of the layer, arguments of its call) of a row."""
    options = {name: bool(int(digit)) for name, digit in zip(FACTORS, row) if name in allowed}
    keywords = {"mask": MASK} if options.pop("mask") else {}
    if options.get("unroll"):  # where Keras forgets it
        options["zero_output_for_mask"] = False
    return options, keywords


def both(real_keras, make):
    return make(layers), make(real_keras.layers)


@pytest.mark.parametrize("row", ROWS)
@pytest.mark.parametrize("kind", ["SimpleRNN", "LSTM", "GRU"])
def test_pairs_of_options(kind, row, real_keras):
    arguments, keywords = chosen(row)
    mine, theirs = both(real_keras, lambda L: getattr(L, kind)(2, **arguments))
    assert_same(mine, theirs, (X,), keywords)


@pytest.mark.parametrize("row", [ROWS[1], ROWS[4], ROWS[7]])
def test_pairs_of_options_of_stacked_cells(row, real_keras):
    arguments, keywords = chosen(row)
    mine, theirs = both(real_keras, lambda L: L.RNN([L.LSTMCell(2), L.GRUCell(3)], **arguments))
    assert_same(mine, theirs, (X,), keywords)


@pytest.mark.parametrize("row", ROWS[::2])
def test_pairs_of_options_both_ways(row, real_keras):
    arguments, keywords = chosen(row, ("mask", "return_sequences", "return_state", "zero_output_for_mask"))
    mine, theirs = both(real_keras, lambda L: L.Bidirectional(L.GRU(2, name="inner", **arguments)))
    assert_same(mine, theirs, (X,), keywords)


@pytest.mark.parametrize("row", [ROWS[0], ROWS[3], ROWS[5], ROWS[6]])
def test_pairs_of_options_of_convolutional_ones(row, real_keras):
    arguments, _ = chosen(row, ("mask", "go_backwards", "return_sequences", "return_state"))
    mine, theirs = both(real_keras, lambda L: L.ConvLSTM2D(2, 2, padding="same", **arguments))
    assert_same(mine, theirs, (FILM,))


def test_convolutional_ones_leave_out_masked_steps():
    """Which Keras on JAX cannot do."""
    layer = layers.ConvLSTM2D(2, 2, return_state=True)
    film, mask = FILM[:2], np.array([[1, 1, 0, 0], [0, 1, 1, 0]], bool)
    found = layer(film, mask=mask)
    for row, steps in enumerate(mask):
        for ours, alone in zip(found, layer(film[row : row + 1, steps])):
            np.testing.assert_allclose(ours[row], alone[0], rtol=1e-5, atol=1e-6)


def flat(outputs):
    return [np.asarray(output) for output in (outputs if isinstance(outputs, (list, tuple)) else [outputs])]


STATEFUL = [
    *((kind, options) for kind in ("SimpleRNN", "LSTM", "GRU")
      for options in ({"mask": True}, {"go_backwards": True}, {"return_state": True, "mask": True})),
    ("Bidirectional", {"return_sequences": True}),
    ("ConvLSTM2D", {"return_state": True}),
    ("ConvLSTM2D", {"go_backwards": True}),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "options"), STATEFUL)
def test_stateful_layers_go_on_as_in_keras(kind, options, real_keras):
    """After a reset, two calls."""
    options = {**options, "stateful": True}
    keywords = {"mask": MASK} if options.pop("mask", False) else {}
    makers = {
        "Bidirectional": lambda L: L.Bidirectional(L.LSTM(2, name="inner", **options)),
        "ConvLSTM2D": lambda L: L.ConvLSTM2D(2, 2, **options),
    }
    mine, theirs = both(real_keras, makers.get(kind, lambda L: getattr(L, kind)(2, **options)))
    first, second = (FILM, FILM[::-1].copy()) if kind == "ConvLSTM2D" else (X, LATER)
    for layer in (mine, theirs):
        layer(first, **keywords)
        layer.reset_states() if kind == "Bidirectional" else layer.reset_state()
    copy_weights(mine, theirs)
    for inputs in (first, second):
        found, expected = flat(mine(inputs, **keywords)), flat(theirs(inputs, **keywords))
        for ours, wanted in zip(found, expected, strict=True):
            np.testing.assert_allclose(ours, wanted, rtol=1e-4, atol=1e-6)


def test_stateful_stacks_go_on():
    """Which Keras cannot do: both halves of a sequence are the whole."""
    halves = layers.RNN([layers.GRUCell(2), layers.LSTMCell(2)], stateful=True)
    whole = layers.RNN([layers.GRUCell(2), layers.LSTMCell(2)])
    halves(X), whole(X)
    halves.reset_state()
    whole.set_weights([weight.numpy() for weight in halves.trainable_weights])
    halves(X[:, :2])
    np.testing.assert_allclose(halves(X[:, 2:]), whole(X), rtol=1e-5, atol=1e-6)


def test_masking(real_keras):
    x = X.copy()
    x[0, 3] = x[1, [0, 2]] = x[2] = 7.0
    stacks = [L.Masking(7.0) for L in (layers, real_keras.layers)]
    found, expected = (stack(x) for stack in stacks)
    np.testing.assert_array_equal(found, np.asarray(expected))
    np.testing.assert_array_equal(stacks[0].compute_mask(x), np.asarray(stacks[1].compute_mask(x)))
    mine, theirs = both(real_keras, lambda L: L.LSTM(2, return_sequences=True))
    theirs(expected), mine(found)
    copy_weights(mine, theirs)
    np.testing.assert_allclose(mine(found), np.asarray(theirs(expected)), rtol=1e-5, atol=1e-6)
