"""Short runs that are handed to workers which are awake, and the choice of who gets them."""

import subprocess
import sys
import time

import numpy as np
import pytest
from test_cpu_state import compiled, product, state

from lamina.backends.base import Program
from lamina.backends.cpu import executable, threads
from lamina.backends.cpu.context import Answer, Desk, State
from lamina.backends.cpu.pace import CLOSE_NANOSECONDS, CLOSE_RUNS, STRETCH, TRIAL, Burst
from lamina.core.config import config


def chosen(burst, cost, runs, pause=1000):
    """The thread counts of some runs, when a run costs `cost[count]` nanoseconds and `pause` lies between."""
    counts, now = [], 10**12
    for _ in range(runs):
        counts.append(burst.choose(now))
        end = now + cost[counts[-1]]
        burst.note(counts[-1], now, end)
        now = end + pause
    return counts


def test_runs_far_apart_stay_alone():
    assert set(chosen(Burst(2), {1: 30_000, 2: 15_000}, 200, pause=2 * CLOSE_NANOSECONDS)) == {1}


def test_runs_close_together_are_shared_after_a_few():
    counts = chosen(Burst(2), {1: 30_000, 2: 15_000}, CLOSE_RUNS + TRIAL + STRETCH)
    assert counts[:CLOSE_RUNS] == [1] * CLOSE_RUNS
    assert set(counts[CLOSE_RUNS:]) == {2}


def test_where_sharing_is_slower_most_runs_stay_alone():
    counts = chosen(Burst(4), {1: 30_000, 4: 60_000}, 10 * STRETCH)
    assert counts.count(4) < 0.05 * len(counts)


@pytest.fixture
def shared_product(monkeypatch):
    """(a function that runs a product, its pool's answers so far); only awake workers share it.

    They look for longer than usual, so that they meet runs on a busy machine too.
    """
    found = threads.functions()
    monkeypatch.setattr(threads, "functions", lambda: found._replace(turns=100 * found.turns))
    monkeypatch.setattr(threads, "pool", threads.Pool())
    monkeypatch.setattr(executable, "WORTH_SHARING", 0.0)
    monkeypatch.setattr(executable, "WORTH_WAKING", 1e18)
    monkeypatch.setattr(executable.Burst, "choose", lambda self, now: self.workers)
    monkeypatch.setitem(vars(config), "num_threads", 2)
    x, w = state((96, 64), "x"), state((64, 64), "w")
    run = compiled(Program("product", (w,), (x,), (product(x, w),)))
    answers, hurry = [], threads.pool.hurry

    def noted(*arguments):
        answers.append(hurry(*arguments))
        return answers[-1]

    monkeypatch.setattr(threads.pool, "hurry", noted)
    rng = np.random.default_rng(0)
    weights = (rng.standard_normal((64, 64)).astype("float32"),)
    data = rng.standard_normal((96, 64)).astype("float32")
    return lambda: run.run(weights, (data,))[0][0], answers


def until(condition, seconds=60.0):
    """Whether it came true within that time."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.0005)
    return True


def test_workers_that_are_awake_take_part_and_give_the_same_bits(shared_product):
    run, answers = shared_product
    first = run()

    def was_shared_often():
        for _ in range(100):
            assert run().tobytes() == first.tobytes()
        return answers.count(Answer.DONE) >= 20

    assert until(was_shared_often)


def test_workers_fall_asleep_and_are_woken_for_a_long_run(shared_product, monkeypatch):
    run, answers = shared_product
    first = run()
    for _ in range(50):
        run()
    desks = threads.pool._desks
    assert until(lambda: all(desk[Desk.STATE] == State.ASLEEP for desk in desks))
    run()
    assert answers[-1] == Answer.AWAY
    monkeypatch.setattr(executable, "WORTH_WAKING", 0.0)
    monkeypatch.setattr(executable.Pace, "choose", lambda self: self.workers)
    for _ in range(50):
        assert run().tobytes() == first.tobytes()


def test_the_interpreter_ends_while_workers_look_at_their_desks():
    code = """
from lamina.backends.cpu import threads
threads.pool.rouse(4)
"""
    for _ in range(3):
        assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0
