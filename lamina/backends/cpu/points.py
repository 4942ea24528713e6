"""One point of a nest (or one vector of points): load the leaves, compute the statements, store the
results.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from lamina.backends.cpu import math, pooling
from lamina.backends.cpu.again import again
from lamina.backends.cpu.emit import (
    ELEMENT,
    Builder,
    Register,
    constant,
    index,
    is_floating,
    lane_constants,
    lanes_of,
    vector,
)
from lamina.backends.cpu.fuse import KEPT, WINDOWED
from lamina.backends.cpu.nest import (
    Bits,
    Count,
    Gather,
    Leaf,
    Load,
    Number,
    Piece,
    Pieces,
    Place,
    Statement,
    Window,
)
from lamina.backends.cpu.target import Target
from lamina.backends.cpu.views import VIEWS
from lamina.core import dtypes
from lamina.ir import primitives as p
from lamina.ir.graph import Value
from lamina.ir.primitives import REDUCES, Primitive

HALVES = ("float16", "bfloat16")


class Surroundings(Protocol):
    """What a point needs to know of the kernel it is in."""

    pointers: dict[Value, Register]
    target: Target
    keys: dict[Bits, tuple[Register, Register]]


def computed(dtype: str) -> str:
    """The dtype that arithmetic on `dtype` is done in: half precision is widened and rounded after each
    operation.
    """
    return "float32" if dtype in HALVES else dtype


class Point:
    """Values at `lanes` neighbouring points along the vector axis; only the first `active` of them exist.

    offsets: the place of the first lane in every operand. kept: the point of the kept axes this one belongs
    to. mask: which lanes exist, where that is known at run time only.
    """

    def __init__(
        self,
        builder: Builder,
        offsets: dict[Place, Register],
        indices: dict[int, Register],
        lanes: int,
        active: int,
        vector_axis: int | None,
        surroundings: Surroundings,
        kept: Point | None = None,
        mask: Register | None = None,
    ) -> None:
        self.b = builder
        self.offsets = offsets
        self.indices = indices
        self.lanes = lanes
        self.active = active
        self.vector_axis = vector_axis
        self.surroundings = surroundings
        self.kept = kept
        self._mask = mask
        self.known: dict[Value, Register] = {}
        self.maxima: dict[Window, tuple[Register, Register]] = {}

    @property
    def mask(self) -> Register | None:
        """The lanes that exist, or None when all do."""
        if self.active >= self.lanes:
            return self._mask
        return lane_constants([lane < self.active for lane in range(self.lanes)], "i1")

    def compute(self, statement: Statement) -> Register:
        """The value of a statement here; computed at most once."""
        value = statement.value
        if value in self.known:
            return self.known[value]
        if statement.level == KEPT and self.kept is not None:
            return self.b.splat(self.kept.known[value], self.lanes)
        operands = [self.operand(operand) for operand in statement.operands]
        operation = statement.operation
        if operation.has(REDUCES) or operation in VIEWS or operation in _PASSED_ON:
            result = operands[0]
        else:
            kinds = [operand.dtype for operand in value.node.inputs]
            result = self.arithmetic(operation, kinds, value.dtype, operands)
        self.known[value] = result
        return result

    def arithmetic(
        self, operation: Primitive, kinds: list[str], dtype: str, operands: list[Register]
    ) -> Register:
        """One operation, rounded to what its dtype can hold."""
        target = self.surroundings.target
        if operation is p.cast and kinds == ["float64"] and dtype in HALVES:
            # By way of float32 it would be rounded twice.
            return self.widened(math.emit(self.b, operation, kinds, dtype, operands, target), dtype)
        result = math.emit(self.b, operation, [computed(k) for k in kinds], computed(dtype), operands, target)
        return rounded(self.b, result, dtype, target)

    def operand(self, operand: Statement | Leaf) -> Register:
        return self.compute(operand) if isinstance(operand, Statement) else self.leaf(operand)

    def widened(self, register: Register, dtype: str) -> Register:
        return widened(self.b, register, dtype, self.surroundings.target)

    # -- leaves --------------------------------------------------------------------------------

    def leaf(self, leaf: Leaf) -> Register:
        if isinstance(leaf, Number):
            return constant(leaf.value, ELEMENT[computed(leaf.dtype)], self.lanes)
        if isinstance(leaf, Load):
            return self.load(self.surroundings.pointers[leaf.root], leaf.place, leaf.dtype)
        if isinstance(leaf, Count):
            return self.count(leaf.place, leaf.dtype)
        if isinstance(leaf, Bits):
            return self.random(leaf)
        if isinstance(leaf, Gather):
            return self.gather(leaf)
        return self.pieces(leaf) if isinstance(leaf, Pieces) else pooling.emit(self, leaf)

    def stride(self, place: Place) -> int:
        """Elements from one lane to the next."""
        return 0 if self.vector_axis is None else place.strides[self.vector_axis]

    def load(self, base: Register, place: Place, dtype: str) -> Register:
        pointer = self.b.pointer(base, self.offsets[place], ELEMENT[dtype])
        return self.load_lanes(pointer, self.stride(place), dtype)

    def load_lanes(self, pointer: Register, stride: int, dtype: str) -> Register:
        """`lanes` elements, `stride` apart, widened to what they are computed in."""
        element = ELEMENT[dtype]
        if stride == 0 or self.lanes == 1:
            return self.b.splat(self.widened(self.b.load(element, pointer), dtype), self.lanes)
        if stride == 1:
            return self.widened(self.b.load(vector(element, self.lanes), pointer, self.mask), dtype)
        pointers = [self.b.pointer(pointer, lane * stride, element) for lane in range(self.active)]
        return self.widened(self.collect(pointers, element), dtype)

    def collect(self, pointers: list[Register], element: str) -> Register:
        """One element from each address, as a vector; lanes that do not exist are zero."""
        carried = carrier(element)
        result = Register("zeroinitializer", vector(carried, self.lanes))
        for lane, pointer in enumerate(pointers):
            result = self.b.insert(result, self.b.load(carried, pointer), lane)
        return result if carried == element else self.b.bitcast(result, vector(element, self.lanes))

    def count(self, place: Place, dtype: str) -> Register:
        """The place itself in every lane, as `dtype`."""
        counted = self.counter(place)
        target = ELEMENT[computed(dtype)]
        if is_floating(target):
            return rounded(self.b, self.b.convert("sitofp", counted, target), dtype, self.surroundings.target)
        if target == "i1":
            return self.b.compare("icmp ne", counted, constant(0, counted.element, self.lanes))
        width = int(target[1:])
        if width == 32:
            return counted
        return self.b.convert("trunc" if width < 32 else "sext", counted, target)

    def counter(self, place: Place) -> Register:
        """The place of every lane as 32-bit integers."""
        offset = self.offsets[place]
        if offset.is_constant:
            base, stride = int(offset.text), self.stride(place)
            return lane_constants([_wrap(base + lane * stride) for lane in range(self.lanes)], "i32")
        first = self.b.splat(self.b.convert("trunc", offset, "i32"), self.lanes)
        if self.lanes == 1 or self.stride(place) == 0:
            return first
        steps = lane_constants([lane * self.stride(place) for lane in range(self.lanes)], "i32")
        return self.b.op("add", first, steps)

    def random(self, leaf: Bits) -> Register:
        first, second = self.surroundings.keys[leaf]
        return math.random_bits(self.b, first, second, self.counter(leaf.place), self.surroundings.target)

    def gather(self, leaf: Gather) -> Register:
        """Elements at indices that come from memory, clamped into the extent."""
        base = self.b.pointer(
            self.surroundings.pointers[leaf.root], self.offsets[leaf.place], ELEMENT[leaf.dtype]
        )
        uniform = isinstance(leaf.index, Number) or self.stride(leaf.index.place) == 0 or self.lanes == 1
        if uniform:
            scalar = Point(self.b, self.offsets, self.indices, 1, 1, None, self.surroundings, self.kept)
            position = self._clamped(scalar.leaf(leaf.index), leaf)
            pointer = self.b.pointer(base, self.b.multiply(position, leaf.step), ELEMENT[leaf.dtype])
            return self.load_lanes(pointer, self.stride(leaf.place), leaf.dtype)
        positions = self._clamped(self.leaf(leaf.index), leaf)
        pointers = []
        for lane in range(self.active):
            place = self.b.multiply(self.b.extract(positions, lane), leaf.step)
            place = self.b.add(place, lane * self.stride(leaf.place))
            pointers.append(self.b.pointer(base, place, ELEMENT[leaf.dtype]))
        return self.widened(self.collect(pointers, ELEMENT[leaf.dtype]), leaf.dtype)

    def _clamped(self, indices: Register, leaf: Gather) -> Register:
        """Indices as i64 within [0, extent)."""
        dtype = leaf.index.dtype
        last = max(leaf.extent - 1, 0)
        wide = indices
        if indices.element != "i64":
            wide = self.b.convert("zext" if dtypes.is_unsigned(dtype) else "sext", indices, "i64")
        if indices.is_constant:
            # A number known now; folding keeps the text simple.
            wide = indices if indices.element == "i64" else Register(indices.text, "i64")
        top = constant(last, "i64", wide.lanes)
        less = "icmp ult" if dtype == "uint64" else "icmp slt"
        low = self.b.select(self.b.compare(less, wide, top), wide, top)
        if dtypes.is_unsigned(dtype):
            return low
        zero = constant(0, "i64", wide.lanes)
        return self.b.select(self.b.compare("icmp sgt", low, zero), low, zero)

    # -- pad and concatenate -------------------------------------------------------------------

    def pieces(self, leaf: Pieces) -> Register:
        """Each piece where it covers the point, the fill elsewhere."""
        result = self.leaf(leaf.fill)
        for piece in leaf.pieces:
            inside, offset, stride = self._inside(piece)
            dtype = piece.dtype
            base = self.b.pointer(self.surroundings.pointers[piece.root], piece.offset, ELEMENT[dtype])
            result = self._piece(piece, base, inside, offset, stride, result)
        return result

    def _inside(self, piece: Piece) -> tuple[list[Register], Register, tuple[int, int, int, int]]:
        """Scalar conditions on the serial axes, the offset they give, and (low, every, count, stride) of
        the vector's.
        """
        conditions: list[Register] = []
        offset = index(0)
        along = (0, 1, 1 << 62, 0)
        for bound in piece.bounds:
            if bound.axis == self.vector_axis:
                along = (bound.low, bound.every, bound.count, bound.stride)
                continue
            position = self.b.subtract(self.indices[bound.axis], bound.low)
            if bound.every > 1:
                rest = self.b.op("urem", position, index(bound.every))
                conditions.append(self.b.compare("icmp eq", rest, index(0)))
                position = self.b.op("udiv", position, index(bound.every))
            conditions.append(self.b.compare("icmp ult", position, index(bound.count)))
            offset = self.b.add(offset, self.b.multiply(position, bound.stride))
        return conditions, offset, along

    def _piece(
        self,
        piece: Piece,
        base: Register,
        conditions: list[Register],
        offset: Register,
        along: tuple[int, int, int, int],
        otherwise: Register,
    ) -> Register:
        """Lane by lane from clamped addresses, then select: correct for every width, stride and step."""
        element = ELEMENT[piece.dtype]
        inside: Register = Register("true", "i1")
        for condition in conditions:
            inside = self.b.op("and", inside, condition)
        if self.vector_axis is None or (self.lanes == 1 and self.vector_axis not in self.indices):
            pointer = self.b.pointer(base, self.b.select(inside, offset, index(0)), element)
            return self.b.select(inside, self.widened(self.b.load(element, pointer), piece.dtype), otherwise)
        low, every, count, stride = along
        position = self.b.subtract(self.indices[self.vector_axis], low)
        if every == 1 and stride == 1:
            return self._contiguous_piece(piece, base, inside, offset, position, count, otherwise)
        flags, pointers = [], []
        for lane in range(self.active):
            place = self.b.add(position, lane)
            covered = inside
            if every > 1:
                rest = self.b.op("urem", place, index(every))
                covered = self.b.op("and", covered, self.b.compare("icmp eq", rest, index(0)))
                place = self.b.op("udiv", place, index(every))
            covered = self.b.op("and", covered, self.b.compare("icmp ult", place, index(count)))
            place = self.b.add(offset, self.b.multiply(place, stride))
            pointers.append(self.b.pointer(base, self.b.select(covered, place, index(0)), element))
            flags.append(covered)
        loaded = self.widened(self.collect(pointers, element), piece.dtype)
        if self.lanes == 1:
            return self.b.select(flags[0], loaded, otherwise)
        mask = Register("zeroinitializer", vector("i1", self.lanes))
        for lane, covered in enumerate(flags):
            mask = self.b.insert(mask, covered, lane)
        return self.b.select(mask, loaded, otherwise)

    def _contiguous_piece(
        self, piece: Piece, base: Register, inside: Register, offset: Register, position: Register, count:
        int,
        otherwise: Register,
    ) -> Register:  # fmt: skip
        """A masked load of the lanes that lie in the piece."""
        element = ELEMENT[piece.dtype]
        counts = lane_constants(range(self.lanes), "i64")
        places = self.b.op("add", self.b.splat(position, self.lanes), counts)
        covered = self.b.compare("icmp ult", places, constant(count, "i64", self.lanes))
        covered = self.b.op("and", covered, self.b.splat(inside, self.lanes))
        if self.mask is not None:
            covered = self.b.op("and", covered, self.mask)
        if self.lanes == 1:
            pointer = self.b.pointer(
                base, self.b.select(covered, self.b.add(offset, position), index(0)), element
            )
            loaded = self.b.load(element, pointer)
        else:
            # Lanes outside are not read, but finding out that they lie in no memory takes a processor long.
            near = self.b.intrinsic("smax", "i64", position, index(-self.lanes))
            near = self.b.intrinsic("smin", "i64", near, index(count))
            address = self.b.select(inside, self.b.add(offset, near), index(0))
            pointer = self.b.pointer(base, address, element)
            loaded = self.b.load(vector(element, self.lanes), pointer, covered)
        return self.b.select(covered, self.widened(loaded, piece.dtype), otherwise)


# Their only operand is the result: all the work is in the leaf, or there is none.
_PASSED_ON = WINDOWED | {p.stop_gradient, again}


def _wrap(number: int) -> int:
    """As a signed 32-bit integer."""
    return (number + (1 << 31)) % (1 << 32) - (1 << 31)


def carrier(element: str) -> str:
    """What an element is moved around as: half precision as its bits, which every processor can hold."""
    return "i16" if element in ("half", "bfloat") else element


def widened(builder: Builder, register: Register, dtype: str, target: Target) -> Register:
    """Half precision from memory as float32; everything else as it is."""
    if dtype in HALVES:
        return math.widen(builder, register, dtype, target)
    return register


def narrowed(builder: Builder, register: Register, dtype: str, target: Target) -> Register:
    """What is stored for a register: float32 becomes half precision where that is the dtype."""
    if dtype in HALVES:
        return math.narrow(builder, register, dtype, target)
    return register


def rounded(builder: Builder, register: Register, dtype: str, target: Target) -> Register:
    """A float32 result rounded to what `dtype` can hold, still in float32."""
    if dtype in HALVES and not register.is_constant:
        return widened(builder, narrowed(builder, register, dtype, target), dtype, target)
    return register


def store(point: Point, register: Register, base: Register, place: Place, dtype: str) -> None:
    """Write the lanes that exist."""
    b = point.b
    element = ELEMENT[dtype]
    pointer = b.pointer(base, point.offsets[place], element)
    register = narrowed(b, register, dtype, point.surroundings.target)
    stride = point.stride(place)
    if point.lanes == 1:
        b.store(register, pointer)
    elif stride == 1:
        b.store(register, pointer, point.mask)
    elif stride == 0:
        b.store(b.extract(register, 0), pointer)
    else:
        carried = carrier(element)
        if carried != element:
            register = b.bitcast(register, vector(carried, point.lanes))
        for lane in range(point.active):
            b.store(b.extract(register, lane), b.pointer(pointer, lane * stride, element))


def guard(point: Point, register: Register, flag: Register) -> None:
    """Raise the flag if any lane that exists is NaN or infinite."""
    b = point.b
    # x - x is NaN exactly for NaN and infinities.
    bad = b.compare(
        "fcmp uno", b.op("fsub", register, register), constant(0, register.element, register.lanes)
    )
    if point.mask is not None:
        bad = b.op("and", bad, point.mask)
    raise_flag(b, bad, flag)


def raise_flag(b: Builder, bad: Register, flag: Register) -> None:
    """Store 1 to the flag if any lane is true."""
    found = bad
    if bad.lanes > 1:
        bits = b.bitcast(bad, f"i{bad.lanes}")
        found = b.compare("icmp ne", bits, constant(0, bits.type))
    with b.when(found):
        b.store(constant(1, "i32"), flag)


def load_keys(
    b: Builder, leaves: Iterable[Leaf], pointers: dict[Value, Register]
) -> dict[Bits, tuple[Register, Register]]:
    """The words of every random key, loaded once at the start of a kernel."""
    found = {}
    for leaf in leaves:
        if isinstance(leaf, Bits):
            places = [leaf.key_offset + word * leaf.key_stride for word in range(2)]
            words = [b.load("i32", b.pointer(pointers[leaf.key], place, "i32")) for place in places]
            found[leaf] = (words[0], words[1])
    return found


# --- reductions ------------------------------------------------------------------------------------


def identity(statement: Statement, lanes: int) -> Register:
    """The start of a reduction, in every lane."""
    dtype = computed(statement.value.dtype)
    low, high = dtypes.limits(dtype)
    start = {p.reduce_sum: 0, p.reduce_prod: 1, p.reduce_max: low, p.reduce_min: high}[statement.operation]
    return constant(start, ELEMENT[dtype], lanes)


def loses_digits(statement: Statement) -> bool:
    """Whether the order of additions matters to the last digits."""
    return statement.operation is p.reduce_sum and dtypes.is_float(statement.value.dtype)


_COMBINE = {
    p.reduce_sum: p.add,
    p.reduce_prod: p.multiply,
    p.reduce_max: p.maximum,
    p.reduce_min: p.minimum,
}


def combine(b: Builder, statement: Statement, x: Register, y: Register, target: Target) -> Register:
    dtype = computed(statement.value.dtype)
    return math.emit(b, _COMBINE[statement.operation], [dtype, dtype], dtype, [x, y], target)


def accumulate(point: Point, statement: Statement, total: Register, vector_inner: bool) -> Register:
    """`total` with this point's element added; lanes that do not exist leave it alone."""
    element = point.operand(statement.operands[0])
    if vector_inner and point.lanes < lanes_of(total.type):
        # The tail uses fewer lanes: fill up with elements that change nothing.
        wide = identity(statement, lanes_of(total.type))
        element = _widen_lanes(point, element, wide)
    elif point.mask is not None and vector_inner:
        element = point.b.select(point.mask, element, identity(statement, point.lanes))
    return combine(point.b, statement, total, element, point.surroundings.target)


def _widen_lanes(point: Point, element: Register, wide: Register) -> Register:
    lanes = [lane if lane < point.active else -1 for lane in range(wide.lanes)]
    padded = point.b.shuffle(element, None, [max(lane, 0) for lane in lanes])
    mask = lane_constants([lane >= 0 for lane in lanes], "i1")
    return point.b.select(mask, padded, wide)


def horizontal(b: Builder, statement: Statement, total: Register, target: Target) -> Register:
    """All lanes folded into one, in a fixed tree."""
    while total.lanes > 1:
        half = total.lanes // 2
        low = b.shuffle(total, None, range(half))
        high = b.shuffle(total, None, range(half, total.lanes))
        if half == 1:
            low, high = b.extract(total, 0), b.extract(total, 1)
        total = combine(b, statement, low, high, target)
    return total
