"""Readers and writers of a model's state, and signals that wait."""

import copy
import pickle
import signal
import threading
import time

import pytest

from lamina.core.interrupts import deferred_interrupts, interrupt_gate
from lamina.training.lock import MakingLock, StateLock


def in_threads(*functions):
    threads = [threading.Thread(target=function) for function in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert not any(thread.is_alive() for thread in threads)


def test_readers_share():
    lock, both = StateLock(), threading.Barrier(2)

    def read():
        lock.acquire_read()
        both.wait(60)
        lock.release_read()

    in_threads(read, read)


def test_a_writer_is_alone():
    lock, inside, seen = StateLock(), set(), []

    def read():
        for _ in range(50):
            lock.acquire_read()
            inside.add(("reader", threading.get_ident()))
            seen.append(frozenset(inside))
            time.sleep(0.0002)
            inside.discard(("reader", threading.get_ident()))
            lock.release_read()

    def write():
        for _ in range(50):
            with lock.writing():
                inside.add("writer")
                seen.append(frozenset(inside))
                time.sleep(0.0002)
                inside.discard("writer")

    in_threads(read, read, read, write, write)
    assert all(state == {"writer"} or "writer" not in state for state in seen)
    assert len(seen) == 5 * 50


def test_nobody_starves():
    """Each goes on until both have had their turns, so that one would wait for ever for its own."""
    lock, counts = StateLock(), {"read": 0, "write": 0}

    def read():
        while min(counts.values()) < 20:
            lock.acquire_read()
            counts["read"] += 1
            time.sleep(0.001)
            lock.release_read()

    def write():
        while min(counts.values()) < 20:
            with lock.writing():
                counts["write"] += 1
                time.sleep(0.001)

    in_threads(read, read, write)


def test_the_writing_thread_may_read():
    lock = StateLock()
    with lock.writing():
        lock.acquire_read()
        lock.release_read()


def test_a_thread_that_lost_its_place_as_a_reader_is_forgotten():
    lock = StateLock()
    lock.acquire_read()  # and an interrupt hits before release_read
    with lock.writing():
        pass
    lock.acquire_read()
    lock.acquire_read()
    lock.release_read()
    in_threads(lambda: lock.acquire_write())


@pytest.mark.parametrize("kind", [StateLock, MakingLock])
def test_copies_of_locks_are_free(kind):
    lock = kind()
    with lock.lock if kind is MakingLock else lock.writing():
        for duplicate in (copy.deepcopy(lock), pickle.loads(pickle.dumps(lock))):
            done = []
            in_threads(lambda duplicate=duplicate, done=done: done.append(_use(duplicate)))
            assert done == [True]


def _use(lock):
    with lock.lock if isinstance(lock, MakingLock) else lock.writing():
        return True


def test_signals_wait_for_the_end_of_the_context():
    reached = []

    def hold():
        with deferred_interrupts():
            signal.raise_signal(signal.SIGINT)
            with deferred_interrupts():
                signal.raise_signal(signal.SIGINT)
            reached.append(1)
        reached.append(2)

    for gate in (interrupt_gate, deferred_interrupts):
        handler = signal.getsignal(signal.SIGINT)
        reached.clear()
        with pytest.raises(KeyboardInterrupt):
            _inside(gate, hold)
        assert reached == [1]
        assert signal.getsignal(signal.SIGINT) is handler


def _inside(gate, function):
    if gate is deferred_interrupts:
        function()
        return
    with gate():
        function()


def test_a_signal_asks_what_runs_to_end_early():
    asked = []

    def hold():
        with deferred_interrupts(lambda: asked.append(True)):
            signal.raise_signal(signal.SIGINT)
            assert asked == [True]

    with pytest.raises(KeyboardInterrupt):
        hold()


def test_signals_outside_of_deferred_code_come_at_once():
    def raise_inside():
        with interrupt_gate():
            with deferred_interrupts():
                pass
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        raise_inside()


def test_other_threads_defer_nothing():
    done = []

    def work():
        with interrupt_gate(), deferred_interrupts():
            done.append(True)

    in_threads(work)
    assert done == [True]
