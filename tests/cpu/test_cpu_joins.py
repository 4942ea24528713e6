"""Concatenations that are written by the kernel of their parts."""

import numpy as np
import pytest
from test_cpu_state import compiled, product, state

from lamina import ops
from lamina.backends.base import Program
from lamina.backends.cpu import executable
from lamina.backends.cpu.assemble import Assembler
from lamina.backends.cpu.assemble_control import _keeps_rows
from lamina.backends.cpu.decompose import decompose
from lamina.backends.cpu.plan import Copy, make_plan
from lamina.backends.cpu.target import Target
from lamina.backends.reference import ReferenceBackend
from lamina.core.config import config
from lamina.function import gradients, trace_program
from lamina.ir import TensorType
from lamina.ir import primitives as p
from lamina.layers import GRU, LSTM, RNN, Bidirectional, GRUCell, LSTMCell, SimpleRNN, StackedRNNCells
from lamina.passes import pipeline


def plan_of(program):
    return make_plan(program.with_results(decompose(program.graph.outputs)))


def primitives_of(plan):
    return [[value.primitive for value in group.values] for group in plan.fusion.groups]


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_parts_of_one_kernel_are_written_side_by_side(axis, rng):
    x, w = state((6, 5, 4), "x"), state((12 if axis == 2 else 4, 3), "w")
    parts = p.tanh(x), p.exp(x), p.tanh(x)
    joined = p.concatenate(*parts, axis=axis)
    # A part that is wanted by itself, a reader of the whole, and the whole as a result.
    after = p.dot(joined, w, contract=((2,), (0,)), batch=((), ()))
    program = Program("joined", (x, w), (), (joined, p.negative(parts[0]), after))
    plan = plan_of(program)
    assert not any(p.concatenate in each for each in primitives_of(plan))
    values = tuple(rng.standard_normal(value.shape).astype("float32") for value in (x, w))
    found = compiled(program).run(values, ())[0]
    expected = ReferenceBackend().compile(program, "").run(values, ())[0]
    for mine, theirs in zip(found, expected):
        np.testing.assert_allclose(mine, theirs, rtol=1e-5, atol=1e-6)


def test_parts_of_several_kernels_are_collected(rng):
    x, y = state((6, 5), "x"), state((6, 7), "y")
    program = Program("collected", (x, y), (), (p.concatenate(p.tanh(x), p.exp(y), axis=1),))
    assert any(p.concatenate in each for each in primitives_of(plan_of(program)))
    values = tuple(rng.standard_normal(value.shape).astype("float32") for value in (x, y))
    np.testing.assert_allclose(
        compiled(program).run(values, ())[0][0],
        np.concatenate([np.tanh(values[0]), np.exp(values[1])], axis=1),
        rtol=1e-5,
    )


def test_a_guarded_whole_is_looked_at_where_it_is_written(rng):
    x, w = state((4, 6), "x"), state((6, 6), "w")
    joined = p.concatenate(p.tanh(x), p.exp(x), axis=0)
    program = Program("guarded", (x, w), (), (product(joined, w),), ((1, p.add(w, w)),), (joined,))
    values = (np.full((4, 6), 100, "float32"), rng.standard_normal((6, 6)).astype("float32"))
    kept = values[1].copy()
    assert compiled(program).run(values, ())[1] is False
    np.testing.assert_array_equal(values[1], kept)


def training_step(layer, batch):
    """The gradients of a layer's weights, as a training step traces them; masked are the first two steps."""
    layer.build((batch, 7, 12))
    weights = layer.trainable_variables
    mask = np.broadcast_to(np.arange(7) > 1, (batch, 7))

    def step(x):
        y = layer(x, mask=mask, training=True)
        loss = p.reduce_sum(y, axes=tuple(range(y.ndim)))
        return (loss, *gradients(loss, weights))

    program = trace_program(step, [TensorType((batch, 7, 12), "float32")], name="loops").program
    return program.with_results(pipeline.run(program.graph.outputs))


