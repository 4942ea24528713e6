"""Generation with kept keys, values and states: the tokens are those of the model over whole sequences."""

from __future__ import annotations

import numpy as np
import pytest

import lamina
from lamina import layers, ops
from lamina.core.errors import ArgumentError, DataError
from lamina.models import generation

WORDS, LENGTH = 23, 20
PROMPT = np.array([[3, 1, 4], [1, 5, 9]], "int32")


class Places(layers.Layer):
    """Adds a learnt vector for each place."""

    def build(self, input_shape):
        self.places = self.add_weight(shape=input_shape[1:], initializer="uniform", name="places")

    def call(self, inputs):
        return inputs + self.places


class Waves(layers.Layer):
    """Adds a wave along time, whatever the length; and what has been so far."""

    def call(self, inputs):
        places = ops.cast(ops.arange(inputs.shape[1]), "float32")[:, None]
        waves = ops.sin(places / (1.0 + ops.arange(inputs.shape[2], dtype="float32")))
        return inputs + waves + 0.1 * ops.cumsum(inputs, axis=1)


def gpt(attention, length=LENGTH, places=Places):
    tokens = lamina.Input((length,), dtype="int32")
    x = places()(layers.Embedding(WORDS, 16)(tokens))
    for layer in attention:
        normal = layers.LayerNormalization()(x)
        x = x + layer(normal, normal, use_causal_mask=True)
        x = x + layers.Dense(16)(layers.Dense(32, "gelu")(layers.RMSNormalization()(x)))
    return lamina.Model(tokens, layers.Dense(WORDS)(x))


def recurrent(*cells, length=LENGTH, **embedding):
    stack = [layers.Embedding(WORDS, 8, **embedding), *cells, layers.Dense(WORDS, activation="softmax")]
    return lamina.Sequential([lamina.Input((length,), dtype="int32"), *stack])


class Written(lamina.Model):
    """A subclassed model, not built before it is asked."""

    def __init__(self):
        super().__init__()
        self.table = layers.Embedding(WORDS, 8)
        self.attention = layers.MultiHeadAttention(2, 4, dropout=0.5)
        self.scores = layers.Dense(WORDS)

    def call(self, tokens, training=None):
        x = self.table(tokens)
        return self.scores(x + self.attention(x, x, use_causal_mask=True, training=training))


MODELS = {
    "gpt": lambda: gpt([layers.MultiHeadAttention(2, 8), layers.MultiHeadAttention(4, 4, value_dim=6)]),
    "groups and a window": lambda: gpt(
        [
            layers.GroupQueryAttention(4, 4, 2, use_gate=True),
            layers.MultiHeadAttention(2, 8, sliding_window=4),
        ]
    ),
    "short, and told not to stream": lambda: gpt(
        [layers.MultiHeadAttention(2, 8, flash_attention=False)], length=9
    ),
    "any length": lambda: gpt([layers.MultiHeadAttention(2, 8)], length=None, places=Waves),
    "lstm and gru": lambda: recurrent(
        layers.LSTM(12, return_sequences=True), layers.GRU(12, return_sequences=True, reset_after=False)
    ),
    "stacked cells": lambda: recurrent(
        layers.RNN([layers.SimpleRNNCell(8), layers.LSTMCell(7)], return_sequences=True)
    ),
    "masked": lambda: recurrent(layers.GRU(12, return_sequences=True), mask_zero=True),
    "subclassed": Written,
}


def over_whole_sequences(model, prompt, count, length):
    """The best token after each position, the model run anew for each."""
    buffer = np.zeros((len(prompt), length), "int32")
    buffer[:, : prompt.shape[1]] = prompt
    for place in range(prompt.shape[1], prompt.shape[1] + count):
        scores = np.asarray(model(buffer, training=False))[:, place - 1]
        buffer[:, place] = scores.argmax(axis=-1)
    return buffer[:, : prompt.shape[1] + count]


