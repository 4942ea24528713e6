"""IR 2: loop nests. A nest says what is computed at each point of a domain, and where it is read and written.

Grammar:
    Nest      ::= (axes: Axis*, statements: Statement*, stores: Store*)
    Axis      ::= (extent, inner?)                       inner axes are reduced, the others are kept
    Statement ::= (value, operation, operands, level, stage)
    Operand   ::= Statement | Leaf
    Leaf      ::= Number | Load(root, Place) | Count(Place) | Bits(key, Place)
                | Gather(root, Place, step, extent, Leaf) | Pieces(Piece*, Leaf)
    Piece     ::= (root, offset, Bound*)                 a stored tensor inside a larger, filled one
    Store     ::= (value, root, Place)
    Place     ::= offset + sum(stride * index) over the axes

The inner axes are run through once per stage: what a reduction gives is known from the next stage on.
Several adjacent axes
that every place walks through as one are made one.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from lamina.backends.cpu.fuse import (
    FULL,
    KEPT,
    Fusion,
    Group,
    collapse,
    scalar_constant,
    squeeze,
    tile_sections,
)
from lamina.backends.cpu.views import View
from lamina.core.shapes import row_major_strides
from lamina.ir import primitives as p
from lamina.ir.graph import Value
from lamina.ir.primitives import REDUCES, Primitive


@dataclass(frozen=True)
class Axis:
    extent: int
    inner: bool


@dataclass(frozen=True)
class Place:
    """An affine function of the indices: an address in elements, or a count."""

    offset: int
    strides: tuple[int, ...]


@dataclass(frozen=True)
class Number:
    value: Any
    dtype: str


@dataclass(frozen=True)
class Load:
    root: Value
    place: Place
    dtype: str


@dataclass(frozen=True)
class Count:
    """The place itself, as a number: an iota."""

    place: Place
    dtype: str


@dataclass(frozen=True)
class Bits:
    """Random bits of the element counted by `place`; `key` is two words in memory."""

    key: Value
    key_offset: int
    key_stride: int
    place: Place


@dataclass(frozen=True)
class Gather:
    """root[place + step * clamp(index, 0, extent - 1)]."""

    root: Value
    place: Place
    step: int
    extent: int
    index: Load | Count | Number
    dtype: str


@dataclass(frozen=True)
class Bound:
    """On `axis`, elements low, low + every, ... (`count` of them) come from the piece, `stride` apart."""

    axis: int
    low: int
    every: int
    count: int
    stride: int


@dataclass(frozen=True)
class Piece:
    root: Value
    offset: int
    bounds: tuple[Bound, ...]
    dtype: str


@dataclass(frozen=True)
class Pieces:
    """The first piece that covers the point, else `fill`."""

    pieces: tuple[Piece, ...]
    fill: Number | Load


Leaf = Number | Load | Count | Bits | Gather | Pieces


@dataclass(eq=False)
class Statement:
    """One value. `stage`: full values are computed in the loop of that stage, kept ones before it."""

    value: Value
    operation: Primitive
    operands: tuple[Statement | Leaf, ...]
    level: str
    stage: int

    @property
    def reduces(self) -> bool:
        return (
            self.operation.has(REDUCES)
            and self.level == KEPT
            and not (isinstance(self.operands[0], Statement) and self.operands[0].level == KEPT)
        )


@dataclass(frozen=True)
class Store:
    value: Value
    root: Value
    place: Place
    guarded: bool = False


@dataclass
class Nest:
    axes: tuple[Axis, ...]
    statements: list[Statement]
    stores: list[Store]

    @property
    def stages(self) -> int:
        """How often the inner axes are run through."""
        last = 0
        for statement in self.statements:
            if statement.level == FULL:
                last = max(last, statement.stage + 1)
            elif statement.reduces:
                last = max(last, statement.stage)
        return last

    def places(self) -> Iterator[Place]:
        for leaf in self.leaves():
            yield from leaf_places(leaf)
        for store in self.stores:
            yield store.place

    def leaves(self) -> Iterator[Leaf]:
        for statement in self.statements:
            for operand in statement.operands:
                if not isinstance(operand, Statement):
                    yield operand

    def roots(self) -> dict[Value, None]:
        """Everything in memory that the nest touches: loads first, then stores, in order of appearance."""
        found: dict[Value, None] = {}
        for leaf in self.leaves():
            found.update(dict.fromkeys(leaf_roots(leaf)))
        found.update((store.root, None) for store in self.stores)
        return found

    def text(self) -> str:
        """The nest for a person to read."""
        names: dict[int, str] = {}
        axes = " ".join(f"{'for' if axis.inner else 'each'} {axis.extent}" for axis in self.axes)
        lines = [f"nest {axes or 'scalar'}"]
        for position, statement in enumerate(self.statements):
            names[id(statement)] = f"v{position}"
            shown = ", ".join(names.get(id(operand), _leaf_text(operand)) for operand in statement.operands)
            lines.append(
                f"  {statement.level} {statement.stage}: v{position} = {statement.operation.name}({shown})"
                f" : {statement.value.type}"
            )
        for store in self.stores:
            position = next(i for i, entry in enumerate(self.statements) if entry.value is store.value)
            lines.append(f"  store v{position} at {store.place.offset}+{store.place.strides}")
        return "\n".join(lines)


def leaf_places(leaf: Leaf) -> Iterator[Place]:
    if isinstance(leaf, (Load, Count, Bits)):
        yield leaf.place
    elif isinstance(leaf, Gather):
        yield leaf.place
        yield from leaf_places(leaf.index)
    elif isinstance(leaf, Pieces):
        yield from leaf_places(leaf.fill)


def leaf_roots(leaf: Leaf) -> Iterator[Value]:
    if isinstance(leaf, Load):
        yield leaf.root
    elif isinstance(leaf, Bits):
        yield leaf.key
    elif isinstance(leaf, Gather):
        yield leaf.root
        yield from leaf_roots(leaf.index)
    elif isinstance(leaf, Pieces):
        yield from leaf_roots(leaf.fill)
        for piece in leaf.pieces:
            yield piece.root


def _leaf_text(leaf: Any) -> str:
    if isinstance(leaf, Number):
        return f"{leaf.value}"
    if isinstance(leaf, Load):
        return f"{leaf.root.primitive.name}[{leaf.place.offset}+{leaf.place.strides}]"
    return type(leaf).__name__.lower()


# --- from groups to nests --------------------------------------------------------------------------


class Describer:
    """Writes a group of a fusion down as a nest."""

    def __init__(self, fusion: Fusion, group: Group) -> None:
        self.fusion = fusion
        self.group = group
        self.rank = len(group.domain)

    def nest(self, stored: Iterable[tuple[Value, Value]], guards: Iterable[Value]) -> Nest:
        """stored: (value, root to write it to) for every value of the group that needs memory."""
        statements = self.statements()
        guarded = set(guards)
        stores = [
            Store(value, root, self.place_of(self.group.values[value]), value in guarded)
            for value, root in stored
        ]
        axes = [
            Axis(extent, axis in (self.group.inner or ())) for axis, extent in enumerate(self.group.domain)
        ]
        return merge_axes(Nest(tuple(axes), statements, stores))

    def place_of(self, level: str) -> Place:
        """Where a value of that level lies in its own memory."""
        if level == FULL:
            return Place(0, row_major_strides(self.group.domain))
        strides = [0] * self.rank
        for axis, stride in zip(self.group.kept_axes, row_major_strides(self.group.kept_shape)):
            strides[axis] = stride
        return Place(0, tuple(strides))

    def statements(self, known: dict[Value, Statement] | None = None) -> list[Statement]:
        """The group's values in order; `known` gives values that are there already (a product's tile)."""
        made: dict[Value, Statement] = dict(known or {})
        for value, level in self.group.values.items():
            if value in made:
                continue
            operands = tuple(
                self._operand(value, position, made) for position in range(len(value.node.inputs))
            )
            if value.primitive in (p.gather, p.pad, p.concatenate, p.random_bits):
                operands = (self._windowed(value),)
            stage = 0
            for operand in operands:
                if isinstance(operand, Statement):
                    stage = max(stage, operand.stage)
            statement = Statement(value, value.primitive, operands, level, stage)
            if statement.reduces:
                statement.stage = stage + 1
            made[value] = statement
        return [made[value] for value in self.group.values]

    def _operand(self, user: Value, position: int, made: dict[Value, Statement]) -> Statement | Leaf:
        if user.primitive in (p.gather, p.pad, p.concatenate, p.random_bits):
            return Number(0, "int32")  # replaced by the windowed leaf
        operand = user.node.inputs[position]
        number = scalar_constant(operand)
        if number is not None:
            return Number(
                number.constant.reshape(()).item() if number.constant is not None else 0, operand.dtype
            )
        view = self.fusion.resolve(operand)
        if self.fusion.is_local(self.group, user, operand):
            return made[view.root]
        level = (
            FULL if squeeze(operand.shape) == self.group.domain and not self._is_kept(user, operand) else KEPT
        )
        return self.leaf(operand, view, level)

    def _is_kept(self, user: Value, operand: Value) -> bool:
        """A pointwise kept value reads its operands at the kept axes, a reduction at the whole domain."""
        return self.group.values[user] == KEPT and squeeze(user.shape) == squeeze(operand.shape)

    def leaf(self, operand: Value, view: View, level: str) -> Load | Count:
        place = Place(view.offset, self.spread(operand.shape, view.strides, level))
        if view.root.primitive is p.iota:
            return Count(place, operand.dtype)
        return Load(view.root, place, operand.dtype)

    def spread(self, shape: Sequence[int], strides: Sequence[int], level: str) -> tuple[int, ...]:
        """Strides over the axes of a value as strides over the domain."""
        used = [stride for extent, stride in zip(shape, strides) if extent != 1]
        if level == FULL:
            return tuple(used)
        result = [0] * self.rank
        for axis, stride in zip(self.group.kept_axes, used):
            result[axis] = stride
        return tuple(result)

    def _windowed(self, value: Value) -> Leaf:
        node, resolve = value.node, self.fusion.resolve
        if value.primitive is p.random_bits:
            view = resolve(node.inputs[0])
            place = Place(0, self._along(value, row_major_strides(value.shape)))
            return Bits(view.root, view.offset, view.strides[0], place)
        if value.primitive is p.gather:
            return self._gather(value)
        if value.primitive is p.pad:
            operand, fill = node.inputs
            attributes = node.attributes
            widths = zip(attributes["low"], attributes["interior"])
            piece = self._piece(value, operand, [(low, between + 1) for low, between in widths])
            return Pieces((piece,) if operand.size else (), self._scalar(fill))
        axis, start, pieces = node.attributes["axis"], 0, []
        for operand in node.inputs:
            if operand.size:
                places = [(start if position == axis else 0, 1) for position in range(value.ndim)]
                pieces.append(self._piece(value, operand, places))
            start += operand.shape[axis]
        return Pieces(tuple(pieces), Number(0, value.dtype))

    def _scalar(self, operand: Value) -> Number | Load:
        number = scalar_constant(operand)
        if number is not None and number.constant is not None:
            return Number(number.constant.reshape(()).item(), operand.dtype)
        view = self.fusion.resolve(operand)
        return Load(view.root, Place(view.offset, (0,) * self.rank), operand.dtype)

    def _along(self, value: Value, strides: Sequence[int]) -> tuple[int, ...]:
        """Strides over the axes of one of the group's values as strides over the domain."""
        return self.spread(value.shape, strides, self.group.values[value])

    def _piece(self, value: Value, operand: Value, places: Sequence[tuple[int, int]]) -> Piece:
        view = self.fusion.resolve(operand)
        group = self.group
        bounds = [Bound(axis, 0, 1, extent, 0) for axis, extent in enumerate(group.domain)]
        axes = iter(range(self.rank) if group.values[value] == FULL else group.kept_axes)
        for extent, own, stride, (low, every) in zip(value.shape, operand.shape, view.strides, places):
            if extent != 1:
                axis = next(axes)
                bounds[axis] = Bound(axis, low, every, own, stride)
        return Piece(view.root, view.offset, tuple(bounds), value.dtype)

    def _gather(self, value: Value) -> Leaf:
        operand, indices = value.node.inputs
        axis = value.node.attributes["axis"]
        view = self.fusion.resolve(operand)
        around = indices.ndim
        strides = (*view.strides[:axis], *(0 for _ in range(around)), *view.strides[axis + 1 :])
        place = Place(view.offset, self._along(value, strides))
        number = scalar_constant(indices)
        index: Load | Count | Number
        if number is not None and number.constant is not None:
            index = Number(number.constant.reshape(()).item(), indices.dtype)
        else:
            index_view = self.fusion.resolve(indices)
            before, after = axis, value.ndim - axis - around
            index_strides = ((0,) * before) + index_view.strides + ((0,) * after)
            index_place = Place(index_view.offset, self._along(value, index_strides))
            if index_view.root.primitive is p.iota:
                index = Count(index_place, indices.dtype)
            else:
                index = Load(index_view.root, index_place, indices.dtype)
        return Gather(view.root, place, view.strides[axis], operand.shape[axis], index, value.dtype)


