"""Crossentropies between targets and predicted probabilities (or logits), one value per sample.

Where the logits are known - `from_logits=True`, or a traced softmax or sigmoid in front (`logits.py`) -
values and gradients are exact however sure the network is. Else probabilities are clipped to
[1e-7, 1 - 1e-7] as in Keras, and a prediction beyond has no gradient.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from lamina import ops
from lamina.core.errors import ArgumentError, DataError, ShapeError
from lamina.core.shapes import normalize_axis, remove
from lamina.losses.base import BuiltInLoss, LabelLoss, matching_pair, set_mask
from lamina.losses.logits import sigmoid_logits, softmax_logits

MEAN = "sum_over_batch_size"


# --- binary ----------------------------------------------------------------------------------------


def binary_crossentropy(
    y_true: Any, y_pred: Any, from_logits: bool = False, label_smoothing: float = 0.0, axis: int = -1
) -> Any:
    """mean(-t log(p) - (1 - t) log(1 - p)) over `axis`

    y_true, y_pred: one shape; y_true in [0, 1]. label_smoothing s: t becomes t (1 - s) + s / 2.

    >>> binary_crossentropy([[1.0, 0.0]], [[0.5, 0.5]])
    Array([0.6931472], dtype=float32)
    """
    y_true, y_pred = matching_pair("binary_crossentropy", y_true, y_pred)
    y_true = smooth_binary(y_true, label_smoothing)
    return ops.mean(elementwise_crossentropy(y_true, y_pred, from_logits), axis=axis)


def elementwise_crossentropy(y_true: Any, y_pred: Any, from_logits: bool) -> Any:
    """-t log(p) - (1 - t) log(1 - p), element by element."""
    logits = y_pred if from_logits else sigmoid_logits(y_pred)
    if logits is not None:
        return ops.binary_crossentropy(y_true, logits, from_logits=True)
    return ops.binary_crossentropy(y_true, y_pred)


def smooth_binary(y_true: Any, label_smoothing: float) -> Any:
    return y_true * (1.0 - label_smoothing) + 0.5 * label_smoothing if label_smoothing else y_true


# --- categorical -----------------------------------------------------------------------------------


def categorical_crossentropy(
    y_true: Any, y_pred: Any, from_logits: bool = False, label_smoothing: float = 0.0, axis: int = -1
) -> Any:
    """-sum(t log(p)) over the classes, which lie along `axis`

    y_true, y_pred: one shape. label_smoothing s: t becomes t (1 - s) + s / (number of classes).
    Probabilities that do not sum to 1 are divided by their sum first.
    """
    y_true, y_pred = class_pair("categorical_crossentropy", y_true, y_pred, axis)
    y_true = smooth_categorical(y_true, label_smoothing, axis)
    logits = y_pred if from_logits else softmax_logits(y_pred, axis)
    if logits is not None:
        return ops.categorical_crossentropy(y_true, logits, from_logits=True, axis=axis)
    return ops.categorical_crossentropy(y_true, y_pred, axis=axis)


def class_pair(name: str, y_true: Any, y_pred: Any, axis: int) -> tuple[Any, Any]:
    """Targets and predictions of one shape, with at least two classes along `axis`."""
    if isinstance(axis, bool):
        raise ArgumentError(f"{name}: axis must be a whole number, got {axis}.")
    y_pred = ops.convert_to_tensor(y_pred)
    _check_has_classes(name, y_pred, axis)
    return matching_pair(name, y_true, y_pred)


def _check_has_classes(name: str, y_pred: Any, axis: int) -> None:
    if len(y_pred.shape) and y_pred.shape[axis] == 1:
        raise ShapeError(
            f"{name}: the predictions have a single class, so the loss would be 0 whatever the network does.",
            expected=f"at least 2 classes along axis {axis}",
            got=f"predictions of shape {tuple(y_pred.shape)}",
            fix="one unit per class, or binary_crossentropy for a single unit with a sigmoid.",
        )


def smooth_categorical(y_true: Any, label_smoothing: float, axis: int) -> Any:
    if not label_smoothing:
        return y_true
    return y_true * (1.0 - label_smoothing) + label_smoothing / y_true.shape[axis]


# --- sparse ----------------------------------------------------------------------------------------


def sparse_categorical_crossentropy(
    y_true: Any, y_pred: Any, from_logits: bool = False, ignore_class: int | None = None, axis: int = -1
) -> Any:
    """-log(p[label]), for class numbers as targets

    y_true: whole numbers, of the shape of y_pred without `axis`, or with extent 1 there.
    ignore_class: samples of this label are left out; the result carries their mask.

    Raises ShapeError when the shapes do not fit, DataError for labels that are visibly no class numbers
    (labels inside a trace cannot be seen; `fit` checks the data before).
    """
    name = "sparse_categorical_crossentropy"
    y_pred, axis = _class_predictions(name, y_pred, axis)
    labels = _labels(name, y_true, tuple(y_pred.shape), axis, ignore_class)
    logits = y_pred if from_logits else softmax_logits(y_pred, axis)
    if logits is not None:
        values = ops.sparse_categorical_crossentropy(labels, logits, from_logits=True, axis=axis)
    else:
        values = ops.sparse_categorical_crossentropy(labels, y_pred, axis=axis)
    if ignore_class is None:
        return values
    valid = ops.not_equal(labels, ignore_class)
    # Not a product with zeros: what is ignored may be NaN.
    return set_mask(ops.where(valid, values, ops.zeros_like(values)), valid)


def label_probabilities(name: str, y_true: Any, y_pred: Any) -> Any:
    """p[label] for each sample: the probability, along the last axis, of the class that is right."""
    y_pred, axis = _class_predictions(name, y_pred, -1)
    labels = _labels(name, y_true, tuple(y_pred.shape), axis, None)
    is_label = ops.one_hot(labels, y_pred.shape[axis], dtype="bool")
    return ops.sum(ops.where(is_label, y_pred, ops.zeros_like(y_pred)), axis=axis)


def _class_predictions(name: str, y_pred: Any, axis: int) -> tuple[Any, int]:
    y_pred = ops.convert_to_tensor(y_pred)
    _check_has_classes(name, y_pred, axis)
    return y_pred, normalize_axis(axis, len(y_pred.shape))


def _labels(name: str, y_true: Any, output: tuple[int, ...], axis: int, ignore_class: int | None) -> Any:
    """The class numbers as int32, without the class axis, checked as far as they can be seen."""
    labels = ops.convert_to_tensor(y_true)
    if len(labels.shape) == len(output) and labels.shape[axis] == 1:
        labels = ops.squeeze(labels, axis)
    if tuple(labels.shape) != remove(output, [axis]):
        one_hot = tuple(labels.shape) == output
        raise ShapeError(
            f"{name}: targets and predictions do not fit.",
            expected=f"class numbers of shape {remove(output, [axis])} for predictions of shape {output}",
            got=f"targets of shape {tuple(labels.shape)}",
            fix="use categorical_crossentropy for one-hot targets."
            if one_hot
            else "give one class number each.",
        )
    if isinstance(labels, np.ndarray):
        check_labels(name, np.asarray(labels), output[axis], ignore_class)
    return ops.cast(labels, "int32")


def check_labels(
    name: str, labels: np.ndarray[Any, Any], num_classes: int, ignore_class: int | None = None
) -> None:
    """DataError unless every label is a whole number in [0, num_classes), or the ignored class."""
    wrong = (labels < 0) | (labels >= num_classes) | (labels != np.floor(labels))
    if ignore_class is not None:
        wrong &= labels != ignore_class
    if wrong.any():
        where = np.unravel_index(int(np.argmax(wrong)), labels.shape)
        raise DataError(
            f"{name}: a target is not one of the class numbers.",
            expected=f"whole numbers from 0 to {num_classes - 1}, for {num_classes} predicted classes",
            got=f"{labels[where]} at {tuple(map(int, where))}",
            fix="count classes from 0, or give the last layer more units.",
        )


# --- classes ---------------------------------------------------------------------------------------


class BinaryCrossentropy(BuiltInLoss):
    """Crossentropy of yes-or-no targets, each element on its own: -t log(p) - (1 - t) log(1 - p).

    from_logits: predictions are not yet through a sigmoid. label_smoothing: pulls targets towards 1/2.
    axis: averaged over.
    """

    def __init__(
        self,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
        reduction: str | None = MEAN,
        name: str | None = "binary_crossentropy",
        dtype: Any = None,
    ) -> None:
        super().__init__(
            binary_crossentropy,
            reduction,
            name,
            dtype,
            from_logits=from_logits,
            label_smoothing=label_smoothing,
            axis=axis,
        )


class CategoricalCrossentropy(BuiltInLoss):
    """Crossentropy of one-hot (or soft) targets over the classes along `axis`: -sum(t log(p)).

    from_logits: predictions are not yet through a softmax. label_smoothing: share of each target that is
    spread evenly over the classes.
    """

    def __init__(
        self,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
        reduction: str | None = MEAN,
        name: str | None = "categorical_crossentropy",
        dtype: Any = None,
    ) -> None:
        super().__init__(
            categorical_crossentropy,
            reduction,
            name,
            dtype,
            from_logits=from_logits,
            label_smoothing=label_smoothing,
            axis=axis,
        )


class SparseCategoricalCrossentropy(LabelLoss):
    """Crossentropy of class numbers as targets: -log(p[label]).

    from_logits: predictions are not yet through a softmax. ignore_class: samples of this label do not count.
    axis: of the classes.
    """

    def __init__(
        self,
        from_logits: bool = False,
        ignore_class: int | None = None,
        reduction: str | None = MEAN,
        axis: int = -1,
        name: str | None = "sparse_categorical_crossentropy",
        dtype: Any = None,
    ) -> None:
        super().__init__(
            sparse_categorical_crossentropy,
            reduction,
            name,
            dtype,
            from_logits=from_logits,
            ignore_class=ignore_class,
            axis=axis,
        )
