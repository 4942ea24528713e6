"""Attention layers against real Keras: outputs and gradients, with every option and mask."""

from __future__ import annotations

import json

import numpy as np
import pytest
from sequence_judge import assert_same

import lamina
from lamina import layers
from lamina.core.errors import ArgumentError, ShapeError

RNG = np.random.default_rng(7)
QUERY = RNG.normal(size=(2, 4, 6)).astype("float32")
VALUE = RNG.normal(size=(2, 5, 6)).astype("float32")
KEY = RNG.normal(size=(2, 5, 6)).astype("float32")
MASK_45 = RNG.random((2, 4, 5)) > 0.4
MASK_45[0, 1] = False  # a place that may look at nothing
GRID = RNG.normal(size=(2, 3, 4, 6)).astype("float32")

MULTI_HEAD = {
    "plain": ({"num_heads": 2, "key_dim": 3}, (QUERY, VALUE), {}),
    "key": (
        {"num_heads": 2, "key_dim": 3, "value_dim": 5},
        (QUERY, VALUE, KEY),
        {"return_attention_scores": True},
    ),
    "no_bias_output": (
        {"num_heads": 2, "key_dim": 3, "use_bias": False, "output_shape": (2, 7)},
        (QUERY, VALUE),
        {},
    ),
    "scores": ({"num_heads": 2, "key_dim": 3}, (QUERY, VALUE), {"return_attention_scores": True}),
    "mask": ({"num_heads": 2, "key_dim": 3}, (QUERY, VALUE), {"attention_mask": MASK_45}),
    "mask_scores": (
        {"num_heads": 2, "key_dim": 3},
        (QUERY, VALUE),
        {"attention_mask": MASK_45, "return_attention_scores": True},
    ),
    "causal": ({"num_heads": 2, "key_dim": 3}, (QUERY, QUERY), {"use_causal_mask": True}),
    "causal_scores": (
        {"num_heads": 2, "key_dim": 3, "use_gate": True},
        (QUERY, QUERY),
        {"use_causal_mask": True, "return_attention_scores": True},
    ),
    "window": (
        {"num_heads": 2, "key_dim": 3, "sliding_window": 2},
        (QUERY, QUERY),
        {"use_causal_mask": True},
    ),
    "gate_flash": ({"num_heads": 2, "key_dim": 3, "use_gate": True}, (QUERY, VALUE), {}),
    "axes": ({"num_heads": 2, "key_dim": 3, "attention_axes": (2,)}, (GRID, GRID), {}),
    "all_axes": ({"num_heads": 1, "key_dim": 3}, (GRID, GRID), {}),
}

GROUPED = {
    "plain": ({}, {}),
    "one_group": ({"num_key_value_heads": 1, "use_bias": False}, {}),
    "as_many_groups": ({"num_key_value_heads": 4}, {}),
    "scores": ({}, {"return_attention_scores": True}),
    "mask_gate": ({"use_gate": True}, {"attention_mask": MASK_45}),
    "causal_window": ({"sliding_window": 2}, {"use_causal_mask": True}),
}


@pytest.mark.parametrize("name", MULTI_HEAD)
def test_multi_head_attention(name, real_keras):
    arguments, inputs, keywords = MULTI_HEAD[name]
    assert_same(
        layers.MultiHeadAttention(**arguments),
        real_keras.layers.MultiHeadAttention(**arguments),
        inputs,
        keywords,
    )


@pytest.mark.parametrize("name", GROUPED)
def test_group_query_attention(name, real_keras):
    arguments, keywords = GROUPED[name]
    arguments = {"head_dim": 3, "num_query_heads": 4, "num_key_value_heads": 2, **arguments}
    mine, theirs = (module.GroupQueryAttention(**arguments) for module in (layers, real_keras.layers))
    assert_same(mine, theirs, (QUERY, VALUE), keywords)


@pytest.mark.parametrize("kind", ["Attention", "AdditiveAttention"])
@pytest.mark.parametrize("causal", [False, True])
def test_attention_with_masks(kind, causal, real_keras):
    masks = [RNG.random((2, 4)) > 0.3, RNG.random((2, 5)) > 0.3]
    masks[1][:, 0] = True
    keywords = {"mask": masks, "use_causal_mask": causal, "return_attention_scores": True}
    mine, theirs = (getattr(module, kind)(use_scale=True) for module in (layers, real_keras.layers))
    assert_same(mine, theirs, ([QUERY, VALUE, KEY],), keywords)


