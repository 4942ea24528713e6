"""Products against NumPy in float64: shapes, layouts, dtypes, instruction sets, special values, tasks."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import contract_cases
import numpy as np
import pytest
from contract_cases import Case

from lamina.backends.cpu.contract import ContractSpec, Place, plan_contract
from lamina.backends.cpu.contract_deep import DeepPlan
from lamina.backends.cpu.contract_plan import COPY, shaped_plan
from lamina.backends.cpu.emit import Builder, Register

LEVELS = contract_cases.runnable_levels()
HOST = contract_cases.target_of(LEVELS[0])


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("case", contract_cases.sample(60, seed=1), ids=str)
def test_sampled_shapes_layouts_and_dtypes(case: Case, level: str) -> None:
    contract_cases.check(case, contract_cases.run(case, contract_cases.target_of(level)))


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("n", [1, 2, 4])
@pytest.mark.parametrize("case", contract_cases.sample(12, seed=2, dtype="float32", c="rows"), ids=str)
def test_few_columns(case: Case, n: int, level: str) -> None:
    narrow = replace(case, n=n, m=max(case.m, 1), k=max(case.k, 1), a=("rows", "columns")[case.m % 2])
    contract_cases.check(narrow, contract_cases.run(narrow, contract_cases.target_of(level)))


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("dtype", ["float32", "float64", "int32"])
@pytest.mark.parametrize(
    ("a", "b"),
    [("rows", "rows"), ("rows", "columns"), ("columns", "rows"), ("columns", "gaps"), ("rows", "gaps")],
)
@pytest.mark.parametrize(
    ("m", "n", "k"), [(37, 10, 300), (64, 5, 331), (70, 7, 256), (35, 20, 400), (33, 11, 513), (140, 3, 299)]
)
def test_columns_that_fill_vectors_badly(
    m: int, n: int, k: int, a: str, b: str, dtype: str, level: str
) -> None:
    case = Case(m, n, k, 1 + m % 2, a, b, "gaps" if n == 7 else "rows", dtype)
    contract_cases.check(case, contract_cases.run(case, contract_cases.target_of(level)))


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("b", ["rows", "columns"])
@pytest.mark.parametrize("k", [1, 5, 16, 40])
def test_one_row(k: int, b: str, level: str) -> None:
    case = Case(1, 37, k, b=b)
    contract_cases.check(case, contract_cases.run(case, contract_cases.target_of(level)))


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "int32", "bool"])
@pytest.mark.parametrize(("n", "k"), [(3, 131), (10, 1600), (20, 64), (45, 77), (60, 40)])
def test_one_row_of_few_columns(n: int, k: int, dtype: str, level: str) -> None:
    """Long sums, each made in several strands."""
    case = Case(1, n, k, b="gaps" if n == 20 else "rows", dtype=dtype)
    contract_cases.check(case, contract_cases.run(case, contract_cases.target_of(level)))


@pytest.mark.parametrize(
    "case",
    [
        Case(128, 96, 70),
        Case(70, 64, 128, a="columns"),
        Case(128, 90, 64, b="columns"),
        Case(33, 129, 50, b="gaps"),
        Case(300, 2, 600),
        Case(300, 40, 33, dtype="float64", b="columns"),
    ],
    ids=str,
)
def test_several_tiles_and_panels(case: Case) -> None:
    contract_cases.check(case, contract_cases.run(case, HOST))


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize(
    "case",
    [
        Case(128, 64, 5120, a="columns"),
        Case(100, 70, 5000, a="columns"),
        Case(75, 33, 9001),
        Case(70, 40, 8003, batch=2, a="gaps", c="gaps"),
        Case(65, 37, 4999, dtype="float64", c="columns"),
        Case(65, 37, 9999, a="columns", dtype="int32"),
    ],
    ids=str,
)
def test_long_sums_in_blocks(case: Case, level: str) -> None:
    """Right, with the same bits as in one go, whoever does the tasks."""
    target = contract_cases.target_of(level)
    spec = contract_cases.spec_of(case)
    plan = plan_contract(spec, target)
    assert isinstance(plan, DeepPlan)
    assert plan.depth < case.k
    tasks = list(pairwise(range(plan.tasks + 1)))
    found = contract_cases.run(case, target, ranges=tasks[::-1])
    contract_cases.check(case, found)
    plain = shaped_plan(spec, target, plan.tiles[0].rows, len(plan.panels[0].pieces))
    np.testing.assert_array_equal(found.c, contract_cases.run(case, target, plan=plain).c)


def test_panels_copied_to_scratch() -> None:
    case = Case(100, 70, 50)
    plan = shaped_plan(contract_cases.spec_of(case), HOST, 8, 2, source=COPY)
    contract_cases.check(case, contract_cases.run(case, HOST, plan=plan))


@pytest.mark.parametrize("shape", [(14, 2), (9, 3), (6, 4), (28, 1), (3, 8), (1, 28)])
def test_every_shape_of_tile_gives_the_same_bits(shape: tuple[int, int]) -> None:
    if HOST.registers == 16:
        shape = (max(shape[0] // 3, 1), max(shape[1] // 3, 1))
    case = Case(65, 65, 33)
    plan = shaped_plan(contract_cases.spec_of(case), HOST, *shape)
    other = shaped_plan(contract_cases.spec_of(case), HOST, 4, 1)
    one, two = contract_cases.run(case, HOST, plan=plan), contract_cases.run(case, HOST, plan=other)
    np.testing.assert_array_equal(one.c, two.c)


@pytest.mark.parametrize("b", ["rows", "columns"])
@pytest.mark.parametrize(
    "case",
    [Case(256, 160, 256), Case(2, 33, 40, batch=9), Case(4096, 2, 200), Case(900, 10, 512, batch=2)],
    ids=str,
)
def test_every_partition_of_the_tasks_gives_the_same_bits(case: Case, b: str) -> None:
    case = replace(case, b=b)
    tasks = plan_contract(contract_cases.spec_of(case), HOST).tasks
    assert tasks > 2
    whole = contract_cases.run(case, HOST).c
    for parts in (2, 3, tasks):
        bounds = [tasks * part // parts for part in range(parts + 1)]
        ranges = list(pairwise(bounds))
        np.testing.assert_array_equal(contract_cases.run(case, HOST, ranges[::-1]).c, whole)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("case", [Case(17, 33, 0), Case(5, 1, 0), Case(1, 20, 0, b="columns")], ids=str)
def test_an_empty_sum_is_zero(case: Case, level: str) -> None:
    assert np.all(contract_cases.run(case, contract_cases.target_of(level)).c == 0)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("case", [Case(9, 19, 5), Case(9, 2, 37), Case(1, 9, 37, b="columns")], ids=str)
def test_special_values_reach_exactly_their_rows_and_columns(case: Case, level: str) -> None:
    target = contract_cases.target_of(level)
    plan = plan_contract(contract_cases.spec_of(case), target)
    function, operands = contract_cases.compiled(plan), contract_cases.Operands(case)
    operands.a[0, case.m // 2, case.k - 1] = np.inf
    operands.b[0, 0, case.n - 1] = np.nan
    scratch = contract_cases.scratch_for(plan)
    start = operands.flat_c.ctypes.data + contract_cases.GUARD * 4
    function(
        operands.flat_a.ctypes.data, operands.flat_b.ctypes.data, start, scratch.ctypes.data, 0, plan.tasks
    )
    with np.errstate(invalid="ignore"):
        expected = np.matmul(operands.a, operands.b)
    np.testing.assert_array_equal(np.isnan(operands.c), np.isnan(expected))
    np.testing.assert_array_equal(np.isposinf(operands.c), np.isposinf(expected))
    np.testing.assert_array_equal(np.isneginf(operands.c), np.isneginf(expected))


def _bias_and_relu(builder: Builder, value: Register, place: Place) -> None:
    """An epilogue as fusion writes them: C' = max(C + bias_j + scale_i, 0), and the sums themselves to C."""
    bias = place.load(builder, builder.arguments[3], (0, 0, 1), "float")
    scale = place.load(builder, builder.arguments[4], (0, 1, 0), "float")
    other = place.load(builder, builder.arguments[6], (0, 1, 40), "float")
    total = builder.op("fadd", builder.op("fadd", value, bias), builder.op("fmul", scale, other))
    zero = Register("zeroinitializer", total.type) if total.lanes > 1 else Register("0.0", total.type)
    kept = builder.select(builder.compare("fcmp ogt", total, zero), total, zero)
    place.store(builder, kept, builder.arguments[5], (0, 1, 40))


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("long", [False, True])
@pytest.mark.parametrize(("m", "n", "k"), [(40, 33, 9), (40, 2, 20), (40, 1, 20), (1, 40, 20), (40, 4, 24)])
def test_epilogues_with_operands_of_every_kind(m: int, n: int, k: int, long: bool, level: str) -> None:
    target, generator = contract_cases.target_of(level), np.random.default_rng(m * n)
    a, b, bias, scale, other = (
        generator.standard_normal(shape).astype(np.float32) for shape in [(m, k), (k, n), n, m, (40, 40)]
    )
    result = np.full((40, 40), 77, np.float32)
    plan = plan_contract(ContractSpec.contiguous(m, n, k), target)

    def epilogue(builder: Builder, value: Register, place: Place) -> None:
        for _ in range(500 if long else 0):
            value = builder.fneg(value)
        _bias_and_relu(builder, value, place)

    parameters = [("ptr", name) for name in ("bias", "scale", "result", "other")]
    function = contract_cases.compiled(plan, parameters=parameters, epilogue=epilogue)
    scratch = contract_cases.scratch_for(plan)
    addresses = [array.ctypes.data for array in (bias, scale, result, other, scratch)]
    function(a.ctypes.data, b.ctypes.data, None, *addresses, 0, plan.tasks)
    expected = np.maximum(a @ b + bias + scale[:, None] * other.T[:m, :n], 0)
    np.testing.assert_allclose(result.T[:m, :n], expected, rtol=1e-5, atol=1e-5)
    result.T[:m, :n] = 77
    assert np.all(result == 77)


