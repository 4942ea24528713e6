"""Loops and branches in native code: against the reference, for any number of threads, for any length."""

from __future__ import annotations

import numpy as np
import pytest

import lamina
from lamina import ops
from lamina.backends.base import Program
from lamina.backends.cpu import executable
from lamina.backends.cpu.assemble import Assembler
from lamina.backends.cpu.control import Late
from lamina.backends.cpu.decompose import decompose
from lamina.backends.cpu.plan import make_plan
from lamina.backends.cpu.target import Target
from lamina.core.config import config
from lamina.function import compile_program, gradients, guard, trace_program
from lamina.ir import TensorType, bind
from lamina.ir import primitives as p
from lamina.ir.trace import new_input
from lamina.passes import pipeline


def lstm_step(x, y, w, u, b, wrt=None):
    """Loss and gradients of a recurrent network whose last output is compared with y."""
    zeros = ops.zeros(y.shape, y.dtype)

    def step(carry, x):
        h, c = carry
        i, f, g, o = ops.split(x @ w + h @ u + b, 4, axis=-1)
        c = ops.sigmoid(f) * c + ops.sigmoid(i) * ops.tanh(g)
        h = ops.sigmoid(o) * ops.tanh(c)
        return (h, c), h

    (last, _), every = ops.scan(step, (zeros, zeros), x)
    loss = ops.mean(ops.square(last - y)) + 0.1 * ops.mean(every)
    return [loss, *gradients(loss, wrt or [w, u, b, x])]


def types(length, batch, features, units, dtype="float32"):
    shapes = [
        (length, batch, features),
        (batch, units),
        (features, 4 * units),
        (units, 4 * units),
        (4 * units,),
    ]
    return [TensorType(shape, dtype) for shape in shapes]


def arrays_of(kinds, rng):
    return [rng.normal(0, 0.4, kind.shape).astype(kind.dtype) for kind in kinds]


