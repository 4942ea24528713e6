"""`utils.Config`: named values of a program, with attribute access and a lock."""

from __future__ import annotations

import difflib
import json
from collections.abc import ItemsView, Iterator, KeysView, ValuesView
from typing import Any

from lamina.core.errors import StateError


class Config:
    """A dict whose entries are attributes, too; once frozen it refuses every change.

    kwargs: the first entries. AttributeError for a name that is not there, with the nearest one that is;
    StateError for changes of a frozen one.

    >>> config = Config(learning_rate=0.1)
    >>> config.seed = 123
    >>> config["seed"], config.to_json()
    (123, '{"learning_rate": 0.1, "seed": 123}')
    """

    _entries: dict[str, Any]
    _is_frozen: bool

    def __init__(self, **kwargs: Any) -> None:
        object.__setattr__(self, "_entries", kwargs)
        object.__setattr__(self, "_is_frozen", False)

    @property
    def frozen(self) -> bool:
        """Whether changes are refused."""
        return self._is_frozen

    def freeze(self) -> None:
        """Refuse every change from here on."""
        object.__setattr__(self, "_is_frozen", True)

    def unfreeze(self) -> None:
        object.__setattr__(self, "_is_frozen", False)

    def _changeable(self) -> dict[str, Any]:
        if self._is_frozen:
            raise StateError("This Config is frozen: its entries cannot be changed.", fix="call unfreeze().")
        return self._entries

    def as_dict(self) -> dict[str, Any]:
        """The entries, as a dict of their own."""
        return dict(self._entries)

    def to_json(self) -> str:
        return json.dumps(self._entries)

    def keys(self) -> KeysView[str]:
        return self._entries.keys()

    def values(self) -> ValuesView[Any]:
        return self._entries.values()

    def items(self) -> ItemsView[str, Any]:
        return self._entries.items()

    def pop(self, *args: Any) -> Any:
        return self._changeable().pop(*args)

    def update(self, *args: Any, **kwargs: Any) -> None:
        self._changeable().update(*args, **kwargs)

    def get(self, keyname: str, value: Any = None) -> Any:
        return self._entries.get(keyname, value)

    def __getattr__(self, name: str) -> Any:
        entries = self.__dict__.get("_entries", {})
        if name in entries:
            return entries[name]
        near = difflib.get_close_matches(name, entries, n=1, cutoff=0.7)
        raise AttributeError(
            f"This Config has no {name!r}." + (f" Did you mean {near[0]!r}?" if near else "")
        )

    def __setattr__(self, name: str, value: Any) -> None:
        if hasattr(type(self), name):
            raise AttributeError(f"{name!r} is a method of Config; use config[{name!r}] for an entry.")
        self._changeable()[name] = value

    def __getitem__(self, key: str) -> Any:
        return self._entries[key]

    def __setitem__(self, key: str, item: Any) -> None:
        self._changeable()[key] = item

    def __delitem__(self, key: str) -> None:
        del self._changeable()[key]

    def __contains__(self, item: Any) -> bool:
        return item in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._entries))

    def __len__(self) -> int:
        return len(self._entries)

    def __repr__(self) -> str:
        return f"<Config {self._entries}>"
