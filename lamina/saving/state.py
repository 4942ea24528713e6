"""The numbers of a model as named arrays, and back: "layers/dense/vars/0", "optimizer/vars/3", ...

All of them are loaded, or none: when something does not fit, the model keeps the state that it had.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from lamina.core.errors import FileError, LaminaError
from lamina.core.interrupts import deferred_interrupts
from lamina.models.feature_space import FeatureSpace
from lamina.models.model import Model
from lamina.optimizers import Optimizer
from lamina.saving.walk import Part, parts
from lamina.training.lock import StateLock
from lamina.training.programs import trainable_as_compiled
from lamina.variables import Variable

Array = np.ndarray[Any, Any]
Saveable = Model | FeatureSpace


@dataclass
class State:
    """tensors: the arrays, by "<path of the part>/vars/<key>", and "<path>/seeds/<number>" of generators.
    names: what the parts are called, by path.
    """

    tensors: dict[str, Array]
    names: dict[str, str]

    def of(self, path: str, kind: str) -> dict[str, Array]:
        """The arrays of one part, by key."""
        return self._groups.get((path, kind), {})

    def __post_init__(self) -> None:
        self._groups: dict[tuple[str, str], dict[str, Array]] = {}
        for name, array in self.tensors.items():
            group, _, key = name.rpartition("/")
            path, _, kind = group.rpartition("/")
            self._groups.setdefault((path, kind), {})[key] = array

    @property
    def paths(self) -> set[str]:
        """The parts that have arrays."""
        return {path for path, _ in self._groups}


def collect(model: Saveable, optimizer: bool = True) -> State:
    """The state after some whole step, also while another thread trains. optimizer: with its state, too."""
    tensors: dict[str, Array] = {}
    names: dict[str, str] = {}
    lock = _lock_of(model)
    lock.acquire_read()
    try:
        for path, target in parts(model):
            if isinstance(target, Optimizer) and not (optimizer and target.built):
                continue  # it has learnt nothing yet
            names[path] = str(target.name)
            prefix = f"{path}/" if path else ""
            store: dict[str, Any] = {}
            target.save_own_variables(store)
            tensors.update({f"{prefix}vars/{key}": np.asarray(value) for key, value in store.items()})
            for number, generator in enumerate(getattr(target, "_seed_generators", ())):
                tensors[f"{prefix}seeds/{number}"] = generator.state.numpy()
    finally:
        lock.release_read()
    return State(tensors, names)


def restore(
    model: Saveable, state: State, *, by_path: bool = True, skip_mismatch: bool = False, strict: bool = True
) -> None:
    """Give a model the state that `collect` took from one like it.

    by_path: parts are known by where they sit; False finds the layers of lists by name first. skip_mismatch:
    leave out, with a warning, what does not fit. strict: warn of arrays that nothing in the model takes.
    Raises FileError when something does not fit; then nothing is changed.
    """
    found = parts(model, None if by_path else state.names)
    _restore_parts(model, found, state, skip_mismatch)
    left_over = state.paths - {part.path for part in found}
    unused = sorted(path for path in left_over if not _is_optimizer(path))
    if strict and unused:
        warnings.warn(
            f"The model has no place for the weights of {', '.join(unused[:5])} in the file.", stacklevel=4
        )


def restore_by_name(model: Model, state: State, skip_mismatch: bool = False) -> list[str]:
    """Give the layers of a model the state of those of the same name; returns the names. The rest stays."""
    places: dict[str, list[str]] = {}
    for path, name in state.names.items():
        places.setdefault(name, []).append(path)
    chosen: list[Part] = []
    loaded: list[str] = []
    for layer in model.layers:
        # Names may occur again further inside; those nearest to the model are meant.
        roots = sorted(places.get(layer.name, ()), key=lambda path: path.count("/"))
        if layer.variables and roots:
            chosen += [Part(f"{roots[0]}/{path}".rstrip("/"), target) for path, target in parts(layer)]
            loaded.append(layer.name)
    _restore_parts(model, chosen, state, skip_mismatch)
    return loaded


def _restore_parts(model: Saveable, found: list[Part], state: State, skip_mismatch: bool) -> None:
    failures: list[tuple[Part, Exception]] = []
    with _all_or_nothing(model, found):
        for part in found:
            try:
                with _unchanged_on_error(_own_variables(part.target)):
                    _restore_part(model, part, state)
            except (LaminaError, KeyError, ValueError, TypeError) as error:
                failures.append((part, error))
        if failures and not skip_mismatch:
            raise _misfit(failures)
    if failures:
        left = ", ".join(f"'{part.target.name}'" for part, _ in failures[:5])
        warnings.warn(f"These did not fit and were left as they are: {left}.", stacklevel=5)


def _restore_part(model: Saveable, part: Part, state: State) -> None:
    path, target = part
    own = state.of(path, "vars")
    if isinstance(model, Model) and isinstance(target, Optimizer):
        if own:
            if not target.built:
                with trainable_as_compiled(model):
                    target.build(model.trainable_variables)
            if len(own) != len(target.variables):
                raise FileError(
                    f"The state of optimizer '{target.name}' does not fit.",
                    expected=f"{len(target.variables)} arrays",
                    got=f"{len(own)}",
                )
            target.load_own_variables(own)
        return
    target.load_own_variables(own)
    for number, generator in enumerate(getattr(target, "_seed_generators", ())):
        seed = state.of(path, "seeds").get(str(number))
        if seed is not None:
            generator.state.assign(seed)


def _lock_of(model: Saveable) -> StateLock:
    """What keeps readers of the state from seeing half a step; a FeatureSpace has no steps."""
    return model._programs.lock if isinstance(model, Model) else StateLock()


@contextmanager
def _all_or_nothing(model: Saveable, found: list[Part]) -> Iterator[None]:
    """The parts are as they were before, if the block raises, and no other thread sees the half of it."""
    variables = [variable for part in found for variable in _own_variables(part.target)]
    with deferred_interrupts(), _lock_of(model).writing(), _unchanged_on_error(variables):
        yield


@contextmanager
def _unchanged_on_error(variables: Iterable[Variable]) -> Iterator[None]:
    before = [(variable.array, variable.array.copy()) for variable in variables]
    try:
        yield
    except BaseException:
        for array, values in before:
            array[...] = values
        raise


def _own_variables(target: Any) -> list[Variable]:
    """The variables of one part, without those of the parts inside it."""
    if isinstance(target, Optimizer):
        return list(target.variables)
    seeds = [generator.state for generator in target._seed_generators]
    return [*target._own_weights(), *seeds]


def _misfit(failures: list[tuple[Part, Exception]]) -> FileError:
    part, error = failures[0]
    more = f" (and {len(failures) - 1} more)" if len(failures) > 1 else ""
    return FileError(
        f"The weights in the file do not fit the model: '{part.target.name}'{more}. Nothing was loaded.",
        got=" ".join(str(error).split()),
        fix="build the model as it was when it was saved, or load with skip_mismatch=True.",
    )


def _is_optimizer(path: str) -> bool:
    return path == "optimizer" or path.startswith("optimizer/") or "/optimizer" in path
