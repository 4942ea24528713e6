"""What a loss promises beyond its number: subclasses, weights, impossible targets, names, configs."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pytest
from loss_cases import CASES

from lamina import losses, ops
from lamina.core.errors import ArgumentError, DataError, ShapeError
from lamina.core.naming import reset_names
from lamina.core.serialization import custom_object_scope
from lamina.losses.base import set_mask, squeeze_or_expand_to_same_rank

# --- subclasses and functions ----------------------------------------------------------------------


class Quartic(losses.Loss):
    """The way of a custom loss in Keras."""

    def call(self, y_true, y_pred):
        return ops.mean(ops.power(y_pred - y_true, 4), axis=-1)


def test_a_subclass_writes_only_call():
    reset_names()
    assert (Quartic().name, Quartic().name) == ("quartic", "quartic_1")
    loss = Quartic(name="fourth", reduction="sum")
    assert float(loss([[1.0], [2.0]], [[3.0], [2.0]])) == 16.0
    assert float(loss([[1.0], [2.0]], [[3.0], [2.0]], sample_weight=[0.5, 1.0])) == 8.0
    assert loss.get_config() == {"name": "fourth", "reduction": "sum"}
    assert Quartic.from_config(loss.get_config()).reduction == "sum"
    # Whole numbers arrive as floats, so that no subclass meets the arithmetic of uint8.
    assert float(loss(np.array([[3]], np.uint8), np.array([[5.0]]))) == 16.0
    assert float(loss(np.array([[3]], np.uint8), np.array([[1]], np.uint8))) == 16.0


def test_a_subclass_may_take_structures():
    class Both(losses.Loss):
        def call(self, y_true, y_pred):
            return sum(ops.mean(ops.square(y_true[key] - y_pred[key]), axis=-1) for key in y_true)

    y_true, y_pred = (
        {"a": np.zeros((2, 3)), "b": np.ones((2, 1))},
        {"a": np.ones((2, 3)), "b": np.ones((2, 1))},
    )
    assert float(Both()(y_true, y_pred)) == 1.0


def test_a_subclass_without_call_says_so():
    class Empty(losses.Loss):
        pass

    with pytest.raises(NotImplementedError, match="Empty must define call"):
        Empty()([1.0], [1.0])


def test_a_function_that_reduces_everything_can_still_be_weighted():
    loss = losses.LossFunctionWrapper(lambda y_true, y_pred: ops.mean(ops.square(y_true - y_pred)))
    assert float(loss([[0.0], [0.0]], [[2.0], [2.0]])) == 4.0
    assert float(loss([[0.0], [0.0]], [[2.0], [2.0]], sample_weight=[1.0, 0.0])) == 2.0


def test_lists_and_numbers_are_tensors():
    assert float(losses.MeanSquaredError()([[0, 1], [0, 0]], [[1, 1], [1, 0]])) == 0.5
    assert float(losses.mean_squared_error([0.0, 1.0], [1.0, 1.0])) == 0.5
    assert float(losses.MeanAbsoluteError()(1.0, np.zeros((3, 1)))) == 1.0
    np.testing.assert_allclose(
        losses.binary_crossentropy(1.0, np.full((3, 1), 0.5)), np.log(2) * np.ones(3), rtol=1e-6
    )


def test_ranks_that_differ_by_a_trailing_one():
    column, row = np.ones((4, 1)), np.ones(4)
    for x, y, expected in (
        (row, column, (4, 1)),
        (column, row, (4, 1)),
        (np.ones((4, 3, 1)), np.ones((4, 3)), (4, 3)),
    ):
        assert [tuple(z.shape) for z in squeeze_or_expand_to_same_rank(x, y)] == [expected] * 2
    squeezed = squeeze_or_expand_to_same_rank(row, column, expand_rank_1=False)
    assert [tuple(z.shape) for z in squeezed] == [(4,), (4,)]
    assert squeeze_or_expand_to_same_rank(row, np.ones((4, 3)))[0] is row


# --- weights and masks -----------------------------------------------------------------------------


def test_one_weight_per_sample_weighs_all_its_values():
    """NumPy's rule would line (2,) up with the last axis; Keras does so, silently if the extents agree."""
    y_true, y_pred = np.zeros((2, 2, 1)), np.array([[[1.0], [1.0]], [[2.0], [3.0]]])
    loss = losses.MeanSquaredError(reduction="none")
    np.testing.assert_array_equal(loss(y_true, y_pred, [1.0, 10.0]), [[1.0, 1.0], [40.0, 90.0]])


