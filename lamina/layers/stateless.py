"""A layer as a pure function: (values of its variables, inputs) -> (outputs, new values)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lamina.core import dtypes, tree
from lamina.core.errors import ArgumentError, StateError
from lamina.interp import as_eager, run_graph
from lamina.ir.bind import as_array, as_value
from lamina.ir.graph import Graph, Value, rebuild
from lamina.ir.trace import Tensor, Trace, current


def call(
    layer: Any,
    trainable_variables: Sequence[Any],
    non_trainable_variables: Sequence[Any],
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    return_losses: bool,
) -> Any:
    """See `Layer.stateless_call`. The call is traced by itself, then values take the variables' place."""
    if not layer.built:
        raise StateError(
            f"stateless_call() needs a layer that is built; '{layer.name}' is not.",
            fix="call it on data first.",
        )
    variables = layer.trainable_variables + layer.non_trainable_variables
    for kind, given, wanted in (
        ("trainable", trainable_variables, layer.trainable_variables),
        ("non_trainable", non_trainable_variables, layer.non_trainable_variables),
    ):
        if len(given) != len(wanted):
            raise ArgumentError(
                f"stateless_call() of '{layer.name}' got the wrong number of {kind}_variables.",
                expected=str(len(wanted)),
                got=str(len(given)),
            )
    values = {
        id(variable): value
        for variable, value in zip(variables, (*trainable_variables, *non_trainable_variables))
    }
    arrays: list[Any] = []
    with Trace() as trace:

        def as_input(leaf: Any) -> Any:
            if not isinstance(leaf, np.ndarray):
                return leaf
            arrays.append(leaf)
            return trace.input(f"x{len(arrays) - 1}", leaf.shape, dtypes.of_numpy(leaf.dtype))

        traced_args, traced_kwargs = tree.map_structure(as_input, (args, dict(kwargs)))
        outputs = layer(*traced_args, **traced_kwargs)
        updated = [trace.read(variable) for variable in layer.non_trainable_variables]
        results: tuple[Any, ...] = (outputs, updated)
        if return_losses:
            results += (layer.losses,)
        flat = [_as_value(leaf) for leaf in tree.leaves(results)]
    given = [values.get(id(state), state) for state in trace.states]
    if current() is None and not any(isinstance(value, Tensor) for value in given):
        graph = Graph((*trace.state_inputs, *trace.inputs), tuple(flat))
        state_arrays = [
            np.asarray(value, dtypes.to_numpy(state.dtype)) for value, state in zip(given, trace.states)
        ]
        computed: list[Any] = [
            as_eager(array) for array in run_graph(graph, [*state_arrays, *map(as_array, arrays)])
        ]
    else:
        replacement: dict[Value, Value] = dict(zip(trace.state_inputs, (_as_value(value) for value in given)))
        replacement.update(zip(trace.inputs, (as_value(array) for array in arrays)))
        computed = [Tensor(value) for value in rebuild(flat, lambda node, inputs: None, replacement)]
    return tree.pack_like(results, computed)


def _as_value(value: Any) -> Value:
    return as_value(value.__tensor__() if hasattr(value, "__tensor__") else value)
