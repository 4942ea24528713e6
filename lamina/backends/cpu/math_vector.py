"""Vectors that are written like numbers: `x * x + 1.0` emits the instructions for all lanes.

A `Vector` is a register of the builder with the place its instructions go to. Formulas in the math rooms are
written with it once, for every precision, number of lanes and processor. What the processors do differently
is decided here: fused multiply-add, rounding, and branches that only some lanes need.

Every operation is exact about special values, and gives the same bits for every number of lanes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from lamina.backends.cpu.emit import Builder, Register, bits_of, constant, is_floating, vector
from lamina.backends.cpu.target import Target

Operand = Any  # a Vector, or a Python number that stands for itself in every lane


@dataclass(frozen=True)
class Format:
    """How a float is laid out: the name LLVM has for it, and its bit fields."""

    element: str
    dtype: str
    bits: int
    mantissa: int  # stored bits of the mantissa
    bias: int

    @property
    def integer(self) -> str:
        return f"i{self.bits}"

    @property
    def magic(self) -> float:
        """Adding it rounds to an integer, which is then in the low bits of the pattern."""
        return 1.5 * 2.0**self.mantissa

    @property
    def infinity_bits(self) -> int:
        return (2 * self.bias + 1) << self.mantissa

    @property
    def one_bits(self) -> int:
        return self.bias << self.mantissa

    @property
    def smallest_normal(self) -> float:
        return 2.0 ** (1 - self.bias)


FLOAT = Format("float", "float32", 32, 23, 127)
DOUBLE = Format("double", "float64", 64, 52, 1023)
FORMATS = {"float": FLOAT, "double": DOUBLE}


# Switching one of these off switches the feature off too.
_NEEDS = {"sse4.1": ("sse3", "ssse3"), "f16c": ("sse3", "ssse3", "sse4.1", "sse4.2", "avx")}


@cache
def has(target: Target, feature: str) -> bool:
    """Whether the x86 processor has "sse4.1", "f16c" or "avx512"; False on others."""
    if not target.is_x86:
        return False
    if feature == "avx512":
        return target.vector_bytes == 64
    listed = target.features.split(",")
    if any(f"-{needed}" in listed for needed in (feature, *_NEEDS[feature])):
        return False
    return f"+{feature}" in listed or target.cpu in ("x86-64-v3", "x86-64-v4")


@dataclass(frozen=True)
class Vector:
    """One value per lane. `element` is LLVM's name; integers do not know whether they are signed."""

    builder: Builder
    target: Target
    register: Register

    # -- what it is ------------------------------------------------------------------------------

    @property
    def element(self) -> str:
        return self.register.element

    @property
    def lanes(self) -> int:
        return self.register.lanes

    @property
    def bits(self) -> int:
        """Width of one lane."""
        return bits_of(self.register.type)

    @property
    def format(self) -> Format:
        return FORMATS[self.element]

    def of(self, register: Register) -> Vector:
        return Vector(self.builder, self.target, register)

    def full(self, value: float | int, element: str | None = None) -> Vector:
        """A number in every lane; integers may be given as unsigned bit patterns."""
        element = element or self.element
        if element.startswith("i") and element != "i1":
            half = 1 << (bits_of(element) - 1)
            value = (int(value) + half) % (2 * half) - half
        return self.of(constant(value, element, self.lanes))

    def like(self, value: Operand) -> Vector:
        return value if isinstance(value, Vector) else self.full(value)

    # -- arithmetic ------------------------------------------------------------------------------

    def operate(self, floating: str, integer: str, other: Operand, swapped: bool = False) -> Vector:
        """The binary instruction `floating` or `integer`, as the element type has it."""
        opcode = floating if is_floating(self.register.type) else integer
        x, y = (self.like(other), self) if swapped else (self, self.like(other))
        return self.of(self.builder.op(opcode, x.register, y.register))

    def __add__(self, other: Operand) -> Vector:
        return self.operate("fadd", "add", other)

    def __radd__(self, other: Operand) -> Vector:
        return self.operate("fadd", "add", other, swapped=True)

    def __sub__(self, other: Operand) -> Vector:
        return self.operate("fsub", "sub", other)

    def __rsub__(self, other: Operand) -> Vector:
        return self.operate("fsub", "sub", other, swapped=True)

    def __mul__(self, other: Operand) -> Vector:
        return self.operate("fmul", "mul", other)

    def __rmul__(self, other: Operand) -> Vector:
        return self.operate("fmul", "mul", other, swapped=True)

    def __truediv__(self, other: Operand) -> Vector:
        return self.operate("fdiv", "", other)

    def __rtruediv__(self, other: Operand) -> Vector:
        return self.operate("fdiv", "", other, swapped=True)

    def __neg__(self) -> Vector:
        return self.of(self.builder.fneg(self.register)) if is_floating(self.register.type) else 0 - self

    # -- bits ------------------------------------------------------------------------------------

    def __and__(self, other: Operand) -> Vector:
        return self.operate("", "and", other)

    def __or__(self, other: Operand) -> Vector:
        return self.operate("", "or", other)

    def __xor__(self, other: Operand) -> Vector:
        return self.operate("", "xor", other)

    def __invert__(self) -> Vector:
        return self ^ (True if self.element == "i1" else -1)

    def __lshift__(self, other: Operand) -> Vector:
        return self.operate("", "shl", other)

    def __rshift__(self, other: Operand) -> Vector:
        """Keeps the sign."""
        return self.operate("", "ashr", other)

    def unsigned_shift(self, other: Operand) -> Vector:
        """To the right, filled with zeros."""
        return self.operate("", "lshr", other)

    def as_bits(self) -> Vector:
        """The pattern of a float, as an integer of the same width."""
        return self.of(self.builder.convert("bitcast", self.register, f"i{self.bits}"))

    def as_float(self) -> Vector:
        """The float (32 or 64 bits) that has this pattern."""
        element = "float" if self.bits == 32 else "double"
        return self.of(self.builder.convert("bitcast", self.register, element))

    def convert(self, opcode: str, element: str) -> Vector:
        """A conversion instruction: "sext", "trunc", "sitofp", "fpext" ..."""
        return self.of(self.builder.convert(opcode, self.register, element))

    # -- comparisons: false for NaN, except `!=` -------------------------------------------------

    def compare(self, predicate: str, other: Operand) -> Vector:
        """One lane of i1 per lane, by LLVM's predicate: "olt", "ugt", "slt" ..."""
        instruction = "fcmp" if is_floating(self.register.type) else "icmp"
        return self.of(
            self.builder.compare(f"{instruction} {predicate}", self.register, self.like(other).register)
        )

    def _compare(self, floating: str, integer: str, other: Operand) -> Vector:
        return self.compare(floating if is_floating(self.register.type) else integer, other)

    def __lt__(self, other: Operand) -> Vector:
        return self._compare("olt", "slt", other)

    def __le__(self, other: Operand) -> Vector:
        return self._compare("ole", "sle", other)

    def __gt__(self, other: Operand) -> Vector:
        return self._compare("ogt", "sgt", other)

    def __ge__(self, other: Operand) -> Vector:
        return self._compare("oge", "sge", other)

    def equals(self, other: Operand) -> Vector:
        return self._compare("oeq", "eq", other)

    def differs(self, other: Operand) -> Vector:
        return self._compare("une", "ne", other)

    def is_nan(self) -> Vector:
        return self.compare("uno", self)

    # -- choices ---------------------------------------------------------------------------------

    def where(self, yes: Operand, no: Operand) -> Vector:
        """`yes` in the lanes where this mask holds, else `no`; one of them must be a Vector."""
        model = yes if isinstance(yes, Vector) else no
        return self.of(self.builder.select(self.register, model.like(yes).register, model.like(no).register))

    def at_most(self, limit: Operand) -> Vector:
        """The smaller one, for a limit that is not NaN; NaN stays. One instruction."""
        above: Vector = self > limit
        return above.where(limit, self)

    def at_least(self, limit: Operand) -> Vector:
        below: Vector = self < limit
        return below.where(limit, self)

    # -- instructions with a name ----------------------------------------------------------------

    def intrinsic(self, name: str, *others: Operand) -> Vector:
        """`llvm.<name>` of this and the others, all of this type."""
        operands = [self.register, *(self.like(other).register for other in others)]
        return self.of(self.builder.intrinsic(name, self.register.type, *operands))

    def absolute(self) -> Vector:
        return self.intrinsic("fabs")

    def minus_absolute(self) -> Vector:
        return -self.absolute()

    def sqrt(self) -> Vector:
        return self.intrinsic("sqrt")

    def with_sign_of(self, other: Vector) -> Vector:
        return self.intrinsic("copysign", other)

    def floor(self) -> Vector:
        if self._rounds:
            return self.intrinsic("floor")
        rounded = self.rint()
        return (rounded > self).where(rounded - 1.0, rounded).with_sign_of(self)

    def ceil(self) -> Vector:
        if self._rounds:
            return self.intrinsic("ceil")
        rounded = self.rint()
        return (rounded < self).where(rounded + 1.0, rounded).with_sign_of(self)

    def trunc(self) -> Vector:
        if self._rounds:
            return self.intrinsic("trunc")
        return self.absolute().floor().with_sign_of(self)

    def rint(self) -> Vector:
        """The nearest integer, halves to even."""
        if self._rounds:
            return self.intrinsic("rint")
        # From 2**mantissa on all floats are integers; adding and subtracting that rounds smaller ones.
        shift = 2.0**self.format.mantissa
        size = self.absolute()
        return (size < shift).where((size + shift) - shift, size).with_sign_of(self)

    @property
    def _rounds(self) -> bool:
        """Whether rounding to integers is an instruction; plain SSE2 has none."""
        return self.target.is_arm64 or self.target.vector_bytes >= 32 or has(self.target, "sse4.1")

    # -- lanes -----------------------------------------------------------------------------------

    def any(self) -> Register:
        """A scalar i1: whether the mask holds in some lane."""
        if self.lanes == 1:
            return self.register
        return self.builder.intrinsic("vector.reduce.or", "i1", self.register)


