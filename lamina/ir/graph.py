"""The graph: immutable, interned nodes. Equal nodes are the same object, so sharing costs nothing."""

from __future__ import annotations

import itertools
import os
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from lamina.core import dtypes
from lamina.core.shapes import Shape, size

if TYPE_CHECKING:
    from lamina.ir.primitives import Primitive


class TensorType:
    """Static shape and dtype of a value; never changed."""

    __slots__ = ("dtype", "shape")

    def __init__(self, shape: Shape, dtype: str) -> None:
        self.shape = shape
        self.dtype = dtype

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, TensorType) and self.shape == other.shape and self.dtype == other.dtype
        ) or other is self

    def __hash__(self) -> int:
        return hash((self.shape, self.dtype))

    def __repr__(self) -> str:
        return f"TensorType(shape={self.shape!r}, dtype={self.dtype!r})"

    def __str__(self) -> str:
        return f"{self.dtype}[{','.join(map(str, self.shape))}]"


class Literal:
    """An array as an attribute: compared by dtype, shape and bytes, never changed."""

    __slots__ = ("_hash", "array")

    def __init__(self, array: np.ndarray[Any, Any]) -> None:
        self.array = np.array(array, order="C")
        self.array.flags.writeable = False
        self._hash = hash((self.array.dtype.str, self.array.shape, self.array.tobytes()))

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Literal)
            and self._hash == other._hash
            and self.array.dtype == other.array.dtype
            and self.array.shape == other.array.shape
            and self.array.tobytes() == other.array.tobytes()
        )

    def __repr__(self) -> str:
        return f"Literal({self.array!r})"


class Node:
    """One application of a primitive. Made by `make`, which returns the same object for equal parts."""

    __slots__ = ("__weakref__", "attributes", "inputs", "items", "outputs", "primitive", "serial", "types")

    primitive: Primitive
    inputs: tuple[Value, ...]
    attributes: Mapping[str, Any]
    items: tuple[tuple[str, Any], ...]  # the attributes in the order of their names
    types: tuple[TensorType, ...]
    outputs: tuple[Value, ...]
    serial: int

    def __repr__(self) -> str:
        return f"<{self.primitive.name} {', '.join(map(str, self.types))}>"


class Value:
    """One output of a node, with its type, shape and dtype."""

    __slots__ = ("__weakref__", "dtype", "index", "node", "shape", "type")

    def __init__(self, node: Node, index: int, type: TensorType) -> None:
        self.node = node
        self.index = index
        self.type = type
        self.shape = type.shape
        self.dtype = type.dtype

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return size(self.shape)

    @property
    def primitive(self) -> Primitive:
        return self.node.primitive

    @property
    def constant(self) -> np.ndarray[Any, Any] | None:
        """The array, when this value is a constant."""
        literal = self.node.attributes.get("value") if self.node.primitive.name == "constant" else None
        return None if literal is None else literal.array

    def __repr__(self) -> str:
        return f"<{self.node.primitive.name} {self.type}>"


_lock = threading.RLock()
_interned: dict[tuple[Any, ...], weakref.ref[Node]] = {}
_keys: dict[weakref.ref[Node], tuple[Any, ...]] = {}
_serials = itertools.count()


def make(
    primitive: Primitive,
    inputs: Sequence[Value],
    attributes: Mapping[str, Any],
    types: tuple[TensorType, ...] | None = None,
) -> Node:
    """The node with these parts; an equal one that is still alive is returned instead of a new one.

    attributes: from now on the node's own. types: of the outputs; by default the primitive's rule gives them,
    which raises ShapeError or DTypeError when the operands do not fit.
    """
    items = tuple(attributes.items()) if len(attributes) < 2 else tuple(sorted(attributes.items()))
    key = (primitive.name, tuple(map(id, inputs)), items)
    reference = _interned.get(key)
    found = None if reference is None else reference()
    if found is not None:
        return found
    if types is None:
        types = primitive.infer(tuple([value.type for value in inputs]), attributes)
    node = _new(primitive, tuple(inputs), attributes, items, types)
    with _lock:
        reference = _interned.get(key)
        found = None if reference is None else reference()
        if found is not None:  # another thread was faster
            return found
        reference = weakref.ref(node, _forget)
        _interned[key] = reference
        _keys[reference] = key
        return node


