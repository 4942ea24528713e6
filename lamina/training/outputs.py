"""The outputs of a model and what belongs to each: losses, weights, targets, metrics, in any of Keras' forms.

An output is known by its path in the structure that the model returns: () for a single tensor, (1,) in a
list, ("age",) in a dict. Everything given per output is brought to a dict from path to entry.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lamina.core import tree
from lamina.core.errors import ArgumentError, DataError, nearest

Path = tuple[Any, ...]


class Outputs:
    """The outputs of one model: their paths in order, and their names.

    y_pred: what the model returned. names: the model's output names, or None when it has none.
    """

    def __init__(self, y_pred: Any, names: Sequence[str] | None) -> None:
        self.structure = tree.map_structure(lambda _: None, y_pred)
        self.tensors: dict[Path, Any] = {}
        tree.map_with_path(self.tensors.__setitem__, y_pred)
        self.paths = list(self.tensors)
        self._model_names = list(names) if names and len(names) == len(self.paths) else None
        if self._model_names and isinstance(y_pred, Mapping) and set(y_pred) == set(self._model_names):
            self.paths.sort(key=lambda path: self._model_names.index(path[0]))  # type: ignore[union-attr]

    @property
    def single(self) -> bool:
        """Whether the model returns one tensor, in whatever container."""
        return len(self.paths) == 1

    def name(self, path: Path) -> str | None:
        """The name of an output: the model's name for it, the keys that lead to it, or None."""
        position = self.paths.index(path)
        own = self._model_names[position] if self._model_names else None
        if not path or (len(path) == 1 and isinstance(path[0], int)):
            return own
        keys = path[:-1] + (own,) if isinstance(path[-1], int) and own else path
        return "/".join(map(str, keys))

    def names(self) -> list[str]:
        """What to call the outputs in messages."""
        return [self.name(path) or f"output {position}" for position, path in enumerate(self.paths)]

    def assign(self, given: Any, what: str) -> dict[Path, Any]:
        """Entries of `given`, which may be one for all outputs, a list in order, or a dict by name.

        what: the argument's name, for messages. Raises ArgumentError for names and numbers that do not fit.
        """
        found: dict[Path, Any] = {}
        self._descend(given, self.structure, (), what, found)
        return found

    def _descend(self, given: Any, structure: Any, path: Path, what: str, found: dict[Path, Any]) -> None:
        if not tree.is_branch(structure):
            if isinstance(given, Mapping):
                self._refuse_unknown(given, [self.name(path) or "output"], what)
                given = next(iter(given.values()), None)
            found[path] = given
            return
        children = list(structure) if isinstance(structure, Mapping) else list(range(len(structure)))
        if not tree.is_branch(given):
            entries = dict.fromkeys(children, given)
        elif isinstance(given, Mapping):
            names = self._names_of(children, path)
            self._refuse_unknown(given, names, what)
            by_name = dict(zip(names, children))
            in_order = names if isinstance(structure, (list, tuple)) else given
            entries = {by_name[name]: given[name] for name in in_order if name in given}
        elif len(given) == len(children):
            entries = dict(zip(tree_order(structure), given))
        elif len(given) == 1 and len(self.paths) == 1:
            entries = dict.fromkeys(children, given[0])
        else:
            raise ArgumentError(
                f"{what} has {len(given)} entries for {len(children)} outputs.",
                expected=f"one entry for each of {', '.join(self.names())}, or a dict by name",
                got=f"{what}={given!r}"[:100],
            )
        for child, entry in entries.items():
            self._descend(entry, structure[child], (*path, child), what, found)

    def _names_of(self, children: list[Any], path: Path) -> list[Any]:
        if path or self._model_names is None or not all(isinstance(child, int) for child in children):
            return children
        return [self.name((child,)) for child in children]

    @staticmethod
    def _refuse_unknown(given: Mapping[Any, Any], names: Sequence[Any], what: str) -> None:
        for key in given:
            if key not in names:
                near = nearest(str(key), map(str, names))
                raise ArgumentError(
                    f"{what} names the output {key!r}, which the model does not have.",
                    expected=f"some of {', '.join(map(str, names))}",
                    fix=f"did you mean {near!r}?" if near else None,
                )

    def match(self, given: Any, what: str, needed: Sequence[Path]) -> dict[Path, Any]:
        """The tensors in `given` that belong to the outputs `needed`; None where there is none.

        Raises DataError when `given` cannot be told apart by position, key or output name.
        """
        if not tree.is_branch(given):
            if len(needed) > 1 and given is not None:
                raise DataError(
                    f"{what} is one array, but the model has {len(self.paths)} outputs.",
                    expected=f"one array for each of {', '.join(self.names())}",
                )
            return dict.fromkeys(needed, given)
        by_path = {path: self._walk(given, path) for path in needed}
        if all(found is not _MISSING for found in by_path.values()):
            return by_path
        flat = tree.flatten(given)
        for paths in (self.paths, needed):
            if len(flat) == len(paths) and not isinstance(given, Mapping):
                in_order = dict(zip(paths, flat))
                return {path: in_order[path] for path in needed}
        if len(flat) == 1 and len(needed) == 1:
            return {needed[0]: flat[0]}
        got = (
            f"a dict with {', '.join(map(str, given))}"
            if isinstance(given, Mapping)
            else f"{len(flat)} arrays"
        )
        raise DataError(
            f"{what} does not fit the outputs of the model.",
            expected=f"one array for each of {', '.join(self.names())}",
            got=got,
        )

    def share(self, sample_weight: Any, needed: Sequence[Path]) -> dict[Path, Any]:
        """Like `match`, but one array is for every output, and outputs may go without."""
        if not tree.is_branch(sample_weight):
            return dict.fromkeys(needed, sample_weight)
        flat = tree.flatten(sample_weight)
        if len(flat) == 1 and (self.single or not isinstance(sample_weight, Mapping)):
            return dict.fromkeys(needed, flat[0])
        if isinstance(sample_weight, Mapping):
            found = {path: self._walk(sample_weight, path) for path in needed}
            return {path: None if entry is _MISSING else entry for path, entry in found.items()}
        return self.match(sample_weight, "sample_weight", needed)

    def _walk(self, given: Any, path: Path) -> Any:
        """What lies at `path` in `given`, where the first step may also go by the output's name."""
        steps: list[Any] = list(path)
        if len(path) == 1 and isinstance(given, Mapping) and path[0] not in given:
            steps = [self.name(path)]
        for step in steps:
            if isinstance(given, Mapping):
                if step not in given:
                    return _MISSING
            elif not isinstance(given, (list, tuple)) or not isinstance(step, int) or step >= len(given):
                return _MISSING
            given = given[step]
        return _MISSING if tree.is_branch(given) else given


def tree_order(structure: Any) -> list[Any]:
    """The children of a dict in the order of `tree.flatten`, or the positions of a list."""
    if not isinstance(structure, Mapping):
        return list(range(len(structure)))
    try:
        return sorted(structure)
    except TypeError:
        return list(structure)


_MISSING = object()