LOOPS = {
    "LSTM": (lambda: LSTM(16), 2),
    "LSTM of relu": (lambda: LSTM(16, activation="relu"), 2),
    "LSTM with dropout of the state": (lambda: LSTM(16, recurrent_dropout=0.4, return_sequences=True), 2),
    "GRU": (lambda: GRU(16), 2),
    "GRU that resets before": (lambda: GRU(16, reset_after=False, go_backwards=True), 2),
    "GRU with dropout of the state": (lambda: GRU(16, recurrent_dropout=0.4), 2),
    "SimpleRNN": (lambda: SimpleRNN(16), 2),
    "both directions": (lambda: Bidirectional(GRU(16, return_sequences=True)), 4),
    "stacked": (lambda: RNN(StackedRNNCells([GRUCell(16), LSTMCell(8)])), 2),
}


@pytest.mark.parametrize(
    ("name", "batch"), [*((name, 32) for name in LOOPS), ("LSTM", 16), ("LSTM", 20), ("GRU", 45)]
)
def test_recurrent_loops_have_no_barriers_and_the_same_bits_for_all_threads(name, batch, rng, monkeypatch):
    monkeypatch.setattr(executable, "WORTH_SHARING", 0.0)
    monkeypatch.setattr(executable, "WORTH_WAKING", 0.0)
    make, count = LOOPS[name]
    program = training_step(make(), batch)
    plan = plan_of(program)
    assembler = Assembler(plan, Target.host())
    loops = [assembler.call(group) for group in plan.controls]
    assert len(loops) == count
    for loop in loops:
        assert _keeps_rows(loop.control.parts[0], loop.parts[0])
    states = tuple(first_value(value, rng) for value in program.states)
    data = (rng.standard_normal((batch, 7, 12)).astype("float32"),)
    expected = ReferenceBackend().compile(program, "").run([state.copy() for state in states], data)[0]
    found = {}
    for threads in (1, 2, 3):
        monkeypatch.setitem(vars(config), "num_threads", threads)
        found[threads] = compiled(program).run([state.copy() for state in states], data)[0]
    for one, two, three, reference in zip(found[1], found[2], found[3], expected):
        np.testing.assert_array_equal(two, one)
        np.testing.assert_array_equal(three, one)
        np.testing.assert_allclose(one, reference, rtol=2e-4, atol=5e-5)


def first_value(value, rng):
    if value.dtype == "float32":
        return 0.3 * rng.standard_normal(value.shape).astype("float32")
    return rng.integers(0, 1000, value.shape).astype(value.dtype)


def test_what_a_step_keeps_is_not_copied_after_it(rng):
    """A part of a product that is stacked, and one carried value that takes the place of another."""

    def step(carried, item):
        old, older = carried
        new = ops.tanh(old @ np.eye(12, dtype="float32") + item)
        return (new, old), (new + older)[:, 6:]

    def loop(x):
        first = ops.full((8, 12), 0.5)
        return ops.scan(step, (first, first), x)

    program = trace_program(loop, [TensorType((4, 8, 12), "float32")]).program
    plan = plan_of(program)
    (control,) = plan.controls.values()
    (phases,) = (part.plan.phases for part in control.parts)
    assert not any(isinstance(work, Copy) for phase in phases for work in phase)
    data = (rng.standard_normal((4, 8, 12)).astype("float32"),)
    expected = ReferenceBackend().compile(program, "").run((), data)[0]
    for mine, theirs in zip(compiled(program).run((), data)[0], expected):
        np.testing.assert_allclose(mine, theirs, rtol=2e-4, atol=5e-5)


@pytest.mark.parametrize("axis", [0, 1])
def test_parts_that_two_concatenations_share(axis, rng):
    x, y = state((6, 5), "x"), state((6, 5), "y")
    parts = p.tanh(x), p.multiply(p.tanh(x), y)
    wholes = p.concatenate(*parts, axis=axis), p.concatenate(*reversed(parts), axis=axis)
    program = Program("shared", (x, y), (), wholes)
    assert not any(p.concatenate in each for each in primitives_of(plan_of(program)))
    values = tuple(rng.standard_normal(value.shape).astype("float32") for value in (x, y))
    expected = ReferenceBackend().compile(program, "").run(values, ())[0]
    for mine, theirs in zip(compiled(program).run(values, ())[0], expected):
        np.testing.assert_allclose(mine, theirs, rtol=1e-5)
