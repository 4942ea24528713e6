"""What a metric promises beyond its number: subclasses, masks, weights, long runs, errors, names."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

from lamina import losses, metrics, ops
from lamina.core.errors import ArgumentError, ShapeError, StateError
from lamina.core.naming import reset_names
from lamina.ir import Trace
from lamina.layers.masks import with_mask
from lamina.losses.base import set_mask

# --- subclasses as they are written for Keras ------------------------------------------------------


class BinaryTruePositives(metrics.Metric):
    """The example of Keras' documentation."""

    def __init__(self, name="binary_true_positives", **kwargs):
        super().__init__(name=name, **kwargs)
        self.true_positives = self.add_weight(shape=(), initializer="zeros", name="true_positives")

    def update_state(self, y_true, y_pred, sample_weight=None):
        y_true = ops.cast(y_true, "bool")
        y_pred = ops.cast(y_pred, "bool")
        values = ops.logical_and(ops.equal(y_true, True), ops.equal(y_pred, True))
        values = ops.cast(values, self.dtype)
        if sample_weight is not None:
            values = values * ops.cast(sample_weight, self.dtype)
        self.true_positives.assign(self.true_positives + ops.sum(values))

    def result(self):
        return self.true_positives


class Several(metrics.Metric):
    """Holds other metrics, also in a list, and results in a dict."""

    def __init__(self):
        super().__init__(name="several")
        self.mean = metrics.Mean()
        self.others = [metrics.Sum(), metrics.Mean(name="other")]
        self.calls = self.add_weight("calls")

    def update_state(self, values):
        for metric in (self.mean, *self.others):
            metric.update_state(values)
        self.calls.assign_add(1)

    def result(self):
        return {"mean": self.mean.result(), "sum": self.others[0].result(), "calls": self.calls}


def test_a_subclass_with_its_own_weight():
    metric = BinaryTruePositives()
    result = metric([0, 1, 1, 1], [0, 1, 0, 1])
    assert result is metric.true_positives
    assert float(result) == 2.0
    assert metric.true_positives.dtype == "float32"
    assert metric.true_positives.path == "binary_true_positives/true_positives"
    assert not metric.true_positives.trainable
    assert [float(state) for state in metric.stateless_update_state([10.0], [1], [1], [3.0])] == [13.0]
    assert float(metric.stateless_result([5.0])) == 5.0
    metric.reset_state()
    assert float(metric.result()) == 0.0


def test_a_metric_owns_the_metrics_it_holds():
    metric = Several()
    metric.update_state([1.0, 3.0])
    assert {key: float(value) for key, value in metric.result().items()} == {"mean": 2, "sum": 4, "calls": 1}
    assert [variable.name for variable in metric.variables] == [
        *("calls", "total", "count", "total", "total", "count")
    ]
    metric.reset_state()
    assert not any(variable.numpy().any() for variable in metric.variables)


def test_attributes_before_init_and_forgotten_init():
    class Early(metrics.Mean):
        def __init__(self):
            self.note = "set early"
            super().__init__(name="early")

    class Forgetful(metrics.Metric):
        def __init__(self):
            self.total = self.add_weight(name="total")

    assert float(Early()([1.0, 2.0])) == 1.5
    with pytest.raises(StateError, match="super"):
        Forgetful()


def test_metrics_can_be_copied_and_pickled():
    metric = metrics.AUC(num_thresholds=5)
    metric.update_state([0, 1, 1], [0.2, 0.7, 0.1])
    for twin in (copy.deepcopy(metric), pickle.loads(pickle.dumps(metric))):
        assert float(twin.result()) == float(metric.result())
        twin.reset_state()
        assert twin.true_positives.numpy().sum() == 0
    assert metric.true_positives.numpy().sum() > 0


def test_names_count_up():
    reset_names()
    assert [metrics.AUC().name, metrics.AUC().name, metrics.Precision().name] == ["auc", "auc_1", "precision"]


# --- long runs -------------------------------------------------------------------------------------


def test_counts_and_sums_grow_beyond_what_float32_can_count():
    """Keras' float32 count stays at 16,777,216 whatever comes after."""
    mean = metrics.Mean()
    mean.total.assign(2.0**24)
    mean.count.assign(2.0**24)
    for _ in range(4):
        mean.update_state([1.0])
    assert mean.count.numpy() == 2**24 + 4
    assert mean.result().dtype == np.float32
    precision = metrics.Precision()
    precision.true_positives.assign([2.0**24])
    precision.update_state([1], [1.0])
    assert precision.true_positives.numpy() == 2**24 + 1
    auc = metrics.AUC(num_thresholds=3)
    auc.true_negatives.assign(np.full(3, 2.0**24))
    auc.update_state([0], [0.0])
    np.testing.assert_array_equal(auc.true_negatives.numpy() - 2**24, [0, 1, 1])


