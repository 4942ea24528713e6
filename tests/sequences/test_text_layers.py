"""Text and categories to numbers: vocabularies, hashes, the host's part of models, wrong uses.

Keras computes these layers with TensorFlow, so what is expected here are the values that its documents and
its own tests give.
"""

from __future__ import annotations

import copy
import json
import pickle

import numpy as np
import pytest

import lamina
from lamina import layers, ops
from lamina.core.errors import ArgumentError, DataError, DTypeError, StateError
from lamina.core.fingerprints import fingerprint64
from lamina.core.serialization import custom_object_scope

SENTENCES = ["The sea is blue.", "The sky is blue, too!", "", "sea, SEA"]


def shout(texts):
    return np.char.upper(texts)


def by_comma(texts):
    return [str(text).split(",") for text in texts]


# --- hashes ----------------------------------------------------------------------------------------


def test_hash_buckets_are_those_of_keras():
    letters = np.array([["A"], ["B"], ["C"], ["D"], ["E"]])
    assert layers.Hashing(3)(letters).tolist() == [[1], [0], [1], [1], [2]]
    assert layers.Hashing(3, salt=[133, 137])(letters).tolist() == [[1], [2], [1], [0], [2]]
    assert layers.Hashing(3, salt=133)(letters).tolist() == [[0], [0], [2], [1], [0]]
    masked = np.array([["A"], ["B"], [""], ["C"], ["D"]])
    assert layers.Hashing(3, mask_value="")(masked).tolist() == [[1], [1], [0], [2], [2]]
    assert layers.Hashing(3)(np.arange(5)).tolist() == [1, 0, 1, 0, 2]
    crossed = layers.HashedCrossing(5)([np.array(list("ABABA")), np.array([101, 101, 101, 102, 102])])
    assert crossed.tolist() == [1, 4, 1, 1, 3]


def test_fingerprints_of_all_lengths():
    # From the C++ library, by its Python binding.
    assert fingerprint64(b"a" * 40) == 2168401864796137711
    assert fingerprint64(b"b" * 130) == 15755848067995697690
    assert fingerprint64(b"") == 0x9AE16A3B2F90404F
    assert len({fingerprint64(bytes(length)) for length in range(300)}) == 300


def test_hashing_encodes():
    assert layers.Hashing(3, output_mode="one_hot")(np.array([["A"], ["B"]])).tolist() == [
        [0, 1, 0],
        [1, 0, 0],
    ]
    assert layers.Hashing(3, output_mode="count")(np.array([["A", "C", "B"]])).tolist() == [[1, 2, 0]]
    assert layers.Hashing(3, output_mode="multi_hot")(np.array([["A", "C", "B"]])).tolist() == [[1, 1, 0]]


# --- lookups ---------------------------------------------------------------------------------------


def test_string_lookup_finds_its_vocabulary():
    layer = layers.StringLookup()
    layer.adapt(np.array([["a", "c", "d"], ["d", "z", "b"]]))
    assert layer.get_vocabulary() == ["[UNK]", "d", "z", "c", "b", "a"]  # ties: the last in order first
    assert layer(np.array([["a", "c", "d"], ["m", "z", "b"]])).tolist() == [[5, 3, 1], [0, 2, 4]]
    inverse = layers.StringLookup(vocabulary=layer.get_vocabulary(), invert=True)
    assert inverse(np.array([[5, 3], [0, 9]])).tolist() == [["a", "c"], ["[UNK]", "[UNK]"]]


