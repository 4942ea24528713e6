"""Rows for derivatives: for each differentiable primitive, functions at points where they are smooth."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from lamina.ir import primitives as p
from lamina.ir.bind import apply, constant_value, full
from lamina.ir.bodies import body_inputs
from lamina.ir.graph import Graph, Value
from lamina.ir.primitives import Primitive

Arrays = tuple[np.ndarray[Any, Any], ...]


class Row(NamedTuple):
    """A function of float64 values, and where to differentiate it with respect to all of them."""

    name: str
    function: Callable[..., Value]
    arrays: Arrays


def normal(*shape: int, seed: int = 0) -> np.ndarray[Any, Any]:
    return np.random.default_rng(seed).normal(0, 1, shape)


def between(low: float, high: float, *shape: int, seed: int = 0) -> np.ndarray[Any, Any]:
    return np.random.default_rng(seed).uniform(low, high, shape)


def apart(*shape: int, seed: int = 0) -> np.ndarray[Any, Any]:
    """Numbers that differ by at least 0.1, and from 0 by 0.05."""
    count = int(np.prod(shape))
    return ((np.random.default_rng(seed).permutation(count) - count // 2) * 0.1 + 0.05).reshape(shape)


FAR = np.array([-2.0, -1.2, -0.6, 0.5, 0.9, 1.4, 2.1])  # from 0, where powers bend too much for differences


def constant(array: Any, dtype: str = "float64") -> Value:
    return constant_value(array, dtype)


def unary(primitive: Primitive, low: float, high: float) -> Row:
    return Row(primitive.name, primitive, (between(low, high, 7),))


def dot(contract: Any, batch: Any = ((), ())) -> Callable[..., Value]:
    return lambda x, y: p.dot(x, y, contract=contract, batch=batch)


UNARY = [
    unary(p.negative, -2, 2),
    Row("absolute", p.absolute, (apart(7),)),
    unary(p.exp, -3, 3),
    unary(p.expm1, -3, 3),
    unary(p.log, 0.1, 5),
    unary(p.log1p, -0.9, 5),
    unary(p.sqrt, 0.1, 5),
    unary(p.rsqrt, 0.1, 5),
    unary(p.sin, -4, 4),
    unary(p.cos, -4, 4),
    unary(p.tan, -1.3, 1.3),
    unary(p.arcsin, -0.9, 0.9),
    unary(p.arccos, -0.9, 0.9),
    unary(p.arctan, -4, 4),
    unary(p.sinh, -3, 3),
    unary(p.cosh, -3, 3),
    unary(p.tanh, -3, 3),
    unary(p.arcsinh, -4, 4),
    unary(p.arccosh, 1.1, 5),
    unary(p.arctanh, -0.9, 0.9),
    unary(p.sigmoid, -5, 5),
    unary(p.erf, -3, 3),
    Row("cast", lambda x: p.sin(p.cast(x, dtype="float64")), (normal(7),)),
]

BINARY = [
    *(Row(f.name, f, (normal(7), normal(7, seed=1))) for f in (p.add, p.subtract, p.multiply)),
    Row("a value with itself", p.multiply, (normal(7),) * 2),
    Row("divide", p.divide, (normal(7), between(0.5, 2, 7))),
    Row("remainder", p.remainder, (np.array([7.3, -7.3, 2.6, -2.6]), np.array([2.0, 2.0, -1.1, -1.1]))),
    Row("power", p.power, (between(0.2, 3, 7), normal(7))),
    *(
        Row(f"power {n}", lambda x, n=n: p.power(x, full(x.shape, n, "float64")), (FAR,))
        for n in (-2, -1, 0, 1, 2, 3)
    ),
    Row("power 0.5", lambda x: p.power(x, full(x.shape, 0.5, "float64")), (between(0.2, 3, 7),)),
    *(Row(f.name, f, (apart(8), np.flip(apart(8)))) for f in (p.maximum, p.minimum)),
    Row("relu", lambda x: p.maximum(x, full(x.shape, 0, "float64")), (apart(7),)),
    Row("relu the other way round", lambda x: p.maximum(full(x.shape, 0, "float64"), x), (apart(7),)),
    Row("minimum with a constant", lambda x: p.minimum(x, constant(np.zeros(7))), (apart(7),)),
    Row("arctan2", p.arctan2, (normal(7), normal(7, seed=1))),
    Row(
        "select",
        lambda x, y: p.select(constant([True, False, True], "bool"), p.sin(x), y),
        (normal(3), normal(3)),
    ),
]

REDUCE = [
    *(
        Row(f"{f.name} over {axes} of {shape}", lambda x, f=f, axes=axes: f(x, axes=axes), (apart(*shape),))
        for f in (p.reduce_sum, p.reduce_prod, p.reduce_max, p.reduce_min)
        for shape, axes in (
            ((2, 3, 4), (0, 2)),
            ((2, 3, 4), (1,)),
            ((17,), (0,)),
            ((3, 1), (1,)),
            ((2, 3), ()),
        )
    ),
    Row(
        "reduce_prod with one zero",
        lambda x: p.reduce_prod(x, axes=(0,)),
        (np.array([2.0, 0.0, 3.0, -1.5, 0.5]),),
    ),
    Row(
        "reduce_prod with two zeros", lambda x: p.reduce_prod(x, axes=(0,)), (np.array([2.0, 0.0, 3.0, 0.0]),)
    ),
    *(
        Row(f"{f.name} of nothing", lambda x, f=f: f(x, axes=(0,)), (np.zeros((0, 3)),))
        for f in (p.reduce_sum, p.reduce_prod)
    ),
    *(
        Row(
            f"cumulative_sum {axis} {back}",
            lambda x, a=axis, b=back: p.cumulative_sum(p.sin(x), axis=a, reverse=b),
            (normal(3, 4),),
        )
        for axis, back in ((0, False), (1, True))
    ),
]

MOVE = [
    Row("reshape", lambda x: p.sin(p.reshape(x, shape=(2, 6))), (normal(3, 4),)),
    Row("transpose", lambda x: p.sin(p.transpose(x, permutation=(1, 2, 0))), (normal(2, 3, 4),)),
    Row("broadcast", lambda x: p.sin(p.broadcast(x, shape=(2, 3, 5, 4), axes=(1, 3))), (normal(3, 4),)),
    Row(
        "broadcast of 1",
        lambda x: p.sin(p.broadcast(x, shape=(2, 3, 4, 1), axes=(1, 2, 3))),
        (normal(3, 1, 1),),
    ),
    Row("broadcast of a scalar", lambda x: p.sin(p.broadcast(x, shape=(2, 3), axes=())), (normal(),)),
    Row("slice", lambda x: p.sin(p.slice(x, start=(1, 0), limit=(6, 3), stride=(2, 2))), (normal(7, 3),)),
    Row("slice of nothing", lambda x: p.slice(x, start=(2,), limit=(2,), stride=(1,)), (normal(7),)),
    Row(
        "pad",
        lambda x, v: p.sin(p.pad(x, v, low=(1, 0), high=(0, 2), interior=(2, 0))),
        (normal(3, 2), normal(seed=1)),
    ),
    Row(
        "pad of nothing",
        lambda x, v: p.sin(p.pad(x, v, low=(1,), high=(2,), interior=(3,))),
        (normal(0), normal()),
    ),
    Row(
        "concatenate",
        lambda x, y: p.sin(p.concatenate(x, y, x, axis=1)),
        (normal(2, 3), normal(2, 1, seed=1)),
    ),
    Row("reverse", lambda x: p.sin(p.reverse(x, axes=(0, 1))), (normal(2, 3),)),
]

CONTRACT = [
    Row("dot", dot(((1,), (0,))), (normal(3, 4), normal(4, 5, seed=1))),
    Row("dot of rows", dot(((1,), (1,))), (normal(3, 4), normal(5, 4, seed=1))),
    Row("dot of columns", dot(((0,), (0,))), (normal(3, 4), normal(3, 5, seed=1))),
    Row("dot transposed", dot(((0,), (1,))), (normal(3, 4), normal(5, 3, seed=1))),
    Row("dot of vectors", dot(((0,), (0,))), (normal(3), normal(3, seed=1))),
    Row("outer product", dot(((), ())), (normal(3), normal(4, seed=1))),
    Row("dot of a middle axis", dot(((1,), (1,))), (normal(2, 3, 4), normal(5, 3, 6, seed=1))),
    Row("dot of two axes", dot(((2, 0), (0, 1))), (normal(2, 3, 4), normal(4, 2, 5, seed=1))),
    Row("dot with a batch", dot(((2,), (1,)), ((0,), (0,))), (normal(2, 3, 4), normal(2, 4, 5, seed=1))),
    Row(
        "dot with scattered batches",
        dot(((1,), (3,)), ((3, 0), (0, 2))),
        (normal(2, 3, 4, 5), normal(5, 2, 2, 3, seed=1)),
    ),
    Row("dot over nothing", dot(((1,), (0,))), (normal(3, 0), normal(0, 5))),
    Row(
        "dot of a value with itself",
        lambda x: p.dot(x, x, contract=((0,), (0,)), batch=((), ())),
        (normal(3, 4),),
    ),
]


def attention(result: int, causal: bool, *mask: Any) -> Callable[..., Value]:
    return lambda *operands: p.attention(
        *operands, *map(constant_value, mask), causal=causal, scale=0.7, rate=0.4 if len(mask) > 1 else 0.0
    )[result]


def attention_grad(position: int, causal: bool, *mask: Any) -> Callable[..., Value]:
    def function(query: Value, key: Value, value: Value, cotangent: Value) -> Value:
        masks = [constant_value(each) for each in mask]
        how = {"causal": causal, "scale": 0.7, "rate": 0.4 if len(mask) > 1 else 0.0}
        results = p.attention(query, key, value, *masks, **how)
        return p.attention_grad(query, key, value, *results, cotangent, *masks, **how)[position]

    return function


BITS = np.array([5, 6], np.uint32)
SOME = np.array([True, False, True, True]).reshape(1, 1, 4, 1)
QUERIES = (normal(1, 3, 4, 2), normal(1, 4, 2, 2, seed=1), normal(1, 4, 2, 3, seed=2))
COTANGENT = normal(1, 3, 4, 3, seed=3)
ATTENTION = [
    Row("attention", attention(0, False), QUERIES),
    Row("causal attention with a mask", attention(0, True, SOME), QUERIES),
    Row("attention that drops weights", attention(0, True, SOME, BITS), QUERIES),
    Row("highest scores of attention", attention(1, True), QUERIES),
    Row("sums of attention", attention(2, False, SOME), QUERIES),
    *(
        Row(
            f"gradient {position} of attention",
            attention_grad(position, True, SOME, BITS),
            (*QUERIES, COTANGENT),
        )
        for position in range(3)
    ),
]


def window(spatial: int, sizes: Any = None, **given: Any) -> dict[str, Any]:
    """Attributes of a window over that many axes."""
    plain = {"strides": (1,) * spatial, "padding": ((0, 0),) * spatial, "dilation": (1,) * spatial}
    return {**({"sizes": sizes} if sizes else {}), **plain, **given}


WINDOWS = (
    # what, x, kernel, how
    ("1-D", (2, 7, 3), (3, 3, 4), window(1)),
    ("strided and padded", (2, 7, 2), (3, 2, 2), window(1, strides=(2,), padding=((2, 1),))),
    ("2-D", (2, 5, 4, 2), (3, 2, 2, 3), window(2, strides=(2, 1), padding=((1, 1), (0, 1)))),
    ("dilated", (1, 6, 7, 1), (2, 3, 1, 2), window(2, dilation=(3, 2))),
    ("3-D", (1, 3, 4, 3, 1), (2, 2, 2, 1, 2), window(3, strides=(1, 2, 1))),
)
CONV = [
    *(
        Row(
            f"conv {what}",
            lambda x, k, how=how: p.sin(p.conv(x, k, groups=1, **how)),
            (normal(*x), normal(*kernel, seed=1)),
        )
        for what, x, kernel, how in WINDOWS
    ),
    Row(
        "conv in groups",
        lambda x, k: p.conv(x, k, groups=2, **window(1, padding=((1, 1),))),
        (normal(2, 4, 4), normal(2, 2, 6, seed=1)),
    ),
    Row(
        "conv of each channel",
        lambda x, k: p.conv(x, k, groups=3, **window(2)),
        (normal(1, 4, 4, 3), normal(2, 2, 1, 6, seed=1)),
    ),
    Row(
        "conv_input_grad",
        lambda y, k: p.sin(
            p.conv_input_grad(y, k, shape=(8,), groups=2, **window(1, strides=(3,), padding=((1, 0),)))
        ),
        (normal(2, 3, 4), normal(2, 1, 4, seed=1)),
    ),
    Row(
        "conv_filter_grad",
        lambda x, y: p.sin(
            p.conv_filter_grad(x, y, shape=(2,), groups=2, **window(1, strides=(3,), padding=((1, 0),)))
        ),
        (normal(2, 8, 2), normal(2, 3, 4, seed=1)),
    ),
]

INDEX = np.array([0, 3, 1, 2, 2, 0, 7, 1, 3, 3, 2, 1]).reshape(1, 2, 3, 2)
POOL = [
    *(
        Row(
            f"max_window {what}",
            lambda x, how=how, k=kernel: p.sin(p.max_window(x, sizes=k[:-2], **how)[0]),
            (apart(*x),),
        )
        for what, x, kernel, how in WINDOWS
    ),
    Row(
        "gather_window",
        lambda x: p.sin(p.gather_window(x, constant(INDEX, "uint8"), **window(2, (2, 2), strides=(2, 1)))),
        (normal(1, 5, 4, 2),),
    ),
    Row(
        "scatter_window",
        lambda y: p.sin(
            p.scatter_window(y, constant(INDEX, "uint8"), shape=(5, 4), **window(2, (2, 2), strides=(2, 1)))
        ),
        (normal(1, 2, 3, 2),),
    ),
    *(
        Row(
            f"sum_window {what}",
            lambda x, how=how, k=kernel: p.sin(p.sum_window(x, sizes=k[:-2], **how)),
            (normal(*x),),
        )
        for what, x, kernel, how in WINDOWS
    ),
    Row(
        "spread_window",
        lambda y: p.sin(p.spread_window(y, shape=(7,), **window(1, (3,), strides=(2,), padding=((1, 1),)))),
        (normal(2, 4, 2),),
    ),
]

GATHER = [
    Row(
        f"gather {axis} by {indices.shape}",
        lambda x, axis=axis, at=indices: p.sin(p.gather(x, constant(at, "int32"), axis=axis)),
        (normal(4, 5),),
    )
    for axis, indices in (
        (0, np.array([3, 0, 3])),
        (1, np.array([[2, 2], [0, 4]])),
        (1, np.array(3)),
        (0, np.array([-1, 4, 9])),
        (0, np.array([], int)),
    )
] + [
    Row(
        f"scatter_add {axis} by {indices.shape}",
        lambda x, u, axis=axis, indices=indices: p.sin(
            p.scatter_add(x, constant(indices, "int32"), u, axis=axis)
        ),
        (normal(4, 5), normal(*shape, seed=1)),
    )
    for axis, indices, shape in (
        (0, np.array([3, 0, 3]), (3, 5)),
        (1, np.array([[2, 2], [0, 4]]), (4, 2, 2)),
        (0, np.array([-1, 4, 2]), (3, 5)),
    )
]

SORT = [
    Row(
        f"sort {axis} {descending}",
        lambda x, a=axis, d=descending: p.sin(p.sort(x, axis=a, descending=d)[0]),
        (apart(3, 4, 2),),
    )
    for axis, descending in ((0, False), (1, True), (2, False))
]


SPREAD = np.diag([1.0, 2.5, 4.0, 7.0])  # keeps eigenvalues and singular values apart


def host(function, **options):
    """All outputs of a host function, in one tensor."""

    def call(*operands):
        found = p.host(*operands, function=function, options=tuple(sorted(options.items())))
        parts = found if isinstance(found, tuple) else (found,)
        flat = [p.reshape(part, shape=(part.size,)) for part in parts]
        return p.sin(p.concatenate(*flat, axis=0) if len(flat) > 1 else flat[0])

    return call


def spaces(function, position, **options):
    """The results, but of an orthogonal one only its first columns (rows), and the projector to the rest."""

    def call(x):
        parts = list(p.host(x, function=function, options=tuple(sorted(options.items()))))
        basis = parts.pop(position)
        basis = p.transpose(basis, permutation=(1, 0)) if position else basis
        size, count = basis.shape[0], min(x.shape)
        first = p.slice(basis, start=(0, 0), limit=(size, count), stride=(1, 1))
        rest = p.slice(basis, start=(0, count), limit=(size, size), stride=(1, 1))
        parts += [first, p.dot(rest, rest, contract=((1,), (1,)), batch=((), ()))]
        return p.sin(p.concatenate(*(p.reshape(part, shape=(part.size,)) for part in parts), axis=0))

    return call


HOST = [
    Row("cholesky", host("cholesky"), (normal(4, 4) * 0.3 + 2 * SPREAD,)),
    Row("solve", host("solve"), (normal(2, 4, 4) * 0.3 + SPREAD, normal(2, 4, 2, seed=1))),
    Row("det", host("det"), (normal(2, 3, 3) + 2 * np.eye(3),)),
    Row("slogdet", host("slogdet"), (normal(2, 3, 3) + 2 * np.eye(3),)),
    Row("qr", host("qr", complete=False), (normal(4, 3) * 0.3 + SPREAD[:, :3],)),
    Row("eigh", host("eigh"), (normal(4, 4) * 0.2 + SPREAD,)),
    Row("svd", host("svd", complete=False), (normal(4, 4) * 0.2 + SPREAD,)),
    Row("svd tall", host("svd", complete=False), (normal(4, 3) * 0.2 + SPREAD[:, :3],)),
    Row("svd wide", host("svd", complete=False), (normal(2, 4) * 0.2 + SPREAD[:2],)),
    Row("qr wide", host("qr", complete=False), (normal(3, 5) * 0.3 + np.eye(3, 5) * [1, 2.5, 4, 0, 0],)),
    Row("qr complete", spaces("qr", 0, complete=True), (normal(5, 2) * 0.3 + np.eye(5, 2) * [1, 2],)),
    Row("svd full", spaces("svd", 0, complete=True), (normal(4, 2) * 0.2 + SPREAD[:, :2],)),
    Row("svd full wide", spaces("svd", 2, complete=True), (normal(2, 4) * 0.2 + SPREAD[:2],)),
    *(
        Row(f"lu {shape}", host("lu"), (normal(2, *shape, seed=3),))
        for shape in ((3, 3), (4, 2), (2, 4), (1, 1))
    ),
    Row("eig real", host("eig"), (normal(4, 4) * 0.3 + SPREAD,)),
    Row("eig complex", host("eig"), (normal(2, 4, 4, seed=2),)),
    Row("nextafter", lambda x: p.sin(p.multiply(host("nextafter")(x, p.negative(x)), x)), (apart(4),)),
    Row("fft", host("fft", axes=(0, 1), inverse=False), (normal(3, 4), normal(3, 4, seed=1))),
    Row("inverse fft", host("fft", axes=(1,), inverse=True), (normal(3, 4), normal(3, 4, seed=1))),
]


def nested(types: Sequence[Value], function: Callable[..., Sequence[Value]]) -> Graph:
    inputs = body_inputs([value.type for value in types])
    return Graph(inputs, tuple(function(*inputs)))


def slice_of(x: Value) -> Value:
    return p.reshape(p.slice(x, start=(0, 0), limit=(1, 3), stride=(1, 1)), shape=(3,))


def recurrence(weight: Value, start: Value, xs: Value, reverse: bool) -> Value:
    """h' = tanh(W h + x) sigmoid(h), y = h' h; h counted twice."""

    def step(weight: Value, h: Value, x: Value) -> Sequence[Value]:
        product = p.dot(weight, h, contract=((1,), (0,)), batch=((), ()))
        new = p.multiply(p.tanh(p.add(product, x)), p.sigmoid(h))
        return new, p.multiply(new, h)

    body = nested([weight, start, slice_of(xs)], step)
    last, ys = p.scan(weight, start, xs, body=body, length=xs.shape[0], consts=1, carries=1, reverse=reverse)
    return p.add(p.broadcast(p.add(last, last), shape=ys.shape, axes=(1,)), p.sin(ys))


def loop_in_a_loop(weight: Value, start: Value, xs: Value) -> Value:
    """Each step of the outer loop runs the inner one over all slices."""

    def inner(weight: Value, h: Value, x: Value) -> Sequence[Value]:
        return [p.sin(p.add(p.multiply(p.reduce_sum(weight, axes=(0,)), h), x))]

    def outer(weight: Value, xs: Value, h: Value, x: Value) -> Sequence[Value]:
        body = nested([weight, h, x], inner)
        found = p.scan(
            weight, p.multiply(h, x), xs, body=body, length=xs.shape[0], consts=1, carries=1, reverse=True
        )
        return found, found

    body = nested([weight, xs, start, slice_of(xs)], outer)
    return p.scan(weight, xs, start, xs, body=body, length=xs.shape[0], consts=2, carries=1, reverse=False)[1]


def branch(number: int) -> Callable[..., Value]:
    def function(x: Value, y: Value) -> Value:
        branches = tuple(
            nested([x, y], each)
            for each in (
                lambda x, y: [p.sin(p.multiply(x, y))],
                lambda x, y: [p.exp(x)],
                lambda x, y: [full(x.shape, 2, "float64")],
            )
        )
        return p.cond(constant(number, "int32"), x, y, branches=branches)

    return function


CONTROL = [
    *(
        Row(
            f"scan of {length}{' backwards' * reverse}",
            lambda w, h, xs, r=reverse: recurrence(w, h, xs, r),
            (normal(3, 3), normal(3, seed=1), normal(length, 3, seed=2)),
        )
        for length, reverse in ((1, False), (4, False), (3, True))
    ),
    Row("scan in a scan", loop_in_a_loop, (0.3 * normal(3, 3), normal(3, seed=1), normal(3, 3, seed=2))),
    *(Row(f"cond {number}", branch(number), (normal(3), normal(3, seed=1))) for number in (0, 1, 2)),
]


def with_gradient_of_square(x: Value) -> Value:
    """x^2 whose derivative is said to be 2 x, from a remembered x."""
    inputs = body_inputs([x.type, x.type])
    backward = Graph(inputs, (p.multiply(p.add(*[inputs[0]] * 2), inputs[1]),))
    square = p.stop_gradient(p.multiply(x, x))
    return apply(p.custom_gradient, [square, x, x], {"backward": backward, "results": 1, "arguments": 1})[0]


CUSTOM = [
    Row("custom_gradient", lambda x: p.sin(with_gradient_of_square(p.exp(x))), (normal(5),)),
]

COMPOSED = [
    Row(
        "softmax",
        lambda x: p.divide(p.exp(x), p.broadcast(p.reduce_sum(p.exp(x), axes=(1,)), shape=(3, 4), axes=(0,))),
        (normal(3, 4),),
    ),
    Row(
        "a value used many times",
        lambda x: p.add(p.multiply(x, p.sin(x)), p.divide(p.exp(x), x)),
        (FAR,),
    ),
]

ROWS = [
    *UNARY,
    *BINARY,
    *REDUCE,
    *MOVE,
    *CONTRACT,
    *ATTENTION,
    *CONV,
    *POOL,
    *GATHER,
    *SORT,
    *HOST,
    *CONTROL,
    *CUSTOM,
    *COMPOSED,
]
