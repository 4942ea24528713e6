"""Wrong uses of layers and what they say: which layer, expected, got, how to mend it; at most eight lines."""

from __future__ import annotations

import numpy as np
import pytest

from lamina import layers
from lamina.core.errors import ArgumentError, DTypeError, ShapeError, StateError
from lamina.layers import Dense, Input


def ones(*shape):
    return np.ones(shape, "float32")


def built():
    layer = Dense(3, name="scores")
    layer.build((None, 4))
    return layer


class NoSuper(layers.Layer):
    def __init__(self):
        self.units = 3

    def call(self, inputs):
        return inputs


class Text(layers.Layer):
    def call(self, inputs):
        return "text"


class Failing(layers.Layer):
    def call(self, inputs):
        return inputs @ ones(7, 7)


WRONG = [
    ("zero units", lambda: Dense(0, name="d"), ArgumentError, ["'d'", "units=0", "at least 1"]),
    ("negative units", lambda: Dense(-3), ArgumentError, ["units=-3"]),
    ("fractional units", lambda: Dense(2.5), ArgumentError, ["units=2.5"]),
    ("boolean units", lambda: Dense(True), ArgumentError, ["units=True"]),
    ("text units", lambda: Dense("3"), ArgumentError, ["units='3'"]),
    ("NaN units", lambda: Dense(float("nan")), ArgumentError, ["units=nan"]),
    ("unknown activation", lambda: Dense(3, "rleu"), ArgumentError, ["rleu", "did you mean 'relu'"]),
    ("unknown initializer", lambda: Dense(3, kernel_initializer="zeroes"), ArgumentError, ["'zeros'"]),
    ("unknown regularizer", lambda: Dense(3, kernel_regularizer="l3"), ArgumentError, ["l3"]),
    ("unknown argument", lambda: Dense(3, unit=4), TypeError, ["Dense", "unit"]),
    ("slash in a name", lambda: Dense(3, name="a/b"), ArgumentError, ["'a/b'"]),
    ("trainable", lambda: Dense(3, trainable=1), ArgumentError, ["True or False"]),
    ("unknown dtype", lambda: Dense(3, dtype="float31"), DTypeError, ["float31", "'float32'"]),
    ("mixed precision of nothing", lambda: Dense(3, dtype="mixed_float8"), DTypeError, ["mixed_bfloat16"]),
    ("kernel before build", lambda: Dense(3, name="d").kernel, StateError, ["kernel", "'d'", "not built"]),
    ("count before build", lambda: Dense(3, name="d").count_params(), StateError, ["'d'", "not built"]),
    ("set before build", lambda: Dense(3).set_weights([ones(3)]), ShapeError, ["expected: 0", "not built"]),
    ("one example", lambda: Dense(3, name="d")(ones(4)), ShapeError, ["'d'", "2 axes", "(4,)", "x[None]"]),
    (
        "other features",
        lambda: built()(ones(2, 5)),
        ShapeError,
        ["'scores'", "4 entries along axis -1", "(2, 5)", "new layer"],
    ),
    ("other features, symbolic", lambda: built()(Input((5,))), ShapeError, ["'scores'", "(None, 5)"]),
    (
        "unknown features",
        lambda: Dense(3, name="d")(Input((None,))),
        ShapeError,
        ["'d'", "not known", "(None, 3)"],
    ),
    ("no super().__init__()", lambda: NoSuper()(ones(2)), StateError, ["NoSuper", "super().__init__"]),
    (
        "no call()",
        lambda: layers.Layer()(ones(2)),
        NotImplementedError,
        ["Layer", "write call(self, inputs)"],
    ),
    ("no tensor returned", lambda: Text()(Input((3,))), ArgumentError, ["'text'", "str"]),
    ("no input", lambda: Dense(3, name="d")(), TypeError, ["'d'", "inputs"]),
    ("unknown call argument", lambda: Dense(3, name="d")(ones(2, 3), masks=1), TypeError, ["'d'", "masks"]),
    ("text as input", lambda: Dense(3, name="d")("text"), ArgumentError, ["'d'", "'text'"]),
    ("None as input", lambda: Dense(3, name="d")(None), ArgumentError, ["'d'", "None"]),
    ("strings as input", lambda: Dense(3)(np.array([["a"]])), DTypeError, ["<U1", "numbers"]),
    ("objects as input", lambda: Dense(3)(np.array([[object()]])), DTypeError, ["object"]),
    ("a layer as input", lambda: Dense(3, name="d")(Dense(4)), ArgumentError, ["'d'", "Dense"]),
    ("too few arrays", lambda: built().set_weights([ones(4, 3)]), ShapeError, ["scores/kernel, scores/bias"]),
    (
        "wrong array",
        lambda: built().set_weights([ones(4, 2), ones(3)]),
        ShapeError,
        ["scores/kernel", "(4, 3), (3,)", "(4, 2), (3,)"],
    ),
    ("dropout rate", lambda: layers.Dropout(1.5), ArgumentError, ["rate=1.5", "from 0 to 1"]),
    ("NaN rate", lambda: layers.Dropout(float("nan")), ArgumentError, ["rate=nan"]),
    ("Gaussian rate", lambda: layers.GaussianDropout(1.0), ArgumentError, ["below 1"]),
    ("negative noise", lambda: layers.GaussianNoise(-1), ArgumentError, ["stddev=-1"]),
    ("noise shape", lambda: layers.Dropout(0.5, noise_shape=(2, 0)), ArgumentError, ["noise_shape=(2, 0)"]),
    ("slope", lambda: layers.LeakyReLU(negative_slope=-1), ArgumentError, ["negative_slope=-1"]),
    ("slope of None", lambda: layers.ReLU(negative_slope=None), ArgumentError, ["negative_slope=None"]),
    ("shared axis", lambda: layers.PReLU(shared_axes=[3])(ones(2, 3)), ShapeError, ["axis 3", "(2, 3)"]),
    ("two inferred", lambda: layers.Reshape((-1, -1)), ArgumentError, ["(-1, -1)", "one -1"]),
    ("reshape", lambda: layers.Reshape((3, 5), name="r")(Input((4,))), ShapeError, ["'r'", "15", "4"]),
    ("permutation", lambda: layers.Permute((0, 1)), ArgumentError, ["(0, 1)", "1 to 2"]),
    ("repetitions", lambda: layers.RepeatVector(0), ArgumentError, ["n=0"]),
    ("rank of RepeatVector", lambda: layers.RepeatVector(2)(ones(3)), ShapeError, ["2 axes", "(3,)"]),
    ("channels first", lambda: layers.Flatten("channels_first"), ArgumentError, ["channels_last"]),
    (
        "merging one",
        lambda: layers.Add(name="a")(ones(2, 3)),
        ArgumentError,
        ["'a'", "single tensor", "Add()([x, y])"],
    ),
    (
        "merging shapes",
        lambda: layers.Add(name="a")([Input((4,)), Input((3,))]),
        ShapeError,
        ["'a'", "3 and 4"],
    ),
    (
        "merging batches",
        lambda: layers.Add()([Input((4,), 2), Input((4,), 3)]),
        ShapeError,
        ["different sizes"],
    ),
    ("subtracting three", lambda: layers.Subtract()([ones(2)] * 3), ArgumentError, ["exactly 2", "3"]),
    (
        "concatenating",
        lambda: layers.Concatenate()([ones(2, 3), ones(3, 3)]),
        ShapeError,
        ["but along axis 1"],
    ),
    ("axis of concatenation", lambda: layers.Concatenate(5)([ones(2, 3)] * 2), ShapeError, ["axis 5"]),
    ("dot over the batch", lambda: layers.Dot(axes=0), ArgumentError, ["axes=0", "batch"]),
    ("dot", lambda: layers.Dot(axes=1)([ones(2, 3), ones(2, 4)]), ShapeError, ["3 and 4", "axis 1"]),
    ("equation", lambda: layers.EinsumDense("ab,bc", 3), ArgumentError, ["'ab,bc'", "ab,bc->ac"]),
    ("equation out of nowhere", lambda: layers.EinsumDense("ab,bc->ad", 3), ArgumentError, ["'d'"]),
    (
        "equation and input",
        lambda: layers.EinsumDense("abc,cd->abd", (None, 3))(ones(2, 3)),
        ShapeError,
        ["3 axes"],
    ),
    ("no shape", lambda: Input(), ArgumentError, ["shape=None"]),
    ("negative shape", lambda: Input((-1,)), ShapeError, ["(-1,)"]),
    ("text as shape", lambda: Input("ab"), ShapeError, ["'ab'"]),
    ("no function", lambda: layers.Lambda(3), ArgumentError, ["needs a function"]),
    ("add_weight name first", lambda: layers.Layer().add_weight("kernel"), ArgumentError, ["name='kernel'"]),
    ("unknown layer", lambda: layers.get("dens"), ArgumentError, ["did you mean 'Dense'"]),
    (
        "unknown layer in a config",
        lambda: layers.deserialize({"class_name": "Dence", "config": {}}),
        ArgumentError,
        ["Dence"],
    ),
]


