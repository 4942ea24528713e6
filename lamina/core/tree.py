"""Nested structures - dicts, lists, tuples, named tuples - as trees of leaves. None is a leaf.

Dict keys are visited in sorted order, as in Keras and JAX, so that two equal dicts flatten alike.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any


def is_branch(node: Any) -> bool:
    # Asking for an attribute is quicker than asking an abstract class, and most leaves are tensors.
    return isinstance(node, (list, tuple, dict)) or (not hasattr(node, "dtype") and isinstance(node, Mapping))


def _keys(node: Mapping[Any, Any]) -> list[Any]:
    try:
        return sorted(node)
    except TypeError:
        return list(node)


def children(node: Any) -> Iterable[Any]:
    """The parts of a branch, one level down."""
    return (node[key] for key in _keys(node)) if isinstance(node, Mapping) else node


def rebuild(node: Any, parts: list[Any]) -> Any:
    """A branch like `node` with other parts."""
    if isinstance(node, Mapping):
        by_key = dict(zip(_keys(node), parts))
        return type(node)((key, by_key[key]) for key in node)  # type: ignore[call-arg]
    if isinstance(node, tuple) and hasattr(node, "_fields"):
        return type(node)(*parts)
    return type(node)(parts)


def leaves(tree: Any) -> Iterator[Any]:
    """The leaves, left to right."""
    if not is_branch(tree):
        yield tree
        return
    for child in children(tree):
        yield from leaves(child)


def flatten(tree: Any) -> list[Any]:
    """The list of leaves, left to right."""
    return list(leaves(tree))


def map_structure(function: Callable[..., Any], tree: Any, *others: Any) -> Any:
    """`function` applied leaf by leaf; the structures must be the same."""
    if not is_branch(tree):
        return function(tree, *others)
    for other in others:
        assert_same_structure(tree, other, deep=False)
    columns = [list(children(tree)), *(list(children(other)) for other in others)]
    return rebuild(tree, [map_structure(function, *row) for row in zip(*columns)])


def pack_like(tree: Any, flat: Iterable[Any]) -> Any:
    """A structure like `tree` with the leaves of `flat`."""
    rest = iter(flat)
    packed = map_structure(lambda _: next(rest), tree)
    if next(rest, _END) is not _END:
        raise ValueError("Too many leaves for the structure.")
    return packed


def map_with_path(
    function: Callable[[tuple[Any, ...], Any], Any], tree: Any, path: tuple[Any, ...] = ()
) -> Any:
    """Like `map_structure`, with the path of keys and positions to each leaf."""
    if not is_branch(tree):
        return function(path, tree)
    keys = _keys(tree) if isinstance(tree, Mapping) else range(len(tree))
    return rebuild(tree, [map_with_path(function, tree[key], (*path, key)) for key in keys])


def assert_same_structure(first: Any, second: Any, deep: bool = True) -> None:
    """ValueError unless both nest alike."""
    if is_branch(first) != is_branch(second):
        raise ValueError(f"Structures differ: {_describe(first)} against {_describe(second)}.")
    if not is_branch(first):
        return
    if isinstance(first, Mapping) != isinstance(second, Mapping) or len(first) != len(second):
        raise ValueError(f"Structures differ: {_describe(first)} against {_describe(second)}.")
    if isinstance(first, Mapping) and set(first) != set(second):
        raise ValueError(f"Structures differ: keys {_keys(first)} against {_keys(second)}.")
    if deep:
        for one, other in zip(children(first), children(second)):
            assert_same_structure(one, other)


def _describe(node: Any) -> str:
    return f"{type(node).__name__} of {len(node)}" if is_branch(node) else type(node).__name__


_END = object()
