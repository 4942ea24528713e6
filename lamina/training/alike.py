"""Batches that look like one that was analysed: copied to where they are needed, and checked there.

Analysing a batch - what nests how, what must be converted, what is refused - costs more than a short step of
training. Batches of one source look alike but for their values, so only these are looked at.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lamina.core import dtypes, tree
from lamina.core.errors import LaminaError
from lamina.training.arrays import Leaf, all_finite
from lamina.training.data import Arrays, DataSet

# For a product of longer vectors BLAS wakes threads, which then spin on the cores that training needs.
_FEW = 8192

Array = np.ndarray[Any, Any]
Check = Callable[[], None]


@dataclass
class Slot:
    """Room for one batch: its arrays, the same as vectors, and what the targets in them have to pass."""

    arrays: Arrays
    flat: Arrays
    checks: Sequence[Check]


@dataclass(frozen=True)
class _Kind:
    """What one array of a batch looks like, and what its values have to be.

    given: its type as it comes. limits: of the integers that fit into the program's dtype, if it is shorter.
    """

    given: type
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    converted: bool
    limits: tuple[int, int] | None
    finite: bool
    some: bool


class Alike:
    """The way of batches that look like `given`, which `batch` was made of.

    finite: for each of its arrays, whether NaN and infinities are refused. targets_checks: what the targets
    have to pass, as functions that raise when they do not, made once for the arrays of a slot.
    """

    def __init__(
        self,
        given: Any,
        batch: DataSet,
        finite: Sequence[bool],
        targets_checks: Callable[[Any], Sequence[Check]],
    ) -> None:
        self.batch = batch
        self._targets_checks = targets_checks
        self._pattern = _pattern(given)
        leaves = [leaf for leaf in tree.leaves(given) if leaf is not None]
        self._kinds = [
            _kind(one, leaf, refuse) for one, leaf, refuse in zip(leaves, batch.leaves, finite, strict=True)
        ]
        self._floats = any(kind.finite or kind.converted for kind in self._kinds)

    @staticmethod
    def possible(given: Any, batch: DataSet) -> bool:
        """Whether batches like `given` need no more than copying and the checks of their values."""
        leaves = [leaf for leaf in tree.leaves(given) if leaf is not None]
        return (
            len(leaves) == len(batch.leaves)
            and _is_plain(given)
            and all(_is_quick(one, leaf) for one, leaf in zip(leaves, batch.leaves))
        )

    def arrays(self, given: Any) -> Arrays | None:
        """The arrays of `given`, if it looks as expected."""
        found: list[Any] = []
        if not _collect(given, self._pattern, found):
            return None
        for place, (leaf, kind) in enumerate(zip(found, self._kinds)):
            if type(leaf) is not kind.given:
                return None
            if kind.given is not np.ndarray:
                try:
                    found[place] = leaf = np.asarray(leaf)
                except (RuntimeError, TypeError, ValueError):  # the analysis will say why
                    return None
            if leaf.shape != kind.shape or leaf.dtype != kind.dtype:
                return None
        return found

    def slot(self, arrays: Arrays) -> Slot:
        """A slot whose room is these arrays."""
        leaves = iter(leaf.with_array(array) for leaf, array in zip(self.batch.leaves, arrays))
        data = tree.map_structure(lambda leaf: None if leaf is None else next(leaves), self.batch.data)
        return Slot(arrays, [array.reshape(-1) for array in arrays], self._targets_checks(data[1]))

    def fill(self, arrays: Arrays, slot: Slot) -> bool:
        """Copy the arrays into the slot; whether all values are right. If not, the analysis will say why."""
        for array, kind in zip(arrays, self._kinds):
            if kind.limits is not None and array.size:
                low, high = kind.limits
                if array.min() < low or array.max() > high:
                    return False
        if not self._floats:
            for array, target in zip(arrays, slot.arrays):
                target[...] = array
        else:
            with np.errstate(over="ignore", invalid="ignore"):
                for array, target, flat, kind in zip(arrays, slot.arrays, slot.flat, self._kinds):
                    target[...] = array
                    if kind.finite and not _all_finite(flat):
                        return False
        for target, kind in zip(slot.arrays, self._kinds):
            if kind.some and not target.any():
                return False
        try:
            for check in slot.checks:
                check()
        except LaminaError:
            return False
        return True


def _all_finite(flat: Array) -> bool:
    """Quicker than `all_finite` for one batch, inside of `errstate`."""
    if flat.dtype.char not in "fd" or not flat.size:
        return all_finite(flat)
    if flat.size > _FEW:
        return math.isfinite(flat.max()) and math.isfinite(flat.min())  # either is NaN if there is one
    return math.isfinite(flat.dot(flat)) or all_finite(flat)


# --- what batches look like ------------------------------------------------------------------------


def _is_plain(node: Any) -> bool:
    """Whether this nests by plain tuples, lists and dicts only."""
    if not tree.is_branch(node):
        return True
    return type(node) in (tuple, list, dict) and all(map(_is_plain, tree.children(node)))


def _pattern(node: Any) -> Any:
    """How `node` nests: None for nothing, () for an array, else (type, keys, patterns of the parts)."""
    if node is None:
        return None
    if not tree.is_branch(node):
        return ()
    keys = list(node) if type(node) is dict else None
    return type(node), keys, [_pattern(child) for child in tree.children(node)]


def _collect(node: Any, pattern: Any, found: list[Any]) -> bool:
    """Add the arrays of `node` to `found`, in the order of `tree.leaves`; False if it nests otherwise."""
    if pattern == ():
        found.append(node)
        return True
    if pattern is None or type(node) is not pattern[0] or len(node) != len(pattern[2]):
        return pattern is None and node is None
    if pattern[1] is not None and list(node) != pattern[1]:
        return False
    parts = node if pattern[1] is None else tree.children(node)
    return all(_collect(part, inner, found) for part, inner in zip(parts, pattern[2]))


# What has one of these is a table, a sparse matrix or a masked array.
_NOT_PLAIN = ("to_numpy", "tocoo", "mask")


def _is_quick(given: Any, leaf: Leaf) -> bool:
    """Whether arrays like `given` become arrays like that of `leaf` by copying alone."""
    if not isinstance(leaf.array, np.ndarray):
        return False
    if isinstance(given, np.ndarray):
        if isinstance(given, np.ma.MaskedArray):
            return False
    elif not hasattr(given, "__array__") or any(hasattr(given, name) for name in _NOT_PLAIN):
        return False
    array = np.asarray(given)
    if array.shape != leaf.array.shape or array.dtype.kind not in "fiub":
        return False
    kinds = array.dtype.kind + leaf.array.dtype.kind
    return array.dtype == leaf.array.dtype or kinds in ("ff", "ii", "uu")


def _kind(given: Any, leaf: Leaf, finite: bool) -> _Kind:
    array, target = np.asarray(given), leaf.array.dtype
    converted = array.dtype != target
    shorter = target.itemsize < array.dtype.itemsize
    return _Kind(
        given=type(given),
        shape=array.shape,
        dtype=array.dtype,
        converted=converted,
        limits=dtypes.limits(dtypes.of_numpy(target)) if shorter and target.kind in "iu" else None,
        # What is too large for a shorter float becomes infinite.
        finite=target.kind == "f" and (finite or shorter),
        some=leaf.name.startswith("sample_weight"),
    )
