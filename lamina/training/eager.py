"""`compile(run_eagerly=True)`: the Python code of a step runs at every step, and its tensors have numbers.

The step is traced as ever, so that gradients are the same; but this trace knows its inputs, and computes a
value with the interpreter as soon as somebody asks for its numbers (`print`, `if`, `float`, `.numpy()`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from lamina.backends.base import StepsResult
from lamina.core import dtypes, tree
from lamina.core.shapes import Shape
from lamina.function import Traced, trace_program
from lamina.interp import evaluate
from lamina.ir.graph import TensorType, Value, topological
from lamina.ir.trace import State, Tensor, Trace
from lamina.training.data import Arrays, Index

Array = np.ndarray[Any, Any]


class EagerTrace(Trace):
    """A trace whose inputs are the given arrays, in order."""

    knows_numbers = True

    def __init__(self, arrays: Arrays) -> None:
        super().__init__()
        self._given: Iterator[Array] = iter(arrays)
        self._known: dict[Value, Array] = {}

    def input(self, name: str, shape: Shape, dtype: str) -> Tensor:
        tensor = super().input(name, shape, dtype)
        self._known[tensor.value] = next(self._given)
        return tensor

    def read(self, state: State) -> Tensor:
        tensor = super().read(state)
        if tensor.value in self.state_inputs and tensor.value not in self._known:
            self._known[tensor.value] = np.array(state.array)
        return tensor

    def evaluate(self, value: Value) -> Array:
        for state, held in zip(self.states, self.state_inputs):
            if held not in self._known:
                self._known[held] = np.array(state.array)
        for node in topological([value]):
            if node.outputs[0] not in self._known:
                operands = [self._known[operand] for operand in node.inputs]
                self._known.update(zip(node.outputs, evaluate(node.primitive, operands, node.attributes)))
        return self._known[value]


class EagerProgram:
    """Has the face of a compiled program, but runs the step's Python code each time."""

    writes = True
    executable = None
    id_checks: tuple[Any, ...] = ()  # checked at every step

    def __init__(self, step: Callable[..., Any]) -> None:
        self._step = step
        self._stop = False
        self.structure: Any = None

    def run_steps(self, arrays: Arrays, index: Index) -> StepsResult:
        self._stop = False
        outputs: list[Array] = []
        for done, rows in enumerate(index):
            if self._stop:
                return StepsResult(done, True, outputs)
            outputs, finite = self._run([array[rows] for array in arrays])
            if not finite:
                return StepsResult(done, False, outputs)
        return StepsResult(len(index), True, outputs)

    def run(self, arrays: Arrays) -> list[Array]:
        return self._run(arrays)[0]

    def abort(self) -> None:
        self._stop = True

    def _run(self, arrays: Arrays) -> tuple[list[Array], bool]:
        trace = EagerTrace(arrays)
        types = [TensorType(array.shape, dtypes.of_numpy(array.dtype)) for array in arrays]
        traced: Traced = trace_program(self._step, types, trace=trace)
        for ids in traced.id_checks:
            ids.check(arrays)
        self.structure = tree.map_structure(lambda _: None, traced.structure)
        program = traced.program
        outputs = [np.array(trace.evaluate(value)) for value in program.outputs]
        new = [(traced.states[position].array, trace.evaluate(value)) for position, value in program.updates]
        finite = all(bool(np.isfinite(trace.evaluate(value)).all()) for value in program.guards)
        if finite:
            for array, values in new:
                array[...] = values
        return outputs, finite
