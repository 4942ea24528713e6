"""Shape rules of the control primitives: their nested graphs must fit the operands, and each other.

A nested graph is closed: all it reads from outside comes in through its inputs.
"""

from __future__ import annotations

from collections.abc import Sequence

from lamina.core.errors import ShapeError
from lamina.ir.graph import Graph, TensorType, Value


def scan(
    *operands: TensorType, body: Graph, length: int, consts: int, carries: int, reverse: bool
) -> tuple[TensorType, ...]:
    """Operands: what every step reads, the carried values at the start, what is sliced along its first axis.

    body: (consts, carries, slices) -> (carries, results of the step). Outputs: the carries after the last
    step, and the results of all steps, stacked along a new first axis at the place of their slice.
    """
    if length < 0 or not 0 <= consts + carries <= len(operands):
        raise ShapeError(f"scan: length {length}, {consts} + {carries} of {len(operands)} operands.")
    sliced = operands[consts + carries :]
    for position, entry in enumerate(sliced):
        if entry.shape[:1] != (length,):
            raise ShapeError(f"scan of length {length}: sliced operand {position} has shape {entry.shape}.")
    slices = [TensorType(entry.shape[1:], entry.dtype) for entry in sliced]
    _expect("inputs of the body", body.inputs, [*operands[: consts + carries], *slices])
    carried = operands[consts : consts + carries]
    _expect("carries that the body returns", body.outputs[:carries], carried)
    results = [value.type for value in body.outputs[carries:]]
    return (*carried, *(TensorType((length, *entry.shape), entry.dtype) for entry in results))


def while_loop(*operands: TensorType, condition: Graph, body: Graph, consts: int) -> tuple[TensorType, ...]:
    """Operands: what every step reads, and the carried values at the start. Outputs: the carries at the end.

    condition: (consts, carries) -> a boolean scalar; body: (consts, carries) -> carries.
    """
    carried = operands[consts:]
    _expect("inputs of the condition", condition.inputs, operands)
    _expect("inputs of the body", body.inputs, operands)
    _expect("result of the condition", condition.outputs, [TensorType((), "bool")])
    _expect("carries that the body returns", body.outputs, carried)
    return carried


def cond(index: TensorType, *operands: TensorType, branches: tuple[Graph, ...]) -> tuple[TensorType, ...]:
    """index: the number of the branch to run, clamped to those there are. Each takes all the operands."""
    if index != TensorType((), "int32"):
        raise ShapeError(f"cond needs the number of a branch, int32[], got {index}.")
    if not branches:
        raise ShapeError("cond needs at least one branch.")
    results = tuple(value.type for value in branches[0].outputs)
    for branch in branches:
        _expect("inputs of a branch", branch.inputs, operands)
        _expect("results of a branch", branch.outputs, results)
    return results


def custom_gradient(
    *operands: TensorType, backward: Graph, results: int, arguments: int
) -> tuple[TensorType, ...]:
    """Operands: results, the arguments they were computed from, and whatever else `backward` reads.

    backward: (the rest, cotangents of the results) -> cotangents of the arguments. Outputs: the results.
    """
    if not 0 <= results + arguments <= len(operands):
        raise ShapeError(f"custom_gradient: {results} + {arguments} of {len(operands)} operands.")
    given, taken = operands[:results], operands[results : results + arguments]
    _expect("inputs of the gradient", backward.inputs, [*operands[results + arguments :], *given])
    _expect("results of the gradient", backward.outputs, taken)
    return given


def _expect(what: str, values: Sequence[Value], types: Sequence[TensorType]) -> None:
    if [value.type for value in values] != list(types):
        shown, wanted = (", ".join(map(str, entries)) for entries in ([v.type for v in values], types))
        raise ShapeError(f"The {what} do not fit.", expected=wanted, got=shown)
