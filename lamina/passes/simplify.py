"""Laws of arithmetic. Each row states its law; c is a constant number.

Only laws that hold for every float are here: NaN, infinities, signed zeros and the last bit included. So
there is no x * 0 -> 0 (NaN), no x + 0 -> x (-0 + 0 is 0), and nothing is reassociated. The one exception
is a power with a small whole exponent: the products have the same special cases and at most three roundings.
"""

from __future__ import annotations

from collections.abc import Callable
from math import copysign, frexp, inf, isfinite, prod

from lamina.core import dtypes
from lamina.core.dtypes import is_float, is_integer
from lamina.core.shapes import remove
from lamina.ir import primitives as p
from lamina.ir.bind import full
from lamina.ir.constants import is_constant, splat
from lamina.ir.graph import Value
from lamina.ir.primitives import COMMUTATIVE, Primitive
from lamina.passes.rewrite import LawBook, having, under

SIMPLIFY = LawBook()
law = SIMPLIFY.law


def when(x: Value | None, result: Callable[[Value], Value]) -> Value | None:
    """result(x), if there is an x."""
    return None if x is None else result(x)


def like(x: Value, number: float) -> Value:
    return full(x.shape, number, x.dtype)


# --- unary -----------------------------------------------------------------------------------------
def of_product(x: Value) -> Value | None:
    """-(x * c) -> x * -c"""
    if x.node.primitive is not p.multiply:
        return None
    factor, number = x.node.inputs
    c = splat(number)
    return None if c is None or not is_float(x.dtype) else p.multiply(factor, like(number, -c))


def of_negative(x: Value) -> Value | None:
    """|-x| -> |x|, but not for unsigned integers, which wrap around"""
    return when(under(x, p.negative), p.absolute) if is_float(x.dtype) else None


def of_comparison(x: Value) -> Value | None:
    """not (x == y) -> x != y, and the other way round"""
    opposite = {p.equal: p.not_equal, p.not_equal: p.equal}.get(x.node.primitive)
    return None if opposite is None else opposite(*x.node.inputs)


def through_wider(x: Value, *, dtype: str) -> Value | None:
    """cast(cast(x, wide), dtype) -> cast(x, dtype), when `wide` holds every number of x's dtype"""
    inner = under(x, p.cast)
    if inner is None or not holds_every(inner.dtype, x.dtype):
        return None
    # Integers that become integers wrap around; by way of a float they saturate.
    if is_integer(inner.dtype) and is_float(x.dtype) and not holds_every(inner.dtype, dtype):
        return None
    return p.cast(inner, dtype=dtype)


# Binary digits of the mantissa, and an exponent that is safely inside the range.
DIGITS = {"bfloat16": 8, "float16": 11, "float32": 24, "float64": 53}
SAFE_EXPONENT = {"bfloat16": 126, "float16": 14, "float32": 126, "float64": 1022}


def holds_every(narrow: str, wide: str) -> bool:
    """Whether every number of dtype `narrow` is one of dtype `wide`."""
    if narrow == "bool" or narrow == wide:
        return True
    if wide == "bool" or (is_float(narrow) and is_integer(wide)):
        return False
    if is_float(narrow):
        return wide in ("float32", "float64") and DIGITS[narrow] < DIGITS[wide]
    low, high = dtypes.limits(narrow)
    if is_float(wide):
        return bool(high < 2 ** DIGITS[wide])
    lowest, highest = dtypes.limits(wide)
    return bool(lowest <= low and high <= highest)


law(p.stop_gradient, lambda x: x)  # gradients have been taken by now: stop_gradient(x) -> x
law(p.negative, lambda x: under(x, p.negative), of_product)  # -(-x) -> x
law(p.absolute, lambda x: x if under(x, p.absolute) else None)  # ||x|| -> |x|
law(p.absolute, of_negative)
law(p.invert, lambda x: under(x, p.invert), of_comparison)  # ~~x -> x
law(p.cast, lambda x, *, dtype: x if x.dtype == dtype else None, through_wider)  # cast(x, its dtype) -> x


# --- binary ----------------------------------------------------------------------------------------
def is_zero(x: Value, sign: float) -> bool:
    """Whether x is the constant 0 with this sign; integers have only one zero."""
    c = splat(x)
    return c == 0 and (is_integer(x.dtype) or copysign(1.0, c) == sign)


def by_power_of_two(x: Value, y: Value) -> Value | None:
    """x / c -> x * (1/c), when 1/c is exact"""
    c = splat(y)
    if not c or not isfinite(c):
        return None
    mantissa, exponent = frexp(c)
    fits = abs(mantissa) == 0.5 and abs(exponent - 1) <= SAFE_EXPONENT[y.dtype]
    return p.multiply(x, like(y, 1 / c)) if fits else None


def whole_power(x: Value, y: Value) -> Value | None:
    """x ** n -> products, for n in -1, 0, 1, 2, 3, 4"""
    n = splat(y)
    if n == -1 and is_float(x.dtype):
        return p.divide(like(x, 1), x)
    if n not in (0, 1, 2, 3, 4):
        return None
    if n < 2:
        return x if n == 1 else like(x, 1)
    square = p.multiply(x, x)
    return square if n == 2 else p.multiply(square, x if n == 3 else square)


def constant_last(commutative: Primitive) -> Callable[[Value, Value], Value | None]:
    """c + x -> x + c"""
    return lambda x, y: commutative(y, x) if is_constant(x) and not is_constant(y) else None