@pytest.mark.parametrize("use_causal_mask", [False, True])
def test_masks_of_the_inputs_are_heeded(use_causal_mask, real_keras):
    ids = np.array([[3, 1, 2, 0, 0], [4, 0, 5, 6, 0]])
    results = []
    table = None
    for module in (real_keras.layers, layers):
        embedding = module.Embedding(7, 4, mask_zero=True)
        attention = module.MultiHeadAttention(2, 3)
        embedded = embedding(ids)
        attention(embedded, embedded)
        if table is None:
            table = [[np.asarray(w.value) for w in layer.weights] for layer in (embedding, attention)]
        else:
            embedding.set_weights(table[0])
            attention.set_weights(table[1])
        embedded = embedding(ids)
        outputs = attention(embedded, embedded, use_causal_mask=use_causal_mask)
        results.append((np.asarray(outputs), np.asarray(outputs._keras_mask)))
    np.testing.assert_allclose(results[1][0], results[0][0], rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(results[1][1], results[0][1])


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_config_and_json(dropout, real_keras):
    x = lamina.Input((4, 6))
    for layer in (
        layers.MultiHeadAttention(2, 3, dropout=dropout, attention_axes=1, output_shape=5, seed=3),
        layers.GroupQueryAttention(3, 4, 2, dropout=dropout, seed=3),
    ):
        model = lamina.Model(x, layer(x, x, use_causal_mask=True))
        again = lamina.models.model_from_json(model.to_json())
        again.set_weights(model.get_weights())
        np.testing.assert_array_equal(again(QUERY), model(QUERY))
        assert type(layer).from_config(layer.get_config()).get_config() == layer.get_config()
        first, second = model(QUERY, training=True), model(QUERY, training=True)
        assert np.array_equal(first, second) == (dropout == 0)
        theirs = getattr(real_keras.layers, type(layer).__name__).from_config(layer.get_config())
        serialized = json.loads(json.dumps(real_keras.layers.serialize(theirs)))
        assert layers.deserialize(serialized).get_config() == layer.get_config()
        assert set(layer.get_config()) == set(theirs.get_config())


def test_shapes_of_symbolic_calls():
    query, value = lamina.Input((4, 6)), lamina.Input((None, 6))
    outputs, scores = layers.MultiHeadAttention(2, 3)(query, value, return_attention_scores=True)
    assert outputs.shape == (None, 4, 6)
    assert scores.shape == (None, 2, 4, None)
    outputs, scores = layers.GroupQueryAttention(3, 4, 2)(query, value, return_attention_scores=True)
    assert outputs.shape == (None, 4, 6)
    assert scores.shape == (None, 4, 4, None)


def test_a_transformer_block_trains():
    lamina.utils.set_random_seed(1)
    ids = np.random.default_rng(0).integers(1, 20, (256, 8))
    labels = (ids == 7).any(axis=1).astype("int64")
    x = lamina.Input((8,), dtype="int32")
    hidden = layers.Embedding(20, 16)(x)
    hidden = layers.Add()([hidden, layers.MultiHeadAttention(2, 8, dropout=0.1)(hidden, hidden)])
    outputs = layers.Dense(2, "softmax")(layers.Flatten()(hidden))
    model = lamina.Model(x, outputs)
    model.compile(lamina.optimizers.Adam(1e-2), "sparse_categorical_crossentropy", metrics=["accuracy"])
    history = model.fit(ids, labels, epochs=15, verbose=0).history
    assert history["accuracy"][-1] > 0.97


WRONG = [
    (lambda: layers.Attention(score_mode="sum"), ArgumentError, ["score_mode='sum'", "'dot' or 'concat'"]),
    (lambda: layers.Attention(name="a")(QUERY), ArgumentError, ["'a'", "[query, value]"]),
    (
        lambda: layers.Attention()([QUERY, VALUE], mask=[MASK_45[:, 0], MASK_45[:, 0]]),
        ArgumentError,
        ["query mask"],
    ),
    (lambda: layers.MultiHeadAttention(0, 3), ArgumentError, ["num_heads=0"]),
    (lambda: layers.MultiHeadAttention(2, 3, dropout=1.5), ArgumentError, ["dropout=1.5"]),
    (
        lambda: layers.MultiHeadAttention(2, 3, dropout=0.5, flash_attention=True),
        ArgumentError,
        ["no dropout"],
    ),
    (lambda: layers.MultiHeadAttention(2, 3, sliding_window=0), ArgumentError, ["sliding_window=0"]),
    (
        lambda: layers.MultiHeadAttention(2, 3)(QUERY, VALUE, attention_mask=MASK_45[:, :2]),
        ShapeError,
        ["attention_mask", "4, 5", "(2, 2, 5)"],
    ),
    (lambda: layers.MultiHeadAttention(2, 3)(QUERY, VALUE, KEY[:, :2]), ShapeError, ["value and key"]),
    (lambda: layers.GroupQueryAttention(3, 4, 3), ArgumentError, ["multiple", "num_query_heads=4"]),
]


@pytest.mark.parametrize("number", range(len(WRONG)))
def test_wrong_uses(number):
    action, error, parts = WRONG[number]
    with pytest.raises(error) as caught:
        action()
    for part in parts:
        assert part in str(caught.value)