def assert_like_reference(function, kinds, arrays, tolerance=2e-5):
    program = trace_program(function, kinds).program
    expected, _ = compile_program(program, "reference").run((), arrays)
    found, _ = compile_program(program, "cpu").run((), arrays)
    for one, other in zip(expected, found, strict=True):
        np.testing.assert_allclose(other, one, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("sizes", [(1, 1, 1, 1), (2, 3, 5, 7), (9, 32, 17, 16), (4, 33, 8, 33)])
def test_a_recurrent_step_is_that_of_the_reference(sizes, rng):
    kinds = types(*sizes)
    assert_like_reference(lstm_step, kinds, arrays_of(kinds, rng))


@pytest.mark.parametrize("level", ["sse2", "avx2"])
def test_at_other_widths(level, rng, monkeypatch):
    monkeypatch.setitem(vars(config), "cpu_features", level)
    kinds = types(5, 16, 7, 19)
    assert_like_reference(lstm_step, kinds, arrays_of(kinds, rng))


def test_threads_change_nothing(rng, monkeypatch):
    monkeypatch.setattr(executable, "WORTH_WAKING", 0.0)
    kinds = types(7, 48, 64, 64)
    program, arrays = trace_program(lstm_step, kinds).program, arrays_of(kinds, rng)
    found = []
    for count in (1, 2, 3, 5):
        monkeypatch.setitem(vars(config), "num_threads", count)
        found.append(compile_program(program, "cpu").run((), arrays)[0])
    for others in found[1:]:
        for one, other in zip(found[0], others, strict=True):
            np.testing.assert_array_equal(one, other)


def test_code_does_not_grow_with_the_length_and_memory_grows_linearly():
    texts, arenas = [], []
    for length in (20, 120, 220):
        program = trace_program(lstm_step, types(length, 8, 16, 16)).program
        optimized = program.with_results(pipeline.run(program.graph.outputs))
        plan = make_plan(optimized.with_results(decompose(optimized.graph.outputs)))
        texts.append(len(Assembler(plan, Target.host()).assemble().module.text()))
        arenas.append(plan.arena_bytes)
    assert max(texts) < 1.05 * min(texts)
    assert arenas[2] - arenas[1] == arenas[1] - arenas[0]


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("length", [1, 2, 3, 9])
def test_the_values_before_each_step_are_read_where_those_after_it_lie(length, reverse, rng):
    def step(x, start):
        def advance(before, x):
            after = ops.tanh(before * x + ops.square(before))
            return after, after * before

        last, every = ops.scan(advance, start, x, reverse=reverse)
        loss = ops.mean(ops.square(every)) + ops.mean(last)
        return [loss, *gradients(loss, [x, start])]

    kinds = [TensorType((length, 3, 5), "float32"), TensorType((3, 5), "float32")]
    assert_like_reference(step, kinds, arrays_of(kinds, rng))
    program = trace_program(step, kinds).program
    optimized = program.with_results(pipeline.run(program.graph.outputs))
    plan = make_plan(optimized.with_results(decompose(optimized.graph.outputs)))
    assert not any(value.primitive is p.concatenate for group in plan.fusion.groups for value in group.values)
    addresses = [
        address for control in plan.controls.values() for part in control.parts for address in part.addresses
    ]
    assert any(isinstance(address, Late) for address in addresses) == (length > 1)


def test_state_is_read_and_assigned_inside(rng):
    weight = lamina.Variable(rng.normal(size=(3, 3)).astype("float32"))
    count = lamina.Variable(np.int32(0))

    def run(x):
        def step(h, x):
            count.assign(count + 1)
            return ops.tanh(h @ weight + x), ops.cast(count, "float32")

        return ops.scan(step, ops.zeros((2, 3)), x)

    x = rng.normal(size=(5, 2, 3)).astype("float32")
    compiled = lamina.function(run)
    last, counts = compiled(x)
    np.testing.assert_array_equal(counts, [1, 2, 3, 4, 5])
    assert int(count.numpy()) == 5
    compiled(x)
    assert int(count.numpy()) == 10
    np.testing.assert_allclose(last, run(x)[0], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("limit", [0, 1, 2, 7])
def test_a_while_loop_ends_where_its_condition_says(limit, rng):
    def run(n, x):
        return ops.while_loop(lambda i, x, y: i < n, lambda i, x, y: (i + 1, y, x @ y), (np.int32(0), x, x))

    x = rng.normal(0, 0.1, (20, 20)).astype("float32")
    compiled = lamina.function(run)
    for one, other in zip(compiled(np.int32(limit), x), run(np.int32(limit), x), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)


def test_a_loop_of_branches_with_loops_inside(rng, monkeypatch):
    """All three in each other, with work for several threads."""

    def run(x, u):
        def step(h, row):
            return ops.cond(
                ops.sum(row) > 0,
                lambda: (ops.tanh(h @ u), ops.sum(h)),
                lambda: (
                    ops.while_loop(lambda n, h: n < 3, lambda n, h: (n + 1, h * 0.5 + row), (0, h))[1],
                    ops.fori_loop(0, 4, lambda i, s: s + ops.cast(i, "float32"), ops.max(row)),
                ),
            )

        return ops.scan(step, ops.ones((64, 64)), x, reverse=True)

    arrays = [rng.normal(size=(9, 64, 64)).astype("float32"), rng.normal(size=(64, 64)).astype("float32")]
    monkeypatch.setattr(executable, "WORTH_WAKING", 0.0)
    expected = run(*arrays)
    for count in (1, 3):
        monkeypatch.setitem(vars(config), "num_threads", count)
        found = lamina.function(run)(*arrays)
        for one, other in zip(expected, found, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4)


def test_a_guard_after_a_loop_keeps_the_state():
    total = lamina.Variable(np.float32(1))

    def run(x):
        last = ops.scan(lambda h, x: (h * x, None), ops.ones(()), x)[0]
        guard(last)
        total.assign(total + last)
        return last

    traced = trace_program(run, [TensorType((4,), "float32")])
    compiled = compile_program(traced.program, "cpu")
    states = [state.array for state in traced.states]
    for numbers, kept in ([1, 2, 3, 4], True), ([1, np.inf, 3, 4], False):
        assert compiled.run(states, [np.float32(numbers)])[1] is kept
        assert total.numpy() == 25


def test_many_steps_with_a_loop_in_each(rng, monkeypatch):
    """run_steps gathers a batch, runs the loop, updates the state, again and again, on several threads."""
    monkeypatch.setattr(executable, "WORTH_SHARING", 0.0)
    finals = []
    kinds = [TensorType((32, 6, 8), "float32"), TensorType((32, 16), "float32")]
    data = [rng.normal(size=(100, 6, 8)).astype("float32"), rng.normal(size=(100, 16)).astype("float32")]
    index = rng.integers(0, 100, (5, 32))
    start = [rng.normal(0, 0.3, shape).astype("float32") for shape in ((8, 64), (16, 64), (64,))]
    for backend, count in ("cpu", 1), ("cpu", 3), ("reference", 1):
        monkeypatch.setitem(vars(config), "num_threads", count)
        variables = [lamina.Variable(array) for array in start]

        def train(x, y, variables=variables):
            loss, *found = lstm_step(ops.transpose(x, (1, 0, 2)), y, *variables, wrt=variables)
            for variable, gradient in zip(variables, found):
                variable.assign(variable - 0.5 * gradient)
            return loss

        traced = trace_program(train, kinds)
        states = tuple(state.array for state in traced.states)
        assert compile_program(traced.program, backend).run_steps(states, data, index).done == 5
        finals.append([variable.numpy().copy() for variable in variables])
    for one, other, judge in zip(*finals, strict=True):
        np.testing.assert_array_equal(one, other)
        np.testing.assert_allclose(one, judge, rtol=1e-3, atol=1e-5)


def test_a_product_of_scalars_one_of_which_has_no_memory():
    """A constant operand without axes is copied into memory, in no order."""
    two = bind.constant_value(2.0, "float32")
    x = new_input("x", TensorType((), "float32"))
    product = p.dot(two, x, contract=((), ()), batch=((), ()))
    program = Program("product", (), (x,), (product,))
    outputs, _ = compile_program(program, "cpu").run((), [np.float32(3)])
    assert outputs[0] == 6


def test_the_condition_of_a_loop_that_keeps_rows_apart_sees_all_of_them(rng, monkeypatch):
    monkeypatch.setattr(executable, "WORTH_SHARING", 0.0)
    monkeypatch.setattr(executable, "WORTH_WAKING", 0.0)

    def grown(x):
        return ops.while_loop(
            lambda x: ops.max(ops.sum(x * x, axis=0)) < 2000,
            lambda x: (ops.tanh(x) + x + 0.01 * ops.sin(x) + 0.001 * ops.exp(0.001 * x),),
            (x,),
        )[0]

    program = trace_program(grown, [TensorType((64, 512), "float32")]).program
    x = rng.standard_normal((64, 512)).astype("float32")
    expected = compile_program(program, backend="reference").run([], [x])[0][0]
    barriers = []
    before = Assembler.barrier
    monkeypatch.setattr(Assembler, "barrier", lambda self: (barriers.append(self.alone), before(self)))
    plan = make_plan(program.with_results(decompose(program.graph.outputs)))
    ((_, body),) = [loop.parts for loop in plan.controls.values()]
    assert body.plan.rows.count == 64
    Assembler(plan, Target.host()).assemble()
    # In the loop after the sums, the comparison and the step; after the loop; two more of every step.
    assert barriers == [False] * 6
    for threads in (1, 2, 3):
        monkeypatch.setitem(vars(config), "num_threads", threads)
        found = compile_program(program).run([], [x])[0][0]
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
