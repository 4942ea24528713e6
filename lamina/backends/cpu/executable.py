"""A compiled program at run time: its machine code, the memory of a run, and the calls into it."""

from __future__ import annotations

import ctypes
import time
import weakref
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from lamina.backends.base import Array, Program, Report, StepsResult, check_arrays
from lamina.backends.cpu import host, threads
from lamina.backends.cpu.context import COUNTER_BYTES, FLAG_BYTES, ROUNDS, Answer, Slot
from lamina.backends.cpu.image import Code
from lamina.backends.cpu.memory import address, aligned
from lamina.backends.cpu.pace import Burst, Pace
from lamina.core import dtypes
from lamina.core.config import config
from lamina.core.interrupts import deferred_interrupts
from lamina.ir.graph import Value

Index = np.ndarray[Any, np.dtype[np.int64]]

# Estimated nanoseconds of a run from which waking other threads pays; and of a step from which sharing it
# with threads that are awake does.
WORTH_WAKING = 150_000.0
WORTH_SHARING = 20_000.0
SMALL_OUTPUT = 4096  # bytes
# Shorter runs measure how fast threads wake, not how fast they work.
STEPS_THAT_COUNT = 4
NANOSECONDS_THAT_COUNT = 500_000

_ONE_STEP = memoryview(np.array([1, 0], np.int64))  # type: ignore[arg-type]  # in STEPS and GATHERING
_NOTHING_YET = memoryview(np.zeros(3, np.int64))  # type: ignore[arg-type]  # in FLAG, DONE and STOP


class Layout:
    """What the runtime must know of the code besides the program: kept in the disk cache beside it."""

    def __init__(
        self, arena_bytes: int, scratch_bytes: int, nanoseconds: float, claims: int, cores: int
    ) -> None:
        self.arena_bytes = arena_bytes
        self.scratch_bytes = scratch_bytes
        self.nanoseconds = nanoseconds
        self.claims = claims
        self.cores = cores


class Bound(NamedTuple):
    """Data that a frame points at, which are looked at again only when they have changed."""

    array: weakref.ref[Array]
    looks: tuple[tuple[int, ...], Any]


