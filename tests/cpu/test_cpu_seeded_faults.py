"""Seeded faults: a compiler broken on purpose is noticed by the comparisons that the other tests make."""

from itertools import count

import numpy as np
import pytest
from test_cpu_state import compiled, product, state, training_program, training_state

from lamina.backends.base import Program
from lamina.backends.cpu import assemble, executable, points
from lamina.backends.cpu.emit import Builder
from lamina.backends.cpu.points import Point
from lamina.core.config import config
from lamina.ir import primitives as p
from lamina.ir.bind import full


@pytest.fixture(autouse=True)
def fresh_code(monkeypatch, tmp_path):
    """Broken code must never reach a cache that others use."""
    monkeypatch.setitem(vars(config), "cache_dir", tmp_path)


calls = count(1)


def rows_and_columns(rng):
    """Sums along both axes, and work on a flat tensor, for a shape that fills no vector.

    Every call has data of its own: an element that is never written would otherwise look right in memory
    where an earlier call left the same result.
    """
    x = state((29, 45), "x")
    results = (p.reduce_sum(x, axes=(1,)), p.reduce_sum(x, axes=(0,)), p.multiply(x, x))
    array = rng.standard_normal((29, 45)).astype("float32") + next(calls)
    found, _ = compiled(Program("sums", (), (x,), results)).run((), (array,))
    return [
        np.allclose(one, other, rtol=1e-4, atol=1e-4)
        for one, other in zip(found, (array.sum(1), array.sum(0), array * array))
    ]


def test_without_a_fault_everything_agrees(rng):
    assert all(rows_and_columns(rng))


def test_a_wrong_tail_is_noticed(rng, monkeypatch):
    original = Builder.tail_mask
    monkeypatch.setattr(
        Builder, "tail_mask", lambda b, remaining, lanes: original(b, b.subtract(remaining, 1), lanes)
    )
    assert not all(rows_and_columns(rng))


def test_lanes_that_do_not_exist_in_a_sum_are_noticed(rng, monkeypatch):
    monkeypatch.setattr(Point, "mask", property(lambda self: None))
    x = state((5, 45), "x")
    shifted = p.add(x, full(x.shape, 1.0, "float32"))
    array = rng.standard_normal((5, 45)).astype("float32")
    (found,), _ = compiled(Program("sum", (), (x,), (p.reduce_sum(shifted, axes=(1,)),))).run((), (array,))
    assert not np.allclose(found, (array + 1).sum(1), rtol=1e-4)


def test_a_missing_accumulation_is_noticed(rng, monkeypatch):
    monkeypatch.setattr(points, "combine", lambda builder, statement, total, element, target: element)
    assert not all(rows_and_columns(rng))


def test_a_missing_barrier_is_noticed(rng, monkeypatch):
    monkeypatch.setattr(executable, "WORTH_SHARING", 0.0)
    monkeypatch.setattr(assemble, "SERIAL_NANOSECONDS", 0.0)
    x = state((512, 256), "x")
    weights = [state((256, 256), f"w{number}") for number in range(4)]
    value = x
    for weight in weights:
        value = p.tanh(product(value, weight))
    program = Program("chain", tuple(weights), (x,), (p.reduce_sum(value, axes=(0, 1)),))
    matrices = tuple(rng.standard_normal((256, 256)).astype("float32") * 0.1 for _ in weights)
    data = rng.standard_normal((2048, 256)).astype("float32")
    orders = rng.integers(0, 2048, (12, 1, 512))

    def results(count):
        monkeypatch.setitem(vars(config), "num_threads", count)
        run = compiled(program)
        return [float(run.run_steps(matrices, (data,), order).outputs[0]) for order in orders]

    expected = results(1)
    assert results(4) == expected
    monkeypatch.setattr(assemble.Assembler, "barrier", lambda self: None)
    config.cache_dir = config.cache_dir / "broken"
    assert results(4) != expected


def test_a_guard_that_is_not_looked_at_is_noticed(rng, monkeypatch):
    monkeypatch.setattr(points, "guard", lambda point, register, flag: None)
    monkeypatch.setattr("lamina.backends.cpu.product.points.guard", lambda point, register, flag: None)
    program = training_program()
    run, arrays = compiled(program), training_state(rng, program)
    x = np.full(program.inputs[0].shape, np.nan, "float32")
    y = np.zeros(program.inputs[1].shape, "float32")
    assert run.run(arrays, (x, y))[1]
    assert np.isnan(arrays[0]).any()
