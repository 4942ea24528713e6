"""The table of a model's layers: as text, laid out as Keras does, and as HTML."""

from __future__ import annotations

import html
import re
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from lamina.core import dtypes
from lamina.core.errors import ArgumentError
from lamina.layers.layer import Layer
from lamina.layers.op_layer import OpLayer
from lamina.models.functional import Functional


@dataclass(frozen=True)
class Row:
    """One layer of the table. connections: None when the model is a plain chain."""

    name: str
    kind: str
    level: int
    shape: str
    parameters: int
    built: bool
    connections: str | None
    trainable: bool | None


@dataclass(frozen=True)
class Summary:
    """What the table shows: rows, and (what, number of parameters, bytes) below it."""

    name: str
    rows: list[Row]
    totals: list[tuple[str, int, int]]

    @property
    def is_chain(self) -> bool:
        return all(row.connections is None for row in self.rows)


def summarize(model: Any, expand_nested: bool = False, layer_range: Sequence[str] | None = None) -> Summary:
    """The contents of the table. ArgumentError for a `layer_range` that names no layers."""
    operations = list(model.operations) if isinstance(model, Functional) else list(model.layers)
    chain = not isinstance(model, Functional) or _is_chain(model)
    inside = set() if chain else set(model._graph.nodes)
    rows = [
        row
        for operation in _in_range(operations, layer_range)
        for row in _rows(operation, inside, chain, expand_nested)
    ]
    return Summary(model.name, rows, list(_totals(model)))


def _rows(operation: Any, inside: set[Any], chain: bool, expand: bool, level: int = 0) -> Iterable[Row]:
    weights = getattr(operation, "weights", [])
    yield Row(
        name=operation.name,
        kind=operation.label if isinstance(operation, OpLayer) else type(operation).__name__,
        level=level,
        shape=_output_shape(operation),
        parameters=sum(weight.size for weight in weights) if operation.built else 0,
        built=operation.built,
        connections=None if chain else _connections(operation, inside),
        trainable=operation.trainable if weights else None,
    )
    if expand and isinstance(operation, Layer):
        for layer in getattr(operation, "layers", ()):
            yield from _rows(layer, inside, chain, expand, level + 1)


def _is_chain(model: Functional) -> bool:
    """Whether every layer is called once, on the output of the one before."""
    nodes = model._graph.nodes_by_depth
    if any(len(at_depth) > 1 or len(at_depth[0].input_tensors) > 1 for at_depth in nodes.values()):
        return False
    operations = [at_depth[0].operation for at_depth in nodes.values()]
    return len(set(map(id, operations))) == len(operations)


def _connections(operation: Any, inside: set[Any]) -> str:
    sources = [
        f"{tensor.history[0].name}[{tensor.history[1]}][{tensor.history[2]}]"
        for node in operation._inbound_nodes
        if node in inside
        for tensor in node.input_tensors
        if tensor.history
    ]
    return ", ".join(sources) or "-"


def _output_shape(operation: Any) -> str:
    if operation._inbound_nodes:
        shapes = [tensor.shape for tensor in operation._inbound_nodes[-1].outputs]
        return str(shapes[0]) if len(shapes) == 1 else f"[{', '.join(map(str, shapes))}]"
    if not getattr(operation, "_build_shapes", None):
        return "?"
    try:
        return str(operation.compute_output_shape(*operation._build_shapes.values()))
    except Exception:
        return "?"  # a summary must not fail because a shape cannot be found


def _totals(model: Any) -> Iterable[tuple[str, int, int]]:
    trainable, fixed = model.trainable_weights, model.non_trainable_weights
    optimizer = getattr(model, "optimizer", None) if getattr(model, "compiled", False) else None
    state = list(optimizer.variables) if optimizer is not None and getattr(optimizer, "built", False) else []
    yield "Total params", *_size([*trainable, *fixed, *state])
    yield "Trainable params", *_size(trainable)
    yield "Non-trainable params", *_size(fixed)
    if state:
        yield "Optimizer params", *_size(state)


def _size(variables: Iterable[Any]) -> tuple[int, int]:
    distinct = list({id(variable): variable for variable in variables}.values())
    return (
        sum(variable.size for variable in distinct),
        sum(variable.size * dtypes.itemsize(variable.dtype) for variable in distinct),
    )


def _in_range(operations: list[Any], layer_range: Sequence[str] | None) -> list[Any]:
    if layer_range is None:
        return operations
    if len(layer_range) != 2 or not all(isinstance(pattern, str) for pattern in layer_range):
        raise ArgumentError(f"layer_range must be a pair of names or patterns, got {layer_range!r}.")
    found = [
        [place for place, operation in enumerate(operations) if re.match(pattern, operation.name)]
        for pattern in layer_range
    ]
    if not all(found):
        raise ArgumentError(
            f"layer_range {tuple(layer_range)} names no layers.",
            expected=f"names among {[o.name for o in operations]}",
        )
    first, last = sorted(
        (min(found[0]), max(found[1])) if min(found[0]) <= max(found[1]) else (min(found[1]), max(found[0]))
    )
    return operations[first : last + 1]


