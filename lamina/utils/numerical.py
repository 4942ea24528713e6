"""Preparing arrays."""

from __future__ import annotations

from typing import Any

import numpy as np

from lamina import ops
from lamina.core.errors import DataError
from lamina.ir.symbolic import KerasTensor
from lamina.ir.trace import Tensor


def to_categorical(x: Any, num_classes: int | None = None) -> Any:
    """Class numbers as one-hot rows of the default float dtype.

    x: integers (or floats that are whole) of any shape; a last axis of extent 1 is dropped. num_classes: by
    default the largest number in `x` plus 1. The result has one more axis, of extent `num_classes`, at the
    end. Arrays give NumPy arrays. Traced tensors are accepted; their classes cannot be counted or checked.

    Raises DataError for numbers that are negative, fractional, or not below `num_classes`.

    >>> to_categorical([0, 2], num_classes=3)
    array([[1., 0., 0.],
           [0., 0., 1.]], dtype=float32)
    """
    if isinstance(x, (Tensor, KerasTensor)):
        if num_classes is None:
            raise DataError("to_categorical: num_classes is needed for tensors without numbers.")
        if len(x.shape) > 1 and x.shape[-1] == 1:
            x = ops.squeeze(x, axis=-1)
        return ops.one_hot(x, num_classes)
    given = np.asarray(x)
    if given.ndim > 1 and given.shape[-1] == 1:
        given = given[..., 0]
    classes = given.astype(np.int64) if given.dtype.kind in "fiub" else None
    if classes is None or not np.array_equal(classes, given):
        raise DataError(
            "to_categorical: x holds no class numbers.",
            expected="whole numbers 0, 1, 2, ...",
            got=f"an array of dtype {given.dtype}",
            fix="number the classes: classes, x = np.unique(x, return_inverse=True).",
        )
    count = num_classes if num_classes else int(classes.max(initial=-1)) + 1
    if classes.size and (classes.min() < 0 or classes.max() >= count):
        raise DataError(
            "to_categorical: a class number is out of range.",
            expected=f"whole numbers from 0 to {count - 1}",
            got=str(classes.min() if classes.min() < 0 else classes.max()),
        )
    return np.asarray(ops.one_hot(classes.astype(np.int32), count))


def normalize(x: Any, axis: int = -1, order: int = 2) -> Any:
    """`x` divided by its norm along an axis; where that is zero, `x` stays as it is.

    order: of the norm, 2 for Euclidean lengths. NumPy arrays give NumPy arrays, tensors tensors.

    >>> normalize(np.array([[3.0, 4.0]]))
    array([[0.6, 0.8]])
    """
    if isinstance(x, (Tensor, KerasTensor)):
        return ops.normalize(x, axis=axis, order=order)
    given = np.asarray(x)
    given = given if given.dtype.kind == "f" else given.astype(np.float64)
    norm = np.linalg.norm(given, order, axis, keepdims=True)
    norm[norm == 0] = 1
    return given / norm
