"""The choice between one thread and all of them."""

from lamina.backends.cpu.pace import Pace


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