class Frame:
    """The memory of one run: context, tables of pointers, arena, scratch. Each concurrent run has its own."""

    def __init__(self, program: Program, layout: Layout, constants: Sequence[Array], workers: int) -> None:
        self.context = aligned(8 * Slot.SIZE).view(np.int64)
        self.context[:] = 0
        self.slots = memoryview(self.context)  # type: ignore[arg-type]  # quicker for single numbers
        self.arena = aligned(layout.arena_bytes)
        self.scratch = aligned(workers * (-(-layout.scratch_bytes // 128) * 128))
        self.counters = aligned(workers * layout.claims * COUNTER_BYTES).view(np.int64)
        self.signals = aligned(workers * ROUNDS * FLAG_BYTES).view(np.int64)
        self.signals[:] = 0
        count = len(program.inputs)
        self.states = np.zeros(max(1, len(program.states)), np.uintp)
        self.inputs = np.zeros(max(1, count), np.uintp)
        self.outputs = np.zeros(max(1, len(program.outputs)), np.uintp)
        self.small_outputs: list[Array] = []
        for position, value in enumerate(program.outputs):
            if _is_small(value):
                memory = aligned(value.size * dtypes.itemsize(value.dtype))
                self.small_outputs.append(memory.view(dtypes.to_numpy(value.dtype)).reshape(value.shape))
                self.outputs[position] = address(memory)
        self.data = np.zeros(max(1, count), np.uintp)
        self.kinds = np.zeros(max(1, count), np.int64)
        self.constants = np.array([address(array) for array in constants] or [0], np.uintp)
        self.batches = [aligned(value.size * dtypes.itemsize(value.dtype)) for value in program.inputs]
        self.batch_addresses = [address(batch) for batch in self.batches]
        self.given: object = None
        self.bound: list[Bound | None] = [None] * count
        tables = (
            (Slot.STATES, self.states), (Slot.INPUTS, self.inputs), (Slot.OUTPUTS, self.outputs),
            (Slot.CONSTANTS, self.constants), (Slot.DATA, self.data), (Slot.KINDS, self.kinds),
            (Slot.ARENA, self.arena), (Slot.SCRATCH, self.scratch),
            (Slot.COUNTERS, self.counters), (Slot.SIGNALS, self.signals),
        )  # fmt: skip
        for slot, table in tables:
            self.context[slot] = address(table)
        self.context[Slot.YIELD], self.context[Slot.SLEEP], self.context[Slot.SLEEP_ARGUMENT] = (
            threads.waiting_functions()
        )
        self.context[Slot.HOST] = host.address()
        self.address = address(self.context)


class CpuExecutable:
    """Runs machine code on arrays. Several threads may call it at once; each gets a frame of its own."""

    def __init__(
        self, program: Program, code: Code, layout: Layout, constants: Sequence[Array], report: Report
    ) -> None:
        self.program = program
        self.report = report
        self._code = code
        self._layout = layout
        self._constants = [_copied(array) for array in constants]
        self._address = code.address("run")
        self._entry = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)(self._address)
        self._workers = config.num_threads or layout.cores
        self._pace = Pace(self._workers)
        self._burst = Burst(self._workers)
        self._frames: list[Frame] = []
        self._running: set[Frame] = set()
        self._output_types = [(value.shape, dtypes.to_numpy(value.dtype)) for value in program.outputs]
        self._large_outputs = [
            position for position, value in enumerate(program.outputs) if not _is_small(value)
        ]
        self._input_types = [(value.shape, dtypes.to_numpy(value.dtype)) for value in program.inputs]
        report.threads = self._workers if layout.nanoseconds >= WORTH_SHARING else 1

    def run(self, states: Sequence[Array], inputs: Sequence[Array]) -> tuple[list[Array], bool]:
        frame = self._frame()
        try:
            self._bind_states(frame, states)
            if len(inputs) != len(self._input_types):
                check_arrays(self.program.inputs, inputs, "inputs")
            kept = []
            for position, (array, (shape, dtype)) in enumerate(zip(inputs, self._input_types)):
                if array.shape != shape or array.dtype != dtype:
                    check_arrays(self.program.inputs, inputs, "inputs")
                if not array.flags.c_contiguous:
                    array = np.ascontiguousarray(array)
                kept.append(array)
                frame.inputs[position] = address(array)
            large = self._place_large(frame)
            frame.slots[Slot.STEPS : Slot.GATHERING + 1] = _ONE_STEP
            self._call(frame, 1)
            return self._outputs(frame, large), not frame.slots[Slot.FLAG]
        finally:
            self._running.discard(frame)
            self._frames.append(frame)

    def run_steps(self, states: Sequence[Array], data: Sequence[Array], index: Index) -> StepsResult:
        frame = self._frame()
        try:
            self._bind_states(frame, states)
            kept = [self._bind_data(frame, position, array) for position, array in enumerate(data)]
            rows = np.ascontiguousarray(index, np.int64)
            large = self._place_large(frame)
            context = frame.slots
            context[Slot.STEPS] = len(rows)
            context[Slot.GATHERING] = 1
            context[Slot.INDEX] = address(rows)
            self._call(frame, len(rows))
            del kept
            return StepsResult(context[Slot.DONE], not context[Slot.FLAG], self._outputs(frame, large))
        finally:
            self._running.discard(frame)
            self._frames.append(frame)

    def abort(self) -> None:
        """Ask a `run_steps` that is under way in another thread to stop after its current step."""
        for frame in tuple(self._running):
            frame.slots[Slot.ABORT] = 1

    # -- binding -------------------------------------------------------------------------------

    def _frame(self) -> Frame:
        try:
            frame = self._frames.pop()
        except IndexError:
            frame = Frame(self.program, self._layout, self._constants, self._workers)
        self._running.add(frame)
        return frame

    def _bind_states(self, frame: Frame, states: Sequence[Array]) -> None:
        """State arrays keep their identity, so a tuple seen before needs no second look."""
        if states is frame.given:
            return
        check_arrays(self.program.states, states, "states")
        for position, array in enumerate(states):
            if not array.flags.c_contiguous:
                raise ValueError("State arrays must be contiguous.")
            frame.states[position] = address(array)
        frame.given = states if isinstance(states, tuple) else None

    def _bind_data(self, frame: Frame, position: int, array: Array) -> Array:
        """Point at the data a batch is gathered from, converted first if the code cannot do it on the way."""
        bound = frame.bound[position]
        if bound is not None and bound.array() is array and bound.looks == (array.shape, array.dtype):
            frame.inputs[position] = frame.batch_addresses[position]
            return array
        given = array
        shape, dtype = self._input_types[position]
        if array.shape[1:] != shape[1:] and shape:
            raise ValueError(f"Rows of shape {array.shape[1:]} do not fit the program's {shape[1:]}.")
        from_bytes = array.dtype == np.uint8 and dtype == np.float32 and len(shape) >= 2
        if array.dtype != dtype and not from_bytes:
            array = array.astype(dtype)
        array = np.ascontiguousarray(array)
        frame.data[position] = address(array)
        frame.kinds[position] = int(from_bytes and array.dtype != dtype)
        frame.inputs[position] = frame.batch_addresses[position]
        looks = given.shape, given.dtype
        frame.bound[position] = Bound(weakref.ref(given), looks) if array is given else None
        return array

    def _place_large(self, frame: Frame) -> list[Array]:
        """New memory for the large outputs of a run."""
        outputs = []
        for position in self._large_outputs:
            outputs.append(output := np.empty(*self._output_types[position]))
            frame.outputs[position] = address(output)
        return outputs

    def _outputs(self, frame: Frame, large: list[Array]) -> list[Array]:
        """The outputs: copies of the small ones, which takes less time than asking where new ones lie."""
        outputs = [small.copy() for small in frame.small_outputs]
        for position, output in zip(self._large_outputs, large):
            outputs.insert(position, output)
        return outputs

    def _call(self, frame: Frame, steps: int) -> None:
        context = frame.slots
        context[Slot.FLAG : Slot.STOP + 1] = _NOTHING_YET
        context[Slot.ABORT] = 0
        if self._layout.claims:
            frame.counters.fill(0)
        step = self._layout.nanoseconds
        if self._workers == 1 or step < WORTH_SHARING:
            self._entry(frame.address, 0, 1)
        elif step * steps < WORTH_WAKING:
            self._call_soon(frame)
        else:
            self._call_paced(frame)
        if host.failures:
            host.raise_failure(frame.address + 8 * Slot.FLAG)

    def _call_soon(self, frame: Frame) -> None:
        """A short run: shared if the workers are looking for one."""
        burst = self._burst
        start = time.perf_counter_ns()
        workers = burst.choose(start)
        answer = Answer.AWAY
        if workers > 1:
            answer = threads.pool.hurry(self._address, frame.address, workers)
            if answer == Answer.AWAY:
                with deferred_interrupts():
                    threads.pool.rouse(workers)
        if answer != Answer.DONE:
            self._entry(frame.address, 0, 1)
        burst.note(workers if answer == Answer.DONE else 1, start, time.perf_counter_ns())

    def _call_paced(self, frame: Frame) -> None:
        """A longer run: the workers are woken where that pays."""
        context = frame.slots
        workers = self._pace.choose()
        start = time.perf_counter_ns()
        # Another program may be using the workers; one thread gives the same bits, only later.
        free = workers > 1 and self._call_together(frame, workers)
        if not free:
            self._entry(frame.address, 0, 1)
        if not (free or workers == 1):
            return
        nanoseconds, done = time.perf_counter_ns() - start, context[Slot.DONE]
        if done >= STEPS_THAT_COUNT or (done and nanoseconds >= NANOSECONDS_THAT_COUNT):
            self._pace.note(workers, nanoseconds / done)

    def _call_together(self, frame: Frame, workers: int) -> bool:
        """Run on that many threads; False when another program is using them."""
        answer = threads.pool.hurry(self._address, frame.address, workers)
        if answer != Answer.AWAY:
            return answer == Answer.DONE
        # Ctrl-C between sending the others off and joining them would leave them waiting for ever.
        with deferred_interrupts():
            return threads.pool.run(self._address, frame.address, workers)


def _is_small(output: Value) -> bool:
    return output.size * dtypes.itemsize(output.dtype) <= SMALL_OUTPUT


def _copied(array: Array) -> Array:
    memory = aligned(max(1, array.nbytes))
    memory[: array.nbytes] = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
    return memory
