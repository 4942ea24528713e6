"""Every part of a model that has state of its own, with its path: the tree that weights are filed under.

Paths are those of Keras: the attribute that holds a layer ("encoder/hidden"); for layers in lists, and those
of functional and Sequential models, the class and a count ("layers/dense_1"). They say where a part sits, not
what it is called, so that a second instance of the same model has the same paths.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from lamina.core.naming import to_snake_case
from lamina.layers.layer import Layer
from lamina.models.functional import Functional
from lamina.models.model import Model
from lamina.models.sequential import Sequential
from lamina.optimizers import Optimizer

# Attributes that refer to layers which have their place elsewhere.
_NO_PLACE = frozenset(
    {"_parts", "_graph", "_functional", "_stages", "_inbound_nodes", "_trainable_when_compiled",
     "_compile_arguments", "_compile_loss", "_compile_metrics", "_loss_tracker", "optimizer", "loss",
     "history", "output_names"}
)  # fmt: skip


class Part(NamedTuple):
    """A layer, model or optimizer and its path; "" is the model itself."""

    path: str
    target: Any


def parts(root: Layer, names: Mapping[str, str] | None = None) -> list[Part]:
    """The model (or layer), its layers at any depth, and the optimizers, each once, in a fixed order.

    names: what the parts in a file are called, by path. Where all layers of a list are found in there by
    name, these paths are used: the order of layers may differ between programs, names in one model do not.
    """
    return list(_Walk(names or {}).of(root, ""))


class _Walk:
    def __init__(self, names: Mapping[str, str]) -> None:
        self._names: dict[str, dict[str, str]] = {}  # path of a container -> {name: label}
        for path, name in names.items():
            container, _, label = path.rpartition("/")
            self._names.setdefault(container, {})[name] = label
        self._seen: set[int] = set()

    def of(self, target: Any, path: str) -> Iterator[Part]:
        if id(target) in self._seen:
            return
        self._seen.add(id(target))
        yield Part(path, target)
        if isinstance(target, (Functional, Sequential)):
            yield from self._collection(target.layers, _join(path, "layers"))
        own = _children(target)
        for attribute in sorted(vars(target), key=_private_last):
            if attribute not in _NO_PLACE:
                yield from self._attribute(vars(target)[attribute], _join(path, attribute), own)
        if isinstance(target, Layer):
            left = [child for child in own if id(child) not in self._seen]
            yield from self._collection(left, _join(path, "tracked"))
        if isinstance(target, Model) and target.compiled:
            yield from self.of(target.optimizer, _join(path, "optimizer"))

    def _attribute(self, value: Any, path: str, own: list[Any]) -> Iterator[Part]:
        if isinstance(value, (Layer, Optimizer)):
            if any(value is child for child in own):
                yield from self.of(value, path)
        elif isinstance(value, (list, tuple, dict)):
            yield from self._collection(value.values() if isinstance(value, dict) else value, path)

    def _collection(self, values: Iterable[Any], path: str) -> Iterator[Part]:
        values = [value for value in values if isinstance(value, (Layer, Optimizer, list, tuple, dict))]
        labels = _labels(values)
        known = self._names.get(path, {})
        named = [getattr(value, "name", None) for value in values]
        if len(set(named)) == len(named) and all(name in known for name in named):
            labels = [known[str(name)] for name in named]
        for value, label in zip(values, labels):
            if isinstance(value, (Layer, Optimizer)):
                yield from self.of(value, _join(path, label))
            elif id(value) not in self._seen:  # a list may hold itself
                self._seen.add(id(value))
                inner = value.values() if isinstance(value, dict) else value
                yield from self._collection(inner, _join(path, label))


def _children(target: Any) -> list[Any]:
    """The layers that a layer tracks; the optimizers that an optimizer holds."""
    if isinstance(target, Layer):
        return list(target._layers)
    return [value for value in vars(target).values() if isinstance(value, Optimizer)]


def _labels(values: Iterable[Any]) -> list[str]:
    """ "dense", "dense_1", "dropout", ...: the classes, counted."""
    counts: dict[str, int] = {}
    labels = []
    for value in values:
        kind = "container" if isinstance(value, (list, tuple, dict)) else to_snake_case(type(value).__name__)
        number = counts[kind] = counts.get(kind, -1) + 1
        labels.append(f"{kind}_{number}" if number else kind)
    return labels


def _private_last(attribute: str) -> str:
    return f"~{attribute}" if attribute.startswith("_") else attribute


def _join(path: str, label: str) -> str:
    return f"{path}/{label}" if path else label
