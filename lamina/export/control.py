"""Loops and branches in ONNX. What their graphs read from outside they read by its name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lamina.export.writer import Pair, Writer, write_graph
from lamina.ir.graph import Graph, Value


def _typed(w: Writer, name: str, value: Value) -> Any:
    """A description of a tensor whose shape is found out by the reader of the file."""
    shape = [None] * len(value.shape)
    return w.onnx.helper.make_tensor_value_info(name, w.kind(value.dtype), shape)


def _graph(w: Writer, name: str, inputs: list[Any], results: Sequence[str], values: Sequence[Value]) -> Any:
    """The nodes of `w` as a nested graph; its results get names of their own."""
    outputs = []
    for result, value in zip(results, values):
        outputs.append(_typed(w, w("Identity", result), value))
    return w.onnx.helper.make_graph(w.nodes, name, inputs, outputs)


def _inside(w: Writer, values: Sequence[Value]) -> list[str]:
    return [w.name("inside") for _ in values]


def scan(w: Writer, at: Pair, *operands: str) -> list[str]:
    ((body, other),) = at.bodies("body")
    consts, carries, length = at["consts"], at["carries"], at["length"]
    carried, sliced = list(operands[consts : consts + carries]), list(operands[consts + carries :])
    inner = w.nested()
    own = body.inputs[consts:]
    names = _inside(inner, own)
    found = write_graph(inner, body, other, dict(zip(body.inputs, [*operands[:consts], *names])))
    inputs = [_typed(inner, name, value) for name, value in zip(names, own)]
    if not sliced:  # ONNX takes the number of steps from what is sliced
        sliced = [w.constant(list(range(length)))]
        inputs.append(w.onnx.helper.make_tensor_value_info(inner.name("step"), w.kind("int64"), []))
    graph = _graph(inner, "body", inputs, found, body.outputs)
    direction = int(at["reverse"])
    stacked = len(body.outputs) - carries
    attributes = {
        "body": graph,
        "num_scan_inputs": len(sliced),
        "scan_input_directions": [direction] * len(sliced),
    }
    if stacked:
        attributes["scan_output_directions"] = [direction] * stacked
    return w.several("Scan", [*carried, *sliced], len(body.outputs), attributes)


def while_loop(w: Writer, at: Pair, *operands: str) -> list[str]:
    ((body, other),), ((condition, other_condition),) = at.bodies("body"), at.bodies("condition")
    consts = at["consts"]
    given = list(operands)
    (start,) = write_graph(w, condition, other_condition, dict(zip(condition.inputs, given)))
    inner = w.nested()
    own = body.inputs[consts:]
    names = _inside(inner, own)
    found = write_graph(inner, body, other, dict(zip(body.inputs, [*given[:consts], *names])))
    again = write_graph(
        inner, condition, other_condition, dict(zip(condition.inputs, [*given[:consts], *found]))
    )
    helper = w.onnx.helper
    inputs = [
        helper.make_tensor_value_info(inner.name("step"), w.kind("int64"), []),
        helper.make_tensor_value_info(inner.name("go_on"), w.kind("bool"), []),
        *(_typed(inner, name, value) for name, value in zip(names, own)),
    ]
    graph = _graph(inner, "body", inputs, [*again, *found], [*condition.outputs, *body.outputs])
    return w.several("Loop", ["", start, *given[consts:]], len(body.outputs), {"body": graph})


def cond(w: Writer, at: Pair, index: str, *operands: str) -> list[str]:
    """One question for each branch but the last."""
    return _choose(w, at.bodies("branches"), 0, index, operands)


def _choose(
    w: Writer, branches: list[tuple[Graph, Graph]], number: int, index: str, operands: Sequence[str]
) -> list[str]:
    first, second = branches[number]
    if number == len(branches) - 1:
        return write_graph(w, first, second, dict(zip(first.inputs, operands)))
    here, there = w.nested(), w.nested()
    found = write_graph(here, first, second, dict(zip(first.inputs, operands)))
    others = _choose(there, branches, number + 1, index, operands)
    attributes = {
        "then_branch": _graph(here, "then", [], found, first.outputs),
        "else_branch": _graph(there, "else", [], others, first.outputs),
    }
    is_here = w("LessOrEqual", w.cast(index, "int64"), w.constant(number))
    return w.several("If", [is_here], len(first.outputs), attributes)