@pytest.mark.parametrize("name", MODELS)
def test_tokens_are_those_of_whole_sequences(name):
    lamina.utils.set_random_seed(5)
    model = MODELS[name]()
    length = 9 if "short" in name else LENGTH
    found = lamina.generate(model, PROMPT, length - 3, temperature=0)
    assert found.dtype == "int32"
    assert len(np.unique(found[:, 3:])) > 1
    np.testing.assert_array_equal(found, over_whole_sequences(model, PROMPT, length - 3, length))


@pytest.fixture(scope="module")
def small():
    lamina.utils.set_random_seed(1)
    return recurrent(layers.GRU(12, return_sequences=True))


def test_a_recurrent_model_goes_on_for_ever(small):
    assert lamina.generate(small, [1, 2], 100, seed=1).shape == (102,)


def test_equal_seeds_write_equal_texts(small):
    texts = [lamina.generate(small, [1, 2], 30, seed=seed) for seed in (7, 7, 8)]
    np.testing.assert_array_equal(texts[0], texts[1])
    assert (texts[0] != texts[2]).any()
    lamina.utils.set_random_seed(3)
    first, second = (lamina.generate(small, [1, 2], 30) for _ in range(2))
    assert (first != second).any()
    lamina.utils.set_random_seed(3)
    np.testing.assert_array_equal(lamina.generate(small, [1, 2], 30), first)


def test_temperature_and_top_k(small):
    best = lamina.generate(small, [1, 2], 15, temperature=0)
    np.testing.assert_array_equal(lamina.generate(small, [1, 2], 15, top_k=1, seed=1), best)
    np.testing.assert_array_equal(lamina.generate(small, [1, 2], 15, temperature=1e-6, seed=1), best)
    hot = lamina.generate(small, [[1, 2]] * 50, 15, temperature=100.0, seed=1)
    assert len(np.unique(hot[:, 2:])) == WORDS
    few = lamina.generate(small, [[1, 2]] * 50, 1, temperature=100.0, top_k=4, seed=1)
    scores = np.asarray(small(np.resize([1, 2], (1, LENGTH))))[0, 1]
    assert set(few[:, 2].tolist()) == set(np.argsort(scores)[-4:].tolist())


def test_draws_follow_the_probabilities(small):
    drawn = lamina.generate(small, [[1, 2]] * 4000, 1, seed=1)[:, 2]
    chances = np.asarray(small(np.resize([1, 2], (1, LENGTH))))[0, 1]
    np.testing.assert_allclose(np.bincount(drawn, minlength=WORDS) / 4000, chances, atol=0.03)


def test_a_sequence_stays_at_the_stop_token(small):
    free = lamina.generate(small, PROMPT, 15, temperature=0)
    stop = int(free[0, 5])
    found = lamina.generate(small, PROMPT, 15, temperature=0, stop_token=stop)
    for row, expected in zip(found, free):
        ends = np.flatnonzero(expected[3:] == stop)
        end = 3 + ends[0] if len(ends) else 18
        np.testing.assert_array_equal(row[:end], expected[:end])
        assert (row[end:] == stop).all()


def test_training_in_between_is_seen():
    lamina.utils.set_random_seed(2)
    model = gpt([layers.MultiHeadAttention(2, 8)], length=16)
    model.compile(lamina.optimizers.Adam(0.02), lamina.losses.SparseCategoricalCrossentropy(from_logits=True))
    before = lamina.generate(model, [1, 2], 14, temperature=0)
    text = np.arange(16 * 40) % 7
    x = np.stack([text[start : start + 16] for start in range(600)])
    model.fit(x, (x + 1) % 7, epochs=4, verbose=0)
    after = lamina.generate(model, [1, 2], 14, temperature=0)
    assert (before != after).any()
    np.testing.assert_array_equal(after, np.arange(1, 17) % 7)


def test_nothing_to_write(small):
    np.testing.assert_array_equal(lamina.generate(small, PROMPT, 0), PROMPT)