def test_string_lookup_modes():
    words = ["a", "b", "c", "d"]
    data = np.array([["a", "c", "d", "d"], ["d", "z", "b", "z"]])
    multi_hot = layers.StringLookup(vocabulary=words, output_mode="multi_hot")
    assert multi_hot(data).tolist() == [[0, 1, 0, 1, 1], [1, 0, 1, 0, 1]]
    count = layers.StringLookup(vocabulary=words, output_mode="count")
    assert count(data).tolist() == [[0, 1, 0, 1, 2], [2, 0, 1, 0, 1]]
    tf_idf = layers.StringLookup(vocabulary=words, idf_weights=[0.25, 0.75, 0.6, 0.4], output_mode="tf_idf")
    np.testing.assert_allclose(tf_idf(data), [[0, 0.25, 0, 0.6, 0.8], [1, 0, 0.75, 0, 0.4]], rtol=1e-6)
    one_hot = layers.StringLookup(vocabulary=words, output_mode="one_hot")
    assert one_hot(np.array([["b"], ["x"]])).tolist() == [[0, 0, 1, 0, 0], [1, 0, 0, 0, 0]]
    padded = layers.StringLookup(vocabulary=words, output_mode="count", max_tokens=7, pad_to_max_tokens=True)
    assert padded(data).shape == (2, 7)


def test_tf_idf_weights_are_those_of_keras():
    layer = layers.StringLookup(output_mode="tf_idf")
    layer.adapt(np.array([["a", "a", "b"], ["a", "c", "c"]]))
    rare, often = np.log(1 + 2 / 2), np.log(1 + 2 / 3)
    assert layer.get_vocabulary() == ["[UNK]", "a", "c", "b"]
    np.testing.assert_allclose(layer(np.array([["a", "b", "c"]])), [[0, often, rare, rare]], rtol=1e-6)


def test_unknown_tokens_share_several_numbers():
    layer = layers.StringLookup(vocabulary=["a"], num_oov_indices=2, mask_token="")
    numbers = layer(np.array(["", "a", "m", "n", "o", "p", "q"]))
    assert numbers[:2].tolist() == [0, 3]
    assert set(numbers[2:].tolist()) == {1, 2}
    integers = layers.IntegerLookup(vocabulary=[12, 36], num_oov_indices=2)
    assert integers(np.array([12, 36, 1000, 1001])).tolist() == [2, 3, 0, 1]


def test_integer_lookup():
    layer = layers.IntegerLookup(mask_token=0, max_tokens=4)
    layer.adapt(np.array([[12, 1138, 42], [42, 1000, 36], [42, 12, 0]]))
    assert layer.get_vocabulary() == [0, -1, 42, 12]
    assert layer(np.array([[42, 12, 0, 7]])).tolist() == [[2, 3, 0, 1]]
    big = layers.IntegerLookup(vocabulary=[2**40, 5])
    assert big(np.array([5, 2**40])).tolist() == [2, 1]


# --- sentences -------------------------------------------------------------------------------------


def test_text_vectorization_as_documented():
    layer = layers.TextVectorization(max_tokens=5000, output_sequence_length=4)
    layer.adapt(["foo bar", "bar baz", "baz bada boom"])
    assert layer([["foo qux bar"], ["qux baz"]]).tolist() == [[4, 1, 3, 0], [1, 2, 0, 0]]
    given = layers.TextVectorization(vocabulary=["earth", "wind", "and", "fire"])
    assert given.get_vocabulary() == ["", "[UNK]", "earth", "wind", "and", "fire"]
    assert given.get_vocabulary(include_special_tokens=False) == ["earth", "wind", "and", "fire"]
    assert given.vocabulary_size() == 6


@pytest.mark.parametrize(
    ("arguments", "tokens"),
    [
        ({}, ["the", "sky", "is", "blue", "too"]),
        ({"standardize": "lower"}, ["the", "sky", "is", "blue,", "too!"]),
        ({"standardize": "strip_punctuation"}, ["The", "sky", "is", "blue", "too"]),
        ({"standardize": None}, ["The", "sky", "is", "blue,", "too!"]),
        ({"standardize": shout}, ["THE", "SKY", "IS", "BLUE,", "TOO!"]),
        ({"standardize": None, "split": by_comma}, ["The sky is blue", " too!"]),
        ({"split": None}, ["the sky is blue too"]),
        ({"ngrams": (2,)}, ["the sky", "sky is", "is blue", "blue too"]),
        ({"ngrams": 2, "split": "character", "standardize": None}, None),
    ],
)
def test_tokens(arguments, tokens):
    layer = layers.TextVectorization(**arguments)
    layer.adapt([SENTENCES[1]])
    if tokens is None:
        tokens = [*SENTENCES[1], *(" ".join(pair) for pair in zip(SENTENCES[1], SENTENCES[1][1:]))]
    assert set(layer.get_vocabulary(include_special_tokens=False)) == set(tokens)
    numbers = layer([SENTENCES[1]])
    assert [layer.get_vocabulary()[number] for number in numbers[0]] == tokens


