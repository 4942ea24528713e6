"""The single door. Every application of a primitive, eager or traced, passes through `bind`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from lamina.core import dtypes
from lamina.core.errors import DTypeError
from lamina.ir import graph
from lamina.ir.graph import Literal, TensorType, Value
from lamina.ir.primitives import Primitive, constant, set_door
from lamina.ir.trace import Tensor, current

Evaluate = Callable[[Primitive, list[Any], Mapping[str, Any]], tuple[Any, ...]]
_evaluate: Evaluate | None = None


def set_evaluator(evaluate: Evaluate) -> None:
    """Install the eager interpreter (`lamina.interp` does, at import)."""
    global _evaluate
    _evaluate = evaluate


def bind(primitive: Primitive, *inputs: Any, **attributes: Any) -> Any:
    """Apply `primitive`. Tensors in: a Tensor out. Values in: a Value out. Only arrays in: arrays out.

    Without operands (iota), a trace that is under way makes it a Tensor. Passes and gradient rules, which
    work on Values, make such leaves with `constant_value`, `full` and `iota_value`. A primitive with one
    output gives it bare; one with several gives a tuple.
    """
    kinds = set(map(type, inputs))
    results: tuple[Any, ...]
    if Tensor in kinds or (not inputs and current() is not None):
        values = (
            [operand.value for operand in inputs]
            if len(kinds) == 1
            else [as_value(operand) for operand in inputs]
        )
        outputs = graph.make(primitive, values, attributes).outputs
        if len(outputs) == 1:
            return Tensor(outputs[0])
        results = tuple([Tensor(output) for output in outputs])
    elif Value in kinds:
        values = inputs if len(kinds) == 1 else [as_value(operand) for operand in inputs]  # type: ignore[assignment]
        results = graph.make(primitive, values, attributes).outputs
    else:
        if _evaluate is None:
            raise RuntimeError("No eager interpreter is installed: import lamina.interp.")
        results = _evaluate(primitive, [as_array(operand) for operand in inputs], attributes)
    return results[0] if len(results) == 1 else results


set_door(bind)


def apply(primitive: Primitive, values: Sequence[Value], attributes: Mapping[str, Any]) -> tuple[Value, ...]:
    """Record one node: check the operands, infer the types, intern."""
    return graph.make(primitive, values, attributes).outputs


def as_value(operand: Any) -> Value:
    """A Value: itself, a Tensor's, or an array as a constant."""
    if type(operand) is Value:
        return operand
    if type(operand) is Tensor:
        return operand.value
    return constant_value(as_array(operand))


def as_array(operand: Any) -> np.ndarray[Any, Any]:
    array = np.asarray(operand)
    dtypes.of_numpy(array.dtype)
    return array


def constant_value(array: Any, dtype: str | None = None) -> Value:
    """The constant node of an array (or scalar)."""
    array = np.asarray(array, None if dtype is None else dtypes.to_numpy(dtype))
    if array.dtype == object:
        raise DTypeError("A constant must be an array of numbers, got Python objects.")
    result: Value = apply(constant, [], {"value": Literal(array)})[0]
    return result


def full(shape: tuple[int, ...], fill: Any, dtype: str) -> Value:
    """A value of `shape` with one number everywhere: a broadcast scalar constant."""
    from lamina.ir.primitives import broadcast

    scalar = constant_value(fill, dtype)
    return scalar if shape == () else apply(broadcast, [scalar], {"shape": shape, "axes": ()})[0]


def iota_value(shape: tuple[int, ...], axis: int, dtype: str) -> Value:
    """A value that counts 0, 1, 2, ... along one axis."""
    from lamina.ir.primitives import iota

    return apply(iota, [], {"shape": shape, "axis": axis, "dtype": dtype})[0]


__all__ = [
    "TensorType",
    "apply",
    "as_array",
    "as_value",
    "bind",
    "constant_value",
    "full",
    "iota_value",
    "set_evaluator",
]
