"""The matrix product, as shape-specialised kernels whose results stay in registers for what follows.

    C[b, i, j] = sum over k of A[b, i, k] * B[b, k, j]

    spec = ContractSpec(m, n, k, batch, a_strides, b_strides, c_strides, dtype)
    plan = plan_contract(spec, target)                     # tiles, packing, tasks, scratch, and why
    emit_contract(module, plan, "dot_3", [("ptr", "bias"), ("ptr", "out")], epilogue)

emits one function

    void dot_3(ptr a, ptr b, ptr c, <the parameters given>, ptr scratch, i64 begin, i64 end)

that does the tasks begin .. end-1 of `plan.tasks`. Tasks own disjoint parts of C and come from the shape
alone; the sum over k is never split between tasks, so every partition into ranges gives the same bits.
`scratch` is private to the caller's thread: `plan.scratch_bytes` bytes, 64-byte aligned, whatever they hold.

Strides count elements, in the order (batch, row, column) of each matrix: a_strides = (batch, i, k),
b_strides = (batch, k, j), c_strides = (batch, i, j). Any strides are right; a zero stride broadcasts.

The epilogue is called once for each vector of finished sums, at the place where it is in a register:

    def epilogue(builder: Builder, value: Register, place: Place) -> None:
        bias = place.load(builder, builder.arguments[3], (0, 0, 1), "float")
        total = builder.op("fadd", value, bias)
        place.store(builder, total, builder.arguments[4], c_strides)

`place.lanes` elements lie next to each other along j, starting at (place.batch, place.row, place.column), all
i64 registers; `place.mask` is None, or a constant mask at the right edge. `place.load`, `place.store` and
`place.pointer` address any operand by its strides over (batch, i, j), zero where it is broadcast, with the
offset arithmetic shared between the places of a tile. Without an epilogue the sums are stored to `c`; with
one, `c` is not touched (pass null if you like), and K = 0 gives zeros through the epilogue.
Half precision is summed, and handed to the epilogue, in float32.
A narrow C (N of a few columns) calls the epilogue with few lanes, one row at a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

from lamina.backends.cpu import math
from lamina.backends.cpu.contract_kernel import Epilogue, TileKernel
from lamina.backends.cpu.contract_place import Place
from lamina.backends.cpu.contract_plan import DIRECT, ContractPlan, ContractSpec, Panels, Tiles, plan_contract
from lamina.backends.cpu.emit import ELEMENT, Builder, Module, Register, index

Run = TypeVar("Run", Tiles, Panels)

__all__ = ["ContractPlan", "ContractSpec", "Epilogue", "Place", "emit_contract", "plan_contract"]


def emit_contract(
    module: Module,
    plan: ContractPlan,
    name: str,
    parameters: Sequence[tuple[str, str]] = (),
    epilogue: Epilogue | None = None,
) -> None:
    """Add the function `name` to the module; see the top of this page."""
    builder = Builder(
        module,
        name,
        [
            ("ptr", "a"),
            ("ptr", "b"),
            ("ptr", "c"),
            *parameters,
            ("ptr", "scratch"),
            ("i64", "begin"),
            ("i64", "end"),
        ],
    )
    if plan.tasks:
        _Tasks(builder, plan, epilogue or _store_sums(plan)).emit()
    builder.finish()


def _store_sums(plan: ContractPlan) -> Epilogue:
    def store(builder: Builder, value: Register, place: Place) -> None:
        if plan.sum_dtype != plan.spec.dtype:
            value = math.narrow(builder, value, plan.spec.dtype, plan.target)
        place.store(builder, value, builder.arguments[2], plan.spec.c_strides)

    return store


class _Tasks:
    """The loop over tasks, and inside it the loops over the tiles and panels of one task."""

    def __init__(self, builder: Builder, plan: ContractPlan, epilogue: Epilogue) -> None:
        self.builder = builder
        self.plan = plan
        self.kernel = TileKernel(builder, plan, epilogue)
        self.element = ELEMENT[plan.spec.dtype]
        self.total = ELEMENT[plan.sum_dtype]
        self.a, self.b = builder.arguments[:2]
        self.scratch, self.begin, self.end = builder.arguments[-3:]

    def emit(self) -> None:
        builder, plan = self.builder, self.plan
        if plan.source == DIRECT:
            with builder.loop(self.begin, self.end) as task:
                batch, columns, rows = self._decode(task.index)
                self._tiles(batch, columns, rows)
            return
        # Consecutive tasks often share their panels: pack only when batch or column block change.
        with builder.loop(self.begin, self.end, 1, [index(-1)]) as task:
            batch, columns, rows = self._decode(task.index)
            number = builder.add(builder.multiply(batch, plan.column_blocks), columns)
            fresh = builder.compare("icmp ne", number, task.carried[0])
            with builder.when(fresh):
                self._pack(batch, columns)
            self._tiles(batch, columns, rows)
            task.next = [number]

    def _decode(self, task: Register) -> tuple[Register, Register, Register]:
        """(batch element, column block, row block) of a task."""
        rest, rows = self._divide(task, self.plan.row_blocks)
        batch, columns = self._divide(rest, self.plan.column_blocks)
        return (batch if self.plan.spec.batch > 1 else index(0)), columns, rows

    def _divide(self, number: Register, count: int) -> tuple[Register, Register]:
        if count == 1:
            return number, index(0)
        quotient = self.builder.op("udiv", number, index(count))
        return quotient, self.builder.op("urem", number, index(count))

    def _pack(self, batch: Register, column_block: Register) -> None:
        """Write the column block's panels to scratch."""
        builder, plan, strides = self.builder, self.plan, self.plan.spec.b_strides
        source = builder.pointer(self.b, builder.multiply(batch, strides[0]), self.element)
        for panels, lower, upper in self._runs(
            plan.panels, column_block, plan.column_block, plan.column_blocks
        ):
            with builder.loop(lower, upper) as loop:
                column = self._start(loop.index, panels.first, panels.start, panels.width)
                here = builder.pointer(source, builder.multiply(column, strides[2]), self.element)
                self.kernel.pack(panels, here, self._packed(loop.index, column_block))

    def _tiles(self, batch: Register, column_block: Register, row_block: Register) -> None:
        """All tiles of one task, those that share rows of A one after the other."""
        builder, plan = self.builder, self.plan
        spec = plan.spec
        a_batch = builder.pointer(self.a, builder.multiply(batch, spec.a_strides[0]), self.element)
        b_batch = builder.pointer(self.b, builder.multiply(batch, spec.b_strides[0]), self.element)
        for tiles, top, bottom in self._runs(plan.tiles, row_block, plan.row_block, plan.row_blocks):
            with builder.loop(top, bottom) as row_loop:
                row = self._start(row_loop.index, tiles.first, tiles.start, tiles.rows)
                a = builder.pointer(a_batch, builder.multiply(row, spec.a_strides[1]), self.element)
                for panels, left, right in self._runs(
                    plan.panels, column_block, plan.column_block, plan.column_blocks
                ):
                    with builder.loop(left, right) as column_loop:
                        number = column_loop.index
                        column = self._start(number, panels.first, panels.start, panels.width)
                        if plan.source == DIRECT:
                            step = spec.b_strides[1]
                            b = builder.pointer(b_batch, column, self.element)
                        else:
                            step = plan.panel_stride
                            b = self._packed(number, column_block)
                        sums = self.kernel.accumulate(tiles.rows, panels, a, b, step)
                        rest = builder.pointer(self.scratch, plan.packed_elements, self.total)
                        self.kernel.finish(panels, sums, (batch, row, column), rest)

    def _runs(
        self, runs: Sequence[Run], block: Register, per_block: int, blocks: int
    ) -> Iterator[tuple[Run, Register, Register]]:
        """Each run, with the bounds of the numbers of its tiles (or panels) that lie in the block."""
        builder = self.builder
        for run in runs:
            lower, upper = index(run.first), index(run.first + run.count)
            if blocks > 1:
                first = builder.multiply(block, per_block)
                lower = builder.intrinsic("smax", "i64", first, lower)
                upper = builder.intrinsic("smin", "i64", builder.add(first, per_block), upper)
            yield run, lower, upper

    def _start(self, number: Register, first: int, start: int, size: int) -> Register:
        """Where tile (or panel) `number` starts, in a run that begins with `first` at `start`."""
        return self.builder.add(self.builder.multiply(number, size), start - first * size)

    def _packed(self, panel: Register, column_block: Register) -> Register:
        """The packed panel of that number."""
        builder, plan = self.builder, self.plan
        local = builder.subtract(panel, builder.multiply(column_block, plan.column_block))
        offset = builder.multiply(local, plan.spec.k * plan.panel_stride)
        return builder.pointer(self.scratch, offset, self.total)