def test_modes_of_sentences():
    for mode, row in (("multi_hot", [1, 1, 0]), ("count", [1, 2, 0])):
        layer = layers.TextVectorization(vocabulary=["sea", "sky"], output_mode=mode)
        assert layer(["sea the sea"]).tolist() == [row]
    learnt = layers.TextVectorization(output_mode="tf_idf")
    learnt.adapt(SENTENCES)
    assert learnt(SENTENCES).shape == (4, learnt.vocabulary_size())


def test_batches_bytes_and_lists_are_the_same_sentences():
    expected = layers.TextVectorization()
    expected.adapt(np.array(SENTENCES))
    for data in (SENTENCES, np.array(SENTENCES)[:, None], iter([SENTENCES[:2], SENTENCES[2:]])):
        layer = layers.TextVectorization()
        layer.adapt(data)
        assert layer.get_vocabulary() == expected.get_vocabulary()
    encoded = np.array([sentence.encode() for sentence in SENTENCES])
    np.testing.assert_array_equal(expected(encoded), expected(SENTENCES))
    np.testing.assert_array_equal(expected(np.array(SENTENCES, dtype=object)), expected(SENTENCES))


@pytest.mark.parametrize(
    "make",
    [
        lambda: layers.TextVectorization(output_sequence_length=3, standardize=shout),
        lambda: layers.TextVectorization(output_mode="tf_idf", ngrams=(1, 2)),
        lambda: layers.StringLookup(num_oov_indices=2, mask_token="is"),
        lambda: layers.Hashing(7, salt=3),
    ],
)
@pytest.mark.parametrize(
    "again",
    [
        copy.deepcopy,
        lambda layer: pickle.loads(pickle.dumps(layer)),
        lambda layer: layers.deserialize(json.loads(json.dumps(layers.serialize(layer)))),
    ],
)
def test_copies_keep_the_vocabulary(make, again):
    layer = make()
    if hasattr(layer, "adapt"):
        layer.adapt(np.array(SENTENCES))
    with custom_object_scope({"shout": shout}):
        twin = again(layer)
    np.testing.assert_array_equal(twin(np.array(SENTENCES)), layer(np.array(SENTENCES)))
    assert twin.get_config() == layer.get_config()
    if hasattr(layer, "adapt"):
        twin.adapt(np.array(["completely other words"]))
        assert twin.get_vocabulary() != layer.get_vocabulary()


def test_assets(tmp_path):
    layer = layers.TextVectorization()
    layer.adapt(SENTENCES)
    layer.save_assets(tmp_path)
    fresh = layers.TextVectorization()
    fresh.load_assets(tmp_path)
    assert fresh.get_vocabulary() == layer.get_vocabulary()
    assert (
        layers.StringLookup(vocabulary=str(tmp_path / "vocabulary.txt"), mask_token="").get_vocabulary()[0]
        == ""
    )


# --- quantities ------------------------------------------------------------------------------------


def test_discretization_adapts_as_keras(real_keras, rng):
    data = rng.normal(size=(500,)).astype("float32")
    mine, theirs = (module.Discretization(num_bins=5) for module in (layers, real_keras.layers))
    mine.adapt(data)
    theirs.update_state(data)
    theirs.finalize_state()
    np.testing.assert_allclose(mine.bin_boundaries, theirs.bin_boundaries, rtol=1e-6)
    np.testing.assert_array_equal(mine(data), np.asarray(theirs(data)))
    mine.adapt(iter([data[:200], data[200:]]))
    theirs.reset_state()
    theirs.update_state(data[:200])
    theirs.update_state(data[200:])
    theirs.finalize_state()
    np.testing.assert_allclose(mine.bin_boundaries, theirs.bin_boundaries, rtol=1e-5)
    again = layers.Discretization.from_config(mine.get_config())
    np.testing.assert_array_equal(again(data), mine(data))


