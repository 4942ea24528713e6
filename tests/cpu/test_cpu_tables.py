"""Gradients of tables: rows without a gradient are not stored, and everything else is as if they were."""

import numpy as np
import pytest

import lamina
from lamina import layers, optimizers
from lamina.backends.base import Program
from lamina.backends.cpu import CpuBackend, tables
from lamina.backends.cpu.decompose import decompose
from lamina.backends.cpu.plan import make_plan
from lamina.backends.cpu.touched import only_touched_rows, put_rows
from lamina.backends.reference import ReferenceBackend
from lamina.core.errors import LaminaError
from lamina.ir import primitives as p
from lamina.ir.bind import full
from lamina.ir.graph import TensorType
from lamina.ir.trace import new_input

ROWS, WIDTH = 5000, 24


def summed_into_zeros(shape, ids_shape, dtype="float32", ids_dtype="int32"):
    """A program that adds rows to a table of zeros."""
    ids = new_input("ids", TensorType(ids_shape, ids_dtype))
    updates = new_input("updates", TensorType((*ids_shape, *shape[1:]), dtype))
    result = p.scatter_add(full(shape, 0, dtype), ids, updates, axis=0)
    return Program("sum", (), (ids, updates), (p.negative(result),))


@pytest.mark.parametrize("ids_dtype", ["int32", "int64", "uint8", "int8"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float64"])
def test_sums_of_rows_are_those_of_the_whole_table(dtype, ids_dtype, rng, monkeypatch):
    """Ids that are equal, beyond the table, and negative."""
    program = summed_into_zeros((100, 3, 7), (4, 5), dtype, ids_dtype)
    low, high = (0, 130) if ids_dtype == "uint8" else (-20, 120)
    ids = rng.integers(low, high, (4, 5)).astype(ids_dtype)
    ids[0, :3] = 11
    updates = np.asarray(lamina.ops.cast(rng.normal(size=(4, 5, 3, 7)), dtype))
    results = []
    for large in (0, 1 << 40):
        monkeypatch.setattr(tables, "LARGE", large)
        run = CpuBackend().compile(program, f"table {dtype} {ids_dtype} {large}").run
        results.append(np.asarray(run((), (ids, updates))[0][0]).astype("float64"))
    np.testing.assert_array_equal(*results)
    if dtype != "bfloat16":
        expected = ReferenceBackend().compile(program, "table").run((), (ids, updates))[0][0]
        np.testing.assert_allclose(results[0], expected, rtol=1e-6, atol=1e-7)


def test_the_zeros_are_not_stored():
    program = summed_into_zeros((100_000, 64), (32,))
    table = new_input("table", TensorType((100_000, 64), "float32"))
    program = Program("update", (table,), program.inputs, (), ((0, p.add(table, program.outputs[0])),))
    plan = make_plan(program.with_results(decompose(program.graph.outputs)))
    assert plan.arena_bytes < 100_000 * 8


def gradient_descent(rest=lambda table, step: p.subtract(table, step)):
    """A program that updates a table with the sum of a few rows."""
    sums = summed_into_zeros((100_000, 64), (32,))
    (summed,) = sums.outputs[0].node.inputs
    table = new_input("table", TensorType((100_000, 64), "float32"))
    step = p.multiply(summed, full(table.shape, 0.1, "float32"))
    return Program("descent", (table,), sums.inputs, (), ((0, rest(table, step)),))


def planned(program):
    return make_plan(only_touched_rows(program.with_results(decompose(program.graph.outputs))))


def test_gradient_descent_goes_to_the_rows_with_a_gradient_only():
    plan = planned(gradient_descent())
    (((put,),)) = plan.commits
    assert put.head.primitive is put_rows
    assert plan.targets[put.head.outputs[0]] == [plan.program.states[0]]
    assert all(np.prod(group.domain) < 100_000 * 64 for group in plan.fusion.groups if group is not put)


@pytest.mark.parametrize(
    "rest",
    [
        lambda table, step: p.subtract(p.multiply(table, full(table.shape, 0.9, "float32")), step),
        lambda table, step: p.subtract(table, p.exp(step)),
        lambda table, step: p.subtract(table, p.divide(step, step)),
        lambda table, step: step,
        lambda table, step: p.subtract(step, table),
    ],
)
def test_updates_that_move_other_rows_are_sweeps(rest):
    plan = planned(gradient_descent(rest))
    assert not any(group.head and group.head.primitive is put_rows for group in plan.fusion.groups)


def trained(backend, make, ids, targets, policy="float32"):
    lamina.utils.set_random_seed(2)
    model = lamina.Sequential(
        [layers.Input((ids.shape[1],)), layers.Embedding(ROWS, WIDTH, dtype=policy),
         layers.GlobalAveragePooling1D(), layers.Dense(1)]
    )  # fmt: skip
    model.compile(make(), "mse", backend=backend)
    history = model.fit(ids, targets, batch_size=16, epochs=3, shuffle=False, verbose=0).history
    return history["loss"], [*model.get_weights(), *(v.numpy() for v in model.optimizer.variables)]


OPTIMIZERS = {
    "sgd": lambda: optimizers.SGD(0.1),
    "decay": lambda: optimizers.SGD(0.1, weight_decay=0.01),
    "momentum": lambda: optimizers.SGD(0.1, momentum=0.9),
    "adam": lambda: optimizers.Adam(0.01),
    "clipped": lambda: optimizers.Adam(0.01, global_clipnorm=0.01),
    "adagrad": lambda: optimizers.Adagrad(0.1),
    "lamb": lambda: optimizers.Lamb(0.01),
    "adafactor": lambda: optimizers.Adafactor(0.01),
}


@pytest.mark.parametrize("name", list(OPTIMIZERS))
def test_embeddings_are_trained_as_by_the_reference(name, rng):
    ids = rng.integers(0, ROWS, (48, 6))
    ids[:, 0] = 7
    targets = rng.normal(size=48).astype("float32")
    found, expected = (trained(backend, OPTIMIZERS[name], ids, targets) for backend in ("cpu", "reference"))
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-5)
    for ours, theirs in zip(found[1], expected[1]):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=2e-6)


