"""THE table: every primitive with its attributes, its shape and dtype rule, and its traits.

A primitive is strict: operands of a binary primitive have the same shape and the same dtype; broadcasting,
promotion and defaults are compositions, written in `lamina.ops`. A row reads `name = define(name, arity,
rule, *traits)`; calling the row applies the primitive through `bind`: `add(x, y)`, `reduce_sum(x,
axes=(0,))`. The section order is the same in every table of the project.

A rule takes the operand types and the attributes as keywords, and returns the type of each output.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from lamina.core import dtypes
from lamina.core.dtypes import FLOATS, INTEGERS
from lamina.core.errors import DTypeError, ShapeError
from lamina.core.shapes import remove, size
from lamina.ir import attention_rules, control_rules, host_rules, window_rules
from lamina.ir.graph import TensorType

Rule = Callable[..., "TensorType | tuple[TensorType, ...]"]

# Traits: what passes and backends ask instead of names.
ELEMENTWISE = "elementwise"  # output element i depends on element i of each operand
COMMUTATIVE = "commutative"
ASSOCIATIVE = "associative"
REDUCES = "reduces"  # folds the axes in attribute `axes`
MOVES = "moves"  # rearranges elements, computes nothing
CONTRACTS = "contracts"  # multiply-add over shared axes
CREATES = "creates"  # no operands
IMPURE = "impure"  # never duplicated, folded or dropped silently
CONTROLS = "controls"  # runs graphs that are attributes
VARIADIC = -1


@dataclass(frozen=True, eq=False)
class Primitive:
    """One row of the table. Compare by identity; ask for traits, never for names."""

    name: str
    arity: int
    rule: Rule
    traits: frozenset[str] = field(default_factory=frozenset)

    def __call__(self, *inputs: Any, **attributes: Any) -> Any:
        raise RuntimeError("No door is installed: import lamina.ir.")

    def has(self, trait: str) -> bool:
        return trait in self.traits

    def infer(self, types: tuple[TensorType, ...], attributes: Mapping[str, Any]) -> tuple[TensorType, ...]:
        """The output types; ShapeError or DTypeError when the operands do not fit."""
        if self.arity != len(types) and self.arity != VARIADIC:
            raise ShapeError(f"{self.name} takes {self.arity} operands, got {len(types)}.")
        result = self.rule(*types, **attributes)
        return result if isinstance(result, tuple) else (result,)

    def __repr__(self) -> str:
        return f"Primitive({self.name})"


def set_door(door: Callable[..., Any]) -> None:
    """Where calls of primitives go: `lamina.ir.bind` puts itself here."""
    Primitive.__call__ = door  # type: ignore[method-assign]


TABLE: dict[str, Primitive] = {}


def define(name: str, arity: int, rule: Rule, *traits: str) -> Primitive:
    primitive = Primitive(name, arity, rule, frozenset(traits))
    TABLE[name] = primitive
    return primitive


# --- rules -----------------------------------------------------------------------------------------


def _same(x: TensorType, *rest: TensorType) -> TensorType:
    for other in rest:
        if other.shape != x.shape:
            raise ShapeError(f"Operands have shapes {x.shape} and {other.shape}, which must be equal here.")
        if other.dtype != x.dtype:
            raise DTypeError(f"Operands have dtypes {x.dtype} and {other.dtype}, which must be equal here.")
    return x


def _require(entry: TensorType, is_allowed: bool, kind: str) -> None:
    if not is_allowed:
        raise DTypeError(f"This operation works on {kind}, got {entry.dtype}.")


def _number(x: TensorType, *rest: TensorType) -> TensorType:
    _require(x, x.dtype != "bool", "numbers")
    return _same(x, *rest)


def _float(x: TensorType, *rest: TensorType) -> TensorType:
    _require(x, x.dtype in FLOATS, "floats")
    return _same(x, *rest)


def _bits(x: TensorType, *rest: TensorType) -> TensorType:
    _require(x, x.dtype == "bool" or x.dtype in INTEGERS, "integers and booleans")
    return _same(x, *rest)


def _integer(x: TensorType, *rest: TensorType) -> TensorType:
    _require(x, x.dtype in INTEGERS, "integers")
    return _same(x, *rest)


def _predicate(*types: TensorType) -> TensorType:
    return TensorType(_same(*types).shape, "bool")


def _cast(x: TensorType, *, dtype: str) -> TensorType:
    return TensorType(x.shape, dtypes.standardize(dtype))


def _select(condition: TensorType, x: TensorType, y: TensorType) -> TensorType:
    _require(condition, condition.dtype == "bool", "a boolean condition")
    if condition.shape != x.shape:
        raise ShapeError(f"select: condition {condition.shape} against operands {x.shape}.")
    return _same(x, y)


def _reduce(x: TensorType, *, axes: tuple[int, ...]) -> TensorType:
    _check_axes(x, axes)
    return TensorType(remove(x.shape, axes), x.dtype)


def _reduce_number(x: TensorType, *, axes: tuple[int, ...]) -> TensorType:
    _require(x, x.dtype != "bool", "numbers")
    return _reduce(x, axes=axes)


def _reduce_nonempty(x: TensorType, *, axes: tuple[int, ...]) -> TensorType:
    if any(x.shape[axis] == 0 for axis in axes):
        raise ShapeError(
            f"A maximum or minimum over no elements does not exist: shape {x.shape}, axes {axes}."
        )
    return _reduce(x, axes=axes)


def _arg(x: TensorType, *, axis: int) -> TensorType:
    return TensorType(_reduce_nonempty(x, axes=(axis,)).shape, "int32")


def _cumulative(x: TensorType, *, axis: int, reverse: bool) -> TensorType:
    _check_axes(x, (axis,))
    return _number(x)


def _check_axes(x: TensorType, axes: tuple[int, ...]) -> None:
    if any(not 0 <= axis < len(x.shape) for axis in axes) or list(axes) != sorted(set(axes)):
        raise ShapeError(f"Axes {axes} must be increasing and inside rank {len(x.shape)}.")


def _reshape(x: TensorType, *, shape: tuple[int, ...]) -> TensorType:
    if size(shape) != size(x.shape):
        raise ShapeError(
            f"Cannot reshape {x.shape} to {shape}: {size(x.shape)} against {size(shape)} elements."
        )
    return TensorType(shape, x.dtype)


def _transpose(x: TensorType, *, permutation: tuple[int, ...]) -> TensorType:
    if sorted(permutation) != list(range(len(x.shape))):
        raise ShapeError(f"{permutation} is not a permutation of the axes of {x.shape}.")
    return TensorType(tuple(x.shape[axis] for axis in permutation), x.dtype)


def _broadcast(x: TensorType, *, shape: tuple[int, ...], axes: tuple[int, ...]) -> TensorType:
    fits = (
        len(axes) == len(x.shape)
        and list(axes) == sorted(set(axes))
        and all(0 <= a < len(shape) for a in axes)
    )
    if not fits or any(extent not in (1, shape[axis]) for extent, axis in zip(x.shape, axes)):
        raise ShapeError(f"Cannot broadcast {x.shape} along axes {axes} to {shape}.")
    return TensorType(shape, x.dtype)


def _slice(
    x: TensorType, *, start: tuple[int, ...], limit: tuple[int, ...], stride: tuple[int, ...]
) -> TensorType:
    if not len(start) == len(limit) == len(stride) == len(x.shape):
        raise ShapeError(f"slice of rank {len(x.shape)} needs that many starts, limits and strides.")
    for low, high, step, extent in zip(start, limit, stride, x.shape):
        if not (0 <= low <= high <= extent and step >= 1):
            raise ShapeError(f"slice [{low}:{high}:{step}] is outside extent {extent}.")
    shape = tuple(-(-(high - low) // step) for low, high, step in zip(start, limit, stride))
    return TensorType(shape, x.dtype)


def _pad(
    x: TensorType,
    value: TensorType,
    *,
    low: tuple[int, ...],
    high: tuple[int, ...],
    interior: tuple[int, ...],
) -> TensorType:
    if value != TensorType((), x.dtype):
        raise ShapeError(f"pad needs a scalar of dtype {x.dtype} to pad with, got {value}.")
    if not len(low) == len(high) == len(interior) == len(x.shape) or min((*low, *high, *interior, 0)) < 0:
        raise ShapeError(f"pad of rank {len(x.shape)} needs that many non-negative widths.")
    shape = tuple(
        before + after + extent + max(extent - 1, 0) * between
        for extent, before, after, between in zip(x.shape, low, high, interior)
    )
    return TensorType(shape, x.dtype)


def _concatenate(*types: TensorType, axis: int) -> TensorType:
    if not types:
        raise ShapeError("concatenate needs at least one tensor.")
    first = types[0]
    _check_axes(first, (axis,))
    for other in types[1:]:
        if other.dtype != first.dtype:
            raise DTypeError(f"concatenate: dtypes {first.dtype} and {other.dtype} differ.")
        if len(other.shape) != len(first.shape) or remove(other.shape, [axis]) != remove(first.shape, [axis]):
            raise ShapeError(
                f"concatenate along axis {axis}: shapes {first.shape} and {other.shape} do not fit."
            )
    extent = sum(entry.shape[axis] for entry in types)
    return TensorType((*first.shape[:axis], extent, *first.shape[axis + 1 :]), first.dtype)


def _reverse(x: TensorType, *, axes: tuple[int, ...]) -> TensorType:
    _check_axes(x, axes)
    return x


def _input(*, type: TensorType, name: str, serial: int) -> TensorType:
    return type


def _constant(*, value: Any) -> TensorType:
    return TensorType(tuple(value.array.shape), dtypes.of_numpy(value.array.dtype))


def _iota(*, shape: tuple[int, ...], axis: int, dtype: str) -> TensorType:
    if not 0 <= axis < len(shape):
        raise ShapeError(f"iota: axis {axis} is outside shape {shape}.")
    return TensorType(shape, dtype)


def _dot(
    x: TensorType,
    y: TensorType,
    *,
    contract: tuple[tuple[int, ...], tuple[int, ...]],
    batch: tuple[tuple[int, ...], tuple[int, ...]],
) -> TensorType:
    if x.dtype != y.dtype:
        raise DTypeError(f"dot: dtypes {x.dtype} and {y.dtype} must be equal here.")
    for ours, theirs in (*zip(*contract), *zip(*batch)):
        if x.shape[ours] != y.shape[theirs]:
            raise ShapeError(f"dot: axis {ours} of {x.shape} against axis {theirs} of {y.shape}.")
    batch_shape = tuple(x.shape[axis] for axis in batch[0])
    return TensorType(
        batch_shape + remove(x.shape, contract[0] + batch[0]) + remove(y.shape, contract[1] + batch[1]),
        x.dtype,
    )


def _gather(x: TensorType, indices: TensorType, *, axis: int) -> TensorType:
    if x.shape[axis : axis + 1] == (0,) and size(indices.shape):
        raise ShapeError(f"gather: axis {axis} of {x} has no elements to take.")
    return _indexed(x, indices, axis)


def _indexed(x: TensorType, indices: TensorType, axis: int) -> TensorType:
    _check_axes(x, (axis,))
    _require(indices, indices.dtype in INTEGERS, "integer indices")
    return TensorType(x.shape[:axis] + indices.shape + x.shape[axis + 1 :], x.dtype)


def _scatter_add(x: TensorType, indices: TensorType, updates: TensorType, *, axis: int) -> TensorType:
    if _indexed(x, indices, axis) != updates:
        raise ShapeError(
            f"scatter_add: updates {updates} do not fit {x} indexed by {indices} along axis {axis}."
        )
    return _number(x)


def _random_bits(key: TensorType, *, shape: tuple[int, ...]) -> TensorType:
    if key != TensorType((2,), "uint32"):
        raise ShapeError(f"random_bits needs a key uint32[2], got {key}.")
    return TensorType(shape, "uint32")


def _sort(x: TensorType, *, axis: int, descending: bool) -> tuple[TensorType, TensorType]:
    _check_axes(x, (axis,))
    return x, TensorType(x.shape, "int32")


# --- unary -----------------------------------------------------------------------------------------
negative = define("negative", 1, _number, ELEMENTWISE)
absolute = define("absolute", 1, _number, ELEMENTWISE)
sign = define("sign", 1, _number, ELEMENTWISE)  # NaN stays NaN
floor = define("floor", 1, _float, ELEMENTWISE)
ceil = define("ceil", 1, _float, ELEMENTWISE)
round_even = define("round_even", 1, _float, ELEMENTWISE)  # halves to even, as NumPy's rint
exp = define("exp", 1, _float, ELEMENTWISE)
expm1 = define("expm1", 1, _float, ELEMENTWISE)
log = define("log", 1, _float, ELEMENTWISE)
log1p = define("log1p", 1, _float, ELEMENTWISE)
sqrt = define("sqrt", 1, _float, ELEMENTWISE)
rsqrt = define("rsqrt", 1, _float, ELEMENTWISE)  # 1 / sqrt(x)
sin = define("sin", 1, _float, ELEMENTWISE)
cos = define("cos", 1, _float, ELEMENTWISE)
tan = define("tan", 1, _float, ELEMENTWISE)
arcsin = define("arcsin", 1, _float, ELEMENTWISE)
arccos = define("arccos", 1, _float, ELEMENTWISE)
arctan = define("arctan", 1, _float, ELEMENTWISE)
sinh = define("sinh", 1, _float, ELEMENTWISE)
cosh = define("cosh", 1, _float, ELEMENTWISE)
tanh = define("tanh", 1, _float, ELEMENTWISE)
arcsinh = define("arcsinh", 1, _float, ELEMENTWISE)
arccosh = define("arccosh", 1, _float, ELEMENTWISE)
arctanh = define("arctanh", 1, _float, ELEMENTWISE)
sigmoid = define("sigmoid", 1, _float, ELEMENTWISE)  # 1 / (1 + exp(-x))
erf = define("erf", 1, _float, ELEMENTWISE)
invert = define("invert", 1, _bits, ELEMENTWISE)  # bitwise not; logical not on booleans
is_finite = define("is_finite", 1, _predicate, ELEMENTWISE)
# float to integer truncates, what does not fit becomes the nearest limit, NaN 0; any to bool is x != 0
cast = define("cast", 1, _cast, ELEMENTWISE)
stop_gradient = define("stop_gradient", 1, _same, ELEMENTWISE)  # x, with derivative zero

# --- binary ----------------------------------------------------------------------------------------
add = define("add", 2, _number, ELEMENTWISE, COMMUTATIVE, ASSOCIATIVE)
subtract = define("subtract", 2, _number, ELEMENTWISE)
multiply = define("multiply", 2, _number, ELEMENTWISE, COMMUTATIVE, ASSOCIATIVE)
divide = define("divide", 2, _float, ELEMENTWISE)
floor_divide = define("floor_divide", 2, _number, ELEMENTWISE)  # rounds down, as Python; integers by 0 give 0
# sign of the divisor, as Python's %; integers by 0 give 0
remainder = define("remainder", 2, _number, ELEMENTWISE)
power = define("power", 2, _number, ELEMENTWISE)  # integers to a negative power: 0, unless of 1 or -1
maximum = define("maximum", 2, _same, ELEMENTWISE, COMMUTATIVE, ASSOCIATIVE)  # NaN if either is
minimum = define("minimum", 2, _same, ELEMENTWISE, COMMUTATIVE, ASSOCIATIVE)
arctan2 = define("arctan2", 2, _float, ELEMENTWISE)
bitwise_and = define("bitwise_and", 2, _bits, ELEMENTWISE, COMMUTATIVE, ASSOCIATIVE)  # logical on booleans
bitwise_or = define("bitwise_or", 2, _bits, ELEMENTWISE, COMMUTATIVE, ASSOCIATIVE)
bitwise_xor = define("bitwise_xor", 2, _bits, ELEMENTWISE, COMMUTATIVE, ASSOCIATIVE)
# shifts of the width or more give 0 (or the sign)
shift_left = define("shift_left", 2, _integer, ELEMENTWISE)
shift_right = define("shift_right", 2, _integer, ELEMENTWISE)  # arithmetic on signed, logical on unsigned

# --- compare and select ----------------------------------------------------------------------------
equal = define("equal", 2, _predicate, ELEMENTWISE, COMMUTATIVE)
not_equal = define("not_equal", 2, _predicate, ELEMENTWISE, COMMUTATIVE)
less = define("less", 2, _predicate, ELEMENTWISE)
less_equal = define("less_equal", 2, _predicate, ELEMENTWISE)
greater = define("greater", 2, _predicate, ELEMENTWISE)
greater_equal = define("greater_equal", 2, _predicate, ELEMENTWISE)
select = define("select", 3, _select, ELEMENTWISE)  # condition ? x : y

# --- reduce ----------------------------------------------------------------------------------------
reduce_sum = define("reduce_sum", 1, _reduce_number, REDUCES)  # axes are dropped
reduce_prod = define("reduce_prod", 1, _reduce_number, REDUCES)
reduce_max = define("reduce_max", 1, _reduce_nonempty, REDUCES)  # on booleans: any; NaN if any is
reduce_min = define("reduce_min", 1, _reduce_nonempty, REDUCES)  # on booleans: all
argmax = define("argmax", 1, _arg)  # first of equals; the first NaN wins
argmin = define("argmin", 1, _arg)
cumulative_sum = define("cumulative_sum", 1, _cumulative)

# --- move ------------------------------------------------------------------------------------------
reshape = define("reshape", 1, _reshape, MOVES)
transpose = define("transpose", 1, _transpose, MOVES)
broadcast = define("broadcast", 1, _broadcast, MOVES)  # operand axis i becomes result axis axes[i]
slice = define("slice", 1, _slice, MOVES)  # strides are positive
pad = define("pad", 2, _pad, MOVES)  # low, high and interior widths, filled with the scalar second operand
concatenate = define("concatenate", VARIADIC, _concatenate, MOVES)
reverse = define("reverse", 1, _reverse, MOVES)
input = define("input", 0, _input, CREATES)
constant = define("constant", 0, _constant, CREATES)
iota = define("iota", 0, _iota, CREATES)  # 0, 1, 2, ... along one axis

# --- contract --------------------------------------------------------------------------------------
dot = define("dot", 2, _dot, CONTRACTS)  # result axes: batch, then the free ones of x, then those of y
# x [batch, *spatial, channels] by kernel [*sizes, channels / groups, filters]; attributes strides, dilation:
# one number per spatial axis; padding: a pair (before, after) of zeros per axis; groups
conv = define("conv", 2, window_rules.conv, CONTRACTS)
# The adjoints of conv: cotangent y and kernel -> x, whose spatial `shape` is given; x and y -> kernel. The
# three differentiate to each other; a transposed convolution is conv_input_grad.
conv_input_grad = define("conv_input_grad", 2, window_rules.conv_input_grad, CONTRACTS)
conv_filter_grad = define("conv_filter_grad", 2, window_rules.conv_filter_grad, CONTRACTS)
# softmax(scale query key^T) value per head, over the keys that the mask, if there is one, allows, and where
# `causal` those not after the query, a fraction `rate` of them dropped by the random bits of one more key;
# with the highest score of each query and the sum of the exponentials below it. Then its gradient: query,
# key, value, the three results, the cotangent of the first, mask and key of the bits.
attention = define("attention", VARIADIC, attention_rules.attention)
attention_grad = define("attention_grad", VARIADIC, attention_rules.attention_grad)

# --- window ----------------------------------------------------------------------------------------
# On [batch, *spatial, channels], with sizes, strides, padding and dilation as in conv.
# (values, index): index says where in its window, counted in row-major order, the maximum is: the first of
# equals, the first NaN; padding never wins
max_window = define("max_window", 1, window_rules.max_window)
gather_window = define("gather_window", 2, window_rules.gather_window)  # the element of each window at index
scatter_window = define(
    "scatter_window", 2, window_rules.scatter_window
)  # its adjoint: summed at those places
sum_window = define("sum_window", 1, window_rules.sum_window)  # padding counts as 0
spread_window = define("spread_window", 1, window_rules.spread_window)  # its adjoint: summed over the windows

# --- gather and scatter ----------------------------------------------------------------------------
gather = define("gather", 2, _gather)  # x[..., indices, ...] along axis; indices are clamped to the extent
# x with updates added at indices; outside ones are dropped
scatter_add = define("scatter_add", 3, _scatter_add)

# --- random ----------------------------------------------------------------------------------------
# element i: Philox2x32-7 of counter (i, key[1]), key key[0]
random_bits = define("random_bits", 1, _random_bits)

# --- sort ------------------------------------------------------------------------------------------
sort = define("sort", 1, _sort)  # (values, indices); stable; NaN last

# --- host ------------------------------------------------------------------------------------------
# What has no kernel, and is called back for: `function`, a row of `host_rules`, with `options`, pairs of name
# and value.
host = define("host", VARIADIC, host_rules.host)

# --- control ---------------------------------------------------------------------------------------
# Their attributes hold closed graphs (`ir.bodies`); the rules say what goes in and comes out.
scan = define("scan", VARIADIC, control_rules.scan, CONTROLS)  # a loop of known length
while_loop = define("while_loop", VARIADIC, control_rules.while_loop, CONTROLS)
cond = define("cond", VARIADIC, control_rules.cond, CONTROLS)  # one of several branches
# The first operands as they are; their derivative is what the graph `backward` says
custom_gradient = define("custom_gradient", VARIADIC, control_rules.custom_gradient, CONTROLS)
