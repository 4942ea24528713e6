"""A matrix product or a convolution and what follows it, as one kernel: the epilogue works on the tile
while it is in registers.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from lamina.backends.cpu import contract, convolve, convolve_nodes, points
from lamina.backends.cpu.contract import ContractPlan, ContractSpec
from lamina.backends.cpu.contract import Place as TilePlace
from lamina.backends.cpu.contract_plan import DIRECT, TilePlan
from lamina.backends.cpu.convolve import ConvolvePlan
from lamina.backends.cpu.convolve_winograd import conv_winograd
from lamina.backends.cpu.describe import Describer, tile_strides
from lamina.backends.cpu.emit import ELEMENT, Builder, Module, Register, constant, is_floating, lane_constants
from lamina.backends.cpu.fuse import FULL, Fusion, Group, collapse
from lamina.backends.cpu.lower import Kernel
from lamina.backends.cpu.nest import (
    Bits,
    Count,
    Leaf,
    Load,
    Number,
    Place,
    Statement,
    leaf_roots,
)
from lamina.backends.cpu.points import Point
from lamina.backends.cpu.rows import Rows
from lamina.backends.cpu.target import Target
from lamina.backends.cpu.views import View
from lamina.core.shapes import size
from lamina.ir import primitives as p
from lamina.ir.graph import Node, Value


def specify(fusion: Fusion, dot: Node) -> tuple[ContractSpec, View, View] | None:
    """The product as matrices with strides, or None when an operand's axes cannot be walked as one matrix."""
    left, right = dot.inputs
    (contract_left, contract_right), (batch_left, batch_right) = (
        dot.attributes["contract"],
        dot.attributes["batch"],
    )
    found: list[tuple[View, int, int, int]] = []
    extents: list[tuple[int, int]] = []
    for operand, shared, batch in ((left, contract_left, batch_left), (right, contract_right, batch_right)):
        view = fusion.resolve(operand)
        free = [axis for axis in range(operand.ndim) if axis not in shared + batch]
        strides = [
            collapse([(operand.shape[axis], view.strides[axis]) for axis in axes])
            for axes in (batch, free, shared)
        ]
        known = [stride for stride in strides if stride is not None]
        if len(known) < len(strides):
            return None
        found.append((view, known[0], known[1], known[2]))
        extents.append(
            (size([operand.shape[axis] for axis in free]), size([operand.shape[axis] for axis in shared]))
        )
    (left_view, left_batch, left_free, left_shared), (right_view, right_batch, right_free, right_shared) = (
        found
    )
    rows, depth = extents[0]
    columns = extents[1][0]
    batch = size([left.shape[axis] for axis in batch_left])
    spec = ContractSpec(
        rows,
        columns,
        depth,
        batch,
        (left_batch, left_free, left_shared),
        (right_batch, right_shared, right_free),
        (rows * columns, columns, 1),
        left.dtype,
    )
    return spec, left_view, right_view


class TilePoint(Point):
    """Points of a tile: a vector along its columns, at the place where a product was just finished."""

    def __init__(
        self,
        builder: Builder,
        place: TilePlace,
        group: Group,
        surroundings: Product,
        result: Register,
        dot: Value,
    ) -> None:
        super().__init__(builder, {}, {}, place.lanes, place.valid, None, surroundings)
        self.place = place
        self.group = group
        self.known[dot] = points.rounded(builder, result, dot.dtype, surroundings.target)

    def load(self, base: Register, place: Place, dtype: str) -> Register:
        pointer = self.b.pointer(base, place.offset, ELEMENT[dtype])
        strides = tile_strides(self.group, place)
        return self.widened(self.place.load(self.b, pointer, strides, ELEMENT[dtype]), dtype)

    def counter(self, place: Place) -> Register:
        batch, row, column = tile_strides(self.group, place)
        offset = self.b.add(self.b.multiply(self.place.batch, batch), self.b.multiply(self.place.row, row))
        offset = self.b.add(offset, self.b.multiply(self.place.column, column))
        offset = self.b.add(offset, place.offset)
        first = self.b.splat(self.b.convert("trunc", offset, "i32"), self.lanes)
        steps = self.place.offsets((batch, row, column))
        return self.b.op("add", first, lane_constants(steps, "i32")) if any(steps) else first

    def count(self, place: Place, dtype: str) -> Register:
        counted = self.counter(place)
        target = ELEMENT[points.computed(dtype)]
        if is_floating(target):
            return points.rounded(
                self.b, self.b.convert("sitofp", counted, target), dtype, self.surroundings.target
            )
        if target == "i1":
            return self.b.compare("icmp ne", counted, constant(0, "i32", self.lanes))
        width = int(target[1:])
        return counted if width == 32 else self.b.convert("trunc" if width < 32 else "sext", counted, target)

    @property
    def mask(self) -> Register | None:
        return self.place.mask


