"""FeatureSpace: what real Keras encodes (golden numbers, as it needs TensorFlow), and its ways in and out."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas
import pytest

import lamina
from lamina import layers
from lamina.core.errors import ArgumentError, DataError, StateError
from lamina.utils import FeatureSpace

GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture(scope="module")
def golden():
    """Columns, and what Keras 3.15 on TensorFlow made of them with `space()` adapted to them."""
    return json.loads((GOLDEN / "columns.json").read_text())


def space(**options):
    return FeatureSpace(
        {
            "raw": "float",
            "score": FeatureSpace.float_rescaled(0.5, 1.0),
            "age": "float_normalized",
            "height": FeatureSpace.float_discretized(3),
            "code": "integer_categorical",
            "zip": FeatureSpace.integer_hashed(4),
            "city": FeatureSpace.string_categorical(max_tokens=3),
            "name": FeatureSpace.string_hashed(3),
        },
        crosses=[("city", "code"), FeatureSpace.cross(("zip", "name"), 5)],
        crossing_dim=6,
        **options,
    )


@pytest.fixture
def adapted(golden):
    made = space()
    made.adapt(golden["data"])
    return made


def test_every_kind_of_feature_as_keras(adapted, golden):
    np.testing.assert_allclose(adapted(golden["data"]), golden["encoded"], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(adapted(golden["new"]), golden["new_encoded"], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "feed",
    [
        pandas.DataFrame,
        lambda data: pandas.DataFrame(data).assign(target=1.0),
        lambda data: {name: np.array(column)[:, None] for name, column in data.items()},
        lambda data: [({name: column[start : start + 2] for name, column in data.items()}, 1)
                      for start in (0, 2, 4)],
        lambda data: iter([pandas.DataFrame(data)[:4], pandas.DataFrame(data)[4:]]),
        lambda data: [{name: column[row] for name, column in data.items()} for row in range(6)],
    ],
    ids=["frame", "frame with more columns", "columns", "labelled batches", "frames", "single rows"],
)  # fmt: skip
def test_data_in_many_forms(feed, golden):
    made = space()
    made.adapt(feed(golden["data"]))
    frame = pandas.DataFrame(golden["data"])
    np.testing.assert_allclose(made(frame), golden["encoded"], rtol=1e-5, atol=1e-6)


def test_single_values(adapted, golden):
    one = {name: column[0] for name, column in golden["data"].items()}
    np.testing.assert_array_equal(adapted(one), adapted(golden["data"])[0])
    apart = space(output_mode="dict")
    apart.adapt(golden["data"])
    assert apart(one)["city"].shape == (3,)


def test_a_dict_of_features(golden):
    made = FeatureSpace(
        {
            "age": "float_normalized",
            "city": FeatureSpace.string_categorical(output_mode="int"),
            "zip": "integer_hashed",
        },
        crosses=[FeatureSpace.cross(("city", "zip"), 9, output_mode="int")],
        output_mode="dict",
        hashing_dim=5,
    )
    made.adapt(golden["data"])
    found = made(golden["data"])
    assert list(found) == ["age", "city", "zip", "city_X_zip"]
    assert {name: value.shape for name, value in found.items()} == {
        "age": (6, 1), "city": (6, 1), "zip": (6, 5), "city_X_zip": (6, 1),
    }  # fmt: skip
    assert found["city"].dtype == found["city_X_zip"].dtype == "int32"
    assert found["city"][:, 0].tolist() == [1, 2, 1, 3, 2, 1]


def test_a_feature_with_a_layer_of_ones_own():
    words = layers.TextVectorization(output_mode="count")
    made = FeatureSpace({"text": FeatureSpace.feature("string", words, "float"), "n": "float"})
    made.adapt({"text": ["a b", "b b"], "n": [1, 2]})
    assert made({"text": ["b b a"], "n": [3.0]}).tolist() == [[3.0, 0.0, 2.0, 1.0]]
    given = FeatureSpace(
        {"text": FeatureSpace.feature("string", layers.StringLookup(vocabulary=["x"]), "one_hot")}
    )
    assert given({"text": ["x", "y"]}).tolist() == [[0.0, 1.0], [1.0, 0.0]]  # nothing to adapt


def test_a_network_on_raw_columns(adapted, golden):
    frame = pandas.DataFrame(golden["data"])
    lamina.utils.set_random_seed(1)
    inputs, encoded = adapted.get_inputs(), adapted.get_encoded_features()
    assert encoded.shape == (None, 31)
    model = lamina.Model(inputs, layers.Dense(1)(encoded))
    model.compile(lamina.optimizers.Adam(0.1), "mse")
    history = model.fit(dict(frame), np.arange(6.0), epochs=60, verbose=0).history["loss"]
    assert history[-1] < 0.05 * history[0]
    kernel, bias = model.layers[-1].get_weights()
    np.testing.assert_allclose(
        model.predict(dict(frame), verbose=0), adapted(frame) @ kernel + bias, rtol=1e-4, atol=1e-5
    )


def test_saved_and_loaded(adapted, golden, tmp_path):
    adapted.save(tmp_path / "space.keras")
    again = lamina.models.load_model(tmp_path / "space.keras")
    assert isinstance(again, FeatureSpace)
    np.testing.assert_array_equal(again(golden["data"]), adapted(golden["data"]))
    fresh = FeatureSpace.from_config(json.loads(json.dumps(adapted.get_config())))
    assert fresh.get_config() == adapted.get_config()

    model = lamina.Model(adapted.get_inputs(), layers.Dense(1)(adapted.get_encoded_features()))
    model.save(tmp_path / "model.keras")
    frame = dict(pandas.DataFrame(golden["data"]))
    twin = lamina.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(twin.predict(frame, verbose=0), model.predict(frame, verbose=0))


def test_a_file_of_keras(golden):
    theirs = lamina.models.load_model(GOLDEN / "columns.keras")
    np.testing.assert_allclose(theirs(golden["new"]), golden["new_encoded"], rtol=1e-5, atol=1e-6)


WRONG = {
    "no features": (ArgumentError, lambda data: FeatureSpace({}), "{column name: kind, ...}"),
    "unknown kind": (ArgumentError, lambda data: FeatureSpace({"a": "integer"}), "'integer_categorical'"),
    "unknown cross": (ArgumentError, lambda data: FeatureSpace({"a": "float"}, crosses=[("a", "b")]), "'b'"),
    "unknown mode": (ArgumentError, lambda data: FeatureSpace({"a": "float"}, output_mode="list"), "concat"),
    "not adapted": (StateError, lambda data: space()(data), "adapt(data)"),
    "no column": (DataError, lambda data: space().adapt({"age": [1.0]}), "'height'"),
    "gaps": (
        DataError,
        lambda data: space().adapt(pandas.DataFrame(data).assign(city=["Rome", None] * 3)),
        "row 1",
    ),
    "no table": (ArgumentError, lambda data: FeatureSpace({"a": "float"})([1.0]), "list"),
    "batches of lists": (ArgumentError, lambda data: space().adapt([[1.0]]), "an iterable of list"),
    "whole numbers among floats": (
        ArgumentError,
        lambda data: FeatureSpace({"a": FeatureSpace.integer_hashed(3, "int"), "b": "float"}).get_inputs(),
        "output_mode='dict'",
    ),
    "one-hot floats": (
        ArgumentError,
        lambda data: FeatureSpace({"a": FeatureSpace.feature("float32", layers.Rescaling(2.0), "one_hot")})(
            {"a": [1.0]}
        ),
        "whole numbers",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_uses(name, golden):
    error, wrong, fragment = WRONG[name]
    with pytest.raises(error) as caught:
        wrong(golden["data"])
    assert fragment in str(caught.value)
