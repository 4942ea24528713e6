"""Logarithms of probabilities: from the logits, also where only a traced softmax or sigmoid was given.

Taking the logarithm of a softmax that has underflowed loses what the logits still know, and its gradient.
Inside a trace the graph remembers: if the probabilities *are* the softmax of some value, building that
softmax again gives the very same node (equal nodes are one object), so the test is exact, whatever
`ops.softmax` is made of. Keras does the same with TensorFlow. Where probabilities come from anywhere else, or
are plain arrays, they are clipped to [epsilon, 1 - epsilon] as in Keras.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lamina import ops
from lamina.core import dtypes
from lamina.ir import primitives as p
from lamina.ir.graph import Value
from lamina.ir.trace import Tensor

# How far above a softmax its logits are: division, exp, subtraction; and one step of room.
_REACH = 4


def softmax_logits(probabilities: Any, axis: int = -1) -> Any:
    """The tensor whose softmax along `axis` this is, or None when the graph does not show one."""
    return argument_of(lambda logits: ops.softmax(logits, axis=axis), probabilities)


def sigmoid_logits(probabilities: Any) -> Any:
    """The tensor whose sigmoid this is, or None when the graph does not show one."""
    return argument_of(ops.sigmoid, probabilities)


def argument_of(function: Callable[[Any], Any], result: Any) -> Any:
    """The tensor x of the same type for which `function(x)` is exactly `result`, or None.

    A cast from a narrower float, as under mixed precision, is looked through: the logits are cast instead.
    """
    if not isinstance(result, Tensor):
        return None
    value = result.value
    if value.primitive is p.cast and dtypes.is_float(value.node.inputs[0].dtype):
        narrow = argument_of(function, Tensor(value.node.inputs[0]))
        return None if narrow is None else ops.cast(narrow, value.dtype)
    candidates: list[Value] = [value]
    for _ in range(_REACH):
        nearest = (operand for candidate in candidates for operand in candidate.node.inputs)
        candidates = [operand for operand in dict.fromkeys(nearest) if operand.type == value.type]
        for candidate in candidates:
            if function(Tensor(candidate)).value is value:
                return Tensor(candidate)
    return None
