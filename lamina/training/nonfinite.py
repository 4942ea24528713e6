"""Where a NaN or infinity came from: the step that gave it, run again with every number known."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from lamina.core import dtypes, tree
from lamina.core.errors import NonFiniteError
from lamina.function import trace_program
from lamina.interp import run_graph
from lamina.ir.graph import Graph, TensorType
from lamina.ir.trace import Tensor
from lamina.optimizers.rates import is_usable
from lamina.training.data import Arrays, BatchType, Work
from lamina.training.eager import EagerTrace
from lamina.training.programs import step_function

# Rows looked at one by one; beyond, the message names none.
_ROWS_TRIED = 2048


def explain(model: Any, work: Work, row: int, epoch: int, step: int) -> NonFiniteError:
    """The error that says which step, which layer or gradient, and which row of the batch came first.

    row: the step's row in `work.order`; the state is as before that step.
    """
    wrong_rates = _wrong_rates(model.optimizer)
    if wrong_rates:
        return NonFiniteError(
            f"Epoch {epoch + 1}, step {step + 1}: the learning rate is {wrong_rates[0]:g}. "
            "The step was not applied.",
            expected="a number that is not negative",
            fix="let the schedule end at zero or above, for instance with ops.maximum(rate, 0.0).",
        )
    numbers = work.order[row]
    arrays = [array[numbers] for array in work.arrays]
    what, where, bad_row = _replay(model, work.batch_type, arrays)
    place = ""
    if bad_row is not None:
        place = f", for row {bad_row} of the batch"
        if len(work.arrays[0]) != len(numbers) and work.fresh is None:
            place += f" (row {numbers[bad_row]} of the data)"
    return NonFiniteError(
        f"Epoch {epoch + 1}, step {step + 1}: {what}. The step was not applied.",
        got=where + place,
        fix=_advice(model, arrays),
    )


def _replay(model: Any, batch_type: BatchType, arrays: Arrays) -> tuple[str, str, int | None]:
    """(what is not finite, where that began, the row of the batch if it is one row's doing)."""
    trace = EagerTrace(arrays)
    calls: list[tuple[Any, Tensor]] = []
    with _recorded(model, calls):
        traced = trace_program(step_function(model, "train", batch_type), batch_type.types, trace=trace)
    guards = traced.program.guards
    names = _guard_names(model, len(guards))
    found = next((place for place, value in enumerate(guards) if not _finite(trace.evaluate(value))), None)
    what = "a loss or gradient is not finite"
    if found is not None:
        what = f"{names[found]} is {_example(trace.evaluate(guards[found]))}"
    for variable in model.weights:
        if not _finite(variable.array):
            return what, f"the weight '{variable.path}' was not finite before", None
    with trace:
        for layer, tensor in calls:
            output = trace.evaluate(tensor.value)
            if not _finite(output):
                kind = type(layer).__name__
                place = f"first in the output of layer '{layer.name}' ({kind}): {_example(output)}"
                return what, place, _bad_row(output, len(arrays[0]))
    place = "all layers' outputs are finite; it arises in the loss"
    if found:
        place = "all layers' outputs are finite; it arises on the way back"
    return what, place, _row_alone(model, batch_type, arrays)


def _guard_names(model: Any, count: int) -> list[str]:
    variables = model.trainable_variables
    names = ["the loss", *(f"the gradient of '{variable.path}'" for variable in variables)]
    if model.optimizer.skips_nonfinite_gradients:
        names = ["the loss", "a gradient, at a loss scale of 1,"]
    rates = len(_scheduled_rates(model.optimizer))
    if count == len(names) + rates:
        return [*names, *["the learning rate"] * rates]
    return [f"the new value of a weight ({place})" for place in range(count)]


def _scheduled_rates(optimizer: Any) -> list[Any]:
    """The schedules and callables that learning rates of this step come from."""
    return [part for part in optimizer.update_rule() if callable(part) and not hasattr(part, "update_rule")]


def _wrong_rates(optimizer: Any) -> list[float]:
    """The scheduled rates of this step that no update can be made with."""
    owners = [part for part in optimizer.update_rule() if hasattr(part, "update_rule")]
    scheduled = [part for part in owners if callable(vars(part)["_learning_rate"])]
    rates = [float(np.asarray(part.learning_rate)) for part in scheduled]
    return [rate for rate in rates if not is_usable(rate)]


@contextmanager
def _recorded(model: Any, calls: list[tuple[Any, Tensor]]) -> Iterator[None]:
    """Inside, every layer notes what it returns, in the order in which they are done."""
    layers = [layer for layer in model._flatten_layers() if "call" not in vars(layer)]
    for layer in layers:
        vars(layer)["call"] = _noting(layer, layer.call, calls)
    try:
        yield
    finally:
        for layer in layers:
            del vars(layer)["call"]


def _noting(layer: Any, call: Any, calls: list[tuple[Any, Tensor]]) -> Any:
    def noting(*arguments: Any, **keywords: Any) -> Any:
        outputs = call(*arguments, **keywords)
        calls.extend((layer, leaf) for leaf in tree.leaves(outputs) if isinstance(leaf, Tensor))
        return outputs

    return noting


def _row_alone(model: Any, batch_type: BatchType, arrays: Arrays) -> int | None:
    """The first row that gives something not finite as a batch of its own."""
    one_row = tuple(TensorType((1, *kind.shape[1:]), kind.dtype) for kind in batch_type.types)
    single = BatchType(batch_type.structure, one_row)
    traced = trace_program(step_function(model, "train", single), one_row)
    program = traced.program
    graph = Graph(program.states + program.inputs, program.guards)
    states = [state.array for state in traced.states]
    for row in range(min(len(arrays[0]), _ROWS_TRIED)):
        if not all(map(_finite, run_graph(graph, [*states, *(array[row : row + 1] for array in arrays)]))):
            return row
    return None


def _bad_row(output: np.ndarray[Any, Any], rows: int) -> int | None:
    if output.ndim == 0 or len(output) != rows:
        return None
    return int((~np.isfinite(output.reshape(rows, -1))).any(axis=1).argmax())


def _finite(array: np.ndarray[Any, Any]) -> bool:
    return not dtypes.is_float(dtypes.of_numpy(array.dtype)) or bool(np.isfinite(array).all())


def _example(array: np.ndarray[Any, Any]) -> str:
    wrong = array[~np.isfinite(array)]
    return "NaN" if np.isnan(wrong).any() else "infinite"


def _advice(model: Any, arrays: Arrays) -> str:
    largest = max(
        (float(np.abs(array).max()) for array in arrays if array.dtype.kind == "f" and array.size), default=0
    )
    rate = getattr(model.optimizer, "learning_rate", None)  # a MultiOptimizer has several
    now = "" if rate is None else f" (it is {float(np.asarray(rate)):.3g})"
    advice = f"a smaller learning rate{now}, or clipnorm=1.0 in the optimizer"
    return advice + (f"; scale the data, whose largest number is {largest:.3g}." if largest > 100 else ".")
