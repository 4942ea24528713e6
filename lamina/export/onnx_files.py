"""ONNX files: the program of a model's prediction, primitive by primitive."""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType
from typing import Any

import numpy as np

from lamina.core import tree
from lamina.core.errors import ArgumentError, LaminaError, StateError
from lamina.export.writer import TRIAL_BATCHES, UnmappableError, Writer, write_graph
from lamina.function import Traced, trace_program
from lamina.ir.bodies import bodies
from lamina.ir.graph import Graph, TensorType, Value, topological
from lamina.ir.symbolic import KerasTensor
from lamina.layers import InputSpec, Layer
from lamina.saving.model_files import opened_to_write

OPSETS = range(18, 24)
_IR_VERSION = 9


def export_onnx(
    model: Any,
    filepath: Any,
    input_signature: Any = None,
    opset_version: int | None = None,
    verbose: bool | None = None,
) -> None:
    """Write the prediction of a model to an ".onnx" file, whole or not at all.

    input_signature: what the model is called with: one, or a structure, of Inputs, InputSpecs or arrays that
    have its shapes and dtypes; found out for models that know their inputs. Their first axis may be None: the
    file then takes any number of rows; other axes have to be known. opset_version: 18 to 23. verbose: whether
    to print where the file is. Needs the package onnx.

    Raises ArgumentError for what ONNX cannot say, which names the primitive and, if possible, the layer.

    >>> export_onnx(model, "model.onnx")
    """
    onnx = _onnx()
    opset = OPSETS[0] if opset_version is None else opset_version
    if opset not in OPSETS:
        raise ArgumentError("There is no export to this opset.", expected="18 to 23", got=str(opset))
    signature = _signature(model, input_signature)
    try:
        contents = _model_of(onnx, model, signature, opset)
    except UnmappableError as error:
        raise _with_layer(error, model) from None
    with opened_to_write(filepath, True, ".onnx") as file:
        file.write(contents.SerializeToString())
    if verbose:
        print(f"Saved ONNX file: {filepath}")


def _onnx() -> ModuleType:
    try:
        import onnx
        import onnx.helper
    except ImportError:
        raise StateError("ONNX files need the package onnx.", fix='pip install "lamina[onnx]"') from None
    module: ModuleType = onnx
    return module


# --- what the model is called with -----------------------------------------------------------------


def _signature(model: Any, given: Any) -> Any:
    """A structure of KerasTensors."""
    if given is None:
        given = _known_inputs(model)
    leaves = [_input(leaf, number) for number, leaf in enumerate(tree.flatten(given))]
    for leaf in leaves:
        if None in leaf.shape[1:]:
            raise ArgumentError(
                f"Only the first axis of an exported input may be unknown: '{leaf.name}'.",
                got=f"shape {leaf.shape}",
                fix="pass input_signature=[lamina.Input(batch_shape=(None, 80))] with lengths.",
            )
    found = tree.pack_like(given, leaves)
    return found[0] if isinstance(found, list) and len(found) == 1 else found


def _known_inputs(model: Any) -> Any:
    graph = getattr(model, "_graph", None)
    if graph is not None:
        return graph.inputs
    if getattr(model, "inputs", None):
        return list(model.inputs)
    shape = (model.get_build_config() or {}).get("input_shape") if model.built else None
    if not isinstance(shape, (tuple, list)) or not all(isinstance(n, (int, type(None))) for n in shape):
        raise ArgumentError(
            f"Model '{model.name}' does not know what it is called with.",
            fix="pass input_signature=[lamina.Input((...), dtype=...)].",
        )
    return KerasTensor((None, *shape[1:]), "float32", name="inputs")


def _input(leaf: Any, number: int) -> KerasTensor:
    name = getattr(leaf, "name", None) or f"input_{number}"
    if isinstance(leaf, InputSpec):
        if leaf.shape is None:
            raise ArgumentError("An InputSpec of an input_signature needs a shape.", got=repr(leaf))
        return KerasTensor(tuple(leaf.shape), str(leaf.dtype or "float32"), name=name)
    if not hasattr(leaf, "shape") or not hasattr(leaf, "dtype"):
        raise ArgumentError("An input_signature holds Inputs, InputSpecs or arrays.", got=f"{leaf!r:.60}")
    dtype = leaf.dtype if isinstance(leaf.dtype, str) else np.dtype(leaf.dtype).name
    return KerasTensor(tuple(leaf.shape), dtype, name=name)


