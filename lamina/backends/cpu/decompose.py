"""Rewrites that only this backend wants, before fusion: what has no kernel of its own becomes something
that has.

- argmax and argmin: the smallest position whose element equals the extremum, so that they fuse with other
  work on the rows.
- long reductions: in two steps, so that several threads can take part; the split comes from the shape alone.
- operands that a kernel reads from memory in a certain order get a copy in that order: here `stop_gradient`
  is that copy. So do matrices that every step of a loop would transpose.
- gradients of tables of which few rows were read: `tables`.
- convolutions without kernels of their own: tap by tap (`decompose_windows`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod

from lamina.backends.cpu.attention_plan import ATTENTION, has_kernel
from lamina.backends.cpu.convolve_nodes import CONVOLUTIONS, prepared
from lamina.backends.cpu.convolve_pooled import see_through_pooling
from lamina.backends.cpu.decompose_again import make_again
from lamina.backends.cpu.decompose_moments import squares_around_mean
from lamina.backends.cpu.decompose_windows import decompose_window
from lamina.backends.cpu.fuse import POOLING, collapse, scalar_constant
from lamina.backends.cpu.tables import without_zeros
from lamina.backends.cpu.views import Resolver
from lamina.core import dtypes
from lamina.core.shapes import row_major_strides
from lamina.ir import primitives as p
from lamina.ir.attention import composed, composed_gradient
from lamina.ir.bind import full, iota_value
from lamina.ir.graph import Graph, Node, Value, make, rebuild, topological
from lamina.ir.primitives import CONTROLS, REDUCES, Primitive

LONG = 1 << 15  # elements folded into one from which a reduction is split
PARTS = 64
SOME = 1 << 12  # ... where whole axes, such as that of the batch, can be the parts
FEW = 8  # such parts, and elements of each


def decompose(results: Sequence[Value], resolve: Resolver | None = None) -> tuple[Value, ...]:
    """The same results from primitives that have kernels.

    resolve: knows what the inputs of a nested graph are views of.
    """
    resolve = resolve or Resolver()

    def rule(node: Node, inputs: tuple[Value, ...]) -> Sequence[Value] | None:
        primitive = node.primitive
        if primitive in (p.argmax, p.argmin):
            return [_arg_extremum(node, inputs[0])]
        if primitive.has(REDUCES):
            split = _split(node, inputs[0])
            return None if split is None else [split]
        if primitive is p.dot:
            return [_dot(node, inputs, resolve)]
        if primitive in CONVOLUTIONS:
            return prepared(node, inputs, resolve)
        if primitive.has(CONTROLS):
            return _control(node, inputs, resolve)
        if primitive is p.scatter_add:
            sparse = without_zeros(node, inputs, lambda operand: _placed(operand, resolve))
            if sparse is not None:
                return [sparse]
        if primitive in _READERS:
            copied = tuple(
                operand if _READERS[primitive](position, operand, resolve) else p.stop_gradient(operand)
                for position, operand in enumerate(inputs)
            )
            return make(primitive, copied, node.attributes, node.types).outputs
        return None

    return make_again(rebuild(rebuild(see_through_pooling(results), _decompose_whole), rule))


def _decompose_whole(node: Node, inputs: tuple[Value, ...]) -> Sequence[Value] | None:
    """Windows and attention that have no kernel, as what then goes through the other rewrites."""
    if node.primitive in ATTENTION:
        if has_kernel(node):
            return None
        compose = composed if node.primitive is p.attention else composed_gradient
        return compose(*inputs, **node.attributes)
    return decompose_window(node, inputs)


def _in_memory(operand: Value, resolve: Resolver) -> bool:
    """Whether the operand is a view of something that has an address."""
    return scalar_constant(operand) is None and resolve(operand).root.primitive is not p.iota


def _in_order(operand: Value, resolve: Resolver) -> bool:
    view = resolve(operand)
    return (
        view.offset == 0
        and view.root.size == operand.size
        and all(
            stride == expected or extent == 1
            for extent, stride, expected in zip(operand.shape, view.strides, row_major_strides(operand.shape))
        )
        and view.root.primitive is not p.iota
    )


def _rows(position: int, operand: Value, resolve: Resolver) -> bool:
    """What attention reads: rows whose features are neighbours, at any distance; all else in order."""
    if operand.ndim != 4 or operand.dtype == "bool":
        return _in_memory(operand, resolve) and _in_order(operand, resolve)
    return _in_memory(operand, resolve) and (operand.shape[3] == 1 or resolve(operand).strides[3] == 1)


def _line(position: int, operand: Value, resolve: Resolver) -> bool:
    """What special kernels read: contiguous memory, or one number."""
    return scalar_constant(operand) is not None or _in_order(operand, resolve)


def _placed(operand: Value, resolve: Resolver) -> Value:
    placed: Value = operand if _line(0, operand, resolve) else p.stop_gradient(operand)
    return placed


# For primitives that read an operand from memory: may it stay as it is?
_READERS: dict[Primitive, Callable[[int, Value, Resolver], bool]] = {
    p.gather: lambda position, operand, resolve: position == 1 or _in_memory(operand, resolve),
    p.pad: lambda position, operand, resolve: (
        (position == 1 and scalar_constant(operand) is not None) or _in_memory(operand, resolve)
    ),
    p.concatenate: lambda position, operand, resolve: _in_memory(operand, resolve),
    **dict.fromkeys(POOLING, lambda position, operand, resolve: _in_memory(operand, resolve)),
    p.random_bits: lambda position, operand, resolve: _in_memory(operand, resolve),
    p.scatter_add: _line,
    p.cumulative_sum: _line,
    p.sort: _line,
    **dict.fromkeys(ATTENTION, _rows),
    p.host: lambda position, operand, resolve: _in_order(operand, resolve),
}


def _control(node: Node, inputs: tuple[Value, ...], resolve: Resolver) -> Sequence[Value]:
    """What is read inside has memory; carried values lie there in order, since steps write them so."""
    first = 1 if node.primitive is p.cond else node.attributes["consts"]
    last = first + node.attributes["carries"] if node.primitive is p.scan else len(inputs)
    placed = []
    for position, operand in enumerate(inputs):
        carried = first <= position < last if node.primitive is not p.cond else position == 0
        fits = _in_memory(operand, resolve) and (not carried or _in_order(operand, resolve))
        placed.append(operand if fits else p.stop_gradient(operand))
    if node.primitive is p.scan and node.attributes["length"] > 2:
        for position in _turned_in_steps(node, placed, resolve):
            placed[position] = _turned(p.stop_gradient(_turned(placed[position])))
    if node.primitive is p.scan:
        return _without_joining(node, placed, resolve)
    return make(node.primitive, placed, node.attributes, node.types).outputs


def _without_joining(node: Node, operands: list[Value], resolve: Resolver) -> Sequence[Value]:
    """A loop that takes the slices of a stack and of what was put before or behind it from where they lie.

    The values before each step are such a concatenation, of the one before the first step and those after all
    but the last. The loop gets the stack as its operand, and what completes it as one more operand; the
    attribute `late` has the positions of both, and the index that the stack lacks.
    """
    late: list[tuple[int, int, int]] = []
    first = node.attributes["consts"] + node.attributes["carries"]
    for position in range(first, len(operands)):
        joined = operands[position]
        parts = joined.node.inputs
        if joined.primitive is not p.concatenate or joined.node.attributes["axis"] or len(parts) != 2:
            continue
        at = 0 if parts[0].shape[0] == 1 else joined.shape[0] - 1
        single, stack = parts if at == 0 else (parts[1], parts[0])
        if single.shape[0] == 1 and all(_steps_in_order(part, resolve) for part in parts):
            operands[position] = stack
            late.append((position, len(operands), at))
            operands.append(single)
    attributes = {**node.attributes, "late": tuple(late)} if late else node.attributes
    return make(node.primitive, operands, attributes, node.types).outputs


def _steps_in_order(stack: Value, resolve: Resolver) -> bool:
    """Whether each slice along the first axis is contiguous memory."""
    rest = zip(stack.shape[1:], resolve(stack).strides[1:], row_major_strides(stack.shape[1:]))
    return _in_memory(stack, resolve) and all(
        stride == expected or extent == 1 for extent, stride, expected in rest
    )


def _turned_in_steps(node: Node, operands: Sequence[Value], resolve: Resolver) -> list[int]:
    """Matrices that each step of a loop multiplies with, from the right, and would have to transpose."""
    body: Graph = node.attributes["body"]
    consts = dict(zip(body.inputs[: node.attributes["consts"]], operands))
    found: set[Value] = set()
    other: set[Value] = set()
    for inside in topological(body.outputs):
        for position, operand in enumerate(inside.inputs):
            is_turned = (
                inside.primitive is p.dot
                and position == 1
                and operand in consts
                and operand.ndim == 2
                and inside.attributes["contract"][1] == (1,)
                and resolve(consts[operand]).strides[1] == 1
            )
            (found if is_turned else other).add(operand)
    return [position for position, inner in enumerate(consts) if inner in found - other]


def _turned(matrix: Value) -> Value:
    result: Value = p.transpose(matrix, permutation=(1, 0))
    return result


def _dot(node: Node, inputs: tuple[Value, ...], resolve: Resolver) -> Value:
    """Operands as matrices that can be walked with one stride each way; others are copied into that order."""
    contract = list(_summed_in_order(node.attributes["contract"], inputs, resolve))
    batch = list(node.attributes["batch"])
    operands = []
    for side, operand in enumerate(inputs):
        shared, common = contract[side], batch[side]
        free = tuple(axis for axis in range(operand.ndim) if axis not in shared + common)
        strides = resolve(operand).strides
        walkable = _in_memory(operand, resolve) and all(
            collapse([(operand.shape[axis], strides[axis]) for axis in axes]) is not None
            for axes in (common, free, shared)
        )
        if not walkable:
            # What lies closest together stays so: copying goes by runs of memory.
            closest = min(range(operand.ndim), key=lambda axis: abs(strides[axis]), default=None)
            order = common + (shared + free if closest in free else free + shared)
            operand = p.stop_gradient(p.transpose(operand, permutation=order))
            batch[side] = tuple(order.index(axis) for axis in common)
            contract[side] = tuple(order.index(axis) for axis in shared)
        operands.append(operand)
    result: Value = p.dot(*operands, contract=tuple(contract), batch=tuple(batch))
    return result


def _summed_in_order(
    contract: tuple[tuple[int, ...], tuple[int, ...]], inputs: tuple[Value, ...], resolve: Resolver
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The pairs of contracted axes in the order in which the larger operand has them in memory."""
    larger = 0 if inputs[0].size > inputs[1].size else 1
    strides = resolve(inputs[larger]).strides
    pairs = sorted(zip(*contract), key=lambda pair: -abs(strides[pair[larger]]))
    return tuple(pair[0] for pair in pairs), tuple(pair[1] for pair in pairs)


