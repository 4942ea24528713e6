"""What was read as what."""

from __future__ import annotations

from typing import Any

import numpy as np

from lamina.core.errors import ArgumentError, ShapeError

Array = np.ndarray[Any, Any]


def confusion_matrix(truth: Any, predicted: Any, classes: int) -> Array:
    """Counts, int64 [classes, classes]: row the true class, column the predicted one.

    truth, predicted: int [rows], from 0 to classes - 1. Raises ShapeError when they differ in length,
    ArgumentError for other numbers.

    >>> confusion_matrix([0, 1, 1], [0, 1, 0], classes=2)
    array([[1, 0],
           [1, 1]])
    """
    truth, predicted = np.asarray(truth, np.int64), np.asarray(predicted, np.int64)
    if truth.ndim != 1 or truth.shape != predicted.shape:
        raise ShapeError(
            "confusion_matrix: truth and predicted have one class number per row.",
            expected="two arrays of one shape [rows]",
            got=f"{truth.shape} and {predicted.shape}",
        )
    for name, numbers in (("truth", truth), ("predicted", predicted)):
        if numbers.size and not 0 <= numbers.min() <= numbers.max() < classes:
            raise ArgumentError(
                f"confusion_matrix: {name} has a class that is not among {classes} classes.",
                expected=f"numbers from 0 to {classes - 1}",
                got=f"numbers from {numbers.min()} to {numbers.max()}",
            )
    return np.bincount(truth * classes + predicted, minlength=classes * classes).reshape(classes, classes)
