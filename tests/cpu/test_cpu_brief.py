"""Fewer barriers: brief kernels in a row, copies beside updates; and cache lines that are asked for early."""

import numpy as np
import pytest
from test_cpu_state import compiled, product, state, training_program, training_state

from lamina.backends.base import Program
from lamina.backends.cpu import executable
from lamina.backends.cpu.assemble import Assembler
from lamina.backends.cpu.decompose import decompose
from lamina.backends.cpu.plan import Copy, make_plan
from lamina.backends.cpu.target import Target
from lamina.backends.reference import ReferenceBackend
from lamina.core.config import config
from lamina.ir import primitives as p
from lamina.ir.bind import full


def plan_of(program):
    return make_plan(program.with_results(decompose(program.graph.outputs)))


def running_mean(rows=48, features=24):
    """A product; a running total and a running weight of sums of it; one divided by the other."""
    x, w = state((rows, features), "x"), state((features, features), "w")
    total, weight = state((), "total"), state((), "weight")
    y = product(x, w)
    row, column = p.reduce_sum(y, axes=(1,)), p.reduce_sum(p.exp(x), axes=(0,))
    more = p.add(total, p.reduce_sum(row, axes=(0,)))
    heavier = p.add(weight, p.reduce_sum(column, axes=(0,)))
    mean = p.divide(more, heavier)
    return Program("mean", (w, total, weight), (x,), (y, mean), ((1, more), (2, heavier)), (mean,))


def test_scalars_need_no_barrier_between_them():
    plan = plan_of(running_mean())
    assert plan.in_a_row
    assert {group for phase in plan.phases for group in phase if group in plan.in_a_row} == plan.in_a_row
    apart = [len(set(phase) & plan.in_a_row) for phase in plan.phases]
    assert max(apart) == len(plan.in_a_row)


def test_long_kernels_are_never_in_a_row():
    x = state((64, 512), "x")
    y = p.exp(p.subtract(x, p.reverse(x, axes=(1,))))
    program = Program("long", (), (x,), (p.reduce_sum(p.tanh(p.reverse(y, axes=(0,))), axes=(0,)),))
    assert not plan_of(program).in_a_row


def counting(reads_count):
    """Weights that are updated in place, and a count that is copied; the weights may depend on it."""
    weights, count, slope = state((4096,), "w"), state((), "count"), state((4096,), "slope")
    following = p.add(count, full((), 1.0, "float32"))
    scale = p.broadcast(count, shape=(4096,), axes=()) if reads_count else full((4096,), 0.5, "float32")
    moved = p.subtract(weights, p.multiply(slope, scale))
    return Program("count", (weights, count), (slope,), (following,), ((0, moved), (1, following)))


@pytest.mark.parametrize(("reads_count", "phases"), [(False, 1), (True, 2)])
def test_copies_of_state_go_along_with_updates_that_do_not_read_it(reads_count, phases, rng):
    program = counting(reads_count)
    plan = plan_of(program)
    assert len(plan.commits) == phases
    assert any(isinstance(work, Copy) for work in plan.commits[-1])
    weights, slope = (rng.standard_normal(4096).astype("float32") for _ in range(2))
    count = np.array(3.0, "float32")
    expected = weights - slope * np.float32(3.0 if reads_count else 0.5)
    compiled(program).run((weights, count), (slope,))
    np.testing.assert_allclose(weights, expected, rtol=1e-6)
    assert count == 4.0


@pytest.mark.parametrize("threads", [1, 2, 3, 5])
@pytest.mark.parametrize("make", [running_mean, training_program])
def test_any_number_of_threads_passes_every_barrier(make, threads, rng, monkeypatch):
    """Many short steps, run after run: signals of earlier barriers and runs are not taken for new ones."""
    monkeypatch.setattr(executable, "WORTH_SHARING", 0.0)
    monkeypatch.setattr(executable, "WORTH_WAKING", 0.0)
    monkeypatch.setitem(vars(config), "num_threads", threads)
    program = make()
    first = [np.asarray(array) for array in training_state(rng, program)]
    data = tuple(
        rng.standard_normal((4 * value.shape[0], *value.shape[1:])).astype("float32") * 0.1
        for value in program.inputs
    )
    rows = program.inputs[0].shape[0]
    states, expected = tuple(array.copy() for array in first), tuple(array.copy() for array in first)
    native, reference = compiled(program), ReferenceBackend().compile(program, "")
    for _ in range(4):
        order = np.stack([rng.permutation(4 * rows)[:rows] for _ in range(25)])
        native.run_steps(states, data, order)
        reference.run_steps(expected, data, order)
    for found, right in zip(states, expected):
        np.testing.assert_allclose(found, right, rtol=2e-4, atol=1e-5)


def test_weights_that_all_threads_have_read_are_asked_for_by_their_writer():
    write = "i32 1, i32 3, i32 1)"
    program = training_program(rows=64, features=32, units=64)
    text = Assembler(plan_of(program), Target.named("avx2")).assemble().module.text()
    assert write in text
    beyond_caches = training_program(rows=64, features=1024, units=1024)
    assert write not in Assembler(plan_of(beyond_caches), Target.named("avx2")).assemble().module.text()
