"""Loops and branches that depend on the numbers: the functions they run are traced once, whatever the length.

Where the numbers are there while the code runs - on arrays, and with `run_eagerly` - Python runs the loop.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from lamina.core import tree
from lamina.core.errors import ArgumentError, ShapeError
from lamina.core.shapes import normalize_axis
from lamina.interp import as_eager, run_graph
from lamina.ir import primitives as p
from lamina.ir.bind import apply, as_value
from lamina.ir.bodies import captured, make_body
from lamina.ir.graph import Graph, Node, TensorType, Value
from lamina.ir.nested import trace_bodies
from lamina.ir.trace import State, Tensor, Trace, current, new_input
from lamina.ops.convert import as_tensor, dtype_of
from lamina.ops.join import concatenate, stack
from lamina.ops.move import flip, slice_axis
from lamina.ops.registry import op

Function = Callable[..., Any]


def _python_decides() -> bool:
    """Whether loops and branches are run by Python, because the numbers are known."""
    trace = current()
    return trace is None or trace.knows_numbers


def _leaves(structure: Any) -> list[Any]:
    """The tensors of a structure, without the places where it has None."""
    return [as_tensor(leaf) for leaf in tree.flatten(structure) if leaf is not None]


def _fill(structure: Any, tensors: Sequence[Any]) -> Any:
    """A structure like `structure` with other tensors; None stays None."""
    rest = iter(tensors)
    return tree.map_structure(lambda leaf: None if leaf is None else next(rest), structure)


def _types(tensors: Sequence[Any]) -> list[TensorType]:
    return [TensorType(tuple(tensor.shape), dtype_of(tensor)) for tensor in tensors]


def _values(structure: Any) -> list[Value]:
    return [as_value(leaf) for leaf in _leaves(structure)]


def _tensors(values: Sequence[Value]) -> list[Tensor]:
    return [Tensor(value) for value in values]


def _read(states: Sequence[State]) -> list[Value]:
    trace = current()
    assert trace is not None
    return [trace.read(state).value for state in states]


def _write(states: Sequence[State], values: Sequence[Value]) -> None:
    trace = current()
    assert trace is not None
    for state, value in zip(states, values):
        trace.write(state, Tensor(value))


def _same_types(what: str, expected: Sequence[TensorType], structure: Any, like: Any) -> list[Value]:
    """The values of what a body returned in place of `like`, which must have these types."""
    values = _values(structure)
    found = [value.type for value in values]
    if found != list(expected):
        raise ShapeError(
            f"{what} must keep its structure, shapes and dtypes from step to step.",
            expected=", ".join(map(str, expected)),
            got=", ".join(map(str, found)),
            fix="start with the dtype and shape that the function returns, or cast what it returns.",
        )
    return values


# --- scan ------------------------------------------------------------------------------------------


@op
def scan(
    f: Function, init: Any, xs: Any = None, length: int | None = None, reverse: bool = False, unroll: Any = 1
) -> tuple[Any, Any]:
    """Run `carry, y = f(carry, x)` for each slice x of `xs` along its first axis: (last carry, stacked ys).

    init: the first carry; a tensor or a structure of them, whose shapes and dtypes every step keeps.
    xs: a tensor or a structure of them with equal first extents; None to loop `length` times without input.
    reverse: from the last slice to the first; ys keep the places of their slices. unroll: accepted for
    Keras' sake; compiled code decides for itself. Derivatives flow through to any order.

    >>> scan(lambda total, x: (total + x, total + x), 0.0, np.array([1.0, 2.0, 3.0], "float32"))
    (Array(6., dtype=float32), Array([1., 3., 6.], dtype=float32))
    """
    if not callable(f):
        raise ArgumentError(f"scan needs a function of (carry, x), got {f!r}.")
    steps = _length(xs, length)
    start, slices = _leaves(init), _leaves(xs)
    if not _python_decides():
        return _scan_traced(f, init, start, xs, slices, steps, reverse)
    if steps:
        return _scan_in_python(f, init, xs, slices, steps, reverse)
    return _evaluated(lambda: _scan_traced(f, init, start, xs, slices, steps, reverse))


def _length(xs: Any, length: int | None) -> int:
    extents = set()
    for leaf in _leaves(xs):
        if not leaf.shape:
            raise ShapeError("scan and map go along the first axis, which a scalar does not have.")
        extents.add(int(leaf.shape[0]))
    if length is not None:
        extents.add(operator.index(length))
    if not extents:
        raise ArgumentError("scan needs xs to go along, or a length.")
    if len(extents) > 1:
        raise ShapeError("What a scan goes along must have one length.", got=str(sorted(extents)))
    steps = extents.pop()
    if steps < 0:
        raise ArgumentError(f"The length of a loop cannot be negative, got {steps}.")
    return steps


def _scan_in_python(
    f: Function, init: Any, xs: Any, slices: Sequence[Any], steps: int, reverse: bool
) -> tuple[Any, Any]:
    carry: Any = _fill(init, _leaves(init))
    results: list[Any] = [None] * steps
    for step in reversed(range(steps)) if reverse else range(steps):
        carry, results[step] = f(carry, _fill(xs, [one[step] for one in slices]))
    columns = zip(*(_leaves(result) for result in results))
    return carry, _fill(results[0], [stack(list(column)) for column in columns])


def _evaluated(run: Callable[[], Any]) -> Any:
    """What a traced computation gives: for loops without steps, whose results have types only."""
    with Trace() as trace:
        result = run()
        values = tuple(_values(result))
    graph = Graph(tuple(trace.state_inputs), values)
    found = run_graph(graph, [np.asarray(state.array) for state in trace.states])
    return _fill(result, [as_eager(array) for array in found])


def _scan_traced(
    f: Function, init: Any, start: list[Any], xs: Any, slices: list[Any], steps: int, reverse: bool
) -> tuple[Any, Any]:
    carry_types = _types(start)
    slice_types = [TensorType(entry.shape[1:], entry.dtype) for entry in _types(slices)]

    def body(*tensors: Any) -> Any:
        carry = _fill(init, tensors[: len(start)])
        result = f(carry, _fill(xs, tensors[len(start) :]))
        if not isinstance(result, tuple) or len(result) != 2:
            raise ArgumentError("The function of a scan must return (carry, y).", got=f"{result!r:.80}")
        return result

    (traced,), states = trace_bodies([body], [*carry_types, *slice_types])
    carried, y = traced.result
    new_carry = _same_types("The carry of a scan", carry_types, carried, init)
    results = _values(y)
    own = traced.inputs
    carry_inputs = [*own[: len(start)], *own[len(own) - len(states) :]]
    slice_inputs = own[len(start) : len(own) - len(states)]
    outputs = [*new_carry, *traced.state_results, *results]
    consts = captured(own, outputs)
    graph = make_body([*consts, *carry_inputs, *slice_inputs], outputs)
    operands = [*consts, *_values(start), *_read(states), *_values(slices)]
    attributes = {
        "body": graph, "length": steps, "consts": len(consts), "carries": len(carry_inputs),
        "reverse": bool(reverse),
    }  # fmt: skip
    found = apply(p.scan, operands, attributes)
    _write(states, found[len(start) : len(carry_inputs)])
    last, stacked = found[: len(start)], found[len(carry_inputs) :]
    return _fill(init, _tensors(last)), _fill(y, _tensors(stacked))


@op
def map(f: Function, xs: Any) -> Any:
    """`f` of each slice of `xs` along its first axis, stacked.

    >>> map(lambda x: x * x, np.array([1.0, 2.0], "float32"))
    Array([1., 4.], dtype=float32)
    """
    return scan(lambda carry, x: (carry, f(x)), (), xs)[1]


@op
def vectorized_map(function: Function, elements: Any) -> Any:
    """`function` of each slice of `elements` along the first axis, stacked."""
    return scan(lambda carry, x: (carry, function(x)), (), elements)[1]


# --- while -----------------------------------------------------------------------------------------


@op
def while_loop(cond: Function, body: Function, loop_vars: Any, maximum_iterations: Any = None) -> Any:
    """Repeat `loop_vars = body(*loop_vars)` as long as `cond(*loop_vars)`; what they are at the end.

    loop_vars: a tuple or list of tensors (or one tensor), whose shapes and dtypes every step keeps.
    maximum_iterations: stop after so many steps. No derivatives flow through a loop of unknown length; use
    `fori_loop` or `scan` where they are wanted.

    >>> while_loop(lambda n: n < 10, lambda n: n * 2, (np.int32(3),))
    (Array(12, dtype=int32),)
    """
    single = not isinstance(loop_vars, (tuple, list))
    start = (loop_vars,) if single else tuple(loop_vars)

    def step(variables: Any) -> Any:
        result = body(*variables)
        return tuple(result) if isinstance(result, (tuple, list)) else (result,)

    variables = _while(cond, step, start, maximum_iterations)
    return variables[0] if single else type(loop_vars)(variables)


def _while(cond: Function, step: Function, start: tuple[Any, ...], limit: Any) -> tuple[Any, ...]:
    if limit is not None:
        bound = as_tensor(limit, "int32")

        def bounded(count: Any, *variables: Any) -> Any:
            return _boolean(cond(*variables), "The condition of while_loop") & (count < bound)

        def counted(variables: Any) -> Any:
            return (variables[0] + 1, *step(variables[1:]))

        return _while(bounded, counted, (as_tensor(0, "int32"), *start), None)[1:]
    if _python_decides():
        variables: Any = _fill(start, _leaves(start))
        while bool(_boolean(cond(*variables), "The condition of while_loop")):
            variables = step(variables)
        return tuple(variables)
    return _while_traced(cond, step, start)


def _boolean(condition: Any, what: str) -> Any:
    tensor = as_tensor(condition)
    if tensor.shape not in ((), (1,)):
        raise ShapeError(f"{what} must be one truth value.", got=f"shape {tensor.shape}")
    if tensor.shape:
        tensor = p.reshape(tensor, shape=())
    return tensor if dtype_of(tensor) == "bool" else p.cast(tensor, dtype="bool")


def _while_traced(cond: Function, step: Function, start: tuple[Any, ...]) -> tuple[Any, ...]:
    tensors = _leaves(start)
    types = _types(tensors)
    functions = [
        lambda *flat: _boolean(cond(*_fill(start, flat)), "The condition of while_loop"),
        lambda *flat: step(_fill(start, flat)),
    ]
    (asked, made), states = trace_bodies(functions, types)
    if any(held is not given for held, given in zip(asked.state_results, asked.inputs[len(types) :])):
        raise ArgumentError("The condition of while_loop must not assign variables.")
    outputs = [*_same_types("The variables of while_loop", types, made.result, start), *made.state_results]
    consts = list(
        dict.fromkeys([*captured(asked.inputs, _values(asked.result)), *captured(made.inputs, outputs)])
    )
    condition = make_body([*consts, *asked.inputs], _values(asked.result))
    body = make_body([*consts, *made.inputs], outputs)
    found = apply(
        p.while_loop,
        [*consts, *_values(tensors), *_read(states)],
        {"condition": condition, "body": body, "consts": len(consts)},
    )
    _write(states, found[len(types) :])
    return tuple(_fill(start, _tensors(found[: len(types)])))


@op
def fori_loop(lower: Any, upper: Any, body_fun: Function, init_val: Any) -> Any:
    """`value = body_fun(i, value)` for i = lower ... upper - 1; the last value.

    With limits that are plain numbers the loop is a scan, and derivatives flow through it.

    >>> fori_loop(0, 4, lambda i, total: total + i, np.int32(0))
    Array(6, dtype=int32)
    """
    try:
        first, last = operator.index(lower), operator.index(upper)
    except TypeError:
        start = as_tensor(lower, "int32")
        return while_loop(
            lambda i, value: i < as_tensor(upper, "int32"),
            lambda i, value: (i + 1, body_fun(i, value)),
            (start, init_val),
        )[1]
    numbers = np.arange(first, max(first, last), dtype=np.int32)
    return scan(lambda value, i: (body_fun(i, value), None), init_val, numbers)[0]


# --- branches --------------------------------------------------------------------------------------


@op
def cond(pred: Any, true_fn: Function, false_fn: Function) -> Any:
    """`true_fn()` if `pred` is true, else `false_fn()`; compiled code runs only the one that is wanted.

    Both must return the same structure of tensors, with the same shapes and dtypes. Derivatives flow through.

    >>> cond(np.array(True), lambda: 1.0, lambda: 2.0)
    Array(1., dtype=float32)
    """
    truth = _boolean(pred, "The condition of cond")
    if _python_decides() or not isinstance(truth, Tensor):
        return _converted(true_fn() if bool(truth) else false_fn())
    return _branch(p.cast(truth, dtype="int32"), [false_fn, true_fn], ())


@op
def switch(index: Any, branches: Sequence[Function], *operands: Any) -> Any:
    """`branches[index](*operands)`, with the index clamped to the branches there are.

    >>> switch(np.int32(1), [lambda x: x + 1, lambda x: x * 10], 4)
    Array(40, dtype=int32)
    """
    if not branches:
        raise ArgumentError("switch needs at least one branch.")
    number = as_tensor(index, "int32")
    if number.shape:
        raise ShapeError("The index of switch must be one number.", got=f"shape {number.shape}")
    if _python_decides() or not isinstance(number, Tensor):
        return _converted(branches[min(max(int(number), 0), len(branches) - 1)](*operands))
    return _branch(number, branches, operands)


def _converted(result: Any) -> Any:
    return _fill(result, _leaves(result))


def _branch(index: Any, functions: Sequence[Function], operands: tuple[Any, ...]) -> Any:
    given = _leaves(operands)
    mark = new_input("mark", TensorType((), "bool")).node.serial
    traced, states = trace_bodies(
        [lambda *flat, run=function: run(*_fill(operands, flat)) for function in functions], _types(given)
    )
    expected = [value.type for value in _values(traced[0].result)]
    for body in traced[1:]:
        _same_types("What the branches return", expected, body.result, None)
    results = [[*_values(body.result), *body.state_results] for body in traced]

    def is_outside(node: Node) -> bool:
        return node.serial < mark

    outside = dict.fromkeys(
        value
        for body, outputs in zip(traced, results)
        for value in captured(body.inputs, outputs, is_outside)
    )
    branches = tuple(make_body([*outside, *body.inputs], outputs) for body, outputs in zip(traced, results))
    found = apply(
        p.cond,
        [as_value(index), *outside, *_values(given), *_read(states)],
        {"branches": branches},
    )
    _write(states, found[len(expected) :])
    return _fill(traced[0].result, _tensors(found[: len(expected)]))


# --- associative scan ------------------------------------------------------------------------------


@op
def associative_scan(f: Function, elems: Any, reverse: bool = False, axis: int = 0) -> Any:
    """All the partial results of combining slices along `axis` with an associative `f`.

    f: (a, b) -> the combination, for tensors (or structures of them) that hold several slices along `axis`.
    elems: a tensor, or a structure of tensors with one extent along `axis`. reverse: combine from the end.
    The depth is the logarithm of the length. Source: Blelloch, Prefix Sums and Their Applications (1990).

    >>> associative_scan(lambda a, b: a + b, np.arange(4))
    Array([0, 1, 3, 6])
    """
    tensors = _leaves(elems)
    if not tensors:
        raise ArgumentError("associative_scan needs at least one tensor.")
    place = normalize_axis(axis, len(tensors[0].shape))
    if len({tensor.shape[place] for tensor in tensors}) > 1:
        raise ShapeError(
            f"What an associative_scan combines must have one extent along axis {axis}.",
            got=", ".join(str(tensor.shape) for tensor in tensors),
        )

    def combine(first: Sequence[Any], second: Sequence[Any]) -> list[Any]:
        return _leaves(f(_fill(elems, first), _fill(elems, second)))

    if reverse:
        tensors = [flip(tensor, place) for tensor in tensors]
    results = _prefixes(combine, tensors, place)
    return _fill(elems, [flip(result, place) for result in results] if reverse else results)


def _prefixes(
    combine: Callable[[Sequence[Any], Sequence[Any]], list[Any]], tensors: list[Any], axis: int
) -> list[Any]:
    """Combine neighbours, find the prefixes of the pairs, and from these those that end between pairs."""
    extent = tensors[0].shape[axis]
    if extent < 2:
        return tensors

    def part(entries: Sequence[Any], start: int, limit: int, stride: int = 1) -> list[Any]:
        return [slice_axis(entry, axis, start, limit, stride) for entry in entries]

    pairs = combine(part(tensors, 0, extent - 1, 2), part(tensors, 1, extent, 2))
    odd = _prefixes(combine, pairs, axis)
    half = extent // 2
    even = part(tensors, 0, 1)
    if extent > 2:
        before = odd if extent % 2 else part(odd, 0, half - 1)
        between = combine(before, part(tensors, 2, extent, 2))
        even = [concatenate([first, rest], axis) for first, rest in zip(even, between)]
    return [_interleaved(first, second, axis) for first, second in zip(even, odd)]


def _interleaved(even: Any, odd: Any, axis: int) -> Any:
    """even[0], odd[0], even[1], odd[1], ...; `even` may have one more."""
    count = odd.shape[axis]
    both = stack([slice_axis(even, axis, 0, count), odd], axis + 1)
    shape = (*odd.shape[:axis], 2 * count, *odd.shape[axis + 1 :])
    merged = p.reshape(both, shape=shape)
    if even.shape[axis] == count:
        return merged
    return concatenate([merged, slice_axis(even, axis, count, count + 1)], axis)