def test_category_weights(real_keras):
    data, weights = np.array([[0, 1], [0, 0], [1, 2]]), np.array([[0.1, 0.2], [0.1, 0.1], [0.2, 0.3]])
    for module in (layers, real_keras.layers):
        counted = module.CategoryEncoding(num_tokens=4, output_mode="count")(data, count_weights=weights)
        np.testing.assert_allclose(counted, [[0.1, 0.2, 0, 0], [0.2, 0, 0, 0], [0, 0.2, 0.3, 0]], rtol=1e-6)


# --- models ----------------------------------------------------------------------------------------

TEXTS = np.array(["good film", "bad film", "a good day", "bad bad day"] * 20)
KINDS = np.array([1, 0, 1, 0] * 20)


def text_model(first=True):
    vectorize = layers.TextVectorization(output_sequence_length=4)
    vectorize.adapt(TEXTS)
    stack = [lamina.Input((1,), dtype="string")] if first else []
    model = lamina.Sequential(
        [*stack, vectorize, layers.Embedding(10, 4), layers.Flatten(), layers.Dense(1, "sigmoid")]
    )
    model.compile(lamina.optimizers.Adam(0.05), "binary_crossentropy", metrics=["accuracy"])
    return model


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("data", [TEXTS, TEXTS[:, None], list(TEXTS), TEXTS.astype(object)])
def test_a_model_that_begins_with_text_learns(first, data):
    lamina.utils.set_random_seed(3)
    model = text_model(first)
    model.fit(data, KINDS, epochs=10, verbose=0, validation_split=0.2)
    assert model.evaluate(data, KINDS, verbose=0)[1] == 1.0
    np.testing.assert_allclose(model(TEXTS[:3]), model.predict(TEXTS[:3]), rtol=1e-5)
    assert model.predict_on_batch(TEXTS[:5]).shape == (5, 1)
    assert model.predict(["good day", "never seen words"]).shape == (2, 1)


def test_text_from_a_generator_and_in_json():
    model = text_model()
    model.fit(
        ((TEXTS[start : start + 16], KINDS[start : start + 16]) for start in range(0, 80, 16)), verbose=0
    )
    again = lamina.models.model_from_json(model.to_json())
    again.set_weights(model.get_weights())
    np.testing.assert_array_equal(again.predict(TEXTS), model.predict(TEXTS))


def test_text_and_numbers_side_by_side():
    colour, size = lamina.Input((1,), dtype="string", name="colour"), lamina.Input((2,), name="size")
    known = layers.StringLookup(output_mode="one_hot", vocabulary=["red", "green"])(colour)
    crossed = layers.HashedCrossing(7, output_mode="one_hot")([colour, colour])
    joined = layers.Concatenate()([known, crossed, size])
    model = lamina.Model({"colour": colour, "size": size}, layers.Dense(1)(joined))
    model.compile("adam", "mse")
    data = {"colour": np.array(["red", "blue"] * 8), "size": np.ones((16, 2))}
    model.fit(data, np.ones(16), verbose=0)
    assert model.predict(data).shape == (16, 1)
    np.testing.assert_allclose(model.predict(data), model(data), rtol=1e-5)
    with pytest.raises(DataError, match="NaN"):
        model.fit({**data, "size": np.full((16, 2), np.nan)}, np.ones(16), verbose=0)


def test_a_trained_model_behind_text():
    ids = lamina.Input((4,), dtype="int32")
    inner = lamina.Model(ids, layers.Dense(1)(layers.Flatten()(layers.Embedding(10, 2)(ids))))
    vectorize = layers.TextVectorization(output_sequence_length=4, vocabulary=["good", "bad"])
    outer = lamina.Sequential([lamina.Input((1,), dtype="string"), vectorize, inner])
    np.testing.assert_allclose(outer.predict(TEXTS[:3]), inner.predict(vectorize(TEXTS[:3])), rtol=1e-6)


# --- wrong uses ------------------------------------------------------------------------------------

