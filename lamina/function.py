"""`lamina.function`: trace -> passes -> backend -> cached executable. `fit` itself is built on this page."""

from __future__ import annotations

import functools
import gc
import os
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import lamina.ops  # noqa: F401 - gives tensors their operators
from lamina.backends.base import Executable, Program
from lamina.backends.registry import choose
from lamina.core import dtypes, tree
from lamina.core.config import config
from lamina.core.errors import GradientError, StateError
from lamina.core.scopes import Scope, contained
from lamina.grad.reverse import gradients as reverse_gradients
from lamina.ids import IdCheck, collecting
from lamina.interp.array import Array
from lamina.ir.bind import as_value
from lamina.ir.graph import TensorType, Value
from lamina.ir.structure import structure_key
from lamina.ir.trace import State, Tensor, Trace, current


@dataclass
class Traced:
    """A traced function: the program, the state objects it reads and writes, the structure of its result.

    id_checks: what its inputs have to keep, to be looked at before it runs.
    """

    program: Program
    states: list[State]
    structure: Any
    id_checks: list[IdCheck] = field(default_factory=list)


_guards: Scope[list[Value] | None] = Scope(None)
_is_first = True


def trace_program(
    function: Callable[..., Any],
    input_types: Sequence[Any],
    name: str = "program",
    trace: Trace | None = None,
) -> Traced:
    """Run `function` once on symbolic tensors and keep what it did.

    input_types: one entry per argument, each a TensorType or a nested structure of them.
    trace: what collects it, a new Trace by default.
    The result may be any nested structure of tensors; arrays and numbers in it become constants.
    """
    guards: list[Value] = []
    with _no_collection(), Trace() if trace is None else trace as trace:
        arguments = [
            tree.map_with_path(functools.partial(_new_input, trace, position), entry)
            for position, entry in enumerate(input_types)
        ]
        with _guards.holding(guards), collecting(trace) as id_checks:
            result = function(*arguments)
        outputs = tuple(as_value(_tensor(leaf)) for leaf in tree.leaves(result))
    program = Program(
        name,
        states=tuple(trace.state_inputs),
        inputs=tuple(trace.inputs),
        outputs=outputs,
        updates=tuple(trace.updates()),
        guards=tuple(guards),
    )
    return Traced(program, trace.states, tree.map_structure(lambda leaf: None, result), id_checks)


@contextmanager
def _no_collection() -> Iterator[None]:
    """Tracing and compiling make many objects and little garbage; looking for it would take a tenth of the
    time. The first time, what there is by then counts as old: nearly all of it is what imports made.
    """
    global _is_first
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            if _is_first and not gc.get_freeze_count():
                gc.freeze()
                gc.unfreeze()
            _is_first = False
            gc.enable()


def _new_input(trace: Trace, position: int, path: tuple[Any, ...], kind: TensorType) -> Tensor:
    return trace.input("_".join(map(str, ("x", position, *path))), kind.shape, kind.dtype)


def guard(tensor: Any) -> None:
    """Inside a trace: the program's updates are kept only if this float tensor is finite everywhere."""
    guards = _guards.value
    if guards is not None and isinstance(tensor, Tensor):
        guards.append(tensor.value)


def gradients(loss: Any, variables: Sequence[Any]) -> list[Any]:
    """The derivatives of a scalar `loss` with respect to `variables`, inside a traced function.

    variables: Variables, or tensors the loss was computed from. A variable the loss does not depend on gets
    zeros. Raises GradientError outside a trace, or when `loss` is not a float scalar.

    >>> @lamina.function
    ... def step(x, y):
    ...     loss = ops.mean(ops.square(model(x) - y))
    ...     optimizer.apply(lamina.gradients(loss, model.trainable_variables), model.trainable_variables)
    ...     return loss
    """
    trace = current()
    if trace is not None and not isinstance(loss, Tensor):
        raise GradientError(
            f"The loss is a constant, {loss!r:.40}, so it has no gradients.",
            fix="compute it with lamina.ops from what the model returns.",
        )
    if trace is None:
        raise GradientError(
            "gradients() needs a traced loss: eager arrays do not remember where they came from.",
            fix="put the computation into a function decorated with @lamina.function.",
        )
    wrt = [
        variable if isinstance(variable, Tensor) else trace.read_initial(variable) for variable in variables
    ]
    return [Tensor(value) for value in reverse_gradients(loss.value, [tensor.value for tensor in wrt])]


def _tensor(leaf: Any) -> Any:
    return leaf.__tensor__() if hasattr(leaf, "__tensor__") else leaf


_executables: weakref.WeakValueDictionary[Any, Executable] = weakref.WeakValueDictionary()
_compiling = threading.Lock()


