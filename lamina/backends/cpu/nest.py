"""IR 2: loop nests. A nest says what is computed at each point of a domain, and where it is read and written.

Grammar:
    Nest      ::= (axes: Axis*, statements: Statement*, stores: Store*)
    Axis      ::= (extent, inner?)                       inner axes are reduced, the others are kept
    Statement ::= (value, operation, operands, level, stage)
    Operand   ::= Statement | Leaf
    Leaf      ::= Number | Load(root, Place) | Count(Place) | Bits(key, Place)
                | Gather(root, Place, step, extent, Leaf) | Pieces(Piece*, Leaf)
                | Window(kind, Seen, Seen?, Seen?, Slide*)
    Piece     ::= (root, offset, Bound*)                 a stored tensor inside a larger, filled one
    Seen      ::= (root, Place, step*)                   a stored tensor that windows see, a step per Slide
    Slide     ::= (axis, size, stride, low, dilation, extent, reaches?)
    Store     ::= (value, root, Place)
    Place     ::= offset + sum(stride * index) over the axes

The inner axes are run through once per stage: what a reduction gives is known from the next stage on.
Several adjacent axes that every place walks through as one are made one.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from lamina.backends.cpu.fuse import (
    FULL,
    KEPT,
)
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


@dataclass(frozen=True)
class Slide:
    """A spatial axis of a window: `axis` of the domain (None where that has one point), and the window's
    size, stride, padding before, and dilation.

    extent: of what is read. reaches: whether some window reaches over the edge.
    """

    axis: int | None
    size: int
    stride: int
    low: int
    dilation: int
    extent: int
    reaches: bool


@dataclass(frozen=True)
class Seen:
    """A stored tensor that a window sees, or that is seen by windows.

    steps: how far apart its elements lie along each slide. place: where the first tap of a window lies; along
    slides that reach over the edge, and looking back, the walk adds what is missing.
    """

    root: Value
    place: Place
    steps: tuple[int, ...]
    dtype: str


@dataclass(frozen=True)
class Window:
    """What a window sees from a point ("max", "index", "gather", "sum", "weigh"), or what is sent to a point
    by the windows that see it ("scatter", "spread", "unweigh").

    index: which tap counts. weights: of the taps; its steps are from tap to tap. tracked: for "max", whether
    its "index" is wanted too, so that both come from one walk.
    """

    kind: str
    source: Seen
    index: Seen | None
    weights: Seen | None
    slides: tuple[Slide, ...]
    tracked: bool = False

    @property
    def seen(self) -> tuple[Seen, ...]:
        return tuple(seen for seen in (self.source, self.index, self.weights) if seen is not None)


Leaf = Number | Load | Count | Bits | Gather | Pieces | Window


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

    @property
    def slid(self) -> set[int]:
        """The axes along which windows move."""
        windows = [leaf for leaf in self.leaves() if isinstance(leaf, Window)]
        return {slide.axis for leaf in windows for slide in leaf.slides if slide.axis is not None}

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
    elif isinstance(leaf, Window):
        for seen in leaf.seen:
            yield seen.place


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
    elif isinstance(leaf, Window):
        for seen in leaf.seen:
            yield seen.root


def _leaf_text(leaf: Any) -> str:
    if isinstance(leaf, Number):
        return f"{leaf.value}"
    if isinstance(leaf, Load):
        return f"{leaf.root.primitive.name}[{leaf.place.offset}+{leaf.place.strides}]"
    if isinstance(leaf, Window):
        sizes = " x ".join(str(slide.size) for slide in leaf.slides)
        return f"{sizes} of {leaf.source.root.primitive.name}"
    return type(leaf).__name__.lower()


def merge_axes(nest: Nest, rows_apart: bool = False) -> Nest:
    """Make adjacent axes one where every place allows it; `rows_apart` leaves the first one as it is."""
    rank = len(nest.axes)
    bounded = {
        axis
        for leaf in nest.leaves()
        if isinstance(leaf, Pieces)
        for piece in leaf.pieces
        for axis in _bounded_axes(piece, nest.axes)
    } | nest.slid
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
        joins = joins and axis not in bounded and axis - 1 not in bounded and not (rows_apart and axis == 1)
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

    merged = {axis: position for position, members in enumerate(groups) for axis in members}

    def on_window(window: Window) -> Window:
        slides = (
            replace(slide, axis=None if slide.axis is None else merged[slide.axis]) for slide in window.slides
        )
        source, index, weights = (
            seen and replace(seen, place=on_place(seen.place))
            for seen in (window.source, window.index, window.weights)
        )
        assert source is not None
        return replace(window, source=source, index=index, weights=weights, slides=tuple(slides))

    statements = _rewrite_leaves(nest.statements, on_place, on_piece, on_window)
    stores = [replace(store, place=on_place(store.place)) for store in nest.stores]
    return Nest(tuple(axes), statements, stores)


def _bounded_axes(piece: Piece, axes: Sequence[Axis]) -> Iterator[int]:
    for bound in piece.bounds:
        if bound.low or bound.every != 1 or bound.count != axes[bound.axis].extent:
            yield bound.axis


def _rewrite_leaves(
    statements: Sequence[Statement],
    on_place: Callable[[Place], Place],
    on_piece: Callable[[Piece], Piece],
    on_window: Callable[[Window], Window],
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
        return on_window(operand) if isinstance(operand, Window) else operand

    for statement in statements:
        operands = tuple(
            new[id(operand)] if isinstance(operand, Statement) else leaf(operand)
            for operand in statement.operands
        )
        new[id(statement)] = Statement(
            statement.value, statement.operation, operands, statement.level, statement.stage
        )
    return [new[id(statement)] for statement in statements]
