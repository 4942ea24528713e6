"""Cross-entropies: from logits without overflow, from probabilities with the clipping of Keras."""

from __future__ import annotations

from typing import Any

from lamina.core.config import config
from lamina.core.errors import ShapeError
from lamina.core.shapes import normalize_axis
from lamina.ir import primitives as p
from lamina.ops.activation import log_softmax, shifted, softplus
from lamina.ops.convert import as_float, as_tensor, like, promote
from lamina.ops.index import matches_class
from lamina.ops.move import reshaped
from lamina.ops.reduce import repeat_reduced
from lamina.ops.registry import op


def _clipped(probability: Any) -> Any:
    """Kept away from 0 and 1 by epsilon, so that its logarithm is finite."""
    low, high = like(probability, config.epsilon), like(probability, 1 - config.epsilon)
    return p.minimum(p.maximum(probability, low), high)


def _same_shape(target: Any, output: Any) -> None:
    if target.shape != output.shape:
        raise ShapeError(
            "target and output must have the same shape.", got=f"{target.shape} and {output.shape}"
        )


@op
def categorical_crossentropy(target: Any, output: Any, from_logits: bool = False, axis: int = -1) -> Any:
    """-sum(target log(probability)) over the classes along `axis`.

    target: probabilities. output: probabilities (scaled to sum 1), or logits; both of one shape.
    """
    target, output = promote(target, output, also=(float,))
    _same_shape(target, output)
    place = normalize_axis(axis, len(output.shape))
    if from_logits:
        log_probability = log_softmax(output, place)
    else:
        total = p.reduce_sum(output, axes=(place,))
        log_probability = p.log(_clipped(p.divide(output, repeat_reduced(total, output, (place,)))))
    return p.negative(p.reduce_sum(p.multiply(target, log_probability), axes=(place,)))


@op
def sparse_categorical_crossentropy(
    target: Any, output: Any, from_logits: bool = False, axis: int = -1
) -> Any:
    """-log(probability of the target class).

    target: class numbers in range, of the shape of output without `axis` (or with a last extent of 1).
    output: probabilities (scaled to sum 1), or logits.
    """
    target, output = as_tensor(as_tensor(target), "int32"), as_float(output)
    if len(target.shape) == len(output.shape) and target.shape[-1:] == (1,):
        target = reshaped(target, target.shape[:-1])
    place = normalize_axis(axis, len(output.shape))
    expected = output.shape[:place] + output.shape[place + 1 :]
    if target.shape != expected:
        raise ShapeError(
            f"Class numbers of shape {target.shape} do not fit output of shape {output.shape}.",
            expected=f"shape {expected}",
            got=f"shape {target.shape}",
            fix="for one-hot targets use categorical_crossentropy." if target.shape == output.shape else None,
        )
    is_target = matches_class(target, output.shape[place], place)
    if from_logits:
        gap = shifted(output, (place,))
        total = p.log(p.reduce_sum(p.exp(gap), axes=(place,)))
        return p.subtract(total, _chosen(is_target, gap, place))
    total = p.reduce_sum(output, axes=(place,))
    return p.negative(p.log(_clipped(p.divide(_chosen(is_target, output, place), total))))


def _chosen(is_target: Any, x: Any, axis: int) -> Any:
    """From each line of x along the axis, the target's element."""
    return p.reduce_sum(p.select(is_target, x, like(x, 0)), axes=(axis,))


@op
def binary_crossentropy(target: Any, output: Any, from_logits: bool = False) -> Any:
    """-target log(q) - (1 - target) log(1 - q), element by element.

    output: probabilities q, or logits; of the shape of target.
    """
    target, output = promote(target, output, also=(float,))
    _same_shape(target, output)
    if from_logits:
        return p.subtract(softplus(output), p.multiply(target, output))
    q, one = _clipped(output), like(output, 1)
    yes = p.multiply(target, p.log(q))
    no = p.multiply(p.subtract(one, target), p.log(p.subtract(one, q)))
    return p.negative(p.add(yes, no))