# --- the file --------------------------------------------------------------------------------------


def _model_of(onnx: ModuleType, model: Any, signature: Any, opset: int) -> Any:
    inputs: list[KerasTensor] = tree.flatten(signature)
    traces = [_traced(model, signature, batch) for batch in TRIAL_BATCHES]
    first, second = (traced.program for traced in traces)
    helper, writer = onnx.helper, Writer(onnx, None)
    taken: set[str] = set()
    names: dict[Value, str] = {}
    declared = []
    for tensor, value in zip(inputs, first.inputs):
        name = names[value] = _unused(tensor.name, taken)
        shape = ["batch" if extent is None else extent for extent in tensor.shape]
        declared.append(helper.make_tensor_value_info(name, writer.kind(value.dtype), shape))
        if tensor.shape[:1] == (None,) and writer.batch is None:
            bounds = [writer.constant([number]) for number in (0, 1)]
            writer.batch = writer("Slice", writer("Shape", name), *bounds)
    for state, value in zip(traces[0].states, first.states):
        name = names[value] = _unused(str(getattr(state, "path", state.name)), taken)
        writer.initializers[name] = writer.tensor(np.asarray(state.array), name)
    results = write_graph(writer, first.graph, second.graph, names)
    outputs = []
    for result, shown, one, other in zip(
        results, _output_names(model, results), first.outputs, second.outputs
    ):
        name = _unused(shown, taken)
        writer.nodes.append(helper.make_node("Identity", [result], [name]))
        shape = [extent if extent == then else "batch" for extent, then in zip(one.shape, other.shape)]
        outputs.append(helper.make_tensor_value_info(name, writer.kind(one.dtype), shape))
    graph = helper.make_graph(
        writer.nodes, model.name, declared, outputs, initializer=list(writer.initializers.values())
    )
    return helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", opset)],
        producer_name="lamina",
        ir_version=_IR_VERSION,
    )


def _traced(model: Any, signature: Any, batch: int) -> Traced:
    types = tree.map_structure(
        lambda tensor: TensorType(_with_batch(tensor.shape, batch), tensor.dtype), signature
    )
    return trace_program(lambda inputs: model(inputs, training=False), [types], f"{model.name}_export")


def _with_batch(shape: Sequence[int | None], batch: int) -> tuple[int, ...]:
    return tuple(batch if extent is None else extent for extent in shape)


def _unused(name: str, taken: set[str]) -> str:
    """`name`, or with a number behind it when it is taken; the writer's own names end in numbers, too."""
    found, number = name, 1
    while found in taken:
        found, number = f"{name}.{number}", number + 1
    taken.add(found)
    return found


def _output_names(model: Any, results: Sequence[str]) -> list[str]:
    known = list(getattr(model, "output_names", None) or [])
    return known if len(known) == len(results) else [f"output.{number}" for number in range(len(results))]


# --- errors ----------------------------------------------------------------------------------------


def _with_layer(error: UnmappableError, model: Any) -> ArgumentError:
    """The error with the name of the layer that the primitive comes from, where it can be told."""
    for layer in model._flatten_layers():
        is_leaf = not list(layer._flatten_layers(include_self=False))
        if is_leaf and error.primitive in _primitives(layer):
            error.add_note(f"  layer:    '{layer.name}' ({type(layer).__name__})")
            break
    return error


def _primitives(layer: Layer) -> set[str]:
    """The names of what the calls of a layer in the graph of layers are made of."""
    found: set[str] = set()
    for node in layer._inbound_nodes:
        values: dict[int, Any] = {}

        def run(*tensors: Any, node: Any = node, values: dict[int, Any] = values) -> Any:
            values.update((id(key), tensor) for key, tensor in zip(node.input_tensors, tensors))
            arguments, keywords = node.fill(values)
            return layer(*arguments, **keywords)

        types = [
            TensorType(_with_batch(tensor.shape, TRIAL_BATCHES[0]), tensor.dtype)
            for tensor in node.input_tensors
        ]
        try:
            found |= _inside(trace_program(run, types).program.graph)
        except LaminaError:
            continue
    return found


def _inside(graph: Graph) -> set[str]:
    found: set[str] = set()
    for node in topological(graph.outputs):
        found.add(node.primitive.name)
        for body in bodies(node):
            found |= _inside(body)
    return found