# maximum and minimum keep their order: of 0 and -0 they may take the first.
for primitive in having(COMMUTATIVE):
    if primitive not in (p.maximum, p.minimum):
        law(primitive, constant_last(primitive))
law(p.add, lambda x, y: x if is_zero(y, sign=-1) else None)  # x + -0 -> x
law(p.add, lambda x, y: when(under(y, p.negative), lambda z: p.subtract(x, z)))  # x + -z -> x - z
law(p.add, lambda x, y: when(under(x, p.negative), lambda z: p.subtract(y, z)))  # -z + y -> y - z
law(p.subtract, lambda x, y: x if is_zero(y, sign=1) else None)  # x - 0 -> x
law(p.subtract, lambda x, y: when(under(y, p.negative), lambda z: p.add(x, z)))  # x - -z -> x + z
law(p.multiply, lambda x, y: x if splat(y) == 1 else None)  # x * 1 -> x
law(p.multiply, lambda x, y: p.negative(x) if splat(y) == -1 else None)  # x * -1 -> -x
law(p.divide, by_power_of_two)
law(p.power, whole_power)
law([p.maximum, p.minimum], lambda x, y: x if x is y else None)  # max(x, x) -> x
law(p.maximum, lambda x, y: x if splat(y) == -inf else None)  # max(x, -inf) -> x
law(p.minimum, lambda x, y: x if splat(y) == inf else None)  # min(x, inf) -> x
law([p.bitwise_and, p.bitwise_or], lambda x, y: x if x is y else None)  # x & x -> x
law([p.bitwise_or, p.bitwise_xor], lambda x, y: x if splat(y) == 0 else None)  # x | 0 -> x
law(p.bitwise_and, lambda x, y: y if splat(y) == 0 else None)  # x & 0 -> 0
law(p.bitwise_and, lambda x, y: x if x.dtype == "bool" and splat(y) else None)  # x & true -> x
law(p.bitwise_or, lambda x, y: y if x.dtype == "bool" and splat(y) else None)  # x | true -> true


# --- compare and select ----------------------------------------------------------------------------
def of_constant_condition(condition: Value, x: Value, y: Value) -> Value | None:
    """select(true, x, y) -> x"""
    known = splat(condition)
    return None if known is None else (x if known else y)


law(p.select, lambda condition, x, y: x if x is y else None)  # select(c, x, x) -> x
law(p.select, of_constant_condition)
law(p.select, lambda condition, x, y: when(under(condition, p.invert), lambda c: p.select(c, y, x)))
# select(c, select(c, x, z), y) -> select(c, x, y)
law(p.select, lambda c, x, y: p.select(c, x.node.inputs[1], y) if under(x, p.select) is c else None)
law(p.select, lambda c, x, y: p.select(c, x, y.node.inputs[2]) if under(y, p.select) is c else None)


# --- reduce ----------------------------------------------------------------------------------------
def of_one_element(reduction: Primitive) -> Callable[..., Value | None]:
    """A reduction over no axes or over axes of extent 1 -> reshape"""

    def rule(x: Value, *, axes: tuple[int, ...]) -> Value | None:
        single = tuple(axis for axis in axes if x.shape[axis] == 1)
        if axes and not single:
            return None
        dropped = p.reshape(x, shape=remove(x.shape, single))
        rest = tuple(axis - sum(gone < axis for gone in single) for axis in axes if axis not in single)
        return reduction(dropped, axes=rest) if rest else dropped

    return rule


def sum_of_splat(x: Value, *, axes: tuple[int, ...]) -> Value | None:
    """The sum of n times c -> n * c, when no partial sum is rounded"""
    c = splat(x)
    if c is None or not is_float(x.dtype) or not isfinite(c) or is_zero(x, sign=-1):
        return None
    count = prod(x.shape[axis] for axis in axes)
    digits = f"{int(abs(frexp(c)[0]) * 2**53) * count:b}".rstrip("0")
    fits = len(digits) <= DIGITS[x.dtype] and abs(c) * count <= 2.0 ** SAFE_EXPONENT[x.dtype]
    return full(remove(x.shape, axes), c * count, x.dtype) if fits else None


def of_repetition(extreme: Primitive) -> Callable[..., Value | None]:
    """max(broadcast(x), repeated axes) -> x"""

    def rule(x: Value, *, axes: tuple[int, ...]) -> Value | None:
        if x.node.primitive is not p.broadcast:
            return None
        inner, placed = x.node.inputs[0], x.node.attributes["axes"]
        if any(axis in axes for axis in placed):
            return None
        kept = [axis for axis in range(x.ndim) if axis not in axes]
        return p.broadcast(
            inner, shape=remove(x.shape, axes), axes=tuple(kept.index(axis) for axis in placed)
        )

    return rule


# Not for reduce_sum: the sum of -0 alone is 0.
for primitive in (p.reduce_prod, p.reduce_max, p.reduce_min):
    law(primitive, of_one_element(primitive))
for primitive in (p.reduce_max, p.reduce_min):
    law(primitive, of_repetition(primitive))
law(p.reduce_sum, sum_of_splat)
law(
    [p.argmax, p.argmin],
    lambda x, *, axis: full(remove(x.shape, [axis]), 0, "int32") if x.shape[axis] == 1 else None,
)
law(p.cumulative_sum, lambda x, *, axis, reverse: x if x.shape[axis] == 1 else None)
