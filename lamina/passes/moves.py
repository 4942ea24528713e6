"""Laws of movement: one canonical form of whatever only rearranges or repeats elements.

The form that backends can rely on: a reshape, transpose or broadcast does something, and none stands on
another of its kind; the operand of a broadcast has no axis of extent 1; what repeats elements comes as
late as possible; a `dot` reads its operands untransposed where its axes can say the same.
"""

from __future__ import annotations

from collections.abc import Sequence

from lamina.ir import primitives as p
from lamina.ir.bind import constant_value
from lamina.ir.graph import Node, Value
from lamina.ir.primitives import ELEMENTWISE
from lamina.passes.rewrite import LawBook, having, under

MOVES = LawBook()
law = MOVES.law

Axes = tuple[int, ...]
AxesPair = tuple[Axes, Axes]


def without_ones(shape: Sequence[int]) -> tuple[int, ...]:
    return tuple([extent for extent in shape if extent != 1])


def places_without_ones(shape: Sequence[int]) -> Axes:
    """The axes whose extent is not 1."""
    return tuple([axis for axis, extent in enumerate(shape) if extent != 1])


# --- repeat ----------------------------------------------------------------------------------------
def repeated_scalar(x: Value) -> Value | None:
    """The scalar that x repeats."""
    inner = under(x, p.broadcast)
    if inner is not None and inner.ndim == 0:
        return inner
    return constant_value(x.constant.reshape(())) if x.constant is not None and x.size == 1 else None


def compute_before_repeating(node: Node) -> Value | None:
    """f(broadcast(x), broadcast(y)) -> broadcast(f(x, y)), for equally repeated axes and for scalars"""
    axes: Axes = ()
    for operand in node.inputs:
        if operand.node.primitive is not p.broadcast:
            return None
        placed: Axes = operand.node.attributes["axes"]
        if placed and axes and placed != axes:
            return None
        axes = axes or placed
    shape = node.types[0].shape
    result = apply_inside(node, tuple([shape[axis] for axis in axes]))
    return p.broadcast(result, shape=shape, axes=axes)


def compute_before_reshaping(node: Node) -> Value | None:
    """f(reshape(x), reshape(y)) -> reshape(f(x, y)), for equal shapes of x and y and for scalars"""
    shape: Axes | None = None
    for operand in node.inputs:
        inner = under(operand, p.reshape)
        if inner is not None and shape in (None, inner.shape):
            shape = inner.shape
        elif repeated_scalar(operand) is None:
            return None
    return None if shape is None else p.reshape(apply_inside(node, shape), shape=node.types[0].shape)


def apply_inside(node: Node, shape: Axes) -> Value:
    """The node's primitive on what its operands move, all of `shape` or scalars."""
    inner = []
    for operand in node.inputs:
        scalar = repeated_scalar(operand)
        inner.append(operand.node.inputs[0] if scalar is None else p.broadcast(scalar, shape=shape, axes=()))
    return node.primitive(*inner, **node.attributes)


MOVES.node_law(having(ELEMENTWISE), compute_before_repeating)
MOVES.node_law(having(ELEMENTWISE), compute_before_reshaping)


# broadcast(broadcast(x)) -> broadcast(x)
def of_broadcast(x: Value, *, shape: Axes, axes: Axes) -> Value | None:
    inner = under(x, p.broadcast)
    if inner is None:
        return None
    return p.broadcast(inner, shape=shape, axes=tuple([axes[axis] for axis in x.node.attributes["axes"]]))


def of_single_extents(x: Value, *, shape: Axes, axes: Axes) -> Value | None:
    """broadcast(x) -> broadcast(reshape(x)), with the axes of extent 1 gone"""
    kept = places_without_ones(x.shape)
    if len(kept) == x.ndim:
        return None
    return p.broadcast(
        p.reshape(x, shape=without_ones(x.shape)), shape=shape, axes=tuple([axes[i] for i in kept])
    )


# broadcast that repeats nothing -> reshape
law(
    p.broadcast,
    lambda x, *, shape, axes: (
        p.reshape(x, shape=shape) if without_ones(shape) == without_ones(x.shape) else None
    ),
)
law(p.broadcast, of_broadcast, of_single_extents)


