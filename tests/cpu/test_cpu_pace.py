"""The choice between one thread and all of them."""

import numpy as np
from test_cpu_state import compiled, product, state

from lamina.backends.base import Program
from lamina.backends.cpu import executable
from lamina.backends.cpu.pace import Pace
from lamina.core.config import config


def chosen(pace, cost, runs):
    """The thread counts of some runs, when a run costs `cost[count]` nanoseconds."""
    counts = []
    for _ in range(runs):
        count = pace.choose()
        pace.note(count, cost[count])
        counts.append(count)
    return counts


def test_on_a_quiet_machine_all_threads_are_used_but_for_a_look_now_and_then():
    counts = chosen(Pace(4), {4: 100.0, 1: 300.0}, 400)
    assert counts[:4] == [4, 4, 1, 1]
    assert counts.count(1) <= 8


def test_on_a_busy_machine_one_thread_is_used():
    counts = chosen(Pace(2), {2: 5000.0, 1: 300.0}, 400)
    assert counts[:4] == [2, 2, 1, 1]
    assert counts.count(2) <= 8


def test_a_machine_that_becomes_quiet_is_noticed():
    pace = Pace(2)
    chosen(pace, {2: 5000.0, 1: 300.0}, 200)
    assert chosen(pace, {2: 150.0, 1: 300.0}, 700)[-50:].count(2) >= 45


def test_steps_that_take_long_count_even_one_by_one(monkeypatch):
    """Otherwise a run of few steps that other processes slow down would never be tried on one thread."""
    monkeypatch.setattr(executable, "NANOSECONDS_THAT_COUNT", 0)
    monkeypatch.setitem(vars(config), "num_threads", 2)
    x, w = state((512, 64), "x"), state((64, 64), "w")
    run = compiled(Program("product", (w,), (x,), (product(x, w),)))
    monkeypatch.setattr(executable, "WORTH_SHARING", 0.0)
    monkeypatch.setattr(executable, "WORTH_WAKING", 0.0)
    counts = []
    note = run._pace.note
    monkeypatch.setattr(run._pace, "note", lambda count, time: (counts.append(count), note(count, time)))
    for _ in range(8):
        run.run_steps(
            (np.zeros((64, 64), "float32"),), (np.zeros((512, 64), "float32"),), np.zeros((1, 512), int)
        )
    assert set(counts) == {1, 2}
