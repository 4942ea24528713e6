"""What happens to gradients before the update rule sees them: matched with their variables, and clipped."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

from lamina import ops
from lamina.core.errors import ArgumentError, ShapeError
from lamina.variables import Variable


def matched(gradients: Sequence[Any], variables: Sequence[Variable]) -> tuple[list[Any], list[Variable]]:
    """The pairs that have a gradient, each a tensor of its variable's shape.

    Warns of variables without one. Raises ArgumentError when there is none at all, ShapeError when one does
    not fit.
    """
    kept = [(gradient, variable) for gradient, variable in zip(gradients, variables) if gradient is not None]
    if not kept:
        raise ArgumentError(
            "There is no gradient for any variable.", fix="check that the loss depends on the variables."
        )
    if len(kept) < len(variables):
        missing = ", ".join(v.path for gradient, v in zip(gradients, variables) if gradient is None)
        warnings.warn(f"The loss does not depend on {missing}: no gradient, and no update.", stacklevel=4)
    tensors = [ops.convert_to_tensor(gradient) for gradient, _ in kept]
    for tensor, (_, variable) in zip(tensors, kept):
        if tuple(tensor.shape) != variable.shape:
            raise ShapeError(
                f"The gradient of variable '{variable.path}' has the wrong shape.",
                expected=str(variable.shape),
                got=str(tuple(tensor.shape)),
            )
    return tensors, [variable for _, variable in kept]


def clip_by_norm(gradient: Any, limit: float) -> Any:
    """g * limit / max(|g|, limit)"""
    norm = ops.sqrt(ops.sum(ops.square(gradient)))
    return gradient * limit / ops.maximum(norm, limit)


def clip_by_global_norm(gradients: Sequence[Any], limit: float) -> list[Any]:
    """Every g * limit * min(1 / norm, 1 / limit), with the norm of all gradients together.

    A norm that is not finite makes every gradient NaN, so that it is noticed.
    """
    norm = ops.sqrt(sum(ops.sum(ops.square(gradient)) for gradient in gradients))
    scale = limit * ops.minimum(1.0 / norm, 1.0 / limit) + (norm - norm)
    return [gradient * scale for gradient in gradients]
