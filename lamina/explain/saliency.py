"""Which inputs spoke for a class: gradient times input, through the compiled network."""

from __future__ import annotations

from typing import Any

import numpy as np

from lamina import ops
from lamina.core.errors import ArgumentError, ShapeError
from lamina.function import function, gradients
from lamina.losses.logits import sigmoid_logits, softmax_logits

Array = np.ndarray[Any, Any]


def input_contributions(model: Any, x: Any, classes: Any, against: Any = None) -> Array:
    """How much each input element contributed to the score of a class, to first order.

    model: a classifier with one input and outputs [rows, classes]. x: its inputs [rows, ...]. classes: int
    [rows], the class asked about. against: int [rows], a class to compare with; then it is the difference of
    the two scores that is explained: "why 3 and not 5".
    Returns float32 like `x`: d score / d x * x. Positive elements spoke for the class, negative ones against
    it. A score is what the last layer gives before its softmax or sigmoid. For a piecewise linear network
    (relu) without biases the elements of a row add up to the score.

    Raises ShapeError unless there is one class per row, ArgumentError for classes the model does not have.

    >>> reasons = input_contributions(model, images, predicted, against=truth)

    Source: Shrikumar, Greenside, Kundaje, "Learning Important Features Through Propagating Activation
    Differences" (2017), section 2.1.
    """
    inputs = np.asarray(x, "float32")
    asked = _class_numbers("classes", classes, inputs)
    other = asked if against is None else _class_numbers("against", against, inputs)
    if not len(inputs):
        return inputs.copy()

    @function
    def slopes(x: Any, asked_class: Any, other_class: Any, share_of_other: Any) -> Any:
        scores = _scores(model(x, training=False))
        count = _number_of_classes(scores)
        _check_range(np.concatenate([asked, other]), count)
        weights = ops.one_hot(asked_class, count) - share_of_other * ops.one_hot(other_class, count)
        return gradients(ops.sum(scores * weights), [x])[0]

    return np.asarray(slopes(inputs, asked, other, 0.0 if against is None else 1.0)) * inputs


def _scores(outputs: Any) -> Any:
    """The numbers before the last softmax or sigmoid: their slope does not fade where the model is sure."""
    for logits_of in (softmax_logits, sigmoid_logits):
        logits = logits_of(outputs)
        if logits is not None:
            return logits
    return outputs


def _number_of_classes(scores: Any) -> int:
    if len(scores.shape) != 2:
        raise ShapeError(
            "input_contributions: the model is no classifier.",
            expected="outputs [rows, classes]",
            got=f"outputs {list(scores.shape)}",
        )
    return int(scores.shape[-1])


def _class_numbers(name: str, classes: Any, x: Array) -> Array:
    numbers = np.asarray(classes)
    if numbers.shape != x.shape[:1] or numbers.dtype.kind not in "iu":
        raise ShapeError(
            f"input_contributions: {name} has one class number per row of x.",
            expected=f"integers of shape {x.shape[:1]}",
            got=f"{numbers.dtype} of shape {numbers.shape}",
        )
    return numbers.astype("int32")


def _check_range(numbers: Array, count: int) -> None:
    if numbers.min() < 0 or numbers.max() >= count:
        raise ArgumentError(
            "input_contributions: the model has no such class.",
            expected=f"numbers from 0 to {count - 1}",
            got=str(numbers[(numbers < 0) | (numbers >= count)][0]),
        )