def tile_strides(group: Group, place: Place) -> tuple[int, int, int]:
    """A place over the domain of a product as strides over (batch, row, column); the fusion has checked it
    exists.
    """
    assert group.head is not None
    found = []
    for first, last in tile_sections(group.head):
        stride = collapse(list(zip(group.domain, place.strides))[first:last])
        assert stride is not None
        found.append(stride)
    return found[0], found[1], found[2]


def merge_axes(nest: Nest) -> Nest:
    """Make adjacent axes one where every place allows it."""
    rank = len(nest.axes)
    bounded = {
        axis
        for leaf in nest.leaves()
        if isinstance(leaf, Pieces)
        for piece in leaf.pieces
        for axis in _bounded_axes(piece, nest.axes)
    }
    places = list(nest.places())
    piece_strides = [
        tuple(bound.stride for bound in piece.bounds)
        for leaf in nest.leaves()
        if isinstance(leaf, Pieces)
        for piece in leaf.pieces
    ]
    groups: list[list[int]] = []
    for axis in range(rank):
        joins = bool(groups) and nest.axes[axis].inner == nest.axes[axis - 1].inner
        joins = joins and axis not in bounded and axis - 1 not in bounded
        extent = nest.axes[axis].extent
        strides = itertools.chain((place.strides for place in places), piece_strides)
        if joins and all(entry[axis - 1] == entry[axis] * extent for entry in strides):
            groups[-1].append(axis)
        else:
            groups.append([axis])
    if len(groups) == rank:
        return nest

    def on_place(place: Place) -> Place:
        return Place(place.offset, tuple(place.strides[members[-1]] for members in groups))

    axes = []
    for members in groups:
        extent = 1
        for axis in members:
            extent *= nest.axes[axis].extent
        axes.append(Axis(extent, nest.axes[members[0]].inner))

    def on_piece(piece: Piece) -> Piece:
        bounds = []
        for position, members in enumerate(groups):
            bound = piece.bounds[members[-1]]
            count = bound.count if len(members) == 1 else axes[position].extent
            bounds.append(replace(bound, axis=position, count=count))
        return replace(piece, bounds=tuple(bounds))

    statements = _rewrite_leaves(nest.statements, on_place, on_piece)
    stores = [replace(store, place=on_place(store.place)) for store in nest.stores]
    return Nest(tuple(axes), statements, stores)


