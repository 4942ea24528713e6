"""The reference backend: NumPy, one row per primitive. Slow, obviously right, the judge of the others."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from lamina.backends.base import Array, KernelReport, Program, Report, StepsResult, check_arrays
from lamina.core.dtypes import to_numpy
from lamina.interp import run_graph
from lamina.passes import pipeline


class ReferenceExecutable:
    """Interprets the program's graph node by node."""

    def __init__(self, program: Program) -> None:
        self.program = program
        nodes = program.graph.nodes()
        kernels = [
            KernelReport(
                node.primitive.name, f"{node.primitive.name} -> {node.types[0]}", why="one NumPy call each"
            )
            for node in nodes
            if node.inputs
        ]
        self.report = Report(program.name, "reference", "NumPy interprets the graph", kernels=kernels)
        self._abort = threading.Event()

    def run(self, states: Sequence[Array], inputs: Sequence[Array]) -> tuple[list[Array], bool]:
        check_arrays(self.program.states, states, "states")
        check_arrays(self.program.inputs, inputs, "inputs")
        return self._step(states, inputs)

    def _step(self, states: Sequence[Array], inputs: Sequence[Array]) -> tuple[list[Array], bool]:
        program = self.program
        results = run_graph(program.graph, [*states, *inputs])
        outputs = [np.array(result) for result in results[: len(program.outputs)]]
        new_states = results[len(program.outputs) : len(program.outputs) + len(program.updates)]
        finite = all(bool(np.isfinite(guard).all()) for guard in results[len(outputs) + len(new_states) :])
        if finite:
            for (position, _), new in zip(program.updates, new_states):
                states[position][...] = new
        return outputs, finite

    def run_steps(
        self, states: Sequence[Array], data: Sequence[Array], index: np.ndarray[Any, np.dtype[np.int64]]
    ) -> StepsResult:
        check_arrays(self.program.states, states, "states")
        self._abort.clear()
        outputs: list[Array] = []
        for done, rows in enumerate(index):
            if self._abort.is_set():
                return StepsResult(done, True, outputs)
            batch = [
                np.asarray(array[rows], to_numpy(value.dtype))
                for array, value in zip(data, self.program.inputs)
            ]
            outputs, finite = self._step(states, batch)
            if not finite:
                return StepsResult(done, False, outputs)
        return StepsResult(len(index), True, outputs)

    def abort(self) -> None:
        """Ask a `run_steps` that is under way in another thread to stop after its current step."""
        self._abort.set()


class ReferenceBackend:
    """Runs the passes, and compiles nothing."""

    name = "reference"

    def compile(self, program: Program, key: str) -> ReferenceExecutable:
        start = time.perf_counter()
        executable = ReferenceExecutable(program.with_results(pipeline.run(program.graph.outputs)))
        executable.report.compile_seconds = time.perf_counter() - start
        return executable
