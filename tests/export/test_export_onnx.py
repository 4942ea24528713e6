"""ONNX files: what onnxruntime computes from them is what `predict` gives, for every number of rows."""

from __future__ import annotations

import sys

import numpy as np
import onnx
import onnxruntime
import pytest

import lamina
from lamina import layers, ops
from lamina.core.errors import ArgumentError, StateError
from lamina.export.nodes import RULES
from lamina.ir.primitives import TABLE

ROWS = (7, 3, 1)


def predicted_elsewhere(path, arrays):
    onnx.checker.check_model(str(path), full_check=True)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.run(None, dict(zip([each.name for each in session.get_inputs()], arrays)))


def check(model, arrays, path, row_by_row=True, **options):
    """row_by_row: that the prediction of a row depends on that row only: one compiled program does."""
    model.export(path, **options)
    whole = model.predict(arrays if len(arrays) > 1 else arrays[0], verbose=0)
    for rows in ROWS:
        given = [array[:rows] for array in arrays]
        expected = [part[:rows] for part in lamina.tree.flatten(whole)]
        if not row_by_row:
            expected = lamina.tree.flatten(model.predict(given if len(given) > 1 else given[0], verbose=0))
        for ours, theirs in zip(expected, predicted_elsewhere(path, given), strict=True):
            assert ours.dtype == theirs.dtype
            np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


def dense(inputs):
    x = layers.BatchNormalization()(layers.Dense(8, "gelu")(inputs))
    x = layers.LayerNormalization()(layers.Dropout(0.5)(x))
    return layers.Dense(3, "softmax")(x)


def convolutions(inputs):
    x = layers.Conv2D(4, 3, strides=2, padding="same", activation="relu")(inputs)
    x = layers.MaxPooling2D(2, padding="same")(x)
    x = layers.DepthwiseConv2D(3, padding="same")(x)
    x = layers.AveragePooling2D(2, strides=1, padding="same")(x)
    x = layers.Conv2DTranspose(3, 3, strides=2, padding="same")(x)
    x = layers.UpSampling2D(2)(layers.GroupNormalization(3)(x))
    x = layers.Resizing(7, 6)(layers.Cropping2D(1)(x))
    return layers.Dense(2)(layers.Flatten()(x))


def sequences(inputs):
    x = layers.Embedding(20, 6, mask_zero=True)(inputs)
    x = layers.Bidirectional(layers.LSTM(5, return_sequences=True))(x)
    return layers.Dense(1)(layers.GRU(4, go_backwards=True)(x))


def attention(inputs):
    x = layers.MultiHeadAttention(2, 3)(inputs, inputs, use_causal_mask=True)
    x = layers.SeparableConv1D(6, 2)(layers.Conv1D(4, 3, dilation_rate=2, padding="causal")(x))
    return layers.GlobalMaxPooling1D()(x)


def operations(inputs):
    return [
        ops.sort(inputs, axis=1),
        ops.flip(ops.cumsum(inputs, axis=1), 1),
        ops.roll(inputs, 2, 1),
        ops.top_k(inputs, 3)[1],
        ops.one_hot(ops.argmax(inputs, 1), 12),
        ops.arctan2(inputs, ops.flip(inputs, 1)),
        ops.mod(ops.floor_divide(inputs, 0.3), 7.0),
        ops.log1p(ops.expm1(ops.abs(inputs))) + ops.rsqrt(ops.exp(inputs)),
        ops.any(inputs > 1, axis=1) | ops.all(ops.isfinite(inputs), axis=1),
        ops.segment_sum(ops.transpose(inputs), np.array([0, 2] * 6), 3)[:, 0],
        ops.bincount(ops.cast(ops.clip(inputs * 3, 0, 5), "int32"), minlength=6),
    ]


def control(inputs):
    def function(x):
        doubled = ops.while_loop(lambda n, v: n < 3, lambda n, v: (n + 1, v * 2.0), (np.int32(0), x))[1]
        chosen = ops.cond(ops.sum(x) > 0, lambda: x, lambda: -x)
        grown = ops.fori_loop(0, 3, lambda i, v: v * 1.5 + ops.cast(i, "float32"), x)
        switched = ops.switch(ops.cast(ops.max(x), "int32"), [lambda: x, lambda: x + 1, lambda: x + 2])
        return doubled + chosen * grown + switched

    return layers.Lambda(function)(inputs)


MODELS = {
    "dense": (dense, (12,), "float32"),
    "convolutions": (convolutions, (13, 11, 3), "float32"),
    "sequences": (sequences, (9,), "int32"),
    "attention": (attention, (9, 5), "float32"),
    "operations": (operations, (12,), "float32"),
    "control": (control, (12,), "float32"),
}


