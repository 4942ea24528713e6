"""Structures of shapes. A shape is a tuple of extents, None where an extent is not known yet."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from lamina.core.errors import ShapeError

Shape = tuple[int | None, ...]


def is_shape(value: Any) -> bool:
    """Whether `value` is one shape, and not a structure of shapes."""
    return isinstance(value, (tuple, list)) and all(
        extent is None or (isinstance(extent, (int, np.integer)) and not isinstance(extent, bool))
        for extent in value
    )


def standardize(shape: Any, what: str = "shape") -> Shape:
    """`shape` as a tuple of ints and None; ShapeError for anything else."""
    if isinstance(shape, (int, np.integer)) and not isinstance(shape, bool):
        shape = (shape,)
    if not is_shape(shape):
        raise ShapeError(
            f"This is not a {what}.", expected="a tuple of whole numbers and None", got=repr(shape)
        )
    for extent in shape:
        if extent is not None and extent < 0:
            raise ShapeError(f"A {what} cannot have a negative extent.", got=str(tuple(shape)))
    return tuple(None if extent is None else int(extent) for extent in shape)


def map_shapes(function: Callable[[Shape], Any], structure: Any) -> Any:
    """`function` applied to every shape of a structure; None stays None."""
    if structure is None:
        return None
    if is_shape(structure):
        return function(tuple(structure))
    if isinstance(structure, Mapping):
        return {key: map_shapes(function, entry) for key, entry in structure.items()}
    if isinstance(structure, Sequence) and not isinstance(structure, str):
        children = [map_shapes(function, entry) for entry in structure]
        return children if isinstance(structure, list) else tuple(children)
    raise ShapeError("This is not a structure of shapes.", got=repr(structure))


def shape_of(tensor: Any) -> Shape | None:
    """The shape of a tensor of any kind, None for None."""
    return None if tensor is None else tuple(tensor.shape)


def known_size(extents: Sequence[int | None]) -> int | None:
    """The number of elements, or None when an extent is unknown."""
    total = 1
    for extent in extents:
        if extent is None:
            return None
        total *= extent
    return total


def broadcast(shapes: Sequence[Shape], what: str) -> Shape:
    """NumPy's broadcasting on shapes with unknown extents: unknown against 1 or unknown stays unknown."""
    rank = max(len(shape) for shape in shapes)
    result: list[int | None] = []
    for position in range(-rank, 0):
        extents = {shape[position] for shape in shapes if len(shape) >= -position} - {1}
        known = {extent for extent in extents if extent is not None}
        if len(known) > 1:
            raise ShapeError(
                f"{what}: shapes {' and '.join(map(str, shapes))} do not fit together.",
                expected="equal extents, or 1, counted from the last axis",
                got=f"{' and '.join(map(str, sorted(known)))} at axis {position}",
            )
        result.append(known.pop() if known else (None if extents else 1))
    return tuple(result)