@pytest.mark.parametrize(
    ("action", "error", "parts"), [row[1:] for row in WRONG], ids=[row[0] for row in WRONG]
)
def test_wrong_uses_say_what_is_wrong(action, error, parts):
    with pytest.raises(error) as caught:
        action()
    text = "\n".join([str(caught.value), *getattr(caught.value, "__notes__", [])])
    for part in parts:
        assert part in text
    assert len(text.splitlines()) <= 8


def test_errors_inside_call_name_the_innermost_layer():
    class Around(layers.Layer):
        def __init__(self):
            super().__init__(name="around")
            self.inner = Failing(name="inner")

        def call(self, inputs):
            return self.inner(inputs)

    with pytest.raises(ShapeError) as caught:
        Around()(ones(2, 3))
    assert caught.value.__notes__ == ["  in Layer 'inner' (Failing), called with inputs_shape (2, 3)"]


def test_unknown_extents_are_explained():
    with pytest.raises(ShapeError) as caught:
        Failing()(Input((3,)))
    assert any("not known yet (None)" in note for note in caught.value.__notes__)


def test_input_shape_arguments_are_deprecated():
    with pytest.warns(UserWarning, match=r"make Input\(shape=...\) the first entry"):
        Dense(3, input_shape=(4,))
    with pytest.warns(UserWarning, match="input_dim"):
        Dense(3, input_dim=4)