def test_what_is_masked_may_be_nan():
    y_pred = set_mask(ops.convert_to_tensor([[1.0], [np.nan]]), np.array([True, False]))
    assert float(losses.MeanSquaredError()([[3.0], [0.0]], y_pred)) == 4.0
    assert losses.MeanSquaredError(reduction=None)([[3.0], [0.0]], y_pred).tolist() == [4.0, 0.0]


def test_a_mean_over_nothing_is_zero():
    nothing = np.zeros((0, 3), np.float32)
    assert float(losses.MeanSquaredError()(nothing, nothing)) == 0.0
    y_pred = set_mask(ops.convert_to_tensor([[1.0]]), np.array([False]))
    assert float(losses.MeanSquaredError()([[3.0]], y_pred)) == 0.0


@pytest.mark.parametrize("weight", [np.ones(3), np.ones((2, 2)), np.ones((2, 3, 1, 1))])
def test_weights_that_do_not_fit(weight):
    with pytest.raises(ShapeError, match="sample_weight"):
        losses.MeanSquaredError()(np.ones((2, 3, 4)), np.ones((2, 3, 4)), weight)


# --- targets that cannot be meant ------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        *("mean_squared_error", "mean_absolute_error", "mean_absolute_percentage_error", "huber", "log_cosh"),
        *("mean_squared_logarithmic_error", "cosine_similarity", "binary_crossentropy", "kl_divergence"),
        *("binary_focal_crossentropy", "categorical_crossentropy", "categorical_focal_crossentropy"),
        *("poisson", "hinge", "squared_hinge", "categorical_hinge", "dice", "tversky"),
    ],
)
@pytest.mark.parametrize(
    ("target", "output"), [((4,), (4, 3)), ((4, 1), (4, 3)), ((3,), (3, 3)), ((4, 3), (4, 2))]
)
def test_shapes_never_broadcast(name, target, output):
    with pytest.raises(ShapeError, match=name) as caught:
        getattr(losses, name)(np.ones(target, np.float32), np.ones(output, np.float32))
    assert str(output) in str(caught.value)
    assert len(str(caught.value).splitlines()) <= 8


@pytest.mark.parametrize(
    ("target", "output"), [((4, 3), (4, 3)), ((3,), (4, 3)), ((4, 2), (4, 3)), ((4,), (4, 5, 3))]
)
def test_sparse_shapes(target, output):
    with pytest.raises(ShapeError, match="sparse_categorical_crossentropy"):
        losses.SparseCategoricalCrossentropy()(np.zeros(target, np.int32), np.ones(output, np.float32))


@pytest.mark.parametrize(
    ("labels", "message"),
    [([0, 3], "3 at \\(1,\\)"), ([-1, 0], "-1 at \\(0,\\)"), ([0.5, 1.0], "0.5"), ([np.nan, 1.0], "nan")],
)
def test_labels_that_are_no_class_numbers(labels, message):
    with pytest.raises(DataError, match=message):
        losses.SparseCategoricalCrossentropy()(np.array(labels), np.full((2, 3), 1 / 3, np.float32))


def test_ignored_labels_may_lie_outside():
    loss = losses.SparseCategoricalCrossentropy(ignore_class=255)
    y_pred = np.array([[0.5, 0.5], [0.9, 0.1]], np.float32)
    np.testing.assert_allclose(float(loss(np.array([255, 0], np.uint8), y_pred)), -np.log(0.9), rtol=1e-6)
    assert float(loss(np.array([255, 255], np.uint8), y_pred)) == 0.0


def test_classes_along_another_axis(rng):
    y_pred = rng.dirichlet(np.ones(4), (2, 3)).astype(np.float32)
    labels = rng.integers(0, 4, (2, 3))
    moved = np.moveaxis(y_pred, -1, 1)
    expected = losses.sparse_categorical_crossentropy(labels, y_pred)
    np.testing.assert_allclose(losses.sparse_categorical_crossentropy(labels, moved, axis=1), expected)
    one_hot = np.moveaxis(np.eye(4, dtype=np.float32)[labels], -1, 1)
    found = losses.categorical_crossentropy(one_hot, moved, axis=1, label_smoothing=0.1)
    smooth = np.eye(4, dtype=np.float32)[labels] * 0.9 + 0.025
    np.testing.assert_allclose(found, -(smooth * np.log(y_pred)).sum(-1), rtol=1e-5)


