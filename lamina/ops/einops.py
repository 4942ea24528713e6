"""Rearranging axes by pattern.

Source of the notation: A. Rogozhnikov, "Einops: Clear and Reliable Tensor Manipulations with Einstein-like
Notation" (2022).
"""

from __future__ import annotations

import re
from itertools import chain
from math import prod
from typing import Any

from lamina.core.errors import ArgumentError, ShapeError
from lamina.ops.convert import as_tensor
from lamina.ops.move import reshaped, transposed
from lamina.ops.registry import op

Side = list[list[str]]  # the names in each axis: one outside parentheses, several or none inside


@op
def rearrange(tensor: Any, pattern: str, **axes_lengths: int) -> Any:
    """The axes of `tensor` taken apart, reordered and put together, as "b (h p) w -> b h (p w)" says.

    Names in parentheses share an axis, the first varying slowest; of each axis all extents but one must be
    given in `axes_lengths`. "1" and "()" stand for an axis of extent 1.

    >>> rearrange(np.zeros((2, 6, 3)), "b (h w) c -> b c h w", h=2).shape
    (2, 3, 2, 3)
    """
    x = as_tensor(tensor)
    left, arrow, right = pattern.partition("->")
    if not arrow:
        raise ArgumentError(f"The pattern {pattern!r} has no '->'.")
    before, after = _parse(left, pattern), _parse(right, pattern)
    names, wanted = list(chain(*before)), list(chain(*after))
    if sorted(names) != sorted(wanted) or len(set(names)) != len(names):
        raise ArgumentError(f"The pattern {pattern!r} must name the same axes on both sides, each once.")
    extents = _extents(before, x.shape, axes_lengths, pattern)
    apart = reshaped(x, tuple(extents[name] for name in names))
    ordered = transposed(apart, tuple(names.index(name) for name in wanted))
    return reshaped(ordered, tuple(prod(extents[name] for name in group) for group in after))


def _parse(side: str, pattern: str) -> Side:
    groups: Side = []
    for part in re.findall(r"\([^()]*\)|[^\s()]+|[()]", side):
        inside = part[1:-1].split() if part.startswith("(") and part.endswith(")") else [part]
        if any(not (name.isidentifier() or name == "1") for name in inside):
            raise ArgumentError(f"The pattern {pattern!r} may have names and parentheses, got {part!r}.")
        groups.append([name for name in inside if name != "1"])
    return groups


def _extents(groups: Side, shape: tuple[int, ...], given: dict[str, int], pattern: str) -> dict[str, int]:
    if len(groups) != len(shape):
        raise ShapeError(f"The pattern {pattern!r} has {len(groups)} axes, the tensor {len(shape)}: {shape}.")
    extents = dict(given)
    for group, extent in zip(groups, shape):
        unknown = [name for name in group if name not in extents]
        known = prod(extents[name] for name in group if name in extents)
        if len(unknown) > 1:
            raise ArgumentError(
                f"The pattern {pattern!r} leaves {' and '.join(unknown)} open.", fix="give all but one."
            )
        if unknown and known and extent % known == 0:
            extents[unknown[0]] = extent // known
        elif unknown or known != extent:
            raise ShapeError(f"An axis of extent {extent} cannot be taken apart as {group} of {pattern!r}.")
    return extents