def _arg_extremum(node: Node, x: Value) -> Value:
    """First position of the extremum; the first NaN wins, because a NaN makes the extremum NaN."""
    axis = node.attributes["axis"]
    fold = p.reduce_max if node.primitive is p.argmax else p.reduce_min
    rest = tuple(position for position in range(x.ndim) if position != axis)
    extremum = p.broadcast(fold(x, axes=(axis,)), shape=x.shape, axes=rest)
    found = p.equal(x, extremum)
    if dtypes.is_float(x.dtype):
        found = p.bitwise_or(found, p.not_equal(x, x))
    positions = iota_value(x.shape, axis, "int32")
    beyond = full(x.shape, x.shape[axis], "int32")
    result: Value = p.reduce_min(p.select(found, positions, beyond), axes=(axis,))
    return result


def _split(node: Node, x: Value) -> Value | None:
    """Fold runs of neighbouring elements first, then the partial results."""
    axes: tuple[int, ...] = node.attributes["axes"]
    folded = prod(x.shape[axis] for axis in axes)
    kept = x.size // folded if folded else 0
    enough = SOME if x.ndim > len(axes) else LONG
    whole_rows = _split_at(x.shape, axes) if folded >= enough else None
    if whole_rows is not None:
        squares = squares_around_mean(node, x, whole_rows)
        if squares is not None:
            return squares
        outer, inner = axes[:whole_rows], axes[whole_rows:]
        return node.primitive(node.primitive(x, axes=inner), axes=outer)
    if folded < LONG or kept >= PARTS or axes != tuple(range(axes[0], axes[0] + len(axes))):
        return None
    # Never a divisor of the number of threads: the same split on every machine.
    parts = next((count for count in range(PARTS, 7, -1) if folded % count == 0), None)
    if parts is None:
        return None
    first = axes[0]
    after = x.shape[axes[-1] + 1 :]
    grouped = p.reshape(x, shape=(*x.shape[:first], parts, folded // parts, *after))
    partial = node.primitive(grouped, axes=(first + 1,))
    result: Value = node.primitive(partial, axes=(first,))
    return result


def _split_at(shape: Sequence[int], axes: tuple[int, ...]) -> int | None:
    """How many of the axes make the parts, so that what computes x can stay on its own shape and be fused."""
    parts = 1
    for count, axis in enumerate(axes[:-1], start=1):
        parts *= shape[axis]
        if parts >= FEW:
            inner = prod(shape[axis] for axis in axes[count:])
            return count if parts < LONG and inner >= FEW else None
    return None
