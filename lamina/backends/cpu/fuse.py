"""Fusion: the graph's nodes become groups, and each group becomes one kernel.

Three kinds of groups:
    nest      pointwise work and reductions over one domain. A value is FULL (one element per point of
              the domain) or KEPT (one per point of the axes that are not reduced), so a softmax is one nest.
    contract  one matrix product, or convolution, with the pointwise work that follows it, done on the tile
              in registers.
    special   what has a loop of its own: sort, scatter, cumulative sum, argmax.

Moves are no work: `views` turns them into strides of what they read. Shapes are compared without their
extents of 1.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from lamina.backends.cpu.again import again
from lamina.backends.cpu.depthwise import unweigh_window, weigh_window
from lamina.backends.cpu.views import VIEWS, Resolver, View
from lamina.core.shapes import Shape, row_major_strides, size
from lamina.ir import primitives as p
from lamina.ir.graph import Node, Value, topological
from lamina.ir.primitives import CONTRACTS, ELEMENTWISE, REDUCES

FULL, KEPT = "full", "kept"
NEST, CONTRACT, SPECIAL = "nest", "contract", "special"

# Pointwise nodes that read stored operands at places of their own: they are fused with users, not with
# producers.
POOLING = frozenset(
    {p.max_window, p.gather_window, p.scatter_window, p.sum_window, p.spread_window}
    | {weigh_window, unweigh_window}
)
WINDOWED = frozenset({p.gather, p.pad, p.concatenate, p.random_bits}) | POOLING
SOURCES = frozenset({p.input, p.constant, p.iota})

SERIAL_POINTS = 1 << 14  # a domain this small may run on one thread
ROWS_ENOUGH = 16  # kept points from which reductions are worth fusing with their neighbours
LARGEST_GROUP = 96
LONGEST_COLUMN = 2048  # vectors that a cache still holds when a column is walked a second time


def squeeze(shape: Sequence[int]) -> Shape:
    return tuple(extent for extent in shape if extent != 1)


def scalar_constant(value: Value) -> Value | None:
    """The scalar constant that `value` is everywhere, seen through moves; None when it is something else."""
    while value.primitive in VIEWS:
        value = value.node.inputs[0]
    return value if value.primitive is p.constant and value.size == 1 else None


def occupied(view: View, shape: Sequence[int]) -> tuple[int, ...] | None:
    """Which squeezed axes of `shape` the view's root lies along, whole and in order; None if not so.

    All axes: the value is its root. Some: the root broadcast along the others.
    """
    if view.offset != 0:
        return None
    axes = [(extent, stride) for extent, stride in zip(shape, view.strides) if extent != 1]
    present = tuple(position for position, (_, stride) in enumerate(axes) if stride != 0)
    root = squeeze(view.root.shape)
    if [axes[position] for position in present] != list(zip(root, row_major_strides(root))):
        return None
    return present


@dataclass(frozen=True)
class Join:
    """A concatenation as parts: (value, elements from the start), and strides over their domain."""

    parts: tuple[tuple[Value, int], ...]
    strides: tuple[int, ...]


@dataclass(eq=False)
class Group:
    """Nodes that become one kernel. `values` maps what it computes to FULL or KEPT, operands before users.

    joins: concatenations of its values, which it writes too.
    """

    kind: str
    domain: Shape
    inner: tuple[int, ...] | None = None
    values: dict[Value, str] = field(default_factory=dict)
    head: Node | None = None
    late: bool = False
    joins: dict[Value, Join] = field(default_factory=dict)
    serial: int = field(default_factory=itertools.count().__next__)
    after: set[Group] = field(default_factory=set)

    @property
    def made_again(self) -> bool:
        """Whether it makes something again, shortly before that is read."""
        return any(value.primitive is again for value in self.values)

    @property
    def kept_axes(self) -> tuple[int, ...]:
        return tuple(axis for axis in range(len(self.domain)) if axis not in (self.inner or ()))

    @property
    def kept_shape(self) -> Shape:
        return tuple(self.domain[axis] for axis in self.kept_axes)

    def __repr__(self) -> str:
        return f"<{self.kind} {self.domain} {[value.primitive.name for value in self.values]}>"


class Fusion:
    """Groups of a program, and who computes what. Built by `fuse`."""

    def __init__(
        self, results: Iterable[Value], guards: Iterable[Value] = (), resolve: Resolver | None = None
    ) -> None:
        self.results = tuple(results)
        self.guards = {seen_through_moves(guard) for guard in guards}
        self.used: set[Value] = set(self.results)  # of the outputs of nodes that have several
        self.summed: set[Value] = set()  # what only reductions read, in the end
        self.late: set[Value] = set()  # what depends on a guard: it belongs to the commit, not to the step
        self.guarding: set[Value] = set()  # ... but not if a guard depends on it in turn
        self.resolve = resolve or Resolver()
        self._views: dict[Value, list[tuple[Value, View]]] = {}
        self.groups: list[Group] = []
        self.home: dict[Value, Group] = {}

    # -- reading -------------------------------------------------------------------------------

    def operand_views(self, value: Value) -> list[tuple[Value, View]]:
        """The operands of a value with what they are views of; scalar constants are left out."""
        found = self._views.get(value)
        if found is None:
            found = self._views[value] = [
                (operand, self.resolve(operand))
                for operand in value.node.inputs
                if scalar_constant(operand) is None
            ]
        return found

    def is_local(self, group: Group, user: Value, operand: Value) -> bool:
        """Whether `user`, in this group, takes the operand from a register of the same group."""
        if group.kind == SPECIAL or user.primitive in WINDOWED or user.node is group.head:
            return False
        view = self.resolve(operand)
        if view.root not in group.values:
            return False
        present = occupied(view, operand.shape)
        if present is None:
            return False
        whole = present == tuple(range(len(squeeze(operand.shape))))
        if group.values[view.root] == FULL:
            return whole
        return whole or present == group.kept_axes

    def reads(self, group: Group) -> dict[Value, None]:
        """The roots that the group loads from memory."""
        found: dict[Value, None] = {}
        for value in group.values:
            for operand, view in self.operand_views(value):
                if view.root.primitive is not p.iota and not self.is_local(group, value, operand):
                    found[view.root] = None
        return found

    def stored(self) -> dict[Value, None]:
        """Every computed value that must have memory: read by another group, or a result."""
        found: dict[Value, None] = {}
        for group in self.groups:
            for root in self.reads(group):
                if root.primitive not in SOURCES:
                    found[root] = None
        for result in self.results:
            root = self.resolve(result).root
            if root.primitive not in SOURCES:
                found[root] = None
        return found

    def link(self) -> None:
        """Bring `after`, the direct dependencies between groups, up to date."""
        for group in self.groups:
            group.after = {self.home[root] for root in self.reads(group) if root in self.home} - {group}

    # -- building ------------------------------------------------------------------------------

    def add(self, node: Node) -> None:
        primitive = node.primitive
        if primitive in SOURCES:
            return
        if any(operand in self.late or operand in self.guards for operand in node.inputs):
            self.late.update(output for output in node.outputs if output not in self.guarding)
        if primitive in VIEWS:
            self._add_move(node.outputs[0])
        elif primitive.has(CONTRACTS):
            self._new(CONTRACT, squeeze(node.types[0].shape), None, node.outputs[0], FULL).head = node
        elif primitive.has(REDUCES):
            self._add_reduction(node.outputs[0])
        elif primitive is p.max_window:
            self._add_maximum(node)
        elif primitive.has(ELEMENTWISE) or primitive in WINDOWED:
            self._add_pointwise(node.outputs[0])
        else:
            group = Group(SPECIAL, squeeze(node.types[0].shape), head=node)
            self.groups.append(group)
            for output in node.outputs:
                group.values[output] = FULL
                self.home[output] = group
            self._depend(group, node.inputs)

    def _add_move(self, value: Value) -> None:
        """A move that strides cannot express is a copy: a pointwise value of its own."""
        self.resolve(value)
        if value in self.resolve.copied:
            self._new(NEST, squeeze(value.node.inputs[0].shape), None, value, FULL)

    def _add_maximum(self, node: Node) -> None:
        """The maximum of a window and where it is come from one walk, if both are wanted."""
        first, *rest = [output for output in node.outputs if output in self.used]
        group = self._new(NEST, squeeze(first.shape), None, first, FULL)
        for output in rest:
            group.values[output] = FULL
            self.home[output] = group

    def _add_pointwise(self, value: Value) -> None:
        if value.primitive not in WINDOWED and value.primitive is not again:
            homes = dict.fromkeys(
                self.home[view.root]
                for _, view in self.operand_views(value)
                if view.root in self.home and self.home[view.root].kind != SPECIAL
            )
            candidates = sorted(homes, key=lambda group: (group.kind == CONTRACT, group.serial), reverse=True)
            for group in candidates:
                for other in candidates:
                    if other in self.groups and group in self.groups and other is not group:
                        self.merge(group, other)
                stays = group in self.groups and not self._is_stored_twice(group, value)
                if stays and self._join(group, value):
                    return
        self._new(NEST, squeeze(value.shape), None, value, FULL)

    def _is_stored_twice(self, group: Group, value: Value) -> bool:
        """Whether a product would store a value only for reductions, beside what they can make it from."""
        return (
            group.kind == CONTRACT
            and value in self.summed
            and any(
                view.root in group.values and view.root not in self.summed
                for _, view in self.operand_views(value)
            )
        )

    def _add_reduction(self, value: Value) -> None:
        operand = value.node.inputs[0]
        domain = squeeze(operand.shape)
        reduced = [axis for axis in value.node.attributes["axes"] if operand.shape[axis] != 1]
        places = [axis for axis, extent in enumerate(operand.shape) if extent != 1]
        inner = tuple(places.index(axis) for axis in reduced)
        if not inner:
            self._add_pointwise(value)
            return
        view = self.resolve(operand)
        group = self.home.get(view.root)
        joins = (
            group is not None
            and group.kind == NEST
            and group.domain == domain
            and group.values.get(view.root) == FULL
            and group.inner in (None, inner)
            and occupied(view, operand.shape) == tuple(range(len(domain)))
            and _rows_worthwhile(domain, inner)
            and len(group.values) < LARGEST_GROUP
            and group.late == (value in self.late)
        )
        if group is not None and joins:
            group.inner = inner
            group.values[value] = KEPT
            self.home[value] = group
            return
        self._new(NEST, domain, inner, value, KEPT)

    def _join(self, group: Group, value: Value) -> bool:
        """Put a pointwise value into `group` if every rule allows it."""
        if group.late != (value in self.late) or len(group.values) >= LARGEST_GROUP:
            return False
        level = self._level_in(group, value)
        if level is None:
            return False
        outside: set[Group] = set()
        for operand, view in self.operand_views(value):
            home = self.home.get(view.root)
            if home is None:
                continue
            if home is group:
                # A value of this group read across other points has to be finished first.
                present = occupied(view, operand.shape)
                if present is None:
                    return False
            else:
                outside.add(home)
        if any(self._reaches(group, other) for other in outside):
            return False
        if group.kind == CONTRACT and not self.fits_tile(group, value):
            return False
        group.values[value] = level
        group.after |= outside
        self.home[value] = group
        return True

    def _level_in(self, group: Group, value: Value) -> str | None:
        """FULL or KEPT if `value` can be computed at the points of `group`, where its operands are; else
        None.
        """
        shape = squeeze(value.shape)
        everywhere = tuple(range(len(shape)))
        levels: set[str] = set()
        grow: tuple[int, ...] | None = None
        for operand, view in self.operand_views(value):
            if view.root not in group.values:
                continue
            present = occupied(view, operand.shape)
            if present is None:
                return None
            level = group.values[view.root]
            if present == everywhere and shape == (group.domain if level == FULL else group.kept_shape):
                levels.add(level)
            elif level == KEPT and shape == group.domain and present == group.kept_axes:
                if _walks_far(group):
                    return None
                levels.add(FULL)
            elif level == FULL and group.inner is None and group.kind == NEST and grow in (None, present):
                grow = present
            else:
                return None
        if grow is not None:
            inner = tuple(axis for axis in everywhere if axis not in grow)
            if levels or not inner or not group.domain or not _rows_worthwhile(shape, inner):
                return None
            group.domain, group.inner = shape, inner
            group.values = dict.fromkeys(group.values, KEPT)
            return FULL
        if len(levels) == 2:
            # Full and kept operands meet: the result is full, if the kept ones were broadcast to get here.
            return FULL if shape == group.domain and group.domain != group.kept_shape else None
        return levels.pop() if levels else None

    def fits_tile(self, group: Group, value: Value) -> bool:
        """Whether all loads of `value` can be addressed by (batch, row, column) of the product."""
        assert group.head is not None
        sections = tile_sections(group.head)
        for operand, view in self.operand_views(value):
            if view.root in group.values:
                continue
            axes = [(extent, stride) for extent, stride in zip(operand.shape, view.strides) if extent != 1]
            if len(axes) != len(group.domain):
                return False
            for first, last in sections:
                if collapse(axes[first:last]) is None:
                    return False
        return True

    def merge(self, group: Group, other: Group) -> bool:
        """Make two nests over the same domain one, unless a third group has to run between them."""
        if (
            group.kind != NEST
            or other.kind != NEST
            or group.domain != other.domain
            or group.late != other.late
            or group.made_again
            or other.made_again
        ):
            return False
        if group.inner != other.inner and None not in (group.inner, other.inner):
            return False
        if len(group.values) + len(other.values) > LARGEST_GROUP:
            return False
        inner = group.inner if group.inner is not None else other.inner
        if inner is not None and not _rows_worthwhile(group.domain, inner):
            return False
        for first, second in ((group, other), (other, group)):
            if any(between is not first and self._reaches(first, between) for between in second.after):
                return False
            if first in second.after and not self._aligned(first, second):
                return False
        other.values |= {value: level for value, level in group.values.items() if value not in other.values}
        group.values = dict(sorted(other.values.items(), key=lambda item: item[0].node.serial))
        group.inner = inner
        group.after = (group.after | other.after) - {group, other}
        for value in group.values:
            if self.home.get(value) is other:
                self.home[value] = group
        self.groups.remove(other)
        for third in self.groups:
            if other in third.after:
                third.after = (third.after - {other}) | {group}
        return True

    def _aligned(self, producer: Group, consumer: Group) -> bool:
        """Whether everything `consumer` reads of `producer` is at the same point of their common domain."""
        for value in consumer.values:
            for operand, view in self.operand_views(value):
                if view.root not in producer.values or self.is_local(consumer, value, operand):
                    continue
                if value.primitive in WINDOWED:
                    return False
                present = occupied(view, operand.shape)
                if present != tuple(range(len(squeeze(operand.shape)))):
                    return False
                if squeeze(operand.shape) != producer.domain or producer.values[view.root] != FULL:
                    return False
        return True

    def _reaches(self, start: Group, end: Group) -> bool:
        """Whether `end` depends on `start`, directly or not (a group reaches itself)."""
        stack, seen = [end], {end}
        while stack:
            group = stack.pop()
            if group is start:
                return True
            for earlier in group.after:
                if earlier not in seen:
                    seen.add(earlier)
                    stack.append(earlier)
        return False

    def _new(
        self, kind: str, domain: Shape, inner: tuple[int, ...] | None, value: Value, level: str
    ) -> Group:
        group = Group(kind, domain, inner, {value: level}, late=value in self.late)
        self.groups.append(group)
        self.home[value] = group
        self._depend(group, value.node.inputs)
        return group

    def _depend(self, group: Group, operands: Iterable[Value]) -> None:
        for operand in operands:
            home = self.home.get(self.resolve(operand).root)
            if home is not None and home is not group:
                group.after.add(home)


def seen_through_moves(value: Value) -> Value:
    while value.primitive in VIEWS:
        value = value.node.inputs[0]
    return value


def fuse(results: Sequence[Value], guards: Sequence[Value] = (), resolve: Resolver | None = None) -> Fusion:
    """Group everything that the results and the guards are made of. All of these get memory.

    resolve: knows what the inputs of a nested graph are views of.
    """
    from lamina.backends.cpu.repeat import repeat_cheap_work

    fusion = Fusion([*results, *guards], guards, resolve)
    nodes = topological(fusion.results)
    fusion.used.update(operand for node in nodes for operand in node.inputs)
    fusion.summed = _only_summed(nodes, fusion.results)
    fusion.guarding = {output for node in topological(fusion.guards) for output in node.outputs}
    for node in nodes:
        fusion.add(node)
    repeat_cheap_work(fusion)
    fusion.link()
    _merge_siblings(fusion)
    fusion.link()
    return fusion


def _only_summed(nodes: Sequence[Node], results: Sequence[Value]) -> set[Value]:
    """The values that nobody reads but reductions, and pointwise work that nobody reads but reductions."""
    found: set[Value] = set()
    otherwise = set(results)
    for node in reversed(nodes):
        if not otherwise.isdisjoint(node.outputs) or not node.primitive.has(ELEMENTWISE):
            if not node.primitive.has(REDUCES):
                otherwise.update(node.inputs)
        else:
            found.update(node.outputs)
    return found


def _merge_siblings(fusion: Fusion) -> None:
    """Join nests over one domain that read the same memory, and all the work on scalars."""
    by_domain: dict[tuple[Shape, tuple[int, ...] | None], list[Group]] = {}
    for group in fusion.groups:
        if group.kind == NEST:
            by_domain.setdefault((group.domain, group.inner), []).append(group)
    for (domain, _), members in by_domain.items():
        large = {group: {root for root in fusion.reads(group) if root.size > 1} for group in members}
        gone: set[Group] = set()
        for first, second in itertools.combinations(members, 2):
            if first in gone or second in gone:
                continue
            if (size(domain) == 1 or large[first] & large[second]) and fusion.merge(first, second):
                gone.add(second)
                large[first] |= large[second]


def tile_sections(head: Node) -> list[tuple[int, int]]:
    """The squeezed axes of a product that are batch, rows and columns, as ranges."""
    shape = head.types[0].shape
    batch, columns = 0, 1
    if head.primitive is p.dot:
        _, right = head.inputs
        batch = len(head.attributes["batch"][0])
        columns = right.ndim - batch - len(head.attributes["contract"][1])
    elif head.attributes.get("parts"):
        batch = 1
    bounds = [0, batch, len(shape) - columns, len(shape)]
    counts = [len(squeeze(shape[:bound])) for bound in bounds]
    return list(itertools.pairwise(counts))


def collapse(axes: Sequence[tuple[int, int]]) -> int | None:
    """The one stride with which several (extent, stride) axes can be walked as one; None if there is none."""
    axes = [(extent, stride) for extent, stride in axes if extent != 1]
    if not axes:
        return 0
    for (_, outer), (extent, inner) in itertools.pairwise(axes):
        if outer != extent * inner:
            return None
    return axes[-1][1]


def _rows_worthwhile(domain: Shape, inner: tuple[int, ...]) -> bool:
    kept = size([extent for axis, extent in enumerate(domain) if axis not in inner])
    return size(domain) <= SERIAL_POINTS or kept >= ROWS_ENOUGH


def _walks_far(group: Group) -> bool:
    """Whether a second walk along the reduced axes, vector by vector down the columns, starts from memory."""
    inner = group.inner or ()
    last = len(group.domain) - 1
    return last not in inner and size([group.domain[axis] for axis in inner]) > LONGEST_COLUMN