def fma(x: Vector, y: Operand, z: Operand) -> Vector:
    """x * y + z, rounded once where the processor can, else twice."""
    if x.target.fma:
        return x.intrinsic("fma", y, z)
    total: Vector = x * y + z
    return total


def polynomial(x: Vector, coefficients: Sequence[float]) -> Vector:
    """sum(coefficients[j] * x**j), by Horner's rule: one fma per power.

    The tail of a long one is computed in two parts at a time; the first terms decide how it is rounded.
    """
    if len(coefficients) < 14:
        return _horner(x, coefficients)
    square = x * x
    fourth = square * square
    tail = fma(fourth * fourth, _horner(x, coefficients[10:]), _horner(x, coefficients[2:10]))
    return _horner(x, [*coefficients[:2], tail])


def _horner(x: Vector, coefficients: Sequence[Operand]) -> Vector:
    total = coefficients[-1]
    for coefficient in reversed(coefficients[:-1]):
        total = fma(x, total, coefficient)
    return x.like(total)


def x86_wide(x: Vector, name: str, *middle: str, operands: Sequence[Vector]) -> Vector | None:
    """An AVX-512 instruction `name` on whole registers; None where there is none for this type and target.

    `middle` is immediate operands ("i32 11") between the vectors and the mask.
    """
    width = x.lanes * x.bits
    if x.lanes == 1 or width not in (128, 256, 512) or not has(x.target, "avx512"):
        return None
    kind, mask = x.register.type, f"i{max(8, x.lanes)}"
    full = f"llvm.x86.avx512.mask.{name}.{'ps' if x.bits == 32 else 'pd'}.{width}"
    arguments = [f"{kind} {operand.register.text}" for operand in operands]
    arguments += [*middle, f"{kind} poison", f"{mask} -1", *(["i32 4"] if width == 512 else [])]
    x.builder.module.declare(full, kind, [argument.rsplit(" ", 1)[0] for argument in arguments])
    return x.of(x.builder.instruction(f"call {kind} @{full}({', '.join(arguments)})", kind))


