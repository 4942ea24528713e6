"""What is assigned to a layer becomes part of it: variables, layers, metrics, seed generators, collections.

Lists, dicts and sets are replaced by tracked ones on assignment, so that what is added later counts too.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from lamina.core.errors import StateError
from lamina.core.scopes import Scope
from lamina.random import SeedGenerator
from lamina.variables import Variable

_is_off: Scope[bool] = Scope(False)


@contextmanager
def untracked() -> Iterator[None]:
    """Assignments to attributes of layers inside this context (or decorated function) are not tracked."""
    with _is_off.holding(True):
        yield


class Tracker:
    """The parts of one layer by kind, in the order in which they came. `locked` once the layer is built."""

    def __init__(self) -> None:
        self.trainable_variables: list[Any] = []
        self.non_trainable_variables: list[Any] = []
        self.layers: list[Any] = []
        self.metrics: list[Any] = []
        self.seed_generators: list[Any] = []
        self.locked = False

    def track(self, value: Any) -> Any:
        """Take in `value` and what it contains; returns it, with collections replaced by tracked ones."""
        if _is_off.value:
            return value
        if isinstance(value, (list, dict, set, tuple)):
            return self._track_collection(value)
        store = self._store(value)
        if store is not None and not self.holds(value):
            self._check_unlocked(value)
            store.append(value)
        return value

    def untrack(self, value: Any) -> None:
        """Let go of `value` (of the things in it, when it is a collection)."""
        if isinstance(value, (list, tuple, set)):
            for entry in value:
                self.untrack(entry)
        elif isinstance(value, dict):
            for entry in value.values():
                self.untrack(entry)
        for store in self._stores():
            store[:] = [held for held in store if held is not value]

    def holds(self, value: Any) -> bool:
        return any(held is value for store in self._stores() for held in store)

    def _stores(self) -> tuple[list[Any], ...]:
        return (
            self.trainable_variables,
            self.non_trainable_variables,
            self.layers,
            self.metrics,
            self.seed_generators,
        )

    def _store(self, value: Any) -> list[Any] | None:
        from lamina.layers.layer import Layer
        from lamina.metrics import Metric

        if isinstance(value, Variable):
            return self.trainable_variables if value.trainable else self.non_trainable_variables
        if isinstance(value, Layer):
            return self.layers
        if isinstance(value, Metric):
            return self.metrics
        return self.seed_generators if isinstance(value, SeedGenerator) else None

    def _track_collection(self, value: Any) -> Any:
        if isinstance(value, tuple):
            entries = [self.track(entry) for entry in value]
            return type(value)(*entries) if hasattr(value, "_fields") else type(value)(entries)
        for kind, tracked in _TRACKED.items():
            if type(value) is kind or type(value) is tracked:
                return tracked(value, self)
        return value

    def _check_unlocked(self, value: Any) -> None:
        if self.locked:
            raise StateError(
                f"A layer that is built cannot take on new state: {type(value).__name__} "
                f"'{getattr(value, 'name', '')}'.",
                fix="create variables and sublayers in __init__() or build().",
            )


class _Collection:
    """What tracked collections share: a tracker, or None for structures that belong to no layer."""

    _tracker: Tracker | None = None

    def _track(self, value: Any) -> Any:
        return value if self._tracker is None else self._tracker.track(value)

    def _untrack(self, value: Any) -> Any:
        if self._tracker is not None:
            self._tracker.untrack(value)
        return value

    # Copying and pickling fill the copy before it has a tracker: its tracker knows the entries already.

    def __reduce_ex__(self, protocol: Any) -> Any:
        return type(self), (), (self._tracker, self.__copy__())

    def __setstate__(self, state: tuple[Tracker | None, Any]) -> None:
        tracker, values = state
        fill = self.extend if isinstance(self, list) else self.update  # type: ignore[attr-defined]
        fill(values)
        self._tracker = tracker

    def __copy__(self) -> Any:
        return next(kind for kind, tracked in _TRACKED.items() if tracked is type(self))(self)


class TrackedList(_Collection, list):
    """A list whose entries belong to a layer."""

    def __init__(self, values: Iterable[Any] = (), tracker: Tracker | None = None) -> None:
        self._tracker = tracker
        super().__init__(self._track(value) for value in values)

    def append(self, value: Any) -> None:
        super().append(self._track(value))

    def insert(self, index: Any, value: Any) -> None:
        super().insert(index, self._track(value))

    def extend(self, values: Iterable[Any]) -> None:
        super().extend([self._track(value) for value in values])

    def __iadd__(self, values: Iterable[Any]) -> Any:  # type: ignore[misc]
        self.extend(values)
        return self

    def __setitem__(self, index: Any, value: Any) -> None:
        self._untrack([*self[index]] if isinstance(index, slice) else self[index])
        super().__setitem__(
            index, [self._track(v) for v in value] if isinstance(index, slice) else self._track(value)
        )

    def __delitem__(self, index: Any) -> None:
        self._untrack([*self[index]] if isinstance(index, slice) else self[index])
        super().__delitem__(index)

    def pop(self, index: Any = -1) -> Any:
        return self._untrack(super().pop(index))

    def remove(self, value: Any) -> None:
        for position, held in enumerate(self):
            if held is value:
                del self[position]
                return
        super().remove(value)

    def clear(self) -> None:
        del self[:]


class _TrackedMapping(_Collection):
    def __init__(self, values: Any = (), tracker: Tracker | None = None) -> None:
        self._tracker = tracker
        super().__init__()
        self.update(values)

    def __setitem__(self, key: Any, value: Any) -> None:
        super().__setitem__(key, self._track(value))  # type: ignore[misc]

    def __delitem__(self, key: Any) -> None:
        self._untrack(self[key])  # type: ignore[index]
        super().__delitem__(key)  # type: ignore[misc]

    def update(self, values: Any = (), **keywords: Any) -> None:
        items = values.items() if isinstance(values, Mapping) else values
        for key, value in (*items, *keywords.items()):
            self[key] = value

    def __ior__(self, values: Any) -> Any:
        self.update(values)
        return self

    def setdefault(self, key: Any, value: Any = None) -> Any:
        if key not in self:  # type: ignore[operator]
            self[key] = value
        return self[key]  # type: ignore[index]

    def pop(self, key: Any, *fallback: Any) -> Any:
        return self._untrack(super().pop(key, *fallback))  # type: ignore[misc]

    def popitem(self, *which: Any) -> Any:
        key, value = super().popitem(*which)  # type: ignore[misc]
        return key, self._untrack(value)

    def clear(self) -> None:
        self._untrack(list(self.values()))  # type: ignore[attr-defined]
        super().clear()  # type: ignore[misc]


class TrackedDict(_TrackedMapping, dict):  # type: ignore[misc]
    """A dict whose values belong to a layer."""


class TrackedOrderedDict(_TrackedMapping, OrderedDict):  # type: ignore[misc]
    """An OrderedDict whose values belong to a layer."""


class TrackedSet(_Collection, set):
    """A set whose entries belong to a layer."""

    def __init__(self, values: Iterable[Any] = (), tracker: Tracker | None = None) -> None:
        self._tracker = tracker
        super().__init__(self._track(value) for value in values)

    def add(self, value: Any) -> None:
        super().add(self._track(value))

    def update(self, *others: Iterable[Any]) -> None:
        for values in others:
            for value in values:
                self.add(value)

    def remove(self, value: Any) -> None:
        super().remove(value)
        self._untrack(value)

    def discard(self, value: Any) -> None:
        super().discard(value)
        self._untrack(value)

    def pop(self) -> Any:
        return self._untrack(super().pop())

    def clear(self) -> None:
        self._untrack(list(self))
        super().clear()


_TRACKED: dict[type, type] = {
    list: TrackedList,
    dict: TrackedDict,
    OrderedDict: TrackedOrderedDict,
    set: TrackedSet,
}
