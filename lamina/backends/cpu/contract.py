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

`place.lanes` elements lie next to each other along j, starting at (place.batch, place.row, place.column),
all i64 registers; `place.mask` is None, or a constant mask at the right edge. `place.load`, `place.store`
and `place.pointer` address any operand by its strides over (batch, i, j), zero where it is broadcast, with
the offset arithmetic shared between the places of a tile. Without an epilogue the sums are stored to `c`;
with one, `c` is not touched (pass null if you like), and K = 0 gives zeros through the epilogue. A long
epilogue is emitted as a loop over the places of a tile, a short one for each place; it must not depend on
how often it is called. Half precision is summed, and handed to the epilogue, in float32. A narrow C (N of a
few columns) calls the epilogue with few lanes, one row at a time.
"""

from __future__ import annotations

from collections.abc import Sequence

from lamina.backends.cpu import math
from lamina.backends.cpu.contract_deep import DeepKernel, DeepPlan, plan_deep
from lamina.backends.cpu.contract_kernel import TileKernel
from lamina.backends.cpu.contract_narrow import NarrowKernel, NarrowPlan, plan_narrow
from lamina.backends.cpu.contract_place import Place
from lamina.backends.cpu.contract_plan import ContractPlan, ContractSpec, TilePlan, plan_tiles
from lamina.backends.cpu.contract_ragged import RaggedKernel, RaggedPlan, plan_ragged
from lamina.backends.cpu.contract_sums import Epilogue
from lamina.backends.cpu.emit import Builder, Module, Register
from lamina.backends.cpu.target import Target

__all__ = ["ContractPlan", "ContractSpec", "Epilogue", "Place", "emit_contract", "plan_contract"]


def plan_contract(spec: ContractSpec, target: Target, unit: int = 0) -> ContractPlan:
    """Decide how to compute `spec` on `target`.

    unit: if not 0, task i should be the rows from i * unit to (i + 1) * unit; `plan.by_rows` says whether
    it is.
    """
    return (
        plan_narrow(spec, target, unit)
        or plan_ragged(spec, target, unit)
        or (None if unit else plan_deep(spec, target))
        or plan_tiles(spec, target, unit)
    )


def emit_contract(
    module: Module,
    plan: ContractPlan,
    name: str,
    parameters: Sequence[tuple[str, str]] = (),
    epilogue: Epilogue | None = None,
) -> None:
    """Add the function `name` to the module; see the top of this page."""
    before, after = ("a", "b", "c"), [("ptr", "scratch"), ("i64", "begin"), ("i64", "end")]
    builder = Builder(module, name, [*(("ptr", matrix) for matrix in before), *parameters, *after])
    epilogue = epilogue or _store_sums(plan)
    if isinstance(plan, NarrowPlan):
        NarrowKernel(builder, plan, epilogue).emit()
    elif isinstance(plan, RaggedPlan):
        RaggedKernel(builder, plan, epilogue).emit()
    elif isinstance(plan, DeepPlan):
        DeepKernel(builder, plan, epilogue).emit()
    elif isinstance(plan, TilePlan) and plan.tasks:
        TileKernel(builder, plan, epilogue).emit()
    builder.finish()


def _store_sums(plan: ContractPlan) -> Epilogue:
    def store(builder: Builder, value: Register, place: Place) -> None:
        if plan.sum_dtype != plan.spec.dtype:
            value = math.narrow(builder, value, plan.spec.dtype, plan.target)
        place.store(builder, value, builder.arguments[2], plan.spec.c_strides)

    return store