def where_rare(rare: Vector, usual: Sequence[Vector], slow: Callable[[], Sequence[Vector]]) -> list[Vector]:
    """`usual`, but what `slow` computes in the lanes where `rare` holds; skipped when there are none."""
    builder = rare.builder
    before, then, after = builder.label, builder.new_label("rare"), builder.new_label("usual")
    builder.branch_if(rare.any(), then, after)
    builder.start_block(then)
    merged = [rare.where(special, plain) for special, plain in zip(slow(), usual)]
    end = builder.label
    builder.branch(after)
    builder.start_block(after)
    return [_join(plain, before, special, end) for plain, special in zip(usual, merged)]


def _join(x: Vector, before: str, y: Vector, end: str) -> Vector:
    """x when coming from block `before`, y from block `end`."""
    kind = x.register.type
    sources = f"[ {x.register.text}, %{before} ], [ {y.register.text}, %{end} ]"
    return x.of(x.builder.instruction(f"phi {kind} {sources}", kind))


def repeat_while(
    active: Callable[[Sequence[Vector]], Vector],
    step: Callable[[Sequence[Vector]], Sequence[Vector]],
    state: Sequence[Vector],
) -> list[Vector]:
    """Apply `step` to the lanes where `active(state)` holds, until there are none."""
    builder = state[0].builder
    before, body, after = builder.label, builder.new_label("again"), builder.new_label("done")
    builder.branch_if(active(state).any(), body, after)
    builder.start_block(body)
    current = [entry.of(Register(builder.fresh(), entry.register.type)) for entry in state]
    position = len(builder.lines)
    busy = active(current)
    following = [busy.where(new, old) for new, old in zip(step(current), current)]
    again = active(following).any()
    end = builder.label
    builder.lines[position:position] = [
        f"  {now.register.text} = phi {now.register.type} "
        f"[ {first.register.text}, %{before} ], [ {later.register.text}, %{end} ]"
        for now, first, later in zip(current, state, following)
    ]
    builder.branch_if(again, body, after)
    builder.start_block(after)
    return [_join(first, before, later, end) for first, later in zip(state, following)]