@pytest.mark.parametrize("name", MODELS)
def test_onnxruntime_predicts_the_same(name, rng, tmp_path):
    make, shape, dtype = MODELS[name]
    inputs = lamina.Input(shape, dtype=dtype)
    array = (
        rng.normal(size=(ROWS[0], *shape)) if dtype == "float32" else rng.integers(0, 20, (ROWS[0], *shape))
    )
    check(
        lamina.Model(inputs, make(inputs)),
        [array.astype(dtype)],
        tmp_path / "model.onnx",
        name not in ("control", "operations"),
    )


def test_several_inputs_and_the_names_of_a_trained_model(rng, tmp_path):
    a, b = lamina.Input((4,), name="a"), lamina.Input((4,), name="b")
    joined = layers.Concatenate()([layers.Dot(1)([a, b]), layers.Add()([a, b]), layers.Reshape((4,))(a)])
    model = lamina.Model({"a": a, "b": b}, layers.Dense(1, name="price")(joined))
    x = {name: rng.normal(size=(7, 4)).astype("float32") for name in "ab"}
    model.compile("adam", "mse")
    model.fit(x, np.ones((7, 1), "float32"), verbose=0)
    path = tmp_path / "model.onnx"
    model.export(path, opset_version=20)
    found = onnx.load(path)
    assert [each.name for each in found.graph.input] == ["a", "b"]
    assert [each.name for each in found.graph.output] == ["price"]
    assert {"price/kernel", "price/bias"} <= {each.name for each in found.graph.initializer}
    assert found.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "batch"
    np.testing.assert_allclose(
        predicted_elsewhere(path, [x["a"], x["b"]])[0], model.predict(x, verbose=0), rtol=1e-5, atol=1e-6
    )


class Doubler(lamina.Model):
    def __init__(self):
        super().__init__()
        self.dense = layers.Dense(2)

    def call(self, inputs):
        return 2 * self.dense(inputs)


def test_a_subclassed_model_needs_to_know_its_inputs(rng, tmp_path):
    x = rng.normal(size=(7, 3)).astype("float32")
    with pytest.raises(ArgumentError, match="input_signature"):
        Doubler().export(tmp_path / "model.onnx")
    model = Doubler()
    model(x)
    check(model, [x], tmp_path / "model.onnx")
    check(model, [x], tmp_path / "model.onnx", input_signature=[lamina.Input((3,))])
    model.export(tmp_path / "two.onnx", input_signature=x[:2])
    shape = onnx.load(tmp_path / "two.onnx").graph.input[0].type.tensor_type.shape
    assert [extent.dim_value for extent in shape.dim] == [2, 3]


def test_what_has_no_meaning_is_named_with_its_layer(tmp_path):
    inputs = lamina.Input((3,))
    decomposed = layers.Lambda(lambda x: ops.inv(ops.einsum("bi,bj->ij", x, x)), name="inverse")(inputs)
    with pytest.raises(ArgumentError, match="'host' has no meaning") as caught:
        lamina.Model(inputs, decomposed).export(tmp_path / "model.onnx")
    assert "'inverse'" in "".join(caught.value.__notes__)
    assert not (tmp_path / "model.onnx").exists()


def test_wrong_arguments_are_told(tmp_path, monkeypatch):
    inputs = lamina.Input((None, 3))
    model = lamina.Model(inputs, layers.GlobalMaxPooling1D()(inputs))
    with pytest.raises(ArgumentError, match="Only the first axis"):
        model.export(tmp_path / "model.onnx")
    model.export(tmp_path / "model.onnx", input_signature=[lamina.Input((5, 3))])
    with pytest.raises(ArgumentError, match="tf_saved_model"):
        model.export(tmp_path / "model", format="tf_saved_model")
    with pytest.raises(ArgumentError, match="opset"):
        model.export(tmp_path / "model.onnx", opset_version=7)
    with pytest.raises(ArgumentError, match=r"end in \.onnx"):
        model.export(tmp_path / "model.pb", input_signature=[lamina.Input((5, 3))])
    with pytest.raises(ArgumentError, match="Inputs, InputSpecs"):
        model.export(tmp_path / "model.onnx", input_signature=["x"])
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(StateError, match=r"lamina\[onnx\]"):
        model.export(tmp_path / "model.onnx")


def test_the_table_is_total_and_in_order():
    assert [primitive.name for primitive in RULES] == list(TABLE)
