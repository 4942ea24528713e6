"""Every metric against Keras, batch after batch, with and without weights; reset; the same compiled."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from metric_cases import CASES, Case, make_batch

from lamina import metrics
from lamina.interp import run_graph
from lamina.ir import Graph, Trace
from lamina.ir.bind import as_value

EACH = pytest.mark.parametrize("case", CASES, ids=[case.id for case in CASES])
ROWS = (7, 7, 4)


def make(case: Case) -> Any:
    return getattr(metrics, case.name)(**case.arguments)


@EACH
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.filterwarnings("ignore:Explicitly requested dtype int64:UserWarning")  # Keras' own IoU
def test_stream_of_batches(real_keras, rng, case, weighted):
    ours, theirs = make(case), getattr(real_keras.metrics, case.name)(**case.arguments)
    for rows in ROWS:
        batch = make_batch(case.data, rng, rows)
        weights = rng.uniform(0, 2, rows).astype(np.float32) if weighted and case.weights else None
        ours.update_state(*batch, sample_weight=weights)
        theirs.update_state(*batch, sample_weight=weights)
    found, expected = ours.result(), np.asarray(theirs.result())
    assert found.dtype == np.float32
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=2e-5, atol=2e-6)
    assert ours.name.rstrip("_0123456789") == theirs.name.rstrip("_0123456789")
    assert [v.name for v in ours.variables] == [v.name for v in theirs.variables]
    assert [v.shape for v in ours.variables] == [tuple(v.shape) for v in theirs.variables]


@EACH
def test_reset_and_configuration(rng, case):
    metric = make(case)
    batch = make_batch(case.data, rng, 5)
    first = np.asarray(metric(*batch))
    metric.update_state(*make_batch(case.data, rng, 3))
    metric.reset_state()
    assert all((variable.numpy() == 0).all() for variable in metric.variables)
    np.testing.assert_array_equal(metric(*batch), first)
    again = metrics.deserialize(metrics.serialize(metric))
    assert type(again) is type(metric)
    assert again.get_config() == metric.get_config()
    np.testing.assert_array_equal(again(*batch), first)


@EACH
def test_traced_equals_eager(rng, case):
    """Two updates and a result in one program, from state that is not zero."""
    eager, traced = make(case), make(case)
    start, batch = make_batch(case.data, rng, 5), make_batch(case.data, rng, 6)
    weights = (rng.uniform(0, 2, 6).astype(np.float32),) if case.weights else ()
    for metric in (eager, traced):
        metric.update_state(*start)
    arrays = [*batch, *weights]
    with Trace() as trace:
        tensors = [trace.input(f"x{i}", array.shape, array.dtype.name) for i, array in enumerate(arrays)]
        traced.update_state(*tensors)
        traced.update_state(*tensors)
        result = as_value(traced.result())
    states = [state.array.copy() for state in trace.states]
    graph = Graph(
        tuple(trace.state_inputs + trace.inputs), (result, *(value for _, value in trace.updates()))
    )
    found = run_graph(graph, [*states, *arrays])
    eager.update_state(*batch, *weights)
    eager.update_state(*batch, *weights)
    np.testing.assert_array_equal(found[0], eager.result())
    for (position, _), new in zip(trace.updates(), found[1:]):
        place = [variable is trace.states[position] for variable in traced.variables].index(True)
        np.testing.assert_array_equal(new, eager.variables[place].numpy())


@EACH
def test_first_batch_may_be_a_trace(rng, case):
    """Metrics that learn the number of classes from the first batch make their state inside a trace."""
    metric, arrays = make(case), make_batch(case.data, rng, 5)
    with Trace() as trace:
        metric.update_state(
            *[trace.input(f"x{i}", array.shape, array.dtype.name) for i, array in enumerate(arrays)]
        )
    assert {id(state) for state in trace.states} == {id(variable) for variable in metric.variables}
    assert all((variable.numpy() == 0).all() for variable in metric.variables)


@EACH
def test_stateless(rng, case):
    metric, batch = make(case), make_batch(case.data, rng, 5)
    metric.update_state(*batch)
    before = [variable.numpy() for variable in metric.variables]
    after = metric.stateless_update_state(before, *batch)
    result = metric.stateless_result(after)
    zeros = metric.stateless_reset_state()
    for variable, old in zip(metric.variables, before):
        np.testing.assert_array_equal(variable.numpy(), old)
    metric.update_state(*batch)
    np.testing.assert_array_equal(result, metric.result())
    for variable, new, zero in zip(metric.variables, after, zeros):
        np.testing.assert_array_equal(new, variable.numpy())
        assert not zero.any()
