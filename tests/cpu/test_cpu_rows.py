"""Kernels that follow each other row by row: which ones do, and that nothing but barriers is left out."""

import numpy as np
import pytest
from test_cpu_state import compiled, product, state, training_program, training_state

from lamina.backends.base import Program
from lamina.backends.cpu import executable
from lamina.backends.cpu.assemble import Assembler
from lamina.backends.cpu.contract import ContractSpec, plan_contract
from lamina.backends.cpu.decompose import decompose
from lamina.backends.cpu.plan import make_plan
from lamina.backends.cpu.target import Target
from lamina.backends.reference import ReferenceBackend
from lamina.core.config import config
from lamina.ir import primitives as p
from lamina.ir.bind import constant_value, full


def plan_of(program):
    return make_plan(program.with_results(decompose(program.graph.outputs)))


def test_a_training_step_meets_where_weights_need_all_rows():
    # Forward and back to the hidden layer; gradients of weights; updates.
    plan = plan_of(training_program(rows=64))
    assert len(plan.phases) == 2
    assert len(plan.commits) == 1
    assert len(plan.rows.groups) >= 3


def test_few_rows_and_much_work_keep_their_barriers():
    assert not plan_of(training_program(rows=31)).rows.groups
    assert not plan_of(training_program(rows=4096, features=64, units=256)).rows.groups


@pytest.mark.parametrize(
    ("name", "work"),
    [
        (
            "rows against each other",
            lambda x, w: product(p.tanh(x), p.transpose(p.tanh(x), permutation=(1, 0))),
        ),
        (
            "rows in another order",
            lambda x, w: p.exp(p.add(p.reverse(product(x, w), axes=(0,)), product(x, w))),
        ),
        ("a mean over rows", lambda x, w: p.exp(p.subtract(product(x, w), mean_of_rows(product(x, w))))),
        ("features as rows", lambda x, w: product(p.transpose(product(x, w), permutation=(1, 0)), x)),
        ("rows of the batch taken by number", lambda x, w: p.gather(x, turned_around(48), axis=0)),
        ("a window over rows", lambda x, w: p.concatenate(product(x, w), product(x, w), axis=0)),
    ],
)
def test_what_mixes_rows_waits(name, work, rng, monkeypatch):
    monkeypatch.setattr(executable, "WORTH_SHARING", 0.0)
    monkeypatch.setattr(executable, "WORTH_WAKING", 0.0)
    x, w = state((48, 48), "x"), state((48, 48), "w")
    program = Program(name, (w,), (x,), (work(x, w),))
    plan = plan_of(program)
    assert len(plan.phases) > 1 or plan.rows.mixing
    weights = (rng.standard_normal((48, 48)).astype("float32") * 0.1,)
    data = rng.standard_normal((480, 48)).astype("float32")
    order = np.stack([rng.permutation(480)[:48] for _ in range(200)])
    expected = ReferenceBackend().compile(program, "").run(weights, (data[order[-1]],))[0][0]
    for threads in (1, 2, 3):
        monkeypatch.setitem(vars(config), "num_threads", threads)
        found = compiled(program).run_steps(weights, (data,), order).outputs[0]
        np.testing.assert_allclose(found, expected, rtol=2e-4, atol=2e-4)


def turned_around(count):
    return constant_value(np.arange(count)[::-1].astype("int32"))


def mean_of_rows(value):
    total = p.reduce_sum(value, axes=(0,))
    mean = p.multiply(total, full(total.shape, 1 / value.shape[0], "float32"))
    return p.broadcast(mean, shape=value.shape, axes=(1,))


@pytest.mark.parametrize("rows", [32, 33, 47, 48, 100, 127])
def test_any_number_of_rows_and_threads_gives_the_same_bits(rows, rng, monkeypatch):
    monkeypatch.setattr(executable, "WORTH_SHARING", 0.0)
    monkeypatch.setattr(executable, "WORTH_WAKING", 0.0)
    program = training_program(rows=rows, features=19, units=33, classes=3)
    plan = plan_of(program)
    assert plan.rows.count == rows
    x = rng.standard_normal((5 * rows, 19)).astype("float32")
    y = rng.standard_normal((5 * rows, 3)).astype("float32")
    order = np.stack([rng.permutation(5 * rows)[:rows] for _ in range(60)])
    start = training_state(rng, program)

    def trained(run):
        arrays = tuple(array.copy() for array in start)
        if isinstance(run, int):
            monkeypatch.setitem(vars(config), "num_threads", run)
            assert compiled(program).run_steps(arrays, (x, y), order).done == len(order)
        else:
            run.run_steps(arrays, (x, y), order)
        return arrays

    one = trained(1)
    for threads in (2, 3, 5):
        for found, expected in zip(trained(threads), one):
            np.testing.assert_array_equal(found, expected)
    for found, expected in zip(one, trained(ReferenceBackend().compile(program, ""))):
        np.testing.assert_allclose(found, expected, rtol=2e-4, atol=2e-5)


@pytest.mark.parametrize("level", ["avx512", "avx2", "sse2", "aarch64"])
def test_every_kernel_that_keeps_rows_apart_can_be_cut_there(level):
    """At least in a plain network: otherwise it would wait for the others, and they for it."""
    for rows in (32, 100):
        plan = plan_of(training_program(rows=rows, features=20, units=64, classes=16))
        assembler = Assembler(plan, Target.named(level))
        calls = [assembler.call(work) for phase in plan.phases for work in phase]
        kept = [call for call in calls if call.by_rows]
        assert kept
        assert all(call.kernel.row_tasks for call in kept)
        for call in kept:
            assert (plan.rows.units - 1) * call.kernel.row_tasks < call.kernel.tasks
            assert call.kernel.tasks <= plan.rows.units * call.kernel.row_tasks


@pytest.mark.parametrize("columns", [1, 2, 3, 4, 5, 10, 16, 33, 100])
@pytest.mark.parametrize("rows", [32, 41, 64, 95])
def test_tasks_are_units_of_rows(rows, columns):
    for level in ("avx512", "avx2", "sse2"):
        target = Target.named(level)
        for strides in ((0, 64, 1), (0, 1, rows)):
            spec = ContractSpec(rows, columns, 64, 1, strides, (0, columns, 1), (0, columns, 1))
            plan = plan_contract(spec, target, 16)
            if plan.by_rows:
                assert plan.tasks == -(-rows // 16)