def test_r2_score_of_targets_far_from_zero(rng):
    y = (1e4 + rng.normal(size=(500, 1))).astype(np.float32)
    predictions = (y + rng.normal(size=(500, 1))).astype(np.float32)
    metric = metrics.R2Score()
    metric.update_state(y, predictions)
    wide, wide_predictions = y.astype(np.float64), predictions.astype(np.float64)
    expected = 1 - ((wide - wide_predictions) ** 2).sum() / ((wide - wide.mean()) ** 2).sum()
    np.testing.assert_allclose(float(metric.result()), expected, rtol=1e-4)


def test_half_precision_metrics_sum_in_full_precision():
    metric = metrics.Mean(dtype="float16")
    metric.update_state(np.full(100_000, 3.0, np.float16))
    assert metric.result().dtype == np.float16
    assert float(metric.result()) == 3.0


# --- weights and masks -----------------------------------------------------------------------------


def test_mean_weighs_samples_and_values(rng):
    values = rng.normal(size=(4, 3)).astype(np.float32)
    for weights, expected in (
        (np.array([1.0, 0.0, 2.0, 1.0]), np.average(values.mean(1), weights=[1, 0, 2, 1])),
        (values**2, np.average(values, weights=values**2)),
        (np.array([[0.5], [1.0], [1.0], [0.0]]), np.average(values.mean(1), weights=[0.5, 1, 1, 0])),
        (np.float32(0.3), values.mean()),
        (np.zeros(4), 0.0),
    ):
        metric = metrics.Mean()
        metric.update_state(values, sample_weight=weights)
        np.testing.assert_allclose(float(metric.result()), expected, rtol=1e-5, atol=1e-6)
    assert float(metrics.Mean()(5.0)) == 5.0
    tracker = metrics.Mean()
    tracker.update_state(1.0, sample_weight=30)
    tracker.update_state(4.0, sample_weight=10)
    assert float(tracker.result()) == 1.75


def masked(array, mask):
    return set_mask(ops.convert_to_tensor(array), np.asarray(mask))


@pytest.mark.parametrize(
    ("metric", "y_true", "y_pred"),
    [
        (metrics.MeanSquaredError, [[1.0], [2.0], [9.0]], [[1.5], [2.5], [np.nan]]),
        (metrics.RootMeanSquaredError, [[1.0], [2.0], [9.0]], [[1.5], [2.5], [np.nan]]),
        (metrics.Accuracy, [1, 2, 3], [1, 0, 3]),
        (metrics.Precision, [1, 0, 1], [0.9, 0.9, 0.8]),
        (metrics.AUC, [1, 0, 1], [0.9, 0.4, 0.1]),
        (lambda: metrics.AUC(from_logits=True), [1, 0, 1], [0.9, 0.4, -3.1]),
        (lambda: metrics.MeanIoU(4), [1, 2, 3], [1, 0, 3]),
        (metrics.F1Score, [[1.0, 0], [0, 1], [0, 1]], [[0.9, 0.1], [0.7, 0.3], [0.2, 0.8]]),
        (metrics.R2Score, [[1.0], [2.0], [9.0]], [[1.5], [2.5], [4.0]]),
        (lambda: metrics.TopKCategoricalAccuracy(k=1), [[1, 0], [0, 1], [0, 1]], [[1.0, 0], [1, 0], [0, 1]]),
    ],
)
@pytest.mark.parametrize("carry", [masked, with_mask], ids=["array", "output of a masking layer"])
def test_masked_samples_do_not_count(metric, y_true, y_pred, carry):
    y_true, y_pred = np.asarray(y_true, np.float32), np.asarray(y_pred, np.float32)
    some, without = metric(), metric()
    some.update_state(y_true, carry(y_pred, np.array([True, True, False])))
    without.update_state(y_true[:2], y_pred[:2])
    np.testing.assert_allclose(some.result(), without.result(), rtol=1e-6)


def test_ignored_classes_do_not_count():
    y_pred = np.array([[0.5, 0.5], [0.9, 0.1]], np.float32)
    metric = metrics.SparseCategoricalCrossentropy(ignore_class=1)
    metric.update_state([1, 0], y_pred)
    np.testing.assert_allclose(float(metric.result()), -np.log(0.9), rtol=1e-6)
    loss = losses.SparseCategoricalCrossentropy(ignore_class=1)
    assert float(loss(np.array([1, 0]), y_pred)) == float(metric.result())