@pytest.mark.parametrize("name", ["categorical_crossentropy", "sparse_categorical_crossentropy"])
def test_a_single_class_is_refused(name):
    with pytest.raises(ShapeError, match="binary_crossentropy"):
        getattr(losses, name)(np.zeros((4, 1), np.float32), np.ones((4, 1), np.float32))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: losses.MeanSquaredError(reduction="average"), "sum_over_batch_size"),
        (lambda: losses.MeanSquaredError(reduction="sum_over_batch"), "did you mean 'sum_over_batch_size'"),
        (lambda: losses.CategoricalGeneralizedCrossEntropy(q=1.0), "between 0 and 1"),
        (lambda: losses.categorical_crossentropy([[1.0, 0.0]], [[0.5, 0.5]], axis=True), "whole number"),
        (lambda: losses.get("mean_squred_error"), "did you mean 'mean_squared_error'"),
        (lambda: losses.get("sparse_crossentropy"), "Unknown loss"),
        (lambda: losses.resolve_loss("categorical_crossentropi", (2,), (2, 3)), "categorical_crossentropy"),
        (lambda: losses.get(3), "Cannot make a loss"),
    ],
)
def test_arguments_that_make_no_sense(make, message):
    with pytest.raises(ArgumentError, match=message):
        make()


# --- names and configs -----------------------------------------------------------------------------


def test_every_name_of_keras_is_known(real_keras):
    from keras.src.losses import ALL_OBJECTS_DICT

    missing = {
        name
        for name, target in ALL_OBJECTS_DICT.items()
        if getattr(losses.REGISTRY.find(name), "__name__", None) != target.__name__
    }
    assert missing == {"Loss"}
    public = {name for name in dir(real_keras.losses) if not name.startswith("_")}
    assert not {name for name in public - set(dir(losses)) if losses.REGISTRY.find(name) is None}


@pytest.mark.parametrize("case", CASES, ids=[case.id for case in CASES])
def test_configurations_go_around(case):
    loss = getattr(losses, case.name)(reduction="sum", name="mine", dtype="float16", **case.arguments)
    config = json.loads(json.dumps(losses.serialize(loss)))
    assert config["class_name"] == case.name
    assert config["config"].items() >= {"reduction": "sum", "name": "mine", "dtype": "float16"}.items()
    for again in (losses.deserialize(config), losses.get(config), pickle.loads(pickle.dumps(loss))):
        assert type(again) is type(loss)
        assert json.dumps(again.get_config()) == json.dumps(loss.get_config())


def test_configurations_of_keras_are_read(real_keras):
    theirs = real_keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=3)
    ours = losses.deserialize(real_keras.losses.serialize(theirs))
    assert (ours.from_logits, ours.ignore_class, ours.name) == (True, 3, "sparse_categorical_crossentropy")


def test_wrapped_functions_go_around():
    wrapper = losses.LossFunctionWrapper(losses.huber, name="soft", delta=0.1)
    again = losses.deserialize(losses.serialize(wrapper))
    assert (again.fn, again.name, again.delta) == (losses.huber, "soft", 0.1)
    again.delta = 2.0
    assert float(again([[0.0]], [[2.0]])) == 2.0

    def my_loss(y_true, y_pred):
        return ops.mean(y_true - y_pred, axis=-1)

    config = losses.serialize(losses.LossFunctionWrapper(my_loss))
    with custom_object_scope({"my_loss": my_loss}):
        assert losses.deserialize(config).fn is my_loss
    with pytest.raises(ArgumentError, match="my_loss"):
        losses.deserialize(config)


@pytest.mark.parametrize(
    ("identifier", "target", "output", "expected"),
    [
        ("mse", (8, 3), (8, 3), "MeanSquaredError"),
        ("MeanSquaredError", (8, 3), (8, 3), "MeanSquaredError"),
        (losses.sparse_categorical_crossentropy, (8,), (8, 3), "SparseCategoricalCrossentropy"),
        (losses.Huber, (8, 3), (8, 3), "Huber"),
        ("crossentropy", (8,), (8, 1), "BinaryCrossentropy"),
        ("crossentropy", (8, 5), (8, 5, 3), "SparseCategoricalCrossentropy"),
        ("CE", (8, 1), (8, 3), "SparseCategoricalCrossentropy"),
        ("ce", (8, 3), (8, 3), "CategoricalCrossentropy"),
        (lambda y_true, y_pred: y_pred, (8,), (8,), "LossFunctionWrapper"),
    ],
)
def test_what_compile_is_given_becomes_a_loss(identifier, target, output, expected):
    loss = losses.resolve_loss(identifier, target, output)
    assert type(loss).__name__ == expected
    if isinstance(identifier, str) and identifier != "MeanSquaredError":
        assert loss.name == identifier


def test_a_loss_stays_itself_and_none_stays_none():
    loss = losses.Huber()
    assert losses.resolve_loss(loss, (1,), (1,)) is loss
    assert losses.resolve_loss(None, (1,), (1,)) is None