def unique(primitive: Primitive, attributes: Mapping[str, Any], type: TensorType) -> Value:
    """The output of a node without operands that the attributes make equal to no other."""
    return _new(primitive, (), attributes, tuple(sorted(attributes.items())), (type,)).outputs[0]


def _new(
    primitive: Primitive,
    inputs: tuple[Value, ...],
    attributes: Mapping[str, Any],
    items: tuple[tuple[str, Any], ...],
    types: tuple[TensorType, ...],
) -> Node:
    node = Node.__new__(Node)
    node.primitive = primitive
    node.inputs = inputs
    node.attributes = attributes
    node.items = items
    node.types = types
    node.serial = next(_serials)
    # The outputs refer back to the node; the cycle is left to the garbage collector.
    if len(types) == 1:
        node.outputs = (Value(node, 0, types[0]),)
    else:
        node.outputs = tuple([Value(node, index, type) for index, type in enumerate(types)])
    return node


def _forget(reference: weakref.ref[Node]) -> None:
    """A node is gone. Its key goes too, unless an equal node has been made since.

    The lock may be held by this very thread: the garbage collector runs wherever it likes.
    """
    with _lock:
        key = _keys.pop(reference, None)
        if key is not None and _interned.get(key) is reference:
            del _interned[key]


def _reset_after_fork() -> None:
    """A forked child must not inherit a lock that another thread held."""
    global _lock
    _lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reset_after_fork)


@dataclass(frozen=True)
class Graph:
    """A pure function: `inputs` (nodes of the primitive `input`) to `outputs`."""

    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]

    def nodes(self) -> list[Node]:
        """Every node that the outputs need, inputs before users; the order depends on the graph alone."""
        return topological(self.outputs)

    def substitute(self, replacement: Mapping[Value, Value]) -> Graph:
        """The graph with some values replaced (users rebuilt)."""
        rebuilt = rebuild(self.outputs, lambda node, inputs: None, replacement)
        return Graph(self.inputs, rebuilt)


def topological(outputs: Iterable[Value]) -> list[Node]:
    """Nodes reachable from `outputs`, each after its inputs, by depth-first walk without recursion."""
    order: list[Node] = []
    done: set[Node] = set()
    for output in outputs:
        if output.node in done:
            continue
        stack: list[tuple[Node, Iterator[Value]]] = [(output.node, iter(output.node.inputs))]
        entered = {output.node}
        while stack:
            node, rest = stack[-1]
            for value in rest:
                if value.node not in done and value.node not in entered:
                    entered.add(value.node)
                    stack.append((value.node, iter(value.node.inputs)))
                    break
            else:
                stack.pop()
                done.add(node)
                order.append(node)
    return order


def rebuild(
    outputs: Iterable[Value],
    rule: Callable[[Node, tuple[Value, ...]], Sequence[Value] | None],
    replacement: Mapping[Value, Value] | None = None,
) -> tuple[Value, ...]:
    """Walk from inputs to outputs, letting `rule(node, new_inputs)` give the node's new outputs.

    A rule that returns None keeps the node, with its new inputs. This is the one walk that every pass uses.
    """
    outputs = tuple(outputs)
    new: dict[Value, Value] = dict(replacement or {})
    for node in topological(outputs):
        inputs = tuple(new.get(value, value) for value in node.inputs)
        results = rule(node, inputs)
        if results is None:
            if inputs == node.inputs:
                results = node.outputs
            else:
                results = make(node.primitive, inputs, node.attributes, node.types).outputs
        for old, value in zip(node.outputs, results):
            new.setdefault(old, value)
    return tuple(new[output] for output in outputs)


def users(nodes: Iterable[Node]) -> dict[Value, list[Node]]:
    """For each value, the nodes that read it, in order."""
    readers: dict[Value, list[Node]] = {}
    for node in nodes:
        for value in dict.fromkeys(node.inputs):
            readers.setdefault(value, []).append(node)
    return readers


def constant_type(array: np.ndarray[Any, Any]) -> TensorType:
    return TensorType(tuple(array.shape), dtypes.of_numpy(array.dtype))
