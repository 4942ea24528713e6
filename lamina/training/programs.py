"""The compiled steps of one model: traced and compiled when first needed, kept per type of batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import numpy as np

from lamina.backends.base import StepsResult
from lamina.core import tree
from lamina.core.config import config
from lamina.core.errors import ArgumentError
from lamina.core.interrupts import deferred_interrupts
from lamina.function import Traced, compile_program, guard, trace_program
from lamina.ir.trace import current
from lamina.training.data import Arrays, BatchType, Index, pack_x_y_sample_weight
from lamina.training.lock import MakingLock, StateLock
from lamina.training.step import Steps

# Programs of one kind to keep; a model that meets more shapes than this forgets the oldest.
_KEPT = 128


class Program:
    """One compiled step of a model: its executable, and the arrays of the state that it reads and writes."""

    def __init__(self, traced: Traced, backend: str | None) -> None:
        self.executable = compile_program(traced.program, backend)
        self.traced = traced
        self.structure = traced.structure
        # One tuple for all runs: the executable recognises it and binds its addresses once.
        self.states = tuple(state.array for state in traced.states)
        self.writes = bool(traced.program.updates)
        self.id_checks = traced.id_checks

    def run_steps(self, arrays: Arrays, index: Index) -> StepsResult:
        return self.executable.run_steps(self.states, arrays, index)

    def run(self, arrays: Arrays) -> list[np.ndarray[Any, Any]]:
        return self.executable.run(self.states, arrays)[0]

    def abort(self) -> None:
        self.executable.abort()


class Programs:
    """The programs of one model; copies of the model start without any. `lock` guards the model's state."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self.lock = StateLock()
        self._making = MakingLock()
        self._programs: dict[Any, Any] = {}
        self._others: dict[Any, Any] = {}

    def __reduce__(self) -> tuple[type[Programs], tuple[Any]]:
        return Programs, (self.model,)

    def forget(self) -> None:
        """The model has changed: programs are made anew."""
        self._programs, self._others = {}, {}

    def keep(self, key: Any, make: Callable[[], Any]) -> Any:
        """What `make` gives, made when `key` is first asked for; whoever changes the model forgets it too."""
        found = self._others.get(key)
        if found is None:
            with self._making.lock, deferred_interrupts():
                found = self._others.get(key) or make()
                self._others[key] = found
        return found

    def get(self, kind: str, batch_type: BatchType) -> Any:
        """The program for "train", "test" or "predict" steps on such batches."""
        model = self.model
        key = (
            kind,
            batch_type.key,
            model._backend or config.backend,
            config.num_threads,
            model.run_eagerly,
            model.optimizer.update_rule() if kind == "train" and model.optimizer else None,
        )
        program = self._programs.get(key)
        if program is None:
            with self._making.lock:
                program = self._programs.get(key) or self._make(kind, batch_type)
                if len(self._programs) >= _KEPT:
                    self._programs.pop(next(iter(self._programs)), None)
                self._programs[key] = program
        return program

    def all(self) -> list[tuple[str, Any]]:
        """(kind, program) for each program made so far."""
        return [(key[0], program) for key, program in self._programs.items()]

    def _make(self, kind: str, batch_type: BatchType) -> Any:
        model = self.model
        if model.run_eagerly:
            from lamina.training.eager import EagerProgram

            return EagerProgram(step_function(model, kind, batch_type))
        traced = self.trace(kind, batch_type)
        return Program(traced, model._backend)

    def trace(self, kind: str, batch_type: BatchType) -> Traced:
        """The step as a graph."""
        model = self.model
        flags = trainable_as_compiled(model) if kind == "train" else nullcontext()
        with self._making.lock, deferred_interrupts(), flags:
            return trace_program(
                step_function(model, kind, batch_type), batch_type.types, f"{model.name}_{kind}"
            )


def step_function(model: Any, kind: str, batch_type: BatchType) -> Callable[..., Any]:
    """A function of the flat arrays of a batch that runs the model's step on them."""
    step = {"train": model.train_step, "test": model.test_step, "predict": model.predict_step}[kind]

    def run(*tensors: Any) -> Any:
        data = pack_x_y_sample_weight(*batch_type.pack(tensors))
        if kind == "predict":
            return step(data)
        logs = step(data)
        if not isinstance(logs, dict):
            raise ArgumentError(
                f"{kind}_step() must return a dict of what appears in the logs.",
                expected='for example {"loss": loss}',
                got=type(logs).__name__,
            )
        if kind == "train":
            _guard_updates(model)
        return logs

    return run


def _guard_updates(model: Any) -> None:
    """A train_step of the user's own: keep its updates only if all new weights are finite."""
    trace = current()
    if trace is None or type(model).train_step is Steps.train_step:
        return
    changed = {id(trace.states[position]) for position, _ in trace.updates()}
    for variable in model.trainable_variables:
        if id(variable) in changed:
            guard(trace.read(variable))


@contextmanager
def trainable_as_compiled(model: Any) -> Iterator[None]:
    """Inside, layers are trainable or frozen as they were when `compile` was called: Keras' rule."""
    compiled: Sequence[tuple[Any, bool]] = model._trainable_when_compiled
    now = [(layer, layer.trainable) for layer, _ in compiled]
    if now == list(compiled):
        yield
        return
    _set_trainable(compiled)
    try:
        yield
    finally:
        _set_trainable(now)


def _set_trainable(flags: Sequence[tuple[Any, bool]]) -> None:
    # A layer passes its flag on to those inside it, which come later in the list.
    for layer, flag in flags:
        layer.trainable = flag


def logs_of(structure: dict[str, Any], outputs: list[Any]) -> dict[str, Any]:
    """The outputs of a step as logs: numbers where they are scalars."""
    if not any(structure.values()):  # a flat dict, whose values come sorted by name
        in_order = dict(zip(sorted(structure), outputs))
        return {name: _number(in_order[name]) for name in structure}
    return _flat(tree.pack_like(structure, outputs))


def _flat(logs: dict[str, Any]) -> dict[str, Any]:
    """Results that are dicts, such as those of the compiled metrics, put in the place of their name."""
    flat: dict[str, Any] = {}
    for name, value in logs.items():
        flat.update(_flat(value) if isinstance(value, dict) else {name: _number(value)})
    return flat


def _number(value: Any) -> Any:
    return value.item() if isinstance(value, np.ndarray) and value.size == 1 else value