WRONG = [
    (lambda: layers.TextVectorization()(["a"]), StateError, ["no vocabulary", "adapt(data)"]),
    (lambda: layers.TextVectorization(standardize="upper"), ArgumentError, ["'upper'", "lower"]),
    (lambda: layers.TextVectorization(split="words"), ArgumentError, ["'words'", "whitespace"]),
    (
        lambda: layers.TextVectorization(output_mode="count", output_sequence_length=3),
        ArgumentError,
        ["'int'"],
    ),
    (
        lambda: layers.TextVectorization(vocabulary=["a"])(np.array([["a", "b"]])),
        ArgumentError,
        ["split=None"],
    ),
    (lambda: layers.StringLookup(vocabulary=["a", "a"]), ArgumentError, ["repeats", "'a'"]),
    (lambda: layers.StringLookup(vocabulary=[]), ArgumentError, ["empty"]),
    (lambda: layers.StringLookup(vocabulary=["a", ""], mask_token=""), ArgumentError, ["mask token"]),
    (
        lambda: layers.StringLookup(vocabulary=list("abc"), max_tokens=3),
        ArgumentError,
        ["max_tokens=3", "4 tokens"],
    ),
    (lambda: layers.StringLookup(vocabulary=["a"], num_oov_indices=0)(np.array(["x"])), DataError, ["'x'"]),
    (lambda: layers.StringLookup(vocabulary=["a"]).adapt(["b"]), StateError, ["cannot adapt"]),
    (lambda: layers.StringLookup(vocabulary="no/such/file"), ArgumentError, ["no vocabulary file"]),
    (lambda: layers.StringLookup(output_mode="sum"), ArgumentError, ["'sum'", "tf_idf"]),
    (
        lambda: layers.StringLookup(vocabulary=["a"])([["a"], ["a", "a"]]),
        ArgumentError,
        ["different lengths"],
    ),
    (lambda: layers.IntegerLookup(vocabulary=[1])(np.array(["red"])), DataError, ["'red'", "StringLookup"]),
    (lambda: layers.Hashing(0), ArgumentError, ["num_bins=0"]),
    (lambda: layers.HashedCrossing(3)([np.array(["a"])]), ArgumentError, ["at least two"]),
    (lambda: layers.HashedCrossing(3)([np.array(["a"]), np.array([0.5])]), DTypeError, ["float64"]),
    (lambda: layers.CategoryEncoding(), ArgumentError, ["num_tokens", "IntegerLookup"]),
    (lambda: layers.CategoryEncoding(3)(np.array([[0, 3]])), DataError, ["3 at row 0, position 1", "0 to 2"]),
    (lambda: layers.Discretization(), ArgumentError, ["bin_boundaries or num_bins"]),
    (lambda: layers.Discretization([2.0, 1.0]), ArgumentError, ["increasing"]),
    (lambda: layers.Discretization(num_bins=3)(np.zeros(3)), StateError, ["adapt(data)"]),
    (
        lambda: layers.Dense(2)(lamina.Input((1,), dtype="string")),
        DTypeError,
        ["TextVectorization", "StringLookup"],
    ),
    (lambda: text_model().predict(np.zeros((3, 1))), DataError, ["takes strings", "float64"]),
    (
        lambda: lamina.function(lambda x: layers.StringLookup(vocabulary=["a"])(x))(np.zeros(2, "float32")),
        StateError,
        ["on the host", "in front of"],
    ),
]


@pytest.mark.parametrize("number", range(len(WRONG)))
def test_wrong_uses(number):
    action, error, parts = WRONG[number]
    with pytest.raises(error) as caught:
        action()
    text = "\n".join([str(caught.value), *getattr(caught.value, "__notes__", [])])
    for part in parts:
        assert part in text, text


def test_ops_between_host_and_program_run_compiled():
    words = lamina.Input((2,), dtype="string")
    numbers = layers.StringLookup(vocabulary=["a", "b"])(words)
    model = lamina.Model(words, ops.sum(numbers * 10, axis=1))
    assert model.predict(np.array([["a", "b"], ["b", "x"]])).tolist() == [30, 20]
