"""What code knows about the `with` blocks around it: names, calls, dtypes, traces. Each thread has its own.

A Ctrl-C may come at the very moment at which a block is left, and then that block is never closed. So closing
a block closes whatever is still open inside it, and `contained` is put around the doors users come in by.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from types import MappingProxyType
from typing import Any, Generic, TypeVar

T = TypeVar("T")

_NOTHING: Mapping[Any, Any] = MappingProxyType({})
_innermost: ContextVar[contained | None] = ContextVar("lamina_innermost_block", default=None)


class contained:  # noqa: N801 - reads as a statement
    """A block at whose end nothing is open that was opened inside. Each is entered once."""

    __slots__ = ("_around", "_values")

    _around: contained | None
    _values: Mapping[Any, Any]

    def __enter__(self) -> None:
        self._around = _innermost.get()
        self._values = self._seen_inside(_NOTHING if self._around is None else self._around._values)
        _innermost.set(self)

    def __exit__(self, *_: object) -> None:
        block = _innermost.get()
        while block is not None and block is not self:
            block = block._around
        if block is self:  # otherwise a block around it has closed it already
            _innermost.set(self._around)

    def _seen_inside(self, outside: Mapping[Any, Any]) -> Mapping[Any, Any]:
        return outside


class Scope(Generic[T]):
    """A value that holds for the code inside a block. outside: the value where no block is around.

    >>> place = Scope("nowhere")
    >>> with place.holding("here"):
    ...     print(place.value)
    here
    >>> place.value
    'nowhere'
    """

    def __init__(self, outside: T) -> None:
        self._outside = outside

    @property
    def value(self) -> T:
        """The value of the innermost block."""
        block = _innermost.get()
        return self._outside if block is None else block._values.get(self, self._outside)

    def holding(self, value: T) -> contained:
        """A block in which this is the value."""
        return _Holding(self, value)


class _Holding(contained):
    __slots__ = ("_scope", "_value")

    def __init__(self, scope: Scope[Any], value: Any) -> None:
        self._scope = scope
        self._value = value

    def _seen_inside(self, outside: Mapping[Any, Any]) -> Mapping[Any, Any]:
        return {**outside, self._scope: self._value}