# --- classification --------------------------------------------------------------------------------


def test_large_class_numbers_are_not_rounded():
    """In float32, 16,777,217 is 16,777,216."""
    metric = metrics.Accuracy()
    metric.update_state(np.array([16_777_217]), np.array([16_777_216]))
    assert float(metric.result()) == 0.0


def test_top_k_of_nan_ties_and_labels_out_of_range():
    scores = np.array([[np.nan, 1.0, 0.0], [2.0, 2.0, 1.0], [0.0, 1.0, 2.0], [0.0, 1.0, 2.0]], np.float32)
    found = metrics.sparse_top_k_categorical_accuracy(np.array([0, 1, 7, -1]), scores, k=1)
    assert found.tolist() == [0.0, 1.0, 0.0, 0.0]


def test_auc_is_the_share_of_pairs_in_the_right_order(rng):
    """Exactly, when every prediction lies between two thresholds of its own (Mann and Whitney, 1947)."""
    y_true = rng.integers(0, 2, 400)
    y_pred = (np.floor((0.3 * y_true + 0.7 * rng.random(400)) * 50) + 0.5) / 50
    metric = metrics.AUC(num_thresholds=51)
    for part in np.split(np.arange(400), 4):
        metric.update_state(y_true[part], y_pred[part])
    above = y_pred[y_true == 1][:, None] - y_pred[y_true == 0]
    share = np.mean((above > 1e-9) + 0.5 * (np.abs(above) <= 1e-9))
    np.testing.assert_allclose(float(metric.result()), share, atol=1e-6)


def test_evenly_spaced_thresholds_cost_one_pass():
    """No tensor has an entry per prediction and threshold."""
    with Trace() as trace:
        y_true, y_pred = trace.input("y", (64,), "float32"), trace.input("p", (64,), "float32")
        metrics.AUC(num_thresholds=200).update_state(y_true, y_pred)
        metrics.SensitivityAtSpecificity(0.5).update_state(y_true, y_pred)
    from lamina.ir.graph import topological

    sizes = [
        value.size for node in topological([value for _, value in trace.updates()]) for value in node.outputs
    ]
    assert max(sizes) <= 400


# --- errors ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: metrics.get("acuracy"), "did you mean 'accuracy'"),
        (
            lambda: metrics.resolve_metric("mean_squred_error", (1,), (1,)),
            "did you mean 'mean_squared_error'",
        ),
        (lambda: metrics.AUC(curve="ROK"), "did you mean 'ROC'"),
        (lambda: metrics.AUC(summation_method="interpolate"), "did you mean 'interpolation'"),
        (lambda: metrics.AUC(num_thresholds=1), "at least 2"),
        (lambda: metrics.AUC(num_labels=3), "multi_label"),
        (lambda: metrics.AUC(thresholds=[0.5, 1.5]), "1.5"),
        (lambda: metrics.Precision(thresholds=-0.1), "-0.1"),
        (lambda: metrics.Recall(thresholds=[]), "none at all"),
        (lambda: metrics.SensitivityAtSpecificity(1.2), "specificity must be from 0 to 1"),
        (lambda: metrics.PrecisionAtRecall(0.5, num_thresholds=0), "num_thresholds"),
        (lambda: metrics.FBetaScore(beta=0.0), "beta"),
        (lambda: metrics.F1Score(average="mean"), "micro"),
        (lambda: metrics.F1Score(threshold=0.0), "threshold"),
        (lambda: metrics.R2Score(class_aggregation="mean"), "uniform_average"),
        (lambda: metrics.R2Score(num_regressors=-1), "negative"),
        (lambda: metrics.IoU(3, [3]), r"\[3\]"),
        (lambda: metrics.Mean().stateless_update_state([0.0], [1.0]), "2 tensors"),
    ],
)
def test_arguments_that_make_no_sense(make, message):
    with pytest.raises(ArgumentError, match=message):
        make()


@pytest.mark.parametrize(
    ("metric", "target", "output"),
    [
        (metrics.MeanSquaredError, (4,), (4, 3)),
        (metrics.MeanSquaredError, (4, 1), (4, 3)),
        (metrics.RootMeanSquaredError, (4, 1), (4, 3)),
        (metrics.Accuracy, (4,), (3,)),
        (metrics.BinaryAccuracy, (4, 1), (4, 3)),
        (metrics.CategoricalAccuracy, (4,), (4, 3)),
        (metrics.SparseCategoricalAccuracy, (4, 3), (4, 3)),
        (metrics.TopKCategoricalAccuracy, (4,), (4, 3)),
        (metrics.SparseTopKCategoricalAccuracy, (4, 3), (4, 3)),
        (metrics.Precision, (4,), (4, 3)),
        (metrics.AUC, (4,), (4, 3)),
        (lambda: metrics.AUC(multi_label=True), (4,), (4,)),
        (lambda: metrics.Precision(class_id=3), (4, 3), (4, 3)),
        (metrics.F1Score, (4,), (4,)),
        (metrics.R2Score, (4,), (4,)),
        (lambda: metrics.MeanIoU(3), (4,), (4, 3)),
    ],
)
def test_shapes_that_do_not_fit(metric, target, output):
    with pytest.raises(ShapeError):
        metric().update_state(np.ones(target, np.float32), np.ones(output, np.float32))


