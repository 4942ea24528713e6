"""Matrix products as test cases: operands laid out in memory as asked, our kernel, and NumPy in float64."""

from __future__ import annotations

import ctypes
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import ml_dtypes
import numpy as np

from lamina.backends.cpu import jit
from lamina.backends.cpu.contract import ContractPlan, ContractSpec, emit_contract, plan_contract
from lamina.backends.cpu.emit import Module
from lamina.backends.cpu.target import Target
from lamina.core import dtypes
from lamina.core.config import config
from lamina.core.errors import ArgumentError

Array = np.ndarray[Any, Any]
EXTENTS = (0, 1, 2, 3, 7, 15, 16, 17, 31, 33, 65)
GUARD = 16  # elements around C that must keep their value


@cache
def target_of(level: str) -> Target:
    """The host narrowed to a level."""
    before, config.cpu_features = config.cpu_features, level
    try:
        return Target.host()
    finally:
        config.cpu_features = before


def runnable_levels() -> list[str]:
    """The levels whose code this machine can run."""
    levels = []
    for level in ("avx512", "avx2", "generic"):
        try:
            target_of(level)
        except ArgumentError:
            continue
        levels.append(level)
    return levels


@dataclass(frozen=True)
class Case:
    """One product. layout: how each of A, B, C lies in memory - "rows", "columns" (transposed), "gaps"."""

    m: int
    n: int
    k: int
    batch: int = 1
    a: str = "rows"
    b: str = "rows"
    c: str = "rows"
    dtype: str = "float32"

    def __str__(self) -> str:
        return f"{self.batch}x{self.m}x{self.k}x{self.n}-{self.dtype}-{self.a}-{self.b}-{self.c}"


def sample(count: int, seed: int, **fixed: Any) -> list[Case]:
    """Some of the cases over EXTENTS, layouts and dtypes, with what is `fixed` kept."""
    chooser = random.Random(seed)
    kinds = (
        ["float32"] * 6
        + ["float64"] * 2
        + ["int32", "int64", "uint8", "int16", "float16", "bfloat16", "bool"]
    )
    cases = []
    for _ in range(count):
        fields: dict[str, Any] = {
            "m": chooser.choice(EXTENTS),
            "n": chooser.choice(EXTENTS),
            "k": chooser.choice(EXTENTS),
            "batch": chooser.choice((1, 1, 1, 2, 3)),
            "a": chooser.choice(("rows", "columns", "gaps")),
            "b": chooser.choice(("rows", "columns", "gaps")),
            "c": chooser.choice(("rows", "rows", "columns", "gaps")),
            "dtype": chooser.choice(kinds),
        }
        cases.append(Case(**(fields | fixed)))
    return cases


def strides_of(layout: str, rows: int, columns: int) -> tuple[tuple[int, int, int], int]:
    """((batch, row, column) strides, elements per batch element) of a matrix."""
    if layout == "rows":
        return (rows * columns, columns, 1), rows * columns
    if layout == "columns":
        return (rows * columns, 1, rows), rows * columns
    width = 2 * columns + 3
    return (rows * width + 5, width, 2), rows * width + 5


def spec_of(case: Case) -> ContractSpec:
    a, _ = strides_of(case.a, case.m, case.k)
    b, _ = strides_of(case.b, case.k, case.n)
    c, _ = strides_of(case.c, case.m, case.n)
    return ContractSpec(case.m, case.n, case.k, case.batch, a, b, c, case.dtype)


def view(flat: Array, layout: str, batch: int, rows: int, columns: int, offset: int = 0) -> Array:
    """The matrices inside flat memory."""
    strides, _ = strides_of(layout, rows, columns)
    size = flat.itemsize
    return np.lib.stride_tricks.as_strided(
        flat[offset:], (batch, rows, columns), tuple(stride * size for stride in strides)
    )


def numbers(generator: np.random.Generator, count: int, dtype: str) -> Array:
    kind = dtypes.to_numpy(dtype)
    if dtype == "bool":
        return generator.integers(0, 2, count).astype(kind)
    if dtypes.is_integer(dtype):
        return generator.integers(0 if dtypes.is_unsigned(dtype) else -7, 8, count).astype(kind)
    return generator.standard_normal(count).astype(kind)


