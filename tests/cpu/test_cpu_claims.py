"""Claimed tasks: each is done once in each step, whoever is fast or slow, and the bits stay the same."""

import ctypes
import random

import numpy as np
import pytest
from test_cpu_state import training_program, training_state

from lamina.backends.cpu import CpuBackend, claims, executable, jit
from lamina.backends.cpu.assemble import Assembler
from lamina.backends.cpu.context import COUNTER_BYTES
from lamina.backends.cpu.decompose import decompose
from lamina.backends.cpu.emit import Module
from lamina.backends.cpu.plan import make_plan
from lamina.backends.cpu.target import Target
from lamina.core.config import config


@pytest.fixture(scope="module")
def claim():
    """The function, as Python may call it."""
    module = Module(Target.host().function_attributes)
    claims.emit_claim(module)
    text = module.functions["claim"].replace("define internal", "define")
    module.functions["claim"] = text
    code = jit.load(jit.compile_object(module.text(), Target.host()))
    integer, pointer = ctypes.c_int64, ctypes.c_void_p
    function = ctypes.CFUNCTYPE(integer, pointer, integer, integer, integer, integer, pointer)(
        code.address("claim")
    )
    yield function
    del code


@pytest.mark.parametrize("threads", [1, 2, 3, 8])
@pytest.mark.parametrize("owned", [1, 5])
def test_every_piece_is_claimed_once_in_each_step(claim, threads, owned):
    counters = np.zeros(threads * COUNTER_BYTES // 8, np.int64)
    turns = np.zeros(threads, np.int64)
    chance = random.Random(threads)
    for step in range(6):
        turns[:] = 0
        slow = chance.randrange(threads)
        found, active = [], list(range(threads))
        while active:
            # In every other step one thread claims nothing until all others have nothing left to do.
            others = [thread for thread in active if thread != slow] if step % 2 else active
            thread = chance.choice(others or active)
            number = claim(
                counters.ctypes.data,
                step * (owned + threads),
                owned,
                thread,
                threads,
                turns[thread:].ctypes.data,
            )
            if number < 0:
                active.remove(thread)
            else:
                found.append(number)
        assert sorted(found) == list(range(owned * threads))


def test_a_thread_begins_with_its_own_pieces(claim):
    counters, turn = np.zeros(3 * COUNTER_BYTES // 8, np.int64), np.zeros(1, np.int64)
    order = []
    while (number := claim(counters.ctypes.data, 0, 2, 1, 3, turn.ctypes.data)) >= 0:
        order.append(number)
    assert order == [2, 3, 4, 5, 0, 1]


@pytest.mark.parametrize(("tasks", "nanoseconds"), [(4, 50e3), (48, 6e5), (392, 4e5), (100_000, 1e7)])
def test_pieces_are_neither_many_nor_short(tasks, nanoseconds):
    size = claims.piece(tasks, nanoseconds)
    assert size >= 1
    assert -(-tasks // size) <= claims.MOST_PIECES
    assert size == tasks or nanoseconds * size / tasks >= claims.PIECE


def test_short_kernels_and_few_tasks_are_dealt_out():
    assert claims.piece(100, claims.WORTH_CLAIMING - 1) == 0
    assert claims.piece(3, 1e6) == 0


def test_claimed_or_dealt_out_the_bits_are_the_same(rng, monkeypatch):
    monkeypatch.setattr(executable, "WORTH_SHARING", 0.0)
    monkeypatch.setattr(executable, "WORTH_WAKING", 0.0)
    monkeypatch.setattr(claims, "PIECE", 10.0)
    program = training_program(rows=40, features=70, units=90)
    data = tuple(rng.standard_normal((400, *value.shape[1:])).astype("float32") for value in program.inputs)
    order = np.stack([rng.permutation(400)[:40] for _ in range(100)])
    results = []
    for worth, threads in [(1e12, 1), (0.0, 1), (0.0, 2), (0.0, 3), (0.0, 8)]:
        monkeypatch.setattr(claims, "WORTH_CLAIMING", worth)
        monkeypatch.setitem(vars(config), "num_threads", threads)
        made = CpuBackend().compile(program, f"claimed from {worth}")
        states = training_state(np.random.default_rng(7), program)
        for _ in range(3):  # all threads, one thread, and whichever was faster
            made.run_steps(states, data, order)
        results.append([array.tobytes() for array in states])
        assert "claim" in lowered(program) if worth == 0 else "claim" not in lowered(program)
    assert all(result == results[0] for result in results)


def lowered(program):
    """The LLVM text of a program."""
    plan = make_plan(program.with_results(decompose(program.graph.outputs)))
    return Assembler(plan, Target.host()).assemble().module.text()


def test_tasks_that_share_a_packed_panel_are_claimed_together():
    assert claims.piece(128, 2e6) == 2
    assert claims.piece(128, 2e6, sharing=32) == 8
    assert claims.piece(128, 1e3, sharing=32) == 0
