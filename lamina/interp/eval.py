"""Evaluation: one primitive on arrays (what eager ops are), and whole graphs, node by node."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from lamina.core import dtypes
from lamina.interp.array import Array
from lamina.interp.rules import RULES
from lamina.ir import bind, primitives
from lamina.ir.graph import Graph, Node, TensorType, Value, constant_type
from lamina.ir.primitives import CONTROLS, MOVES, Primitive

Plain = np.ndarray[Any, Any]
Signature = tuple[tuple[tuple[int, ...], np.dtype[Any]], ...]

_HALVES = (dtypes.to_numpy("float16"), dtypes.to_numpy("bfloat16"))
_EXACT_IN_HALF = {primitive for primitive in RULES if primitive.has(MOVES) or primitive.has(CONTROLS)} | {
    primitives.cast,
    primitives.stop_gradient,
    primitives.select,
    primitives.gather,
}


class Plan(NamedTuple):
    """How to call a rule: which NumPy dtypes come out, and whether half-precision operands are widened."""

    results: tuple[np.dtype[Any], ...]
    widen: bool


def evaluate(
    primitive: Primitive, arrays: Sequence[Plain], attributes: Mapping[str, Any]
) -> tuple[Array, ...]:
    """Apply one primitive to arrays at once; the results have exactly the inferred types.

    Results of primitives that only move elements may share memory with their operand.
    """
    signature = tuple([(array.shape, array.dtype) for array in arrays])
    plan = _checked_plan(primitive, signature, tuple(attributes.items()))
    return tuple([result.view(Array) for result in _compute(primitive, arrays, attributes, plan)])


@lru_cache(maxsize=4096)
def _checked_plan(
    primitive: Primitive, signature: Signature, attributes: tuple[tuple[str, Any], ...]
) -> Plan:
    operands = tuple(TensorType(shape, dtypes.of_numpy(dtype)) for shape, dtype in signature)
    named = dict(attributes)
    return _plan(primitive, operands, primitive.infer(operands, named), named)


def _plan(
    primitive: Primitive,
    operands: Iterable[TensorType],
    results: Iterable[TensorType],
    attributes: Mapping[str, Any],
) -> Plan:
    halves = any(operand.dtype in ("float16", "bfloat16") for operand in operands)
    exact = primitive in _EXACT_IN_HALF or attributes.get("function") in ("nextafter", "view")
    widen = halves and not exact
    return Plan(tuple(dtypes.to_numpy(result.dtype) for result in results), widen)


def _compute(
    primitive: Primitive, arrays: Sequence[Plain], attributes: Mapping[str, Any], plan: Plan
) -> list[Plain]:
    with np.errstate(all="ignore"):
        if plan.widen:
            arrays = [array.astype(np.float32) if array.dtype in _HALVES else array for array in arrays]
        results = RULES[primitive](*arrays, **attributes)
        if len(plan.results) == 1 and not isinstance(results, tuple):
            return [np.asarray(results, plan.results[0])]
        return [np.asarray(result, dtype) for result, dtype in zip(results, plan.results)]


def walk(graph: Graph, arrays: Sequence[Any]) -> Iterator[tuple[Node, list[Plain]]]:
    """Evaluate `graph` node by node, giving each node with its outputs; inputs come first, as given.

    A value is forgotten after its last use, unless the caller keeps it. ValueError when the arrays do not fit
    the inputs.
    """
    nodes = graph.nodes()
    last_use = {value: position for position, node in enumerate(nodes) for value in node.inputs}
    known: dict[Value, Plain] = dict(zip(graph.inputs, _checked(graph.inputs, arrays)))
    for position, node in enumerate(nodes):
        if node.primitive is primitives.input:
            outputs = [known[value] for value in node.outputs]
        else:
            operands = [known[value] for value in node.inputs]
            plan = _plan(node.primitive, [value.type for value in node.inputs], node.types, node.attributes)
            outputs = _compute(node.primitive, operands, node.attributes, plan)
        known.update(zip(node.outputs, outputs))
        for value in dict.fromkeys((*node.inputs, *node.outputs)):
            if last_use.get(value, -1) <= position:
                known.pop(value, None)
        yield node, outputs


def run_graph(graph: Graph, arrays: Sequence[Any]) -> list[Plain]:
    """The outputs of `graph` for these inputs; memory is freed after the last use of a value."""
    wanted = set(graph.outputs)
    kept = {value: array for value, array in zip(graph.inputs, arrays) if value in wanted}
    for node, outputs in walk(graph, arrays):
        kept.update((value, array) for value, array in zip(node.outputs, outputs) if value in wanted)
    return [np.asarray(kept[value]) for value in graph.outputs]


def _checked(values: Sequence[Value], arrays: Sequence[Any]) -> list[Plain]:
    if len(values) != len(arrays):
        raise ValueError(f"The graph takes {len(values)} inputs, got {len(arrays)}.")
    plain = [np.asarray(array) for array in arrays]
    for position, (value, array) in enumerate(zip(values, plain)):
        if constant_type(array) != value.type:
            raise ValueError(f"Input {position} of the graph is {value.type}, got {constant_type(array)}.")
    return plain


bind.set_evaluator(evaluate)