class Operands:
    """A, B and C of a case, C filled with a value that no product gives."""

    def __init__(self, case: Case) -> None:
        generator = np.random.default_rng([case.m, case.n, case.k])
        sizes = [strides_of(layout, *shape)[1] for layout, shape in _shapes(case)]
        self.flat_a = numbers(generator, case.batch * sizes[0] + 1, case.dtype)
        self.flat_b = numbers(generator, case.batch * sizes[1] + 1, case.dtype)
        self.filling = np.array(77).astype(self.flat_a.dtype)
        self.flat_c = np.full(case.batch * sizes[2] + 2 * GUARD, self.filling)
        self.a = view(self.flat_a, case.a, case.batch, case.m, case.k)
        self.b = view(self.flat_b, case.b, case.batch, case.k, case.n)
        self.c = view(self.flat_c, case.c, case.batch, case.m, case.n, GUARD)

    def untouched(self) -> Array:
        """What lies in C's memory between and around its elements."""
        outside = np.ones(self.flat_c.shape, bool)
        mask = np.lib.stride_tricks.as_strided(
            outside[GUARD:], self.c.shape, tuple(step // self.flat_c.itemsize for step in self.c.strides)
        )
        mask[...] = False
        return self.flat_c[outside]


def _shapes(case: Case) -> list[tuple[str, tuple[int, int]]]:
    return [(case.a, (case.m, case.k)), (case.b, (case.k, case.n)), (case.c, (case.m, case.n))]


def compiled(plan: ContractPlan, **emission: Any) -> Callable[..., None]:
    """The product's function: (pointers ..., begin, end)."""
    module = Module(plan.target.function_attributes)
    emit_contract(module, plan, "product", **emission)
    code = jit.load(jit.compile_object(module.text(), plan.target))
    pointers = 4 + len(emission.get("parameters", ()))
    signature = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * pointers, ctypes.c_int64, ctypes.c_int64)
    function = signature(code.address("product"))

    def call(*arguments: Any, keep: object = code) -> None:
        function(*arguments)

    return call


def scratch_for(plan: ContractPlan) -> Array:
    """Scratch full of NaN patterns, with guards that `check_scratch` looks at."""
    raw = np.full(plan.scratch_bytes + 192, 0xFF, np.uint8)
    start = -raw.ctypes.data % 64 + 64
    return raw[start : start + plan.scratch_bytes + 64]


def run(
    case: Case, target: Target, ranges: Sequence[tuple[int, int]] | None = None, **options: Any
) -> Operands:
    """Compute the case with our kernel; `ranges` splits the tasks into calls with scratch of their own."""
    plan = options.pop("plan", None) or plan_contract(spec_of(case), target, **options)
    function, operands = compiled(plan), Operands(case)
    start = operands.flat_c.ctypes.data + GUARD * operands.flat_c.itemsize
    for begin, end in ranges or [(0, plan.tasks)]:
        scratch = scratch_for(plan)
        function(
            operands.flat_a.ctypes.data, operands.flat_b.ctypes.data, start, scratch.ctypes.data, begin, end
        )
        assert np.all(scratch[plan.scratch_bytes :] == 0xFF), "wrote beyond its scratch"
    return operands


def check(case: Case, operands: Operands) -> None:
    """C is A B within the error of k roundings, and nothing else was written."""
    assert np.all(operands.untouched() == operands.filling)
    if not dtypes.is_float(case.dtype):
        np.testing.assert_array_equal(operands.c, np.matmul(operands.a, operands.b))
        return
    a, b = operands.a.astype(np.float64), operands.b.astype(np.float64)
    rounding = float(ml_dtypes.finfo(operands.c.dtype).eps)
    if case.dtype in ("float16", "bfloat16"):  # summed in float32, rounded once
        allowed = rounding * np.abs(a @ b) + (case.k + 2) * 2.0**-23 * (np.abs(a) @ np.abs(b))
        allowed += float(ml_dtypes.finfo(operands.c.dtype).smallest_subnormal)
    else:
        allowed = (case.k + 2) / 2 * rounding * (np.abs(a) @ np.abs(b))
    wrong = np.abs(operands.c.astype(np.float64) - a @ b) > allowed
    assert not wrong.any(), f"{wrong.sum()} of {wrong.size} elements are wrong"