def test_missing_attributes_of_built_layers_are_ordinary():
    with pytest.raises(AttributeError) as caught:
        _ = built().weight
    assert type(caught.value) is AttributeError
    assert not hasattr(Dense(3), "kernel")


@pytest.mark.parametrize(
    ("spec", "shape", "fits"),
    [
        (layers.InputSpec(ndim=2), (3, 4), True),
        (layers.InputSpec(ndim=2), (3,), False),
        (layers.InputSpec(min_ndim=2, max_ndim=3), (3, 4, 5), True),
        (layers.InputSpec(min_ndim=2, max_ndim=3), (3, 4, 5, 6), False),
        (layers.InputSpec(axes={-1: 4}), (3, 4), True),
        (layers.InputSpec(axes={-1: 4}), (3, None), True),
        (layers.InputSpec(axes={-1: 4}), (3, 5), False),
        (layers.InputSpec(axes={2: 4}), (3, 5), False),
        (layers.InputSpec(shape=(None, 4)), (3, 4), True),
        (layers.InputSpec(shape=(None, 4)), (3, 4, 1), False),
        (layers.InputSpec(shape=(None, 4), allow_last_axis_squeeze=True), (3, 4, 1), True),
        (layers.InputSpec(shape=(None, 4, 1), allow_last_axis_squeeze=True), (3, 4), True),
        (layers.InputSpec(shape=(None, 4, 2), allow_last_axis_squeeze=True), (3, 4), False),
    ],
)
def test_input_spec(spec, shape, fits):
    assert spec.fits(shape) == fits
    assert layers.InputSpec.from_config(spec.get_config()).get_config() == spec.get_config()


def test_input_spec_of_several_inputs():
    class Two(layers.Layer):
        def __init__(self):
            super().__init__(name="two")
            self.input_spec = [
                layers.InputSpec(ndim=2, name="left"),
                layers.InputSpec(dtype="int32", name="right"),
            ]

        def call(self, inputs):
            return inputs

    Two()([ones(2, 2), np.ones(2, "int32")])
    Two()({"left": ones(2, 2), "right": np.ones(2, "int32")})
    for inputs, part in [
        ([ones(2, 2)], "expected: 2 (left, right)"),
        ({"left": ones(2, 2)}, "no data for input 'right'"),
        ([ones(2), np.ones(2, "int32")], "input 'left'"),
        ([ones(2, 2), ones(2)], "dtype of its input 'right'"),
    ]:
        with pytest.raises((ArgumentError, ShapeError, DTypeError)) as caught:
            Two()(inputs)
        assert part in str(caught.value)
    with pytest.raises(ArgumentError, match="axis 3 is outside rank 2"):
        layers.InputSpec(ndim=2, axes={3: 1})