def gather(table: str, parts: int, index: Vector, rows: Sequence[Sequence[float]]) -> list[Vector]:
    """Column `p` of `rows[index]` for each part p, from a constant table of doubles. `index` is i64 per lane.

    The caller makes sure that every index is inside.
    """
    builder, lanes = index.builder, index.lanes
    name = f"lamina.{table}"
    builder.module.constant_array(name, "double", [number for row in rows for number in row])
    kind, pointers, mask = vector("double", lanes), vector("ptr", lanes), vector("i1", lanes)
    columns = []
    for part in range(parts):
        offset = (index * parts + part).register
        place = f"ptr @{name}, {offset.type} {offset.text}"
        address = builder.instruction(f"getelementptr double, {place}", pointers)
        if lanes == 1:
            columns.append(index.of(builder.load("double", address)))
            continue
        columns.append(index.of(_masked_gather(builder, kind, pointers, mask, address)))
    return columns


def _masked_gather(builder: Builder, kind: str, pointers: str, mask: str, address: Register) -> Register:
    from lamina.backends.cpu.emit import lanes_of, masked_takes_alignment

    every = constant(True, "i1", lanes_of(kind)).text
    name = f"llvm.masked.gather.v{lanes_of(kind)}f64.v{lanes_of(kind)}p0"
    if masked_takes_alignment():
        builder.module.declare(name, kind, [pointers, "i32", mask, kind])
        call = f"{pointers} {address.text}, i32 8, {mask} {every}, {kind} poison"
    else:
        builder.module.declare(name, kind, [pointers, mask, kind])
        call = f"{pointers} align 8 {address.text}, {mask} {every}, {kind} poison"
    return builder.instruction(f"call {kind} @{name}({call})", kind)
