"""Tracing the functions that loops and branches are made of, and closing over what they read from outside."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from lamina.core.errors import GradientError
from lamina.ir.graph import TensorType, Value
from lamina.ir.trace import State, Tensor, Trace, current, new_input


class BodyTrace(Trace):
    """Traces the function of a loop or branch inside another trace.

    State is read from the surrounding trace, unless the function itself has assigned it or carries it.
    """

    def __init__(self, outer: Trace, carried: Sequence[State], values: Sequence[Value]) -> None:
        super().__init__()
        self._outer = outer
        self._held = {id(state): Tensor(value) for state, value in zip(carried, values)}
        self.written: list[State] = []

    def read(self, state: State) -> Tensor:
        held = self._held.get(id(state))
        return self._outer.read(state) if held is None else held

    def read_initial(self, state: State) -> Tensor:
        if any(state is other for other in self.written):
            raise GradientError(
                f"'{state.name}' is assigned in this loop or branch: it has no one value to differentiate by."
            )
        return self._outer.read_initial(state)

    def write(self, state: State, tensor: Any) -> None:
        self._held[id(state)] = Tensor(self.assigned(state, tensor))
        if not any(state is other for other in self.written):
            self.written.append(state)


class TracedBody(NamedTuple):
    """What tracing a function gave: its inputs, its result as it nests, the state it assigns."""

    inputs: list[Value]
    result: Any
    states: list[State]
    state_results: list[Value]


def trace_body(
    function: Callable[..., Any], types: Sequence[TensorType], carried: Sequence[State] = ()
) -> TracedBody:
    """Run `function` on fresh tensors of these types, inside the current trace.

    carried: state that comes in through inputs of the body, after those of `types`. Whoever calls passes
    the states that an earlier attempt found to be assigned, until no others are.
    """
    outer = current()
    assert outer is not None, "bodies are traced inside a trace"
    inputs = [new_input("body", kind) for kind in types]
    states = [new_input(state.name, TensorType(tuple(state.shape), state.dtype)) for state in carried]
    trace = BodyTrace(outer, carried, states)
    with trace:
        result = function(*map(Tensor, inputs))
        written = [*carried, *(state for state in trace.written if not _among(state, carried))]
        results = [trace.read(state).value for state in written]
    return TracedBody([*inputs, *states], result, written, results)


def _among(state: State, states: Sequence[State]) -> bool:
    return any(state is other for other in states)


def trace_bodies(
    functions: Sequence[Callable[..., Any]], types: Sequence[TensorType]
) -> tuple[list[TracedBody], list[State]]:
    """Trace several functions of the same tensors, with all the state that any of them assigns carried."""
    carried: list[State] = []
    while True:
        traced = [trace_body(function, types, carried) for function in functions]
        missing = [state for body in traced for state in body.states if not _among(state, carried)]
        if not missing:
            return traced, carried
        for state in missing:
            if not _among(state, carried):
                carried.append(state)
