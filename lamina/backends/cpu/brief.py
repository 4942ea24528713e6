"""Kernels so brief that one thread does several of them in a row: a barrier between them would cost more.

A mean made of a sum and a count, the totals of a metric, the next number of a step: handing such work to
other threads takes longer than doing it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from lamina.backends.cpu.fuse import NEST, Fusion, Group
from lamina.core.shapes import size

FEW_OPERATIONS = 512


def find_brief(fusion: Fusion, apart: Iterable[Group]) -> set[Group]:
    """The groups of few operations, but for those that keep rows apart: these have no barriers anyway."""
    return {
        group
        for group in fusion.groups
        if group.kind == NEST and size(group.domain) * len(group.values) <= FEW_OPERATIONS
    } - set(apart)


def in_a_row(brief: set[Group], level: Mapping[Group, int]) -> set[Group]:
    """Of these, the ones that follow another of their phase, and those that they follow.

    level: the phase of each group.
    """
    found: set[Group] = set()
    for group in brief & level.keys():
        before = {earlier for earlier in group.after & brief if level.get(earlier) == level[group]}
        if before:
            found |= {group, *before}
    return found


__all__ = ["find_brief", "in_a_row"]
