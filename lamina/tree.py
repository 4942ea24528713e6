"""Nested structures with the names of keras.tree. None is a leaf; dict keys are visited in sorted order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from lamina.core import tree as _tree


class MAP_TO_NONE:  # noqa: N801 - Keras' name
    """What a function given to `traverse` returns to replace a part by None."""


def is_nested(structure: Any) -> bool:
    """Whether `structure` is a list, tuple or dict rather than a leaf."""
    return _tree.is_branch(structure)


def flatten(structure: Any) -> list[Any]:
    """The leaves, left to right.

    >>> flatten({"b": 1, "a": [2, (3,)]})
    [2, 3, 1]
    """
    return _tree.flatten(structure)


def flatten_with_path(structure: Any) -> list[tuple[tuple[Any, ...], Any]]:
    """(path, leaf) pairs; a path is a tuple of keys and positions.

    >>> flatten_with_path([{"foo": 42}])
    [((0, 'foo'), 42)]
    """
    pairs: list[tuple[tuple[Any, ...], Any]] = []
    _tree.map_with_path(lambda path, leaf: pairs.append((path, leaf)), structure)
    return pairs


def map_structure(func: Callable[..., Any], *structures: Any, none_is_leaf: bool = True) -> Any:
    """`func` applied to the corresponding leaves of structures that nest alike.

    With `none_is_leaf=False`, None stays None and `func` is not called on it.
    Raises ValueError when the structures differ.
    """
    if not structures:
        raise ValueError("map_structure() needs at least one structure.")
    for other in structures[1:]:
        assert_same_structure(structures[0], other)
    if none_is_leaf:
        return _tree.map_structure(func, *structures)
    return _tree.map_structure(lambda *leaves: None if leaves[0] is None else func(*leaves), *structures)


def map_structure_up_to(shallow_structure: Any, func: Callable[..., Any], *structures: Any) -> Any:
    """`func` applied to the parts of `structures` that stand where `shallow_structure` has leaves.

    >>> map_structure_up_to([None, None], len, [[1, 1], [2, 2, 2]])
    [2, 3]
    """
    if not structures:
        raise ValueError("map_structure_up_to() needs at least one structure.")
    return _tree.map_structure(lambda _, *parts: func(*parts), shallow_structure, *structures)


def pack_sequence_as(structure: Any, flat_sequence: Iterable[Any]) -> Any:
    """A structure like `structure` with the leaves of `flat_sequence`; ValueError when the number differs."""
    flat, wanted = list(flat_sequence), len(_tree.flatten(structure))
    if len(flat) != wanted:
        raise ValueError(f"The structure has {wanted} leaves, but {len(flat)} were given.")
    return _tree.pack_like(structure, flat)


def assert_same_structure(a: Any, b: Any) -> None:
    """ValueError unless both nest alike, with the same types of sequence and the same keys."""
    _tree.assert_same_structure(a, b)
    if not _tree.is_branch(a):
        return
    if not isinstance(a, Mapping) and type(a) is not type(b):
        raise ValueError(f"Structures differ: {type(a).__name__} against {type(b).__name__}.")
    children = ((a[key], b[key]) for key in a) if isinstance(a, Mapping) else zip(a, b)
    for one, other in children:
        assert_same_structure(one, other)


def assert_same_paths(a: Any, b: Any) -> None:
    """ValueError unless both have leaves at the same paths; lists and tuples count as the same."""
    paths_of_a = {path for path, _ in flatten_with_path(a)}
    paths_of_b = {path for path, _ in flatten_with_path(b)}
    if paths_of_a != paths_of_b:
        raise ValueError(
            "The structures have leaves at different paths.\n"
            f"  only in the first:  {sorted(paths_of_a - paths_of_b, key=str)}\n"
            f"  only in the second: {sorted(paths_of_b - paths_of_a, key=str)}"
        )


def traverse(func: Callable[[Any], Any], structure: Any, top_down: bool = True) -> Any:
    """Visit every part of `structure`, branches and leaves; what `func` returns replaces the part.

    None keeps the part, MAP_TO_NONE replaces it by None. Top down, a replaced part is not entered.
    """

    def visit_children(part: Any) -> Any:
        if not _tree.is_branch(part):
            return part
        return _tree.rebuild(part, [traverse(func, child, top_down) for child in _tree.children(part)])

    visited = structure if top_down else visit_children(structure)
    replaced = func(visited)
    if replaced is None:
        return visit_children(structure) if top_down else visited
    return None if replaced is MAP_TO_NONE else replaced


def lists_to_tuples(structure: Any) -> Any:
    """The same structure with tuples for lists."""
    return traverse(lambda part: tuple(part) if isinstance(part, list) else None, structure, top_down=False)


def map_shape_structure(func: Callable[[Any], Any], structure: Any) -> Any:
    """`func` applied to the shapes in `structure`: lists and tuples of whole numbers and None."""

    def is_shape(part: Any) -> bool:
        return isinstance(part, (list, tuple)) and all(
            isinstance(extent, (int, type(None))) for extent in part
        )

    return traverse(lambda part: func(part) if is_shape(part) else None, structure)
