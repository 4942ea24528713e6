"""The records through which Python, running programs and their threads talk: 64-bit slots, those that threads
fight over apart.
"""

from __future__ import annotations

from enum import IntEnum

FLAG_BYTES = 64  # of a signal at a barrier: each has a cache line to itself
ROUNDS = 16  # of signals at a barrier, enough for 65,536 threads
COUNTER_BYTES = 64  # from one counter of claimed work to the next: each has a cache line to itself


class Slot:
    """Positions in the context, in units of 8 bytes. A cache line is 8 slots; two are kept apart from each
    other. Plain numbers, because each run writes at many of them.
    """

    STATES = 0  # pointer to the table of pointers to state
    INPUTS = 1
    OUTPUTS = 2
    CONSTANTS = 3
    DATA = 4  # pointers to the data that batches are gathered from
    KINDS = 5  # for each of these: 0 as the input, 1 uint8
    INDEX = 6  # rows of each step's batch
    ARENA = 7
    SCRATCH = 8
    STEPS = 9
    GATHERING = 10  # whether batches are gathered, or inputs point at them
    YIELD = 11  # int yield(void): give the processor away
    SLEEP = 12  # int sleep(unsigned): a short nap
    SLEEP_ARGUMENT = 13
    HOST = 14  # void call_back(description, its length, table of addresses, flag): `host`
    COUNTERS = 15  # of the pieces of long kernels that are claimed
    SIGNALS = 16  # of threads at barriers
    PASSED = 17  # barriers that the threads of earlier runs have passed: signals are never set back
    FLAG = 32  # a guard was raised
    DONE = 33
    STOP = 34
    ABORT = 48
    SIZE = 64


class Answer(IntEnum):
    """What `hurry` says."""

    DONE = 0
    TAKEN = 1  # another run has the workers
    AWAY = 2  # a worker sleeps, or has given its processor away


class State(IntEnum):
    """What a worker is doing. It goes from READY to AWAY and ASLEEP itself, and back to READY; a run goes
    by way of HELD, or at once, to POSTED, and the worker back to READY.
    """

    ASLEEP = 0
    WAKING = 1  # somebody is about to wake it
    READY = 2  # it looks at its desk
    AWAY = 3  # it gave its processor away, and will look again
    HELD = 4  # somebody is about to post a run
    POSTED = 5  # there is a run on the desk; it is READY when done


class Desk(IntEnum):
    """The record of a worker, in units of 8 bytes."""

    STATE = 0
    PROGRAM = 1
    CONTEXT = 2
    NUMBER = 3  # its thread number
    THREADS = 4
    WOKEN = 5  # whether `post` or `rouse` found it asleep
    SIZE = 16


class PoolRecord(IntEnum):
    """The record of all workers, in units of 8 bytes."""

    TABLE = 0  # of pointers to desks
    YIELD = 1  # int yield(void)
    BUSY = 8  # whether a run has the workers
    SIZE = 16
