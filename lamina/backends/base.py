"""The contract between the library and its backends.

A Program is a pure function of state, Program(state, inputs) -> (outputs, new state), with guards: the new
state is kept only if every guard is finite everywhere. An Executable runs it on arrays; state arrays are
updated in place, and change hands only at step boundaries.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple, Protocol

import numpy as np

from lamina.ir.graph import Graph, Value, constant_type

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Program:
    """What a backend compiles.

    name: for reports. states: input values that are state. inputs: input values given at each run.
    outputs: the results. updates: (position in `states`, new value). guards: floats that must be finite for
    the updates to be applied.
    """

    name: str
    states: tuple[Value, ...]
    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]
    updates: tuple[tuple[int, Value], ...] = ()
    guards: tuple[Value, ...] = ()

    @cached_property
    def graph(self) -> Graph:
        """Everything as one graph: (states, inputs) -> (outputs, new states, guards)."""
        new_states = tuple(value for _, value in self.updates)
        return Graph(self.states + self.inputs, self.outputs + new_states + self.guards)

    def with_results(self, results: Sequence[Value]) -> Program:
        """The same program computing other values: `results` in the order of `graph.outputs`."""
        outputs = tuple(results[: len(self.outputs)])
        new_states = results[len(self.outputs) : len(self.outputs) + len(self.updates)]
        updates = tuple((position, value) for (position, _), value in zip(self.updates, new_states))
        guards = tuple(results[len(self.outputs) + len(self.updates) :])
        return Program(self.name, self.states, self.inputs, outputs, updates, guards)


class StepsResult(NamedTuple):
    """What `run_steps` did: steps applied, whether all guards held, the last step's outputs.

    When a guard did not hold, that was at step `done`, which was not applied.
    """

    done: int
    finite: bool
    outputs: list[Array]


@dataclass
class KernelReport:
    """One kernel: what it computes, what was fused into it and why, its cost."""

    name: str
    what: str
    fused: list[str] = field(default_factory=list)
    why: str = ""
    flops: int = 0
    bytes: int = 0
    tasks: int = 1
    shared_with: str | None = None


@dataclass
class Report:
    """What a backend made of a program; shown by `model.compile_report()`."""

    program: str
    backend: str
    why: str
    threads: int = 1
    kernels: list[KernelReport] = field(default_factory=list)
    arena_bytes: int = 0
    state_bytes: int = 0
    compile_seconds: float = 0.0
    stages: dict[str, float] = field(default_factory=dict)
    cache_hit: bool = False
    target: str = ""

    @property
    def flops(self) -> int:
        return sum(kernel.flops for kernel in self.kernels)

    @property
    def bytes(self) -> int:
        return sum(kernel.bytes for kernel in self.kernels)


class Executable(Protocol):
    """A compiled program. Safe to call from several threads."""

    program: Program
    report: Report

    def run(self, states: Sequence[Array], inputs: Sequence[Array]) -> tuple[list[Array], bool]:
        """One step: the outputs (fresh arrays), and whether the guards held and the updates were applied."""
        ...

    def run_steps(
        self, states: Sequence[Array], data: Sequence[Array], index: np.ndarray[Any, np.dtype[np.int64]]
    ) -> StepsResult:
        """`len(index)` steps. Step s takes the rows `index[s]` of every array in `data`, one for each input.

        An array may have another dtype than its input: images of uint8 become float32 while their rows are
        gathered. Stops before the first step whose guards fail. The indices have been checked by the caller.
        """
        ...

    def abort(self) -> None:
        """Ask a `run_steps` that is under way in another thread to stop after its current step."""
        ...


class Backend(Protocol):
    """A way to run programs."""

    name: str

    def compile(self, program: Program, key: str) -> Executable:
        """Passes included. `key` is a digest of everything the program computes, for caches."""
        ...


def check_arrays(values: Sequence[Value], arrays: Sequence[Array], kind: str) -> None:
    """Guard the door of a compiled program: the arrays are exactly what it was compiled for."""
    if len(values) != len(arrays):
        raise ValueError(f"The program takes {len(values)} {kind}, got {len(arrays)}.")
    for value, array in zip(values, arrays):
        found = constant_type(array)
        if found != value.type:
            raise ValueError(f"The program was compiled for {value.type}, got {found}.")
