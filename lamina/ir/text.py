"""Graphs as text that a person can read, and back.

One line a node, inputs first, the result types behind `#`:

    v0 = input("x")                                          # float32[128,20]
    v1 = input("kernel")                                     # float32[20,64]
    v2 = dot(v0, v1, contract=((1,), (0,)), batch=((), ()))  # float32[128,64]
    return v2

Nested graphs come first, innermost first, indented under a name by which attributes refer to them:

    g0:
        v0 = input("b0")                                     # float32[3]
        v1 = add(v0, v0)                                     # float32[3]
        return v1
    v0 = input("x")                                          # float32[3]
    ...

The numbering depends on the graph alone.
"""

from __future__ import annotations

import ast
import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from lamina.core import dtypes
from lamina.core.errors import ArgumentError
from lamina.ir import primitives as p
from lamina.ir.bind import apply, constant_value
from lamina.ir.bodies import bodies, body_inputs
from lamina.ir.graph import Graph, Node, TensorType, Value
from lamina.ir.trace import new_input

Names = dict[Value, str]
GraphNames = dict[Graph, str]

_INDENT = "    "
_TYPE_COLUMN = 60
_READABLE_ELEMENTS = 64


def to_text(graph: Graph, *, whole_constants: bool = False) -> str:
    """`graph` as text. Constants of more than 64 elements are shortened unless `whole_constants`.

    `parse` takes back what was printed with whole constants.
    """
    graphs: GraphNames = {}
    for nested in _nested(graph):
        graphs.setdefault(nested, f"g{len(graphs)}")
    lines = []
    for nested, name in graphs.items():
        lines += [f"{name}:", *(_INDENT + entry for entry in _lines(nested, graphs, whole_constants))]
    return "\n".join([*lines, *_lines(graph, graphs, whole_constants), ""])


def _nested(graph: Graph) -> Iterator[Graph]:
    """The graphs inside `graph`, each after those that are inside it."""
    for node in graph.nodes():
        for body in bodies(node):
            yield from _nested(body)
            yield body


def _lines(graph: Graph, graphs: GraphNames, whole_constants: bool) -> list[str]:
    names = number(graph)
    inputs = [value.node for value in graph.inputs]
    known = set(inputs)
    nodes = inputs + [node for node in graph.nodes() if node not in known]
    lines = [line(node, names, graphs, whole_constants=whole_constants) for node in nodes]
    return [*lines, f"return {', '.join(names[value] for value in graph.outputs)}"]


def number(graph: Graph) -> Names:
    """A name for every value: first the inputs, then the others in the order of computation."""
    names: Names = {}
    for value in (*graph.inputs, *(value for node in graph.nodes() for value in node.outputs)):
        names.setdefault(value, f"v{len(names)}")
    return names


def line(node: Node, names: Names, graphs: GraphNames | None = None, *, whole_constants: bool = False) -> str:
    """One node, as in `to_text`."""
    results = ", ".join(names[value] for value in node.outputs)
    call = f"{results} = {node.primitive.name}({_arguments(node, names, graphs or {}, whole_constants)})"
    return f"{call:{_TYPE_COLUMN}}  # {', '.join(map(str, node.types))}"


def _arguments(node: Node, names: Names, graphs: GraphNames, whole_constants: bool) -> str:
    if node.primitive is p.input:
        return json.dumps(node.attributes["name"])
    if node.primitive is p.constant:
        return _constant_text(node.attributes["value"].array, whole_constants)
    attributes = (f"{name}={_attribute_text(value, graphs)}" for name, value in node.attributes.items())
    return ", ".join([*(names[value] for value in node.inputs), *attributes])


def _attribute_text(value: Any, graphs: GraphNames) -> str:
    if isinstance(value, Graph):
        return graphs.get(value, "<graph>")
    if isinstance(value, tuple) and any(isinstance(entry, Graph) for entry in value):
        return f"({''.join(f'{_attribute_text(entry, graphs)}, ' for entry in value)})"
    return repr(value)


def _constant_text(array: np.ndarray[Any, Any], whole: bool) -> str:
    """Nested lists where they keep every bit, else the bytes in hexadecimal digits."""
    if array.size <= _READABLE_ELEMENTS:
        text = json.dumps(_numbers(array))
        if _array(json.loads(text), array.dtype, array.shape).tobytes() == array.tobytes():
            return text
    if whole:
        return json.dumps(array.tobytes().hex())
    return f"...{hashlib.sha256(array.tobytes()).hexdigest()[:8]}"


