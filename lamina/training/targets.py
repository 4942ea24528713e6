"""Targets and outputs that a loss cannot mean: wrong labels, outputs that are no probabilities.

Each built-in loss with demands on its targets has a row in `DEMANDS`; they are checked before training.
What an output is, the traced prediction shows.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from lamina import losses
from lamina.core.errors import ArgumentError, DataError, ShapeError, compose
from lamina.ir import primitives as p
from lamina.ir.graph import Value
from lamina.ir.trace import Tensor
from lamina.losses.logits import sigmoid_logits, softmax_logits
from lamina.training.arrays import Leaf

Array = np.ndarray[Any, Any]
Check = Callable[[Leaf, Any, tuple[int, ...]], None]


# --- values ----------------------------------------------------------------------------------------


def class_numbers(leaf: Leaf, loss: Any, output_shape: tuple[int, ...]) -> None:
    """Whole numbers from 0 to the number of outputs minus 1, or the loss's ignored class."""
    labels = leaf.array
    classes = output_shape[getattr(loss, "axis", -1)]
    ignored = getattr(loss, "ignore_class", None)
    if ignored is not None:
        labels = np.where(labels == ignored, np.zeros_like(labels), labels)
    if labels.dtype.kind == "f" and (fractional := labels != np.floor(labels)).any():
        raise DataError(
            f"{loss.name}: a target is no class number.",
            expected="whole numbers 0, 1, 2, ...",
            got=_first(leaf, fractional),
            fix="use a regression loss such as 'mse', or number the classes.",
        )
    low, high = labels.min(), labels.max()
    if low >= 0 and high < classes:
        return
    fix = f"give the last layer {int(high) + 1} units, or number the classes 0, 1, 2, ..."
    if low < 0:
        fix = "number the classes 0, 1, 2, ...; samples to leave out can be marked with ignore_class."
    elif low == 1 and high == classes:
        fix = f"count from 0: {leaf.name} - 1."
    raise DataError(
        f"{loss.name}: a target is outside the {classes} classes that the model predicts.",
        expected=f"whole numbers from 0 to {classes - 1}",
        got=_first(leaf, (labels < 0) | (labels >= classes)),
        fix=fix,
    )


def between_zero_and_one(leaf: Leaf, loss: Any, output_shape: tuple[int, ...]) -> None:
    """Zeros and ones, or probabilities."""
    array = leaf.array
    if array.min() >= 0 and array.max() <= 1:
        return
    found = set(np.unique(array[:10_000]).tolist())
    fix = "use a regression loss such as 'mse' for quantities."
    if found <= {-1, 1}:
        fix = f"turn -1 and 1 into 0 and 1: ({leaf.name} + 1) / 2, or use the loss 'hinge'."
    elif found <= {1, 2}:
        fix = f"turn 1 and 2 into 0 and 1: {leaf.name} - 1."
    elif all(value >= 0 and value == int(value) for value in found):
        fix = "for more than two classes use 'sparse_categorical_crossentropy' and one unit per class."
    raise DataError(
        f"{loss.name}: a target is neither 0 nor 1 nor a probability.",
        expected="numbers from 0 to 1",
        got=_first(leaf, (array < 0) | (array > 1)),
        fix=fix,
    )


def distributions(leaf: Leaf, loss: Any, output_shape: tuple[int, ...]) -> None:
    """One-hot rows, or distributions: numbers from 0 to 1 that sum to 1; rows of zeros count as no sample."""
    between_zero_and_one(leaf, loss, output_shape)
    totals = leaf.array.sum(axis=getattr(loss, "axis", -1), dtype=np.float32).reshape(len(leaf.array), -1)
    if totals.max() <= 1.01:
        return
    row = int(np.argmax((totals > 1.01).any(axis=1)))
    raise DataError(
        f"{loss.name}: a target is no distribution over the classes.",
        expected="rows that sum to 1: one-hot, or probabilities",
        got=f"row {row} of {leaf.name} sums to {totals[row].max():.4g}",
        fix="for several classes at once use 'binary_crossentropy' and a sigmoid.",
    )


def not_negative(leaf: Leaf, loss: Any, output_shape: tuple[int, ...]) -> None:
    """Counts and magnitudes."""
    if leaf.array.min() < 0:
        raise DataError(
            f"{loss.name}: a target is negative.",
            expected="numbers from 0 on",
            got=_first(leaf, leaf.array < 0),
            fix="use a loss for any number, such as 'mse' or 'huber'.",
        )


def signs(leaf: Leaf, loss: Any, output_shape: tuple[int, ...]) -> None:
    """-1 and 1, or 0 and 1."""
    wrong = ~np.isin(leaf.array, (-1, 0, 1))
    if wrong.any():
        raise DataError(
            f"{loss.name}: a target is not one of two classes.",
            expected="-1 and 1, or 0 and 1",
            got=_first(leaf, wrong),
            fix="turn the targets into -1 and 1.",
        )


