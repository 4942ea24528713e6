"""Constants: what can be computed now, is, by the interpreter.

Large results are left to the program, so that a graph stays small, and so are random bits. One number
repeated is kept as the broadcast of a scalar.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from lamina.core.dtypes import itemsize
from lamina.core.shapes import size
from lamina.interp.eval import evaluate
from lamina.ir import primitives as p
from lamina.ir.bind import constant_value, full
from lamina.ir.constants import is_constant, splat
from lamina.ir.graph import Node, Value
from lamina.ir.primitives import CONTROLS, CREATES, IMPURE, TABLE
from lamina.passes.rewrite import LawBook

LARGEST_RESULT = 4096  # bytes
LARGEST_OPERAND = 65536  # elements

FOLD = LawBook()


def compute_now(node: Node) -> tuple[Value, ...] | None:
    """A primitive applied to constants -> constants"""
    for operand in node.inputs:
        if not is_constant(operand) or operand.size > LARGEST_OPERAND:
            return None
    if any(size(type.shape) * itemsize(type.dtype) > LARGEST_RESULT for type in node.types):
        return None
    results = evaluate(node.primitive, [array_of(operand) for operand in node.inputs], node.attributes)
    return tuple([constant_value(result) for result in results])


def array_of(constant: Value) -> np.ndarray[Any, Any]:
    node = constant.node
    if node.primitive is p.constant:
        array: np.ndarray[Any, Any] = node.attributes["value"].array
        return array
    return np.asarray(
        evaluate(node.primitive, [array_of(operand) for operand in node.inputs], node.attributes)[0]
    )


def repeated_number(node: Node) -> Value | None:
    """An array constant with one number everywhere -> broadcast of a scalar constant"""
    array = node.attributes["value"].array
    if array.size == 1:
        return None
    number = splat(node.outputs[0])
    return None if number is None else full(array.shape, number, node.types[0].dtype)


FOLD.node_law(p.constant, repeated_number)
FOLD.node_law(
    [
        primitive
        for primitive in TABLE.values()
        if not primitive.has(CREATES)
        and not primitive.has(IMPURE)
        and not primitive.has(CONTROLS)
        and primitive not in (p.broadcast, p.random_bits)
    ],
    compute_now,
)