def _reset_after_fork() -> None:
    """A forked child must not inherit a lock that another thread held."""
    global _compiling
    _compiling = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reset_after_fork)


def compile_program(program: Program, backend: str | None = None) -> Executable:
    """Hand the program to the backend, passes included. Programs of equal structure share one executable
    while it is alive.
    """
    chosen, why = choose(backend)
    roles = (len(program.states), len(program.inputs), len(program.outputs), len(program.guards))
    positions = tuple(position for position, _ in program.updates)
    structure = f"{roles} {positions} {structure_key(program.graph)}"
    key = (chosen.name, config.num_threads, config.cpu_features, structure)
    with _compiling:
        found = _executables.get(key)
        if found is None:
            with _no_collection():
                found = chosen.compile(program, structure)
            found.report.why = why
            _executables[key] = found
    return found


@dataclass
class _Compiled:
    executable: Executable
    states: tuple[np.ndarray[Any, Any], ...]
    structure: Any
    id_checks: list[IdCheck]


class Function:
    """A function compiled per signature of its arguments. Made by `function`."""

    def __init__(self, python_function: Callable[..., Any], backend: str | None, name: str | None) -> None:
        functools.update_wrapper(self, python_function)
        self._function = python_function
        self._backend = backend
        self._name: str = name or str(getattr(python_function, "__name__", "function"))
        self._compiled: dict[Any, _Compiled] = {}

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        if current() is not None:
            return self._function(*arguments, **keywords)
        structure = (arguments, keywords)
        flat = tree.flatten(structure)
        arrays = [_as_argument(leaf) for leaf in flat]
        key = (
            _signature(structure),
            tuple(
                leaf if array is None else (array.shape, array.dtype.str) for leaf, array in zip(flat, arrays)
            ),
        )
        compiled = self._compiled.get(key)
        if compiled is None:
            with contained():
                compiled = self._compiled[key] = self._compile(structure, flat, arrays)
        given = [array for array in arrays if array is not None]
        for ids in compiled.id_checks:
            ids.check(given)
        outputs, finite = compiled.executable.run(compiled.states, given)
        if not finite:
            raise StateError("A guarded value became NaN or infinite; the updates were not applied.")
        return tree.pack_like(compiled.structure, [output.view(Array) for output in outputs])

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        return self if instance is None else functools.partial(self, instance)

    def _compile(self, structure: Any, flat: list[Any], arrays: list[Any]) -> _Compiled:
        types = [
            TensorType(array.shape, dtypes.of_numpy(array.dtype)) for array in arrays if array is not None
        ]

        def run(*tensors: Any) -> Any:
            rest = iter(tensors)
            filled = [leaf if array is None else next(rest) for leaf, array in zip(flat, arrays)]
            positional, keywords = tree.pack_like(structure, filled)
            return self._function(*positional, **keywords)

        traced = trace_program(run, types, self._name)
        states = tuple(state.array for state in traced.states)
        executable = compile_program(traced.program, self._backend)
        return _Compiled(executable, states, traced.structure, traced.id_checks)

    @property
    def reports(self) -> list[Any]:
        """What the backend made of each signature so far."""
        return [compiled.executable.report for compiled in self._compiled.values()]


def function(
    python_function: Callable[..., Any] | None = None, *, backend: str | None = None, name: str | None = None
) -> Any:
    """Compile a function of tensors. It is traced once per shape and dtype of its array arguments.

    Array arguments (and numbers of type float) become inputs of the program; everything else - ints, strings,
    None, objects - is part of the signature. Variables are read and assigned as state.

    >>> @lamina.function
    ... def distance(x, y):
    ...     return ops.sqrt(ops.sum(ops.square(x - y)))
    >>> distance(np.array([0.0, 3.0]), np.array([4.0, 0.0]))
    Array(5.)
    """
    if python_function is None:
        return functools.partial(function, backend=backend, name=name)
    return Function(python_function, backend, name)


def _as_argument(leaf: Any) -> np.ndarray[Any, Any] | None:
    """The array of an argument that is data; None for one that belongs to the signature."""
    if isinstance(leaf, float):
        return np.asarray(leaf, dtypes.to_numpy(config.floatx))
    if isinstance(leaf, (np.ndarray, np.generic)):
        return np.ascontiguousarray(leaf).reshape(np.shape(leaf))
    return None


def _signature(structure: Any) -> Any:
    """A hashable description of how a structure nests."""
    if not tree.is_branch(structure):
        return None
    if isinstance(structure, dict):
        return (dict, tuple((key, _signature(structure[key])) for key in sorted(structure)))
    return (type(structure), tuple(_signature(child) for child in structure))
