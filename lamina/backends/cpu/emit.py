"""A small builder of LLVM IR text: typed registers, straight SSA, loops with carried values.

The kernels are emitted in the form they should run in (explicit vectors, phis, no stack slots), so no LLVM
pass is needed afterwards, and writing text is several times faster than building an object tree.

Element types are LLVM's names: "float", "double", "half", "bfloat", "i1", "i8" ... A vector of `lanes`
elements has type `<lanes x element>`; with one lane it is the bare element, so the same code serves vectors
and scalars.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache, lru_cache
from typing import Any, NamedTuple

import numpy as np

# dtype -> LLVM element type in registers. In memory a bool takes a byte; everything else is stored as it is.
ELEMENT = {
    "bool": "i1", "uint8": "i8", "uint16": "i16", "uint32": "i32", "uint64": "i64",
    "int8": "i8", "int16": "i16", "int32": "i32", "int64": "i64",
    "float16": "half", "bfloat16": "bfloat", "float32": "float", "float64": "double",
}  # fmt: skip


class Register(NamedTuple):
    """An SSA value or a constant: its text and its LLVM type."""

    text: str
    type: str

    @property
    def lanes(self) -> int:
        return lanes_of(self.type)

    @property
    def element(self) -> str:
        return element_of(self.type)

    @property
    def is_constant(self) -> bool:
        return not self.text.startswith("%")


@cache
def vector(element: str, lanes: int) -> str:
    """The LLVM type of `lanes` elements."""
    return element if lanes == 1 else f"<{lanes} x {element}>"


@cache
def lanes_of(type: str) -> int:
    return int(type[1:].split(" x ")[0]) if type.startswith("<") else 1


@cache
def element_of(type: str) -> str:
    return type[1:-1].split(" x ")[1] if type.startswith("<") else type


def bits_of(type: str) -> int:
    """Width of one element in bits."""
    element = element_of(type)
    widths = {"float": 32, "double": 64, "half": 16, "bfloat": 16, "ptr": 64}
    return widths[element] if element in widths else int(element[1:])


def is_floating(type: str) -> bool:
    return element_of(type) in ("float", "double", "half", "bfloat")


@lru_cache(maxsize=4096)
def literal(value: Any, element: str) -> str:
    """One number as LLVM text."""
    if element == "i1":
        return "true" if value else "false"
    if element in ("float", "double"):
        # A float constant is written as the 64-bit pattern of the double it extends to.
        number = float(np.float32(value)) if element == "float" else float(value)
        return f"0x{struct.unpack('<Q', struct.pack('<d', number))[0]:016X}"
    if element == "half":
        return f"0xH{int(np.float16(value).view(np.uint16)):04X}"
    if element == "bfloat":
        return f"0xR{struct.unpack('<I', struct.pack('<f', float(value)))[0] >> 16:04X}"
    return str(int(value))


def constant(value: Any, element: str, lanes: int = 1) -> Register:
    """A number in every lane."""
    text = literal(value, element)
    return Register(text if lanes == 1 else f"splat ({element} {text})", vector(element, lanes))


def index(value: int) -> Register:
    """A constant i64."""
    return Register(str(value), "i64")


def lane_constants(values: Sequence[Any], element: str) -> Register:
    """A constant vector with a number of its own in every lane."""
    if len(values) == 1:
        return constant(values[0], element)
    return Register(
        "<" + ", ".join(f"{element} {literal(value, element)}" for value in values) + ">",
        vector(element, len(values)),
    )


_NAME = re.compile(r"@([\w.]+)")
_HEAD = re.compile(r"\s*define (?:internal )?(\S+) @([\w.]+)\((.*?)\) (#\d) \{", re.DOTALL)
_PARAMETER = re.compile(r" %\w+")
_WORTH_A_PART = 40_000  # characters: compiling a module of its own takes a millisecond or two
# Characters of plain functions from which LLVM does as little as it can: before, it is quick anyway, and the
# steps of small programs, which take microseconds, are spared some nanoseconds.
_LONG = 100_000


@dataclass(frozen=True)
class Part:
    """The text of an LLVM module. is_plain: nothing in it is worth the time that LLVM would take for it."""

    text: str
    is_plain: bool = False


class Module:
    """The text of one LLVM module: functions, and the intrinsics they call."""

    def __init__(self, attributes: str = "nounwind") -> None:
        self.attributes = attributes
        self.functions: dict[str, str] = {}
        self.declarations: dict[str, str] = {}
        self.globals: dict[str, str] = {}

    def declare(self, name: str, result: str, parameters: Sequence[str]) -> None:
        self.declarations.setdefault(name, f"declare {result} @{name}({', '.join(parameters)})")

    def constant_array(self, name: str, element: str, values: Sequence[Any], align: int = 64) -> None:
        """A read-only table, e.g. of polynomial coefficients or offsets."""
        body = ", ".join(f"{element} {literal(value, element)}" for value in values)
        self.globals.setdefault(
            name,
            f"@{name} = private unnamed_addr constant [{len(values)} x {element}] [{body}], align {align}",
        )

    def text(self) -> str:
        return "\n".join(
            [
                *self.globals.values(), *self.declarations.values(), *self.functions.values(),
                *self._attribute_lines(),
            ]
        )  # fmt: skip

    def parts(self, count: int) -> list[Part]:
        """The same as several modules that may be compiled side by side: the plain functions in one, the
        others in up to `count` of about the same length.
        """
        plain = [name for name, text in self.functions.items() if _head(text)[4] == "#1"]
        others = [name for name in self.functions if name not in plain]
        length = sum(len(self.functions[name]) for name in others)
        bins: list[list[str]] = [[] for _ in range(max(1, min(count, length // _WORTH_A_PART)))]
        filled = [0] * len(bins)
        for name in sorted(others, key=lambda name: -len(self.functions[name])):
            emptiest = filled.index(min(filled))
            bins[emptiest].append(name)
            filled[emptiest] += len(self.functions[name])
        found = [Part(self._part(names)) for names in bins if names]
        if not plain:
            return found
        text = self._part(plain)
        return [Part(text, is_plain=len(text) > _LONG), *found]

    def _part(self, names: Sequence[str]) -> str:
        """A module with these functions, which are visible to the others; it declares those it calls."""
        texts = [self.functions[name].replace("define internal", "define", 1) for name in names]
        texts = [text.replace("define", "define dso_local", 1) for text in texts]
        used = dict.fromkeys(name for text in texts for name in _NAME.findall(text))
        own = set(names)
        called = [_head(self.functions[name]) for name in used if name in self.functions and name not in own]
        return "\n".join(
            [
                *(text for name, text in self.globals.items() if name in used),
                *(text for name, text in self.declarations.items() if name in used),
                *(
                    f"declare dso_local {head[1]} @{head[2]}({_PARAMETER.sub('', head[3])}) {head[4]}"
                    for head in called
                ),
                *texts,
                *self._attribute_lines(),
            ]
        )

    def _attribute_lines(self) -> tuple[str, str]:
        return (
            f"attributes #0 = {{ {self.attributes} }}",
            f"attributes #1 = {{ {self.attributes} optnone noinline }}\n",
        )


def _head(function: str) -> re.Match[str]:
    """(all, result, name, parameters, attributes) of the text of a function."""
    found = _HEAD.match(function)
    assert found is not None, function[:80]
    return found


@dataclass
class Loop:
    """A loop being emitted: its counter, the values carried into the body, and those for the next round."""

    index: Register
    carried: list[Register]
    next: list[Register] = field(default_factory=list)
    results: list[Register] = field(default_factory=list)


class Builder:
    """Emits one function. Methods append an instruction and return its register.

    plain: for a function that only calls others, where LLVM need not look for better instructions.
    """

    def __init__(
        self,
        module: Module,
        name: str,
        parameters: Sequence[tuple[str, str]],
        linkage: str = "",
        result: str = "void",
        plain: bool = False,
    ) -> None:
        self.module = module
        self.name = name
        self.lines: list[str] = []
        self.linkage = linkage
        self.result = result
        self.plain = plain
        self.parameters = parameters
        self._count = 0
        self._labels = 0
        self.label = "entry"
        self.arguments = [Register(f"%{parameter}", kind.split(" ")[0]) for kind, parameter in parameters]

    # -- plumbing ------------------------------------------------------------------------------

    def fresh(self) -> str:
        self._count += 1
        return f"%v{self._count}"

    def emit(self, text: str) -> None:
        self.lines.append("  " + text)

    def instruction(self, text: str, type: str) -> Register:
        name = self.fresh()
        self.lines.append(f"  {name} = {text}")
        return Register(name, type)

    def finish(self, value: Register | None = None) -> None:
        """Return, and add the function to the module."""
        self.emit("ret void" if value is None else f"ret {value.type} {value.text}")
        parameters = ", ".join(f"{kind} %{name}" for kind, name in self.parameters)
        linkage = f"{self.linkage} " if self.linkage else ""
        attributes = "#1" if self.plain else "#0"
        head = f"define {linkage}{self.result} @{self.name}({parameters}) {attributes} {{\nentry:\n"
        self.module.functions[self.name] = head + "\n".join(self.lines) + "\n}\n"

    # -- arithmetic ----------------------------------------------------------------------------

    def op(self, opcode: str, x: Register, y: Register) -> Register:
        """A binary instruction, e.g. "fadd", "and", "shl"."""
        return self.instruction(f"{opcode} {x.type} {x.text}, {y.text}", x.type)

    def fneg(self, x: Register) -> Register:
        return self.instruction(f"fneg {x.type} {x.text}", x.type)

    def compare(self, predicate: str, x: Register, y: Register) -> Register:
        """`predicate` with its instruction, e.g. "fcmp olt" or "icmp slt"."""
        return self.instruction(f"{predicate} {x.type} {x.text}, {y.text}", vector("i1", x.lanes))

    def select(self, condition: Register, x: Register, y: Register) -> Register:
        return self.instruction(
            f"select {condition.type} {condition.text}, {x.type} {x.text}, {y.type} {y.text}", x.type
        )

    def convert(self, opcode: str, x: Register, element: str) -> Register:
        """A conversion instruction to another element type with the same lanes: "sext", "fptosi",
        "bitcast" ...
        """
        target = vector(element, x.lanes)
        return self.instruction(f"{opcode} {x.type} {x.text} to {target}", target)

    def bitcast(self, x: Register, type: str) -> Register:
        return self.instruction(f"bitcast {x.type} {x.text} to {type}", type)

    def intrinsic(self, name: str, result: str, *operands: Register, suffix: str | None = None) -> Register:
        """Call `llvm.<name>`; the overload suffix comes from the first operand unless given."""
        mangled = suffix if suffix is not None else mangle(operands[0].type)
        full = f"llvm.{name}.{mangled}" if mangled else f"llvm.{name}"
        self.module.declare(full, result, [operand.type for operand in operands])
        listed = ", ".join(f"{operand.type} {operand.text}" for operand in operands)
        return self.instruction(f"call {result} @{full}({listed})", result)

    def splat(self, x: Register, lanes: int) -> Register:
        """A scalar in every lane."""
        if lanes == 1 or x.lanes == lanes:
            return x
        if x.is_constant:
            return Register(f"splat ({x.type} {x.text})", vector(x.type, lanes))
        kind = vector(x.type, lanes)
        first = self.instruction(f"insertelement {kind} poison, {x.type} {x.text}, i64 0", kind)
        return self.instruction(
            f"shufflevector {kind} {first.text}, {kind} poison, <{lanes} x i32> zeroinitializer", kind
        )

    def extract(self, x: Register, lane: int) -> Register:
        return (
            self.instruction(f"extractelement {x.type} {x.text}, i64 {lane}", x.element) if x.lanes > 1 else x
        )

    def insert(self, x: Register, value: Register, lane: int) -> Register:
        return self.instruction(
            f"insertelement {x.type} {x.text}, {value.type} {value.text}, i64 {lane}", x.type
        )

    def shuffle(self, x: Register, y: Register | None, lanes: Sequence[int]) -> Register:
        mask = ", ".join(f"i32 {lane}" for lane in lanes)
        other = "poison" if y is None else y.text
        kind = vector(x.element, len(lanes))
        return self.instruction(
            f"shufflevector {x.type} {x.text}, {x.type} {other}, <{len(lanes)} x i32> <{mask}>", kind
        )

    # -- integers of addresses and counts ------------------------------------------------------

    def add(self, x: Register, y: Register | int) -> Register:
        """i64 addition, folded where an operand is zero or both are known."""
        other = index(y) if isinstance(y, int) else y
        if x.is_constant and other.is_constant:
            return index(int(x.text) + int(other.text))
        if other.text == "0":
            return x
        if x.text == "0":
            return other
        return self.instruction(f"add nsw i64 {x.text}, {other.text}", "i64")

    def subtract(self, x: Register, y: Register | int) -> Register:
        other = index(y) if isinstance(y, int) else y
        if x.is_constant and other.is_constant:
            return index(int(x.text) - int(other.text))
        if other.text == "0":
            return x
        return self.instruction(f"sub nsw i64 {x.text}, {other.text}", "i64")

    def multiply(self, x: Register, y: Register | int) -> Register:
        """i64 multiplication, folded where an operand is 0 or 1 or both are known."""
        other = index(y) if isinstance(y, int) else y
        if x.is_constant and other.is_constant:
            return index(int(x.text) * int(other.text))
        for one, two in ((x, other), (other, x)):
            if one.text == "0":
                return index(0)
            if one.text == "1":
                return two
        return self.instruction(f"mul nsw i64 {x.text}, {other.text}", "i64")

    # -- memory --------------------------------------------------------------------------------

    def pointer(self, base: Register, offset: Register | int, element: str) -> Register:
        """`base + offset` elements; in memory an i1 is a byte."""
        distance = index(offset) if isinstance(offset, int) else offset
        if distance.text == "0":
            return base
        memory = "i8" if element == "i1" else element
        return self.instruction(f"getelementptr {memory}, ptr {base.text}, i64 {distance.text}", "ptr")

    def load(
        self, type: str, pointer: Register, mask: Register | None = None, align: int | None = None
    ) -> Register:
        """Load a scalar or vector; lanes where `mask` is false are not touched and read as zero."""
        if element_of(type) == "i1":
            stored = self.load(vector("i8", lanes_of(type)), pointer, mask)
            return self.compare("icmp ne", stored, constant(0, "i8", stored.lanes))
        if mask is not None and element_of(type) in ("half", "bfloat"):
            # LLVM may take masked accesses apart, and not every processor can hold these alone.
            return self.bitcast(self.load(vector("i16", lanes_of(type)), pointer, mask), type)
        alignment = align or max(bits_of(type) // 8, 1)
        if mask is None:
            return self.instruction(f"load {type}, ptr {pointer.text}, align {alignment}", type)
        name = f"llvm.masked.load.{mangle(type)}.p0"
        lanes = vector("i1", lanes_of(type))
        rest = f"{lanes} {mask.text}, {type} zeroinitializer"
        if masked_takes_alignment():
            self.module.declare(name, type, ["ptr", "i32", lanes, type])
            address = f"ptr {pointer.text}, i32 {alignment}"
        else:
            self.module.declare(name, type, ["ptr", lanes, type])
            address = f"ptr align {alignment} {pointer.text}"
        return self.instruction(f"call {type} @{name}({address}, {rest})", type)

    def store(
        self, value: Register, pointer: Register, mask: Register | None = None, align: int | None = None
    ) -> None:
        """Store a scalar or vector; lanes where `mask` is false are left alone."""
        if value.element == "i1":
            self.store(self.convert("zext", value, "i8"), pointer, mask)
            return
        if mask is not None and value.element in ("half", "bfloat"):
            self.store(self.bitcast(value, vector("i16", value.lanes)), pointer, mask)
            return
        alignment = align or max(bits_of(value.type) // 8, 1)
        if mask is None:
            self.emit(f"store {value.type} {value.text}, ptr {pointer.text}, align {alignment}")
            return
        name = f"llvm.masked.store.{mangle(value.type)}.p0"
        lanes = vector("i1", value.lanes)
        if masked_takes_alignment():
            self.module.declare(name, "void", [value.type, "ptr", "i32", lanes])
            arguments = f"{value.type} {value.text}, ptr {pointer.text}, i32 {alignment}, {lanes} {mask.text}"
        else:
            self.module.declare(name, "void", [value.type, "ptr", lanes])
            arguments = (
                f"{value.type} {value.text}, ptr align {alignment} {pointer.text}, {lanes} {mask.text}"
            )
        self.emit(f"call void @{name}({arguments})")

    def prefetch(self, pointer: Register, near: bool) -> None:
        """Ask for the cache line at an address, which need not exist: into the first cache if `near`."""
        self.module.declare("llvm.prefetch.p0", "void", ["ptr", "i32", "i32", "i32"])
        locality = 3 if near else 2
        self.emit(f"call void @llvm.prefetch.p0(ptr {pointer.text}, i32 0, i32 {locality}, i32 1)")

    def tail_mask(self, remaining: Register, lanes: int) -> Register:
        """Lanes 0 .. remaining-1 are true; `remaining` is an i64."""
        if remaining.is_constant:
            count = int(remaining.text)
            return lane_constants([lane < count for lane in range(lanes)], "i1")
        counts = self.splat(self.instruction(f"trunc i64 {remaining.text} to i32", "i32"), lanes)
        return self.compare("icmp sgt", counts, lane_constants(range(lanes), "i32"))

    # -- control -------------------------------------------------------------------------------

    def new_label(self, hint: str) -> str:
        self._labels += 1
        return f"{hint}{self._labels}"

    def start_block(self, label: str) -> None:
        self.lines.append(f"{label}:")
        self.label = label

    def branch(self, label: str) -> None:
        self.emit(f"br label %{label}")

    def branch_if(self, condition: Register, then: str, otherwise: str, likely: bool | None = None) -> None:
        self.emit(f"br i1 {condition.text}, label %{then}, label %{otherwise}")

    @contextmanager
    def when(self, condition: Register) -> Iterator[None]:
        """The body runs only if `condition` holds; it gives no value."""
        then, after = self.new_label("then"), self.new_label("after")
        self.branch_if(condition, then, after)
        self.start_block(then)
        yield
        self.branch(after)
        self.start_block(after)

    def choose(
        self,
        condition: Register,
        then: Callable[[], list[Register]],
        otherwise: Callable[[], list[Register]],
    ) -> list[Register]:
        """The values that one of two ways of computing them gives; only that one is run."""
        yes, no, after = self.new_label("yes"), self.new_label("no"), self.new_label("after")
        self.branch_if(condition, yes, no)
        ways: list[tuple[list[Register], str]] = []
        for label, way in ((yes, then), (no, otherwise)):
            self.start_block(label)
            values = way()
            ways.append((values, self.label))
            self.branch(after)
        self.start_block(after)
        (one, first), (other, second) = ways
        return [
            self.instruction(f"phi {x.type} [ {x.text}, %{first} ], [ {y.text}, %{second} ]", x.type)
            for x, y in zip(one, other)
        ]

    @contextmanager
    def loop(
        self,
        start: Register | int,
        stop: Register | int,
        step: int = 1,
        carried: Sequence[Register] = (),
    ) -> Iterator[Loop]:
        """`for index in range(start, stop, step)`, with values carried from round to round.

        Set `loop.next` in the body; after the loop, `loop.results` holds the last values. With constant
        bounds the loop must run at least once unless nothing is carried (then a loop of no rounds is not
        entered).
        """
        first = index(start) if isinstance(start, int) else start
        last = index(stop) if isinstance(stop, int) else stop
        known = first.is_constant and last.is_constant
        body, after = self.new_label("loop"), self.new_label("done")
        guarded = not known or int(first.text) >= int(last.text)
        before = self.label
        if guarded:
            enter = self.instruction(f"icmp slt i64 {first.text}, {last.text}", "i1")
            self.branch_if(enter, body, after)
        else:
            self.branch(body)
        self.start_block(body)
        counter = Register(self.fresh(), "i64")
        names = [Register(self.fresh(), value.type) for value in carried]
        position = len(self.lines)
        state = Loop(counter, list(names))
        yield state
        if len(state.next) != len(names):
            raise AssertionError("loop: every carried value needs its next one")
        following = self.instruction(f"add nsw i64 {counter.text}, {step}", "i64")
        again = self.instruction(f"icmp slt i64 {following.text}, {last.text}", "i1")
        latch = self.label
        phis = [f"  {counter.text} = phi i64 [ {first.text}, %{before} ], [ {following.text}, %{latch} ]"]
        for name, initial, value in zip(names, carried, state.next):
            phis.append(
                f"  {name.text} = phi {name.type} [ {initial.text}, %{before} ], [ {value.text}, %{latch} ]"
            )
        self.lines[position:position] = phis
        self.branch_if(again, body, after)
        self.start_block(after)
        if guarded:
            state.results = [
                self.instruction(
                    f"phi {name.type} [ {initial.text}, %{before} ], [ {value.text}, %{latch} ]", name.type
                )
                for name, initial, value in zip(names, carried, state.next)
            ]
        else:
            state.results = list(state.next)


def mangle(type: str) -> str:
    """The overload suffix of an intrinsic: "v16f32" for <16 x float>."""
    element = element_of(type)
    short = {"float": "f32", "double": "f64", "half": "f16", "bfloat": "bf16", "ptr": "p0"}.get(
        element, element
    )
    lanes = lanes_of(type)
    return short if lanes == 1 else f"v{lanes}{short}"


@cache
def masked_takes_alignment() -> bool:
    """Up to LLVM 21 masked loads take the alignment as an argument, from 22 on as an attribute of the
    pointer.
    """
    from llvmlite.binding import llvm_version_info

    return llvm_version_info[0] < 22
