"""Functions of single numbers, vectors or matrices as functions of whole stacks of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from math import prod
from typing import Any

from lamina.core.errors import ArgumentError, ShapeError
from lamina.core.shapes import Shape
from lamina.core.shapes import broadcast as broadcast_shapes
from lamina.ir import symbolic
from lamina.ops.control import vectorized_map
from lamina.ops.convert import as_tensor, spread
from lamina.ops.move import reshaped

Function = Callable[..., Any]
Names = tuple[str, ...]

_NAME = r"\w+"
_CORE = rf"\(\s*(?:{_NAME}(?:\s*,\s*{_NAME})*)?\s*\)"
_SIDE = rf"{_CORE}(?:\s*,\s*{_CORE})*"
_SIGNATURE = re.compile(rf"\s*({_SIDE})\s*->\s*({_SIDE})\s*")


def vectorize(
    pyfunc: Function, *, excluded: Iterable[int] | None = None, signature: str | None = None
) -> Function:
    """A function that calls `pyfunc` for every element of its arguments, broadcast together.

    excluded: the positions of arguments that are handed on as they are. signature: the axes that belong to
    one call, as NumPy writes them: "(m,n),(n)->(m)" for matrices times vectors; the axes before them are
    looped over. By default each call gets numbers and returns a number, or a tuple of them. In compiled code
    `pyfunc` is traced once. ShapeError for arguments that do not fit the signature.

    >>> vectorize(lambda a, b: a + b)([1, 2, 3], 2)
    Array([3, 4, 5], dtype=int32)
    """
    if not callable(pyfunc):
        raise ArgumentError(f"vectorize needs a function, got {pyfunc!r:.60}.")
    left_out = frozenset(excluded or ())
    cores = None if signature is None else _parsed(signature)

    def vectorized(*arguments: Any, **keywords: Any) -> Any:
        if symbolic.is_symbolic(arguments, keywords):
            return symbolic.record(vectorized, arguments, keywords)
        places = [place for place in range(len(arguments)) if place not in left_out]
        if not places:
            return pyfunc(*arguments, **keywords)
        tensors = [as_tensor(arguments[place]) for place in places]
        ranks = _core_ranks(tensors, None if cores is None else cores[0], signature)
        loops = [tensor.shape[: len(tensor.shape) - rank] for tensor, rank in zip(tensors, ranks)]
        loop = broadcast_shapes(*loops)

        def once(slices: Sequence[Any]) -> Any:
            filled = list(arguments)
            for place, part in zip(places, slices):
                filled[place] = part
            return pyfunc(*filled, **keywords)

        if not loop:
            return once(tensors)
        flat = [_flattened(tensor, loop, rank) for tensor, rank in zip(tensors, ranks)]
        result = vectorized_map(once, flat)
        if isinstance(result, tuple):
            return tuple(reshaped(part, (*loop, *part.shape[1:])) for part in result)
        return reshaped(result, (*loop, *result.shape[1:]))

    return vectorized


def _parsed(signature: str) -> tuple[list[Names], list[Names]]:
    """The names of the axes of one call: of each argument, and of each result."""
    match = _SIGNATURE.fullmatch(signature)
    if match is None:
        raise ArgumentError(
            f"{signature!r} is no signature of vectorize.", expected='for instance "(m,n),(n)->(m)"'
        )
    arguments, results = (
        [tuple(re.findall(_NAME, core)) for core in re.findall(_CORE, side)] for side in match.groups()
    )
    return arguments, results


def _core_ranks(tensors: Sequence[Any], cores: list[Names] | None, signature: str | None) -> list[int]:
    """How many axes of each argument belong to one call."""
    if cores is None:
        return [0] * len(tensors)
    if len(cores) != len(tensors):
        raise ArgumentError(
            f"The signature {signature!r} of vectorize has {len(cores)} arguments, got {len(tensors)}."
        )
    extents: dict[str, int] = {}
    for tensor, names in zip(tensors, cores):
        own = tensor.shape[len(tensor.shape) - len(names) :] if names else ()
        if len(own) != len(names) or any(extents.setdefault(name, n) != n for name, n in zip(names, own)):
            raise ShapeError(
                f"An argument does not fit the signature {signature!r} of vectorize.",
                expected=f"last axes {names}" + (f" with {extents}" if extents else ""),
                got=f"shape {tuple(tensor.shape)}",
            )
    return [len(names) for names in cores]


def _flattened(tensor: Any, loop: Shape, rank: int) -> Any:
    """(calls, *axes of one call)"""
    core = tensor.shape[len(tensor.shape) - rank :] if rank else ()
    before = tensor.shape[: len(tensor.shape) - rank]
    padded = reshaped(tensor, (*[1] * (len(loop) - len(before)), *before, *core))
    return reshaped(spread(padded, (*loop, *core)), (prod(loop), *core))
