"""Every law has a row that it applies to, gives the form it states, and keeps the numbers."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import pytest
from random_programs import assert_same

from lamina.core import dtypes
from lamina.interp.eval import run_graph
from lamina.ir import primitives as p
from lamina.ir.bind import constant_value, full
from lamina.ir.bodies import body_inputs
from lamina.ir.graph import Graph, TensorType, Value
from lamina.ir.text import to_text
from lamina.ir.trace import new_input
from lamina.ir.verify import verify
from lamina.passes import pipeline

SPECIAL = [0.0, -0.0, 1.0, -1.0, 0.3, -2.5, np.inf, -np.inf, np.nan, 1e-40, 3e38, 7.0]


class Row(NamedTuple):
    """`before` builds a value from inputs of these types; `after` lists the primitives that remain."""

    law: str
    types: tuple[str, ...]
    before: Callable[..., Value | tuple[Value, ...]]
    after: str


def c(x: Value, number: float) -> Value:
    return full(x.shape, number, x.dtype)


def two_uses_of_broadcast(x: Value, y: Value) -> Value:
    return p.add(p.broadcast(x, shape=(2, 3, 4), axes=(1,)), p.broadcast(y, shape=(2, 3, 4), axes=(1,)))


def dot(x: Value, y: Value, left: tuple[int, ...], right: tuple[int, ...], batch: tuple = ((), ())) -> Value:
    return p.dot(x, y, contract=(left, right), batch=batch)


def slice_all(x: Value, start: int, limit: int, stride: int = 1) -> Value:
    n = x.ndim
    return p.slice(x, start=(start,) * n, limit=(limit,) * n, stride=(stride,) * n)


def nested(x: Value, function: Callable[..., Value]) -> Graph:
    inputs = body_inputs([x.type])
    return Graph(inputs, (function(*inputs),))


def loop(x: Value, length: int, step: Callable[..., Value]) -> Value:
    """x carried through `length` steps, each of which adds a sine."""
    body = nested(x, lambda h: p.add(p.sin(h), step(h)))
    return p.scan(x, body=body, length=length, consts=0, carries=1, reverse=False)


def branch(x: Value, *functions: Callable[..., Value]) -> Value:
    branches = tuple(nested(x, function) for function in functions)
    return p.cond(constant_value(0, "int32"), x, branches=branches)


def own_gradient(x: Value) -> Value:
    """x with a gradient of its own."""
    return p.custom_gradient(x, x, backward=nested(x, p.sin), results=1, arguments=1)


F3, F34, F345 = "float32[3]", "float32[3,4]", "float32[3,4,5]"

ROWS = [
    # unary
    Row("stop_gradient(x) -> x", (F3,), lambda x: p.exp(p.stop_gradient(x)), "exp"),
    Row("-(-x) -> x", (F3,), lambda x: p.exp(p.negative(p.negative(x))), "exp"),
    Row(
        "-(x * c) -> x * -c",
        (F3,),
        lambda x: p.negative(p.multiply(x, c(x, 3))),
        "constant broadcast multiply",
    ),
    Row("||x|| -> |x|", (F3,), lambda x: p.absolute(p.absolute(x)), "absolute"),
    Row("|-x| -> |x|", (F3,), lambda x: p.absolute(p.negative(x)), "absolute"),
    Row("not for unsigned", ("uint8[3]",), lambda x: p.absolute(p.negative(x)), "negative absolute"),
    Row("~~x -> x", ("int8[3]",), lambda x: p.sign(p.invert(p.invert(x))), "sign"),
    Row("not (x == y) -> x != y", (F3, F3), lambda x, y: p.invert(p.equal(x, y)), "not_equal"),
    Row("not (x != y) -> x == y", (F3, F3), lambda x, y: p.invert(p.not_equal(x, y)), "equal"),
    Row("cast(x, its dtype) -> x", (F3,), lambda x: p.exp(p.cast(x, dtype="float32")), "exp"),
    Row(
        "cast(cast(x, wide)) -> cast(x)",
        ("float16[3]",),
        lambda x: p.cast(p.cast(x, dtype="float64"), dtype="bfloat16"),
        "cast",
    ),
    Row(
        "not through a narrower type",
        ("float64[3]",),
        lambda x: p.cast(p.cast(x, dtype="float32"), dtype="float64"),
        "cast cast",
    ),
    Row(
        "not where integers would wrap around instead of saturating",
        ("int16[3]",),
        lambda x: p.cast(p.cast(x, dtype="float32"), dtype="int8"),
        "cast cast",
    ),
    # binary
    Row("c + x -> x + c", (F3,), lambda x: p.add(c(x, 1), x), "constant broadcast add"),
    Row("x + -0 -> x", (F3,), lambda x: p.exp(p.add(x, c(x, -0.0))), "exp"),
    Row("not x + 0 -> x", (F3,), lambda x: p.add(x, c(x, 0)), "constant broadcast add"),
    Row("x + 0 -> x for integers", ("int32[3]",), lambda x: p.sign(p.add(x, c(x, 0))), "sign"),
    Row("x + -y -> x - y", (F3, F3), lambda x, y: p.add(x, p.negative(y)), "subtract"),
    Row("-x + y -> y - x", (F3, F3), lambda x, y: p.add(p.negative(x), y), "subtract"),
    Row("x - 0 -> x", (F3,), lambda x: p.exp(p.subtract(x, c(x, 0))), "exp"),
    Row("not 0 - x -> -x", (F3,), lambda x: p.subtract(c(x, 0), x), "constant broadcast subtract"),
    Row("x - -y -> x + y", (F3, F3), lambda x, y: p.subtract(x, p.negative(y)), "add"),
    Row("x * 1 -> x", (F3,), lambda x: p.exp(p.multiply(x, c(x, 1))), "exp"),
    Row("x * -1 -> -x", (F3,), lambda x: p.multiply(x, c(x, -1)), "negative"),
    Row("not x * 0 -> 0", (F3,), lambda x: p.multiply(x, c(x, 0)), "constant broadcast multiply"),
    Row("x / 2^n -> x * 2^-n", (F3,), lambda x: p.divide(x, c(x, -8)), "constant broadcast multiply"),
    Row("not x / 3 -> x * 1/3", (F3,), lambda x: p.divide(x, c(x, 3)), "constant broadcast divide"),
    Row(
        "not when 1/c overflows",
        ("float16[3]",),
        lambda x: p.divide(x, c(x, 2.0**-20)),
        "constant broadcast divide",
    ),
    Row("x ** 0 -> 1", (F3,), lambda x: p.power(x, c(x, 0)), "constant broadcast"),
    Row("x ** 1 -> x", (F3,), lambda x: p.exp(p.power(x, c(x, 1))), "exp"),
    Row("x ** 2 -> x * x", (F3,), lambda x: p.power(x, c(x, 2)), "multiply"),
    Row("x ** 4 -> products", ("int8[3]",), lambda x: p.power(x, c(x, 4)), "multiply multiply"),
    Row("x ** -1 -> 1 / x", (F3,), lambda x: p.power(x, c(x, -1)), "constant broadcast divide"),
    Row("not x ** 0.5 -> sqrt(x)", (F3,), lambda x: p.power(x, c(x, 0.5)), "constant broadcast power"),
    Row("x ** 3 for integers", ("int8[3]",), lambda x: p.power(x, c(x, 3)), "multiply multiply"),
    Row("max(x, x) -> x", (F3,), lambda x: p.exp(p.maximum(x, x)), "exp"),
    Row("max(x, -inf) -> x", (F3,), lambda x: p.exp(p.maximum(x, c(x, -np.inf))), "exp"),
    Row("min(x, inf) -> x", (F3,), lambda x: p.exp(p.minimum(x, c(x, np.inf))), "exp"),
    Row("not max(0, x) -> max(x, 0)", (F3,), lambda x: p.maximum(c(x, 0), x), "constant broadcast maximum"),
    Row("x & x -> x", ("int8[3]",), lambda x: p.sign(p.bitwise_and(x, x)), "sign"),
    Row("x | 0 -> x", ("int8[3]",), lambda x: p.sign(p.bitwise_or(x, c(x, 0))), "sign"),
    Row("x & 0 -> 0", ("int8[3]",), lambda x: p.bitwise_and(x, c(x, 0)), "constant broadcast"),
    Row("x & true -> x", ("bool[3]",), lambda x: p.invert(p.bitwise_and(x, c(x, True))), "invert"),
    Row("x | true -> true", ("bool[3]",), lambda x: p.bitwise_or(x, c(x, True)), "constant broadcast"),
    # compare and select
    Row("select(c, x, x) -> x", ("bool[3]", F3), lambda b, x: p.exp(p.select(b, x, x)), "exp"),
    Row(
        "select(true, x, y) -> x",
        (F3, F3),
        lambda x, y: p.exp(p.select(full((3,), True, "bool"), x, y)),
        "exp",
    ),
    Row(
        "select(not c, x, y) -> select(c, y, x)",
        ("bool[3]", F3, F3),
        lambda b, x, y: p.select(p.invert(b), x, y),
        "select",
    ),
    Row(
        "select(c, select(c, x, y), z) -> select(c, x, z)",
        ("bool[3]", F3, F3, F3),
        lambda b, x, y, z: p.select(b, p.select(b, x, y), z),
        "select",
    ),
    Row(
        "select(c, x, select(c, y, z)) -> select(c, x, z)",
        ("bool[3]", F3, F3, F3),
        lambda b, x, y, z: p.select(b, x, p.select(b, y, z)),
        "select",
    ),
    # reduce
    Row("max over axes of 1 -> reshape", ("float32[3,1]",), lambda x: p.reduce_max(x, axes=(1,)), "reshape"),
    Row(
        "the same, with others",
        ("float32[3,1]",),
        lambda x: p.reduce_max(x, axes=(0, 1)),
        "reshape reduce_max",
    ),
    Row(
        "max over repeated axes -> no max",
        (F3,),
        lambda x: p.exp(p.reduce_max(p.broadcast(x, shape=(4, 3), axes=(1,)), axes=(0,))),
        "exp",
    ),
    Row(
        "sum of ones",
        (F3,),
        lambda x: p.multiply(x, p.reduce_sum(full((3, 7), 1, "float32"), axes=(1,))),
        "constant broadcast multiply",
    ),
    Row(
        "sum of many ones",
        (),
        lambda: p.exp(p.reduce_sum(full((70000, 3), 1, "float32"), axes=(0,))),
        "constant broadcast",
    ),
    Row(
        "not a rounded sum",
        (),
        lambda: p.reduce_sum(full((70000,), 0.1, "float32"), axes=(0,)),
        "constant broadcast reduce_sum",
    ),
    Row("argmax over one -> 0", ("float32[3,1]",), lambda x: p.argmax(x, axis=1), "constant broadcast"),
    Row(
        "cumulative sum of one",
        ("float32[3,1]",),
        lambda x: p.exp(p.cumulative_sum(x, axis=1, reverse=True)),
        "exp",
    ),
    # repeat
    Row(
        "f(broadcast(x), broadcast(y)) -> broadcast(f(x, y))",
        (F3, F3),
        two_uses_of_broadcast,
        "add broadcast",
    ),
    Row(
        "f(broadcast(x), scalar) -> broadcast(f(x, scalar))",
        (F3, "float32[]"),
        lambda x, y: p.subtract(
            p.broadcast(y, shape=(3, 4), axes=()), p.broadcast(x, shape=(3, 4), axes=(0,))
        ),
        "broadcast subtract broadcast",
    ),
    Row(
        "f(reshape(x), reshape(y), c) -> reshape(f(x, y, c))",
        (F34, F34),
        lambda x, y: p.add(
            p.reshape(x, shape=(12,)), p.multiply(p.reshape(y, shape=(12,)), full((12,), 3, "float32"))
        ),
        "constant broadcast multiply add reshape",
    ),
    Row(
        "the same for one element",
        ("float32[1,1]",),
        lambda x: p.add(p.reshape(x, shape=(1,)), full((1,), 3, "float32")),
        "constant add reshape",
    ),
    Row(
        "broadcast(broadcast(x)) -> broadcast(x)",
        (F3,),
        lambda x: p.broadcast(p.broadcast(x, shape=(2, 3), axes=(1,)), shape=(2, 5, 3), axes=(0, 2)),
        "broadcast",
    ),
    Row(
        "broadcast without axes of 1",
        ("float32[3,1]",),
        lambda x: p.broadcast(x, shape=(2, 3, 4), axes=(1, 2)),
        "reshape broadcast",
    ),
    Row(
        "broadcast that repeats nothing", (F3,), lambda x: p.broadcast(x, shape=(1, 3), axes=(1,)), "reshape"
    ),
    # reshape and transpose
    Row("reshape(x, its shape) -> x", (F3,), lambda x: p.exp(p.reshape(x, shape=(3,))), "exp"),
    Row(
        "reshape(reshape(x)) -> reshape(x)",
        (F34,),
        lambda x: p.reshape(p.reshape(x, shape=(2, 6)), shape=(12,)),
        "reshape",
    ),
    Row(
        "reshape(broadcast(x)) -> broadcast(x)",
        (F3,),
        lambda x: p.reshape(p.broadcast(x, shape=(2, 3), axes=(1,)), shape=(2, 1, 3, 1)),
        "broadcast",
    ),
    Row(
        "reshape(broadcast(scalar)) -> broadcast(scalar)",
        ("float32[]",),
        lambda x: p.reshape(p.broadcast(x, shape=(2, 3), axes=()), shape=(6,)),
        "broadcast",
    ),
    Row(
        "transpose of axes of 1 -> reshape",
        ("float32[3,1,4]",),
        lambda x: p.transpose(x, permutation=(1, 0, 2)),
        "reshape",
    ),
    Row(
        "transpose(transpose(x)) -> transpose(x)",
        (F345,),
        lambda x: p.transpose(p.transpose(x, permutation=(1, 2, 0)), permutation=(0, 2, 1)),
        "transpose",
    ),
    Row(
        "transpose(broadcast(x)) -> broadcast(transpose(x))",
        (F34,),
        lambda x: p.transpose(p.broadcast(x, shape=(3, 2, 4), axes=(0, 2)), permutation=(2, 1, 0)),
        "transpose broadcast",
    ),
    Row(
        "transpose(dot(x, y)) -> dot(y, x)",
        ("float32[2,3,5]", "float32[2,5,7]"),
        lambda x, y: p.transpose(dot(x, y, (2,), (1,), ((0,), (0,))), permutation=(0, 2, 1)),
        "dot",
    ),
    # slice, pad, concatenate, reverse
    Row("x[:] -> x", (F34,), lambda x: p.exp(p.slice(x, start=(0, 0), limit=(3, 4), stride=(1, 1))), "exp"),
    Row("slice of slice", ("float32[12]",), lambda x: slice_all(slice_all(x, 1, 11, 2), 1, 4, 3), "slice"),
    Row(
        "an empty slice of a slice",
        ("float32[12]",),
        lambda x: slice_all(slice_all(x, 1, 11, 4), 3, 3),
        "slice",
    ),
    Row(
        "slice of one part of a concatenation",
        (F3, F3),
        lambda x, y: slice_all(p.concatenate(x, y, axis=0), 4, 6),
        "slice",
    ),
    Row(
        "slice(broadcast(scalar)) -> broadcast(scalar)",
        ("float32[]",),
        lambda x: slice_all(p.broadcast(x, shape=(5, 5), axes=()), 1, 4, 2),
        "broadcast",
    ),
    Row(
        "pad by nothing -> x",
        (F3,),
        lambda x: p.exp(p.pad(x, constant_value(0, "float32"), low=(0,), high=(0,), interior=(0,))),
        "exp",
    ),
    Row(
        "concatenate(x, concatenate(y, z)) -> concatenate(x, y, z)",
        (F3, F3, "float32[0]"),
        lambda x, y, empty: p.concatenate(x, p.concatenate(y, x, axis=0), empty, axis=0),
        "concatenate",
    ),
    Row("concatenate(x) -> x", (F3,), lambda x: p.exp(p.concatenate(x, axis=0)), "exp"),
    Row("reverse of nothing -> x", ("float32[3,1]",), lambda x: p.exp(p.reverse(x, axes=(1,))), "exp"),
    Row(
        "reverse(reverse(x)) -> x",
        (F34,),
        lambda x: p.exp(p.reverse(p.reverse(x, axes=(0,)), axes=(0,))),
        "exp",
    ),
    # contract
    Row(
        "dot(transpose(x), transpose(y)) -> dot(x, y)",
        (F34, "float32[5,3]"),
        lambda x, y: dot(p.transpose(x, permutation=(1, 0)), p.transpose(y, permutation=(1, 0)), (1,), (0,)),
        "dot",
    ),
    Row(
        "with free axes that change places after it",
        (F345, F3),
        lambda x, y: dot(p.transpose(x, permutation=(2, 1, 0)), y, (2,), (0,)),
        "dot transpose",
    ),
    # constants
    Row(
        "a primitive of constants -> constant",
        (F3,),
        lambda x: p.multiply(x, p.exp(constant_value(np.arange(3), "float32"))),
        "constant multiply",
    ),
    Row(
        "one number everywhere -> broadcast",
        (),
        lambda: constant_value(np.ones((3, 4)), "float32"),
        "constant broadcast",
    ),
    # gather and scatter
    Row(
        "transpose(gather(x, i)) -> gather(x, transpose(i))",
        ("float32[5,2]", "int32[3,4]"),
        lambda x, i: p.transpose(p.gather(x, i, axis=0), permutation=(1, 0, 2)),
        "transpose gather",
    ),
    Row(
        "scatter_add(x, i, transpose(y)) -> scatter_add(x, transpose(i), y)",
        ("float32[2,5]", "int32[3,4]", "float32[2,4,3]"),
        lambda x, i, y: p.scatter_add(x, i, p.transpose(y, permutation=(0, 2, 1)), axis=1),
        "transpose scatter_add",
    ),
    # control
    Row(
        "laws inside a loop",
        ("float32[2]",),
        lambda x: loop(x, 3, lambda h: p.negative(p.negative(h))),
        "scan",
    ),
    Row("scan of no steps -> its start", (F3,), lambda x: p.exp(loop(x, 0, p.exp)), "exp"),
    Row("cond of a known number -> a branch", (F3,), lambda x: branch(x, p.exp, p.sin), "exp"),
    Row("custom_gradient -> its results", (F3,), lambda x: own_gradient(p.exp(x)), "exp"),
    Row("0 and -0 are two numbers", (), lambda: constant_value(np.array([0.0, -0.0]), "float32"), "constant"),
]


def inputs_of(row: Row) -> list[Value]:
    made = []
    for text in row.types:
        dtype, shape = text.rstrip("]").split("[")
        made.append(new_input("x", TensorType(tuple(map(int, filter(None, shape.split(",")))), dtype)))
    return made


def data_for(type: TensorType, random: np.random.Generator) -> np.ndarray:
    if type.dtype == "bool":
        return random.integers(0, 2, type.shape).astype(bool)
    is_float = dtypes.is_float(type.dtype)
    numbers = random.choice(SPECIAL, type.shape) if is_float else random.integers(-300, 300, type.shape)
    with np.errstate(over="ignore"):
        return np.asarray(numbers).astype(dtypes.to_numpy(type.dtype))


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.law)
def test_law(row):
    inputs = inputs_of(row)
    result = row.before(*inputs)
    before = Graph(tuple(inputs), result if isinstance(result, tuple) else (result,))
    after = Graph(before.inputs, pipeline.run(before.outputs))
    verify(after)
    remaining = " ".join(node.primitive.name for node in after.nodes() if node.primitive is not p.input)
    assert remaining == row.after, f"\n{to_text(before)}became\n{to_text(after)}"
    random = np.random.default_rng(0)
    for _ in range(20):
        arrays = [data_for(value.type, random) for value in inputs]
        assert_same(run_graph(before, arrays), run_graph(after, arrays))


@pytest.mark.parametrize("n", [-1, 0, 1, 2, 3, 4])
def test_products_are_as_good_as_powers(n):
    """Three roundings at most, and the same infinities, zeros and NaNs."""
    x = new_input("x", TensorType((1000,), "float32"))
    (power,) = pipeline.run((p.power(x, c(x, n)),))
    assert p.power not in {node.primitive for node in Graph((x,), (power,)).nodes()}
    numbers = np.random.default_rng(0).normal(0, 1, 1000).astype("float32")
    numbers[: len(SPECIAL)] = np.array(SPECIAL, "float32")
    found = run_graph(Graph((x,), (power,)), [numbers])[0]
    with np.errstate(all="ignore"):
        expected = np.power(numbers.astype("float64"), n)
        assert_same([np.isfinite(expected.astype("float32"))], [np.isfinite(found)])
        np.testing.assert_allclose(found, expected.astype("float32"), rtol=4 * 2**-24, atol=1e-45)


@contextmanager
def watched(applied: set[int]) -> Iterator[None]:
    """While this is open, laws that apply are noted by identity."""
    original = {primitive: list(laws) for primitive, laws in pipeline.LAWS.items()}

    def watch(law):
        def watching(node):
            result = law(node)
            if result is not None:
                applied.add(id(law))
            return result

        return watching

    for laws in pipeline.LAWS.values():
        laws[:] = [watch(law) for law in laws]
    try:
        yield
    finally:
        for primitive, laws in original.items():
            pipeline.LAWS[primitive][:] = laws


def test_every_law_has_a_row():
    applied: set[int] = set()
    with watched(applied):
        for row in ROWS:
            result = row.before(*inputs_of(row))
            pipeline.run(result if isinstance(result, tuple) else (result,))
    by_source: dict[tuple[str, int], list[bool]] = {}
    for laws in pipeline.LAWS.values():
        for law in laws:
            by_source.setdefault(source(law), []).append(id(law) in applied)
    never = [place for place, uses in by_source.items() if not any(uses)]
    assert not never, f"laws that no row of this test applies: {never}"


def source(law) -> tuple[str, int]:
    """Where a law is written; one written for several primitives counts once."""
    code = inspect.unwrap(law).__code__
    return code.co_filename.rsplit("/", 1)[-1], code.co_firstlineno
