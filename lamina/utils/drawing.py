"""Models as pictures of boxes and arrows: `model_to_dot` and `plot_model`, with pydot and Graphviz."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from lamina.core import tree
from lamina.core.errors import ArgumentError, StateError
from lamina.models.functional import Functional
from lamina.models.sequential import Sequential

_HOW_TO_INSTALL = 'pip install "lamina[draw]", and Graphviz itself: https://graphviz.org/download'


@dataclass
class Drawing:
    """Boxes (key, layer) and arrows between keys; nested models that are drawn open are `clusters`.

    entries, exits: the keys that arrows into and out of the whole go to and come from.
    """

    name: str
    boxes: list[tuple[str, Any]] = field(default_factory=list)
    clusters: list[Drawing] = field(default_factory=list)
    arrows: list[tuple[str, str]] = field(default_factory=list)
    entries: list[str] = field(default_factory=list)
    exits: list[str] = field(default_factory=list)

    def join(self, source: str, target: str) -> None:
        if (source, target) not in self.arrows:
            self.arrows.append((source, target))


def draw(model: Any, expand_nested: bool = False, prefix: str = "") -> Drawing:
    """The boxes and arrows of a model; a model that is neither Sequential nor functional is one box."""
    drawing = Drawing(model.name)
    keys = (f"{prefix}{number}" for number in range(10**9))

    def part(layer: Any) -> tuple[list[str], list[str]]:
        """Put a layer into the drawing; returns its entries and exits."""
        key = next(keys)
        if expand_nested and isinstance(layer, (Functional, Sequential)):
            nested = draw(layer, True, f"{key}_")
            drawing.clusters.append(nested)
            return nested.entries, nested.exits
        drawing.boxes.append((key, layer))
        return [key], [key]

    if isinstance(model, Functional) and not isinstance(model, Sequential):
        _draw_graph(drawing, model, part)
    elif isinstance(model, Sequential):
        parts = [part(layer) for layer in model.layers]
        for (_, exits), (entries, _) in pairwise(parts):
            drawing.join(exits[0], entries[0])
        drawing.entries, drawing.exits = parts[0][0], parts[-1][1]
    else:
        drawing.entries, drawing.exits = part(model)
    return drawing


def _draw_graph(drawing: Drawing, model: Any, part: Any) -> None:
    parts = {operation: part(operation) for operation in model._graph.operations}

    def source(tensor: Any) -> str:
        exits = parts[tensor.history.operation][1]
        return str(exits[min(tensor.history.tensor_index, len(exits) - 1)])

    for node in model._graph.nodes:
        entries = parts[node.operation][0]
        for position, tensor in enumerate(node.input_tensors):
            drawing.join(source(tensor), entries[min(position, len(entries) - 1)])
    drawing.entries = [source(tensor) for tensor in model._graph.flat_inputs]
    drawing.exits = [source(tensor) for tensor in model._graph.flat_outputs]


def _label(
    layer: Any, names: bool, activations: bool, dtypes: bool, shapes: bool, trainable: bool
) -> Iterator[str]:
    """The lines of a box."""
    kind = type(layer).__name__
    yield f"{layer.name} ({kind})" if names else kind
    activation = getattr(layer, "activation", None)
    if activations and activation is not None:
        named = getattr(activation, "__name__", None) or getattr(activation, "name", activation)
        yield f"activation: {named}"
    if shapes:
        if layer._inbound_nodes:
            node = layer._inbound_nodes[0]
            if node.input_tensors:
                yield f"input: {_shapes(node.input_tensors)}"
            yield f"output: {_shapes(node.outputs)}"
        else:
            yield "output: ?"
    if dtypes:
        yield f"dtype: {getattr(layer, 'dtype', None) or '?'}"
    if trainable and getattr(layer, "weights", None):
        yield f"trainable: {'yes' if layer.trainable else 'no'}"


def _shapes(tensors: Any) -> str:
    return ", ".join(str(tuple(tensor.shape)) for tensor in tree.flatten(tensors))


def model_to_dot(
    model: Any,
    show_shapes: bool = False,
    show_dtype: bool = False,
    show_layer_names: bool = True,
    rankdir: str = "TB",
    expand_nested: bool = False,
    dpi: int = 200,
    subgraph: bool = False,
    show_layer_activations: bool = False,
    show_trainable: bool = False,
    splines: str = "ortho",
    **kwargs: Any,
) -> Any:
    """A model as a `pydot.Dot`, or with `subgraph` as a `pydot.Cluster`. Needs pydot, but not Graphviz.

    show_...: what the boxes say. rankdir: "TB" downwards, "LR" to the right. expand_nested: draw the layers
    of models inside. dpi: dots per inch. splines: how arrows run, "ortho", "curved", "polyline", "spline" or
    "line". StateError without pydot, or for a model that is not built.

    >>> model_to_dot(model, show_shapes=True).to_string()
    """
    if kwargs:
        raise ArgumentError(f"model_to_dot has no argument {next(iter(kwargs))!r}.")
    if not model.built:
        raise StateError(
            f"The model '{model.name}' is not built, so it has nothing to draw.",
            fix="call it on a batch, or model.build(input_shape), first.",
        )
    pydot = _pydot()
    drawing = draw(model, expand_nested)
    if subgraph:
        graph = _cluster(pydot, drawing)
    else:
        graph = pydot.Dot(
            graph_type="digraph", rankdir=rankdir, concentrate="true", dpi=str(dpi), splines=splines
        )
    graph.set_node_defaults(shape="box", fontname="Helvetica")
    what = (show_layer_names, show_layer_activations, show_dtype, show_shapes, show_trainable)
    _fill(pydot, graph, drawing, what)
    return graph


def _cluster(pydot: Any, drawing: Drawing) -> Any:
    return pydot.Cluster(_quoted(drawing.name), label=_quoted(drawing.name), style="dashed", labeljust="l")


def _fill(pydot: Any, graph: Any, drawing: Drawing, what: tuple[bool, ...]) -> None:
    for key, layer in drawing.boxes:
        graph.add_node(pydot.Node(f"n{key}", label=_quoted("\\n".join(_label(layer, *what)))))
    for nested in drawing.clusters:
        cluster = _cluster(pydot, nested)
        _fill(pydot, cluster, nested, what)
        graph.add_subgraph(cluster)
    for source, target in drawing.arrows:
        graph.add_edge(pydot.Edge(f"n{source}", f"n{target}"))


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '\\"') + '"'


def _pydot() -> Any:
    try:
        import pydot
    except ImportError as error:
        raise StateError("Drawing a model needs the package pydot.", fix=_HOW_TO_INSTALL) from error
    return pydot


def plot_model(
    model: Any,
    to_file: Any = "model.png",
    show_shapes: bool = False,
    show_dtype: bool = False,
    show_layer_names: bool = False,
    rankdir: str = "TB",
    expand_nested: bool = False,
    dpi: int = 200,
    show_layer_activations: bool = False,
    show_trainable: bool = False,
    splines: str = "ortho",
    **kwargs: Any,
) -> Any:
    """Draw a model into a file, whose ending says the format: .png, .svg, .pdf, or .dot for the text.

    The other arguments are those of `model_to_dot`. Returns an image for notebooks, if IPython is there.
    StateError without pydot and Graphviz (.dot needs pydot alone), naming what to install.

    >>> lamina.utils.plot_model(model, "model.svg", show_shapes=True)
    """
    dot = model_to_dot(
        model,
        show_shapes,
        show_dtype,
        show_layer_names,
        rankdir,
        expand_nested,
        dpi,
        show_layer_activations=show_layer_activations,
        show_trainable=show_trainable,
        splines=splines,
        **kwargs,
    )
    path = os.fspath(to_file)
    form = os.path.splitext(path)[1][1:] or "png"
    if form == "dot":
        with open(path, "w", encoding="utf-8") as file:
            file.write(dot.to_string())
        return None
    try:
        dot.write(path, format=form)
    except FileNotFoundError as error:
        raise StateError(
            "Graphviz, which draws the picture, was not found.",
            fix=f"{_HOW_TO_INSTALL}; or to_file='model.dot' for the text.",
        ) from error
    return _image(path) if form in ("png", "jpg", "jpeg", "svg") else None


def _image(path: str) -> Any:
    try:
        from IPython.display import SVG, Image
    except ImportError:
        return None
    return SVG(filename=path) if path.endswith(".svg") else Image(filename=path)
