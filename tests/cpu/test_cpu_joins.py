"""Concatenations that are written by the kernel of their parts."""

import numpy as np
import pytest
from test_cpu_state import compiled, product, state

from lamina.backends.base import Program
from lamina.backends.cpu import executable
from lamina.backends.cpu.assemble import Assembler
from lamina.backends.cpu.assemble_control import _keeps_rows
from lamina.backends.cpu.decompose import decompose
from lamina.backends.cpu.plan import make_plan
from lamina.backends.cpu.target import Target
from lamina.backends.reference import ReferenceBackend
from lamina.core.config import config
from lamina.function import gradients, trace_program
from lamina.ir import TensorType
from lamina.ir import primitives as p
from lamina.layers import LSTM
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


def lstm_training(batch):
    """The gradients of an LSTM's weights, as a training step traces them."""
    layer = LSTM(16)
    layer.build((batch, 7, 12))
    weights = layer.trainable_variables

    def step(x):
        loss = p.reduce_sum(layer(x), axes=(0, 1))
        return (loss, *gradients(loss, weights))

    program = trace_program(step, [TensorType((batch, 7, 12), "float32")], name="lstm").program
    return program.with_results(pipeline.run(program.graph.outputs))


@pytest.mark.parametrize("batch", [16, 20, 32, 45])
def test_the_loops_of_an_lstm_have_no_barriers_and_the_same_bits_for_all_threads(batch, rng, monkeypatch):
    monkeypatch.setattr(executable, "WORTH_SHARING", 0.0)
    monkeypatch.setattr(executable, "WORTH_WAKING", 0.0)
    program = lstm_training(batch)
    plan = plan_of(program)
    assembler = Assembler(plan, Target.host())
    loops = [assembler.call(group) for group in plan.controls]
    assert len(loops) == 2
    for loop in loops:
        assert _keeps_rows(loop.control.parts[0], loop.parts[0])
    states = tuple(0.3 * rng.standard_normal(value.shape).astype("float32") for value in program.states)
    data = (rng.standard_normal((batch, 7, 12)).astype("float32"),)
    expected = ReferenceBackend().compile(program, "").run(states, data)[0]
    found = {}
    for threads in (1, 2, 3):
        monkeypatch.setitem(vars(config), "num_threads", threads)
        found[threads] = compiled(program).run(states, data)[0]
    for one, two, three, reference in zip(found[1], found[2], found[3], expected):
        np.testing.assert_array_equal(two, one)
        np.testing.assert_array_equal(three, one)
        np.testing.assert_allclose(one, reference, rtol=2e-4, atol=2e-5)