def _first(leaf: Leaf, wrong: Array) -> str:
    index = tuple(int(axis) for axis in np.unravel_index(int(np.argmax(wrong)), wrong.shape))
    return f"{leaf.array[index]} in {leaf.place(index)} of {leaf.name}"


DEMANDS: dict[Callable[..., Any], Check] = {
    losses.binary_crossentropy: between_zero_and_one,
    losses.binary_focal_crossentropy: between_zero_and_one,
    losses.categorical_crossentropy: distributions,
    losses.categorical_focal_crossentropy: distributions,
    losses.sparse_categorical_crossentropy: class_numbers,
    losses.categorical_generalized_cross_entropy: class_numbers,
    losses.kl_divergence: distributions,
    losses.poisson: not_negative,
    losses.mean_squared_logarithmic_error: not_negative,
    losses.ctc: class_numbers,
    losses.hinge: signs,
    losses.squared_hinge: signs,
    losses.categorical_hinge: distributions,
}


def check_values(leaf: Leaf, loss: Any, output_shape: tuple[int, ...]) -> None:
    """DataError when `leaf` holds targets that `loss` cannot mean; a user's own loss may mean anything."""
    function: Any = getattr(loss, "fn", None)
    check = DEMANDS.get(function)
    if check is not None and leaf.array.size:
        check(leaf, loss, output_shape)


# --- shapes ----------------------------------------------------------------------------------------


def check_shapes(y_true: Any, output: Any, loss: Any, name: str) -> None:
    """ShapeError for class numbers where one-hot rows or one probability belong, with the loss to use."""
    target, predicted = tuple(y_true.shape), tuple(output.shape)
    function = getattr(loss, "fn", None)
    if len(predicted) < 2 or predicted[-1] == 1 or target not in (predicted[:-1], (*predicted[:-1], 1)):
        return
    if function in (losses.categorical_crossentropy, losses.categorical_focal_crossentropy):
        fix = "'sparse_categorical_crossentropy' takes class numbers; or one-hot rows: np.eye(classes)[y]."
    elif function in (losses.binary_crossentropy, losses.binary_focal_crossentropy):
        fix = "one unit with activation='sigmoid', or 'sparse_categorical_crossentropy' for these units."
    else:
        return
    raise ShapeError(
        f"{loss.name}: targets and output '{name}' have different shapes.",
        expected=f"targets of shape {predicted}",
        got=f"targets of shape {target}",
        fix=fix,
    )


# --- outputs ---------------------------------------------------------------------------------------

_OF_PROBABILITIES = {
    losses.binary_crossentropy,
    losses.binary_focal_crossentropy,
    losses.categorical_crossentropy,
    losses.categorical_focal_crossentropy,
    losses.sparse_categorical_crossentropy,
}


def check_output(output: Any, loss: Any, name: str) -> None:
    """What a crossentropy is given: ArgumentError when it can learn nothing, a warning when little."""
    if not isinstance(output, Tensor) or getattr(loss, "fn", None) not in _OF_PROBABILITIES:
        return
    if output.shape[-1] == 1 and softmax_logits(output) is not None:
        raise ArgumentError(
            f"Output '{name}' is a softmax over a single unit, which is always 1.",
            fix="use activation='sigmoid' with one unit, or one unit per class.",
        )
    if loss.from_logits and (kind := _kind_of_probabilities(output)):
        _warn(
            f"{loss.name} with from_logits=True got the output of a {kind}.",
            expected=f"logits: no activation in the layer of output '{name}'",
            fix="drop the activation, or from_logits=True.",
        )
    if not loss.from_logits and _is_linear(output.value):
        binary = loss.fn in (losses.binary_crossentropy, losses.binary_focal_crossentropy)
        _warn(
            f"{loss.name} got the output of a linear layer; such numbers are no probabilities.",
            expected=f"probabilities from output '{name}'",
            fix=f"activation='{'sigmoid' if binary else 'softmax'}' in the last layer, or from_logits=True.",
        )


def _kind_of_probabilities(output: Tensor) -> str | None:
    if softmax_logits(output) is not None:
        return "softmax"
    return "sigmoid" if sigmoid_logits(output) is not None else None


def _warn(what: str, **lines: str) -> None:
    warnings.warn(compose(what, **lines), stacklevel=2)


def _is_linear(value: Value) -> bool:
    """Whether this is a matrix product, or one with a bias added."""
    if value.primitive is p.add:
        return any(operand.primitive.has(p.CONTRACTS) for operand in value.node.inputs)
    return value.primitive.has(p.CONTRACTS)