def _numbers(array: np.ndarray[Any, Any]) -> Any:
    """Nested lists of Python numbers with as few digits as the dtype needs."""
    if array.ndim:
        return [_numbers(row) for row in array]
    number = array[()]
    if not dtypes.is_float(dtypes.of_numpy(array.dtype)):
        return number.item()
    shortest = float(str(number))
    return shortest if array.dtype.type(shortest) == number else float(number)


def _array(content: Any, dtype: np.dtype[Any], shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
    if isinstance(content, str):
        return np.frombuffer(bytes.fromhex(content), dtype).reshape(shape)
    return np.array(content, dtype).reshape(shape)


_NAME = re.compile(r"g\d+:")
_LINE = re.compile(r"\s*([\w, ]+) = (\w+)\((.*)\)\s*# (.*)")
_TYPE = re.compile(r"(\w+)\[([\d,]*)\]")


def parse(text: str) -> Graph:
    """The graph that `text` describes; its inputs are the `input` lines, in order.

    Raises ArgumentError for a line that is not of the form above, or whose types are not those that the
    operands give.
    """
    graphs: dict[str, Graph] = {}
    block: list[str] = []
    name = ""
    for content in text.strip().splitlines():
        if content.startswith(_INDENT):
            block.append(content.removeprefix(_INDENT))
            continue
        if block and name:
            graphs[name] = _parse_lines(block, graphs, nested=True)
            block, name = [], ""
        if _NAME.fullmatch(content):
            name = content.rstrip(":")
        else:
            block.append(content)
    return _parse_lines(block, graphs, nested=False)


def _parse_lines(lines: Sequence[str], graphs: dict[str, Graph], nested: bool) -> Graph:
    values: dict[str, Value] = {}
    inputs: list[Value] = []
    for content in lines:
        if content.startswith("return "):
            outputs = (values[name] for name in content.removeprefix("return ").split(", ") if name)
            return Graph(tuple(inputs), tuple(outputs))
        found = _LINE.fullmatch(content)
        if found is None or found[2] not in p.TABLE:
            raise ArgumentError(
                f"Not a line of a graph: {content!r}", expected="v2 = add(v0, v1)  # float32[3]"
            )
        types = _parse_types(found[4])
        results = _parse_node(p.TABLE[found[2]], found[3], types, values, graphs)
        if nested and p.TABLE[found[2]] is p.input:
            results = (body_inputs([*(value.type for value in inputs), types[0]])[-1],)
        if p.TABLE[found[2]] is p.input:
            inputs += results
        if types != tuple(value.type for value in results):
            shown = ", ".join(str(value.type) for value in results)
            raise ArgumentError(f"Wrong types in {content!r}", expected=shown)
        values.update(zip(found[1].split(", "), results))
    raise ArgumentError("The text of a graph ends with a `return` line.")


def _parse_types(text: str) -> tuple[TensorType, ...]:
    found = _TYPE.findall(text)
    return tuple(TensorType(tuple(map(int, filter(None, shape.split(",")))), dtype) for dtype, shape in found)


def _parse_node(
    primitive: p.Primitive,
    arguments: str,
    types: tuple[TensorType, ...],
    values: dict[str, Value],
    graphs: dict[str, Graph],
) -> tuple[Value, ...]:
    if primitive is p.input:
        return (new_input(json.loads(arguments), types[0]),)
    if primitive is p.constant:
        if arguments.startswith("..."):
            raise ArgumentError(
                f"The constant {arguments} was shortened.", fix="print the graph with whole_constants=True."
            )
        array = _array(json.loads(arguments), dtypes.to_numpy(types[0].dtype), types[0].shape)
        return (constant_value(array),)
    call = ast.parse(f"_({arguments})", mode="eval").body
    assert isinstance(call, ast.Call)
    operands = [values[argument.id] for argument in call.args if isinstance(argument, ast.Name)]
    attributes = {str(word.arg): _parse_attribute(word.value, graphs) for word in call.keywords}
    return apply(primitive, operands, attributes)


def _parse_attribute(word: ast.expr, graphs: dict[str, Graph]) -> Any:
    if isinstance(word, ast.Name):
        return graphs[word.id]
    if isinstance(word, ast.Tuple) and any(isinstance(entry, ast.Name) for entry in word.elts):
        return tuple(_parse_attribute(entry, graphs) for entry in word.elts)
    return ast.literal_eval(word)
