"""The record through which Python and a running program talk: 64-bit slots, those that threads fight over
apart.
"""

from __future__ import annotations

from enum import IntEnum

COUNTER_BYTES = 64  # from one counter of claimed work to the next: each has a cache line to itself


class Slot(IntEnum):
    """Positions in the context, in units of 8 bytes. A cache line is 8 slots; two are kept apart from each
    other.
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
    FLAG = 32  # a guard was raised
    DONE = 33
    STOP = 34
    ABORT = 48
    ARRIVED = 64  # threads at the barrier
    GENERATION = 80  # barriers passed
    SIZE = 96