def looking_ahead():
    tokens = lamina.Input((LENGTH,), dtype="int32")
    x = layers.Embedding(WORDS, 8)(tokens)
    return lamina.Model(tokens, layers.Dense(WORDS)(layers.MultiHeadAttention(2, 4)(x, x)))


def averaging():
    tokens = lamina.Input((LENGTH,), dtype="int32")
    x = layers.Embedding(WORDS, 8)(tokens)
    return lamina.Model(tokens, layers.Dense(WORDS)(x + ops.mean(x, axis=1, keepdims=True)))


REFUSED = {
    "attention without a mask": (looking_ahead, "looks ahead"),
    "a mean over time": (averaging, "all positions"),
    "both directions": (
        lambda: recurrent(layers.Bidirectional(layers.LSTM(4, return_sequences=True))),
        "forward in time",
    ),
    "one score for all": (lambda: recurrent(layers.LSTM(4)), "scores for every position"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_models_that_look_ahead_are_refused(name):
    make, why = REFUSED[name]
    with pytest.raises(ArgumentError, match=why):
        lamina.generate(make(), PROMPT, 4)


def test_more_tokens_than_positions():
    with pytest.raises(ArgumentError, match="knows 20 positions"):
        lamina.generate(gpt([layers.MultiHeadAttention(2, 8)]), PROMPT, 18)


def test_ids_that_are_computed_are_looked_at():
    tokens = lamina.Input((LENGTH,), dtype="int32")
    x = layers.GRU(4, return_sequences=True)(layers.Embedding(WORDS, 4)(tokens * 2))
    model = lamina.Model(tokens, layers.Dense(WORDS // 2)(x))
    assert lamina.generate(model, [1, 2], 40).shape == (42,)
    with pytest.raises(DataError, match="outside its table"):
        lamina.generate(model, [1, 2, 13], 4)


def test_what_is_no_model():
    with pytest.raises(ArgumentError, match="needs a model"):
        lamina.generate(layers.Dense(3), [1], 4)


@pytest.mark.parametrize(
    ("prompt", "arguments", "error"),
    [
        ([[1, 2], [3, WORDS]], {}, DataError),
        ([-1], {}, DataError),
        ([1.5], {}, DataError),
        ([], {}, DataError),
        (3, {}, DataError),
        ([1], {"length": -1}, ArgumentError),
        ([1], {"length": 1.5}, ArgumentError),
        ([1], {"temperature": -0.1}, ArgumentError),
        ([1], {"temperature": float("nan")}, ArgumentError),
        ([1], {"top_k": 0}, ArgumentError),
    ],
)
def test_wrong_arguments(prompt, arguments, error, small):
    with pytest.raises(error):
        lamina.generate(small, prompt, **{"length": 4, **arguments})


@pytest.mark.parametrize("name", ["gpt", "groups and a window"])
def test_a_long_prompt_is_read_at_once_and_goes_on_as_one_read_slowly(name, monkeypatch):
    lamina.utils.set_random_seed(4)
    model = MODELS[name]()
    prompt = np.arange(22).reshape(2, 11) % WORDS
    begun = []
    before = generation._Loop._before

    def noted(self, *given):
        begun.append(self.at_once)
        return before(self, *given)

    monkeypatch.setattr(generation._Loop, "_before", noted)
    at_once = lamina.generate(model, prompt, 5, temperature=0.7, seed=3)
    monkeypatch.setattr(generation, "LONG_PROMPT", 0)
    slowly = lamina.generate(model, prompt, 5, temperature=0.7, seed=3)
    assert begun == [True, False]
    np.testing.assert_array_equal(at_once, slowly)
    # One compiled loop for prompts of any length.
    monkeypatch.setattr(generation, "LONG_PROMPT", LENGTH)
    for known in (1, 4, 11):
        lamina.generate(model, prompt[:, :known], 3, temperature=0.7, seed=3)
    assert begun == [True, False]


def test_recurrent_models_read_every_prompt_step_by_step():
    model = MODELS["lstm and gru"]()
    assert not generation._writer(model, (2, 19), 20, False, None).model.steps.can_begin_later
