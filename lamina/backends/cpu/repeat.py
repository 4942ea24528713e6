"""Work that is done again where its result is read, because that costs less than storing it.

The mask of a relu is the example: comparing the stored activation takes an instruction, a mask in memory is
written and read. Of tensors that no cache holds, whole chains are repeated, divisions and roots among them:
fetching a vector from memory takes as long as some dozens of instructions. So the step of an optimizer whose
length depends on a norm is computed twice, for the norm and for the update, and never stored.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from lamina.backends.cpu.fuse import (
    CONTRACT,
    FULL,
    KEPT,
    LARGEST_GROUP,
    SOURCES,
    SPECIAL,
    WINDOWED,
    Fusion,
    Group,
    occupied,
    squeeze,
)
from lamina.core.dtypes import itemsize
from lamina.ir import primitives as p
from lamina.ir.graph import Value
from lamina.ir.primitives import REDUCES

# An instruction or two.
CHEAP = frozenset(
    {p.negative, p.absolute, p.add, p.subtract, p.multiply, p.maximum, p.minimum, p.cast, p.invert,
    p.stop_gradient,
     p.equal, p.not_equal, p.less, p.less_equal, p.greater, p.greater_equal, p.select,
     p.bitwise_and, p.bitwise_or, p.bitwise_xor}
)  # fmt: skip
CHEAPER_THAN_MEMORY = CHEAP | {p.divide, p.sqrt, p.rsqrt, p.gather}

LARGE = 1 << 22  # bytes from which a value comes from memory and not from a cache
LONGEST = 8  # values repeated to save one


def repeat_cheap_work(fusion: Fusion) -> None:
    """Compute cheap values at their users, from operands that are in memory anyway."""
    stored = fusion.stored()
    results = {fusion.resolve(result).root for result in fusion.results}
    reads = {group: fusion.reads(group) for group in fusion.groups}
    for value in [value for value in stored if value.primitive in CHEAPER_THAN_MEMORY]:
        recipe = [] if value in results else _recipe(fusion, value, stored)
        homes = [group for group in fusion.groups if value in reads[group]]
        if not recipe or not _saves_traffic(fusion, recipe, [reads[group] for group in homes]):
            continue
        if not all(_can_repeat(fusion, group, recipe) for group in homes):
            continue
        for group in homes:
            group.values = _with(group, recipe)
            reads[group] = fusion.reads(group)
        stored.pop(value)
        owner = fusion.home[value]
        if owner not in homes:
            _drop_unused(fusion, owner, recipe, stored)
            for entry in recipe:
                if fusion.home[entry] is owner and entry not in owner.values:
                    fusion.home[entry] = homes[0]
            reads[owner] = fusion.reads(owner)
            if not owner.values:
                fusion.groups.remove(owner)


def _with(group: Group, recipe: Sequence[Value]) -> dict[Value, str]:
    """The group's values and those of the recipe, operands before users."""
    values = group.values | {entry: FULL for entry in recipe if entry not in group.values}
    return dict(sorted(values.items(), key=lambda item: item[0].node.serial))


def _recipe(fusion: Fusion, value: Value, stored: Collection[Value]) -> list[Value]:
    """Values that give `value` from what is in memory, operands first; none if they are many or dear."""
    large = _bytes(value) >= LARGE
    primitives, longest = (CHEAPER_THAN_MEMORY, LONGEST) if large else (CHEAP, 1)
    found: dict[Value, None] = {}

    def visit(entry: Value) -> bool:
        if entry.primitive not in primitives:
            return False
        for operand, view in fusion.operand_views(entry):
            root = view.root
            in_memory = root.primitive in SOURCES or (root in stored and root is not value)
            if root in found or (in_memory and not (large and _is_spread(fusion, root))):
                continue
            whole = occupied(view, operand.shape) == tuple(range(len(squeeze(operand.shape))))
            same = squeeze(root.shape) == squeeze(value.shape)
            if not (whole and same and root is not value and visit(root)) and not in_memory:
                return False
        found[entry] = None
        return len(found) <= longest

    return list(found) if visit(value) and len(found) <= longest else []


def _is_spread(fusion: Fusion, value: Value) -> bool:
    """Whether the value is a cheap function of much smaller ones: reading those is reading nothing."""
    return value.primitive in CHEAP and all(
        8 * view.root.size <= value.size for _, view in fusion.operand_views(value)
    )


def _saves_traffic(fusion: Fusion, recipe: Sequence[Value], reads: Sequence[Collection[Value]]) -> bool:
    """Whether users of a chain read hardly more than before; what is not stored is neither fetched nor
    written.
    """
    if len(recipe) == 1 and recipe[0].primitive in CHEAP:
        return True
    value = recipe[-1]
    needed = {
        view.root
        for entry in recipe
        for _, view in fusion.operand_views(entry)
        if 8 * view.root.size > value.size and view.root not in recipe
    }
    return sum(len(needed.difference(found)) - 1 for found in reads) <= 1


def _drop_unused(fusion: Fusion, group: Group, values: Sequence[Value], stored: Collection[Value]) -> None:
    """Take those of the values out of the group that nobody needs there any more."""
    for value in reversed(values):
        used = any(
            view.root is value and fusion.is_local(group, user, operand)
            for user in group.values
            for operand, view in fusion.operand_views(user)
        )
        if value in group.values and value not in stored and not used:
            del group.values[value]


def _can_repeat(fusion: Fusion, group: Group, recipe: Sequence[Value]) -> bool:
    """Whether `group` can compute the last value of the recipe where it now loads it."""
    value = recipe[-1]
    if group.kind == SPECIAL or squeeze(value.shape) != group.domain:
        return False
    if len(recipe) > 1 and len(group.values) + len(recipe) > LARGEST_GROUP:
        return False
    for user in group.values:
        for operand, view in fusion.operand_views(user):
            if view.root is value and (
                user.primitive in WINDOWED
                or user.node is group.head
                or occupied(view, operand.shape) != tuple(range(len(group.domain)))
                or (group.values[user] == KEPT and not user.primitive.has(REDUCES))
            ):
                return False
    before, group.values = group.values, _with(group, recipe)
    # What the group itself computes can only be taken from its registers.
    local = all(
        fusion.is_local(group, entry, operand)
        for entry in recipe
        for operand, view in fusion.operand_views(entry)
        if view.root in group.values
    )
    group.values = before
    return local and (group.kind != CONTRACT or all(fusion.fits_tile(group, entry) for entry in recipe))


def _bytes(value: Value) -> int:
    return value.size * itemsize(value.dtype)
