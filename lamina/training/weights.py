"""Class weights and sample weights as one weight per sample and output."""

from __future__ import annotations

import math
import numbers
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lamina.core import dtypes, tree
from lamina.core.config import config
from lamina.core.errors import ArgumentError, DataError
from lamina.training.arrays import Leaf


def checked(sample_weight: Any) -> Any:
    """The sample weights themselves; DataError when there is nothing that they let count."""
    leaves = [leaf for leaf in tree.leaves(sample_weight) if leaf is not None]
    if leaves and not any(leaf.array.any() for leaf in leaves):
        raise DataError("All sample weights are 0, so nothing would be learnt.")
    return sample_weight


def weigh_classes(
    y: Any, sample_weight: Any, class_weight: Mapping[Any, Any], output_names: Sequence[str] | None
) -> Any:
    """The sample weights (a Leaf, or one per output) that weigh each sample by its class.

    class_weight: {class: weight}, or with several outputs {output name: {class: weight}} or a list of such.
    Classes that it does not name weigh 1. Weights given as well are multiplied.
    """
    if not tree.is_branch(y):
        if isinstance(class_weight, (list, tuple)) and len(class_weight) == 1:
            class_weight = class_weight[0]
        if isinstance(class_weight, Mapping) and output_names and set(class_weight) == set(output_names[:1]):
            class_weight = class_weight[output_names[0]]
        return _weigh(y, _single(sample_weight), class_weight)
    keys = list(y) if isinstance(y, Mapping) else list(range(len(y)))
    names = keys if isinstance(y, Mapping) else list(output_names or keys)
    by_key = {key: _of_output(class_weight, position, names) for position, key in enumerate(keys)}
    given = {key: _weight_of(sample_weight, key, names, position) for position, key in enumerate(keys)}
    result = {
        key: given[key] if by_key[key] is None else _weigh(y[key], given[key], by_key[key]) for key in keys
    }
    return result if isinstance(y, Mapping) else list(result.values())


def _single(sample_weight: Any) -> Leaf | None:
    flat = tree.flatten(sample_weight)
    return flat[0] if flat else None


def _weight_of(sample_weight: Any, key: Any, names: Sequence[Any], position: int) -> Leaf | None:
    if not tree.is_branch(sample_weight):
        return sample_weight
    if isinstance(sample_weight, Mapping):
        return sample_weight.get(key, sample_weight.get(names[position]))
    return sample_weight[position]


def _of_output(class_weight: Any, position: int, names: Sequence[Any]) -> Mapping[Any, Any] | None:
    nested = isinstance(class_weight, (list, tuple)) or (
        isinstance(class_weight, Mapping)
        and all(entry is None or isinstance(entry, Mapping) for entry in class_weight.values())
    )
    if not nested:
        raise ArgumentError(
            "With several outputs, class_weight must say which output it is for.",
            expected=f"{{output: {{class: weight}}}} with outputs {', '.join(map(str, names))}",
            got=repr(class_weight)[:80],
        )
    if isinstance(class_weight, Mapping):
        unknown = [name for name in class_weight if name not in names]
        if unknown:
            raise ArgumentError(
                f"class_weight names the output {unknown[0]!r}, which the model does not have.",
                expected=f"some of {', '.join(map(str, names))}",
            )
        return class_weight.get(names[position])
    if len(class_weight) != len(names):
        raise ArgumentError(f"class_weight has {len(class_weight)} entries for {len(names)} outputs.")
    return class_weight[position]


def _weigh(y: Leaf, sample_weight: Leaf | None, class_weight: Any) -> Leaf:
    _check(class_weight)
    classes = _classes_of(y)
    keys = np.array(sorted(class_weight), dtype=np.int64)
    values = np.array([class_weight[key] for key in sorted(class_weight)], dtypes.to_numpy(config.floatx))
    present = np.unique(classes)
    if not np.isin(keys, present).any():
        raise DataError(
            f"No class that class_weight names occurs in {y.name}.",
            expected=f"classes among {present[:8].tolist()}",
            got=f"class_weight for {keys[:8].tolist()}",
        )
    position = np.clip(np.searchsorted(keys, classes), 0, len(keys) - 1)
    weights = np.where(keys[position] == classes, values[position], values.dtype.type(1))
    if sample_weight is not None:
        given = sample_weight.array
        weights = weights * given.reshape(given.shape + (1,) * (weights.ndim - given.ndim))
    return Leaf("sample_weight", np.ascontiguousarray(weights, values.dtype))


def _check(class_weight: Any) -> None:
    if not isinstance(class_weight, Mapping) or not class_weight:
        raise ArgumentError(
            "class_weight must be a dict from class to weight.",
            got=repr(class_weight)[:80],
            expected="{0: 1.0, 1: 5.0}",
        )
    for key, value in class_weight.items():
        if not isinstance(key, numbers.Integral) or key < 0:
            raise ArgumentError(
                f"class_weight has the key {key!r}, which is no class.", expected="class numbers 0, 1, 2, ..."
            )
        if not isinstance(value, numbers.Real) or not math.isfinite(value) or value < 0:
            raise ArgumentError(
                f"class_weight gives class {key} the weight {value!r}.", expected="a finite number, 0 or more"
            )


def _classes_of(y: Leaf) -> np.ndarray[Any, Any]:
    """The class number of each sample: one-hot rows by their maximum, an axis of one dropped."""
    array = y.array
    if array.ndim > 1:
        array = array[..., 0] if array.shape[-1] == 1 else array.argmax(axis=-1)
    return np.rint(array).astype(np.int64)
