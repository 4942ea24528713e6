"""Every loss against Keras: values under all reductions, weights, masks and dtypes; gradients."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from loss_cases import CASES, CLASSES, ROWS, Case, make_data

from lamina import losses
from lamina.grad.reverse import gradients
from lamina.interp import run_graph
from lamina.ir import Graph, Trace

EACH = pytest.mark.parametrize("case", CASES, ids=[case.id for case in CASES])
REDUCTIONS = ["sum_over_batch_size", "mean", "sum", "mean_with_sample_weight", "none", None]


def both(keras: Any, case: Case, **options: Any) -> tuple[Any, Any]:
    """The loss of Lamina and that of Keras."""
    arguments = {**case.arguments, **options}
    return getattr(losses, case.name)(**arguments), getattr(keras.losses, case.name)(**arguments)


def assert_close(ours: Any, theirs: Any, rtol: float = 2e-5) -> None:
    theirs = np.asarray(theirs)
    assert ours.shape == theirs.shape
    np.testing.assert_allclose(np.asarray(ours), theirs, rtol=rtol, atol=rtol / 10)


@EACH
def test_values_under_every_reduction_and_weight(real_keras, rng, case):
    y_true, y_pred = make_data(case.data, rng)
    values = np.asarray(both(real_keras, case, reduction="none")[1](y_true, y_pred))
    weights = [None, 0.5]
    if values.shape and values.shape[0] == ROWS:
        per_sample = rng.uniform(0, 2, ROWS).astype(np.float32)
        weights += [per_sample, per_sample[:, None], np.zeros(ROWS, np.float32)]
    for reduction in ("sum_over_batch_size", "sum", "mean_with_sample_weight", "none"):
        ours, theirs = both(real_keras, case, reduction=reduction)
        for weight in weights:
            shown_to_keras = weight
            if weight is not None and values.ndim == 2:
                # Keras refuses one weight per sample where a sample has several values: (n,) against (n, k).
                shown_to_keras = np.broadcast_to(np.reshape(weight, (-1, 1)), values.shape)
            elif reduction == "mean_with_sample_weight" and np.ndim(weight) == 0 and weight is not None:
                # Keras divides by the number itself, not by the sum of what it stands for.
                shown_to_keras = np.full(values.shape, weight) if values.ndim else None
            expected = np.asarray(theirs(y_true, y_pred, shown_to_keras))
            if expected.shape == (ROWS, 1) and values.shape == (ROWS,):
                expected = expected[:, 0]  # Weights (n, 1) lend unreduced values their shape in Keras.
            assert_close(ours(y_true, y_pred, weight), expected)


def test_weights_of_one_change_nothing(rng):
    """Under `mean_with_sample_weight` Keras divides by the sum of the weights as they are given, not as they
    are spread: with one weight per sample and k values each, its mean is k times too large."""
    values = rng.normal(size=(4, 3)).astype(np.float32)
    for weights in (None, 1.0, np.ones(4), np.ones((4, 1)), np.ones((4, 3))):
        found = losses.base.reduce_weighted_values(values, weights, reduction="mean_with_sample_weight")
        np.testing.assert_allclose(found, values.mean(), rtol=1e-6)


@EACH
@pytest.mark.parametrize(
    ("dtype", "rtol"), [("float64", 2e-5), ("bfloat16", 0.1), ("float16", 0.01)], ids=lambda value: str(value)
)
def test_dtypes(real_keras, rng, case, dtype, rtol):
    """Against Keras in float32: JAX has no float64 here, and in half precision it rounds at every step."""
    if case.name == "Circle" and dtype != "float64":
        case = Case("Circle", "embeddings", {"gamma": 2.0})
    y_true, y_pred = make_data(case.data, rng)
    ours = both(real_keras, case, dtype=dtype)[0]
    result = ours(y_true, y_pred)
    assert ours.dtype == dtype
    assert result.dtype.name == dtype
    expected = np.asarray(both(real_keras, case)[1](y_true, y_pred), np.float64)
    np.testing.assert_allclose(np.asarray(result, np.float64), expected, rtol=rtol, atol=rtol)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("weighted", [False, True])
def test_masks(real_keras, rng, reduction, weighted):
    """One mask entry per time step, with everything, something and nothing kept."""
    from keras.src.backend import set_keras_mask

    y_true = rng.integers(0, CLASSES, (ROWS, 3)).astype(np.int32)
    probabilities = rng.dirichlet(np.ones(CLASSES), (ROWS, 3)).astype(np.float32)
    weight = rng.uniform(0, 2, (ROWS, 3)).astype(np.float32) if weighted else None
    for mask in (rng.random((ROWS, 3)) > 0.4, np.ones((ROWS, 3), bool), np.zeros((ROWS, 3), bool)):
        ours, theirs = both(real_keras, Case("SparseCategoricalCrossentropy", ""), reduction=reduction)
        y_pred = losses.base.ops.convert_to_tensor(probabilities)
        losses.base.set_mask(y_pred, mask)
        keras_pred = real_keras.ops.convert_to_tensor(probabilities)
        set_keras_mask(keras_pred, real_keras.ops.convert_to_tensor(mask))
        assert_close(ours(y_true, y_pred, weight), theirs(y_true, keras_pred, weight))


@EACH
def test_traced_equals_eager(rng, case):
    """A traced softmax or sigmoid is not in front here, so the same formulas are used."""
    y_true, y_pred = make_data(case.data, rng)
    weight = rng.uniform(0, 2, ROWS).astype(np.float32)
    for reduction in ("sum_over_batch_size", "mean_with_sample_weight", "none"):
        loss = getattr(losses, case.name)(reduction=reduction, **case.arguments)
        per_sample = getattr(losses, case.name)(reduction="none", **case.arguments)(y_true, y_pred)
        weights = (weight,) if per_sample.shape[:1] == (ROWS,) else ()
        arrays = [y_true, y_pred, *weights]
        with Trace() as trace:
            tensors = [trace.input(f"x{i}", array.shape, array.dtype.name) for i, array in enumerate(arrays)]
            result = loss(*tensors)
        (found,) = run_graph(Graph(tuple(trace.inputs), (result.value,)), arrays)
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, np.asarray(loss(*arrays)))


@EACH
def test_gradients(real_keras, rng, case):
    import jax

    y_true, y_pred = make_data(case.data, rng)
    ours, theirs = both(real_keras, case)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = jax.grad(lambda x: theirs(y_true, x))(y_pred)
    (found,) = run_graph(*value_and_gradient(ours, y_true, y_pred)[1:])
    np.testing.assert_allclose(found, np.asarray(expected), rtol=2e-4, atol=2e-6)


def value_and_gradient(loss: Any, y_true: Any, y_pred: Any) -> tuple[Graph, Graph, list[Any]]:
    """(the graph of the loss, the graph of its gradient, the arrays to run either)."""
    with Trace() as trace:
        tensors = [
            trace.input(name, array.shape, array.dtype.name)
            for name, array in (("y_true", y_true), ("y_pred", y_pred))
        ]
        value = loss(*tensors).value
        (gradient,) = gradients(value, [tensors[1].value])
    inputs = tuple(trace.inputs)
    return Graph(inputs, (value,)), Graph(inputs, (gradient,)), [y_true, y_pred]


EXTREME = [case for case in CASES if case.data.split("_")[-1] == "logits" or case.data in ("real", "signs")]
EXTREME += [case for case in CASES if case.data in ("binary", "one_hot", "labels", "distributions")]


@pytest.mark.parametrize("case", EXTREME, ids=[case.id for case in EXTREME])
def test_values_and_gradients_are_finite_at_extreme_predictions(rng, case):
    """Zeros (where untrained networks start), saturated probabilities, logits of a thousand."""
    y_true, y_pred = make_data(case.data, rng)
    loss = getattr(losses, case.name)(**case.arguments)
    probabilities = case.data in ("binary", "one_hot", "labels", "distributions")
    extremes = [np.zeros_like(y_pred)]
    if probabilities:
        sure = np.zeros_like(y_pred)
        sure[:, 0] = 1
        extremes = [sure, 1 - sure if case.data == "binary" else sure[:, ::-1].copy()]
    else:
        extremes += [1000 * np.sign(y_pred), -1000 * np.sign(y_pred)]
    for extreme in extremes:
        value_graph, gradient_graph, _ = value_and_gradient(loss, y_true, extreme)
        assert np.isfinite(run_graph(value_graph, [y_true, extreme])[0])
        assert np.isfinite(run_graph(gradient_graph, [y_true, extreme])[0]).all()
