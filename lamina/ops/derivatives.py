"""Derivatives as ops: along a direction, and such as the user says they are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

import numpy as np

from lamina.core import dtypes, tree
from lamina.core.errors import ArgumentError, ShapeError
from lamina.grad.forward import push_forward
from lamina.interp import as_eager, run_graph
from lamina.ir import primitives as p
from lamina.ir import symbolic
from lamina.ir.bind import apply, as_value, full
from lamina.ir.bodies import captured, make_body, substitute
from lamina.ir.graph import Graph, TensorType, Value
from lamina.ir.trace import Tensor, Trace, current, new_input
from lamina.ops.convert import as_tensor
from lamina.ops.registry import op

Function = Callable[..., Any]

# --- along a direction -----------------------------------------------------------------------------


@op
def jvp(fun: Function, primals: Any, tangents: Any, has_aux: bool = False) -> Any:
    """(fun(*primals), how fast that changes when the primals change as fast as the tangents).

    fun: a function of tensors, or structures of them; it is traced. With `has_aux` it returns a pair, of
    which the second is handed on as a third result. primals, tangents: lists or tuples of the same structure,
    shapes and float dtypes. The result can be differentiated again. While loops have no derivatives here.

    >>> jvp(lambda x: x * x, (np.float32(3),), (np.float32(1),))
    (Array(9., dtype=float32), Array(6., dtype=float32))
    """
    if not isinstance(primals, (tuple, list)) or not isinstance(tangents, (tuple, list)):
        raise ArgumentError(
            "jvp takes its primals and its tangents as tuples or lists, one entry per argument of fun.",
            got=f"{type(primals).__name__} and {type(tangents).__name__}",
            fix="jvp(fun, (x,), (direction,))",
        )
    points = [as_tensor(leaf) for leaf in tree.flatten(list(primals))]
    directions = [as_tensor(leaf) for leaf in tree.flatten(list(tangents))]
    _check_directions(points, directions)
    if current() is not None:
        return _jvp_traced(fun, primals, points, directions, has_aux)
    with Trace() as trace:
        result = _jvp_traced(fun, primals, points, directions, has_aux)
        values = [as_value(leaf) for leaf in tree.flatten(result)]
    updates = trace.updates()
    graph = Graph(tuple(trace.state_inputs), (*values, *(value for _, value in updates)))
    found = run_graph(graph, [np.asarray(state.array) for state in trace.states])
    for (position, _), array in zip(updates, found[len(values) :]):
        trace.states[position].array[...] = array
    return tree.pack_like(result, [as_eager(array) for array in found[: len(values)]])


def _check_directions(points: Sequence[Any], directions: Sequence[Any]) -> None:
    kinds, given = ([str(as_value(tensor).type) for tensor in tensors] for tensors in (points, directions))
    if kinds != given:
        raise ShapeError(
            "The tangents of jvp must have the structure, shapes and dtypes of the primals.",
            expected=", ".join(kinds),
            got=", ".join(given),
        )
    if not all(dtypes.is_float(as_value(point).dtype) for point in points):
        raise ArgumentError("jvp differentiates with respect to floats only.", got=", ".join(kinds))


def _jvp_traced(
    fun: Function, primals: Any, points: Sequence[Any], directions: Sequence[Any], has_aux: bool
) -> Any:
    """The results as Tensors. `fun` gets fresh inputs, so that what it closes over counts as constant."""
    values = [as_value(point) for point in points]
    inputs = [new_input("primal", value.type) for value in values]
    result = fun(*tree.pack_like(list(primals), [Tensor(value) for value in inputs]))
    if has_aux and not (isinstance(result, tuple) and len(result) == 2):
        raise ArgumentError(
            "With has_aux=True the function must return (output, aux).", got=f"{result!r:.60}"
        )
    output, aux = result if has_aux else (result, None)
    outputs = [as_value(as_tensor(leaf)) for leaf in tree.flatten(output)]
    others = [as_value(as_tensor(leaf)) for leaf in tree.flatten(aux)] if has_aux else []
    moved = push_forward(outputs, inputs, [as_value(direction) for direction in directions])
    placed = substitute([*outputs, *moved, *others], dict(zip(inputs, values)))
    tensors = [Tensor(value) for value in placed]
    count = len(outputs)
    found = tuple(tree.pack_like(output, tensors[begin : begin + count]) for begin in (0, count))
    return (*found, tree.pack_like(aux, tensors[2 * count :])) if has_aux else found


# --- as the user says ------------------------------------------------------------------------------


def custom_gradient(f: Function) -> Function:
    """A decorator: `f` returns (result, gradient), and that gradient is used in place of the derivative.

    f: a function of tensors, or structures of them. gradient: a function of the derivative of the loss with
    respect to the result (of the same structure as the result), which returns the derivatives with respect
    to the tensors of the arguments: one, or a tuple with one for each; None stands for zero. It is
    differentiated in turn for second derivatives. Nothing flows to what `f` uses besides its arguments.

    >>> @custom_gradient
    ... def reversed_gradient(x):
    ...     return x, lambda upstream: -upstream
    """
    if not callable(f):
        raise ArgumentError(f"custom_gradient decorates a function, got {f!r:.60}.")

    @wraps(f)
    def with_gradient(*arguments: Any) -> Any:
        if symbolic.is_symbolic(arguments):
            return symbolic.record(with_gradient, arguments, {})
        arguments = tree.map_structure(_read, arguments)
        pair = f(*arguments)
        if not isinstance(pair, tuple) or len(pair) != 2 or not callable(pair[1]):
            raise ArgumentError(
                f"The function {getattr(f, '__name__', f)!r} with a custom gradient must return a pair.",
                expected="(result, function that gives the gradient)",
                got=f"{pair!r:.80}",
            )
        result, gradient = pair
        return result if current() is None else _with_gradient(arguments, result, gradient)

    return with_gradient


def _read(leaf: Any) -> Any:
    """Variables as tensors; what is no tensor stays as it is."""
    return leaf.__tensor__() if hasattr(leaf, "__tensor__") else leaf


def _with_gradient(arguments: tuple[Any, ...], result: Any, gradient: Function) -> Any:
    """`result` as outputs of the primitive that knows the gradient."""
    taken = [as_value(as_tensor(leaf)) for leaf in tree.flatten(arguments)]
    results = [as_value(as_tensor(leaf)) for leaf in tree.flatten(result)]
    upstream = [new_input("upstream", value.type) for value in results]
    given = gradient(tree.pack_like(result, [Tensor(value) for value in upstream]))
    sent = _cotangents(given, [value.type for value in taken])
    read = captured(upstream, sent)
    backward = make_body([*read, *upstream], sent)
    found = apply(
        p.custom_gradient,
        [*results, *taken, *read],
        {"backward": backward, "results": len(results), "arguments": len(taken)},
    )
    return tree.pack_like(result, [Tensor(value) for value in found])


def _cotangents(given: Any, types: Sequence[TensorType]) -> list[Value]:
    """What a gradient function returned, one value for each tensor of the arguments."""
    leaves = list(given) if isinstance(given, (tuple, list)) else [given]
    values = []
    for leaf, kind in zip(leaves, types):
        is_zero = leaf is None or not dtypes.is_float(kind.dtype)
        values.append(full(kind.shape, 0, kind.dtype) if is_zero else as_value(as_tensor(leaf, kind.dtype)))
    found = [value.type for value in values]
    if len(leaves) != len(types) or found != list(types):
        raise ShapeError(
            "A custom gradient must return one tensor for each tensor of the arguments, of the same shape.",
            expected=", ".join(map(str, types)),
            got=", ".join(map(str, found)) if len(leaves) == len(types) else f"{len(leaves)} tensors",
        )
    return values