def readable_size(size: float) -> str:
    """Bytes in the unit that suits them: "1.50 KB"."""
    for unit in ("B", "KB", "MB", "GB", "TB"):
        if size < 1024:
            return f"{size:.2f} {unit}"
        size /= 1024
    return f"{size:.2f} PB"


# --- text ------------------------------------------------------------------------------------------


def print_summary(
    model: Any,
    line_length: int | None,
    positions: Sequence[float] | None,
    print_fn: Callable[[str], Any] | None,
    expand_nested: bool,
    show_trainable: bool,
    layer_range: Sequence[str] | None,
) -> None:
    """See `Model.summary`."""
    from rich.console import Console
    from rich.text import Text

    summary = summarize(model, expand_nested, layer_range)
    width = max(line_length or 0, shutil.get_terminal_size().columns)
    if print_fn is None:
        console = Console(highlight=False, width=width)
    else:
        console = Console(highlight=False, width=width, force_terminal=False, color_system=None)
        console.begin_capture()
    console.print(Text(f'Model: "{summary.name}"', style="bold"))
    console.print(_table(summary, line_length, positions, show_trainable))
    for what, parameters, size in summary.totals:
        console.print(
            Text.assemble((f" {what}: ", "bold"), (f"{parameters:,}", _NUMBER), f" ({readable_size(size)})")
        )
    if print_fn is not None:
        print_fn(console.end_capture())


_NUMBER, _UNKNOWN, _TYPE = "color(34)", "color(45)", "color(33)"
_COLUMNS = {
    True: (88, (0.45, 0.80, 1.0), ("Layer (type)", "Output Shape", "Param #")),
    False: (108, (0.3, 0.56, 0.74, 1.0), ("Layer (type)", "Output Shape", "Param #", "Connected to")),
}


def _table(
    summary: Summary, line_length: int | None, positions: Sequence[float] | None, show_trainable: bool
) -> Any:
    from rich.table import Column, Table

    length, ends, header = _COLUMNS[summary.is_chain]
    ends = tuple(positions or ends)
    if show_trainable:
        length, ends, header = length + 12, (*(end * 0.9 for end in ends), 1.0), (*header, "Trainable")
    length = line_length or min(length, shutil.get_terminal_size().columns - 4)
    edges = [0, *(int(end * length) for end in ends)]
    widths = [edge - before for before, edge in pairwise(edges)]
    if min(widths) < 4 or len(widths) != len(header):
        raise ArgumentError(
            "The summary's columns do not fit.",
            expected=f"{len(header)} positions and at least 4 characters for each column",
            got=f"widths {widths}",
        )
    justify: dict[str, Any] = {"Param #": "right", "Trainable": "center"}
    columns = [
        Column(title, justify=justify.get(title, "left"), width=width) for title, width in zip(header, widths)
    ]
    table = Table(*columns, width=length, show_lines=True)
    for row in summary.rows:
        cells = _cells(row)
        table.add_row(*(cells if show_trainable else cells[:-1]))
    return table


def _cells(row: Row) -> list[Any]:
    from rich.text import Text

    prefix = "   " * row.level + "└ " if row.level else ""
    cells = [
        Text.assemble(f"{prefix}{row.name} (", (row.kind, _TYPE), ")"),
        _numbers_colored(row.shape),
        Text.assemble((f"{row.parameters:,}", _NUMBER), "" if row.built else " (unbuilt)"),
    ]
    if row.connections is not None:
        cells.append(_numbers_colored(row.connections, r"(?<=\[)\d+(?=\])"))
    mark = {True: ("Y", "bold color(34)"), False: ("N", "bold color(9)"), None: ("-", "bold")}[row.trainable]
    return [*cells, Text(*mark)]


def _numbers_colored(text: str, pattern: str = r"\d+") -> Any:
    from rich.text import Text

    colored = Text(text)
    colored.highlight_regex(pattern, _NUMBER)
    colored.highlight_regex("None", _UNKNOWN)
    return colored


# --- HTML ------------------------------------------------------------------------------------------


def html_summary(model: Any) -> str:
    """The table for notebooks; it needs no style sheet."""
    summary = summarize(model)
    header = [*_COLUMNS[summary.is_chain][2]]
    lines = ["<div>", f"<strong>{html.escape(type(model).__name__)} “{html.escape(summary.name)}”</strong>"]
    lines += [
        "<table>",
        "<thead><tr>" + "".join(f"<th>{title}</th>" for title in header) + "</tr></thead>",
        "<tbody>",
    ]
    for row in summary.rows:
        cells = [
            f"{html.escape(row.name)} ({html.escape(row.kind)})",
            row.shape,
            f"{row.parameters:,}" + ("" if row.built else " (unbuilt)"),
            *([] if row.connections is None else [html.escape(row.connections)]),
        ]
        lines.append("<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>")
    lines += ["</tbody>", "</table>"]
    lines += [f"<div>{what}: {count:,} ({readable_size(size)})</div>" for what, count, size in summary.totals]
    return "\n".join([*lines, "</div>"])