def _bounded_axes(piece: Piece, axes: Sequence[Axis]) -> Iterator[int]:
    for bound in piece.bounds:
        if bound.low or bound.every != 1 or bound.count != axes[bound.axis].extent:
            yield bound.axis


def _rewrite_leaves(
    statements: Sequence[Statement], on_place: Callable[[Place], Place], on_piece: Callable[[Piece], Piece]
) -> list[Statement]:
    new: dict[int, Statement] = {}

    def leaf(operand: Leaf) -> Leaf:
        if isinstance(operand, (Load, Count, Bits)):
            return replace(operand, place=on_place(operand.place))
        if isinstance(operand, Gather):
            index = leaf(operand.index)
            assert isinstance(index, (Load, Count, Number))
            return replace(operand, place=on_place(operand.place), index=index)
        if isinstance(operand, Pieces):
            fill = leaf(operand.fill)
            assert isinstance(fill, (Number, Load))
            return Pieces(tuple(map(on_piece, operand.pieces)), fill)
        return operand

    for statement in statements:
        operands = tuple(
            new[id(operand)] if isinstance(operand, Statement) else leaf(operand)
            for operand in statement.operands
        )
        new[id(statement)] = Statement(
            statement.value, statement.operation, operands, statement.level, statement.stage
        )
    return [new[id(statement)] for statement in statements]


def copy_nest(source: Value, view: View, root: Value, place: Place | None = None) -> Nest:
    """A nest that copies what `view` sees of a value to the memory of `root`."""
    domain = squeeze(source.shape)
    strides = tuple(stride for extent, stride in zip(source.shape, view.strides) if extent != 1)
    leaf: Leaf
    number = scalar_constant(source)
    if number is not None and number.constant is not None:
        leaf = Number(number.constant.reshape(()).item(), source.dtype)
    elif view.root.primitive is p.iota:
        leaf = Count(Place(view.offset, strides), source.dtype)
    else:
        leaf = Load(view.root, Place(view.offset, strides), source.dtype)
    statement = Statement(source, p.stop_gradient, (leaf,), FULL, 0)
    store = Store(source, root, place or Place(0, row_major_strides(domain)))
    return merge_axes(Nest(tuple(Axis(extent, False) for extent in domain), [statement], [store]))
