"""From fused groups to nests: where every operand of every value is read, and where results are written."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from lamina.backends.cpu.fuse import (
    FULL,
    KEPT,
    POOLING,
    WINDOWED,
    Fusion,
    Group,
    collapse,
    scalar_constant,
    squeeze,
    tile_sections,
)
from lamina.backends.cpu.nest import (
    Axis,
    Bits,
    Bound,
    Count,
    Gather,
    Leaf,
    Load,
    Nest,
    Number,
    Piece,
    Pieces,
    Place,
    Seen,
    Slide,
    Statement,
    Store,
    Window,
    merge_axes,
)
from lamina.backends.cpu.views import View
from lamina.core.shapes import row_major_strides
from lamina.ir import primitives as p
from lamina.ir.graph import Value


class Describer:
    """Writes a group of a fusion down as a nest."""

    def __init__(self, fusion: Fusion, group: Group) -> None:
        self.fusion = fusion
        self.group = group
        self.rank = len(group.domain)

    def nest(
        self, stored: Iterable[tuple[Value, Value]], guards: Iterable[Value], rows_apart: bool = False
    ) -> Nest:
        """stored: (value, root to write it to) for every value of the group that needs memory."""
        statements = self.statements()
        guarded = set(guards)
        stores = [store for value, root in stored for store in self._stores(value, root, value in guarded)]
        axes = [
            Axis(extent, axis in (self.group.inner or ())) for axis, extent in enumerate(self.group.domain)
        ]
        return merge_axes(Nest(tuple(axes), statements, stores), rows_apart)

    def _stores(self, value: Value, root: Value, guarded: bool) -> list[Store]:
        join = self.group.joins.get(value)
        if join is None:
            return [Store(value, root, self.place_of(self.group.values[value]), guarded)]
        return [Store(part, root, Place(offset, join.strides), guarded) for part, offset in join.parts]

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
            if value.primitive in WINDOWED:
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
        if user.primitive in WINDOWED:
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
        if value.primitive in POOLING:
            return self._window(value)
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
        spots = zip(self._axes(value), operand.shape, view.strides, places)
        for axis, own, stride, (low, every) in spots:
            if axis is not None:
                bounds[axis] = Bound(axis, low, every, own, stride)
        return Piece(view.root, view.offset, tuple(bounds), value.dtype)

    def _axes(self, value: Value) -> list[int | None]:
        """The axis of the domain for each of a value's axes; None for an extent of 1."""
        axes = iter(range(self.rank) if self.group.values[value] == FULL else self.group.kept_axes)
        return [None if extent == 1 else next(axes) for extent in value.shape]

    def _window(self, value: Value) -> Window:
        """A value of the section `window`: its slides, and what they see of its operands."""
        node = value.node
        kind = ("max", "index")[value.index] if node.primitive is p.max_window else node.primitive.name[:-7]
        is_back = "shape" in node.attributes
        how = (node.attributes[name] for name in ("sizes", "strides", "padding", "dilation"))
        slides = tuple(
            Slide(
                axis,
                size,
                stride,
                low,
                dilation,
                extent,
                _reaches(size, stride, low, dilation, extent, count),
            )
            for axis, count, size, stride, (low, _), dilation, extent in zip(
                self._axes(value)[1:-1], value.shape[1:-1], *how, node.inputs[0].shape[1:-1]
            )
        )
        if is_back:  # which windows see a point follows from its indices, for the index as for the source
            along = again = [0] * len(slides)
        else:
            along, again = [0 if slide.reaches else slide.stride for slide in slides], [1] * len(slides)
        source, second = self._seen(value, node.inputs[0], along), node.inputs[-1]
        index = weights = None
        if kind in ("weigh", "unweigh"):
            view = self.fusion.resolve(second)
            places = self._along(value, (*(0 for _ in value.shape[:-1]), view.strides[-1]))
            weights = Seen(view.root, Place(view.offset, places), view.strides[:-1], second.dtype)
        elif kind in ("gather", "scatter"):
            index = self._seen(value, second, again)
        tracked = kind == "index" or (kind == "max" and node.outputs[1] in self.group.values)
        return Window(kind, source, index, weights, slides, tracked)

    def _seen(self, value: Value, operand: Value, times: Sequence[int]) -> Seen:
        """An operand of a window; from point to point along a slide its place moves `times` elements."""
        view = self.fusion.resolve(operand)
        steps = view.strides[1:-1]
        moves = (step * count for step, count in zip(steps, times))
        place = Place(view.offset, self._along(value, (view.strides[0], *moves, view.strides[-1])))
        return Seen(view.root, place, steps, operand.dtype)

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


def _reaches(size: int, stride: int, low: int, dilation: int, extent: int, count: int) -> bool:
    """Whether one of `count` places of a window lies partly over the edge."""
    return low > 0 or (count - 1) * stride + (size - 1) * dilation >= extent


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