# --- reshape and transpose -------------------------------------------------------------------------
def reshape_of_broadcast(x: Value, *, shape: Axes) -> Value | None:
    """reshape(broadcast(x)) -> broadcast(x), when axes of extent 1 come or go, or x is a scalar"""
    inner = under(x, p.broadcast)
    if inner is None:
        return None
    if inner.ndim == 0:
        return p.broadcast(inner, shape=shape, axes=())
    if without_ones(x.shape) != without_ones(shape):
        return None
    new_place = dict(zip(places_without_ones(x.shape), places_without_ones(shape)))
    return p.broadcast(
        inner, shape=shape, axes=tuple([new_place[axis] for axis in x.node.attributes["axes"]])
    )


def transpose_of_transpose(x: Value, *, permutation: Axes) -> Value | None:
    """transpose(transpose(x)) -> transpose(x)"""
    inner = under(x, p.transpose)
    if inner is None:
        return None
    first = x.node.attributes["permutation"]
    return p.transpose(inner, permutation=tuple([first[axis] for axis in permutation]))


def transpose_that_moves_nothing(x: Value, *, permutation: Axes) -> Value | None:
    """transpose(x) -> reshape(x), when only axes of extent 1 change places"""
    moved = [axis for axis in permutation if x.shape[axis] != 1]
    return (
        p.reshape(x, shape=tuple([x.shape[axis] for axis in permutation])) if moved == sorted(moved) else None
    )


def transpose_of_broadcast(x: Value, *, permutation: Axes) -> Value | None:
    """transpose(broadcast(x)) -> broadcast(transpose(x))"""
    inner = under(x, p.broadcast)
    if inner is None:
        return None
    places = [permutation.index(axis) for axis in x.node.attributes["axes"]]
    order = tuple(sorted(range(inner.ndim), key=places.__getitem__))
    shape = tuple([x.shape[axis] for axis in permutation])
    return p.broadcast(p.transpose(inner, permutation=order), shape=shape, axes=tuple(sorted(places)))


def transpose_of_dot(x: Value, *, permutation: Axes) -> Value | None:
    """transpose(dot(x, y)) -> dot(y, x), when just the free axes of x and y change places"""
    if x.node.primitive is not p.dot:
        return None
    left, right = x.node.inputs
    contract, batch = x.node.attributes["contract"], x.node.attributes["batch"]
    batches = len(batch[0])
    left_free = left.ndim - batches - len(contract[0])
    axes = range(x.ndim)
    if permutation != (*axes[:batches], *axes[batches + left_free :], *axes[batches : batches + left_free]):
        return None
    return p.dot(right, left, contract=contract[::-1], batch=batch[::-1])


# reshape(x, its shape) -> x; reshape(reshape(x)) -> reshape(x)
law(p.reshape, lambda x, *, shape: x if x.shape == shape else None)
law(
    p.reshape,
    lambda x, *, shape: None if under(x, p.reshape) is None else p.reshape(under(x, p.reshape), shape=shape),
)
law(p.reshape, reshape_of_broadcast)
law(
    p.transpose,
    transpose_that_moves_nothing,
    transpose_of_transpose,
    transpose_of_broadcast,
    transpose_of_dot,
)


# --- slice, pad, concatenate, reverse --------------------------------------------------------------
def slice_of_slice(x: Value, *, start: Axes, limit: Axes, stride: Axes) -> Value | None:
    """x[a:b:s][c:d:t] -> x[a + c s : ... : s t]"""
    inner = under(x, p.slice)
    if inner is None:
        return None
    first = x.node.attributes
    steps = tuple([s * t for s, t in zip(first["stride"], stride)])
    starts = tuple(
        [min(a + c * s, b) for a, c, s, b in zip(first["start"], start, first["stride"], first["limit"])]
    )
    limits = [min(a + d * s, b) for a, d, s, b in zip(first["start"], limit, first["stride"], first["limit"])]
    return p.slice(inner, start=starts, limit=tuple(limits), stride=steps)


def slice_of_part(x: Value, *, start: Axes, limit: Axes, stride: Axes) -> Value | None:
    """A slice inside one part of a concatenation -> a slice of that part"""
    if x.node.primitive is not p.concatenate:
        return None
    axis: int = x.node.attributes["axis"]
    before = 0
    for part in x.node.inputs:
        after = before + part.shape[axis]
        if before <= start[axis] and limit[axis] <= after:
            moved = tuple([a - before if i == axis else a for i, a in enumerate(start)])
            ended = tuple([b - before if i == axis else b for i, b in enumerate(limit)])
            return p.slice(part, start=moved, limit=ended, stride=stride)
        before = after
    return None