class Product:
    """The kernel of one contract group being emitted."""

    def __init__(self, pointers: dict[Value, Register], target: Target) -> None:
        self.pointers = pointers
        self.target = target
        self.keys: dict[Bits, tuple[Register, Register]] = {}


def lower_product(
    module: Module,
    name: str,
    group: Group,
    describer: Describer,
    stored: Iterable[tuple[Value, Value]],
    guards: set[Value],
    target: Target,
    rows: Rows,
) -> tuple[Kernel, ContractPlan | ConvolvePlan]:
    """Emit the kernel of a contract group."""
    assert group.head is not None
    dot = group.head.outputs[0]
    task = _specified(describer.fusion, group, target, rows)
    start = Statement(dot, dot.primitive, (Number(0, dot.dtype),), FULL, 0)
    statements = describer.statements({dot: start})
    stored = list(stored)
    # What a convolution reads beside its two operands comes first.
    roots = {describer.fusion.resolve(value).root: None for value in group.head.inputs[2:]}
    for statement in statements:
        for operand in statement.operands:
            if not isinstance(operand, Statement):
                roots.update(dict.fromkeys(_roots(operand)))
    roots.update((memory, None) for _, memory in stored)
    plan = task.plan
    parameters = [("ptr", f"b{position}") for position in range(len(roots))]
    whole = describer.place_of(FULL)
    strides = tile_strides(group, whole)

    def epilogue(builder: Builder, value: Register, place: TilePlace) -> None:
        arguments = builder.arguments[3 : 3 + len(roots)]
        flag = builder.arguments[3 + len(roots)]
        product = Product(dict(zip(roots, arguments)), target)
        point = TilePoint(builder, place, group, product, value, dot)
        for written, memory in stored:
            statement = next(entry for entry in statements if entry.value is written)
            register = point.compute(statement)
            if written in guards:
                points.guard(point, register, flag)
            kept = points.narrowed(builder, register, written.dtype, target)
            place.store(builder, kept, product.pointers[memory], strides)

    given = [*parameters, ("ptr", "flag")]
    if isinstance(plan, ContractPlan):
        contract.emit_contract(module, plan, name, given, epilogue)
    else:
        convolve.emit_convolve(module, plan, name, given, epilogue)
    buffers = (task.left, task.right, *roots)
    by_rows = int(isinstance(plan, ContractPlan) and plan.by_rows)
    kernel = Kernel(
        name,
        buffers,
        plan.tasks,
        offsets=task.offsets,
        dtype=plan.spec.dtype,
        row_tasks=by_rows,
        sharing=plan.row_blocks if isinstance(plan, TilePlan) and plan.source != DIRECT else 1,
    )
    return kernel, plan


@dataclass(frozen=True)
class _Task:
    """A plan, and where its two operands start: their memory, and elements into it."""

    plan: ContractPlan | ConvolvePlan
    left: Value
    right: Value
    offsets: tuple[int, int]


def _specified(fusion: Fusion, group: Group, target: Target, rows: Rows) -> _Task:
    """How the product or convolution at the head of a group is computed."""
    head = group.head
    assert head is not None
    if head.primitive is p.dot:
        specified = specify(fusion, head)
        assert specified is not None
        spec, left, right = specified
        unit = rows.unit * (spec.m // rows.count) if group in rows.groups else 0
        plan: ContractPlan | ConvolvePlan = contract.plan_contract(spec, target, unit)
        return _Task(plan, left.root, right.root, (left.offset, right.offset))
    geometry, left, right, start = convolve_nodes.specify(head, fusion.resolve)
    parts = head.attributes.get("parts", 1)
    if geometry.groups > 1 and geometry.channels == geometry.outputs == 1:
        if head.primitive in convolve_nodes.FILTER_GRADIENTS:
            plan = convolve.DepthwiseFilterPlan(geometry, target, parts)
        else:
            back = head.primitive in convolve_nodes.INPUT_GRADIENTS
            plan = convolve.DepthwiseOutputPlan(geometry, target, back)
    elif head.primitive in convolve_nodes.FILTER_GRADIENTS:
        plan = convolve.plan_filter(geometry, target, parts)
    elif head.primitive is conv_winograd:
        plan = convolve.plan_winograd(geometry, target)
    else:
        plan = convolve.plan_outputs(geometry, target)
    return _Task(plan, left.root, right.root, (left.offset, start))


def _roots(leaf: Leaf) -> Iterable[Value]:
    assert isinstance(leaf, (Number, Load, Count)), "only plain loads are fused into a product"
    return leaf_roots(leaf)
