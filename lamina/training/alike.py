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

Array = np.ndarray[Any, Any]
Check = Callable[[], None]


@dataclass
class Stretch:
    """Some batches that lie one after another, and are looked at together.

    count: how many. given: their arrays as they came. arrays: the same in the dtypes of the program. checks:
    what the targets in them have to pass.
    """

    count: int
    given: Arrays
    arrays: Arrays
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
        self._places = tree.map_structure(lambda leaf: None if leaf is None else 0, given)
        leaves = [leaf for leaf in tree.leaves(given) if leaf is not None]
        self._kinds = [
            _kind(one, leaf, refuse) for one, leaf, refuse in zip(leaves, batch.leaves, finite, strict=True)
        ]
        self._looks = [(kind.shape, kind.dtype) for kind in self._kinds]
        self._plain = all(kind.given is np.ndarray for kind in self._kinds)
        # One tuple or list of arrays, as most batches are.
        flat = type(given) in (tuple, list) and all(part == () for part in self._pattern[2])
        self._row = type(given) if flat else None

    @staticmethod
    def possible(given: Any, batch: DataSet) -> bool:
        """Whether batches like `given` need no more than copying and the checks of their values."""
        leaves = [leaf for leaf in tree.leaves(given) if leaf is not None]
        return (
            len(leaves) == len(batch.leaves)
            and _is_plain(given)
            and all(_is_quick(one, leaf) for one, leaf in zip(leaves, batch.leaves))
        )

    def arrays(self, given: Any) -> Sequence[Array] | None:
        """The arrays of `given`, if it looks as expected."""
        found: Any = []
        if type(given) is self._row:
            found = given
        elif not _collect(given, self._pattern, found):
            return None
        if not self._plain:
            try:
                found = [np.asarray(leaf) for leaf in found] if self._same_types(found) else []
            except (RuntimeError, TypeError, ValueError):  # the analysis will say why
                return None
        if len(found) != len(self._looks):
            return None
        for leaf, (shape, dtype) in zip(found, self._looks):
            if type(leaf) is not np.ndarray or leaf.shape != shape or leaf.dtype != dtype:
                return None
        return found  # type: ignore[no-any-return]

    def _same_types(self, found: Sequence[Any]) -> bool:
        return all(type(leaf) is kind.given for leaf, kind in zip(found, self._kinds))

    def room(self, arrays: Arrays) -> Arrays:
        """Where batches are copied to, as they come, that shall end in these arrays.

        The same, or others of as many rows where values have to be converted.
        """
        return [
            np.empty((len(array), *kind.shape[1:]), kind.dtype) if kind.converted else array
            for array, kind in zip(arrays, self._kinds)
        ]

    def stretch(self, given: Arrays, arrays: Arrays) -> Stretch:
        """A stretch of batches: as they come, and where they shall be."""
        leaves = iter(leaf.with_array(array) for leaf, array in zip(self.batch.leaves, arrays))
        data = tree.map_structure(lambda leaf: None if leaf is None else next(leaves), self.batch.data)
        count = len(arrays[0]) // self.batch.rows
        return Stretch(count, given, arrays, self._targets_checks(data[1]))

    def accept(self, stretch: Stretch) -> bool:
        """Convert what was copied, and look at it: whether all values are right.

        If not, the analysis of the batches will say why.
        """
        for kind, given, array in zip(self._kinds, stretch.given, stretch.arrays):
            if kind.limits is not None and given.size:
                low, high = kind.limits
                if given.min() < low or given.max() > high:
                    return False
            if kind.converted:
                with np.errstate(over="ignore", invalid="ignore"):
                    array[...] = given
            if kind.finite and not _all_finite(array):
                return False
            if kind.some and not array.reshape(stretch.count, -1).any(axis=1).all():
                return False
        try:
            for check in stretch.checks:
                check()
        except LaminaError:
            return False
        return True

    def packed(self, arrays: Sequence[Array]) -> Any:
        """Arrays nested as the batches came."""
        rest = iter(arrays)
        return tree.map_structure(lambda place: None if place is None else next(rest), self._places)


def _all_finite(array: Array) -> bool:
    """Quicker than `all_finite` for some batches."""
    if array.dtype.char not in "fd" or not array.size:
        return all_finite(array)
    return math.isfinite(array.max()) and math.isfinite(array.min())  # either is NaN if there is one


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
