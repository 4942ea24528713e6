"""Vector code of every elementwise primitive: one table, in the order of `lamina.ir.primitives`.

    result = emit(builder, primitive, operand_dtypes, result_dtype, operands, target)

A row has the function for floats (float32 and float64), for integers and for booleans; None where the
primitive has no meaning. The functions live in the `math_*` rooms; those of one line are here. Operands have
the same number of lanes, one included, and every lane gets the same bits whatever that number is. No library
is called.

float16 and bfloat16 are computed in float32: `widen` what was loaded, `narrow` what is stored.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from lamina.backends.cpu import (
    math_cast,
    math_exp,
    math_integer,
    math_log,
    math_power,
    math_random,
    math_remainder,
)
from lamina.backends.cpu import math_trig as trig
from lamina.backends.cpu.emit import Builder, Register
from lamina.backends.cpu.math_vector import Vector
from lamina.backends.cpu.target import Target
from lamina.core import dtypes
from lamina.ir import primitives as p
from lamina.ir.primitives import Primitive

INFINITY = float("inf")


@dataclass(frozen=True)
class Row:
    """What a primitive does to floats, to integers (told first whether they are unsigned), to booleans."""

    floats: Callable[..., Vector] | None = None
    integers: Callable[..., Vector] | None = None
    booleans: Callable[..., Vector] | None = None


def emit(
    builder: Builder,
    primitive: Primitive,
    operand_dtypes: Sequence[str],
    result_dtype: str,
    operands: Sequence[Register],
    target: Target,
) -> Register:
    """Emit `primitive`. Operands and result are registers of the elements in `emit.ELEMENT`."""
    vectors = [Vector(builder, target, operand) for operand in operands]
    if primitive is p.cast:
        return math_cast.cast(vectors[0], operand_dtypes[0], result_dtype).register
    # The condition of a select is boolean whatever it selects.
    dtype = operand_dtypes[-1]
    row = TABLE[primitive]
    if dtype == "bool":
        function = row.booleans
    elif dtypes.is_float(dtype):
        function = row.floats
    else:
        function, vectors = row.integers, [dtypes.is_unsigned(dtype), *vectors]  # type: ignore[list-item]
    if function is None:
        raise AssertionError(f"{primitive.name} of {dtype} has no meaning; the type rules forbid it")
    return function(*vectors).register


def widen(builder: Builder, register: Register, dtype: str, target: Target) -> Register:
    """float16 or bfloat16 from memory (`half` or `bfloat`) as float32."""
    return math_cast.widen(Vector(builder, target, register), dtype).register


def narrow(builder: Builder, register: Register, dtype: str, target: Target) -> Register:
    """float32 rounded to float16 or bfloat16, ready to be stored."""
    return math_cast.narrow(Vector(builder, target, register), dtype).register


def random_bits(
    builder: Builder, key: Register, second: Register, counter: Register, target: Target
) -> Register:
    """Philox bits for the element numbers in `counter` (i32); `key`, `second`: scalar words of the key."""
    lanes = counter.lanes
    words = (counter, builder.splat(second, lanes), builder.splat(key, lanes))
    return math_random.philox(*(Vector(builder, target, word) for word in words)).register


# --- small functions -------------------------------------------------------------------------------


def _sign(x: Vector) -> Vector:
    """-1, 0 or 1; NaN stays NaN, and the zero is positive."""
    return (x > 0.0).where(1.0, (x < 0.0).where(-1.0, x + 0.0))


def _is_number(x: Vector) -> bool:
    """Whether the register is a constant without NaN in any lane."""
    if not x.register.is_constant:
        return False
    patterns = re.findall(r"0x([0-9A-F]{16})\b", x.register.text)
    numbers = [struct.unpack(">d", bytes.fromhex(pattern))[0] for pattern in patterns]
    return all(number == number for number in numbers)


def _maximum(x: Vector, y: Vector) -> Vector:
    """The larger one, NaN if either is. With a known number one instruction, as in relu."""
    if _is_number(y):
        return x.at_least(y)
    if _is_number(x):
        return y.at_least(x)
    if x.target.is_arm64:
        return x.intrinsic("maximum", y)
    return x.is_nan().where(x, (x > y).where(x, y))


def _minimum(x: Vector, y: Vector) -> Vector:
    if _is_number(y):
        return x.at_most(y)
    if _is_number(x):
        return y.at_most(x)
    if x.target.is_arm64:
        return x.intrinsic("minimum", y)
    return x.is_nan().where(x, (x < y).where(x, y))


def _true(*operands: Any) -> Vector:
    x: Vector = operands[-1]
    return x.full(True, "i1")


def _compared(floating: str, signed: str, unsigned: str) -> Row:
    """False is less than True."""
    return Row(
        lambda x, y: x.compare(floating, y),
        lambda is_unsigned, x, y: x.compare(unsigned if is_unsigned else signed, y),
        lambda x, y: x.compare(unsigned, y),
    )


def _bitwise(function: Callable[[Vector, Vector], Vector]) -> Row:
    return Row(None, lambda unsigned, x, y: function(x, y), function)


TABLE: dict[Primitive, Row] = {
    # unary
    p.negative: Row(lambda x: -x, lambda unsigned, x: -x),
    p.absolute: Row(lambda x: x.absolute(), lambda unsigned, x: math_integer.absolute(x, unsigned)),
    p.sign: Row(_sign, lambda unsigned, x: math_integer.sign(x, unsigned)),
    p.floor: Row(lambda x: x.floor()),
    p.ceil: Row(lambda x: x.ceil()),
    p.round_even: Row(lambda x: x.rint()),
    p.exp: Row(math_exp.exp),
    p.expm1: Row(math_exp.expm1),
    p.log: Row(math_log.log),
    p.log1p: Row(math_log.log1p),
    p.sqrt: Row(lambda x: x.sqrt()),
    p.rsqrt: Row(lambda x: 1.0 / x.sqrt()),
    p.sin: Row(trig.sin),
    p.cos: Row(trig.cos),
    p.tan: Row(trig.tan),
    p.arcsin: Row(trig.arcsin),
    p.arccos: Row(trig.arccos),
    p.arctan: Row(trig.arctan),
    p.sinh: Row(math_exp.sinh),
    p.cosh: Row(math_exp.cosh),
    p.tanh: Row(math_exp.tanh),
    p.arcsinh: Row(math_log.arcsinh),
    p.arccosh: Row(math_log.arccosh),
    p.arctanh: Row(math_log.arctanh),
    p.sigmoid: Row(math_exp.sigmoid),
    p.erf: Row(math_exp.erf),
    p.invert: Row(None, lambda unsigned, x: ~x, lambda x: ~x),
    p.is_finite: Row(lambda x: x.absolute() < INFINITY, _true, _true),
    p.stop_gradient: Row(lambda x: x, lambda unsigned, x: x, lambda x: x),
    # binary
    p.add: Row(lambda x, y: x + y, lambda unsigned, x, y: x + y),
    p.subtract: Row(lambda x, y: x - y, lambda unsigned, x, y: x - y),
    p.multiply: Row(lambda x, y: x * y, lambda unsigned, x, y: x * y),
    p.divide: Row(lambda x, y: x / y),
    p.floor_divide: Row(
        math_remainder.floor_divide, lambda unsigned, x, y: math_integer.divide(x, y, unsigned).quotient
    ),
    p.remainder: Row(
        math_remainder.remainder, lambda unsigned, x, y: math_integer.divide(x, y, unsigned).rest
    ),
    p.power: Row(math_power.power, lambda unsigned, x, y: math_integer.power(x, y, unsigned)),
    p.maximum: Row(
        _maximum, lambda unsigned, x, y: x.intrinsic("umax" if unsigned else "smax", y), lambda x, y: x | y
    ),
    p.minimum: Row(
        _minimum, lambda unsigned, x, y: x.intrinsic("umin" if unsigned else "smin", y), lambda x, y: x & y
    ),
    p.arctan2: Row(trig.arctan2),
    p.bitwise_and: _bitwise(lambda x, y: x & y),
    p.bitwise_or: _bitwise(lambda x, y: x | y),
    p.bitwise_xor: _bitwise(lambda x, y: x ^ y),
    p.shift_left: Row(None, lambda unsigned, x, y: math_integer.shift_left(x, y)),
    p.shift_right: Row(None, lambda unsigned, x, y: math_integer.shift_right(x, y, unsigned)),
    # compare and select
    p.equal: _compared("oeq", "eq", "eq"),
    p.not_equal: _compared("une", "ne", "ne"),
    p.less: _compared("olt", "slt", "ult"),
    p.less_equal: _compared("ole", "sle", "ule"),
    p.greater: _compared("ogt", "sgt", "ugt"),
    p.greater_equal: _compared("oge", "sge", "uge"),
    p.select: Row(
        lambda condition, x, y: condition.where(x, y),
        lambda unsigned, condition, x, y: condition.where(x, y),
        lambda condition, x, y: condition.where(x, y),
    ),
}
