"""Products with one, two or four columns, where vectors along a row of C would be nearly empty.

Vectors lie along k where the rows of A are contiguous there (`INNER`: a sum is a vector until the end, then a
whole vector of sums is folded at once), or along i where the columns of A are contiguous (`ROWS`). Either way
the results come out as vectors of whole rows of C. With M = 1 and B stored transposed, the product is taken
as B^T A^T, which has one column.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import ceil

from lamina.backends.cpu.contract_place import Place, Tile
from lamina.backends.cpu.contract_plan import (
    TASK_BYTES,
    ContractPlan,
    ContractSpec,
    Panels,
    Piece,
    pieces_of,
    split_columns,
    sum_dtype,
)
from lamina.backends.cpu.contract_shuffle import dealt, filled, folded, woven
from lamina.backends.cpu.contract_sums import Epilogue, load_operand, multiply_add, valid_mask
from lamina.backends.cpu.contract_walk import counted, divide, runs_in_block, start_of, tasks
from lamina.backends.cpu.emit import ELEMENT, Builder, Register, constant, vector
from lamina.backends.cpu.target import Target
from lamina.core import dtypes

INNER, ROWS = "k", "rows"
SUMS_AT_ONCE = 8


@dataclass(frozen=True)
class NarrowPlan(ContractPlan):
    """A product with few columns.

    problem: the product as it is computed; turned: whether that is the transposed one. along: what vectors
    lie along. panels: for INNER, vectors of sums, counted in elements of C; for ROWS, vectors of rows. A task
    is `block` panels of one batch element. by_rows: see `ContractPlan`.
    """

    problem: ContractSpec
    turned: bool
    along: str
    panels: tuple[Panels, ...]
    block: int
    by_rows: bool = False

    @cached_property
    def blocks(self) -> int:
        return ceil(sum(run.count for run in self.panels) / self.block)

    @property
    def tasks(self) -> int:
        return self.spec.batch * self.blocks

    @property
    def scratch_bytes(self) -> int:
        return 0

    @property
    def reason(self) -> str:
        turned = ", as the transposed product" if self.turned else ""
        return f"few columns: vectors along {self.along}{turned}, {self.tasks} tasks"


def plan_narrow(spec: ContractSpec, target: Target, unit: int = 0) -> NarrowPlan | None:
    """The plan for a product with few columns; None where ordinary tiles are right."""
    lanes = target.lanes(spec.dtype)
    if (
        sum_dtype(spec.dtype) != spec.dtype
        or dtypes.itemsize(spec.dtype) < 4
        or 0 in (spec.m, spec.n, spec.k)
    ):
        return None
    if spec.n in (1, 2, 4):
        problem, turned = spec, False
    elif spec.m == 1 and spec.b_strides[1] == 1:
        problem, turned = _turned(spec), True
    else:
        return None
    _, a_row, a_step = problem.a_strides
    _, b_step, b_column = problem.b_strides
    dense = b_step == 1 if problem.n == 1 else b_step == 1 or (b_column == 1 and b_step == problem.n)
    if a_step == 1 and dense and problem.k >= lanes // 2 and problem.n <= lanes:
        along, panels = INNER, split_columns(problem.m * problem.n, 1, target, spec.dtype)
    elif a_row == 1 and problem.m >= lanes // 2 and problem.n <= lanes and not turned:
        along, panels = ROWS, split_columns(problem.m, SUMS_AT_ONCE // problem.n, target, spec.dtype)
    else:
        return None
    count = sum(run.count for run in panels)
    read = problem.m * problem.k * dtypes.itemsize(spec.dtype)
    block = max(1, ceil(count / max(1, read // TASK_BYTES)))
    if unit and along == INNER and not turned and spec.batch == 1 and unit * spec.n % lanes == 0:
        by_units = NarrowPlan(
            spec, target, problem, turned, along, panels, unit * spec.n // lanes, by_rows=True
        )
        if by_units.blocks == ceil(spec.m / unit):  # without masks the last rows may take more panels
            return by_units
    return NarrowPlan(spec, target, problem, turned, along, panels, block)


def _turned(spec: ContractSpec) -> ContractSpec:
    """C^T = B^T A^T."""

    def swapped(strides: tuple[int, int, int]) -> tuple[int, int, int]:
        return strides[0], strides[2], strides[1]

    return replace(
        spec,
        m=spec.n,
        n=spec.m,
        a_strides=swapped(spec.b_strides),
        b_strides=swapped(spec.a_strides),
        c_strides=swapped(spec.c_strides),
    )


class NarrowKernel:
    """Emits a narrow product."""

    def __init__(self, builder: Builder, plan: NarrowPlan, epilogue: Epilogue) -> None:
        self.builder = builder
        self.plan = plan
        self.epilogue = epilogue
        self.spec = plan.problem
        self.element = ELEMENT[plan.spec.dtype]
        self.a, self.b = builder.arguments[1::-1] if plan.turned else builder.arguments[:2]

    def emit(self) -> None:
        builder, plan, spec = self.builder, self.plan, self.spec
        begin, end = builder.arguments[-2:]
        with tasks(builder, begin, end, plan.tasks) as task:
            batch, block = divide(builder, task, plan.blocks)
            a = builder.pointer(self.a, builder.multiply(batch, spec.a_strides[0]), self.element)
            b = builder.pointer(self.b, builder.multiply(batch, spec.b_strides[0]), self.element)
            for run, lower, upper in runs_in_block(builder, plan.panels, block, plan.block, plan.blocks):
                with counted(builder, lower, upper) as number:
                    start = start_of(builder, number, run)
                    if plan.along == INNER:
                        self._inner(run.pieces[0], start, a, b, batch)
                    else:
                        self._rows(run, start, a, b, batch)

    def _finish(self, value: Register, batch: Register, row: Register, offset: int, valid: int) -> None:
        """Hand a vector of finished sums, the rows from `row + offset` on, to the epilogue."""
        zero = Register("0", "i64")
        label = self.builder.label
        if self.plan.turned:
            place = Place(self.builder, Tile(batch, zero, row, label), 0, offset, value.lanes, valid)
        else:
            tile = Tile(batch, row, zero, label)
            place = Place(self.builder, tile, offset, 0, value.lanes, valid, self.spec.n)
        self.epilogue(self.builder, value, place)

    # -- vectors along k -----------------------------------------------------------------------

    def _inner(self, piece: Piece, start: Register, a: Register, b: Register, batch: Register) -> None:
        """One vector of sums: `piece.valid` elements of C from `start`, its rows laid end to end."""
        builder, spec = self.builder, self.spec
        row, _ = divide(builder, start, spec.n)
        a = builder.pointer(a, builder.multiply(row, spec.a_strides[1]), self.element)
        steps = pieces_of(spec.k, self.plan.lanes, self.plan.target.has_masks)
        whole = [step for step in steps if step.valid == self.plan.lanes]
        sums = [constant(0, self.element, self.plan.lanes)] * piece.valid
        if whole:
            with builder.loop(0, len(whole), 1, [*sums, a, b]) as loop:
                *sums, a_here, b_here = loop.carried
                sums = self._inner_step(whole[0], sums, a_here, b_here)
                loop.next = [
                    *sums,
                    builder.pointer(a_here, self.plan.lanes, self.element),
                    builder.pointer(b_here, self.plan.lanes * spec.b_strides[1], self.element),
                ]
            *sums, a, b = loop.results
        for step in steps[len(whole) :]:
            offset = step.offset - len(whole) * self.plan.lanes
            a_here = builder.pointer(a, offset, self.element)
            b_here = builder.pointer(b, offset * spec.b_strides[1], self.element)
            sums = self._inner_step(step, sums, a_here, b_here)
        sums += [constant(0, self.element, self.plan.lanes)] * (piece.lanes - piece.valid)
        self._finish(folded(builder, sums), batch, row, 0, piece.valid)

    def _inner_step(self, step: Piece, sums: Sequence[Register], a: Register, b: Register) -> list[Register]:
        """Add the products of `step.valid` elements along k, for every row and column."""
        builder, spec, result = self.builder, self.spec, list(sums)
        columns = self._columns(step, b)
        for number in range(len(sums)):
            row, column = divmod(number, spec.n)
            if column == 0:
                address = builder.pointer(a, row * spec.a_strides[1], self.element)
                values = self._widened(self._vector(step, address))
            result[number] = multiply_add(builder, self.plan.target, values, columns[column], result[number])
        return result

    def _columns(self, step: Piece, b: Register) -> list[Register]:
        """The columns of B as vectors along k."""
        builder, spec = self.builder, self.spec
        _, b_step, b_column = spec.b_strides
        if b_step == 1:
            addresses = [builder.pointer(b, column * b_column, self.element) for column in range(spec.n)]
            return [self._widened(self._vector(step, address)) for address in addresses]
        # Rows of B lie end to end: load them together and take them apart.
        loaded = []
        for number in range(spec.n):
            valid = min(max(step.valid * spec.n - number * step.lanes, 0), step.lanes)
            if valid == 0:
                loaded.append(constant(0, self.element, step.lanes))
                continue
            address = builder.pointer(b, number * step.lanes, self.element)
            loaded.append(
                builder.load(vector(self.element, step.lanes), address, valid_mask(step.lanes, valid))
            )
        return [self._widened(part) for part in dealt(builder, loaded)]

    def _vector(self, step: Piece, address: Register) -> Register:
        """The elements of a piece, zeros where it is cut short."""
        mask = valid_mask(step.lanes, step.valid)
        return self.builder.load(vector(self.element, step.lanes), address, mask)

    def _widened(self, value: Register) -> Register:
        """A short vector at the end of k, filled up with zeros."""
        return filled(self.builder, value, self.plan.lanes)

    # -- vectors along the rows ----------------------------------------------------------------

    def _rows(self, run: Panels, start: Register, a: Register, b: Register, batch: Register) -> None:
        """A panel of rows: the columns of A are vectors, the elements of B are broadcast."""
        builder, spec = self.builder, self.spec
        zeros = [constant(0, self.element, piece.lanes) for piece in run.pieces for _ in range(spec.n)]
        a = builder.pointer(a, start, self.element)
        with builder.loop(0, spec.k, 1, [*zeros, a, b]) as loop:
            *sums, a_here, b_here = loop.carried
            values = []
            for column in range(spec.n):
                address = builder.pointer(b_here, column * spec.b_strides[2], self.element)
                values.append(load_operand(builder, self.plan.target, spec.dtype, 1, address))
            for number, piece in enumerate(run.pieces):
                rows = self._vector(piece, builder.pointer(a_here, piece.offset, self.element))
                for column, value in enumerate(values):
                    at = number * spec.n + column
                    spread = builder.splat(value, piece.lanes)
                    sums[at] = multiply_add(builder, self.plan.target, rows, spread, sums[at])
            loop.next = [
                *sums,
                builder.pointer(a_here, spec.a_strides[2], self.element),
                builder.pointer(b_here, spec.b_strides[1], self.element),
            ]
        for number, piece in enumerate(run.pieces):
            results = woven(builder, loop.results[number * spec.n : (number + 1) * spec.n], self.plan.lanes)
            for position, value in enumerate(results):
                first = position * value.lanes
                valid = min(max(piece.valid * spec.n - first, 0), value.lanes)
                if valid:
                    self._finish(value, batch, start, piece.offset + first // spec.n, valid)