def test_rows_that_nobody_named_follow_their_momentum(rng):
    ids = np.concatenate([rng.integers(0, 50, (16, 6)), rng.integers(100, 150, (32, 6))])
    targets = rng.normal(size=48).astype("float32")
    found, expected = (
        trained(backend, OPTIMIZERS["momentum"], ids, targets) for backend in ("cpu", "reference")
    )
    np.testing.assert_allclose(found[1][0][:50], expected[1][0][:50], rtol=1e-5, atol=1e-6)


def test_a_step_with_a_bad_row_is_not_applied(rng):
    ids = rng.integers(0, ROWS, (48, 6))
    targets = rng.normal(size=48).astype("float32")
    targets[20] = 3e19  # in the second batch; its square is beyond float32
    weights = []
    for backend in ("cpu", "reference"):
        lamina.utils.set_random_seed(2)
        model = lamina.Sequential(
            [layers.Input((6,)), layers.Embedding(ROWS, WIDTH), layers.Flatten(), layers.Dense(1)]
        )
        model.compile(optimizers.SGD(0.1), "mse", backend=backend)
        before = model.layers[0].embeddings.numpy().copy()
        with pytest.raises(LaminaError):
            model.fit(ids, targets, batch_size=16, epochs=3, shuffle=False, verbose=0)
        weights.append(model.layers[0].embeddings.numpy())
        changed = np.flatnonzero((weights[-1] != before).any(axis=1))
        assert set(changed) == set(ids[:16].ravel())
    np.testing.assert_allclose(*weights, rtol=1e-5)