def test_weights_that_do_not_fit():
    for metric, values in (
        (metrics.Mean(), [np.ones((4, 3), np.float32)]),
        (metrics.AUC(), [np.ones(4), np.ones(4)]),
    ):
        with pytest.raises(ShapeError, match="sample_weight"):
            metric.update_state(*values, sample_weight=np.ones(3))


@pytest.mark.parametrize("metric", [metrics.F1Score(), metrics.R2Score()])
def test_results_before_any_batch(metric):
    with pytest.raises(StateError, match="update_state"):
        metric.result()


# --- names -----------------------------------------------------------------------------------------


def test_every_name_of_keras_is_known(real_keras):
    from keras.src.metrics import ALL_OBJECTS_DICT

    missing = {
        name
        for name, target in ALL_OBJECTS_DICT.items()
        if getattr(metrics.REGISTRY.find(name), "__name__", None) != target.__name__ and name != "Metric"
    }
    assert missing == {"metric"}
    public = {name for name in dir(real_keras.metrics) if not name.startswith("_")}
    # Keras' older spellings are found by `get`, without being attributes.
    assert {name for name in public - set(dir(metrics)) if metrics.REGISTRY.find(name) is None} <= {
        *("KLD", "kld", "kullback_leibler_divergence", "logcosh")
    }


@pytest.mark.parametrize(
    ("identifier", "target", "output", "expected"),
    [
        ("accuracy", (8,), (8, 1), "BinaryAccuracy"),
        ("acc", (8, 1), (8, 1), "BinaryAccuracy"),
        ("accuracy", (8,), (8,), "BinaryAccuracy"),
        ("accuracy", (8,), (8, 3), "SparseCategoricalAccuracy"),
        ("Accuracy", (8, 1), (8, 3), "SparseCategoricalAccuracy"),
        ("accuracy", (8, 5), (8, 5, 3), "SparseCategoricalAccuracy"),
        ("accuracy", (8, 3), (8, 3), "CategoricalAccuracy"),
        ("crossentropy", (8, 1), (8, 1), "BinaryCrossentropy"),
        ("ce", (8,), (8, 3), "SparseCategoricalCrossentropy"),
        ("crossentropy", (8, 3), (8, 3), "CategoricalCrossentropy"),
        ("mae", (8, 1), (8, 1), "MeanAbsoluteError"),
        ("AUC", (8, 1), (8, 1), "AUC"),
        ("huber", (8, 1), (8, 1), "MeanMetricWrapper"),
    ],
)
def test_names_become_metrics_that_fit_the_shapes(identifier, target, output, expected):
    metric = metrics.resolve_metric(identifier, target, output)
    assert type(metric).__name__ == expected
    assert metric.name == identifier


def test_functions_and_losses_become_metrics(rng):
    def largest_error(y_true, y_pred):
        return ops.max(ops.absolute(y_true - y_pred), axis=-1)

    y_true, y_pred = rng.normal(size=(2, 5, 3)).astype(np.float32)
    metric = metrics.resolve_metric(largest_error, (5, 3), (5, 3))
    assert metric.name == "largest_error"
    np.testing.assert_allclose(metric(y_true, y_pred), np.abs(y_true - y_pred).max(-1).mean(), rtol=1e-6)
    metric = metrics.resolve_metric(losses.MeanSquaredError(), (5, 3), (5, 3))
    np.testing.assert_allclose(metric(y_true, y_pred), ((y_true - y_pred) ** 2).mean(), rtol=1e-6)
    own = metrics.AUC(name="mine")
    assert metrics.resolve_metric(own, (5, 1), (5, 1)) is own
    assert own.name == "mine"


def test_wrapped_functions_survive_a_config():
    metric = metrics.MeanMetricWrapper(metrics.binary_accuracy, name="sharp", threshold=0.9)
    again = metrics.deserialize(metrics.serialize(metric))
    assert again.fn is metrics.binary_accuracy
    assert (again.name, again.threshold) == ("sharp", 0.9)