def slice_of_scalar(x: Value, *, start: Axes, limit: Axes, stride: Axes) -> Value | None:
    """broadcast(scalar)[a:b:s] -> broadcast(scalar)"""
    inner = under(x, p.broadcast)
    if inner is None or inner.ndim:
        return None
    shape = tuple([-(-(b - a) // s) for a, b, s in zip(start, limit, stride)])
    return p.broadcast(inner, shape=shape, axes=())


def concatenate_flat(*parts: Value, axis: int) -> Value | None:
    """Empty parts are dropped, and parts that are concatenations along the same axis are taken apart"""
    flat: list[Value] = []
    for part in parts:
        inner = part.node
        joined = inner.primitive is p.concatenate and inner.attributes["axis"] == axis
        flat += inner.inputs if joined else [part]
    full = [part for part in flat if part.shape[axis]] or flat[:1]
    if len(full) == 1:
        return full[0]
    return None if full == list(parts) else p.concatenate(*full, axis=axis)


def reverse_of_little(x: Value, *, axes: Axes) -> Value | None:
    """reverse(x) over axes of extent 0 or 1 -> x, and reverse(reverse(x)) -> x"""
    inner = under(x, p.reverse)
    if inner is not None and x.node.attributes["axes"] == axes:
        return inner
    turned = tuple([axis for axis in axes if x.shape[axis] > 1])
    if turned == axes and axes:
        return None
    return p.reverse(x, axes=turned) if turned else x


law(
    p.slice,
    lambda x, *, start, limit, stride: (
        x if limit == x.shape and not any(start) and set(stride) <= {1} else None
    ),
)
law(p.slice, slice_of_slice, slice_of_part, slice_of_scalar)
law(
    p.pad, lambda x, value, *, low, high, interior: None if any((*low, *high, *interior)) else x
)  # pad by 0 -> x
law(p.concatenate, concatenate_flat)
law(p.reverse, reverse_of_little)


# --- contract --------------------------------------------------------------------------------------
def dot_of_transpose(x: Value, y: Value, *, contract: AxesPair, batch: AxesPair) -> Value | None:
    """dot(transpose(x), y) -> dot(x, y) over the axes as x has them, transposed if free ones moved"""
    operands, contracts, batches = [x, y], list(contract), list(batch)
    absorbed = False
    places = list(range(len(batch[0])))  # for each axis of the result, where it is in the new one
    for side, operand in enumerate((x, y)):
        inner = under(operand, p.transpose)
        taken = contract[side] + batch[side]
        free = [axis for axis in range(operand.ndim) if axis not in taken]
        if inner is not None:
            permutation = operand.node.attributes["permutation"]
            free = [permutation[axis] for axis in free]
        first = len(places)
        places += [first + sorted(free).index(axis) for axis in free]
        if inner is None:
            continue
        operands[side] = inner
        contracts[side] = tuple([permutation[axis] for axis in contract[side]])
        batches[side] = tuple([permutation[axis] for axis in batch[side]])
        absorbed = True
    if not absorbed:
        return None
    product: Value = p.dot(*operands, contract=tuple(contracts), batch=tuple(batches))
    return product if places == sorted(places) else p.transpose(product, permutation=tuple(places))


law(p.dot, dot_of_transpose)


# --- gather and scatter ----------------------------------------------------------------------------
def moved_indices(permutation: Axes, axis: int, indices: Value) -> Axes | None:
    """The permutation of the axes of `indices` that a permutation of taken rows is; None if it is none."""
    inside = range(axis, axis + indices.ndim)
    if any(place != target and place not in inside for place, target in enumerate(permutation)):
        return None
    return tuple([permutation[place] - axis for place in inside])


def transpose_of_gather(x: Value, *, permutation: Axes) -> Value | None:
    """transpose(gather(x, indices)) -> gather(x, transpose(indices)), when just axes of the indices move"""
    if x.node.primitive is not p.gather:
        return None
    table, indices = x.node.inputs
    axis: int = x.node.attributes["axis"]
    order = moved_indices(permutation, axis, indices)
    return None if order is None else p.gather(table, p.transpose(indices, permutation=order), axis=axis)


def scatter_of_transpose(x: Value, indices: Value, updates: Value, *, axis: int) -> Value | None:
    """scatter_add(x, indices, transpose(y)) -> scatter_add(x, transpose(indices), y), likewise"""
    inner = under(updates, p.transpose)
    if inner is None:
        return None
    permutation = updates.node.attributes["permutation"]
    order = moved_indices(permutation, axis, indices)
    if order is None:
        return None
    back = tuple([order.index(place) for place in range(indices.ndim)])
    return p.scatter_add(x, p.transpose(indices, permutation=back), inner, axis=axis)


law(p.transpose, transpose_of_gather)
law(p.scatter_add, scatter_of_transpose)
