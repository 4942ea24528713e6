"""Names of objects that were given none ("dense", "dense_1", ...), and the paths of variables."""

from __future__ import annotations

import re
import threading
from collections import Counter
from types import TracebackType

from lamina.core.errors import ArgumentError
from lamina.core.scopes import Scope, contained

_counts: Counter[str] = Counter()
_lock = threading.Lock()


def to_snake_case(name: str) -> str:
    """The snake-case form of a class name.

    >>> to_snake_case("LSTMCell"), to_snake_case("Conv2DTranspose")
    ('lstm_cell', 'conv2d_transpose')
    """
    name = re.sub(r"\W+", "", name)
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()


def auto_name(prefix: str) -> str:
    """A name not given before: "dense", then "dense_1", "dense_2", ..."""
    name = to_snake_case(prefix)
    with _lock:
        position = _counts[name]
        _counts[name] += 1
    return f"{name}_{position}" if position else name


def reset_names() -> None:
    """Start counting anew, so that a program run twice names its objects alike."""
    with _lock:
        _counts.clear()


class name_scope:  # noqa: N801 - Keras' name
    """Context that puts `name/` before the paths of variables made in it.

    Re-entering the scope of the same `caller` adds nothing. `override_parent` is an absolute path that takes
    the place of the scopes around this one.

    >>> with name_scope("encoder"), name_scope("dense"):
    ...     lamina.Variable(0.0, name="bias").path
    'encoder/dense/bias'
    """

    def __init__(
        self, name: str, caller: object = None, deduplicate: bool = True, override_parent: str | None = None
    ) -> None:
        if not isinstance(name, str) or "/" in name:
            raise ArgumentError(f"A name must be a string without '/', got {name!r}.")
        self.name = name
        self.caller = caller
        self.deduplicate = deduplicate
        self.override_parent = override_parent
        self._blocks: list[contained] = []

    def __enter__(self) -> name_scope:
        around = _names.value
        again = (
            self.deduplicate
            and bool(around)
            and self.caller is not None
            and around[-1].caller is self.caller
            and around[-1].name == self.name
        )
        self._blocks.append(_names.holding(around if again else (*around, self)))
        self._blocks[-1].__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._blocks.pop().__exit__()


def current_path() -> str:
    """The path of the scopes that are open in this thread: "encoder/dense"."""
    parts: list[str] = []
    for scope in _names.value:
        if scope.override_parent is not None:
            parts = [part for part in scope.override_parent.split("/") if part]
        parts.append(scope.name)
    return "/".join(parts)


_names: Scope[tuple[name_scope, ...]] = Scope(())