def test_epilogue_knows_where_it_is() -> None:
    m, n, batch = 21, 37, 2
    rows, columns, batches = (np.full((batch, m, n), -1, np.int64) for _ in range(3))

    def epilogue(builder: Builder, value: Register, place: Place) -> None:
        for number, register in enumerate((place.row, place.column, place.batch)):
            address = place.pointer(builder, builder.arguments[3 + number], (m * n, n, 1), "i64")
            builder.store(register, address)

    plan = plan_contract(ContractSpec.contiguous(m, n, 3, batch), HOST)
    parameters = [("ptr", name) for name in ("rows", "columns", "batches")]
    function = contract_cases.compiled(plan, parameters=parameters, epilogue=epilogue)
    ones = np.ones(batch * max(m, n) * 3, np.float32)
    found = [array.ctypes.data for array in (rows, columns, batches)]
    function(ones.ctypes.data, ones.ctypes.data, None, *found, None, 0, plan.tasks)
    place = np.argwhere(rows >= 0)
    assert len(place) == batch * m * len({column for _, _, column in place.tolist()})
    for at in map(tuple, place):
        assert (batches[at], rows[at], columns[at]) == at


def test_faults_are_noticed() -> None:
    """The checks above see a single wrong element, a missing last column, and a write outside."""
    case = Case(17, 17, 9)
    for fault in (lambda o: o.c.__setitem__((0, 16, 16), 0), lambda o: o.flat_c.__setitem__(-1, 0)):
        operands = contract_cases.run(case, HOST)
        contract_cases.check(case, operands)
        fault(operands)
        with pytest.raises(AssertionError):
            contract_cases.check(case, operands)
